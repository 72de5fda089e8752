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

/// What a user says on an op of the model, whatever form the op has.
static constexpr StringLiteral marks[] = {attr::stopGradient, attr::layer,
                                          attr::stageBegin};

static SmallVector<NamedAttribute> getMarks(Operation *op) {
  SmallVector<NamedAttribute> found;
  for (StringRef name : marks)
    if (Attribute mark = op->getAttr(name))
      found.emplace_back(StringAttr::get(op->getContext(), name), mark);
  return found;
}

static void setMarks(Operation *op, ArrayRef<NamedAttribute> found) {
  for (NamedAttribute mark : found)
    op->setAttr(mark.getName(), mark.getValue());
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
        for (StringRef mark : marks)
          state.attributes.erase(mark);
        linalg::YieldOp::create(b, loc, b.create(state)->getResults());
      });
  setMarks(generic, getMarks(op));
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
      setMarks(contract, getMarks(&op));
      rewriter.replaceOp(&op, contract.getResults());
      continue;
    }
    SmallVector<NamedAttribute> found = getMarks(&op);
    FailureOr<linalg::GenericOp> generic =
        linalg::generalizeNamedOp(rewriter, structured);
    if (succeeded(generic))
      setMarks(*generic, found);
  }
  return success();
}
