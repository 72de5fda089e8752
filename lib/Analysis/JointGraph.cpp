//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace weir;

func::FuncOp weir::findJointGraph(ModuleOp module) {
  func::FuncOp joint;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr(attr::joint))
      continue;
    if (joint) {
      InFlightDiagnostic diag =
          function.emitError("more than one function marked 'weir.joint'");
      diag.attachNote(joint.getLoc()) << "the other one is here";
      return {};
    }
    joint = function;
  }
  if (joint && !llvm::hasSingleElement(joint.getBody())) {
    joint.emitError("a joint graph needs a body of one block");
    return {};
  }
  if (!joint)
    module.emitError("no joint graph: no function marked 'weir.joint'; run "
                     "weir-differentiate first");
  return joint;
}

bool weir::isReshape(Operation *op) {
  return isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

Value weir::lookThroughReshapes(Value value) {
  while (isReshape(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

bool weir::isRepeated(Operation *op) {
  if (op->hasTrait<OpTrait::ConstantLike>() || isa<ReadOp, tensor::EmptyOp>(op))
    return true;
  if (!isReshape(op) && !isa<linalg::FillOp, tensor::ExtractSliceOp>(op))
    return false;
  return llvm::all_of(op->getOperands(), [](Value operand) {
    Operation *producer = operand.getDefiningOp();
    return !producer || isRepeated(producer);
  });
}

LogicalResult weir::isolateBodies(func::FuncOp graph) {
  for (Operation &op : graph.getBody().front()) {
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(op.getRegions(), captured);
    for (Value value : captured) {
      Operation *constant = value.getDefiningOp();
      if (!constant || !constant->hasTrait<OpTrait::ConstantLike>())
        return op.emitOpError("uses a value from outside in its body that is "
                              "no constant; make it an operand");
      for (Region &region : op.getRegions()) {
        if (region.empty())
          continue;
        OpBuilder builder(&region.front(), region.front().begin());
        replaceAllUsesInRegionWith(
            value, builder.clone(*constant)->getResult(0), region);
      }
    }
  }
  return success();
}

std::optional<int64_t> weir::getInteger(Operation *op, StringRef name) {
  auto value = op->getAttrOfType<IntegerAttr>(name);
  return value ? std::optional<int64_t>(value.getInt()) : std::nullopt;
}

double weir::getDouble(Operation *op, StringRef name) {
  auto value = op->getAttrOfType<FloatAttr>(name);
  return value ? value.getValueAsDouble() : 0.0;
}

bool weir::isForwardOp(Operation *op) {
  return op->hasAttr(attr::op) || isa<ReportOp>(op);
}

DenseSet<Operation *> weir::sliceBackward(ArrayRef<Operation *> roots) {
  SmallVector<Operation *> worklist(roots);
  DenseSet<Operation *> slice(roots.begin(), roots.end());
  while (!worklist.empty())
    for (Value operand : worklist.pop_back_val()->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (producer && !isForwardOp(producer) && !isRepeated(producer) &&
          slice.insert(producer).second)
        worklist.push_back(producer);
    }
  return slice;
}
