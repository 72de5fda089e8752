//===- Passes.h - the passes, level by level --------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_TRANSFORMS_PASSES_H
#define WEIR_DIALECT_TRANSFORMS_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace weir {

#define GEN_PASS_DECL
#include "weir/Dialect/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "weir/Dialect/Transforms/Passes.h.inc"

} // namespace weir

#endif // WEIR_DIALECT_TRANSFORMS_PASSES_H
