//===- BufferEmission.cpp - buffers as addresses --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BufferEmission.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace weir;

Type weir::getStorageType(Type element) {
  if (element.isIndex())
    return IntegerType::get(element.getContext(), 64);
  if (element.isInteger(1))
    return IntegerType::get(element.getContext(), 8);
  return element;
}

int64_t weir::getElementBytes(Type element) {
  return getStorageType(element).getIntOrFloatBitWidth() / 8;
}

Value weir::movePointer(ImplicitLocOpBuilder &builder, Value base, Type element,
                        Value index, int64_t constant) {
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  Type storage = getStorageType(element);
  if (index)
    base = LLVM::GEPOp::create(builder, pointer, storage, base,
                               ArrayRef<LLVM::GEPArg>{index});
  if (constant == 0)
    return base;
  if (llvm::isInt<31>(constant))
    return LLVM::GEPOp::create(
        builder, pointer, storage, base,
        ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(constant)});
  Value shift = arith::ConstantIntOp::create(builder, constant, 64);
  return LLVM::GEPOp::create(builder, pointer, storage, base,
                             ArrayRef<LLVM::GEPArg>{shift});
}

Value weir::loadScalar(ImplicitLocOpBuilder &builder, Value pointer,
                       Type element) {
  Value value = LLVM::LoadOp::create(builder, getStorageType(element), pointer);
  if (element.isIndex())
    return arith::IndexCastOp::create(builder, element, value);
  if (element.isInteger(1))
    return arith::TruncIOp::create(builder, element, value);
  return value;
}

void weir::storeScalar(ImplicitLocOpBuilder &builder, Value value,
                       Value pointer) {
  Type storage = getStorageType(value.getType());
  if (value.getType().isIndex())
    value = arith::IndexCastOp::create(builder, storage, value);
  else if (value.getType().isInteger(1))
    value = arith::ExtUIOp::create(builder, storage, value);
  LLVM::StoreOp::create(builder, value, pointer);
}

//===----------------------------------------------------------------------===//
// BufferEmitter
//===----------------------------------------------------------------------===//

const Buffer &BufferEmitter::getBuffer(Value memref) {
  return buffers.find(memref)->second;
}

Value BufferEmitter::getScalar(Value scalar) {
  return scalars.lookupOrNull(scalar);
}

Value BufferEmitter::castToI64(Value index) {
  if (!index.getType().isIndex())
    return index;
  return arith::IndexCastOp::create(builder, builder.getI64Type(), index);
}

/// The address of the element of a memref at the positions `indices`.
Value BufferEmitter::getElementAddress(Value memref, ValueRange indices) {
  const Buffer &buffer = getBuffer(memref);
  Value address = buffer.base;
  for (auto [index, stride] : llvm::zip(indices, buffer.strides)) {
    Value position = castToI64(getScalar(index));
    Value factor = arith::ConstantIntOp::create(builder, stride, 64);
    address = movePointer(builder, address, buffer.element,
                          arith::MulIOp::create(builder, position, factor), 0);
  }
  return address;
}

LogicalResult BufferEmitter::emitView(Operation &op) {
  auto type = cast<MemRefType>(op.getResult(0).getType());
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)) ||
      llvm::is_contained(strides, ShapedType::kDynamic) ||
      !type.hasStaticShape())
    return op.emitOpError("has a layout that is not static");
  const Buffer source = getBuffer(op.getOperand(0));
  Value base = source.base;
  if (auto view = dyn_cast<memref::ViewOp>(op)) {
    base = movePointer(builder, base, builder.getI8Type(),
                       castToI64(getScalar(view.getByteShift())), 0);
  } else if (auto subview = dyn_cast<memref::SubViewOp>(op)) {
    int64_t constant = 0;
    for (auto [position, stride] :
         llvm::zip(subview.getMixedOffsets(), source.strides)) {
      if (std::optional<int64_t> known = getConstantIntValue(position)) {
        constant += *known * stride;
        continue;
      }
      Value index = castToI64(getScalar(cast<Value>(position)));
      Value factor = arith::ConstantIntOp::create(builder, stride, 64);
      base = movePointer(builder, base, source.element,
                         arith::MulIOp::create(builder, index, factor), 0);
    }
    base = movePointer(builder, base, source.element, Value(), constant);
  }
  buffers[op.getResult(0)] = {base, SmallVector<int64_t>(type.getShape()),
                              strides, type.getElementType()};
  return success();
}

DenseElementsAttr weir::getConstantElements(memref::GetGlobalOp op) {
  auto global = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(
      op, op.getNameAttr());
  return dyn_cast_or_null<DenseElementsAttr>(global.getConstantInitValue());
}

bool weir::isView(Operation &op) {
  return isa<memref::ViewOp, memref::SubViewOp, memref::CollapseShapeOp,
             memref::ExpandShapeOp, memref::CastOp>(op);
}

bool BufferEmitter::emitScalarOp(Operation &op) {
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    Value address = getElementAddress(load.getMemRef(), load.getIndices());
    scalars.map(load.getResult(), loadScalar(builder, address, load.getType()));
    return true;
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    storeScalar(builder, getScalar(store.getValue()),
                getElementAddress(store.getMemRef(), store.getIndices()));
    return true;
  }
  bool isScalar = op.getNumRegions() == 0 &&
                  llvm::all_of(op.getResultTypes(), [](Type type) {
                    return type.isIntOrIndexOrFloat();
                  });
  if (!isScalar ||
      !isa<arith::ArithDialect, math::MathDialect>(op.getDialect()))
    return false;
  for (Value operand : op.getOperands()) {
    Value value = getScalar(operand);
    if (!value)
      return false;
    scalars.map(operand, value);
  }
  builder.clone(op, scalars);
  return true;
}

LogicalResult
BufferEmitter::emitLoop(Operation &op,
                        llvm::function_ref<LogicalResult(Block &)> emitBody) {
  auto loop = cast<scf::ForOp>(op);
  if (loop.getNumResults() != 0)
    return op.emitOpError("carries values, which cannot be compiled here");
  auto copy = scf::ForOp::create(builder, getScalar(loop.getLowerBound()),
                                 getScalar(loop.getUpperBound()),
                                 getScalar(loop.getStep()));
  scalars.map(loop.getInductionVar(), copy.getInductionVar());
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(copy.getBody());
  return emitBody(*loop.getBody());
}
