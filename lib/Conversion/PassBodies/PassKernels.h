//===- PassKernels.h - one kernel for equal passes ------------ -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_PASSKERNELS_H
#define WEIR_LIB_CONVERSION_PASSBODIES_PASSKERNELS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace weir {

/// What kernels are compiled for, in errors and remarks.
struct KernelTarget {
  llvm::StringRef name;     ///< "the host"
  llvm::StringRef category; ///< of remarks: the name of the conversion
};

/// Compiles a body function (see BodyToFunction.h) to the kernel `name` and
/// returns the bytes of its workspace, or emits an error.
using CompileBody = llvm::function_ref<llvm::FailureOr<int64_t>(
    mlir::func::FuncOp function, llvm::StringRef name)>;

/// Gives every pass of every pipeline of `module` a kernel: those whose bodies
/// are the same but for the names of variables share one. Sets the passes'
/// `kernel` and `workspace`. Kernels are called f0, b0, w0, update_64x256.
llvm::LogicalResult compilePasses(mlir::ModuleOp module,
                                  const KernelTarget &target,
                                  CompileBody compile);

/// The steps that all targets share: fuses, bufferizes, and plans the
/// temporaries of a body function. Returns the bytes of these. `adapt` may
/// change what bufferization made, before the plan.
llvm::FailureOr<int64_t> prepareBody(mlir::func::FuncOp function,
                                     llvm::StringRef name,
                                     const KernelTarget &target,
                                     llvm::function_ref<void()> adapt = {});

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_PASSKERNELS_H
