//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

using namespace mlir;
using namespace weir;

namespace {
template <typename Rule, typename OpT>
using OpRule = DifferentiableOpInterface::ExternalModel<Rule, OpT>;

struct ExpandShapeRule : OpRule<ExpandShapeRule, tensor::ExpandShapeOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    b.addAdjoint(expand.getSrcMutable(),
                 tensor::CollapseShapeOp::create(
                     b.getBuilder(), b.getLoc(), expand.getSrcType(),
                     b.getAdjoint(expand.getResult()),
                     expand.getReassociationIndices()));
    return success();
  }
};

struct CollapseShapeRule : OpRule<CollapseShapeRule, tensor::CollapseShapeOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto collapse = cast<tensor::CollapseShapeOp>(op);
    b.addAdjoint(collapse.getSrcMutable(),
                 tensor::ExpandShapeOp::create(
                     b.getBuilder(), b.getLoc(), collapse.getSrcType(),
                     b.getAdjoint(collapse.getResult()),
                     collapse.getReassociationIndices()));
    return success();
  }
};

/// Whether a slice has only offsets, sizes and strides known now.
template <typename SliceOp> LogicalResult requireStatic(SliceOp op) {
  auto isDynamic = [](ArrayRef<int64_t> values) {
    return llvm::any_of(values, ShapedType::isDynamic);
  };
  if (isDynamic(op.getStaticOffsets()) || isDynamic(op.getStaticSizes()) ||
      isDynamic(op.getStaticStrides()))
    return op.emitOpError(
        "can be differentiated only if its offsets, sizes and "
        "strides are constants");
  return success();
}

struct ExtractSliceRule : OpRule<ExtractSliceRule, tensor::ExtractSliceOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto slice = cast<tensor::ExtractSliceOp>(op);
    if (failed(requireStatic(slice)))
      return failure();
    b.addSliceAdjoint(slice.getSourceMutable(), b.getAdjoint(slice.getResult()),
                      slice.getStaticOffsets(), slice.getStaticSizes(),
                      slice.getStaticStrides());
    return success();
  }
};

struct InsertSliceRule : OpRule<InsertSliceRule, tensor::InsertSliceOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto insert = cast<tensor::InsertSliceOp>(op);
    if (failed(requireStatic(insert)))
      return failure();
    Value adjoint = b.getAdjoint(insert.getResult());
    if (b.isActive(insert.getDestMutable())) {
      Value zeros = b.createZeros(insert.getSourceType());
      Value rest = tensor::InsertSliceOp::create(
          b.getBuilder(), b.getLoc(), zeros, adjoint, insert.getMixedOffsets(),
          insert.getMixedSizes(), insert.getMixedStrides());
      b.addAdjoint(insert.getDestMutable(), rest);
    }
    if (b.isActive(insert.getSourceMutable())) {
      Value slice = tensor::ExtractSliceOp::create(
          b.getBuilder(), b.getLoc(), insert.getSourceType(), adjoint,
          insert.getMixedOffsets(), insert.getMixedSizes(),
          insert.getMixedStrides());
      b.addAdjoint(insert.getSourceMutable(), slice);
    }
    return success();
  }
};

struct ConcatRule : OpRule<ConcatRule, tensor::ConcatOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto concat = cast<tensor::ConcatOp>(op);
    Value adjoint = b.getAdjoint(concat.getResult());
    SmallVector<int64_t> offsets(concat.getResultType().getRank(), 0);
    SmallVector<int64_t> strides(offsets.size(), 1);
    MLIRContext *context = op->getContext();
    for (OpOperand &operand : op->getOpOperands()) {
      auto type = cast<RankedTensorType>(operand.get().getType());
      if (b.isActive(operand))
        b.addAdjoint(operand,
                     tensor::ExtractSliceOp::create(
                         b.getBuilder(), b.getLoc(), type, adjoint,
                         getAsIndexOpFoldResult(context, offsets),
                         getAsIndexOpFoldResult(context, type.getShape()),
                         getAsIndexOpFoldResult(context, strides)));
      offsets[concat.getDim()] += type.getDimSize(concat.getDim());
    }
    return success();
  }
};

/// A gather as one of whole rows of a matrix: gathered dimensions first and
/// joined, all others joined into the row.
class RowGather {
public:
  RowGather(tensor::GatherOp op, AdjointBuilder &builder)
      : op(op), builder(builder), table(op.getSourceType()) {
    llvm::append_range(order, op.getGatherDims());
    for (int64_t dim = 0; dim < table.getRank(); ++dim)
      if (!llvm::is_contained(op.getGatherDims(), dim))
        order.push_back(dim);
    for (int64_t dim : order)
      permuted.push_back(table.getDimSize(dim));
    ArrayRef<int64_t> sizes(permuted);
    rows = computeProduct(sizes.take_front(op.getGatherDims().size()));
    length = computeProduct(sizes.drop_front(op.getGatherDims().size()));
  }

  /// The adjoint of the table.
  Value build(Value adjoint) {
    SmallVector<int64_t> shape(op.getIndicesType().getShape().drop_back());
    shape.push_back(length);
    RankedTensorType rowsType = getType({rows, length});
    Value sum =
        ScatterAddOp::create(builder.getBuilder(), builder.getLoc(), rowsType,
                             reshapeAny(adjoint, getType(shape)),
                             builder.createZeros(rowsType), getRowNumbers());
    sum = reshapeAny(sum, getType(permuted));
    if (llvm::is_sorted(order))
      return sum;
    return linalg::TransposeOp::create(builder.getBuilder(), builder.getLoc(),
                                       sum, builder.createEmpty(table),
                                       invertPermutationVector(order))
        .getResults()[0];
  }

private:
  RankedTensorType getType(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, table.getElementType());
  }

  /// A reshape that may take dimensions apart and join others.
  Value reshapeAny(Value value, RankedTensorType type) {
    auto from = cast<RankedTensorType>(value.getType());
    if (from == type || getReassociationIndicesForReshape(from, type))
      return builder.reshape(value, type);
    Value flat =
        builder.reshape(value, RankedTensorType::get({from.getNumElements()},
                                                     from.getElementType()));
    return builder.reshape(flat, type);
  }

  /// One number for each tuple of coordinates.
  Value getRowNumbers() {
    RankedTensorType indices = op.getIndicesType();
    ArrayRef<int64_t> shape = indices.getShape().drop_back();
    size_t count = op.getGatherDims().size();
    if (count == 1) {
      // The last dimension of size 1 is usually there only because the op
      // wants it, by a reshape that can be passed over.
      if (auto expand = op.getIndices().getDefiningOp<tensor::ExpandShapeOp>())
        if (expand.getSrcType().getShape() == shape)
          return expand.getSrc();
      return builder.reshape(
          op.getIndices(),
          RankedTensorType::get(shape, indices.getElementType()));
    }
    OpBuilder &b = builder.getBuilder();
    unsigned rank = shape.size();
    SmallVector<AffineMap> maps;
    for (size_t i = 0; i < count; ++i) {
      SmallVector<AffineExpr> exprs(
          b.getMultiDimIdentityMap(rank).getResults());
      exprs.push_back(b.getAffineConstantExpr(i));
      maps.push_back(AffineMap::get(rank, 0, exprs, b.getContext()));
    }
    maps.push_back(b.getMultiDimIdentityMap(rank));
    SmallVector<Value> coordinates(count, op.getIndices());
    SmallVector<utils::IteratorType> iterators(rank,
                                               utils::IteratorType::parallel);
    auto type = RankedTensorType::get(shape, b.getI64Type());
    return linalg::GenericOp::create(
               b, builder.getLoc(), TypeRange{type}, coordinates,
               ValueRange{builder.createEmpty(type)}, maps, iterators,
               [&](OpBuilder &b, Location loc, ValueRange args) {
                 Value number;
                 for (size_t i = 0; i < count; ++i) {
                   Value next = convertToI64(b, loc, args[i]);
                   Value size =
                       arith::ConstantIntOp::create(b, loc, permuted[i], 64);
                   if (number) {
                     number = arith::MulIOp::create(b, loc, number, size);
                     next = arith::AddIOp::create(b, loc, number, next);
                   }
                   number = next;
                 }
                 linalg::YieldOp::create(b, loc, number);
               })
        .getResult(0);
  }

  static Value convertToI64(OpBuilder &b, Location loc, Value index) {
    if (index.getType().isInteger(64))
      return index;
    if (index.getType().isIndex())
      return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
    return arith::ExtSIOp::create(b, loc, b.getI64Type(), index);
  }

  tensor::GatherOp op;
  AdjointBuilder &builder;
  RankedTensorType table;
  SmallVector<int64_t> order;    ///< of the table's dimensions
  SmallVector<int64_t> permuted; ///< their sizes in that order
  int64_t rows = 1, length = 1;
};

struct GatherRule : OpRule<GatherRule, tensor::GatherOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto gather = cast<tensor::GatherOp>(op);
    Value adjoint = b.getAdjoint(gather.getResult());
    b.addAdjoint(gather.getSourceMutable(),
                 RowGather(gather, b).build(adjoint));
    return success();
  }
};
} // namespace

void weir::registerTensorRules(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, tensor::TensorDialect *) {
    tensor::CollapseShapeOp::attachInterface<CollapseShapeRule>(*context);
    tensor::ConcatOp::attachInterface<ConcatRule>(*context);
    tensor::ExpandShapeOp::attachInterface<ExpandShapeRule>(*context);
    tensor::ExtractSliceOp::attachInterface<ExtractSliceRule>(*context);
    tensor::GatherOp::attachInterface<GatherRule>(*context);
    tensor::InsertSliceOp::attachInterface<InsertSliceRule>(*context);
  });
}
