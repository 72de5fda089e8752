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
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace weir;

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
    : BufferEmitter(kernel.getLoc()), kernel(kernel), constants(constants) {}

Value KernelEmitter::createStackBuffer(Type element, int64_t count) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&kernel.getBody().front());
  Value size = LLVM::ConstantOp::create(builder, builder.getI64Type(), count);
  return LLVM::AllocaOp::create(
      builder, LLVM::LLVMPointerType::get(builder.getContext()),
      getStorageType(element), size, bufferAlignment);
}

/// The address that is number `index` of a kernel's list.
static Value loadBuffer(ImplicitLocOpBuilder &builder, Value list,
                        int64_t index) {
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  Value slot =
      LLVM::GEPOp::create(builder, pointer, pointer, list,
                          ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
  return LLVM::LoadOp::create(builder, pointer, slot);
}

Value KernelEmitter::getWorkspace() {
  if (!workspace) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&kernel.getBody().front());
    workspace = loadBuffer(builder, kernel.getArgument(1), numBuffers);
  }
  return workspace;
}

LogicalResult KernelEmitter::emit(func::FuncOp function) {
  builder.setInsertionPointToStart(kernel.addEntryBlock(builder));
  numBuffers = function.getNumArguments();
  for (BlockArgument argument : function.getArguments()) {
    auto type = cast<MemRefType>(argument.getType());
    buffers[argument] = {
        loadBuffer(builder, kernel.getArgument(1), argument.getArgNumber()),
        SmallVector<int64_t>(type.getShape()), computeStrides(type.getShape()),
        type.getElementType()};
  }
  if (failed(emitBlock(function.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(builder, ValueRange());
  return success();
}

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block.without_terminator()) {
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
    buffers[alloc] = {movePointer(builder, getWorkspace(), builder.getI8Type(),
                                  Value(), offset.getInt()),
                      SmallVector<int64_t>(shape), computeStrides(shape),
                      alloc.getType().getElementType()};
    return success();
  }
  if (isView(op))
    return emitView(op);
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
