//===- KernelConstants.cpp - constants of a kernels module ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmission.h"

#include "weir/Dialect/IR/WeirDialect.h"

using namespace mlir;
using namespace weir;

LLVM::GlobalOp KernelConstants::create(ImplicitLocOpBuilder &builder,
                                       const llvm::Twine &name,
                                       DenseElementsAttr values,
                                       int64_t alignment) {
  OpBuilder::InsertionGuard guard(builder);
  if (last)
    builder.setInsertionPointAfter(last);
  else
    builder.setInsertionPointToStart(&getBody());
  int64_t size = values.getNumElements();
  Type element = values.getElementType();
  last = LLVM::GlobalOp::create(
      builder, LLVM::LLVMArrayType::get(element, size), /*isConstant=*/true,
      LLVM::Linkage::Internal, name.str(),
      values.reshape(RankedTensorType::get({size}, element)), alignment);
  return last;
}

LLVM::GlobalOp &KernelConstants::find(ImplicitLocOpBuilder &builder,
                                      StringRef name,
                                      ArrayRef<int64_t> fields) {
  LLVM::GlobalOp &global = records[{name.str(), fields.vec()}];
  if (!global) {
    int64_t size = fields.size();
    global =
        create(builder, name + "_" + llvm::Twine(numRecords[name]++),
               DenseElementsAttr::get(
                   RankedTensorType::get({size}, builder.getI64Type()), fields),
               /*alignment=*/8);
  }
  return global;
}

Value KernelConstants::getRecord(ImplicitLocOpBuilder &builder, StringRef name,
                                 ArrayRef<int64_t> fields) {
  return LLVM::AddressOfOp::create(builder, find(builder, name, fields));
}

Value KernelConstants::getProduct(ImplicitLocOpBuilder &builder,
                                  ArrayRef<int64_t> fields) {
  LLVM::GlobalOp global = find(builder, "weir_product", fields);
  products.insert(global);
  return LLVM::AddressOfOp::create(builder, global);
}

/// The elements as they are in memory.
static DenseElementsAttr toStorage(DenseElementsAttr values) {
  Type element = values.getElementType();
  Type storage = getStorageType(element);
  if (storage == element)
    return values;
  return values.mapValues(storage, [&](const APInt &value) {
    return value.zextOrTrunc(storage.getIntOrFloatBitWidth());
  });
}

Value KernelConstants::getTensor(ImplicitLocOpBuilder &builder,
                                 DenseElementsAttr values) {
  size_t number = tensors.size();
  LLVM::GlobalOp &global = tensors[values];
  if (!global)
    global = create(builder, "weir_tensor_" + llvm::Twine(number),
                    toStorage(values), bufferAlignment);
  return LLVM::AddressOfOp::create(builder, global);
}

void KernelConstants::declareFunction(StringRef name, int64_t numArguments) {
  if (SymbolTable::lookupSymbolIn(module, name))
    return;
  auto builder = OpBuilder::atBlockEnd(&getBody());
  SmallVector<Type> arguments(numArguments,
                              LLVM::LLVMPointerType::get(module->getContext()));
  LLVM::LLVMFuncOp::create(
      builder, module->getLoc(), name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(module->getContext()),
                                  arguments));
}

void KernelConstants::finish(StringRef name) {
  MLIRContext *context = module->getContext();
  ImplicitLocOpBuilder builder(module->getLoc(), context);
  builder.setInsertionPointToStart(&getBody());
  if (last)
    builder.setInsertionPointAfter(last);
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto type = LLVM::LLVMArrayType::get(pointer, products.size());
  auto list = LLVM::GlobalOp::create(builder, type, /*isConstant=*/true,
                                     LLVM::Linkage::Internal, name, Attribute(),
                                     /*alignment=*/8);
  Block *block = builder.createBlock(&list.getInitializerRegion());
  builder.setInsertionPointToStart(block);
  Value value = LLVM::UndefOp::create(builder, type);
  for (auto [index, global] : llvm::enumerate(products)) {
    Value address = LLVM::AddressOfOp::create(builder, global);
    value = LLVM::InsertValueOp::create(builder, value, address,
                                        static_cast<int64_t>(index));
  }
  LLVM::ReturnOp::create(builder, value);
}
