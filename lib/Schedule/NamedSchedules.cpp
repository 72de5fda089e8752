// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <array>

namespace weir::schedule {

static constexpr std::array<NamedSchedule, 7> kNamed = {{
    {"gpipe", "all forward passes, then all backward passes; most memory",
     Placement::Linear, 1},
    {"1f1b",
     "one forward, one backward; as many microbatches as devices in flight",
     Placement::Linear, 1},
    {"zb-h1", "1f1b at its memory, with weight gradients put into bubbles",
     Placement::Linear, 1},
    {"zb-h2", "no bubble in any device's span; nearly twice 1f1b's memory",
     Placement::Linear, 1},
    {"v-min", "two stages per device, forth and back; a third of 1f1b's memory",
     Placement::V, 2},
    {"v-half", "two stages per device, forth and back; half of 1f1b's memory",
     Placement::V, 2},
    {"v-zb",
     "two stages per device, forth and back; 1f1b's memory, no bubble in any "
     "device's span",
     Placement::V, 2},
}};

std::span<const NamedSchedule> listNamed() { return kNamed; }

const NamedSchedule *findNamed(std::string_view name) {
  for (const NamedSchedule &named : kNamed)
    if (named.name == name)
      return &named;
  return nullptr;
}

/// Named schedules are orders for passes of equal length. Passes that a stage
/// lacks still take none.
static Problem withUnitTimes(const Problem &problem) {
  Problem unit = problem;
  for (Stage &stage : unit.stages) {
    stage.forward = stage.backwardInput = stage.backwardWeight = 1;
    stage.backward.reset();
    stage.update = 0;
  }
  unit.defaultLink = Link();
  unit.links.clear();
  return unit;
}

/// Runs of consecutive stages on one device, as the lengths of the runs;
/// nullopt and `error` if a device has more than one.
static std::optional<std::vector<int>> consecutiveRuns(std::string_view name,
                                                       const Problem &problem,
                                                       std::string *error) {
  std::vector<int> lengths;
  std::vector<bool> seen(problem.numDevices);
  for (int s = 0; s < problem.numStages(); ++s) {
    int device = problem.placement[s];
    if (s > 0 && problem.placement[s - 1] == device) {
      ++lengths.back();
      continue;
    }
    if (seen[device]) {
      *error = std::string(name) +
               " needs consecutive stages on each device, but stage " +
               std::to_string(s) + " comes back to device " +
               std::to_string(device);
      return std::nullopt;
    }
    seen[device] = true;
    lengths.push_back(1);
  }
  return lengths;
}

/// The block of a chain of p devices whose F, B and W take one slot each, with
/// B and W of device i in the slots `backward(i)` and on. A device with several
/// stages runs them in turn, so all times scale with the longest run.
template <typename ForwardSlot, typename BackwardSlot>
static BuildingBlock chainBlock(const std::vector<int> &runs, bool fused,
                                ForwardSlot forward, BackwardSlot backward) {
  int scale = *std::max_element(runs.begin(), runs.end());
  int backwardSlots = fused ? 2 : 1;
  BuildingBlock block;
  block.interval = 3.0 * scale;
  block.fused = fused;
  for (int i = 0; i < static_cast<int>(runs.size()); ++i)
    for (int j = 0; j < runs[i]; ++j)
      block.stages.push_back(
          {static_cast<double>(forward(i) * scale + j),
           static_cast<double>(backward(i) * scale +
                               backwardSlots * (runs[i] - 1 - j)),
           std::nullopt});
  return block;
}

static BuildingBlock oneForwardOneBackwardBlock(const std::vector<int> &runs) {
  int p = static_cast<int>(runs.size());
  return chainBlock(
      runs, /*fused=*/true, [](int i) { return i; },
      [p](int i) { return 3 * p - 2 - 2 * i; });
}

/// F moves on every second slot and B every slot, so that F, B and W of a
/// device never meet modulo 3: they are at -i, 1-i and 2-i.
static BuildingBlock zeroBubbleH1Block(const std::vector<int> &runs) {
  int p = static_cast<int>(runs.size());
  return chainBlock(
      runs, /*fused=*/false, [](int i) { return 2 * i; },
      [p](int i) { return 3 * p - 2 - i; });
}

/// F and B both move on every three slots, which makes a microbatch live long
/// enough on every device for its gradient to come back without a gap.
static BuildingBlock zeroBubbleH2Block(const std::vector<int> &runs) {
  int p = static_cast<int>(runs.size());
  return chainBlock(
      runs, /*fused=*/false, [](int i) { return 3 * i; },
      [p](int i) { return 6 * p - 5 - 3 * i; });
}

/// Slots of F0, F1, B1, B0 on device i, which holds stages i and 2p-1-i.
using VOffsets = std::array<int, 4>;

/// P. Qi, X. Wan, N. Amar, M. Lin, "Pipeline Parallelism with Controllable
/// Memory", 2024, for v-min and v-half. v-zb is their idea of a block without
/// bubbles with offsets of our own, free of collisions at any p: modulo 6, F0
/// and B1 of a device are an even number of slots apart from each other, F1 and
/// B0 from each other, and the two pairs an odd one.
static std::optional<VOffsets> vOffsets(std::string_view name, int p, int i) {
  if (name == "v-min") {
    int t = p % 3 == 0 ? 2 : 0;
    return {{i, 2 * p - 1 - i, 2 * p + t + i, 4 * p + t - 1 - i}};
  }
  if (name == "v-half") {
    int t = p % 2 == 0 ? 3 : 0;
    return {{2 * i, 3 * p - 2 - i, 3 * p - 1 + t + 2 * i, 6 * p - 2 + t - i}};
  }
  if (name == "v-zb")
    return {{4 * i, 6 * p - 5 - 2 * i, 6 * p - 4 + 4 * i, 12 * p - 9 - 2 * i}};
  return std::nullopt;
}

/// Whether the device that holds stage i < p also holds stage 2p-1-i, and
/// nothing else.
static bool checkVPlacement(std::string_view name, const Problem &problem,
                            std::string *error) {
  int p = problem.numDevices;
  bool fits = problem.numStages() == 2 * p;
  std::vector<bool> seen(p);
  for (int i = 0; fits && i < p; ++i) {
    int device = problem.placement[i];
    fits = !seen[device] && problem.placement[2 * p - 1 - i] == device;
    seen[device] = true;
  }
  if (!fits)
    *error = std::string(name) + " needs " + std::to_string(2 * p) +
             " stages on " + std::to_string(p) +
             " devices in v placement: the device that holds stage i holds "
             "stage " +
             std::to_string(2 * p - 1) + "-i";
  return fits;
}

static std::optional<BuildingBlock>
vBlock(std::string_view name, const Problem &problem, std::string *error) {
  if (!checkVPlacement(name, problem, error))
    return std::nullopt;
  int p = problem.numDevices;
  BuildingBlock block;
  block.interval = 6;
  block.stages.resize(2 * p);
  for (int i = 0; i < p; ++i) {
    auto [f0, f1, b1, b0] = *vOffsets(name, p, i);
    block.stages[i].forward = f0;
    block.stages[2 * p - 1 - i].forward = f1;
    block.stages[2 * p - 1 - i].backwardInput = b1;
    block.stages[i].backwardInput = b0;
  }
  return block;
}

/// All microbatches of a stage in a row, stage after stage and back. Never
/// deadlocks, whatever the placement: each device's order is part of the one
/// order over all stages.
static Schedule gpipe(const Problem &problem) {
  Schedule schedule;
  schedule.order.resize(problem.numDevices);
  auto runAll = [&](PassKind kind, int s) {
    for (int m = 0; m < problem.numMicrobatches; ++m)
      schedule.order[problem.placement[s]].push_back({kind, s, m});
  };
  for (int s = 0; s < problem.numStages(); ++s)
    runAll(PassKind::Forward, s);
  for (int s = problem.numStages() - 1; s >= 0; --s)
    if (problem.stages[s].hasBackward())
      runAll(PassKind::Backward, s);
  return schedule;
}

std::optional<BuildingBlock>
namedBlock(std::string_view name, const Problem &problem, std::string *error) {
  std::string ignored;
  if (!error)
    error = &ignored;
  std::optional<BuildingBlock> block;
  if (vOffsets(name, 1, 0)) {
    block = vBlock(name, problem, error);
  } else if (name == "1f1b" || name == "zb-h1" || name == "zb-h2") {
    std::optional<std::vector<int>> runs =
        consecutiveRuns(name, problem, error);
    if (runs)
      block = name == "1f1b"    ? oneForwardOneBackwardBlock(*runs)
              : name == "zb-h1" ? zeroBubbleH1Block(*runs)
                                : zeroBubbleH2Block(*runs);
  } else {
    *error = std::string(name) + " is not made from a building block";
  }
  if (block && !block->placeBackwardWeights(withUnitTimes(problem))) {
    *error =
        "no slot is left for a backward-weight pass of " + std::string(name);
    return std::nullopt;
  }
  return block;
}

/// What the repeated block holds on each device once it has reached its steady
/// state, in activation bytes. Less than the block's bound, which rounds every
/// lifespan up to whole intervals on its own.
static std::optional<std::vector<int64_t>>
steadyPeaks(const BuildingBlock &block, Problem problem, std::string *error) {
  // A lifespan is at most a few intervals per stage, so this many microbatches
  // reach it, also where a step has fewer.
  problem.numMicrobatches =
      std::max(problem.numMicrobatches, 2 * problem.numStages());
  std::optional<Simulation> simulation =
      simulate(problem, repeat(block, problem), error);
  if (!simulation)
    return std::nullopt;
  return simulation->peakActivationBytes;
}

/// How many activation bytes each device may hold while W's are put off: as
/// much as the repeated block holds there or, where the block loads devices
/// unevenly (`shareLargest`), on the device that holds most, counted with and
/// without fixed bytes; and no more than the memory limit leaves.
static std::vector<int64_t> reorderLimits(const Problem &problem,
                                          const std::vector<int64_t> &bound,
                                          bool shareLargest) {
  int64_t largest = 0, largestWithFixed = 0;
  for (int device = 0; device < problem.numDevices; ++device) {
    largest = std::max(largest, bound[device]);
    largestWithFixed =
        std::max(largestWithFixed, bound[device] + problem.fixed(device));
  }
  std::vector<int64_t> buffers(problem.numDevices, 0);
  for (int s = 0; s < problem.numStages(); ++s) {
    // One pass runs at a time, with its workspace and what it sends; one more
    // input may be on its way.
    const Stage &stage = problem.stages[s];
    int64_t workspace = *std::max_element(stage.workspaceBytes.begin(),
                                          stage.workspaceBytes.end());
    int64_t &here = buffers[problem.placement[s]];
    here = std::max(here, workspace + 2 * (stage.forwardTransferBytes +
                                           stage.backwardTransferBytes));
  }
  std::vector<int64_t> limits(problem.numDevices);
  for (int device = 0; device < problem.numDevices; ++device) {
    int64_t fixed = problem.fixed(device);
    limits[device] = shareLargest ? std::min(largest, largestWithFixed - fixed)
                                  : bound[device];
    if (std::optional<int64_t> limit = problem.limit(device))
      limits[device] =
          std::min(limits[device], *limit - fixed - buffers[device]);
  }
  return limits;
}

std::optional<Schedule> buildNamed(std::string_view name,
                                   const Problem &problem, std::string *error) {
  std::string ignored;
  if (!error)
    error = &ignored;
  if (!findNamed(name)) {
    *error = "unknown schedule '" + std::string(name) + "'; there are";
    for (const NamedSchedule &named : kNamed)
      *error +=
          (&named == kNamed.data() ? " " : ", ") + std::string(named.name);
    return std::nullopt;
  }
  Schedule schedule;
  if (name == "gpipe") {
    schedule = gpipe(problem);
  } else {
    std::optional<BuildingBlock> block = namedBlock(name, problem, error);
    if (!block)
      return std::nullopt;
    Problem unit = withUnitTimes(problem);
    schedule = repeat(*block, unit);
    if (!block->fused) {
      std::optional<std::vector<int64_t>> peaks =
          steadyPeaks(*block, unit, error);
      if (!peaks)
        return std::nullopt;
      // zb-h1 and zb-h2 live on the memory that later devices have left; the V
      // family needs about the same everywhere.
      schedule = reorder(
          unit, schedule,
          reorderLimits(problem, *peaks, name == "zb-h1" || name == "zb-h2"));
    }
  }
  schedule.name = name;
  return schedule;
}

} // namespace weir::schedule
