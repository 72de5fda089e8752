// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RandomProblems.h"

#include <cstdlib>

namespace weir::schedule::test {

int randomInt(Random &random, int low, int high) {
  return low +
         static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
}

int numCases(int usual) {
  const char *value = std::getenv("WEIR_PROPERTY_CASES");
  return value ? std::atoi(value) : usual;
}

Problem randomProblem(Random &random, int numDevices, int numMicrobatches,
                      std::vector<int> placement) {
  Problem problem;
  problem.numDevices = numDevices;
  problem.numMicrobatches = numMicrobatches;
  problem.placement = std::move(placement);
  int numStages = static_cast<int>(problem.placement.size());

  bool hasZeros = randomInt(random, 0, 2) == 0;
  auto duration = [&] {
    return randomInt(random, hasZeros ? 0 : 1, hasZeros ? 2 : 9) * 0.25;
  };
  auto bytes = [&] { return randomInt(random, 0, 20); };
  // Stages below the first one with something to train have no backward pass,
  // and that one needs no gradient of its input.
  int firstTrained = 0;
  if (randomInt(random, 0, 3) == 0)
    firstTrained = randomInt(random, 0, numStages);
  bool hasLowestB = randomInt(random, 0, 1) == 0;
  for (int s = 0; s < numStages; ++s) {
    Stage stage;
    stage.forward = duration();
    stage.backwardInput = duration();
    stage.backwardWeight = duration();
    if (randomInt(random, 0, 3) == 0)
      stage.backward = duration() + duration();
    if (s < firstTrained)
      stage.hasBackwardInput = stage.hasBackwardWeight = false;
    else if (s == firstTrained)
      stage.hasBackwardInput = hasLowestB;
    else
      stage.hasBackwardWeight = randomInt(random, 0, 4) != 0;
    stage.activationBytes = bytes();
    stage.releasedByBackwardInput =
        randomInt(random, 0, static_cast<int>(stage.activationBytes));
    stage.takenByBackwardInput = bytes();
    for (int64_t &workspace : stage.workspaceBytes)
      workspace = bytes();
    stage.forwardTransferBytes = bytes();
    stage.backwardTransferBytes = bytes();
    problem.stages.push_back(stage);
  }
  if (randomInt(random, 0, 1) == 0)
    problem.defaultLink = {duration(), randomInt(random, 1, 40) * 1.0};
  for (int i = randomInt(random, 0, 2); i > 0; --i) {
    int from = randomInt(random, 0, numDevices - 1);
    int to = randomInt(random, 0, numDevices - 1);
    Link link{duration(), randomInt(random, 1, 40) * 1.0};
    if (from != to)
      problem.links[{from, to}] = link;
  }
  if (randomInt(random, 0, 1) == 0)
    for (int device = 0; device < numDevices; ++device)
      problem.fixedBytes.push_back(bytes());
  return problem;
}

void addRecomputeAndReductions(Random &random, Problem &problem) {
  for (Stage &stage : problem.stages) {
    if (stage.hasBackward() && randomInt(random, 0, 1) == 0) {
      stage.recompute = randomInt(random, 0, 4) * 0.25;
      stage.keptForRecompute =
          randomInt(random, 0, static_cast<int>(stage.activationBytes));
    }
    if (stage.hasBackwardWeight && randomInt(random, 0, 1) == 0)
      stage.gradientReduction = randomInt(random, 0, 12) * 0.25;
    stage.update = randomInt(random, 0, 2) * 0.25;
  }
}

Schedule randomSchedule(Random &random, const Problem &problem) {
  Schedule schedule;
  schedule.order.resize(problem.numDevices);
  // Next microbatch of each stage: F, R, the gradient, and W.
  struct Progress {
    int forward = 0, recompute = 0, gradient = 0, weight = 0;
    bool updated = false;
  };
  int numStages = problem.numStages();
  std::vector<Progress> progress(numStages);
  int fusedPercent = randomInt(random, 0, 2) * 50;
  for (;;) {
    std::vector<Pass> ready;
    for (int s = 0; s < numStages; ++s) {
      const Stage &stage = problem.stages[s];
      auto [f, r, g, w, updated] = progress[s];
      if (f < problem.numMicrobatches &&
          (s == 0 || progress[s - 1].forward > f))
        ready.push_back({PassKind::Forward, s, f});
      if (!stage.hasBackward())
        continue;
      if (stage.recompute && r < f)
        ready.push_back({PassKind::Recompute, s, r});
      if (stage.update > 0 && !updated &&
          (!stage.hasBackwardInput || g == problem.numMicrobatches) &&
          (!stage.hasBackwardWeight || w == problem.numMicrobatches))
        ready.push_back({PassKind::Update, s, -1});
      bool gradientReady = g < (stage.recompute ? r : f) &&
                           (s + 1 == numStages || progress[s + 1].gradient > g);
      bool fuse = randomInt(random, 1, 100) <= fusedPercent;
      if (gradientReady && w == g && fuse)
        ready.push_back({PassKind::Backward, s, g});
      else if (gradientReady && stage.hasBackwardInput)
        ready.push_back({PassKind::BackwardInput, s, g});
      else if (gradientReady)
        ready.push_back({PassKind::BackwardWeight, s, g});
      if (stage.hasBackwardInput && stage.hasBackwardWeight && w < g)
        ready.push_back({PassKind::BackwardWeight, s, w});
    }
    if (ready.empty())
      return schedule;
    Pass pass = ready[randomInt(random, 0, static_cast<int>(ready.size()) - 1)];
    const Stage &stage = problem.stages[pass.stage];
    Progress &p = progress[pass.stage];
    bool isOnlyPart = !stage.hasBackwardInput || !stage.hasBackwardWeight;
    if (pass.kind == PassKind::Forward)
      ++p.forward;
    else if (pass.kind == PassKind::Recompute)
      ++p.recompute;
    else if (pass.kind == PassKind::Update)
      p.updated = true;
    else if (pass.kind == PassKind::Backward || isOnlyPart)
      ++p.gradient, ++p.weight;
    else
      ++(pass.kind == PassKind::BackwardInput ? p.gradient : p.weight);
    schedule.order[problem.placement[pass.stage]].push_back(pass);
  }
}

} // namespace weir::schedule::test
