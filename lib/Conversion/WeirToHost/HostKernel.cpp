//===- HostKernel.cpp - kernels of the host -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HostKernel.h"

#include "LoopEmission.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace weir;

void HostKernelEmitter::emitProduct(linalg::ContractOp op,
                                    ArrayRef<int64_t> fields, Value a, Value b,
                                    Value c) {
  Value descriptor = constants.getProduct(builder, fields);
  LLVM::CallOp::create(builder, TypeRange(), "weir_host_product",
                       ValueRange{getContext(), descriptor, a, b, c});
}

LogicalResult HostKernelEmitter::emitTargetOp(Operation &op) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return emitGeneric(builder, generic, *this);
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    emitCopy(builder, getBuffer(copy.getSource()), getBuffer(copy.getTarget()));
    return success();
  }
  if (auto constant = dyn_cast<memref::GetGlobalOp>(op))
    return emitConstant(constant);
  if (isa<scf::ForOp>(op))
    return emitLoop(op, [&](Block &body) { return emitBlock(body); });
  if (emitScalarOp(op))
    return success();
  return op.emitOpError("cannot be compiled for the host");
}

/// A tensor of constants is a global of the kernels module.
LogicalResult HostKernelEmitter::emitConstant(memref::GetGlobalOp op) {
  MemRefType type = op.getType();
  Type element = type.getElementType();
  DenseElementsAttr values = getConstantElements(op);
  if (!values)
    return op.emitOpError("cannot be compiled for the host: the elements of a "
                          "constant must be in the module");
  buffers[op] = {constants.getTensor(builder, values),
                 SmallVector<int64_t>(type.getShape()),
                 computeStrides(type.getShape()), element};
  return success();
}
