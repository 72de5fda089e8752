//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The scheduling library says what is wrong with an order in one line that
// names the passes at fault: "F s3 mb 7". Here the line finds their ops.
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Simulation.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Regex.h"

namespace weir {
#define GEN_PASS_DEF_WEIRCHECKSCHEDULES
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct CheckSchedules : weir::impl::WeirCheckSchedulesBase<CheckSchedules> {
  using WeirCheckSchedulesBase::WeirCheckSchedulesBase;

  void runOnOperation() override {
    bool isGood = true;
    for (auto solution : getOperation().getOps<ScheduleSolutionOp>())
      isGood &= succeeded(check(solution));
    if (!isGood)
      signalPassFailure();
  }
  LogicalResult check(ScheduleSolutionOp solution);
};

} // namespace

/// The ops of the passes that `message` names, in its order, each once. A pass
/// that is there twice gives both.
static llvm::SetVector<Operation *> findNamedOps(ScheduleSolutionOp solution,
                                                 StringRef message) {
  llvm::StringMap<SmallVector<Operation *, 1>> ops;
  for (auto order : solution.getBody().getOps<ScheduleOrderOp>())
    for (auto pass : order.getBody().getOps<SchedulePassOp>())
      ops[schedule::toString(pass.getPass())].push_back(pass);
  static llvm::Regex name("(F|BW|B|W|R) s[0-9]+ mb [0-9]+|U s[0-9]+");
  llvm::SetVector<Operation *> found;
  SmallVector<StringRef> matches;
  while (name.match(message, &matches)) {
    auto it = ops.find(matches.front());
    if (it != ops.end())
      found.insert_range(it->second);
    message = message.substr(matches.front().end() - message.begin());
  }
  return found;
}

static LogicalResult refuse(ScheduleProblemOp problem,
                            ScheduleSolutionOp solution, StringRef message) {
  llvm::SetVector<Operation *> ops = findNamedOps(solution, message);
  Operation *first = solution;
  if (!ops.empty())
    first = ops.front();
  InFlightDiagnostic diag = first->emitError() << message;
  for (Operation *other : ops)
    if (other != first)
      diag.attachNote(other->getLoc()) << "named here";
  diag.attachNote(problem.getLoc()) << "the problem is here";
  return diag;
}

LogicalResult CheckSchedules::check(ScheduleSolutionOp solution) {
  auto op = SymbolTable::lookupNearestSymbolFrom<ScheduleProblemOp>(
      solution, solution.getProblemAttr());
  schedule::Problem problem = op.getProblem();
  schedule::Schedule order = solution.getOrder(problem.numDevices);
  if (auto error = schedule::verify(problem, order))
    return refuse(op, solution, *error);
  std::string error;
  std::optional<schedule::Simulation> times =
      schedule::simulate(problem, order, &error);
  if (!times)
    return refuse(op, solution, error);
  solution.setTimes(
      *times,
      schedule::lowerBound(problem, schedule::Objective::Makespan).seconds);
  return success();
}
