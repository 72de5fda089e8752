//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/PipelineProblem.h"
#include "weir/Dialect/Transforms/Passes.h"

namespace weir {
#define GEN_PASS_DEF_WEIREXTRACTPROBLEMS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct ExtractProblems : weir::impl::WeirExtractProblemsBase<ExtractProblems> {
  using WeirExtractProblemsBase::WeirExtractProblemsBase;

  void runOnOperation() override {
    for (auto pipeline : llvm::to_vector(getOperation().getOps<PipelineOp>()))
      if (failed(extract(pipeline)))
        return signalPassFailure();
  }
  LogicalResult extract(PipelineOp pipeline);
};

} // namespace

LogicalResult ExtractProblems::extract(PipelineOp pipeline) {
  std::string name = (pipeline.getSymName() + "_problem").str();
  if (Operation *other = getOperation().lookupSymbol(name)) {
    InFlightDiagnostic diag = pipeline.emitError("cannot name its problem @")
                              << name << ": the name is taken";
    diag.attachNote(other->getLoc()) << "taken here";
    return diag;
  }
  if (microbatches < 1 || microbatches > std::numeric_limits<int>::max())
    return pipeline.emitError("cannot schedule ")
           << int64_t(microbatches) << " microbatches";
  if (memoryLimit < 0)
    return pipeline.emitError("the memory limit must not be negative, got ")
           << int64_t(memoryLimit);
  if (failed(checkHasForwards(pipeline)))
    return failure();
  std::string error;
  std::optional<std::vector<int>> placed =
      readPlacement(placement, pipeline.getStages(), devices, error);
  if (!placed)
    return pipeline.emitError() << error;
  schedule::Problem problem = buildProblem(
      pipeline, *placed, *llvm::max_element(*placed) + 1, microbatches);
  if (memoryLimit)
    problem.limitMemory(memoryLimit);
  if (auto error = problem.check())
    return pipeline.emitError() << *error;
  OpBuilder builder(pipeline);
  ScheduleProblemOp::fromProblem(builder, pipeline.getLoc(), name, problem);
  return success();
}
