// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Problem.h"

#include <algorithm>
#include <sstream>

namespace weir::schedule {

std::string_view shortName(PassKind kind) {
  switch (kind) {
  case PassKind::Forward:
    return "F";
  case PassKind::BackwardInput:
    return "B";
  case PassKind::BackwardWeight:
    return "W";
  case PassKind::Backward:
    return "BW";
  case PassKind::Update:
    return "U";
  case PassKind::Recompute:
    return "R";
  }
  return "";
}

std::string_view longName(PassKind kind) {
  switch (kind) {
  case PassKind::Forward:
    return "forward";
  case PassKind::BackwardInput:
    return "backward_input";
  case PassKind::BackwardWeight:
    return "backward_weight";
  case PassKind::Backward:
    return "backward";
  case PassKind::Update:
    return "update";
  case PassKind::Recompute:
    return "recompute";
  }
  return "";
}

double Stage::duration(PassKind kind) const {
  double split = (hasBackwardInput ? backwardInput : 0) +
                 (hasBackwardWeight ? backwardWeight : 0);
  switch (kind) {
  case PassKind::Forward:
    return forward;
  case PassKind::BackwardInput:
    return hasBackwardInput ? backwardInput : 0;
  case PassKind::BackwardWeight:
    return hasBackwardWeight ? backwardWeight : 0;
  case PassKind::Backward:
    return hasBackward() ? backward.value_or(split) : 0;
  case PassKind::Update:
    return update;
  case PassKind::Recompute:
    return recompute.value_or(0);
  }
  return 0;
}

int64_t Stage::taken(PassKind kind) const {
  switch (kind) {
  case PassKind::Forward:
    return recompute ? keptForRecompute : activationBytes;
  case PassKind::Recompute:
    return recompute ? activationBytes - keptForRecompute : 0;
  case PassKind::BackwardInput:
  case PassKind::Backward:
    return hasBackwardInput && hasBackwardWeight ? takenByBackwardInput : 0;
  case PassKind::BackwardWeight:
  case PassKind::Update:
    return 0;
  }
  return 0;
}

int64_t Stage::released(PassKind kind) const {
  switch (kind) {
  case PassKind::Forward:
    return hasBackward() ? 0 : activationBytes;
  case PassKind::BackwardInput:
    return hasBackwardWeight ? releasedByBackwardInput : activationBytes;
  case PassKind::BackwardWeight:
    return hasBackwardInput ? activationBytes - releasedByBackwardInput +
                                  takenByBackwardInput
                            : activationBytes;
  case PassKind::Backward:
    return activationBytes + taken(PassKind::Backward);
  case PassKind::Update:
  case PassKind::Recompute:
    return 0;
  }
  return 0;
}

const Link &Problem::link(int from, int to) const {
  auto it = links.find({from, to});
  return it == links.end() ? defaultLink : it->second;
}

int64_t Problem::fixed(int device) const {
  return fixedBytes.empty() ? 0 : fixedBytes[device];
}

std::optional<int64_t> Problem::limit(int device) const {
  if (memoryLimits.empty())
    return std::nullopt;
  return memoryLimits[device];
}

void Problem::limitMemory(int64_t bytes) {
  memoryLimits.assign(numDevices, bytes);
}

std::vector<std::vector<int>> Problem::stagesOfDevices() const {
  std::vector<std::vector<int>> result(numDevices);
  for (int s = 0; s < numStages(); ++s)
    result[placement[s]].push_back(s);
  return result;
}

/// Sums over all passes must stay finite.
static bool isDuration(double seconds) {
  return seconds >= 0 && seconds <= 1e100;
}

static bool isLink(const Link &link) {
  return isDuration(link.latency) && link.bandwidth >= 1e-50;
}

static std::optional<std::string> checkStage(const Stage &stage) {
  if (!isDuration(stage.forward) || !isDuration(stage.backwardInput) ||
      !isDuration(stage.backwardWeight) || !isDuration(stage.update) ||
      !isDuration(stage.backward.value_or(0)) ||
      !isDuration(stage.recompute.value_or(0)) ||
      !isDuration(stage.gradientReduction))
    return "has a duration that is negative or too large";
  if (stage.activationBytes < 0 || stage.releasedByBackwardInput < 0 ||
      stage.takenByBackwardInput < 0 || stage.keptForRecompute < 0 ||
      stage.forwardTransferBytes < 0 || stage.backwardTransferBytes < 0)
    return "has a negative number of bytes";
  for (int64_t bytes : stage.workspaceBytes)
    if (bytes < 0)
      return "has a negative number of bytes";
  if (stage.releasedByBackwardInput > stage.activationBytes)
    return "gives back more bytes after its backward-input pass than its "
           "forward pass takes";
  if (stage.recompute && !stage.hasBackward())
    return "computes again what no backward pass reads";
  if (!stage.recompute && stage.keptForRecompute > 0)
    return "keeps bytes for a recompute pass that it does not have";
  if (stage.keptForRecompute > stage.activationBytes)
    return "keeps more bytes for its recompute pass than its backward passes "
           "read";
  if (stage.gradientReduction > 0 && !stage.hasBackwardWeight)
    return "exchanges gradients that none of its passes computes";
  return std::nullopt;
}

std::optional<std::string> Problem::check() const {
  auto fail = [](auto &&...parts) {
    std::ostringstream os;
    (os << ... << parts);
    return os.str();
  };
  if (numDevices < 1)
    return fail("a pipeline needs at least one device, not ", numDevices);
  if (numDevices > kMaxDevices)
    return fail("a pipeline has at most ", kMaxDevices, " devices, not ",
                numDevices);
  if (numMicrobatches < 1)
    return fail("a step needs at least one microbatch, not ", numMicrobatches);
  if (stages.empty())
    return fail("a pipeline needs at least one stage");
  if (stages.size() > static_cast<size_t>(kMaxMicrobatchStages) /
                          static_cast<size_t>(numMicrobatches))
    return fail(stages.size(), " stages times ", numMicrobatches,
                " microbatches are more than ", kMaxMicrobatchStages);
  if (placement.size() != stages.size())
    return fail("the placement names ", placement.size(), " devices for ",
                stages.size(), " stages");
  for (int s = 0; s < numStages(); ++s) {
    if (placement[s] < 0 || placement[s] >= numDevices)
      return fail("stage ", s, " is placed on device ", placement[s],
                  ", but there are ", numDevices, " devices");
    if (auto error = checkStage(stages[s]))
      return fail("stage ", s, " ", *error);
    if (s > 0 && stages[s - 1].hasBackward() && !stages[s].hasBackwardInput)
      return fail("stage ", s, " has no backward-input pass, but stage ", s - 1,
                  " needs the gradient that it would send");
  }
  if (!isLink(defaultLink))
    return fail("the default link has a latency that is negative or too large, "
                "or no bandwidth");
  for (const auto &[devices, link] : links) {
    auto [from, to] = devices;
    if (from < 0 || from >= numDevices || to < 0 || to >= numDevices)
      return fail("there is a link from device ", from, " to device ", to,
                  ", but there are ", numDevices, " devices");
    if (from == to)
      return fail("there is a link from device ", from, " to itself");
    if (!isLink(link))
      return fail(
          "the link from device ", from, " to device ", to,
          " has a latency that is negative or too large, or no bandwidth");
  }
  if (!fixedBytes.empty() &&
      fixedBytes.size() != static_cast<size_t>(numDevices))
    return fail("fixed bytes are given for ", fixedBytes.size(), " of ",
                numDevices, " devices");
  if (!memoryLimits.empty() &&
      memoryLimits.size() != static_cast<size_t>(numDevices))
    return fail("memory limits are given for ", memoryLimits.size(), " of ",
                numDevices, " devices");
  for (int device = 0; device < static_cast<int>(memoryLimits.size()); ++device)
    if (memoryLimits[device] < 0)
      return fail("the memory limit of device ", device, " is negative");

  // Sums over all microbatches must not overflow, whatever the order.
  long double total = 0;
  for (int64_t bytes : fixedBytes) {
    if (bytes < 0)
      return fail("a device has a negative number of fixed bytes");
    total += bytes;
  }
  for (const Stage &stage : stages) {
    total += static_cast<long double>(numMicrobatches) *
             (static_cast<long double>(stage.activationBytes) +
              stage.takenByBackwardInput + 2.0L * stage.forwardTransferBytes +
              2.0L * stage.backwardTransferBytes);
    for (int64_t bytes : stage.workspaceBytes)
      total += bytes;
  }
  if (total > 0x1p62L)
    return fail("the bytes of all stages and microbatches overflow 64 bits");
  return std::nullopt;
}

std::vector<int> linearPlacement(int numStages, int numDevices) {
  std::vector<int> result(numStages);
  int used = std::min(numStages, numDevices);
  for (int s = 0; s < numStages; ++s)
    result[s] = static_cast<int>(static_cast<int64_t>(s) * used / numStages);
  return result;
}

std::vector<int> loopPlacement(int numStages, int numDevices) {
  std::vector<int> result(numStages);
  for (int s = 0; s < numStages; ++s)
    result[s] = s % numDevices;
  return result;
}

std::vector<int> vPlacement(int numStages, int numDevices) {
  std::vector<int> result(numStages);
  for (int s = 0; s < numStages; ++s) {
    bool back = s / numDevices % 2 == 1;
    result[s] = back ? numDevices - 1 - s % numDevices : s % numDevices;
  }
  return result;
}

std::vector<int> makePlacement(Placement placement, int numStages,
                               int numDevices) {
  switch (placement) {
  case Placement::Linear:
    return linearPlacement(numStages, numDevices);
  case Placement::Loop:
    return loopPlacement(numStages, numDevices);
  case Placement::V:
    return vPlacement(numStages, numDevices);
  }
  return {};
}

std::optional<Placement> parsePlacement(std::string_view name) {
  for (Placement p : {Placement::Linear, Placement::Loop, Placement::V})
    if (name == placementName(p))
      return p;
  return std::nullopt;
}

std::string_view placementName(Placement placement) {
  switch (placement) {
  case Placement::Linear:
    return "linear";
  case Placement::Loop:
    return "loop";
  case Placement::V:
    return "v";
  }
  return "";
}

Problem unitProblem(int numDevices, int numMicrobatches,
                    std::vector<int> placement, int64_t activation) {
  Stage stage;
  stage.forward = stage.backwardInput = stage.backwardWeight = 1;
  stage.activationBytes = activation;
  Problem problem;
  problem.numDevices = numDevices;
  problem.numMicrobatches = numMicrobatches;
  problem.stages.assign(placement.size(), stage);
  problem.placement = std::move(placement);
  return problem;
}

} // namespace weir::schedule
