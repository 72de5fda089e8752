//===- CudaKernel.h - passes that launch kernels ----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOCUDA_CUDAKERNEL_H
#define WEIR_LIB_CONVERSION_WEIRTOCUDA_CUDAKERNEL_H

#include "DeviceKernel.h"

namespace weir {

/// The biases that products add on the way out, by their `linalg.contract`.
using Biases = llvm::DenseMap<mlir::Operation *, mlir::Value>;

/// Changes a bufferized body so that CudaKernelEmitter can emit it: scalars
/// that are overwritten before they are used, and constants that something else
/// than a kernel reads, get temporaries; products whose operands cuBLASLt
/// cannot take become loops. With `fuseBiases`, a product that nothing reads
/// but an op that adds a row of a parameter to it does so itself.
Biases adaptToCuda(mlir::func::FuncOp function, bool fuseBiases);

/// Emits the host function of a pass, which launches kernels.
class CudaKernelEmitter : public KernelEmitter {
public:
  /// `temporaryBytes` of the workspace are taken; products may use
  /// `productBytes` more.
  CudaKernelEmitter(mlir::LLVM::LLVMFuncOp kernel, KernelConstants &constants,
                    DeviceModule &device, const Biases &biases,
                    int64_t temporaryBytes, int64_t productBytes)
      : KernelEmitter(kernel, constants), device(device), biases(biases),
        temporaryBytes(temporaryBytes), productBytes(productBytes) {}

  void emitProduct(mlir::linalg::ContractOp op, llvm::ArrayRef<int64_t> fields,
                   mlir::Value a, mlir::Value b, mlir::Value c) override;

  /// Bytes of the workspace, once all is emitted.
  int64_t getWorkspaceBytes() const;

protected:
  mlir::LogicalResult emitOp(mlir::Operation &op) override;
  mlir::LogicalResult emitTargetOp(mlir::Operation &op) override;

private:
  mlir::LogicalResult emitGeneric(mlir::linalg::GenericOp op);
  mlir::LogicalResult emitScatter(mlir::scf::ForOp loop);
  mlir::LogicalResult emitInOneBlock(mlir::Operation &op);
  /// `bytes` are what it reads and writes, beside what it leaves to another.
  void emitLaunch(const Launch &launch, int64_t bytes);
  mlir::Value getScratch(int64_t bytes);

  DeviceModule &device;
  const Biases &biases;
  int64_t temporaryBytes, productBytes;
  int64_t scratchBytes = 0;
  mlir::Value scratch;   ///< aligned, after the temporaries
  mlir::Value arguments; ///< of launches, on the stack
};

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOCUDA_CUDAKERNEL_H
