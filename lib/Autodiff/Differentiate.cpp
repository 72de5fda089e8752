//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Autodiff/Activity.h"
#include "weir/Autodiff/AdjointBuilder.h"
#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Autodiff/StructuredForm.h"
#include "weir/Dialect/IR/Classes.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace weir {
#define GEN_PASS_DEF_WEIRDIFFERENTIATE
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// What a model must be
//===----------------------------------------------------------------------===//

static func::FuncOp findModel(ModuleOp module) {
  func::FuncOp model;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr(attr::model))
      continue;
    if (model) {
      InFlightDiagnostic diag =
          function.emitError("more than one function marked 'weir.model'");
      diag.attachNote(model.getLoc()) << "the other one is here";
      return {};
    }
    model = function;
  }
  if (!model)
    module.emitError("no model: no function marked 'weir.model'");
  return model;
}

static LogicalResult checkShapes(Operation *op, TypeRange types) {
  for (Type type : types) {
    auto shaped = dyn_cast<ShapedType>(type);
    if (!shaped)
      continue;
    if (!shaped.hasRank() || !shaped.hasStaticShape())
      return op->emitError("a model must have static shapes, got ") << type;
    if (shaped.getNumElements() == 0)
      return op->emitError("a tensor of a model must have elements, got ")
             << type;
  }
  return success();
}

static LogicalResult checkModel(func::FuncOp model) {
  if (model.isExternal())
    return model.emitError("the model has no body");
  if (!model.getBody().hasOneBlock())
    return model.emitError("the model must be straight-line code: one block");
  if (failed(checkShapes(model, model.getArgumentTypes())))
    return failure();

  TypeRange results = model.getResultTypes();
  if (results.size() != 2)
    return model.emitError(
               "the model must return the sum of the losses and the "
               "count of labels, got ")
           << results.size() << " results";
  constexpr StringRef meanings[] = {"loss", "count"};
  for (auto [type, what] : llvm::zip(results, meanings)) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || tensor.getRank() != 0 ||
        !isa<FloatType>(tensor.getElementType()))
      return model.emitError("the ")
             << what
             << " must be a float tensor of rank 0, like tensor<f32>, got "
             << type;
  }

  if (Attribute classes = model->getAttr(attr::classes)) {
    auto number = dyn_cast<IntegerAttr>(classes);
    if (!number || number.getInt() < 1)
      return model.emitError("'weir.classes' must be a number of at least 1, "
                             "got ")
             << classes;
  }

  for (Operation &op : model.getBody().front()) {
    if (failed(checkShapes(&op, op.getResultTypes())))
      return failure();
    if (isa<AccumulateOp, ReportOp>(op))
      return op.emitOpError(
          "belongs behind weir-differentiate, not in a model");
    if (op.getNumRegions() > 0 && !isa<linalg::LinalgOp, tensor::PadOp>(op))
      return op.emitOpError(
          "has a region: a model has no control flow, and only linalg ops and "
          "tensor.pad have bodies");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Preparing the forward
//===----------------------------------------------------------------------===//

static void eraseDeadOps(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

/// Whether `op` reads a variable or gives another shape to, or a slice of, one.
static bool isViewOfVariable(Operation *op) {
  if (!op || isa<ReadOp>(op))
    return op;
  return op->getNumOperands() == 1 && op->getNumResults() == 1 &&
         isRepeated(op) && isViewOfVariable(op->getOperand(0).getDefiningOp());
}

static Value cloneView(OpBuilder &builder, Operation *view) {
  IRMapping mapping;
  for (Value operand : view->getOperands())
    mapping.map(operand, cloneView(builder, operand.getDefiningOp()));
  return builder.clone(*view, mapping)->getResult(0);
}

/// Gives every use of a variable a read of its own right before it, and with it
/// the views between the read and the use, so that each has a gradient of its
/// own.
static void separateUses(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(body)) {
    if (isViewOfVariable(&op))
      continue;
    OpBuilder builder(&op);
    for (OpOperand &operand : op.getOpOperands())
      if (Operation *view = operand.get().getDefiningOp();
          isViewOfVariable(view))
        operand.set(cloneView(builder, view));
  }
  eraseDeadOps(body);
}

static void numberOps(Block &body) {
  Builder builder(body.getParentOp()->getContext());
  int64_t number = 0;
  for (Operation &op : body.without_terminator())
    if (!isRepeated(&op))
      op.setAttr(attr::op, builder.getI64IntegerAttr(number++));
}

//===----------------------------------------------------------------------===//
// The backward
//===----------------------------------------------------------------------===//

static LogicalResult buildAdjointOf(Operation *op, const Activity &activity,
                                    AdjointBuilder &builder) {
  if (llvm::none_of(op->getResults(),
                    [&](Value result) { return builder.getAdjoint(result); }))
    return success();
  bool wanted = false;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!builder.isActive(operand))
      continue;
    wanted = true;
    if (!isa<RankedTensorType>(operand.get().getType()))
      return op->emitOpError("needs the gradient of a scalar operand; give it "
                             "as a tensor of rank 0");
  }
  if (!op->hasAttr(attr::stopGradient))
    for (Value captured : getCapturedValues(op))
      if (activity.isActive(captured))
        return op->emitOpError("uses a value that depends on a variable in its "
                               "body; make it an operand");
  if (!wanted)
    return success();

  auto rule = dyn_cast<DifferentiableOpInterface>(op);
  if (!rule)
    return op->emitOpError(
        "has no derivative rule; give it one in a rule file "
        "(DifferentiableOpInterface), write it as a 'weir.custom' op with a "
        "backward of its own, or mark it 'weir.stop_gradient' if no gradient "
        "shall flow through it");
  builder.startAdjointOf(op);
  return rule.buildAdjoint(builder);
}

static LogicalResult buildBackward(func::FuncOp model) {
  Block &body = model.getBody().front();
  Operation *terminator = body.getTerminator();
  Value loss = terminator->getOperand(0);
  Activity activity(body, loss);
  if (!activity.isActive(loss))
    return terminator->emitError("the loss depends on no variable, so there is "
                                 "nothing to train");

  SmallVector<Operation *> forward;
  for (Operation &op : body.without_terminator())
    forward.push_back(&op);
  OpBuilder end(terminator);
  ReportOp::create(end, terminator->getLoc(), loss, terminator->getOperand(1));
  terminator->erase();

  AdjointBuilder builder(body, activity);
  builder.seed(loss);
  SmallVector<AccumulateOp> accumulates;
  for (Operation *op : llvm::reverse(forward)) {
    if (failed(buildAdjointOf(op, activity, builder)))
      return failure();
    auto read = dyn_cast<ReadOp>(op);
    if (!read || !builder.getAdjoint(read))
      continue;
    builder.startAdjointOf(op);
    accumulates.push_back(AccumulateOp::create(
        builder.getBuilder(), builder.getLoc(), read.getVariableAttr(),
        builder.getBuilder().getI64IntegerAttr(0), builder.getAdjoint(read)));
  }
  builder.finish();

  // Uses count in the order of the forward.
  llvm::StringMap<int64_t> uses;
  for (AccumulateOp accumulate : llvm::reverse(accumulates))
    accumulate.setUse(uses[accumulate.getVariable()]++);
  for (auto variable : model->getParentOfType<ModuleOp>().getOps<VariableOp>())
    if (!uses.contains(variable.getSymName()))
      variable.emitWarning(
          "variable gets no gradient: the loss does not depend "
          "on it");

  Builder attributes(model.getContext());
  for (Operation *op : forward)
    for (Value result : op->getResults())
      if (activity.dependsOnData(result))
        if (Value adjoint = builder.getAdjoint(result))
          if (Operation *producer = adjoint.getDefiningOp();
              producer->hasAttr(attr::adjointOf))
            producer->setAttr(attr::activationGradient,
                              attributes.getUnitAttr());

  end.setInsertionPointToEnd(&body);
  func::ReturnOp::create(end, model.getLoc());
  return success();
}

namespace {
struct Differentiate : weir::impl::WeirDifferentiateBase<Differentiate> {
  using WeirDifferentiateBase::WeirDifferentiateBase;

  void runOnOperation() override {
    func::FuncOp model = findModel(getOperation());
    if (!model || failed(checkModel(model)) ||
        failed(raiseToStructuredForm(model)))
      return signalPassFailure();
    Block &body = model.getBody().front();
    eraseDeadOps(body);
    separateUses(body);
    numberOps(body);
    if (failed(buildBackward(model)))
      return signalPassFailure();
    eraseDeadOps(body);
    if (failed(isolateBodies(model)))
      return signalPassFailure();

    model.setFunctionType(
        FunctionType::get(&getContext(), model.getArgumentTypes(), {}));
    model.removeResAttrsAttr();
    model->removeAttr(attr::model);
    model->setAttr(attr::joint, UnitAttr::get(&getContext()));
  }
};
} // namespace
