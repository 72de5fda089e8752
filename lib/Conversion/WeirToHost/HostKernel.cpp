//===- HostKernel.cpp - kernels of the host -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HostKernel.h"

#include "LoopEmission.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
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
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    Value address = getElementAddress(load.getMemRef(), load.getIndices());
    scalars.map(load.getResult(), loadScalar(builder, address, load.getType()));
    return success();
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    storeScalar(builder, scalars.lookup(store.getValue()),
                getElementAddress(store.getMemRef(), store.getIndices()));
    return success();
  }
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    if (loop.getNumResults() != 0)
      return op.emitOpError("carries values, which cannot be compiled here");
    auto copy = scf::ForOp::create(
        builder, scalars.lookup(loop.getLowerBound()),
        scalars.lookup(loop.getUpperBound()), scalars.lookup(loop.getStep()));
    scalars.map(loop.getInductionVar(), copy.getInductionVar());
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(copy.getBody());
    return emitBlock(*loop.getBody());
  }
  if (isa<scf::YieldOp>(op))
    return success();
  bool isScalar =
      op.getNumRegions() == 0 &&
      llvm::all_of(op.getResultTypes(),
                   [](Type type) { return type.isIntOrIndexOrFloat(); }) &&
      llvm::all_of(op.getOperands(),
                   [&](Value operand) { return scalars.contains(operand); });
  if (isScalar &&
      isa<arith::ArithDialect, math::MathDialect>(op.getDialect())) {
    builder.clone(op, scalars);
    return success();
  }
  return op.emitOpError("cannot be compiled for the host");
}

/// A tensor of constants is a global of the kernels module.
LogicalResult HostKernelEmitter::emitConstant(memref::GetGlobalOp op) {
  auto global = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(
      op, op.getNameAttr());
  MemRefType type = op.getType();
  Type element = type.getElementType();
  auto values =
      dyn_cast_or_null<DenseElementsAttr>(global.getConstantInitValue());
  if (!values)
    return op.emitOpError("cannot be compiled for the host: the elements of a "
                          "constant must be in the module");
  buffers[op] = {constants.getTensor(builder, values),
                 SmallVector<int64_t>(type.getShape()),
                 computeStrides(type.getShape()), element};
  return success();
}
