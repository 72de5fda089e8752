// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/NamedSchedules.h"
#include "InterleavedSchedules.h"
#include "PlacedStages.h"
#include "VSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

namespace weir::schedule {

static constexpr auto kBuiltIn = std::to_array<NamedSchedule>({
    {"gpipe", "all forward passes, then all backward passes; most memory",
     Placement::Linear, 1, ""},
    {"1f1b",
     "one forward, one backward; as many microbatches as devices in flight",
     Placement::Linear, 1, ""},
    {"interleaved-1f1b",
     "1f1b through several chunks per device, round by round", Placement::Loop,
     2, ""},
    {"interleaved-zb",
     "zb-h1 through several chunks per device, round by round; 1f1b's memory",
     Placement::Loop, 2, ""},
    {"zb-h1", "1f1b at its memory, with weight gradients put into bubbles",
     Placement::Linear, 1, ""},
    {"zb-h2", "no bubble in any device's span; nearly twice 1f1b's memory",
     Placement::Linear, 1, ""},
    {"zb-v",
     "two stages per device, forth and back; 1f1b's memory, no bubble in any "
     "device's span",
     Placement::V, 2, ""},
    {"v-min", "two stages per device, forth and back; a third of 1f1b's memory",
     Placement::V, 2, ""},
    {"v-half", "two stages per device, forth and back; half of 1f1b's memory",
     Placement::V, 2, ""},
    {"v-zb", "zb-v as a building block", Placement::V, 2, ""},
    {"1f1b-v",
     "two stages per device, forth and back, fused backward passes; two thirds "
     "of 1f1b's memory",
     Placement::V, 2, ""},
    {"gis",
     "groups of microbatches through several chunks per device, weight "
     "gradients split off; from half of 1f1b's memory on",
     Placement::Loop, 2,
     "group=N: microbatches that go through a chunk in a row (default: half of "
     "the devices, rounded up)"},
    {"dualpipe-v",
     "two stages per device, forth and back; forward passes of one microbatch "
     "beside backward passes of another, as two passes in turn",
     Placement::V, 2, ""},
});

namespace {

struct Registry {
  std::vector<NamedSchedule> schedules{kBuiltIn.begin(), kBuiltIn.end()};
  /// Of the schedules after the built-in ones.
  std::vector<ScheduleBuilder> builders;
};

} // namespace

static Registry &registry() {
  static Registry registry;
  return registry;
}

std::span<const NamedSchedule> listNamed() { return registry().schedules; }

const NamedSchedule *findNamed(std::string_view name) {
  name = name.substr(0, name.find(':'));
  for (const NamedSchedule &named : listNamed())
    if (named.name == name)
      return &named;
  return nullptr;
}

/// nullptr for a schedule that is built in.
static const ScheduleBuilder *findBuilder(const NamedSchedule &named) {
  size_t index = &named - listNamed().data();
  return index < kBuiltIn.size()
             ? nullptr
             : &registry().builders[index - kBuiltIn.size()];
}

std::optional<std::string> registerNamedSchedule(NamedSchedule schedule,
                                                 ScheduleBuilder build) {
  std::string name = "schedule '" + std::string(schedule.name) + "' ";
  auto isInName = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (schedule.name.empty() || schedule.name.front() == '-' ||
      !std::all_of(schedule.name.begin(), schedule.name.end(), isInName))
    return name + "has a name that cannot be given on a command line";
  if (schedule.name == "auto" || schedule.name == "block" ||
      findNamed(schedule.name))
    return name + "has a name that is taken";
  if (schedule.stagesPerDevice < 1)
    return name + "needs at least one stage per device";
  if (!build)
    return name + "has no builder";
  registry().schedules.push_back(schedule);
  registry().builders.push_back(std::move(build));
  return std::nullopt;
}

namespace {

/// A schedule and the values of its parameters.
struct Selection {
  std::string_view name;
  std::optional<int> group;
};

} // namespace

static std::optional<Selection> parseSelection(std::string_view text,
                                               std::string *error) {
  const NamedSchedule *named = findNamed(text);
  if (!named) {
    *error = "unknown schedule '" + std::string(text) + "'; there are";
    for (const NamedSchedule &known : listNamed())
      *error +=
          (&known == listNamed().data() ? " " : ", ") + std::string(known.name);
    return std::nullopt;
  }
  Selection selection{named->name, std::nullopt};
  if (text.size() == named->name.size())
    return selection;
  std::string_view parameter = text.substr(named->name.size() + 1);
  auto refuse = [&](const std::string &why) {
    *error = "'" + std::string(text) + "': " + why;
    return std::nullopt;
  };
  if (named->parameters.empty())
    return refuse(std::string(named->name) + " has no parameters");
  constexpr std::string_view kGroup = "group=";
  if (!parameter.starts_with(kGroup))
    return refuse("parameters of " + std::string(named->name) + " are " +
                  std::string(named->parameters));
  std::string_view digits = parameter.substr(kGroup.size());
  int group = 0;
  auto [end, code] =
      std::from_chars(digits.data(), digits.data() + digits.size(), group);
  if (code != std::errc() || end != digits.data() + digits.size() ||
      group < 1 || group > kMaxMicrobatchStages)
    return refuse("a group has a number of microbatches from 1 to " +
                  std::to_string(kMaxMicrobatchStages));
  selection.group = group;
  return selection;
}

/// The problem as a block sees it: all stages alike, no transfers, no R. Passes
/// that a stage lacks still take no time.
static Problem withTimes(const Problem &problem, const Stage &durations) {
  Problem unit = problem;
  for (Stage &stage : unit.stages) {
    stage.forward = durations.forward;
    stage.backwardInput = durations.backwardInput;
    stage.backwardWeight = durations.backwardWeight;
    stage.backward = durations.backward;
    stage.update = 0;
    stage.gradientReduction = 0;
    // R is part of the backward pass that follows it at once.
    if (stage.recompute) {
      stage.takenByBackwardInput +=
          stage.activationBytes - stage.keptForRecompute;
      stage.activationBytes = stage.keptForRecompute;
      stage.recompute.reset();
    }
  }
  unit.defaultLink = Link();
  unit.links.clear();
  return unit;
}

/// Named schedules are orders for passes of equal length.
static Problem withUnitTimes(const Problem &problem) {
  return withTimes(problem, unitDurations());
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

/// Whether the placement of the problem is that of the schedule.
static bool checkPlacement(std::string_view name, const Problem &problem,
                           std::string *error) {
  switch (findNamed(name)->placement) {
  case Placement::V:
    return checkVPlacement(name, problem, error);
  case Placement::Loop:
    return checkLoopPlacement(name, problem, error);
  case Placement::Linear:
    return name == "gpipe" || consecutiveRuns(name, problem, error);
  }
  return false;
}

/// Requires a placement that fits.
static std::optional<BuildingBlock> makeBlock(const Selection &selection,
                                              const Problem &problem) {
  std::string_view name = selection.name;
  std::string ignored;
  if (name == "gis") {
    // Larger groups than there are microbatches are all the same.
    int half = (problem.numDevices + 1) / 2;
    return groupedInterleavedBlock(
        problem, std::min(selection.group.value_or(half),
                          std::max(problem.numMicrobatches, half)));
  }
  if (name == "1f1b")
    return oneForwardOneBackwardBlock(
        *consecutiveRuns(name, problem, &ignored));
  if (name == "zb-h1")
    return zeroBubbleH1Block(*consecutiveRuns(name, problem, &ignored));
  if (name == "zb-h2")
    return zeroBubbleH2Block(*consecutiveRuns(name, problem, &ignored));
  return vBlock(name, problem);
}

std::optional<BuildingBlock>
namedBlock(std::string_view name, const Problem &problem, std::string *error) {
  std::string ignored;
  if (!error)
    error = &ignored;
  if (const NamedSchedule *named = findNamed(name);
      named && findBuilder(*named)) {
    *error = std::string(name) + " is not made from a building block";
    return std::nullopt;
  }
  std::optional<Selection> selection = parseSelection(name, error);
  if (!selection || !checkPlacement(selection->name, problem, error))
    return std::nullopt;
  std::optional<BuildingBlock> block = makeBlock(*selection, problem);
  if (!block)
    *error = std::string(name) + " is not made from a building block";
  else if (!block->placeBackwardWeights(withUnitTimes(problem))) {
    *error =
        "no slot is left for a backward-weight pass of " + std::string(name);
    return std::nullopt;
  }
  return block;
}

/// The orders that are defined pass by pass; nullopt for those that come from a
/// building block.
static std::optional<Schedule> explicitOrder(std::string_view name,
                                             const Problem &problem) {
  if (name == "gpipe")
    return gpipe(problem);
  if (name == "interleaved-1f1b")
    return interleavedOneForwardOneBackward(problem);
  if (name == "interleaved-zb")
    return interleavedZeroBubble(problem);
  if (name == "zb-v")
    return zeroBubbleV(problem);
  if (name == "dualpipe-v")
    return dualPipeV(problem);
  return std::nullopt;
}

namespace {

/// What a device holds at most.
struct Peak {
  int64_t bytes = 0;       // of activations
  int64_t activations = 0; // of any stage and microbatch
};

} // namespace

static std::vector<Peak> peaksOf(const Problem &problem,
                                 const Schedule &schedule) {
  std::vector<Peak> peaks;
  for (const std::vector<Pass> &order : schedule.order) {
    Peak &peak = peaks.emplace_back();
    Peak held;
    for (const Pass &pass : order) {
      const Stage &stage = problem.stages[pass.stage];
      held.bytes += stage.taken(pass.kind);
      peak.bytes = std::max(peak.bytes, held.bytes);
      held.bytes -= stage.released(pass.kind);
      bool isLast =
          pass.kind == PassKind::BackwardWeight ||
          pass.kind == PassKind::Backward ||
          (pass.kind == PassKind::BackwardInput && !stage.hasBackwardWeight);
      held.activations += pass.kind == PassKind::Forward ? 1 : isLast ? -1 : 0;
      peak.activations = std::max(peak.activations, held.activations);
    }
  }
  return peaks;
}

/// What a schedule holds on each device once it has reached its steady state,
/// whether or not a step has enough microbatches for that. Less than the bound
/// of a block, which rounds every lifespan up to whole intervals on its own.
static std::vector<Peak> steadyPeaks(const Selection &selection,
                                     const BuildingBlock *block, Problem unit) {
  if (block) {
    double last = 0;
    for (int s = 0; s < unit.numStages(); ++s)
      last =
          std::max(last, block->stages[s].forward + block->lifespan(unit, s));
    int intervals = static_cast<int>(std::ceil(last / block->interval));
    unit.numMicrobatches = (intervals + 1) * block->group;
    return peaksOf(unit, repeat(*block, unit));
  }
  unit.numMicrobatches = 4 * unit.numDevices;
  return peaksOf(unit, *explicitOrder(selection.name, unit));
}

/// How many activation bytes each device may hold while passes change places:
/// what it needs in steady state, and if that is fewer activations than on
/// another device, as many as there; but no more bytes than the device that
/// holds most, counted with and without fixed bytes, and no more than the
/// memory limit leaves.
static std::vector<int64_t> reorderLimits(const Problem &problem,
                                          const std::vector<Peak> &steady) {
  int64_t largest = 0, largestWithFixed = 0, mostActivations = 0;
  for (int device = 0; device < problem.numDevices; ++device) {
    const Peak &peak = steady[device];
    largest = std::max(largest, peak.bytes);
    largestWithFixed =
        std::max(largestWithFixed, peak.bytes + problem.fixed(device));
    mostActivations = std::max(mostActivations, peak.activations);
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
    auto [bytes, activations] = steady[device];
    double asMany = activations > 0 ? static_cast<double>(bytes) *
                                          static_cast<double>(mostActivations) /
                                          static_cast<double>(activations)
                                    : 0;
    limits[device] = std::min(largest, largestWithFixed - fixed);
    if (asMany < static_cast<double>(limits[device]))
      limits[device] = std::max(bytes, static_cast<int64_t>(asMany));
    if (std::optional<int64_t> limit = problem.limit(device))
      limits[device] =
          std::min(limits[device], *limit - fixed - buffers[device]);
  }
  return limits;
}

/// Puts every R directly before the first backward pass of its microbatch.
static void insertRecomputation(const Problem &problem, Schedule &schedule) {
  for (std::vector<Pass> &order : schedule.order) {
    std::vector<Pass> result;
    for (const Pass &pass : order) {
      const Stage &stage = problem.stages[pass.stage];
      bool isFirst =
          pass.kind == PassKind::Backward ||
          pass.kind == PassKind::BackwardInput ||
          (pass.kind == PassKind::BackwardWeight && !stage.hasBackwardInput);
      if (stage.recompute && isFirst)
        result.push_back({PassKind::Recompute, pass.stage, pass.microbatch});
      result.push_back(pass);
    }
    order = std::move(result);
  }
}

/// Whether idle time of fill and drain may be used by passes of later turns.
/// gpipe, 1f1b and interleaved-1f1b have their order by definition.
static bool isCompacted(std::string_view name) {
  return name != "gpipe" && name != "1f1b" && name != "interleaved-1f1b" &&
         name != "dualpipe-v";
}

/// Whether `pullForward` can take these passes, and its tables are not mostly
/// idle time.
static bool areInSlots(const std::vector<std::vector<TimedPass>> &passes) {
  constexpr double kSlotsOfAnyBlock = 1 << 20, kMostIdle = 32;
  double busy = 0;
  for (const std::vector<TimedPass> &device : passes)
    for (const TimedPass &timed : device)
      busy += timed.end - timed.start;
  double maxSlots = std::max(kSlotsOfAnyBlock, kMostIdle * busy);
  for (const std::vector<TimedPass> &device : passes) {
    double free = 0;
    for (const auto &[pass, start, end] : device) {
      if (start != std::floor(start) || end != std::floor(end) ||
          start < free || end <= start ||
          end * static_cast<double>(passes.size()) > maxSlots)
        return false;
      free = end;
    }
  }
  return true;
}

namespace {

/// How long schedules of one problem take, with and without transfers: what
/// `simulate` says, without all else that it says.
class OrderTimes {
public:
  /// Without transfers, and with a delay between devices.
  static constexpr size_t kNumCases = 2;
  struct Times {
    double makespan = 0;
    double span = 0;
    auto operator<=>(const Times &) const = default;
  };

  OrderTimes(const Problem &problem, double delay)
      : problem(problem), delays{0, delay} {
    for (const Stage &stage : problem.stages)
      for (PassKind kind : {PassKind::Forward, PassKind::BackwardInput,
                            PassKind::BackwardWeight, PassKind::Backward})
        durations.push_back(stage.duration(kind));
  }

  /// Requires a schedule that `verify` accepts, of F, B, W and fused passes.
  std::array<Times, kNumCases> measure(const Schedule &schedule) {
    size_t size =
        static_cast<size_t>(problem.numStages()) * problem.numMicrobatches;
    forwardEnds.assign(size, kUnknown);
    gradientEnds.assign(size, kUnknown);
    devices.assign(problem.numDevices, {});
    std::vector<int> worklist(problem.numDevices);
    std::iota(worklist.rbegin(), worklist.rend(), 0);
    while (!worklist.empty()) {
      int device = worklist.back();
      worklist.pop_back();
      size_t before = devices[device].next;
      int other = advance(schedule.order[device], device);
      if (other >= 0)
        devices[other].waiting.push_back(device);
      if (devices[device].next != before) {
        std::vector<int> &waiting = devices[device].waiting;
        worklist.insert(worklist.end(), waiting.begin(), waiting.end());
        waiting.clear();
      }
    }
    std::array<Times, kNumCases> result;
    for (size_t c = 0; c < kNumCases; ++c)
      for (const Device &device : devices)
        if (device.next > 0) {
          result[c].makespan = std::max(result[c].makespan, device.free[c]);
          result[c].span =
              std::max(result[c].span, device.free[c] - device.start[c]);
        }
    return result;
  }

private:
  using Instants = std::array<double, kNumCases>;
  static constexpr Instants kUnknown = {-1, -1};

  struct Device {
    size_t next = 0;
    Instants start{}, free{};
    std::vector<int> waiting; // devices that wait for this one
  };

  /// Runs the device until it has to wait, and returns the device that it
  /// waits for; -1 at the end.
  int advance(const std::vector<Pass> &order, int index) {
    Device &device = devices[index];
    for (; device.next < order.size(); ++device.next) {
      auto [kind, s, m] = order[device.next];
      size_t at = static_cast<size_t>(s) * problem.numMicrobatches + m;
      bool isForward = kind == PassKind::Forward;
      Instants time = device.free;
      // Its own F and B come before in the order of the device.
      int producer = isForward ? s - 1
                     : kind == PassKind::BackwardWeight &&
                             problem.stages[s].hasBackwardInput
                         ? -1
                     : s + 1 < problem.numStages() ? s + 1
                                                   : -1;
      if (producer >= 0) {
        const Instants &end = isForward
                                  ? forwardEnds[at - problem.numMicrobatches]
                                  : gradientEnds[at + problem.numMicrobatches];
        int other = problem.placement[producer];
        if (end[0] < 0)
          return other;
        for (size_t c = 0; c < kNumCases; ++c)
          time[c] =
              std::max(time[c], end[c] + (other == index ? 0 : delays[c]));
      }
      if (device.next == 0)
        device.start = time;
      double duration = durations[4 * s + durationIndex(kind)];
      for (double &instant : time)
        instant += duration;
      device.free = time;
      if (isForward)
        forwardEnds[at] = time;
      else if (kind != PassKind::BackwardWeight)
        gradientEnds[at] = time;
    }
    return -1;
  }

  static size_t durationIndex(PassKind kind) {
    return kind == PassKind::Forward          ? 0
           : kind == PassKind::BackwardInput  ? 1
           : kind == PassKind::BackwardWeight ? 2
                                              : 3;
  }

  const Problem &problem;
  Instants delays;
  std::vector<double> durations; // of each stage: F, B, W, fused
  // Of each stage and microbatch.
  std::vector<Instants> forwardEnds, gradientEnds;
  std::vector<Device> devices;
};

/// The shortest of several schedules; of those that are equally long the one
/// of least span, and then the one that transfers delay least.
class Shortest {
public:
  explicit Shortest(const Problem &problem)
      : times(problem, kTransfer * problem.stages[0].forward) {}

  void consider(Schedule schedule) {
    auto measured = times.measure(schedule);
    if (!best.order.empty() && measured >= bestTimes)
      return;
    best = std::move(schedule);
    bestTimes = measured;
  }

  /// The best one; but `preferred` if that is as short, whatever its span, and
  /// transfers delay it less.
  Schedule take(const Schedule &preferred) {
    auto [ofPreferred, delayed] = times.measure(preferred);
    if (ofPreferred.makespan <= bestTimes[0].makespan && delayed < bestTimes[1])
      return preferred;
    return take();
  }

  Schedule take() { return std::move(best); }

private:
  static constexpr double kTransfer = 0.25; // of a forward pass

  OrderTimes times;
  Schedule best;
  std::array<OrderTimes::Times, OrderTimes::kNumCases> bestTimes;
};

} // namespace

/// The passes of each device that run while the device repeats the block: from
/// when the last pass of the first microbatches has its place to one interval
/// before the first one lacks its own.
static std::vector<PassRange>
steadyPasses(const BuildingBlock &block, int numMicrobatches,
             const std::vector<std::vector<TimedPass>> &passes) {
  std::vector<PassRange> steady;
  for (const std::vector<TimedPass> &device : passes) {
    PassRange &range = steady.emplace_back();
    double first = std::numeric_limits<double>::infinity(), last = -first;
    for (const TimedPass &timed : device)
      if (timed.pass.microbatch < block.group) {
        first = std::min(first, timed.start);
        last = std::max(last, timed.start);
      }
    double begin = last - block.interval;
    double end = first + block.delay(numMicrobatches) - block.interval;
    auto isBefore = [](const TimedPass &timed, double time) {
      return timed.start < time;
    };
    auto isAfter = [](double time, const TimedPass &timed) {
      return time < timed.start;
    };
    range.begin =
        std::upper_bound(device.begin(), device.end(), begin, isAfter) -
        device.begin();
    range.end = std::max<size_t>(
        range.begin,
        std::lower_bound(device.begin(), device.end(), end, isBefore) -
            device.begin());
  }
  return steady;
}

/// Fills the idle time of a schedule (`unit` has the times that its order is
/// made for) within the limits: passes move forward at their distances in the
/// block, and W's go where time is left after that. List scheduling from the
/// start may do better, but either may leave the steady state at a pace that
/// only passes without transfers can keep up, so both also try to leave it as
/// the block has it.
static Schedule compact(const Problem &unit, const Schedule &schedule,
                        const BuildingBlock *block,
                        const std::vector<int64_t> &limits) {
  std::vector<std::vector<TimedPass>> passes =
      block ? repeatTimed(*block, unit) : simulate(unit, schedule)->passes;
  auto pull = [&](const std::vector<PassRange> &kept) {
    return areInSlots(passes) ? pullForward(unit, passes, limits, kept)
                              : schedule;
  };
  Shortest shortest(unit);
  shortest.consider(schedule);
  Schedule pulled = pull({});
  shortest.consider(reorder(unit, pulled, limits, /*mayOvertake=*/false));
  shortest.consider(reorder(unit, schedule, limits));
  shortest.consider(reorder(unit, pulled, limits));
  if (!block) // The literature's own order is what the name stands for.
    return shortest.take(schedule);
  std::vector<PassRange> steady =
      steadyPasses(*block, unit.numMicrobatches, passes);
  shortest.consider(
      reorder(unit, pull(steady), limits, /*mayOvertake=*/false, steady));
  shortest.consider(
      reorder(unit, schedule, limits, /*mayOvertake=*/true, steady));
  return shortest.take();
}

/// Builds and checks a schedule that is registered.
static std::optional<Schedule> buildRegistered(const ScheduleBuilder &build,
                                               std::string_view name,
                                               const Problem &problem,
                                               std::string *error) {
  std::optional<Schedule> schedule = build(name, problem, error);
  if (!schedule) {
    if (error->empty())
      *error = std::string(name) + " does not fit the problem";
    return std::nullopt;
  }
  schedule->name = name;
  auto isStage = [&](const Pass &pass) {
    return pass.stage >= 0 && pass.stage < problem.numStages();
  };
  // What is no stage is for `verify` to tell.
  if (std::ranges::all_of(schedule->order, [&](const auto &order) {
        return std::ranges::all_of(order, isStage);
      }))
    insertRecomputation(problem, *schedule);
  // As of those that are built in, whether it fits is for others to say.
  Problem unlimited = problem;
  unlimited.memoryLimits.clear();
  std::optional<std::string> wrong = verify(unlimited, *schedule);
  if (!wrong)
    return schedule;
  *error = std::string(name) + " built an order that cannot run: " + *wrong;
  return std::nullopt;
}

std::optional<Schedule> buildNamed(std::string_view name,
                                   const Problem &problem, std::string *error) {
  std::string ignored;
  if (!error)
    error = &ignored;
  if (const NamedSchedule *named = findNamed(name))
    if (const ScheduleBuilder *build = findBuilder(*named))
      return buildRegistered(*build, name, problem, error);
  std::optional<Selection> selection = parseSelection(name, error);
  if (!selection || !checkPlacement(selection->name, problem, error))
    return std::nullopt;
  Problem unit = withUnitTimes(problem);
  std::optional<BuildingBlock> block;
  std::optional<Schedule> schedule = explicitOrder(selection->name, unit);
  if (!schedule) {
    block = namedBlock(name, problem, error);
    if (!block)
      return std::nullopt;
    schedule = repeat(*block, unit);
  }
  if (isCompacted(selection->name)) {
    std::vector<Peak> peaks =
        steadyPeaks(*selection, block ? &*block : nullptr, unit);
    schedule = compact(unit, *schedule, block ? &*block : nullptr,
                       reorderLimits(problem, peaks));
  }
  schedule->name = name;
  insertRecomputation(problem, *schedule);
  return schedule;
}

std::optional<Schedule> buildFromBlock(std::string_view name,
                                       const PlacedBlock &placed,
                                       const Problem &problem,
                                       std::string *error) {
  auto fail = [&](const std::string &why) {
    if (error)
      *error = std::string(name) + ": " + why;
    return std::nullopt;
  };
  if (placed.numDevices != problem.numDevices ||
      placed.placement.size() != problem.placement.size())
    return fail("the block is for " + std::to_string(placed.placement.size()) +
                " stages on " + std::to_string(placed.numDevices) +
                " devices, the problem has " +
                std::to_string(problem.numStages()) + " on " +
                std::to_string(problem.numDevices));
  for (int s = 0; s < problem.numStages(); ++s)
    if (placed.placement[s] != problem.placement[s])
      return fail("the block has stage " + std::to_string(s) + " on device " +
                  std::to_string(placed.placement[s]) + ", the problem on " +
                  std::to_string(problem.placement[s]));
  Problem unit = withTimes(problem, placed.durations);
  BuildingBlock block = placed.block;
  if (!block.placeBackwardWeights(unit))
    return fail("no slot is left for a backward-weight pass");
  if (std::optional<std::string> message = block.check(unit))
    return fail(*message);
  Schedule schedule = repeat(block, unit);
  // Passes that take no time may come in an order that deadlocks.
  std::string message;
  if (!simulate(unit, schedule, &message))
    return fail(message);
  schedule = compact(unit, schedule, &block,
                     reorderLimits(problem, peaksOf(unit, schedule)));
  schedule.name = name;
  insertRecomputation(problem, schedule);
  return schedule;
}

} // namespace weir::schedule
