//===- DeviceKernel.h - kernels of a device ---------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOCUDA_DEVICEKERNEL_H
#define WEIR_LIB_CONVERSION_WEIRTOCUDA_DEVICEKERNEL_H

#include "../PassBodies/KernelEmission.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace weir {

/// Threads of every block.
inline constexpr int64_t blockThreads = 256;

/// The kernels of `gpu.module @weir_device`.
class DeviceModule {
public:
  DeviceModule(mlir::ModuleOp kernels, llvm::StringRef arch);

  /// An empty kernel called `kind` and a number, without parameters.
  mlir::gpu::GPUFuncOp create(llvm::StringRef kind, mlir::Location loc);
  /// The number of `kernel`. If an equal kernel was finished before, that
  /// one's, and `kernel` is gone.
  int64_t finish(mlir::gpu::GPUFuncOp kernel);
  /// Names of the kernels by number.
  llvm::ArrayRef<mlir::Attribute> getNames() const { return names; }
  KernelConstants &getConstants() { return constants; }

private:
  mlir::gpu::GPUModuleOp module;
  KernelConstants constants;
  llvm::SmallVector<mlir::Attribute> names;
  struct Finished {
    mlir::gpu::GPUFuncOp kernel;
    int64_t number;
  };
  llvm::DenseMap<llvm::hash_code, llvm::SmallVector<Finished>> finished;
};

/// A kernel and what to call it with.
struct Launch {
  int64_t kernel;
  int64_t gridX, gridY;
  llvm::SmallVector<mlir::Value> arguments; ///< addresses, of the host function
  /// Bytes that it leaves to the next launch, or finds from the last one.
  int64_t partialBytes = 0;
};

/// Emits one kernel, at `getBuilder()`. A buffer of the host function that the
/// kernel uses becomes a parameter, a scalar is computed again.
class DeviceKernel : public BufferEmitter {
public:
  DeviceKernel(DeviceModule &module, KernelEmitter &host, mlir::Location loc,
               llvm::StringRef kind);

  const Buffer &getBuffer(mlir::Value memref) override;
  mlir::Value getScalar(mlir::Value scalar) override;
  /// The parameter for an address of the host function.
  mlir::Value getParameter(mlir::Value address);

  /// Ids as numbers of type `type`.
  mlir::Value getThread(mlir::Type type);
  mlir::Value getBlock(mlir::gpu::Dimension dimension, mlir::Type type);
  void emitBarrier();
  /// Memory of the block for `count` elements.
  mlir::Value createShared(mlir::Type element, int64_t count);

  /// Emits one op of a body for all threads of a single block, which share its
  /// work; they meet after it.
  mlir::LogicalResult emitInOneBlock(mlir::Operation &op);
  /// Emits the loop of a `weir.scatter_add` for `gridX` x `gridY` blocks.
  /// Column c of the rows r with r mod `gridY` = y belongs to one thread of the
  /// blocks (x, y), which adds to it in the order of the loop. `gridY` is a
  /// power of two.
  mlir::LogicalResult emitScatter(mlir::scf::ForOp loop, int64_t gridX,
                                  int64_t gridY);

  /// Ends the kernel. Fails with an error if it has too many parameters.
  llvm::FailureOr<Launch> finish(int64_t gridX, int64_t gridY = 1);

private:
  mlir::LogicalResult emitScatterOp(mlir::Operation &op, int64_t gridX,
                                    int64_t gridY);

  DeviceModule &module;
  KernelEmitter &host;
  mlir::gpu::GPUFuncOp function;
  mlir::Operation *mark; ///< what holds for the whole kernel is before it
  llvm::DenseMap<mlir::Value, mlir::Value> parameters;
  llvm::SmallVector<mlir::Value> arguments;
};

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOCUDA_DEVICEKERNEL_H
