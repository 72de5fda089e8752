//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Analysis/OpCosts.h"
#include "weir/Dialect/Transforms/Passes.h"

namespace weir {
#define GEN_PASS_DEF_WEIRESTIMATECOSTS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {
struct EstimateCosts : weir::impl::WeirEstimateCostsBase<EstimateCosts> {
  using WeirEstimateCostsBase::WeirEstimateCostsBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint)
      return signalPassFailure();
    if (gflops <= 0 || scalarGflops <= 0 || gigabytesPerSecond <= 0) {
      joint.emitError(
          "speeds and bandwidth of the cost model must be positive");
      return signalPassFailure();
    }
    for (Operation &op : joint.getBody().front())
      if (!isRepeated(&op) && !isReshape(&op) &&
          !op.hasTrait<OpTrait::IsTerminator>())
        estimate(&op);
  }

  void estimate(Operation *op) {
    int64_t flops = getFlops(op), bytes = getTrafficBytes(op);
    double speed = (isProduct(op) ? gflops : scalarGflops) * 1e9;
    double time =
        std::max(flops / speed, bytes / (gigabytesPerSecond * 1e9)) + overhead;
    time = getGivenSeconds(op).value_or(time);
    Builder builder(op->getContext());
    op->setAttr(attr::flops, builder.getI64IntegerAttr(flops));
    op->setAttr(attr::bytes, builder.getI64IntegerAttr(bytes));
    op->setAttr(attr::seconds, builder.getF64FloatAttr(time));
  }
};
} // namespace
