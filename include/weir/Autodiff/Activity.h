//===- Activity.h - which values have a gradient ----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_ACTIVITY_H
#define WEIR_AUTODIFF_ACTIVITY_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

namespace weir {

/// Whether `type` is a float or a tensor of floats.
bool isFloatLike(mlir::Type type);

/// Whether `weir.stop_gradient` keeps gradients from flowing through an op to
/// this operand.
bool stopsGradient(mlir::OpOperand &operand);

/// The values of a model's body that matter to differentiation.
class Activity {
public:
  /// Analyses the ops of `body` in order; `loss` is a value of it.
  Activity(mlir::Block &body, mlir::Value loss);

  /// Whether the value depends on a variable and the loss depends on it, both
  /// by floats: only such values have an adjoint.
  bool isActive(mlir::Value value) const { return active.contains(value); }

  /// Whether the value depends on an argument of the function.
  bool dependsOnData(mlir::Value value) const { return data.contains(value); }

private:
  llvm::DenseSet<mlir::Value> active, data;
};

/// What the regions of `op` use of the values outside it.
llvm::SetVector<mlir::Value> getCapturedValues(mlir::Operation *op);

} // namespace weir

#endif // WEIR_AUTODIFF_ACTIVITY_H
