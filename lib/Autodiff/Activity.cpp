//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/Activity.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace weir;

bool weir::isFloatLike(Type type) {
  return isa<FloatType>(getElementTypeOrSelf(type));
}

bool weir::stopsGradient(OpOperand &operand) {
  Attribute stop = operand.getOwner()->getAttr(attr::stopGradient);
  if (auto numbers = dyn_cast_or_null<DenseI64ArrayAttr>(stop))
    return llvm::is_contained(numbers.asArrayRef(),
                              static_cast<int64_t>(operand.getOperandNumber()));
  return stop != nullptr;
}

SetVector<Value> weir::getCapturedValues(Operation *op) {
  SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  return captured;
}

Activity::Activity(Block &body, Value loss) {
  for (BlockArgument argument : body.getArguments())
    data.insert(argument);

  DenseSet<Value> varied;
  for (Operation &op : body) {
    bool fromVariable = isa<ReadOp>(op);
    bool fromData = false;
    for (OpOperand &operand : op.getOpOperands()) {
      fromVariable |= varied.contains(operand.get()) && !stopsGradient(operand);
      fromData |= data.contains(operand.get());
    }
    for (Value captured : getCapturedValues(&op)) {
      fromVariable |=
          varied.contains(captured) && !op.hasAttr(attr::stopGradient);
      fromData |= data.contains(captured);
    }
    for (Value result : op.getResults()) {
      if (fromVariable && isFloatLike(result.getType()))
        varied.insert(result);
      if (fromData)
        data.insert(result);
    }
  }

  // Of those, keep what the loss depends on.
  if (varied.contains(loss))
    active.insert(loss);
  for (Operation &op : llvm::reverse(body)) {
    if (llvm::none_of(op.getResults(),
                      [&](Value result) { return active.contains(result); }))
      continue;
    for (OpOperand &operand : op.getOpOperands())
      if (varied.contains(operand.get()) && !stopsGradient(operand))
        active.insert(operand.get());
    for (Value captured : getCapturedValues(&op))
      if (varied.contains(captured))
        active.insert(captured);
  }
}
