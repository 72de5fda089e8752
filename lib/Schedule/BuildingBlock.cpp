// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/BuildingBlock.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

namespace weir::schedule {

/// Offsets are sums of a few durations, so anything below this fraction of them
/// is rounding.
static constexpr double kTolerance = 1e-9;

namespace {

/// A pass of the block as it occupies its device, once per interval.
struct Slot {
  PassKind kind;
  int stage;
  double start;
  double duration;
  int position = 0; // in the group of microbatches
};

} // namespace

static std::vector<Slot> slotsOfStage(const BuildingBlock &block,
                                      const Problem &problem, int s) {
  const Stage &stage = problem.stages[s];
  const BuildingBlock::Offsets &offsets = block.stages[s];
  std::vector<Slot> slots;
  auto add = [&](PassKind kind, double start) {
    slots.push_back({kind, s, start, stage.duration(kind)});
  };
  add(PassKind::Forward, offsets.forward);
  if (block.fused) {
    if (stage.hasBackward())
      add(PassKind::Backward, offsets.backwardInput);
    return slots;
  }
  if (stage.hasBackwardInput)
    add(PassKind::BackwardInput, offsets.backwardInput);
  if (stage.hasBackwardWeight && offsets.backwardWeight)
    add(PassKind::BackwardWeight, *offsets.backwardWeight);
  return slots;
}

static bool overlap(const Slot &a, const Slot &b, double interval) {
  if (a.duration <= 0 || b.duration <= 0)
    return false;
  double tolerance = kTolerance * std::min(a.duration, b.duration);
  double distance = std::fmod(b.start - a.start, interval);
  if (distance < 0)
    distance += interval;
  // b begins `distance` after a, and a again `interval - distance` after b.
  return distance < a.duration - tolerance ||
         interval - distance < b.duration - tolerance;
}

/// The slots of the other microbatches of the group.
static void appendGroup(const BuildingBlock &block, Slot slot,
                        std::vector<Slot> &slots) {
  for (slot.position = 1; slot.position < block.group; ++slot.position) {
    slot.start += block.stride;
    slots.push_back(slot);
  }
}

static double transferSeconds(const Problem &problem, int from, int to,
                              int64_t bytes) {
  if (from == to)
    return 0;
  const Link &link = problem.link(from, to);
  return link.latency + static_cast<double>(bytes) / link.bandwidth;
}

bool BuildingBlock::placeBackwardWeights(const Problem &problem) {
  for (const std::vector<int> &stagesHere : problem.stagesOfDevices()) {
    std::vector<Slot> occupied;
    std::vector<int> toPlace;
    for (int s : stagesHere) {
      for (const Slot &slot : slotsOfStage(*this, problem, s)) {
        occupied.push_back(slot);
        appendGroup(*this, slot, occupied);
      }
      if (!fused && problem.stages[s].hasBackwardWeight &&
          !stages[s].backwardWeight)
        toPlace.push_back(s);
    }
    std::sort(toPlace.begin(), toPlace.end(), [&](int a, int b) {
      return stages[a].backwardInput < stages[b].backwardInput;
    });
    for (int s : toPlace) {
      const Stage &stage = problem.stages[s];
      double earliest =
          stages[s].backwardInput + stage.duration(PassKind::BackwardInput);
      // The earliest gap begins right there or where another pass ends.
      std::vector<double> candidates = {earliest};
      for (const Slot &slot : occupied) {
        double end = slot.start + slot.duration;
        double intervals = std::ceil((earliest - end) / interval - kTolerance);
        candidates.push_back(std::max(earliest, end + intervals * interval));
      }
      std::sort(candidates.begin(), candidates.end());
      // Where one W of the group fits, the others need not.
      auto fits = [&](double start) {
        for (int g = 0; g < group; ++g) {
          Slot w{PassKind::BackwardWeight, s, start + g * stride,
                 stage.backwardWeight};
          for (const Slot &slot : occupied)
            if (overlap(slot, w, interval))
              return false;
        }
        return true;
      };
      auto start = std::find_if(candidates.begin(), candidates.end(), fits);
      if (start == candidates.end())
        return false;
      stages[s].backwardWeight = *start;
      Slot w{PassKind::BackwardWeight, s, *start, stage.backwardWeight};
      occupied.push_back(w);
      appendGroup(*this, w, occupied);
    }
  }
  return true;
}

std::optional<std::string> BuildingBlock::check(const Problem &problem) const {
  auto name = [](const Slot &slot) {
    return std::string(shortName(slot.kind)) + " of stage " +
           std::to_string(slot.stage);
  };
  std::vector<std::vector<Slot>> devices(problem.numDevices);
  double longest = 0;
  for (int s = 0; s < problem.numStages(); ++s)
    for (const Slot &slot : slotsOfStage(*this, problem, s))
      longest = std::max(longest, slot.duration);
  double tolerance = kTolerance * std::min(interval, longest);
  for (int s = 0; s < problem.numStages(); ++s) {
    const Stage &stage = problem.stages[s];
    if (!fused && stage.hasBackwardWeight && !stages[s].backwardWeight)
      return "W of stage " + std::to_string(s) + " has no offset";

    double forwardArrival = -std::numeric_limits<double>::infinity();
    if (s > 0) {
      const Stage &previous = problem.stages[s - 1];
      forwardArrival =
          stages[s - 1].forward + previous.forward +
          transferSeconds(problem, problem.placement[s - 1],
                          problem.placement[s], previous.forwardTransferBytes);
    }
    double gradientArrival = stages[s].forward + stage.forward;
    if (s + 1 < problem.numStages()) {
      const Stage &next = problem.stages[s + 1];
      double end =
          stages[s + 1].backwardInput +
          next.duration(fused ? PassKind::Backward : PassKind::BackwardInput);
      gradientArrival =
          std::max(gradientArrival,
                   end + transferSeconds(problem, problem.placement[s + 1],
                                         problem.placement[s],
                                         next.backwardTransferBytes));
    }
    double backwardEnd =
        stages[s].backwardInput + stage.duration(PassKind::BackwardInput);
    for (const Slot &slot : slotsOfStage(*this, problem, s)) {
      double earliest = gradientArrival;
      if (slot.kind == PassKind::Forward)
        earliest = forwardArrival;
      else if (slot.kind == PassKind::BackwardWeight && stage.hasBackwardInput)
        earliest = backwardEnd;
      if (slot.start < earliest - tolerance)
        return name(slot) + " starts before its input is there";
      std::vector<Slot> &device = devices[problem.placement[s]];
      device.push_back(slot);
      appendGroup(*this, slot, device);
    }
  }
  for (int device = 0; device < problem.numDevices; ++device) {
    const std::vector<Slot> &slots = devices[device];
    for (size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].duration > interval + tolerance)
        return name(slots[i]) + " takes longer than the interval";
      for (size_t j = i + 1; j < slots.size(); ++j)
        if (overlap(slots[i], slots[j], interval))
          return name(slots[i]) + " and " + name(slots[j]) +
                 " overlap on device " + std::to_string(device);
    }
  }
  return std::nullopt;
}

double BuildingBlock::lifespan(const Problem &problem, int stage) const {
  double end = 0;
  for (const Slot &slot : slotsOfStage(*this, problem, stage))
    end = std::max(end, slot.start + slot.duration);
  return end - stages[stage].forward;
}

std::vector<int64_t> BuildingBlock::memoryBound(const Problem &problem) const {
  std::vector<int64_t> bound(problem.numDevices, 0);
  for (int s = 0; s < problem.numStages(); ++s) {
    const Stage &stage = problem.stages[s];
    // Every pass takes at its start something that a later one gives back at
    // its end: what B gives back first comes out of what F took.
    auto copies = [&](double start, double end) {
      // How many microbatches start within a lifespan: most for a window that
      // begins with one of them.
      int64_t most = 1;
      for (int first = 0; first < group; ++first) {
        int64_t count = 0;
        for (int other = 0; other < group; ++other) {
          double distance = (other - first) * stride;
          if (distance < 0)
            distance += interval;
          count += static_cast<int64_t>(std::max(
              0.0,
              std::ceil((end - start - distance) / interval - kTolerance)));
        }
        most = std::max(most, count);
      }
      return most;
    };
    int64_t ofForward = stage.taken(PassKind::Forward);
    int64_t ofBackward = 0;
    double backwardStart = 0;
    for (const Slot &slot : slotsOfStage(*this, problem, s)) {
      double end = slot.start + slot.duration;
      int64_t released = stage.released(slot.kind);
      if (slot.kind == PassKind::BackwardInput ||
          slot.kind == PassKind::Backward) {
        ofBackward = stage.taken(slot.kind);
        backwardStart = slot.start;
      }
      bool isLast = slot.kind == PassKind::BackwardWeight ||
                    slot.kind == PassKind::Backward;
      int64_t fromBackward = isLast ? ofBackward : 0;
      int64_t fromForward = std::min(released - fromBackward, ofForward);
      ofForward -= fromForward;
      int64_t &total = bound[problem.placement[s]];
      if (fromForward > 0)
        total += fromForward * copies(stages[s].forward, end);
      if (fromBackward > 0)
        total += fromBackward * copies(backwardStart, end);
    }
  }
  return bound;
}

std::vector<std::vector<TimedPass>> repeatTimed(const BuildingBlock &block,
                                                const Problem &problem) {
  std::vector<std::vector<TimedPass>> devices(problem.numDevices);
  for (int s = 0; s < problem.numStages(); ++s)
    for (const Slot &slot : slotsOfStage(block, problem, s))
      for (int m = 0; m < problem.numMicrobatches; ++m) {
        double start = slot.start + block.delay(m);
        devices[problem.placement[s]].push_back(
            {{slot.kind, s, m}, start, start + slot.duration});
      }
  for (std::vector<TimedPass> &passes : devices) {
    // Equal times come from passes that take none; data flows through them
    // from the first stage to the last and back.
    auto key = [](const TimedPass &timed) {
      bool isForward = timed.pass.kind == PassKind::Forward;
      return std::tuple(timed.start, !isForward,
                        isForward ? timed.pass.stage : -timed.pass.stage,
                        timed.pass.microbatch, timed.pass.kind);
    };
    std::sort(passes.begin(), passes.end(),
              [&](const TimedPass &a, const TimedPass &b) {
                return key(a) < key(b);
              });
  }
  return devices;
}

Schedule repeat(const BuildingBlock &block, const Problem &problem) {
  Schedule schedule;
  for (const std::vector<TimedPass> &passes : repeatTimed(block, problem)) {
    std::vector<Pass> &order = schedule.order.emplace_back();
    order.reserve(passes.size());
    for (const TimedPass &timed : passes)
      order.push_back(timed.pass);
  }
  return schedule;
}

namespace {

/// The slots of all devices, and what is in them.
class SlotTable {
public:
  SlotTable(const Problem &problem,
            const std::vector<std::vector<TimedPass>> &passes,
            const std::vector<int64_t> &limits,
            const std::vector<PassRange> &kept)
      : problem(problem), limits(limits), devices(problem.numDevices),
        previousEnd(static_cast<size_t>(problem.numStages()) * kNumPassKinds),
        forwardEnd(static_cast<size_t>(problem.numStages()) *
                   problem.numMicrobatches),
        gradientEnd(forwardEnd.size()) {
    int numSlots = 0;
    for (const std::vector<TimedPass> &device : passes)
      for (const TimedPass &timed : device)
        numSlots = std::max(numSlots, static_cast<int>(timed.end));
    for (int d = 0; d < problem.numDevices; ++d) {
      devices[d].passAt.assign(numSlots, -1);
      devices[d].held.assign(numSlots, 0);
      PassRange keptHere = kept.empty() ? PassRange() : kept[d];
      int earliest = 0;
      for (size_t i = 0; i < passes[d].size(); ++i) {
        const TimedPass &timed = passes[d][i];
        int start = static_cast<int>(timed.start);
        bool isKept = i >= keptHere.begin && i < keptHere.end;
        place(d, timed.pass, start, isKept ? start : earliest, numSlots);
        if (isKept)
          earliest = static_cast<int>(timed.end);
      }
      std::partial_sum(devices[d].held.begin(), devices[d].held.end(),
                       devices[d].held.begin());
    }
    slotsToSearch = kSlotsPerPass * static_cast<int64_t>(entries.size());
  }

  Schedule run() {
    // Sorted by counting how many passes start in each slot.
    std::vector<int> firstAt(devices.empty() ? 1
                                             : devices[0].passAt.size() + 1);
    for (const Entry &entry : entries)
      ++firstAt[entry.start + 1];
    std::partial_sum(firstAt.begin(), firstAt.end(), firstAt.begin());
    std::vector<int> byTime(entries.size());
    for (size_t i = 0; i < entries.size(); ++i)
      byTime[firstAt[entries[i].start]++] = static_cast<int>(i);
    for (int i : byTime)
      pull(i);
    Schedule schedule;
    for (const Device &device : devices) {
      std::vector<Pass> &order = schedule.order.emplace_back();
      int last = -1;
      for (int index : device.passAt) {
        if (index >= 0 && index != last)
          order.push_back(entries[index].pass);
        last = index;
      }
    }
    return schedule;
  }

private:
  /// Far more than passes of any block without much idle time have before them.
  static constexpr int64_t kSlotsPerPass = 4096;

  struct Entry {
    Pass pass;
    int start;
    int length;
    int earliest; // where it may start at all
  };
  struct Device {
    std::vector<int> passAt;   // index of the entry in each slot; -1: idle
    std::vector<int64_t> held; // activation bytes during each slot
  };

  size_t at(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * problem.numMicrobatches + microbatch;
  }

  void place(int d, const Pass &pass, int start, int earliest, int numSlots) {
    const Stage &stage = problem.stages[pass.stage];
    int length = static_cast<int>(stage.duration(pass.kind));
    std::fill_n(devices[d].passAt.begin() + start, length,
                static_cast<int>(entries.size()));
    entries.push_back({pass, start, length, earliest});
    int64_t taken = stage.taken(pass.kind);
    int64_t kept = taken - stage.released(pass.kind);
    // Changes here; the constructor adds them up.
    devices[d].held[start] += taken;
    if (start + length < numSlots)
      devices[d].held[start + length] += kept - taken;
  }

  int &endOfPrevious(int stage, PassKind kind) {
    return previousEnd[static_cast<size_t>(stage) * kNumPassKinds +
                       static_cast<size_t>(kind)];
  }

  /// The first slot in which the inputs of a pass are there.
  int ready(const Pass &pass) {
    auto [kind, s, m] = pass;
    // Microbatches run in order, where a fused pass counts as B and as W.
    int result = endOfPrevious(s, kind);
    if (kind == PassKind::Backward)
      result = std::max({result, endOfPrevious(s, PassKind::BackwardInput),
                         endOfPrevious(s, PassKind::BackwardWeight)});
    else if (kind != PassKind::Forward)
      result = std::max(result, endOfPrevious(s, PassKind::Backward));
    if (kind == PassKind::Forward)
      return s > 0 ? std::max(result, forwardEnd[at(s - 1, m)]) : result;
    if (kind == PassKind::BackwardWeight && problem.stages[s].hasBackwardInput)
      return std::max(result, gradientEnd[at(s, m)]);
    result = std::max(result, forwardEnd[at(s, m)]);
    return s + 1 < problem.numStages()
               ? std::max(result, gradientEnd[at(s + 1, m)])
               : result;
  }

  void pull(int index) {
    auto &[pass, start, length, earliest] = entries[index];
    auto [kind, s, m] = pass;
    int d = problem.placement[s];
    auto &[passAt, held] = devices[d];
    const Stage &stage = problem.stages[s];
    int64_t taken = stage.taken(kind);
    int64_t kept = taken - stage.released(kind);
    int from = std::max(ready(pass), earliest), to = start;
    // Idle time may be any multiple of what passes take.
    if (start - from > slotsToSearch)
      return stay(index);
    slotsToSearch -= start - from;
    // What is kept until the old slots must fit all the time.
    if (kept > 0)
      for (int t = start - 1; t >= from; --t)
        if (held[t] + kept > limits[d])
          from = t + 1;
    for (int t = from; t < to; ++t) {
      bool fits = true;
      for (int u = t; fits && u < t + length; ++u)
        fits = (passAt[u] < 0 || passAt[u] == index) &&
               (u >= start || held[u] + taken <= limits[d]);
      if (fits)
        to = t;
    }
    if (to != start) {
      for (int t = start; t < start + length; ++t) {
        passAt[t] = -1;
        held[t] -= taken;
      }
      for (int t = to; t < start + length; ++t)
        held[t] += t < to + length ? taken : kept;
      std::fill_n(passAt.begin() + to, length, index);
      start = to;
    }
    stay(index);
  }

  /// The pass has its slots.
  void stay(int index) {
    const auto &[pass, start, length, earliest] = entries[index];
    auto [kind, s, m] = pass;
    endOfPrevious(s, kind) = start + length;
    if (kind == PassKind::Forward)
      forwardEnd[at(s, m)] = start + length;
    else if (kind != PassKind::BackwardWeight)
      gradientEnd[at(s, m)] = start + length;
  }

  const Problem &problem;
  const std::vector<int64_t> &limits;
  int64_t slotsToSearch; // until passes stay where they are
  std::vector<Entry> entries;
  std::vector<Device> devices;
  // Per stage and kind, the end of the last microbatch so far.
  std::vector<int> previousEnd;
  std::vector<int> forwardEnd, gradientEnd;
};

} // namespace

Schedule pullForward(const Problem &problem,
                     const std::vector<std::vector<TimedPass>> &passes,
                     const std::vector<int64_t> &limits,
                     const std::vector<PassRange> &kept) {
  return SlotTable(problem, passes, limits, kept).run();
}

namespace {

/// List scheduling in the order of time, device by device.
class Reordering {
public:
  Reordering(const Problem &problem, const Schedule &schedule,
             const std::vector<int64_t> &limits, bool mayOvertake,
             const std::vector<PassRange> &kept)
      : problem(problem), limits(limits), mayOvertake(mayOvertake),
        devices(problem.numDevices), inputs(arraySize(), kUnknown),
        gradients(arraySize(), kUnknown), keepsPlace(arraySize()),
        lastKept(problem.numStages(), -1) {
    std::fill_n(inputs.begin(), problem.numMicrobatches, 0);
    for (const Stage &stage : problem.stages) {
      Costs &costs = costsOf.emplace_back();
      for (int k = 0; k < kNumPassKinds; ++k) {
        PassKind kind = static_cast<PassKind>(k);
        costs.duration[k] = stage.duration(kind);
        costs.taken[k] = stage.taken(kind);
        costs.released[k] = stage.released(kind);
      }
      costs.isSplit = stage.hasBackwardInput && stage.hasBackwardWeight;
    }
    result.name = schedule.name;
    result.order.resize(problem.numDevices);
    for (int d = 0; d < problem.numDevices; ++d) {
      const std::vector<Pass> &order = schedule.order[d];
      result.order[d].reserve(order.size());
      PassRange keptHere = kept.empty() ? PassRange() : kept[d];
      for (size_t i = 0; i < order.size(); ++i) {
        const Pass &pass = order[i];
        if (i == keptHere.begin)
          devices[d].kept.begin = devices[d].order.size();
        if (i == keptHere.end)
          devices[d].kept.end = devices[d].order.size();
        if (isMovable(pass)) {
          if (i < keptHere.begin || i >= keptHere.end)
            continue;
          keepsPlace[slot(pass.stage, pass.microbatch)] = true;
          lastKept[pass.stage] = pass.microbatch;
        }
        devices[d].order.push_back(pass);
      }
      if (keptHere.end == order.size())
        devices[d].kept.end = devices[d].order.size();
      devices[d].done.resize(devices[d].order.size());
    }
    for (int s = 0; s < problem.numStages(); ++s) {
      std::vector<Row> &rows = devices[problem.placement[s]].rows;
      rows.push_back({s, true});
      if (problem.stages[s].hasBackward())
        rows.push_back({s, false});
    }
    overtakenAt.resize(2 * costsOf.size());
    numStarted.resize(2 * costsOf.size());
  }

  Schedule run() {
    for (int device = 0; device < problem.numDevices; ++device)
      events.push({0, device});
    while (!events.empty()) {
      auto [time, device] = events.top();
      events.pop();
      now = time;
      if (time >= devices[device].freeAt)
        step(device, time);
    }
    return std::move(result);
  }

private:
  static constexpr double kUnknown = std::numeric_limits<double>::infinity();

  struct Costs {
    std::array<double, kNumPassKinds> duration;
    std::array<int64_t, kNumPassKinds> taken, released;
    bool isSplit; // into B and W
  };

  /// Passes that keep their order: the F's of a stage, or its B's (or fused
  /// passes, or what it has in their place).
  struct Row {
    int stage;
    bool isForward;
    size_t index() const { return 2 * static_cast<size_t>(stage) + isForward; }
  };

  struct Device {
    // The given order without W's that may be moved.
    std::vector<Pass> order;
    std::vector<bool> done; // which passes have been run ahead of their turn
    size_t next = 0;
    double freeAt = 0;
    int64_t held = 0;
    // What keeps its order within it, as in `reorder`.
    PassRange kept;
    std::deque<Pass> ready;   // W's whose B has run
    std::vector<Pass> later;  // the same; they wait for those that are kept
    int64_t heldForReady = 0; // what they will give back
    std::vector<Row> rows;
    double wakesAt = -1; // of its last event
  };

  static size_t index(PassKind kind) { return static_cast<size_t>(kind); }
  int64_t taken(const Pass &pass) const {
    return costsOf[pass.stage].taken[index(pass.kind)];
  }
  int64_t released(const Pass &pass) const {
    return costsOf[pass.stage].released[index(pass.kind)];
  }
  /// What a W will give back that follows `pass`.
  int64_t releasedByWeight(const Pass &pass) const {
    const Costs &costs = costsOf[pass.stage];
    return pass.kind == PassKind::BackwardInput && costs.isSplit &&
                   !keepsPlace[slot(pass.stage, pass.microbatch)]
               ? costs.released[index(PassKind::BackwardWeight)]
               : 0;
  }

  size_t arraySize() const {
    return static_cast<size_t>(problem.numStages()) * problem.numMicrobatches;
  }
  size_t slot(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * problem.numMicrobatches + microbatch;
  }
  /// A W that may be moved. Where the stage has no B, its W waits for other
  /// devices and keeps its place.
  bool isMovable(const Pass &pass) const {
    return pass.kind == PassKind::BackwardWeight &&
           problem.stages[pass.stage].hasBackwardInput;
  }

  double readyTime(const Pass &pass) const {
    if (pass.kind == PassKind::Update)
      return 0;
    size_t at = slot(pass.stage, pass.microbatch);
    return pass.kind == PassKind::Forward ? inputs[at] : gradients[at];
  }

  void step(int d, double time) {
    Device &device = devices[d];
    while (device.next < device.order.size() && device.done[device.next])
      ++device.next;
    if (device.next >= device.kept.end && !device.later.empty()) {
      for (const Pass &w : device.later)
        addReady(device, w);
      device.later.clear();
    }
    if (device.next == device.order.size()) {
      if (!device.ready.empty())
        start(d, takeReady(device), time);
      return;
    }
    const Pass pass = device.order[device.next];
    double readyAt = readyTime(pass);
    if (readyAt <= time && (mayStart(d, pass) || device.ready.empty())) {
      ++device.next;
      return start(d, pass, time);
    }
    if (readyAt > time && mayOvertake) {
      if (std::optional<size_t> ahead = findAhead(d, time)) {
        device.done[*ahead] = true;
        return start(d, device.order[*ahead], time);
      }
    }
    if (!device.ready.empty())
      return start(d, takeReady(device), time);
    if (readyAt != kUnknown)
      wake(d, readyAt);
  }

  bool mayStart(int d, const Pass &pass) const {
    const Device &device = devices[d];
    // An update follows every W of its stage, and a W in its place or a fused
    // pass those of the microbatches before.
    bool followsWs = pass.kind == PassKind::Update ||
                     pass.kind == PassKind::Backward ||
                     pass.kind == PassKind::BackwardWeight;
    if (followsWs &&
        std::any_of(device.ready.begin(), device.ready.end(),
                    [&](const Pass &w) { return w.stage == pass.stage; }))
      return false;
    return device.held + taken(pass) <= limits[d];
  }

  /// Whether the input of the row's next pass is there.
  bool hasReady(const Row &row, double time) const {
    int m = numStarted[row.index()];
    return m < problem.numMicrobatches &&
           (row.isForward ? inputs : gradients)[slot(row.stage, m)] <= time;
  }

  /// A later pass that may run now, though the one whose turn it is may not. It
  /// must leave enough memory for all that it overtakes, or they might wait
  /// for each other.
  std::optional<size_t> findAhead(int d, double time) {
    const Device &device = devices[d];
    bool isBefore = device.next < device.kept.begin;
    if (!isBefore && device.next < device.kept.end)
      return std::nullopt;
    size_t end = isBefore ? device.kept.begin : device.order.size();
    size_t numCandidates =
        std::count_if(device.rows.begin(), device.rows.end(),
                      [&](const Row &row) { return hasReady(row, time); });
    if (numCandidates == 0)
      return std::nullopt;
    // What remains when every W runs as early as it can.
    int64_t held = device.held - device.heldForReady, peak = 0;
    ++numFinds;
    for (size_t i = device.next; i < end; ++i) {
      const Pass &pass = device.order[i];
      if (device.done[i])
        continue;
      if (pass.kind == PassKind::Update)
        return std::nullopt;
      int64_t kept = taken(pass) - released(pass) - releasedByWeight(pass);
      uint64_t &overtaken =
          overtakenAt[2 * pass.stage + (pass.kind == PassKind::Forward)];
      if (overtaken != numFinds) {
        if (readyTime(pass) <= time) {
          if (mayStart(d, pass) &&
              peak + std::max<int64_t>(kept, 0) <= limits[d])
            return i;
          if (--numCandidates == 0)
            return std::nullopt;
        }
        overtaken = numFinds;
      }
      peak = std::max(peak, held + taken(pass));
      if (peak > limits[d])
        return std::nullopt;
      held += kept;
    }
    return std::nullopt;
  }

  void addReady(Device &device, const Pass &w) {
    device.ready.push_back(w);
    device.heldForReady += released(w);
  }

  Pass takeReady(Device &device) {
    Pass pass = device.ready.front();
    device.ready.pop_front();
    device.heldForReady -= released(pass);
    return pass;
  }

  void start(int d, const Pass &pass, double time) {
    Device &device = devices[d];
    const Stage &stage = problem.stages[pass.stage];
    result.order[d].push_back(pass);
    device.held += taken(pass) - released(pass);
    device.freeAt = time + costsOf[pass.stage].duration[index(pass.kind)];
    wake(d, device.freeAt);
    auto [kind, s, m] = pass;
    if (kind != PassKind::Update && kind != PassKind::Recompute &&
        !isMovable(pass))
      ++numStarted[Row{s, kind == PassKind::Forward}.index()];
    if (kind == PassKind::Forward && s + 1 < problem.numStages())
      arrive(inputs, s + 1, m, device.freeAt, d, stage.forwardTransferBytes);
    else if (kind == PassKind::Forward) // The loss is where gradients begin.
      gradients[slot(s, m)] = device.freeAt;
    bool sendsGradient = kind == PassKind::BackwardInput ||
                         (kind == PassKind::Backward && stage.hasBackwardInput);
    if (sendsGradient && s > 0)
      arrive(gradients, s - 1, m, device.freeAt, d,
             stage.backwardTransferBytes);
    if (kind == PassKind::BackwardInput && stage.hasBackwardWeight &&
        !keepsPlace[slot(s, m)]) {
      Pass w{PassKind::BackwardWeight, s, m};
      // A W must not overtake those of its stage that keep their place.
      if (m > lastKept[s] && lastKept[s] >= 0 && device.next <= device.kept.end)
        device.later.push_back(w);
      else
        addReady(device, w);
    }
  }

  /// Lets the device look for a pass at that time.
  void wake(int d, double time) {
    Device &device = devices[d];
    if (time == device.wakesAt && time > now)
      return;
    device.wakesAt = time;
    events.push({time, d});
  }

  void arrive(std::vector<double> &times, int stage, int microbatch,
              double sent, int from, int64_t bytes) {
    int to = problem.placement[stage];
    double time = sent + transferSeconds(problem, from, to, bytes);
    times[slot(stage, microbatch)] = time;
    // A busy device looks when it is free.
    double freeAt = devices[to].freeAt;
    if (to != from && !(freeAt > now && freeAt >= time))
      wake(to, time);
  }

  const Problem &problem;
  const std::vector<int64_t> &limits;
  bool mayOvertake;
  std::vector<Costs> costsOf; // of each stage
  std::vector<Device> devices;
  // When the input of each F and the gradient for each backward pass arrive.
  std::vector<double> inputs, gradients;
  std::vector<bool> keepsPlace; // W's
  std::vector<int> lastKept; // of each stage, the last W that keeps its place
  // For the B's and F's of each stage, the call of `findAhead` that last
  // overtook one.
  std::vector<uint64_t> overtakenAt;
  uint64_t numFinds = 0;
  std::vector<int> numStarted; // of each row
  double now = 0;
  using Event = std::pair<double, int>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  Schedule result;
};

} // namespace

Schedule reorder(const Problem &problem, const Schedule &schedule,
                 const std::vector<int64_t> &limits, bool mayOvertake,
                 const std::vector<PassRange> &kept) {
  return Reordering(problem, schedule, limits, mayOvertake, kept).run();
}

} // namespace weir::schedule
