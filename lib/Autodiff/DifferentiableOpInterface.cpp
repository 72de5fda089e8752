//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/DifferentiableOpInterface.h"

#include "weir/Autodiff/DifferentiableOpInterface.cpp.inc"

void weir::registerDerivativeRules(mlir::DialectRegistry &registry) {
  registerArithRules(registry);
  registerLinalgRules(registry);
  registerTensorRules(registry);
  registerWeirRules(registry);
}
