//===- KernelTraffic.cpp - bytes that kernels move ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTraffic.h"

#include "../PassBodies/BufferEmission.h"
#include "../PassBodies/BufferizeBody.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace weir;

/// Bytes of at most `most` elements of a buffer.
static int64_t getBytes(Value buffer, int64_t most) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type)
    return 0;
  return std::min(type.getNumElements(), most) *
         getElementBytes(type.getElementType());
}

static KernelTraffic getTraffic(linalg::GenericOp op) {
  int64_t iterations = 1;
  for (int64_t size : op.getStaticLoopRanges())
    iterations *= size;
  KernelTraffic traffic;
  llvm::SmallDenseSet<Value> counted;
  auto read = [&](Value buffer) {
    if (counted.insert(buffer).second)
      traffic.operands += getBytes(buffer, iterations);
  };
  for (OpOperand *input : op.getDpsInputOperands())
    if (op.payloadUsesValueFromOperand(input))
      read(input->get());
  auto initial = op->getAttrOfType<ArrayAttr>(initialValuesName);
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    bool isKnown = initial && !isa<UnitAttr>(initial[index]);
    bool isRead = op.payloadUsesValueFromOperand(&init) && !isKnown;
    traffic.results += (isRead ? 2 : 1) * getBytes(init.get(), iterations);
  }
  // Rows of a table, at positions that another buffer holds.
  op.getBody()->walk([&](memref::LoadOp load) {
    if (!load.getIndices().empty())
      read(load.getMemRef());
  });
  return traffic;
}

KernelTraffic weir::getKernelTraffic(Operation &op) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return getTraffic(generic);
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    int64_t bytes =
        getBytes(copy.getTarget(), std::numeric_limits<int64_t>::max());
    return {bytes, bytes};
  }
  KernelTraffic traffic;
  auto loop = dyn_cast<scf::ForOp>(op);
  if (!loop)
    return traffic;
  std::optional<int64_t> begin = getConstantIntValue(loop.getLowerBound()),
                         end = getConstantIntValue(loop.getUpperBound()),
                         step = getConstantIntValue(loop.getStep());
  if (!begin || !end || !step || *step <= 0 || *end <= *begin)
    return traffic;
  int64_t trips = llvm::divideCeil(*end - *begin, *step);
  for (Operation &inner : loop.getBody()->without_terminator()) {
    KernelTraffic once = getKernelTraffic(inner);
    traffic.operands += trips * once.operands;
    traffic.results += trips * once.results;
  }
  return traffic;
}
