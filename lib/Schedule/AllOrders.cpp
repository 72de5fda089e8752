// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/AllOrders.h"

namespace weir::schedule {

namespace {

/// The orders in which a device can run its passes by itself.
class DeviceOrders {
public:
  DeviceOrders(const Problem &problem, int device, size_t mostOrders)
      : problem(problem), stages(problem.stagesOfDevices()[device]),
        mostOrders(mostOrders) {
    chooseModes(0);
  }

  bool isComplete() const { return orders.size() <= mostOrders; }
  std::vector<std::vector<Pass>> orders;

private:
  /// The passes of one kind and stage: microbatches in order, each after the
  /// same microbatch of the row `after`.
  struct Row {
    PassKind kind;
    int stage;
    int after;
    int done = 0;
  };

  /// Adds the rows of stages[index] and of those behind it, in all ways, and
  /// the orders of the rows that result.
  void chooseModes(size_t index) {
    if (index == stages.size())
      return extend();
    const Stage &stage = problem.stages[stages[index]];
    size_t size = rows.size();
    int forward = add(PassKind::Forward, stages[index], -1);
    int last = forward;
    if (stage.hasBackwardInput)
      last = add(PassKind::BackwardInput, stages[index], last);
    if (stage.hasBackwardWeight)
      add(PassKind::BackwardWeight, stages[index], last);
    chooseModes(index + 1);
    rows.resize(size);
    if (stage.hasBackwardInput && stage.hasBackwardWeight) {
      add(PassKind::Forward, stages[index], -1);
      add(PassKind::Backward, stages[index], forward);
      chooseModes(index + 1);
      rows.resize(size);
    }
  }

  int add(PassKind kind, int stage, int after) {
    rows.push_back({kind, stage, after});
    return static_cast<int>(rows.size()) - 1;
  }

  /// Adds every order that begins with `current`.
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

  const Problem &problem;
  std::vector<int> stages;
  size_t mostOrders;
  std::vector<Row> rows;
  std::vector<Pass> current;
};

} // namespace

std::optional<std::vector<Schedule>> listAllOrders(const Problem &problem,
                                                   size_t mostOrders) {
  std::vector<std::vector<std::vector<Pass>>> ofDevices;
  size_t combinations = 1;
  for (int device = 0; device < problem.numDevices; ++device) {
    DeviceOrders orders(problem, device, mostOrders);
    combinations *= orders.orders.size();
    if (!orders.isComplete() || combinations > mostOrders)
      return std::nullopt;
    ofDevices.push_back(std::move(orders.orders));
  }
  Problem unlimited = problem;
  unlimited.memoryLimits.clear();
  std::vector<Schedule> all;
  for (size_t index = 0; index < combinations; ++index) {
    Schedule schedule{"one of all orders", {}};
    size_t rest = index;
    for (const std::vector<std::vector<Pass>> &orders : ofDevices) {
      schedule.order.push_back(orders[rest % orders.size()]);
      rest /= orders.size();
    }
    if (!verify(unlimited, schedule))
      all.push_back(std::move(schedule));
  }
  return all;
}

} // namespace weir::schedule
