//===- PassTimes.cpp - how long passes take -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PassTimes.h"
#include "StepPlan.h"

#include <algorithm>
#include <map>
#include <utility>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

double weir::runtime::cuda::median(std::vector<double> numbers) {
  if (numbers.empty())
    return 0;
  std::ranges::sort(numbers);
  size_t middle = numbers.size() / 2;
  return numbers.size() % 2 ? numbers[middle]
                            : (numbers[middle - 1] + numbers[middle]) / 2;
}

PassTimes::PassTimes(const Table &table, int64_t device) {
  StepPlan plan;
  plan.device = device;
  std::span<const weir_action> actions = table.actions(device);
  callsOf.assign(actions.size(), -1);
  std::map<std::pair<int64_t, int64_t>, int64_t> known; /* label, kernel */
  for (size_t i = 0; i < actions.size(); ++i) {
    const weir_action &action = actions[i];
    if (action.kind != WEIR_ACTION_RUN)
      continue;
    auto [entry, isNew] =
        known.try_emplace({action.label, action.kernel}, calls.size());
    callsOf[i] = entry->second;
    if (isNew) {
      PassCalls &pass = calls.emplace_back();
      pass.name = table.string(action.label);
      pass.pass = action.pass;
      pass.stage = action.stage;
      pass.estimate = table.kernels()[action.kernel].seconds;
      pass.bufferBytes = 0;
      PlanOperation run = {PlanKind::Run, 0, static_cast<int64_t>(i)};
      for (const PlanAccess &buffer : plan.accesses(table, run))
        pass.bufferBytes += buffer.end - buffer.begin;
    }
    ++calls[callsOf[i]].callsPerStep;
  }
}

void PassTimes::add(int64_t step, int64_t action, double seconds) {
  if (callsOf[action] < 0)
    return;
  PassCalls &pass = calls[callsOf[action]];
  if (step == 2 &&
      static_cast<int64_t>(pass.seconds.size()) == pass.callsPerStep)
    pass.seconds.clear();
  pass.seconds.push_back(seconds);
}
