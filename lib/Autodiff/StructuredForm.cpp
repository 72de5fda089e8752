//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/StructuredForm.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
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

/// Whether a structured op is a product of two tensors of one element type
/// that can be written as a contract, in which every loop has a factor.
static bool isProduct(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op) || op.getNumDpsInputs() != 2 ||
      op.getNumDpsInits() != 1)
    return false;
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  if (!isa<FloatType>(element) ||
      llvm::any_of(op->getOperandTypes(), [&](Type type) {
        return getElementTypeOrSelf(type) != element;
      }))
    return false;
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop) {
    bool lhs = maps[0].isFunctionOfDim(loop);
    bool rhs = maps[1].isFunctionOfDim(loop);
    bool result = maps[2].isFunctionOfDim(loop);
    if (!(lhs && rhs) && !(result && (lhs || rhs)))
      return false;
  }
  return llvm::all_of(
      maps, [](AffineMap map) { return map.isProjectedPermutation(); });
}

/// Named products become contracts, all other named ops generics.
static void raiseNamed(IRRewriter &rewriter, linalg::LinalgOp op) {
  rewriter.setInsertionPoint(op);
  if (isProduct(op)) {
    auto contract = linalg::ContractOp::create(
        rewriter, op.getLoc(), op->getResultTypes(), op.getDpsInputs(),
        ValueRange(op.getDpsInits()), op.getIndexingMaps());
    setMarks(contract, getMarks(op));
    rewriter.replaceOp(op, contract->getResults());
    return;
  }
  SmallVector<NamedAttribute> found = getMarks(op);
  FailureOr<linalg::GenericOp> generic =
      linalg::generalizeNamedOp(rewriter, op);
  if (succeeded(generic))
    setMarks(*generic, found);
}

/// The ops of a kind between `before`, or the start of the block if it is null,
/// and `op`.
template <typename OpT>
static SmallVector<OpT> getOpsBetween(Operation *before, Operation *op) {
  auto first =
      before ? std::next(before->getIterator()) : op->getBlock()->begin();
  SmallVector<OpT> ops;
  for (Operation &part : llvm::make_range(first, op->getIterator()))
    if (auto found = dyn_cast<OpT>(part))
      ops.push_back(found);
  return ops;
}

/// Gives the marks of `op` to the generics that replace it: a stage begins at
/// the first, and gradients are stopped at all.
static void markParts(Operation *before, Operation *op) {
  SmallVector<NamedAttribute> found = getMarks(op);
  for (linalg::GenericOp generic :
       getOpsBetween<linalg::GenericOp>(before, op)) {
    setMarks(generic, found);
    llvm::erase_if(found, [](NamedAttribute mark) {
      return mark.getName() == attr::stageBegin;
    });
  }
}

/// `linalg.softmax` as the generics that it stands for. The maximum that it
/// subtracts cancels, so no gradient flows through it.
static void raiseSoftmax(IRRewriter &rewriter, linalg::SoftmaxOp op) {
  Operation *before = op->getPrevNode();
  rewriter.setInsertionPoint(op);
  FailureOr<SmallVector<Value>> results = op.decomposeOperation(rewriter);
  if (failed(results))
    return;
  for (linalg::GenericOp generic : getOpsBetween<linalg::GenericOp>(before, op))
    if (llvm::any_of(*generic.getBody(), [](Operation &inner) {
          return isa<arith::MaxNumFOp, arith::MaximumFOp>(inner);
        }))
      generic->setAttr(attr::stopGradient, rewriter.getUnitAttr());
  markParts(before, op);
  rewriter.replaceOp(op, *results);
}

/// `tensor.pad` as a fill and an insertion.
static void raisePad(IRRewriter &rewriter, tensor::PadOp op) {
  SmallVector<NamedAttribute> found = getMarks(op);
  rewriter.setInsertionPoint(op);
  FailureOr<Operation *> insert =
      linalg::rewriteInDestinationPassingStyle(rewriter, op);
  if (succeeded(insert))
    setMarks(*insert, found);
}

/// A fill with an element of a tensor as a generic that broadcasts it, so that
/// the element can have a gradient.
static void raiseFill(IRRewriter &rewriter, linalg::FillOp op) {
  auto extract = op.value().getDefiningOp<tensor::ExtractOp>();
  if (!extract)
    return;
  auto type = cast<RankedTensorType>(op.getResult(0).getType());
  SmallVector<AffineExpr> position;
  for (Value index : extract.getIndices()) {
    std::optional<int64_t> constant = getConstantIntValue(index);
    if (!constant)
      return;
    position.push_back(rewriter.getAffineConstantExpr(*constant));
  }
  rewriter.setInsertionPoint(op);
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      rewriter, op.getLoc(), TypeRange{type}, extract.getTensor(),
      ValueRange(op.getOutputs()),
      ArrayRef<AffineMap>{
          AffineMap::get(type.getRank(), 0, position, op.getContext()),
          rewriter.getMultiDimIdentityMap(type.getRank())},
      iterators, [](OpBuilder &b, Location loc, ValueRange args) {
        linalg::YieldOp::create(b, loc, args[0]);
      });
  setMarks(generic, getMarks(op));
  rewriter.replaceOp(op, generic.getResults());
}

/// A sine and cosine as two ops; a power with an integer exponent as one with
/// the same number; clamping as a maximum and a minimum.
static void simplifyScalars(IRRewriter &rewriter, func::FuncOp model) {
  model.walk([&](Operation *op) {
    Location loc = op->getLoc();
    rewriter.setInsertionPoint(op);
    if (auto sincos = dyn_cast<math::SincosOp>(op)) {
      rewriter.replaceOp(
          op, {math::SinOp::create(rewriter, loc, sincos.getOperand()),
               math::CosOp::create(rewriter, loc, sincos.getOperand())});
    } else if (auto power = dyn_cast<math::FPowIOp>(op)) {
      Value exponent = rewriter.createOrFold<arith::SIToFPOp>(
          loc, power.getLhs().getType(), power.getRhs());
      rewriter.replaceOpWithNewOp<math::PowFOp>(op, power.getLhs(), exponent);
    } else if (auto clamp = dyn_cast<math::ClampFOp>(op)) {
      Value atLeast = arith::MaximumFOp::create(rewriter, loc, clamp.getValue(),
                                                clamp.getMin());
      rewriter.replaceOpWithNewOp<arith::MinimumFOp>(op, atLeast,
                                                     clamp.getMax());
    }
  });
}

/// A fold that subtracts elements as one that adds their negatives, and one by
/// fused multiplications as one that adds products: sums have a derivative
/// rule, and can be dealt to lanes.
static void simplifyFolds(IRRewriter &rewriter, func::FuncOp model) {
  model.walk([&](linalg::GenericOp op) {
    if (op.getNumReductionLoops() == 0)
      return;
    ValueRange results = op.getBody()->getTerminator()->getOperands();
    for (auto [total, result] :
         llvm::zip_equal(op.getRegionOutputArgs(), results)) {
      Operation *fold = result.getDefiningOp();
      if (!fold)
        continue;
      Location loc = fold->getLoc();
      rewriter.setInsertionPoint(fold);
      Value element;
      if (auto difference = dyn_cast<arith::SubFOp>(fold);
          difference && difference.getLhs() == total)
        element = arith::NegFOp::create(rewriter, loc, difference.getRhs());
      else if (auto fused = dyn_cast<math::FmaOp>(fold);
               fused && fused.getC() == total)
        element =
            arith::MulFOp::create(rewriter, loc, fused.getA(), fused.getB());
      else
        continue;
      rewriter.replaceOpWithNewOp<arith::AddFOp>(fold, total, element);
    }
  });
}

LogicalResult weir::raiseToStructuredForm(func::FuncOp model) {
  IRRewriter rewriter(model.getContext());
  for (Operation &op : llvm::make_early_inc_range(model.getBody().front())) {
    if (isElementwiseOnTensors(&op))
      raiseElementwise(rewriter, &op);
    else if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op))
      raiseSoftmax(rewriter, softmax);
    else if (auto pad = dyn_cast<tensor::PadOp>(op))
      raisePad(rewriter, pad);
  }
  for (auto fill :
       llvm::make_early_inc_range(model.getBody().getOps<linalg::FillOp>()))
    raiseFill(rewriter, fill);
  for (auto op :
       llvm::make_early_inc_range(model.getBody().getOps<linalg::LinalgOp>()))
    if (!isa<linalg::GenericOp, linalg::ContractOp, linalg::FillOp>(op) &&
        op.hasPureTensorSemantics())
      raiseNamed(rewriter, op);
  simplifyScalars(rewriter, model);
  simplifyFolds(rewriter, model);
  return success();
}
