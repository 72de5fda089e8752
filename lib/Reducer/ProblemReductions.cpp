//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Fewer stages and devices of scheduling problems and their solutions.
//
//===----------------------------------------------------------------------===//

#include "Reduction.h"

using namespace mlir;
using namespace weir;

static SmallVector<ScheduleSolutionOp> getSolutions(ScheduleProblemOp problem) {
  SmallVector<ScheduleSolutionOp> solutions;
  for (auto solution :
       problem->getParentOfType<ModuleOp>().getOps<ScheduleSolutionOp>())
    if (solution.getProblem() == problem.getSymName())
      solutions.push_back(solution);
  return solutions;
}

/// Erases ops below `root` whose `attribute` has a number that is dropped, and
/// renumbers the rest.
template <typename... OpTs>
static void renumber(Operation *root, StringRef attribute,
                     const Renumbering &numbers) {
  root->walk([&](Operation *op) {
    if (!isa<OpTs...>(op))
      return;
    std::optional<int64_t> number = getNumber(op, attribute);
    if (number && numbers.isDropped(*number))
      op->erase();
    else
      numbers.apply(op, attribute);
  });
}

LogicalResult weir::dropStages(ScheduleProblemOp problem,
                               const Renumbering &stages) {
  if (stages.getNumLeft() == 0)
    return failure();
  renumber<ScheduleStageOp>(problem, "number", stages);
  for (ScheduleSolutionOp solution : getSolutions(problem))
    renumber<SchedulePassOp>(solution, "stage", stages);
  return success();
}

LogicalResult weir::dropDevices(ScheduleProblemOp problem,
                                const Renumbering &devices) {
  if (devices.getNumLeft() == 0)
    return failure();
  size_t numStages =
      llvm::range_size(problem.getBody().getOps<ScheduleStageOp>());
  Renumbering stages(numStages);
  for (auto stage : problem.getBody().getOps<ScheduleStageOp>())
    if (devices.isDropped(stage.getDevice()))
      stages.drop(stage.getNumber(), stage.getNumber() + 1);
  if (failed(dropStages(problem, stages)))
    return failure();
  renumber<ScheduleStageOp>(problem, "device", devices);
  renumber<ScheduleDeviceOp>(problem, "number", devices);
  renumber<ScheduleLinkOp>(problem, "from", devices);
  renumber<ScheduleLinkOp>(problem, "to", devices);
  problem.setDevices(devices.getNumLeft());
  for (ScheduleSolutionOp solution : getSolutions(problem))
    renumber<ScheduleOrderOp>(solution, "device", devices);
  return success();
}
