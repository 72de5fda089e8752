//===- Passes.h - conversions out of the dialect ----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_CONVERSION_PASSES_H
#define WEIR_CONVERSION_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace weir {

#define GEN_PASS_DECL
#include "weir/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "weir/Conversion/Passes.h.inc"

} // namespace weir

#endif // WEIR_CONVERSION_PASSES_H
