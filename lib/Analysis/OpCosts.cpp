//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/OpCosts.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace weir;

/// About the length of the polynomial that a math function becomes.
static constexpr int64_t mathFunctionFlops = 12;

/// The kernel that `op` calls, if it is a call of one.
static KernelOp getKernel(Operation *op) {
  auto custom = dyn_cast<CustomOp>(op);
  return custom ? custom.lookupKernel() : KernelOp();
}

std::optional<double> weir::getGivenSeconds(Operation *op) {
  KernelOp kernel = getKernel(op);
  if (!kernel || !kernel.getSeconds())
    return std::nullopt;
  return kernel.getSeconds()->convertToDouble();
}

bool weir::isProduct(Operation *op) { return isa<linalg::ContractOp>(op); }

int64_t weir::getFlops(Operation *op) {
  if (auto scatter = dyn_cast<ScatterAddOp>(op))
    return cast<RankedTensorType>(scatter.getUpdates().getType())
        .getNumElements();
  if (KernelOp kernel = getKernel(op))
    return kernel.getFlops().value_or(0);
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured)
    return 0;
  int64_t iterations = 1;
  for (int64_t size : structured.getStaticLoopRanges())
    iterations *= size;
  if (isProduct(op))
    return 2 * iterations;
  int64_t flops = 0;
  op->getRegion(0).walk([&](Operation *inner) {
    if (isa_and_nonnull<math::MathDialect>(inner->getDialect()))
      flops += mathFunctionFlops;
    else if (inner->getNumOperands() > 0 &&
             !inner->hasTrait<OpTrait::IsTerminator>())
      flops += 1;
  });
  return iterations * flops;
}

static int64_t sumTensorBytes(TypeRange types) {
  int64_t bytes = 0;
  for (Type type : types)
    if (auto tensor = dyn_cast<RankedTensorType>(type))
      bytes += getTensorBytes(tensor);
  return bytes;
}

int64_t weir::getTrafficBytes(Operation *op) {
  if (KernelOp kernel = getKernel(op); kernel && kernel.getBytes())
    return *kernel.getBytes();
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return sumTensorBytes(TypeRange(structured.getDpsInputs())) +
           sumTensorBytes(op->getResultTypes());
  return sumTensorBytes(op->getOperandTypes()) +
         sumTensorBytes(op->getResultTypes());
}
