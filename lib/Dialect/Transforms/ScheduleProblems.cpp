//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleRequest.h"

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Schedule/Simulation.h"

namespace weir {
#define GEN_PASS_DEF_WEIRSCHEDULEPROBLEMS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct ScheduleProblems
    : weir::impl::WeirScheduleProblemsBase<ScheduleProblems> {
  using WeirScheduleProblemsBase::WeirScheduleProblemsBase;

  void runOnOperation() override {
    ScheduleRequest request{schedule, objective, timeBudget, seed};
    if (auto error = request.check()) {
      getOperation().emitError() << *error;
      return signalPassFailure();
    }
    bool isGood = true;
    for (auto problem :
         llvm::to_vector(getOperation().getOps<ScheduleProblemOp>()))
      isGood &= succeeded(solve(problem, request));
    if (!isGood)
      signalPassFailure();
  }
  LogicalResult solve(ScheduleProblemOp op, const ScheduleRequest &request);
};

} // namespace

LogicalResult ScheduleProblems::solve(ScheduleProblemOp op,
                                      const ScheduleRequest &request) {
  schedule::Problem problem = op.getProblem();
  std::string error;
  std::optional<schedule::Schedule> order = request.make(problem, error);
  if (!order)
    return op.emitError() << error;
  if (auto fault = schedule::verify(problem, *order))
    return op.emitError("schedule ") << order->name << ": " << *fault;
  std::optional<schedule::Simulation> times =
      schedule::simulate(problem, *order, &error);
  if (!times)
    return op.emitError("schedule ") << order->name << ": " << error;
  for (auto old : llvm::to_vector(getOperation().getOps<ScheduleSolutionOp>()))
    if (old.getProblem() == op.getSymName() && old.getSchedule() == order->name)
      old.erase();
  OpBuilder builder(op->getContext());
  builder.setInsertionPointAfter(op);
  ScheduleSolutionOp::fromSchedule(builder, op.getLoc(), op.getSymName(),
                                   *order)
      .setTimes(
          *times,
          schedule::lowerBound(problem, schedule::Objective::Makespan).seconds);
  return success();
}
