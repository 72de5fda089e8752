//===- ExhaustiveSearch.cpp - the least memory of all orders --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExhaustiveSearch.h"

#include "weir/Analysis/ArenaPlan.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/Transforms/WritePrograms.h"
#include "weir/Driver/Compiler.h"

#include <algorithm>

using namespace mlir;
using namespace weir;
using namespace weir::test;

namespace {

/// The orders of one device's passes, by itself.
class DeviceOrders {
public:
  DeviceOrders(const schedule::Problem &problem, int device, unsigned fused,
               size_t most)
      : problem(problem), most(most) {
    for (int stage = 0; stage < problem.numStages(); ++stage)
      if (problem.placement[stage] == device)
        addStage(stage, fused >> stage & 1);
    extend();
  }

  bool isComplete() const { return orders.size() <= most; }
  std::vector<std::vector<schedule::Pass>> orders;

private:
  /// The passes of one kind and stage: microbatches in order, each after the
  /// same microbatch of `after`.
  struct Row {
    schedule::PassKind kind;
    int stage;
    int after;
    int done = 0;
  };

  void addStage(int stage, bool isFused) {
    const schedule::Stage &passes = problem.stages[stage];
    auto add = [&](schedule::PassKind kind, int after) {
      rows.push_back({kind, stage, after});
      return static_cast<int>(rows.size()) - 1;
    };
    int last = add(schedule::PassKind::Forward, -1);
    if (isFused) {
      add(schedule::PassKind::Backward, last);
      return;
    }
    if (passes.hasBackwardInput)
      last = add(schedule::PassKind::BackwardInput, last);
    if (passes.hasBackwardWeight)
      add(schedule::PassKind::BackwardWeight, last);
  }

  void extend() {
    if (!isComplete())
      return;
    bool isWhole = true;
    for (Row &row : rows) {
      if (row.done == problem.numMicrobatches)
        continue;
      isWhole = false;
      if (row.after >= 0 && rows[row.after].done <= row.done)
        continue;
      current.push_back({row.kind, row.stage, row.done});
      ++row.done;
      extend();
      --row.done;
      current.pop_back();
    }
    if (isWhole)
      orders.push_back(current);
  }

  const schedule::Problem &problem;
  size_t most;
  std::vector<Row> rows;
  std::vector<schedule::Pass> current;
};

} // namespace

/// Bytes of the largest arena of the programs of `order`; nothing if the order
/// waits for itself.
static std::optional<int64_t> getArena(PipelineOp pipeline,
                                       const schedule::Problem &problem,
                                       const schedule::Schedule &order) {
  if (schedule::verify(problem, order) ||
      failed(writePrograms(pipeline, problem, order)))
    return std::nullopt;
  int64_t largest = 0;
  for (ProgramOp program : getPrograms(pipeline)) {
    largest = std::max(largest, planArena(program).bytes);
    program.erase();
  }
  return largest;
}

std::optional<int64_t> weir::test::findLeastArena(ModuleOp stages,
                                                  ArrayRef<int> placement,
                                                  int64_t microbatches,
                                                  int64_t mostOrders) {
  PipelineOp pipeline = getOnlyPipeline(stages);
  int numDevices = *llvm::max_element(placement) + 1;
  schedule::Problem problem =
      buildProblem(pipeline, placement, numDevices, microbatches);
  std::optional<int64_t> least;
  int64_t numOrders = 0;
  // By stage, whether its backward passes are fused.
  for (unsigned fused = 0; fused < 1u << problem.numStages(); ++fused) {
    bool isPossible = true;
    for (int stage = 0; stage < problem.numStages(); ++stage)
      isPossible &=
          !(fused >> stage & 1) || (problem.stages[stage].hasBackwardInput &&
                                    problem.stages[stage].hasBackwardWeight);
    if (!isPossible)
      continue;
    std::vector<DeviceOrders> devices;
    int64_t product = 1;
    for (int device = 0; device < numDevices; ++device) {
      devices.emplace_back(problem, device, fused, mostOrders);
      if (!devices.back().isComplete())
        return std::nullopt;
      product *= devices.back().orders.size();
      if (product > mostOrders)
        return std::nullopt;
    }
    numOrders += product;
    if (numOrders > mostOrders)
      return std::nullopt;
    for (int64_t index = 0; index < product; ++index) {
      schedule::Schedule order{"exhaustive", {}};
      int64_t rest = index;
      for (const DeviceOrders &device : devices) {
        order.order.push_back(device.orders[rest % device.orders.size()]);
        rest /= device.orders.size();
      }
      std::optional<int64_t> arena = getArena(pipeline, problem, order);
      if (arena && (!least || *arena < *least))
        least = arena;
    }
  }
  return least;
}
