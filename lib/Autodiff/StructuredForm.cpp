//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/StructuredForm.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace weir;

static void keepStopGradient(Operation *from, Operation *to) {
  if (Attribute stop = from->getAttr(attr::stopGradient))
    to->setAttr(attr::stopGradient, stop);
}

/// `arith.addf %a, %b : tensor<4xf32>` as a generic whose body adds scalars.
static void raiseElementwise(IRRewriter &rewriter, Operation *op) {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  rewriter.setInsertionPoint(op);
  Location loc = op->getLoc();
  SmallVector<Value> inits;
  for (Type result : op->getResultTypes())
    inits.push_back(tensor::EmptyOp::create(rewriter, loc, type.getShape(),
                                            getElementTypeOrSelf(result)));
  SmallVector<AffineMap> maps(op->getNumOperands() + op->getNumResults(),
                              rewriter.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      rewriter, loc, op->getResultTypes(), op->getOperands(), inits, maps,
      iterators, [&](OpBuilder &b, Location loc, ValueRange args) {
        SmallVector<Type> types;
        for (Type result : op->getResultTypes())
          types.push_back(getElementTypeOrSelf(result));
        OperationState state(loc, op->getName(),
                             args.take_front(op->getNumOperands()), types,
                             op->getAttrs());
        state.attributes.erase(attr::stopGradient);
        linalg::YieldOp::create(b, loc, b.create(state)->getResults());
      });
  keepStopGradient(op, generic);
  rewriter.replaceOp(op, generic.getResults());
}

static bool isElementwiseOnTensors(Operation *op) {
  auto isTensor = [](Type type) { return isa<RankedTensorType>(type); };
  return OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() > 0 &&
         llvm::all_of(op->getOperandTypes(), isTensor) &&
         llvm::all_of(op->getResultTypes(), isTensor);
}

/// Whether a structured op is a product of two tensors of one element type.
static bool isProduct(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op) || op.getNumDpsInputs() != 2 ||
      op.getNumDpsInits() != 1)
    return false;
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  return isa<FloatType>(element) &&
         llvm::all_of(op->getOperandTypes(), [&](Type type) {
           return getElementTypeOrSelf(type) == element;
         });
}

LogicalResult weir::raiseToStructuredForm(func::FuncOp model) {
  IRRewriter rewriter(model.getContext());
  for (Operation &op : llvm::make_early_inc_range(model.getBody().front())) {
    if (isElementwiseOnTensors(&op)) {
      raiseElementwise(rewriter, &op);
      continue;
    }
    auto structured = dyn_cast<linalg::LinalgOp>(op);
    if (!structured ||
        isa<linalg::GenericOp, linalg::ContractOp, linalg::FillOp>(op))
      continue;
    if (!structured.hasPureTensorSemantics())
      continue;
    rewriter.setInsertionPoint(&op);
    if (isProduct(structured)) {
      auto contract = linalg::ContractOp::create(
          rewriter, op.getLoc(), op.getResultTypes(), structured.getDpsInputs(),
          ValueRange(structured.getDpsInits()), structured.getIndexingMaps());
      keepStopGradient(&op, contract);
      rewriter.replaceOp(&op, contract.getResults());
      continue;
    }
    Attribute stop = op.getAttr(attr::stopGradient);
    FailureOr<linalg::GenericOp> generic =
        linalg::generalizeNamedOp(rewriter, structured);
    if (succeeded(generic) && stop)
      (*generic)->setAttr(attr::stopGradient, stop);
  }
  return success();
}
