//===- KernelEmission.cpp - kernels from bufferized bodies ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmission.h"

#include "WorkspacePlan.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/ADT/TypeSwitch.h"

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
// KernelEmitter
//===----------------------------------------------------------------------===//

LLVM::LLVMFuncOp weir::createKernel(ModuleOp kernels, Location loc,
                                    StringRef name) {
  auto builder = OpBuilder::atBlockEnd(kernels.getBody());
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  Type result = LLVM::LLVMVoidType::get(builder.getContext());
  return LLVM::LLVMFuncOp::create(
      builder, loc, name,
      LLVM::LLVMFunctionType::get(result, {pointer, pointer}));
}

KernelEmitter::KernelEmitter(LLVM::LLVMFuncOp kernel,
                             KernelConstants &constants)
    : kernel(kernel), constants(constants),
      builder(kernel.getLoc(), kernel.getContext()) {}

Value KernelEmitter::castToI64(Value index) {
  if (!index.getType().isIndex())
    return index;
  return arith::IndexCastOp::create(builder, builder.getI64Type(), index);
}

Value KernelEmitter::createStackBuffer(Type element, int64_t count) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&kernel.getBody().front());
  Value size = LLVM::ConstantOp::create(builder, builder.getI64Type(), count);
  return LLVM::AllocaOp::create(
      builder, LLVM::LLVMPointerType::get(builder.getContext()),
      getStorageType(element), size, bufferAlignment);
}

LogicalResult KernelEmitter::emit(func::FuncOp function,
                                  int64_t workspaceBytes) {
  builder.setInsertionPointToStart(kernel.addEntryBlock(builder));
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  Value list = kernel.getArgument(1);
  auto loadBuffer = [&](int64_t index) -> Value {
    Value slot = LLVM::GEPOp::create(
        builder, pointer, pointer, list,
        ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
    return LLVM::LoadOp::create(builder, pointer, slot);
  };
  for (BlockArgument argument : function.getArguments()) {
    auto type = cast<MemRefType>(argument.getType());
    buffers[argument] = {loadBuffer(argument.getArgNumber()),
                         SmallVector<int64_t>(type.getShape()),
                         computeStrides(type.getShape()),
                         type.getElementType()};
  }
  if (workspaceBytes > 0)
    workspace = loadBuffer(function.getNumArguments());
  if (failed(emitBlock(function.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(builder, ValueRange());
  return success();
}

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block) {
    builder.setLoc(op.getLoc());
    if (failed(emitOp(op)))
      return failure();
  }
  return success();
}

LogicalResult KernelEmitter::emitOp(Operation &op) {
  if (auto contract = dyn_cast<linalg::ContractOp>(op))
    return emitContract(contract, *this);
  if (auto call = dyn_cast<CallKernelOp>(op)) {
    emitCall(call);
    return success();
  }
  if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
    auto offset = op.getAttrOfType<IntegerAttr>(workspaceOffsetName);
    if (!offset) // never used
      return success();
    ArrayRef<int64_t> shape = alloc.getType().getShape();
    buffers[alloc] = {movePointer(builder, workspace, builder.getI8Type(),
                                  Value(), offset.getInt()),
                      SmallVector<int64_t>(shape), computeStrides(shape),
                      alloc.getType().getElementType()};
    return success();
  }
  if (isa<memref::ViewOp, memref::SubViewOp, memref::CollapseShapeOp,
          memref::ExpandShapeOp, memref::CastOp>(op))
    return emitView(op);
  if (isa<func::ReturnOp>(op))
    return success();
  return emitTargetOp(op);
}

/// The addresses of the buffers in a list, and one call.
void KernelEmitter::emitCall(CallKernelOp op) {
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  int64_t count = op->getNumOperands();
  Value list = createStackBuffer(pointer, count);
  for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
    Value slot = movePointer(builder, list, pointer, Value(), index);
    LLVM::StoreOp::create(builder, getBuffer(operand).base, slot);
  }
  constants.declareFunction(op.getFunction(), /*numArguments=*/2);
  LLVM::CallOp::create(builder, TypeRange(), op.getFunction(),
                       ValueRange{getContext(), list});
}

/// The address of the element of a memref at the positions `indices`.
Value KernelEmitter::getElementAddress(Value memref, ValueRange indices) {
  const Buffer &buffer = getBuffer(memref);
  Value address = buffer.base;
  for (auto [index, stride] : llvm::zip(indices, buffer.strides)) {
    Value position = castToI64(scalars.lookup(index));
    Value factor = arith::ConstantIntOp::create(builder, stride, 64);
    address = movePointer(builder, address, buffer.element,
                          arith::MulIOp::create(builder, position, factor), 0);
  }
  return address;
}

/// A view is its source moved; shape and strides are those of its type.
LogicalResult KernelEmitter::emitView(Operation &op) {
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
                       castToI64(scalars.lookup(view.getByteShift())), 0);
  } else if (auto subview = dyn_cast<memref::SubViewOp>(op)) {
    int64_t constant = 0;
    for (auto [position, stride] :
         llvm::zip(subview.getMixedOffsets(), source.strides)) {
      if (std::optional<int64_t> known = getConstantIntValue(position)) {
        constant += *known * stride;
        continue;
      }
      Value index = castToI64(scalars.lookup(cast<Value>(position)));
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
