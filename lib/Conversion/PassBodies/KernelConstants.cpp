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
    builder.setInsertionPointToStart(kernels.getBody());
  int64_t size = values.getNumElements();
  Type element = values.getElementType();
  last = LLVM::GlobalOp::create(
      builder, LLVM::LLVMArrayType::get(element, size), /*isConstant=*/true,
      LLVM::Linkage::Internal, name.str(),
      values.reshape(RankedTensorType::get({size}, element)), alignment);
  return last;
}

Value KernelConstants::getProduct(ImplicitLocOpBuilder &builder,
                                  ArrayRef<int64_t> fields) {
  LLVM::GlobalOp &global = productByFields[fields.vec()];
  if (!global) {
    int64_t size = fields.size();
    global =
        create(builder, "weir_product_" + llvm::Twine(products.size()),
               DenseElementsAttr::get(
                   RankedTensorType::get({size}, builder.getI64Type()), fields),
               /*alignment=*/8);
    products.push_back(global);
  }
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
  if (kernels.lookupSymbol(name))
    return;
  auto builder = OpBuilder::atBlockEnd(kernels.getBody());
  SmallVector<Type> arguments(numArguments,
                              LLVM::LLVMPointerType::get(kernels.getContext()));
  LLVM::LLVMFuncOp::create(
      builder, kernels.getLoc(), name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(kernels.getContext()),
                                  arguments));
}

void KernelConstants::finish(StringRef name) {
  MLIRContext *context = kernels.getContext();
  ImplicitLocOpBuilder builder(kernels.getLoc(), context);
  builder.setInsertionPointToStart(kernels.getBody());
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
