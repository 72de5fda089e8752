//===- LoopEmission.h - vector loops of the host -------------- -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOHOST_LOOPEMISSION_H
#define WEIR_LIB_CONVERSION_WEIRTOHOST_LOOPEMISSION_H

#include "../PassBodies/KernelEmission.h"

namespace weir {

/// Emits loops for an elementwise or reducing op; see the contract in
/// `weir-fix-rounding`.
mlir::LogicalResult emitGeneric(mlir::ImplicitLocOpBuilder &builder,
                                mlir::linalg::GenericOp op,
                                KernelEmitter &kernel);

/// Emits the copy of a buffer.
void emitCopy(mlir::ImplicitLocOpBuilder &builder, const Buffer &source,
              const Buffer &target);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOHOST_LOOPEMISSION_H
