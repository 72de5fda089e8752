//===- LoopKernel.h - kernels for generic ops -------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOCUDA_LOOPKERNEL_H
#define WEIR_LIB_CONVERSION_WEIRTOCUDA_LOOPKERNEL_H

#include "DeviceKernel.h"

namespace weir {

/// Memory that a launch may use until the next one begins: `bytes` of it, by
/// its address on the device.
using GetScratch = llvm::function_ref<mlir::Value(int64_t bytes)>;

/// The kernels that run `op`, one after another; or an error at the op.
llvm::FailureOr<llvm::SmallVector<Launch>>
emitLoopKernels(mlir::linalg::GenericOp op, DeviceModule &module,
                KernelEmitter &host, GetScratch getScratch);

/// Emits `op` for `gridX` blocks: every thread takes every n-th result, where n
/// is the number of threads.
llvm::LogicalResult emitLoopsInBlocks(mlir::linalg::GenericOp op,
                                      DeviceKernel &kernel, int64_t gridX);

/// The generic op that copies as `copy` does, beside it. The caller erases it.
mlir::linalg::GenericOp copyAsGeneric(mlir::memref::CopyOp copy);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOCUDA_LOOPKERNEL_H
