//===- ModelOps.cpp - ops of models and joint graphs ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/Builders.h"

#include <cmath>

using namespace mlir;
using namespace weir;

LogicalResult VariableOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!isa<FloatType>(type.getElementType()))
    return emitOpError("must hold floating-point numbers, got ") << type;
  double value = getInit().getValue().getValueAsDouble();
  if (!std::isfinite(value) ||
      (getInit().getKind() == InitKind::Normal && value < 0.0))
    return emitOpError("cannot start as ") << getInit();
  return success();
}

LogicalResult VariableOp::verifyUse(Operation *user, FlatSymbolRefAttr symbol,
                                    Type type, SymbolTableCollection &tables) {
  auto variable = tables.lookupNearestSymbolFrom<VariableOp>(user, symbol);
  if (!variable)
    return user->emitOpError("names no variable: ") << symbol;
  if (variable.getType() == type)
    return success();
  InFlightDiagnostic diag = user->emitOpError("has type ")
                            << type << " but variable " << symbol << " has "
                            << variable.getType();
  diag.attachNote(variable.getLoc()) << "variable declared here";
  return diag;
}

LogicalResult ReadOp::verifySymbolUses(SymbolTableCollection &tables) {
  return VariableOp::verifyUse(*this, getVariableAttr(), getType(), tables);
}

LogicalResult AccumulateOp::verifySymbolUses(SymbolTableCollection &tables) {
  return VariableOp::verifyUse(*this, getVariableAttr(),
                               getGradient().getType(), tables);
}

LogicalResult ScatterAddOp::verify() {
  auto updates = cast<RankedTensorType>(getUpdates().getType());
  auto init = cast<RankedTensorType>(getInit().getType());
  auto indices = cast<RankedTensorType>(getIndices().getType());
  if (init.getRank() != 2)
    return emitOpError("needs a table of rank 2, got ") << init;
  if (!indices.getElementType().isIntOrIndex())
    return emitOpError("needs integer indices, got ") << indices;
  if (updates.getElementType() != init.getElementType())
    return emitOpError("adds elements of type ")
           << updates.getElementType() << " to a table of "
           << init.getElementType();
  SmallVector<int64_t> expected(indices.getShape());
  expected.push_back(init.getDimSize(1));
  if (updates.getShape() != ArrayRef<int64_t>(expected))
    return emitOpError("needs updates of the shape of the indices and then a "
                       "row of the table, got ")
           << updates << " for indices " << indices << " and table " << init;
  return success();
}
