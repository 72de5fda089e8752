//===- HostKernel.h - kernels of the host --------------------- -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOHOST_HOSTKERNEL_H
#define WEIR_LIB_CONVERSION_WEIRTOHOST_HOSTKERNEL_H

#include "../PassBodies/KernelEmission.h"

namespace weir {

/// Emits a kernel whose loops run where it is called.
class HostKernelEmitter : public KernelEmitter {
public:
  using KernelEmitter::KernelEmitter;

  void emitProduct(mlir::linalg::ContractOp op, llvm::ArrayRef<int64_t> fields,
                   mlir::Value a, mlir::Value b, mlir::Value c) override;

protected:
  mlir::LogicalResult emitTargetOp(mlir::Operation &op) override;

private:
  mlir::LogicalResult emitConstant(mlir::memref::GetGlobalOp op);
};

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOHOST_HOSTKERNEL_H
