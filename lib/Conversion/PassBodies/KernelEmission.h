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

#include "BufferEmission.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"

#include <map>

namespace weir {

/// The constants of a module, of the host or of a device: descriptors and
/// tensors. Equal ones are one.
class KernelConstants {
public:
  explicit KernelConstants(mlir::Operation *module) : module(module) {}

  /// The address of the product descriptor with these fields, in the order of
  /// weir_product.
  mlir::Value getProduct(mlir::ImplicitLocOpBuilder &builder,
                         llvm::ArrayRef<int64_t> fields);

  /// The address of an array of numbers that is no product, called `name` with
  /// a number at the end.
  mlir::Value getRecord(mlir::ImplicitLocOpBuilder &builder,
                        llvm::StringRef name, llvm::ArrayRef<int64_t> fields);

  /// The address of the elements of `values`, row-major.
  mlir::Value getTensor(mlir::ImplicitLocOpBuilder &builder,
                        mlir::DenseElementsAttr values);

  /// Declares a function without a result that is defined elsewhere and takes
  /// `numArguments` addresses.
  void declareFunction(llvm::StringRef name, int64_t numArguments);

  /// Adds the array `name` of the addresses of all product descriptors.
  void finish(llvm::StringRef name);

private:
  mlir::LLVM::GlobalOp create(mlir::ImplicitLocOpBuilder &builder,
                              const llvm::Twine &name,
                              mlir::DenseElementsAttr values,
                              int64_t alignment);
  mlir::LLVM::GlobalOp &find(mlir::ImplicitLocOpBuilder &builder,
                             llvm::StringRef name,
                             llvm::ArrayRef<int64_t> fields);
  mlir::Block &getBody() { return module->getRegion(0).front(); }

  mlir::Operation *module;
  mlir::LLVM::GlobalOp last; ///< the global that was added last
  llvm::SetVector<mlir::LLVM::GlobalOp> products;
  /// Arrays of numbers by name, without the number, and elements.
  std::map<std::pair<std::string, std::vector<int64_t>>, mlir::LLVM::GlobalOp>
      records;
  llvm::StringMap<int64_t> numRecords;
  llvm::DenseMap<mlir::Attribute, mlir::LLVM::GlobalOp> tensors;
};

/// An empty function of the packed calling convention at the end of `kernels`.
mlir::LLVM::LLVMFuncOp createKernel(mlir::ModuleOp kernels, mlir::Location loc,
                                    llvm::StringRef name);

/// Emits one kernel. A target says how to run loops, copies and products.
class KernelEmitter : public BufferEmitter {
public:
  KernelEmitter(mlir::LLVM::LLVMFuncOp kernel, KernelConstants &constants);

  /// Emits the body of `function`.
  mlir::LogicalResult emit(mlir::func::FuncOp function);

  mlir::Value getContext() { return kernel.getArgument(0); }
  /// The address of the pass's workspace, loaded where the kernel begins.
  mlir::Value getWorkspace();
  /// Memory for `count` elements on the stack, made once per call.
  mlir::Value createStackBuffer(mlir::Type element, int64_t count);

  /// Emits one product, whose descriptor has `fields` in the order of
  /// weir_product, as a part of `op`.
  virtual void emitProduct(mlir::linalg::ContractOp op,
                           llvm::ArrayRef<int64_t> fields, mlir::Value a,
                           mlir::Value b, mlir::Value c) = 0;

protected:
  virtual mlir::LogicalResult emitOp(mlir::Operation &op);
  /// What only the target knows: loops, copies, constants, and scalars at the
  /// top of the body.
  virtual mlir::LogicalResult emitTargetOp(mlir::Operation &op) = 0;

  mlir::LogicalResult emitBlock(mlir::Block &block);

  mlir::LLVM::LLVMFuncOp kernel;
  KernelConstants &constants;

private:
  void emitCall(CallKernelOp op);

  int64_t numBuffers = 0; ///< without the workspace
  mlir::Value workspace;
};

/// A dimension of a product and its strides in A, B and C, in elements.
struct ProductDim {
  int64_t size;
  int64_t a = 0, b = 0, c = 0;
};

/// How a `linalg.contract` on memrefs becomes products: m, n, k and the batch
/// are in their descriptor, which is called for every position of the other
/// loops.
struct ProductPlan {
  ProductDim m, n, k;
  llvm::SmallVector<ProductDim> batch;
  llvm::SmallVector<ProductDim> outer;   ///< loops over results
  llvm::SmallVector<ProductDim> reduced; ///< loops over what is added
};
ProductPlan planProduct(mlir::linalg::ContractOp op);

/// Emits the products that `op` takes.
mlir::LogicalResult emitContract(mlir::linalg::ContractOp op,
                                 KernelEmitter &kernel);

/// Whether the product library can do this op: f32 or f64 throughout.
bool isProduct(mlir::linalg::ContractOp op);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_KERNELEMISSION_H
