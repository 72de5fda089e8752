// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/SmallestLimit.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace weir::schedule {

namespace {

/// The passes of one microbatch on one device: F's upwards, then the backward
/// passes downwards, with R's and W's between them.
class OneMicrobatch {
public:
  OneMicrobatch(const Problem &problem, const std::vector<int> &stagesHere)
      : problem(problem), here(stagesHere) {
    for (int s : here)
      steps.push_back({PassKind::Forward, s, 0});
    for (auto s = here.rbegin(); s != here.rend(); ++s)
      if (problem.stages[*s].hasBackward())
        steps.push_back({PassKind::BackwardInput, *s, 0});
  }

  /// An order that never holds more than `limit` bytes; nullopt if none does.
  std::optional<std::vector<Pass>> order(int64_t limit) {
    if (limit < 0)
      return std::nullopt;
    this->limit = limit;
    // R's early only where they have to be.
    State state;
    state.recomputed.resize(here.size());
    failed.clear();
    triesLeft = kMaxTries;
    return run(state, 0) ? std::optional(result) : std::nullopt;
  }

  /// Enough for any order.
  int64_t upperLimit() const {
    int64_t sum = 0, workspace = 0;
    for (int s : here) {
      const Stage &stage = problem.stages[s];
      for (PassKind kind :
           {PassKind::Forward, PassKind::Recompute, PassKind::Backward})
        sum += stage.taken(kind);
      for (int64_t bytes : stage.workspaceBytes)
        workspace = std::max(workspace, bytes);
    }
    return sum + workspace;
  }

private:
  /// Orders of R's that are tried, and stages of a device with more of which
  /// R's run only when they have to: no real model comes near.
  static constexpr int kMaxTries = 10000;
  static constexpr size_t kMaxStages = 64;

  struct State {
    int64_t held = 0;
    std::vector<Pass> order;
    std::vector<bool> recomputed; // of `here`
    /// W's to come, those of least workspace first.
    std::set<std::pair<int64_t, int>> pending;
  };

  bool fits(const State &state, PassKind kind, int s) const {
    const Stage &stage = problem.stages[s];
    return state.held + stage.taken(kind) + stage.workspace(kind) <= limit;
  }
  void append(State &state, PassKind kind, int s) const {
    const Stage &stage = problem.stages[s];
    state.held += stage.taken(kind) - stage.released(kind);
    state.order.push_back({kind, s, 0});
  }
  void runPending(State &state) const {
    while (!state.pending.empty() && fits(state, PassKind::BackwardWeight,
                                          state.pending.begin()->second)) {
      append(state, PassKind::BackwardWeight, state.pending.begin()->second);
      state.pending.erase(state.pending.begin());
    }
  }

  /// The backward passes of `s`, as few at once as memory asks for.
  bool runBackward(State &state, int s) const {
    const Stage &stage = problem.stages[s];
    PassKind fused = PassKind::Backward;
    if (!stage.hasBackwardInput || !stage.hasBackwardWeight) {
      PassKind only = stage.hasBackwardInput ? PassKind::BackwardInput
                                             : PassKind::BackwardWeight;
      if (!fits(state, only, s))
        only = fused;
      if (!fits(state, only, s))
        return false;
      append(state, only, s);
      return true;
    }
    double split = stage.duration(PassKind::BackwardInput) +
                   stage.duration(PassKind::BackwardWeight);
    bool fusedFits = fits(state, fused, s);
    if (fusedFits && stage.duration(fused) < split) {
      append(state, fused, s);
      return true;
    }
    if (fits(state, PassKind::BackwardInput, s)) {
      int64_t heldAfter = state.held + stage.taken(PassKind::BackwardInput) -
                          stage.released(PassKind::BackwardInput);
      bool weightFits =
          heldAfter + stage.workspace(PassKind::BackwardWeight) <= limit;
      if (weightFits || !fusedFits) {
        append(state, PassKind::BackwardInput, s);
        if (weightFits)
          append(state, PassKind::BackwardWeight, s);
        else
          state.pending.insert({stage.workspace(PassKind::BackwardWeight), s});
        return true;
      }
    }
    if (fusedFits)
      append(state, fused, s);
    return fusedFits;
  }

  /// From step `step` on. Goes on without R's as far as it can, and only then
  /// tries them earlier.
  bool run(State state, size_t step) {
    std::vector<std::pair<State, size_t>> turns;
    for (; step < steps.size(); ++step) {
      runPending(state);
      auto [kind, s, m] = steps[step];
      size_t j = std::lower_bound(here.begin(), here.end(), s) - here.begin();
      if (mayRecompute(state, step))
        turns.push_back({state, step});
      if (kind == PassKind::Forward) {
        if (!fits(state, kind, s))
          break;
        append(state, kind, s);
        continue;
      }
      if (problem.stages[s].recompute && !state.recomputed[j]) {
        if (!fits(state, PassKind::Recompute, s))
          break;
        append(state, PassKind::Recompute, s);
        state.recomputed[j] = true;
      }
      if (!runBackward(state, s))
        break;
    }
    runPending(state);
    if (step == steps.size() && state.pending.empty()) {
      result = std::move(state.order);
      return true;
    }
    for (; !turns.empty(); turns.pop_back()) {
      auto &[before, at] = turns.back();
      if (!failed.insert({at, before.recomputed, before.pending, before.held})
               .second)
        continue;
      for (size_t j = 0; j < stagesBetween(at); ++j) {
        if (!problem.stages[here[j]].recompute || before.recomputed[j] ||
            !problem.stages[here[j]].hasBackward() ||
            !fits(before, PassKind::Recompute, here[j]))
          continue;
        if (--triesLeft < 0)
          return false;
        State next = before;
        append(next, PassKind::Recompute, here[j]);
        next.recomputed[j] = true;
        if (run(std::move(next), at))
          return true;
      }
    }
    return false;
  }

  /// The stages of `here`, from the lowest on, whose F is before `step` and
  /// whose backward pass is not.
  size_t stagesBetween(size_t step) const {
    if (step < here.size())
      return step;
    return std::lower_bound(here.begin(), here.end(), steps[step].stage) -
           here.begin() + 1;
  }
  /// Whether an R may run before `step` that does not have to.
  bool mayRecompute(const State &state, size_t step) const {
    if (here.size() > kMaxStages)
      return false;
    for (size_t j = 0; j < stagesBetween(step); ++j)
      if (problem.stages[here[j]].recompute && !state.recomputed[j])
        return true;
    return false;
  }

  const Problem &problem;
  const std::vector<int> &here;
  std::vector<Pass> steps; // backward ones in any mode
  int64_t limit = 0;
  std::vector<Pass> result;
  std::set<std::tuple<size_t, std::vector<bool>,
                      std::set<std::pair<int64_t, int>>, int64_t>>
      failed;
  int triesLeft = 0;
};

} // namespace

/// What the updates of a device's stages need, which run when nothing else is
/// held.
static int64_t updateBytes(const Problem &problem,
                           const std::vector<int> &stages) {
  int64_t most = 0;
  for (int s : stages)
    if (problem.stages[s].update > 0)
      most = std::max(most, problem.stages[s].workspace(PassKind::Update));
  return most;
}

std::vector<int64_t> smallestLimits(const Problem &problem) {
  std::vector<std::vector<int>> stages = problem.stagesOfDevices();
  std::vector<int64_t> result;
  for (int device = 0; device < problem.numDevices; ++device) {
    OneMicrobatch microbatch(problem, stages[device]);
    int64_t low = updateBytes(problem, stages[device]);
    int64_t high = microbatch.upperLimit();
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      if (microbatch.order(middle))
        high = middle;
      else
        low = middle + 1;
    }
    result.push_back(problem.fixed(device) + high);
  }
  return result;
}

std::optional<Schedule> oneMicrobatchAtATime(const Problem &problem) {
  std::vector<std::vector<int>> stages = problem.stagesOfDevices();
  Schedule schedule;
  schedule.name = "one microbatch at a time";
  for (int device = 0; device < problem.numDevices; ++device) {
    OneMicrobatch microbatch(problem, stages[device]);
    int64_t limit = microbatch.upperLimit();
    if (problem.limit(device))
      limit = std::min(limit, *problem.limit(device) - problem.fixed(device));
    std::optional<std::vector<Pass>> order = microbatch.order(limit);
    if (!order || limit < updateBytes(problem, stages[device]))
      return std::nullopt;
    std::vector<Pass> &passes = schedule.order.emplace_back();
    passes.reserve(order->size() * problem.numMicrobatches);
    for (int m = 0; m < problem.numMicrobatches; ++m)
      for (Pass pass : *order) {
        pass.microbatch = m;
        passes.push_back(pass);
      }
  }
  return schedule;
}

} // namespace weir::schedule
