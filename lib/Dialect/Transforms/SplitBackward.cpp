//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Dialect/Transforms/Passes.h"

namespace weir {
#define GEN_PASS_DEF_WEIRSPLITBACKWARD
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {
struct SplitBackward : weir::impl::WeirSplitBackwardBase<SplitBackward> {
  using WeirSplitBackwardBase::WeirSplitBackwardBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint)
      return signalPassFailure();
    Block &body = joint.getBody().front();

    // What someone other than a variable waits for.
    SmallVector<Operation *> roots;
    for (Operation &op : body) {
      std::optional<int64_t> stage = getInteger(&op, attr::stage);
      if (!stage || isForwardOp(&op))
        continue;
      bool awaited = op.hasAttr(attr::activationGradient);
      for (Operation *user : op.getUsers())
        awaited |= getInteger(user, attr::stage).value_or(*stage) != *stage;
      if (awaited)
        roots.push_back(&op);
    }
    DenseSet<Operation *> backwardInput = sliceBackward(roots);

    for (Operation &op : body) {
      if (!getInteger(&op, attr::stage))
        continue;
      PassKind kind = isForwardOp(&op)              ? PassKind::Forward
                      : backwardInput.contains(&op) ? PassKind::BackwardInput
                                                    : PassKind::BackwardWeight;
      op.setAttr(attr::pass, PassKindAttr::get(&getContext(), kind));
    }
  }
};
} // namespace
