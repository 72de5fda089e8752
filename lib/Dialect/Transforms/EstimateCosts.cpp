//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace weir {
#define GEN_PASS_DEF_WEIRESTIMATECOSTS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

/// Arithmetic operations that one evaluation of a function of `math` counts for:
/// about the length of its polynomial.
static constexpr int64_t mathFunctionFlops = 12;

/// Arithmetic operations of one iteration of a structured op.
static int64_t getFlopsPerIteration(linalg::LinalgOp op) {
  if (isa<linalg::ContractOp>(op.getOperation()))
    return 2;
  int64_t flops = 0;
  op->getRegion(0).walk([&](Operation *inner) {
    if (isa_and_nonnull<math::MathDialect>(inner->getDialect()))
      flops += mathFunctionFlops;
    else if (inner->getNumOperands() > 0 &&
             !inner->hasTrait<OpTrait::IsTerminator>())
      flops += 1;
  });
  return flops;
}

static int64_t getTensorBytesOf(TypeRange types) {
  int64_t bytes = 0;
  for (Type type : types)
    if (auto tensor = dyn_cast<RankedTensorType>(type))
      bytes += getTensorBytes(tensor);
  return bytes;
}

namespace {
struct EstimateCosts : weir::impl::WeirEstimateCostsBase<EstimateCosts> {
  using WeirEstimateCostsBase::WeirEstimateCostsBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint)
      return signalPassFailure();
    if (gflops <= 0 || scalarGflops <= 0 || gigabytesPerSecond <= 0) {
      joint.emitError("speeds and bandwidth of the cost model must be positive");
      return signalPassFailure();
    }
    for (Operation &op : joint.getBody().front())
      if (!isRepeated(&op) && !isReshape(&op) &&
          !op.hasTrait<OpTrait::IsTerminator>())
        estimate(&op);
  }

  void estimate(Operation *op) {
    int64_t flops = 0;
    // A destination is written, not read, by all but reductions; counting
    // operands and results gives reads and writes.
    int64_t bytes = getTensorBytesOf(op->getOperandTypes()) +
                    getTensorBytesOf(op->getResultTypes());
    double speed = scalarGflops * 1e9;
    if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
      int64_t iterations = 1;
      for (int64_t size : structured.getStaticLoopRanges())
        iterations *= size;
      flops = iterations * getFlopsPerIteration(structured);
      bytes = getTensorBytesOf(TypeRange(structured.getDpsInputs())) +
              getTensorBytesOf(op->getResultTypes());
      if (isa<linalg::ContractOp>(op))
        speed = gflops * 1e9;
    } else if (auto scatter = dyn_cast<ScatterAddOp>(op)) {
      flops = cast<RankedTensorType>(scatter.getUpdates().getType())
                  .getNumElements();
    }
    double time = std::max(flops / speed, bytes / (gigabytesPerSecond * 1e9)) +
                  overhead;
    Builder builder(op->getContext());
    op->setAttr(attr::flops, builder.getI64IntegerAttr(flops));
    op->setAttr(attr::bytes, builder.getI64IntegerAttr(bytes));
    op->setAttr(attr::seconds, builder.getF64FloatAttr(time));
  }
};
} // namespace
