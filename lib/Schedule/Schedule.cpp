// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Schedule.h"
#include "PassPositions.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <set>

namespace weir::schedule {

std::string toString(const Pass &pass) {
  std::string result(shortName(pass.kind));
  result += " s" + std::to_string(pass.stage);
  if (pass.kind != PassKind::Update)
    result += " mb " + std::to_string(pass.microbatch);
  return result;
}

void appendUpdates(const Problem &problem, Schedule &schedule) {
  for (std::vector<Pass> &order : schedule.order) {
    std::vector<int> stages; // by their last passes, the latest one first
    std::set<int> seen;
    for (auto pass = order.rbegin(); pass != order.rend(); ++pass)
      if (seen.insert(pass->stage).second && pass->kind != PassKind::Update &&
          problem.stages[pass->stage].update > 0)
        stages.push_back(pass->stage);
    for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage)
      order.push_back({PassKind::Update, *stage, -1});
  }
}

/// Gradients are accumulated in the order of microbatches, whatever the
/// schedule; that is what makes results independent of it.
std::optional<std::string> verifyMicrobatchOrder(const Problem &problem,
                                                 const Schedule &schedule) {
  enum { F, B, W, R };
  // The last pass that counts as F, B, W and R of each stage.
  std::vector<std::array<Pass, 4>> last(problem.numStages());
  std::vector<std::optional<Pass>> updates(problem.numStages());
  for (int device = 0; device < problem.numDevices; ++device) {
    for (const Pass &pass : schedule.order[device]) {
      if (pass.kind == PassKind::Update) {
        updates[pass.stage] = pass;
        continue;
      }
      if (updates[pass.stage])
        return atDevice(pass, device) + " comes after " +
               toString(*updates[pass.stage]);
      auto advance = [&](int role) -> std::optional<std::string> {
        Pass &previous = last[pass.stage][role];
        if (pass.microbatch < previous.microbatch)
          return atDevice(pass, device) + " comes after " + toString(previous) +
                 "; microbatches run in order";
        previous = pass;
        return std::nullopt;
      };
      bool fused = pass.kind == PassKind::Backward;
      std::optional<std::string> error;
      if (pass.kind == PassKind::Forward)
        error = advance(F);
      if (pass.kind == PassKind::Recompute)
        error = advance(R);
      if (!error && (fused || pass.kind == PassKind::BackwardInput))
        error = advance(B);
      if (!error && (fused || pass.kind == PassKind::BackwardWeight))
        error = advance(W);
      if (error)
        return error;
    }
  }
  return std::nullopt;
}

/// Lets every device run as far as it can. What is left is blocked: the first
/// pass left on each device waits for one that comes later on another device
/// (or its own), and following these waits closes a cycle.
std::optional<std::string> verifyProgress(const Problem &problem,
                                          const Schedule &schedule,
                                          const PassPositions &positions) {
  std::vector<int> done(problem.numDevices, 0);
  auto blocker = [&](const Pass &pass) -> std::optional<Pass> {
    for (const Pass &dependence : positions.dependences(pass)) {
      Position position = positions.of(dependence);
      if (position.index >= done[position.device])
        return dependence;
    }
    return std::nullopt;
  };
  // Devices whose first pass left waits for a pass of the device of the row.
  std::vector<std::vector<int>> waiting(problem.numDevices);
  std::vector<int> worklist;
  for (int device = 0; device < problem.numDevices; ++device)
    worklist.push_back(device);
  while (!worklist.empty()) {
    int device = worklist.back();
    worklist.pop_back();
    const std::vector<Pass> &order = schedule.order[device];
    int before = done[device];
    std::optional<Pass> blockedBy;
    while (done[device] < static_cast<int>(order.size()) &&
           !(blockedBy = blocker(order[done[device]])))
      ++done[device];
    if (blockedBy) {
      int other = problem.placement[blockedBy->stage];
      if (other != device)
        waiting[other].push_back(device);
    }
    if (done[device] != before) {
      worklist.insert(worklist.end(), waiting[device].begin(),
                      waiting[device].end());
      waiting[device].clear();
    }
  }

  int device = 0;
  while (device < problem.numDevices &&
         done[device] == static_cast<int>(schedule.order[device].size()))
    ++device;
  if (device == problem.numDevices)
    return std::nullopt;

  auto next = [&](int device) {
    return problem
        .placement[blocker(schedule.order[device][done[device]])->stage];
  };
  // As many steps as there are devices lead into the cycle.
  for (int i = 0; i < problem.numDevices; ++i)
    device = next(device);
  std::string message = "deadlock: ";
  int first = device;
  do {
    const Pass &head = schedule.order[device][done[device]];
    Pass awaited = *blocker(head);
    int other = problem.placement[awaited.stage];
    if (device != first)
      message += "; ";
    const Pass &otherHead = schedule.order[other][done[other]];
    message += atDevice(head, device) + " waits for " + toString(awaited);
    if (awaited != otherHead)
      message += ", which comes after " + atDevice(otherHead, other);
    device = other;
  } while (device != first);
  return message;
}

/// Passes of a device never overlap, so their memory follows from their order
/// alone; only transfer buffers need times.
static std::optional<std::string> verifyMemory(const Problem &problem,
                                               const Schedule &schedule) {
  auto fail = [&](int device, int64_t needed, const std::string &when) {
    return "device " + std::to_string(device) + " needs " +
           std::to_string(needed) + " bytes" + when + ", the limit is " +
           std::to_string(*problem.limit(device));
  };
  for (int device = 0; device < problem.numDevices; ++device) {
    int64_t held = problem.fixed(device);
    int64_t peak = held;
    std::string when;
    for (const Pass &pass : schedule.order[device]) {
      const Stage &stage = problem.stages[pass.stage];
      held += stage.taken(pass.kind);
      if (held + stage.workspace(pass.kind) > peak) {
        peak = held + stage.workspace(pass.kind);
        when = " during " + toString(pass);
      }
      held -= stage.released(pass.kind);
    }
    if (peak > *problem.limit(device))
      return fail(device, peak, when);
  }
  bool hasTransferBuffers = std::any_of(
      problem.stages.begin(), problem.stages.end(), [](const Stage &stage) {
        return stage.forwardTransferBytes || stage.backwardTransferBytes;
      });
  if (!hasTransferBuffers)
    return std::nullopt;
  std::string error;
  std::optional<Simulation> simulation = simulate(problem, schedule, &error);
  if (!simulation)
    return error;
  for (int device = 0; device < problem.numDevices; ++device)
    if (simulation->peakBytes[device] > *problem.limit(device))
      return fail(device, simulation->peakBytes[device],
                  " with its transfer buffers");
  return std::nullopt;
}

std::optional<std::string> verify(const Problem &problem,
                                  const Schedule &schedule) {
  std::optional<std::string> error;
  PassPositions positions(problem, schedule, error);
  if (!error)
    error = verifyMicrobatchOrder(problem, schedule);
  if (!error)
    error = verifyProgress(problem, schedule, positions);
  if (!error && !problem.memoryLimits.empty())
    error = verifyMemory(problem, schedule);
  return error;
}

} // namespace weir::schedule
