//===- KernelEmission.h - kernels from bufferized bodies ----------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The step from a bufferized body, linalg on memrefs, to a host function of the
// packed calling convention. All layouts are static, so a memref becomes a
// pointer in the LLVM dialect with its strides known here, and no descriptor is
// left. How loops are run and products called is up to the target.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_KERNELEMISSION_H
#define WEIR_LIB_CONVERSION_PASSBODIES_KERNELEMISSION_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <map>

namespace weir {

/// Where a memref is: `base` points to the element at position 0.
struct Buffer {
  mlir::Value base; ///< !llvm.ptr
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<int64_t> strides; ///< in elements
  mlir::Type element;
};

/// The type that an element has in memory: i1 is a byte, index is 64 bits.
mlir::Type getStorageType(mlir::Type element);

/// Bytes of an element in memory.
int64_t getElementBytes(mlir::Type element);

/// `base` moved by `index` (i64, or null for 0) plus `constant` elements.
mlir::Value movePointer(mlir::ImplicitLocOpBuilder &builder, mlir::Value base,
                        mlir::Type element, mlir::Value index,
                        int64_t constant);

mlir::Value loadScalar(mlir::ImplicitLocOpBuilder &builder, mlir::Value pointer,
                       mlir::Type element);
void storeScalar(mlir::ImplicitLocOpBuilder &builder, mlir::Value value,
                 mlir::Value pointer);

/// The constants of a kernels module: product descriptors and tensors. Equal
/// ones are one.
class KernelConstants {
public:
  explicit KernelConstants(mlir::ModuleOp kernels) : kernels(kernels) {}

  /// The address of the product descriptor with these fields, in the order of
  /// weir_product.
  mlir::Value getProduct(mlir::ImplicitLocOpBuilder &builder,
                         llvm::ArrayRef<int64_t> fields);

  /// The address of the elements of `values`, row-major.
  mlir::Value getTensor(mlir::ImplicitLocOpBuilder &builder,
                        mlir::DenseElementsAttr values);

  /// The address of a constant array called `name` with a number at the end.
  mlir::LLVM::GlobalOp create(mlir::ImplicitLocOpBuilder &builder,
                              const llvm::Twine &name,
                              mlir::DenseElementsAttr values,
                              int64_t alignment);

  /// Declares a function without a result that is defined elsewhere and takes
  /// `numArguments` addresses.
  void declareFunction(llvm::StringRef name, int64_t numArguments);

  /// Adds the array `name` of the addresses of all product descriptors.
  void finish(llvm::StringRef name);

private:
  mlir::ModuleOp kernels;
  mlir::LLVM::GlobalOp last; ///< the global that was added last
  llvm::SmallVector<mlir::LLVM::GlobalOp> products;
  std::map<std::vector<int64_t>, mlir::LLVM::GlobalOp> productByFields;
  llvm::DenseMap<mlir::Attribute, mlir::LLVM::GlobalOp> tensors;
};

/// An empty function of the packed calling convention at the end of `kernels`.
mlir::LLVM::LLVMFuncOp createKernel(mlir::ModuleOp kernels, mlir::Location loc,
                                    llvm::StringRef name);

/// Emits one kernel. A target says how to run loops, copies and products.
class KernelEmitter {
public:
  KernelEmitter(mlir::LLVM::LLVMFuncOp kernel, KernelConstants &constants);
  virtual ~KernelEmitter() = default;

  /// Emits the body of `function`, which has `workspaceBytes` of temporaries.
  mlir::LogicalResult emit(mlir::func::FuncOp function, int64_t workspaceBytes);

  /// The buffer of a memref, which must have been emitted.
  const Buffer &getBuffer(mlir::Value memref) const {
    return buffers.find(memref)->second;
  }
  /// The value in the kernel of a scalar of the body.
  mlir::Value getScalar(mlir::Value scalar) const {
    return scalars.lookup(scalar);
  }
  mlir::Value getContext() { return kernel.getArgument(0); }
  KernelConstants &getConstants() { return constants; }
  /// Memory for `count` elements on the stack, made once per call.
  mlir::Value createStackBuffer(mlir::Type element, int64_t count);
  mlir::ImplicitLocOpBuilder &getBuilder() { return builder; }

  /// Emits one product, whose descriptor has `fields` in the order of
  /// weir_product, as a part of `op`.
  virtual void emitProduct(mlir::linalg::ContractOp op,
                           llvm::ArrayRef<int64_t> fields, mlir::Value a,
                           mlir::Value b, mlir::Value c) = 0;

protected:
  /// What only the target knows: loops, copies, constants, and scalars at the
  /// top of the body.
  virtual mlir::LogicalResult emitTargetOp(mlir::Operation &op) = 0;

  mlir::LogicalResult emitBlock(mlir::Block &block);
  mlir::Value castToI64(mlir::Value index);
  mlir::Value getElementAddress(mlir::Value memref, mlir::ValueRange indices);

  mlir::LLVM::LLVMFuncOp kernel;
  KernelConstants &constants;
  mlir::ImplicitLocOpBuilder builder;
  llvm::DenseMap<mlir::Value, Buffer> buffers;
  mlir::IRMapping scalars;

private:
  mlir::LogicalResult emitOp(mlir::Operation &op);
  void emitCall(CallKernelOp op);
  mlir::LogicalResult emitView(mlir::Operation &op);

  mlir::Value workspace;
};

/// Emits the products that `op` takes.
mlir::LogicalResult emitContract(mlir::linalg::ContractOp op,
                                 KernelEmitter &kernel);

/// Whether the product library can do this op: f32 or f64 throughout.
bool isProduct(mlir::linalg::ContractOp op);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_KERNELEMISSION_H
