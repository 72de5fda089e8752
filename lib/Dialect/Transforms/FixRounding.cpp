//===- FixRounding.cpp - define the bits of every value -------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/Transforms/Passes.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace weir {
#define GEN_PASS_DEF_WEIRFIXROUNDING
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct FixRounding : public weir::impl::WeirFixRoundingBase<FixRounding> {
  using WeirFixRoundingBase::WeirFixRoundingBase;

  void runOnOperation() override;

private:
  LogicalResult generalize(Operation *root);
  LogicalResult expandMath(Operation *root);
  void fixReduction(linalg::GenericOp op);
};

/// Gives the generic op that replaces another op its attributes: the number of
/// the op, its stage and so on.
struct AttributeKeeper : public RewriterBase::Listener {
  DictionaryAttr attributes;
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    if (isa<linalg::GenericOp>(op))
      op->setDiscardableAttrs(attributes);
  }
};

} // namespace

/// Only scalars are expanded, and folding would move their constants out of the
/// bodies.
static GreedyRewriteConfig getConfig() {
  GreedyRewriteConfig config;
  config.enableFolding(false);
  config.enableConstantCSE(false);
  config.setStrictness(GreedyRewriteStrictness::ExistingAndNewOps);
  return config;
}

/// Makes every elementwise op on tensors, and every structured op but products
/// and fills, a `linalg.generic`.
LogicalResult FixRounding::generalize(Operation *root) {
  SmallVector<Operation *> elementwise;
  SmallVector<linalg::LinalgOp> named;
  root->walk([&](Operation *op) {
    if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
      if (!isa<linalg::GenericOp, linalg::ContractOp, linalg::FillOp>(op))
        named.push_back(structured);
    } else if (OpTrait::hasElementwiseMappableTraits(op) &&
               llvm::any_of(op->getResultTypes(),
                            llvm::IsaPred<RankedTensorType>)) {
      elementwise.push_back(op);
    }
  });
  RewritePatternSet set(&getContext());
  linalg::populateElementwiseToLinalgConversionPatterns(set);
  FrozenRewritePatternSet patterns(std::move(set));
  for (Operation *op : elementwise) {
    AttributeKeeper keeper;
    keeper.attributes = op->getDiscardableAttrDictionary();
    GreedyRewriteConfig config = getConfig();
    config.setStrictness(GreedyRewriteStrictness::ExistingOps);
    config.setListener(&keeper);
    (void)applyOpPatternsGreedily(op, patterns, config);
  }
  IRRewriter rewriter(&getContext());
  for (linalg::LinalgOp op : named) {
    DictionaryAttr attributes = op->getDiscardableAttrDictionary();
    rewriter.setInsertionPoint(op);
    FailureOr<linalg::GenericOp> generic =
        linalg::generalizeNamedOp(rewriter, op);
    if (failed(generic))
      return op->emitOpError("cannot be written as a linalg.generic");
    (*generic)->setDiscardableAttrs(attributes);
  }
  return success();
}

/// Expands the scalar functions that have polynomials.
LogicalResult FixRounding::expandMath(Operation *root) {
  static const StringRef expanded[] = {
      math::ExpOp::getOperationName(),  math::ExpM1Op::getOperationName(),
      math::LogOp::getOperationName(),  math::Log1pOp::getOperationName(),
      math::Log2Op::getOperationName(), math::TanhOp::getOperationName(),
      math::ErfOp::getOperationName(),
  };
  SmallVector<Operation *> functions;
  root->walk([&](linalg::GenericOp generic) {
    generic.getBody()->walk([&](Operation *op) {
      if (llvm::is_contained(expanded, op->getName().getStringRef()) &&
          op->getResult(0).getType().isF32())
        functions.push_back(op);
    });
  });
  RewritePatternSet patterns(&getContext());
  populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
    return llvm::is_contained(expanded, name);
  });
  // Fails if a function has no polynomial, which leaves it as it is.
  (void)applyOpPatternsGreedily(functions, std::move(patterns), getConfig());
  return success();
}

/// Gives a reduction its lanes, unless it has them.
void FixRounding::fixReduction(linalg::GenericOp op) {
  if (op.getNumReductionLoops() == 0 || op->hasAttr(attr::lanes))
    return;
  // The input that says how the data lies: the first of the highest rank.
  AffineMap layout;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!layout || map.getNumResults() > layout.getNumResults())
      layout = map;
  }
  bool reducesRows = true;
  if (layout && layout.getNumResults() > 0)
    if (auto last = dyn_cast<AffineDimExpr>(layout.getResults().back()))
      reducesRows = op.getIteratorTypesArray()[last.getPosition()] ==
                    utils::IteratorType::reduction;
  int64_t count =
      reducesRows ? int64_t(lanes) : std::max<int64_t>(lanes / 4, 1);
  op->setAttr(attr::lanes,
              IntegerAttr::get(IntegerType::get(&getContext(), 64), count));
}

void FixRounding::runOnOperation() {
  if (!isNumberOfLanes(lanes)) {
    getOperation().emitError("the number of lanes must be a power of two up to ")
        << largestLanes << ", got " << int64_t(lanes);
    return signalPassFailure();
  }
  for (Operation &op : *getOperation().getBody()) {
    // A model is still to be differentiated, function by function, and the
    // derivative of a kernel is still to be copied for that.
    if (op.hasAttr(attr::model) || op.getNumRegions() == 0 || isa<KernelOp>(op))
      continue;
    if (failed(generalize(&op)) || failed(expandMath(&op)))
      return signalPassFailure();
    op.walk([&](linalg::GenericOp generic) { fixReduction(generic); });
    op.walk([&](arith::ArithFastMathInterface inner) {
      inner->setAttr(inner.getFastMathAttrName(),
                     arith::FastMathFlagsAttr::get(&getContext(),
                                                   arith::FastMathFlags::none));
    });
  }
}
