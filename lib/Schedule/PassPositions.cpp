// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PassPositions.h"

namespace weir::schedule {

std::string atDevice(const Pass &pass, int device) {
  return toString(pass) + " on device " + std::to_string(device);
}

static std::optional<std::string> checkPass(const Problem &problem,
                                            const Pass &pass, int device) {
  bool isUpdate = pass.kind == PassKind::Update;
  if (pass.stage < 0 || pass.stage >= problem.numStages())
    return atDevice(pass, device) + ": there are " +
           std::to_string(problem.numStages()) + " stages";
  if (isUpdate
          ? pass.microbatch != -1
          : pass.microbatch < 0 || pass.microbatch >= problem.numMicrobatches)
    return atDevice(pass, device) +
           (isUpdate
                ? ": an update belongs to no microbatch"
                : ": there are " + std::to_string(problem.numMicrobatches) +
                      " microbatches");
  const Stage &stage = problem.stages[pass.stage];
  bool exists = true;
  if (pass.kind == PassKind::BackwardInput)
    exists = stage.hasBackwardInput;
  else if (pass.kind == PassKind::BackwardWeight)
    exists = stage.hasBackwardWeight;
  else if (pass.kind == PassKind::Backward)
    exists = stage.hasBackward();
  else if (pass.kind == PassKind::Recompute)
    exists = stage.recompute.has_value();
  if (!exists)
    return atDevice(pass, device) + ": the stage has no " +
           std::string(longName(pass.kind)) + " pass";
  if (problem.placement[pass.stage] != device)
    return atDevice(pass, device) + ": stage " + std::to_string(pass.stage) +
           " is placed on device " +
           std::to_string(problem.placement[pass.stage]);
  return std::nullopt;
}

PassPositions::PassPositions(const Problem &problem, const Schedule &schedule,
                             std::optional<std::string> &error)
    : problem(problem),
      positions(static_cast<size_t>(kNumPassKinds) * problem.numStages() *
                (problem.numMicrobatches + 1)) {
  error = insertAll(schedule);
  if (!error)
    error = findMissing();
}

std::optional<std::string> PassPositions::insertAll(const Schedule &schedule) {
  if (schedule.order.size() != static_cast<size_t>(problem.numDevices))
    return "the schedule is for " + std::to_string(schedule.order.size()) +
           " devices, the problem has " + std::to_string(problem.numDevices);
  for (int device = 0; device < problem.numDevices; ++device) {
    int index = 0;
    for (const Pass &pass : schedule.order[device]) {
      if (auto error = checkPass(problem, pass, device))
        return error;
      Position &position = positions[slot(pass)];
      if (position)
        return atDevice(pass, device) + " appears twice, at positions " +
               std::to_string(position.index) + " and " + std::to_string(index);
      position = {device, index++};
    }
  }
  return std::nullopt;
}

std::optional<std::string> PassPositions::findMissing() const {
  for (int s = 0; s < problem.numStages(); ++s) {
    const Stage &stage = problem.stages[s];
    int device = problem.placement[s];
    for (int m = 0; m < problem.numMicrobatches; ++m) {
      Pass f{PassKind::Forward, s, m};
      Pass b{PassKind::BackwardInput, s, m};
      Pass w{PassKind::BackwardWeight, s, m};
      Pass fused{PassKind::Backward, s, m};
      if (!of(f))
        return atDevice(f, device) + " is missing";
      Pass again{PassKind::Recompute, s, m};
      if (stage.recompute && !of(again))
        return atDevice(again, device) + " is missing";
      for (const Pass &part : {b, w}) {
        bool exists = part.kind == PassKind::BackwardInput
                          ? stage.hasBackwardInput
                          : stage.hasBackwardWeight;
        if (of(part) && of(fused))
          return atDevice(part, device) + " repeats a part of " +
                 toString(fused);
        if (exists && !of(part) && !of(fused))
          return atDevice(part, device) + " is missing";
      }
    }
  }
  return std::nullopt;
}

Pass PassPositions::gradientPass(int stage, int microbatch) const {
  return {isFused(stage, microbatch) ? PassKind::Backward
                                     : PassKind::BackwardInput,
          stage, microbatch};
}

Dependences PassPositions::dependences(const Pass &pass) const {
  Dependences result;
  auto [kind, s, m] = pass;
  switch (kind) {
  case PassKind::Forward:
    if (s > 0)
      result.add({PassKind::Forward, s - 1, m});
    return result;
  case PassKind::BackwardWeight:
    if (problem.stages[s].hasBackwardInput) {
      result.add({PassKind::BackwardInput, s, m});
      return result;
    }
    [[fallthrough]];
  case PassKind::BackwardInput:
  case PassKind::Backward:
    // R itself waits for F.
    result.add(
        {problem.stages[s].recompute ? PassKind::Recompute : PassKind::Forward,
         s, m});
    if (s + 1 < problem.numStages())
      result.add(gradientPass(s + 1, m));
    return result;
  case PassKind::Recompute:
    result.add({PassKind::Forward, s, m});
    return result;
  case PassKind::Update:
    return result;
  }
  return result;
}

} // namespace weir::schedule
