//===- BufferEmission.h - buffers as addresses ------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_BUFFEREMISSION_H
#define WEIR_LIB_CONVERSION_PASSBODIES_BUFFEREMISSION_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

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

/// The buffers and scalars of a body in the code that is made of it.
class BufferEmitter {
public:
  explicit BufferEmitter(mlir::Location loc) : builder(loc, loc.getContext()) {}
  virtual ~BufferEmitter() = default;

  /// The buffer of a memref, which must have been emitted.
  virtual const Buffer &getBuffer(mlir::Value memref);
  bool hasBuffer(mlir::Value memref) const { return buffers.contains(memref); }
  /// The value here of a scalar of the body, or null if it has none.
  virtual mlir::Value getScalar(mlir::Value scalar);
  mlir::ImplicitLocOpBuilder &getBuilder() { return builder; }

protected:
  /// A view is its source moved; shape and strides are those of its type.
  mlir::LogicalResult emitView(mlir::Operation &op);
  /// A load or store of one element, or a scalar op of arith or math whose
  /// operands are known. False if `op` is none of these.
  bool emitScalarOp(mlir::Operation &op);
  /// A loop around `emitBody`; fails with an error if it carries values.
  mlir::LogicalResult
  emitLoop(mlir::Operation &op,
           llvm::function_ref<mlir::LogicalResult(mlir::Block &)> emitBody);

  mlir::Value castToI64(mlir::Value index);
  mlir::Value getElementAddress(mlir::Value memref, mlir::ValueRange indices);

  mlir::ImplicitLocOpBuilder builder;
  llvm::DenseMap<mlir::Value, Buffer> buffers;
  mlir::IRMapping scalars;
};

/// The elements of a constant of a bufferized body, or null if they are not in
/// the module.
mlir::DenseElementsAttr getConstantElements(mlir::memref::GetGlobalOp op);

/// Whether `op` is a view of a memref.
bool isView(mlir::Operation &op);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_BUFFEREMISSION_H
