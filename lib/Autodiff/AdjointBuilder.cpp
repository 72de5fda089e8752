//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/AdjointBuilder.h"
#include "weir/Analysis/JointGraph.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

using namespace mlir;
using namespace weir;

AdjointBuilder::AdjointBuilder(Block &body, const Activity &activity)
    : activity(activity), body(body), builder(&body, body.end(), this),
      loc(body.getParentOp()->getLoc()) {
  // Views of variables have no number of their own, but their adjoints are
  // work: it belongs to the op that uses the view.
  for (Operation &op : llvm::reverse(body)) {
    auto own = op.getAttrOfType<IntegerAttr>(attr::op);
    if (!own)
      for (Operation *user : op.getUsers())
        if (IntegerAttr other = numbers.lookup(user); !own && other)
          own = other;
    numbers[&op] = own;
  }
}

void AdjointBuilder::notifyOperationInserted(Operation *op,
                                             OpBuilder::InsertPoint previous) {
  if (number && op->getBlock() == &body && !isRepeated(op))
    op->setAttr(attr::adjointOf, number);
}

void AdjointBuilder::startAdjointOf(Operation *op) {
  number = numbers.lookup(op);
  loc = op->getLoc();
}

Value AdjointBuilder::getAdjoint(Value value) const {
  auto it = sums.find(value);
  return it == sums.end() ? Value() : it->second.value;
}

bool AdjointBuilder::isActive(OpOperand &operand) const {
  return activity.isActive(operand.get()) && !stopsGradient(operand);
}

void AdjointBuilder::addAdjoint(OpOperand &operand, Value contribution) {
  if (!isActive(operand))
    return;
  assert(contribution.getType() == operand.get().getType());
  Sum &sum = sums[operand.get()];
  sum.slices.clear();
  sum.zeros = Value();
  if (!sum.value) {
    sum.value = contribution;
    return;
  }
  sum.value = createElementwise(
      cast<RankedTensorType>(contribution.getType()), {sum.value, contribution},
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return arith::AddFOp::create(b, loc, args[0], args[1]);
      });
}

/// Whether two slices have no element in common; strided ones count as if they
/// had no gaps.
static bool areDisjoint(ArrayRef<int64_t> offsetsA, ArrayRef<int64_t> sizesA,
                        ArrayRef<int64_t> stridesA, ArrayRef<int64_t> offsetsB,
                        ArrayRef<int64_t> sizesB, ArrayRef<int64_t> stridesB) {
  for (size_t i = 0; i < offsetsA.size(); ++i) {
    int64_t endA = offsetsA[i] + (sizesA[i] - 1) * stridesA[i] + 1;
    int64_t endB = offsetsB[i] + (sizesB[i] - 1) * stridesB[i] + 1;
    if (endA <= offsetsB[i] || endB <= offsetsA[i])
      return true;
  }
  return false;
}

void AdjointBuilder::addSliceAdjoint(OpOperand &operand, Value contribution,
                                     ArrayRef<int64_t> offsets,
                                     ArrayRef<int64_t> sizes,
                                     ArrayRef<int64_t> strides) {
  if (!isActive(operand))
    return;
  auto insertInto = [&](Value whole) -> Value {
    return tensor::InsertSliceOp::create(
        builder, loc, contribution, whole,
        getAsIndexOpFoldResult(builder.getContext(), offsets),
        getAsIndexOpFoldResult(builder.getContext(), sizes),
        getAsIndexOpFoldResult(builder.getContext(), strides));
  };
  Slice slice{SmallVector<int64_t>(offsets), SmallVector<int64_t>(sizes),
              SmallVector<int64_t>(strides)};
  Sum sum = sums.lookup(operand.get());
  bool extend = !sum.slices.empty() && llvm::all_of(sum.slices, [&](Slice &s) {
    return areDisjoint(s.offsets, s.sizes, s.strides, offsets, sizes, strides);
  });
  if (extend) {
    sum.value = insertInto(sum.value);
    sum.slices.push_back(slice);
    sums[operand.get()] = sum;
    return;
  }
  Value zeros = createZeros(cast<RankedTensorType>(operand.get().getType()));
  Value inserted = insertInto(zeros);
  if (!sum.value)
    sums[operand.get()] = {inserted, zeros, {slice}};
  else
    addAdjoint(operand, inserted);
}

void AdjointBuilder::seed(Value loss) {
  auto type = cast<RankedTensorType>(loss.getType());
  auto one = DenseElementsAttr::get(
      type, builder.getFloatAttr(type.getElementType(), 1.0));
  sums[loss].value = arith::ConstantOp::create(builder, loc, one);
}

void AdjointBuilder::finish() {
  for (auto &[value, sum] : sums) {
    int64_t covered = 0;
    for (const Slice &slice : sum.slices)
      covered += computeProduct(slice.sizes);
    // Zeros that the slices leave no trace of are not worth writing.
    if (!sum.slices.empty() &&
        covered == cast<RankedTensorType>(value.getType()).getNumElements())
      sum.zeros.replaceAllUsesWith(
          sum.zeros.getDefiningOp<linalg::FillOp>().getOutputs()[0]);
  }
}

Value AdjointBuilder::createEmpty(RankedTensorType type) {
  return tensor::EmptyOp::create(builder, loc, type, ValueRange{});
}

Value AdjointBuilder::createZeros(RankedTensorType type) {
  Value zero = arith::ConstantOp::create(
      builder, loc, builder.getZeroAttr(type.getElementType()));
  return linalg::FillOp::create(builder, loc, zero, createEmpty(type))
      .getResult(0);
}

Value AdjointBuilder::createElementwise(
    RankedTensorType type, ValueRange inputs,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  SmallVector<AffineMap> maps(inputs.size() + 1,
                              builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, TypeRange{type}, inputs,
             ValueRange{createEmpty(type)}, maps, iterators,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, body(b, loc, args));
             })
      .getResult(0);
}

Value AdjointBuilder::reshape(Value value, RankedTensorType type) {
  auto from = cast<RankedTensorType>(value.getType());
  if (from == type)
    return value;
  auto groups = getReassociationIndicesForReshape(from, type);
  assert(groups && "dimensions are neither joined nor taken apart");
  if (from.getRank() > type.getRank())
    return tensor::CollapseShapeOp::create(builder, loc, type, value, *groups);
  return tensor::ExpandShapeOp::create(builder, loc, type, value, *groups);
}
