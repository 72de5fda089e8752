//===- ElementwiseFusion.cpp - fewer loops over the same data -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is worth fusing, for an elementwise producer P that a consumer C reads:
//
//   - C is the only reader: fused, unless C would compute P's elements many
//   times
//     over (a vector that is broadcast along outer dims) and that is not cheap.
//     A value per row costs nothing: loops compute it once per row.
//   - there are other readers, all of which could fuse P, and P is cheap:
//   computed
//     again in each, and never stored.
//   - there are other readers, all after C, and C visits the elements of P once
//     each: one loop computes both, and stores P's result for the others.
//
// None of this changes a bit: bodies are joined, not simplified, and the order
// of reductions is an attribute of the op.
//
//===----------------------------------------------------------------------===//

#include "ElementwiseFusion.h"

#include "BufferizeBody.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace weir;

/// A producer with at most this many ops is cheaper to compute than to load.
static constexpr int64_t maxCheapOps = 3;
/// Loops with more operands run out of registers for addresses.
static constexpr int64_t maxOperands = 14;
/// Bodies with more ops run out of registers for values.
static constexpr int64_t maxBodyOps = 160;

namespace {

enum class Fusion {
  None,
  Move,      ///< the producer is gone afterwards
  Recompute, ///< the producer stays for its other readers
  Keep,      ///< the fused op gives the producer's result too
};

class ElementwiseFuser {
public:
  explicit ElementwiseFuser(func::FuncOp function)
      : function(function), rewriter(function.getContext()) {}

  void run();

private:
  Fusion choose(OpOperand &operand);
  linalg::GenericOp fuseInto(linalg::GenericOp consumer);
  linalg::GenericOp fuse(OpOperand &operand, Fusion kind);
  linalg::GenericOp simplifyInputs(linalg::GenericOp op);

  func::FuncOp function;
  IRRewriter rewriter;
};

} // namespace

static int64_t countOps(linalg::GenericOp op) {
  int64_t count = 0;
  for (Operation &inner : op.getBody()->without_terminator())
    count += !isa<arith::ConstantOp, linalg::IndexOp>(inner);
  return count;
}

static int64_t getVolume(linalg::GenericOp op) {
  int64_t volume = 1;
  for (int64_t size : op.getStaticLoopRanges())
    volume *= size;
  return volume;
}

/// Inputs that are as large as the op's iteration space: what it streams.
static int64_t countFullInputs(linalg::GenericOp op) {
  return llvm::count_if(op.getDpsInputOperands(), [&](OpOperand *input) {
    auto type = dyn_cast<RankedTensorType>(input->get().getType());
    return type && type.getNumElements() == getVolume(op);
  });
}

/// Whether vectors of the op hold neighbouring results of a reduction.
static bool reducesColumns(linalg::GenericOp op) {
  return op.getNumReductionLoops() > 0 &&
         op.getIteratorTypesArray().back() == utils::IteratorType::parallel;
}

/// Whether the consumer computes the operand's producer at no more points than
/// the producer itself, or once per row.
static bool isComputedOnce(OpOperand &operand) {
  auto consumer = cast<linalg::GenericOp>(operand.getOwner());
  auto producer = operand.get().getDefiningOp<linalg::GenericOp>();
  if (getVolume(consumer) == getVolume(producer))
    return true;
  AffineMap map = consumer.getMatchingIndexingMap(&operand);
  return !map.isFunctionOfDim(consumer.getNumLoops() - 1);
}

static bool isCheap(linalg::GenericOp producer) {
  return countOps(producer) <= maxCheapOps && countFullInputs(producer) <= 1 &&
         llvm::none_of(*producer.getBody(), [](Operation &op) {
           return isa<arith::DivFOp, tensor::ExtractOp>(op) ||
                  op.getDialect()->getNamespace() == "math";
         });
}

Fusion ElementwiseFuser::choose(OpOperand &operand) {
  auto consumer = cast<linalg::GenericOp>(operand.getOwner());
  auto producer = operand.get().getDefiningOp<linalg::GenericOp>();
  if (!producer || !consumer.isDpsInput(&operand) ||
      !linalg::areElementwiseOpsFusable(&operand))
    return Fusion::None;
  if (countOps(producer) + countOps(consumer) > maxBodyOps ||
      producer->getNumOperands() + consumer->getNumOperands() > maxOperands + 4)
    return Fusion::None;
  // A consumer that reads the producer in two ways would have to be fused with
  // it twice.
  if (llvm::count_if(consumer->getOperands(), [&](Value value) {
        return value.getDefiningOp() == producer;
      }) > 1)
    return Fusion::None;
  bool isOnlyReader = llvm::all_of(
      producer->getUsers(), [&](Operation *user) { return user == consumer; });
  bool once = isComputedOnce(operand);
  if (isOnlyReader)
    return once || isCheap(producer) ? Fusion::Move : Fusion::None;
  if (producer->getNumResults() == 1 && isCheap(producer) &&
      llvm::all_of(operand.get().getUses(), [&](OpOperand &use) {
        auto reader = dyn_cast<linalg::GenericOp>(use.getOwner());
        return reader && reader.isDpsInput(&use) &&
               linalg::areElementwiseOpsFusable(&use) && isComputedOnce(use);
      }))
    return Fusion::Recompute;
  if (getVolume(consumer) != getVolume(producer) || reducesColumns(consumer))
    return Fusion::None;
  return llvm::all_of(producer->getUsers(),
                      [&](Operation *user) {
                        Operation *top =
                            consumer->getBlock()->findAncestorOpInBlock(*user);
                        return top == consumer ||
                               consumer->isBeforeInBlock(top);
                      })
             ? Fusion::Keep
             : Fusion::None;
}

/// Fuses the operand's producer into its reader.
linalg::GenericOp ElementwiseFuser::fuse(OpOperand &operand, Fusion kind) {
  auto consumer = cast<linalg::GenericOp>(operand.getOwner());
  auto producer = operand.get().getDefiningOp<linalg::GenericOp>();
  rewriter.setInsertionPoint(consumer);
  if (kind == Fusion::Recompute) {
    // A copy with one reader leaves no result behind.
    unsigned result = cast<OpResult>(operand.get()).getResultNumber();
    producer = cast<linalg::GenericOp>(rewriter.clone(*producer));
    operand.set(producer.getResult(result));
  }
  DictionaryAttr attributes = consumer->getDiscardableAttrDictionary();
  FailureOr<linalg::ElementwiseOpFusionResult> fused =
      linalg::fuseElementwiseOps(rewriter, &operand);
  if (failed(fused))
    return {};
  for (auto [value, replacement] : fused->replacements)
    if (kind == Fusion::Keep || value.getDefiningOp() != producer)
      rewriter.replaceAllUsesExcept(value, replacement, fused->fusedOp);
  rewriter.eraseOp(consumer);
  if (producer->use_empty())
    rewriter.eraseOp(producer);
  fused->fusedOp->setDiscardableAttrs(attributes);
  // Indices of the producer are now an affine map of the consumer's.
  SmallVector<affine::AffineApplyOp> indices;
  fused->fusedOp->walk(
      [&](affine::AffineApplyOp index) { indices.push_back(index); });
  for (affine::AffineApplyOp index : indices) {
    rewriter.setInsertionPoint(index);
    std::optional<SmallVector<Value, 8>> values = affine::expandAffineMap(
        rewriter, index.getLoc(), index.getAffineMap(), index.getMapOperands());
    rewriter.replaceOp(index, *values);
  }
  return simplifyInputs(cast<linalg::GenericOp>(fused->fusedOp));
}

/// Whether the operands that are not dropped say how far every loop goes.
static bool coversLoops(linalg::GenericOp op, const llvm::BitVector &dropped) {
  llvm::SmallBitVector covered(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands())
    if (!dropped.test(operand.getOperandNumber()))
      for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
        if (auto dim = dyn_cast<AffineDimExpr>(expr))
          covered.set(dim.getPosition());
  return covered.all();
}

/// Drops inputs that are there twice, and moves constants into the body.
linalg::GenericOp ElementwiseFuser::simplifyInputs(linalg::GenericOp op) {
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  llvm::BitVector dropped(op.getBody()->getNumArguments());
  rewriter.setInsertionPointToStart(op.getBody());
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    BlockArgument argument = op.getMatchingBlockArgument(input);
    unsigned number = input->getOperandNumber();
    for (unsigned other = 0; other < number; ++other) {
      OpOperand &earlier = op->getOpOperand(other);
      if (dropped.test(other) || earlier.get() != input->get() ||
          op.getMatchingIndexingMap(&earlier) != map)
        continue;
      argument.replaceAllUsesWith(op.getMatchingBlockArgument(&earlier));
      dropped.set(number);
      break;
    }
    if (dropped.test(number))
      continue;
    if (TypedAttr constant = getFillConstant(input->get())) {
      dropped.set(number);
      if (coversLoops(op, dropped)) {
        Value value =
            arith::ConstantOp::create(rewriter, op.getLoc(), constant);
        argument.replaceAllUsesWith(value);
        continue;
      }
      dropped.reset(number);
    }
    inputs.push_back(input->get());
    maps.push_back(map);
  }
  if (dropped.none())
    return op;
  for (OpOperand &init : op.getDpsInitsMutable())
    maps.push_back(op.getMatchingIndexingMap(&init));
  rewriter.setInsertionPoint(op);
  auto simple = linalg::GenericOp::create(
      rewriter, op.getLoc(), op.getResultTypes(), inputs, op.getDpsInits(),
      maps, op.getIteratorTypesArray());
  simple.getRegion().takeBody(op.getRegion());
  simple.getBody()->eraseArguments(dropped);
  simple->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  rewriter.replaceOp(op, simple);
  return simple;
}

/// Fuses one producer into `consumer`; null if there is none to fuse.
linalg::GenericOp ElementwiseFuser::fuseInto(linalg::GenericOp consumer) {
  for (OpOperand *input : consumer.getDpsInputOperands()) {
    Fusion kind = choose(*input);
    if (kind == Fusion::None)
      continue;
    if (linalg::GenericOp fused = fuse(*input, kind))
      return fused;
  }
  return {};
}

void ElementwiseFuser::run() {
  Block &body = function.getBody().front();
  for (Operation *op = &body.front(); op;) {
    Operation *next = op->getNextNode();
    if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      generic = simplifyInputs(generic);
      while (linalg::GenericOp fused = fuseInto(generic))
        generic = fused;
    }
    op = next;
  }
}

void weir::fuseElementwise(func::FuncOp function) {
  ElementwiseFuser(function).run();
}
