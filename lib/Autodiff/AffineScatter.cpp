//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/AffineScatter.h"

#include "mlir/Analysis/FlatLinearValueConstraints.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// Where the elements are
//===----------------------------------------------------------------------===//

/// Per result of the map the strides of the loops and a constant; none if the
/// map is not linear.
static std::optional<SmallVector<SmallVector<int64_t>>>
getStrides(AffineMap map) {
  SmallVector<SmallVector<int64_t>> strides;
  for (AffineExpr expr : map.getResults()) {
    SmallVector<int64_t> flat;
    if (failed(getFlattenedAffineExpr(expr, map.getNumDims(), 0, &flat)) ||
        flat.size() != map.getNumDims() + 1)
      return std::nullopt;
    strides.push_back(flat);
  }
  return strides;
}

/// Whether a loop moves in two dimensions at once, as in (i) -> (i, i).
static bool isDiagonal(ArrayRef<SmallVector<int64_t>> strides,
                       unsigned numLoops) {
  for (unsigned loop = 0; loop < numLoops; ++loop)
    if (llvm::count_if(strides, [&](const SmallVector<int64_t> &row) {
          return row[loop] != 0;
        }) > 1)
      return true;
  return false;
}

/// What can be said of an operand as one row of elements.
static SmallVector<int64_t> flatten(ArrayRef<SmallVector<int64_t>> strides,
                                    ArrayRef<int64_t> shape) {
  SmallVector<int64_t> flat(strides.front().size(), 0);
  for (auto [row, size] : llvm::zip(strides, shape))
    for (auto [total, stride] : llvm::zip(flat, row))
      total = total * size + stride;
  return flat;
}

/// Puts the steps in the order in which they become one: from the largest
/// stride down if together they leave no gap and are a mere reshape, else with
/// the fewest iterations outside, which costs the least memory.
void AffineScatter::arrange(Line &line) {
  auto &steps = line.steps;
  llvm::stable_sort(
      steps, [](const Step &a, const Step &b) { return a.stride > b.stride; });
  bool dense = true;
  for (size_t i = 0; i + 1 < steps.size(); ++i)
    dense &= steps[i].stride == steps[i + 1].stride * steps[i + 1].size;
  if (!dense)
    llvm::stable_sort(
        steps, [](const Step &a, const Step &b) { return a.size < b.size; });
}

std::optional<AffineScatter> AffineScatter::get(AffineMap map,
                                                ArrayRef<int64_t> shape,
                                                ArrayRef<int64_t> loopSizes) {
  auto strides = getStrides(map);
  if (!strides)
    return std::nullopt;
  AffineScatter scatter;
  scatter.context = map.getContext();
  scatter.numLoops = map.getNumDims();
  scatter.shape.assign(shape.begin(), shape.end());
  SmallVector<int64_t> sizes(shape);
  if (isDiagonal(*strides, scatter.numLoops)) {
    SmallVector<int64_t> flat = flatten(*strides, shape);
    *strides = {flat};
    sizes = {ShapedType::getNumElements(shape)};
  }
  for (auto [row, size] : llvm::zip(*strides, sizes)) {
    Line line{size, row.back(), {}};
    for (auto [loop, stride] : llvm::enumerate(ArrayRef(row).drop_back())) {
      if (stride == 0)
        continue;
      Step step{unsigned(loop), loopSizes[loop], std::abs(stride), stride < 0};
      if (step.reversed)
        line.offset += stride * (step.size - 1);
      line.steps.push_back(step);
    }
    arrange(line);
    scatter.lines.push_back(line);
  }
  return scatter;
}

AffineMap AffineScatter::getContributionMap() const {
  SmallVector<AffineExpr> exprs;
  for (const Line &line : lines)
    for (const Step &step : line.steps)
      exprs.push_back(getAffineDimExpr(step.loop, context));
  return AffineMap::get(numLoops, 0, exprs, context);
}

SmallVector<int64_t> AffineScatter::getContributionShape() const {
  SmallVector<int64_t> sizes;
  for (const Line &line : lines)
    for (const Step &step : line.steps)
      sizes.push_back(step.size);
  return sizes;
}

//===----------------------------------------------------------------------===//
// Moving them there
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> getShape(Value value) {
  return SmallVector<int64_t>(
      cast<RankedTensorType>(value.getType()).getShape());
}

static RankedTensorType getTypeOfShape(Value value, ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, getElementTypeOrSelf(value.getType()));
}

/// Dimensions `first` to `first` + `count` - 1 as one.
static Value collapse(AdjointBuilder &builder, Value value, unsigned first,
                      unsigned count) {
  SmallVector<int64_t> shape = getShape(value), collapsed;
  SmallVector<ReassociationIndices> groups;
  for (unsigned i = 0; i < shape.size(); ++i) {
    if (i > first && i < first + count) {
      groups.back().push_back(i);
      collapsed.back() *= shape[i];
    } else {
      groups.push_back({i});
      collapsed.push_back(shape[i]);
    }
  }
  return tensor::CollapseShapeOp::create(builder.getBuilder(), builder.getLoc(),
                                         getTypeOfShape(value, collapsed),
                                         value, groups);
}

/// Dimension `dim` as two, the outer one of `outer` elements.
static Value split(AdjointBuilder &builder, Value value, unsigned dim,
                   int64_t outer) {
  SmallVector<int64_t> shape = getShape(value);
  SmallVector<ReassociationIndices> groups;
  for (unsigned i = 0; i < shape.size(); ++i) {
    groups.push_back({i > dim ? i + 1 : i});
    if (i == dim)
      groups.back().push_back(i + 1);
  }
  shape[dim] /= outer;
  shape.insert(shape.begin() + dim, outer);
  return tensor::ExpandShapeOp::create(builder.getBuilder(), builder.getLoc(),
                                       getTypeOfShape(value, shape), value,
                                       groups);
}

/// `value` in a tensor of zeros of `shape`; along `dim` it starts at `offset`
/// and is spread by `stride`. It may lack `dim`, which then has one element.
static Value insert(AdjointBuilder &builder, Value value,
                    ArrayRef<int64_t> shape, unsigned dim, int64_t offset,
                    int64_t stride) {
  SmallVector<int64_t> sizes = getShape(value);
  if (sizes.size() < shape.size())
    sizes.insert(sizes.begin() + dim, 1);
  SmallVector<int64_t> offsets(shape.size(), 0), strides(shape.size(), 1);
  offsets[dim] = offset;
  strides[dim] = stride;
  MLIRContext *context = builder.getBuilder().getContext();
  return tensor::InsertSliceOp::create(
      builder.getBuilder(), builder.getLoc(), value,
      builder.createZeros(getTypeOfShape(value, shape)),
      getAsIndexOpFoldResult(context, offsets),
      getAsIndexOpFoldResult(context, sizes),
      getAsIndexOpFoldResult(context, strides));
}

/// The first `size` elements along `dim`.
static Value takeFirst(AdjointBuilder &builder, Value value, unsigned dim,
                       int64_t size) {
  SmallVector<int64_t> sizes = getShape(value);
  sizes[dim] = size;
  MLIRContext *context = builder.getBuilder().getContext();
  return tensor::ExtractSliceOp::create(
      builder.getBuilder(), builder.getLoc(), getTypeOfShape(value, sizes),
      value,
      getAsIndexOpFoldResult(context, SmallVector<int64_t>(sizes.size(), 0)),
      getAsIndexOpFoldResult(context, sizes),
      getAsIndexOpFoldResult(context, SmallVector<int64_t>(sizes.size(), 1)));
}

static Value sumOver(AdjointBuilder &builder, Value value, unsigned dim) {
  OpBuilder &b = builder.getBuilder();
  SmallVector<int64_t> shape = getShape(value);
  AffineMap all = b.getMultiDimIdentityMap(shape.size());
  SmallVector<utils::IteratorType> iterators(shape.size(),
                                             utils::IteratorType::parallel);
  iterators[dim] = utils::IteratorType::reduction;
  shape.erase(shape.begin() + dim);
  RankedTensorType type = getTypeOfShape(value, shape);
  return linalg::GenericOp::create(
             b, builder.getLoc(), TypeRange{type}, ValueRange{value},
             ValueRange{builder.createZeros(type)},
             ArrayRef<AffineMap>{all, all.dropResult(dim)}, iterators,
             [](OpBuilder &b, Location loc, ValueRange args) {
               Value sum = arith::AddFOp::create(b, loc, args[1], args[0]);
               linalg::YieldOp::create(b, loc, sum);
             })
      .getResult(0);
}

/// Turns round the dimensions whose loops run against the operand.
Value AffineScatter::unreverse(AdjointBuilder &builder, Value value) const {
  auto type = cast<RankedTensorType>(value.getType());
  OpBuilder &b = builder.getBuilder();
  AffineMap all = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<AffineExpr> exprs(all.getResults());
  bool any = false;
  unsigned dim = 0;
  for (const Line &line : lines)
    for (const Step &step : line.steps) {
      if (step.reversed)
        exprs[dim] = (step.size - 1) - exprs[dim];
      any |= step.reversed;
      ++dim;
    }
  if (!any)
    return value;
  AffineMap turned = AffineMap::get(type.getRank(), 0, exprs, context);
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, builder.getLoc(), TypeRange{type}, ValueRange{value},
             ValueRange{builder.createEmpty(type)},
             ArrayRef<AffineMap>{turned, all}, iterators,
             [](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, args[0]);
             })
      .getResult(0);
}

Value AffineScatter::build(AdjointBuilder &builder, Value value) const {
  value = unreverse(builder, value);
  for (auto [dim, line] : llvm::enumerate(lines)) {
    SmallVector<Step> steps = line.steps;
    int64_t offset = line.offset;
    while (steps.size() > 1) {
      Step inner = steps.pop_back_val(), outer = steps.pop_back_val();
      unsigned at = dim + steps.size();
      if (outer.stride == inner.stride * inner.size) {
        value = collapse(builder, value, at, 2);
        steps.push_back({0, outer.size * inner.size, inner.stride});
        continue;
      }
      int64_t length = steps.empty() ? line.size
                                     : outer.stride * (outer.size - 1) +
                                           inner.stride * (inner.size - 1) + 1;
      SmallVector<int64_t> skewed = getShape(value);
      skewed[at + 1] = length + outer.stride;
      value = insert(builder, value, skewed, at + 1, steps.empty() ? offset : 0,
                     inner.stride);
      value = collapse(builder, value, at, 2);
      value = takeFirst(builder, value, at, outer.size * length);
      value = split(builder, value, at, outer.size);
      value = sumOver(builder, value, at);
      if (steps.empty())
        offset = 0;
      steps.push_back({0, length, 1});
    }
    int64_t size = steps.empty() ? 0 : steps.front().size;
    if (size == line.size)
      continue;
    SmallVector<int64_t> whole = getShape(value);
    if (steps.empty())
      whole.insert(whole.begin() + dim, line.size);
    else
      whole[dim] = line.size;
    value = insert(builder, value, whole, dim, offset,
                   steps.empty() ? 1 : steps.front().stride);
  }
  // Of a diagonal, the one line that it was.
  SmallVector<int64_t> flat = getShape(value);
  if (flat == shape)
    return value;
  auto type = getTypeOfShape(value, shape);
  return tensor::ExpandShapeOp::create(
      builder.getBuilder(), builder.getLoc(), type, value,
      SmallVector<ReassociationIndices>{
          llvm::to_vector<2>(llvm::seq<int64_t>(0, shape.size()))});
}
