//===- DifferentiableOpInterface.h - derivative rules -----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H
#define WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H

#include "weir/Autodiff/AdjointBuilder.h"
#include "weir/Autodiff/ScalarAdjoint.h"

#include "mlir/IR/OpDefinition.h"

#include "weir/Autodiff/DifferentiableOpInterface.h.inc"

namespace weir {

/// Attaches the rules for the ops of the upstream dialects and of our own.
void registerDerivativeRules(mlir::DialectRegistry &registry);

/// The parts of it, one per dialect; arith is with math.
void registerArithRules(mlir::DialectRegistry &registry);
void registerLinalgRules(mlir::DialectRegistry &registry);
void registerTensorRules(mlir::DialectRegistry &registry);
void registerWeirRules(mlir::DialectRegistry &registry);

} // namespace weir

#endif // WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H
