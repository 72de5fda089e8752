// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Variants.h"

#include <algorithm>

namespace weir::schedule {

/// Seconds of all passes of a microbatch.
static double work(const Stage &stage) {
  return stage.forward + stage.duration(PassKind::Recompute) +
         stage.duration(PassKind::BackwardInput) +
         stage.duration(PassKind::BackwardWeight);
}

/// The first stage of each of `count` non-empty groups, filled one after the
/// other up to `limit`. The last one takes what is left over.
static std::vector<int> fillGroups(const std::vector<double> &weights,
                                   int count, double limit) {
  std::vector<int> firsts;
  int at = 0, size = static_cast<int>(weights.size());
  for (int group = 0; group < count; ++group) {
    firsts.push_back(at);
    double sum = weights[at++];
    int groupsLeft = count - 1 - group;
    while (size - at > groupsLeft &&
           (groupsLeft == 0 || sum + weights[at] <= limit))
      sum += weights[at++];
  }
  return firsts;
}

static double largestGroup(const std::vector<double> &weights,
                           const std::vector<int> &firsts) {
  double largest = 0;
  for (size_t group = 0; group < firsts.size(); ++group) {
    size_t end = group + 1 < firsts.size() ? firsts[group + 1] : weights.size();
    double sum = 0;
    for (size_t i = firsts[group]; i < end; ++i)
      sum += weights[i];
    largest = std::max(largest, sum);
  }
  return largest;
}

static std::vector<int> balancedCut(const std::vector<double> &weights,
                                    int count) {
  double low = 0, high = 0;
  for (double weight : weights)
    high += weight;
  std::vector<int> best = fillGroups(weights, count, high);
  double bestValue = largestGroup(weights, best);
  // Each step halves an interval that holds the answer.
  for (int step = 0; step < 64; ++step) {
    double limit = low + (high - low) / 2;
    std::vector<int> firsts = fillGroups(weights, count, limit);
    double value = largestGroup(weights, firsts);
    (value <= limit ? high : low) = limit;
    if (value < bestValue) {
      bestValue = value;
      best = std::move(firsts);
    }
  }
  return best;
}

static Stage join(std::span<const Stage> parts) {
  Stage joined;
  joined.hasBackwardInput = joined.hasBackwardWeight = false;
  bool hasFused = false;
  double fused = 0;
  for (const Stage &part : parts) {
    joined.hasBackwardInput |= part.hasBackwardInput;
    joined.hasBackwardWeight |= part.hasBackwardWeight;
    hasFused |= part.backward && part.hasBackward();
    fused += part.duration(PassKind::Backward);
    joined.forward += part.forward;
    joined.backwardInput += part.duration(PassKind::BackwardInput);
    joined.backwardWeight += part.duration(PassKind::BackwardWeight);
    joined.gradientReduction += part.gradientReduction;
    joined.update += part.update;
    if (part.recompute)
      joined.recompute = joined.recompute.value_or(0) + *part.recompute;

    bool isKept = part.hasBackward();
    for (int kind = 0; kind < kNumPassKinds; ++kind) {
      bool isForward = kind == static_cast<int>(PassKind::Forward);
      joined.workspaceBytes[kind] =
          std::max(joined.workspaceBytes[kind],
                   part.workspaceBytes[kind] +
                       (isForward && !isKept ? part.activationBytes : 0));
    }
    if (!isKept)
      continue;
    joined.activationBytes += part.activationBytes;
    joined.keptForRecompute += part.taken(PassKind::Forward);
    if (part.hasBackwardInput) {
      joined.releasedByBackwardInput += part.released(PassKind::BackwardInput);
      joined.takenByBackwardInput += part.taken(PassKind::BackwardInput);
    }
  }
  if (hasFused)
    joined.backward = fused;
  if (!joined.recompute)
    joined.keptForRecompute = 0;
  joined.forwardTransferBytes = parts.back().forwardTransferBytes;
  joined.backwardTransferBytes = parts.front().backwardTransferBytes;
  return joined;
}

UnplacedProblem joinStages(const UnplacedProblem &unplaced, int numStages) {
  const std::vector<Stage> &stages = unplaced.problem.stages;
  if (numStages == unplaced.problem.numStages())
    return unplaced;
  std::vector<double> weights;
  for (const Stage &stage : stages)
    weights.push_back(work(stage));
  std::vector<int> firsts = balancedCut(weights, numStages);
  firsts.push_back(static_cast<int>(stages.size()));

  UnplacedProblem result = unplaced;
  result.problem.stages.clear();
  result.fixedBytesOfStages.clear();
  for (int group = 0; group < numStages; ++group) {
    int first = firsts[group], end = firsts[group + 1];
    result.problem.stages.push_back(
        join(std::span(stages).subspan(first, end - first)));
    if (unplaced.fixedBytesOfStages.empty())
      continue;
    int64_t bytes = 0;
    for (int s = first; s < end; ++s)
      bytes += unplaced.fixedBytesOfStages[s];
    result.fixedBytesOfStages.push_back(bytes);
  }
  return result;
}

Problem place(const UnplacedProblem &unplaced, std::vector<int> placement) {
  Problem problem = unplaced.problem;
  problem.placement = std::move(placement);
  if (!unplaced.fixedBytesOfStages.empty()) {
    problem.fixedBytes.resize(problem.numDevices, 0);
    for (int s = 0; s < problem.numStages(); ++s)
      problem.fixedBytes[problem.placement[s]] +=
          unplaced.fixedBytesOfStages[s];
  }
  return problem;
}

std::vector<Placement> distinctPlacements(int numStages, int numDevices) {
  std::vector<Placement> result;
  std::vector<std::vector<int>> seen;
  for (Placement placement :
       {Placement::V, Placement::Loop, Placement::Linear}) {
    std::vector<int> devices = makePlacement(placement, numStages, numDevices);
    if (std::find(seen.begin(), seen.end(), devices) != seen.end())
      continue;
    result.push_back(placement);
    seen.push_back(std::move(devices));
  }
  return result;
}

std::vector<Problem> makeVariants(const UnplacedProblem &unplaced,
                                  int maxChunks) {
  int numDevices = unplaced.problem.numDevices;
  int64_t available = unplaced.problem.numStages();
  std::vector<Problem> result;
  for (int chunks = 1; chunks <= maxChunks; ++chunks) {
    int64_t wanted = static_cast<int64_t>(numDevices) * chunks;
    int numStages = static_cast<int>(std::min(wanted, available));
    UnplacedProblem cut = joinStages(unplaced, numStages);
    for (Placement placement : distinctPlacements(numStages, numDevices))
      result.push_back(
          place(cut, makePlacement(placement, numStages, numDevices)));
    if (wanted >= available)
      break;
  }
  return result;
}

} // namespace weir::schedule
