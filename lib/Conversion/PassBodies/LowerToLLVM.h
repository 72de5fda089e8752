//===- LowerToLLVM.h - host code to the LLVM dialect ---------- -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_LOWERTOLLVM_H
#define WEIR_LIB_CONVERSION_PASSBODIES_LOWERTOLLVM_H

#include "mlir/IR/BuiltinOps.h"

namespace weir {

/// Lowers loops, arithmetic and vectors in `module` to the LLVM dialect. Nested
/// modules of a GPU stay as they are.
llvm::LogicalResult lowerToLLVM(mlir::ModuleOp module);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_LOWERTOLLVM_H
