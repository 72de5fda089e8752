// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/HeldMicrobatches.h"

#include <algorithm>

using namespace weir::schedule;

static bool isAtMost(const HeldMicrobatches &a, const HeldMicrobatches &b) {
  return std::equal(a.begin(), a.end(), b.begin(), std::less_equal<>());
}

static void addMoment(std::vector<HeldMicrobatches> &most,
                      const HeldMicrobatches &now) {
  for (const HeldMicrobatches &other : most)
    if (isAtMost(now, other))
      return;
  std::erase_if(most, [&](const HeldMicrobatches &other) {
    return isAtMost(other, now);
  });
  most.push_back(now);
}

/// Whether `kind` is the last pass of `stage` that reads what F kept.
static bool endsMicrobatch(const Stage &stage, PassKind kind) {
  return kind == PassKind::Backward || kind == PassKind::BackwardWeight ||
         (kind == PassKind::BackwardInput && !stage.hasBackwardWeight) ||
         (kind == PassKind::Forward && !stage.hasBackward());
}

std::vector<std::vector<HeldMicrobatches>>
weir::schedule::countHeldMicrobatches(const Problem &problem,
                                      const Schedule &schedule) {
  std::vector<std::vector<HeldMicrobatches>> most(problem.numDevices);
  std::vector<std::vector<int>> stages = problem.stagesOfDevices();
  for (int device = 0; device < problem.numDevices; ++device) {
    HeldMicrobatches now(stages[device].size());
    for (const Pass &pass : schedule.order[device]) {
      auto stage = std::ranges::find(stages[device], pass.stage);
      int &held = now[stage - stages[device].begin()];
      if (pass.kind == PassKind::Forward) {
        ++held;
        addMoment(most[device], now);
      }
      held -= endsMicrobatch(problem.stages[pass.stage], pass.kind);
    }
  }
  return most;
}
