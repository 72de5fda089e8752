// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bounds for one device from what fits into its memory.

#ifndef WEIR_LIB_SCHEDULE_MEMORYBOUND_H
#define WEIR_LIB_SCHEDULE_MEMORYBOUND_H

#include "Relaxation.h"

namespace weir::schedule {

/// Bounds 3 and 4 of `lowerBound` for one device with a memory limit.
class MemoryBound {
public:
  /// `relaxation` has the heads and tails of what is to be bounded.
  MemoryBound(const Problem &problem, const Relaxation &relaxation, int device,
              const std::vector<int> &stagesHere)
      : problem(problem), relaxation(relaxation), here(stagesHere),
        microbatches(problem.numMicrobatches),
        memory(problem, relaxation.allStages(), device, stagesHere),
        first(memory.firstTrained()) {}

  double windows() const {
    double result = 0;
    forEachWindow([&](int s, int i, double least) {
      double head = i < 0 ? relaxation.headOfF(here[s], 0)
                          : relaxation.headOfG(here[s], i);
      result = std::max(result, head + least);
    });
    return result;
  }

  /// Calls `visit` with a stage (its index in `here`), a microbatch i and the
  /// least time from the start of its gradient pass, or for i = -1 from the
  /// first F of the device, to the end.
  template <typename Visit> void forEachWindow(Visit visit) const {
    int count = size();
    if (first == count)
      return;
    double lastTail = std::numeric_limits<double>::infinity();
    for (int j = first; j < count; ++j)
      lastTail =
          std::min(lastTail, relaxation.tailOfW(here[j], microbatches - 1));

    // idleAfter[t][i]: the longest for F(t, j) with j >= i.
    int stages = count - first;
    std::vector<std::vector<double>> idleAfter(stages);
    int stageStep = std::max(1, stages / 32);
    int64_t perStage =
        static_cast<int64_t>(microbatches) * count * (stages / stageStep);
    int step = static_cast<int>(std::max<int64_t>(1, perStage / 2000000));
    for (int t = first; t < count; ++t) {
      std::vector<double> &idle = idleAfter[t - first];
      idle.assign(microbatches + 1, -std::numeric_limits<double>::infinity());
      for (int i = microbatches - 1; i >= 0; --i) {
        idle[i] = idle[i + 1];
        if (isSample(t, stageStep) && (microbatches - 1 - i) % step == 0)
          idle[i] = std::max(idle[i], relaxation.tailOfF(here[t], i) -
                                          memory.afterForward(t, i));
      }
      visit(0, -1, memory.work() + idle[0]);
    }
    for (int s = first; s < count; ++s) {
      if (!isSample(s, stageStep))
        continue;
      for (int i = 0; i < microbatches; i += step) {
        double after = lastTail;
        for (int t = first; t < count; ++t) {
          if (!isSample(t, stageStep))
            continue;
          int64_t gap = memory.gap(s, t);
          if (gap > 0 && i + gap < microbatches)
            after = std::max(after, idleAfter[t - first][i + gap]);
        }
        visit(s, i, memory.work() - memory.beforeGradient(s, i) + after);
      }
    }
  }

  double littlesLaw() const {
    if (first == size())
      return 0;
    Slope up, down;
    double area = 0, lastTail = std::numeric_limits<double>::infinity();
    for (int j = first; j < size(); ++j) {
      const Stage &stage = problem.stages[here[j]];
      area += smallestArea(here[j]);
      for (PassKind kind :
           {PassKind::Forward, PassKind::Recompute, PassKind::BackwardInput,
            PassKind::BackwardWeight, PassKind::Backward}) {
        bool exists = kind != PassKind::BackwardInput || stage.hasBackwardInput;
        exists &= kind != PassKind::BackwardWeight || stage.hasBackwardWeight;
        if (!exists)
          continue;
        up.add(stage.taken(kind), stage.duration(kind));
        down.add(stage.released(kind), stage.duration(kind));
      }
      lastTail =
          std::min(lastTail, relaxation.tailOfW(here[j], microbatches - 1));
    }
    area *= microbatches;
    double bytes = static_cast<double>(memory.freeBytes());
    if (bytes <= 0 || area <= 0)
      return 0;
    double seconds = area / bytes;
    double rise = up.secondsTo(bytes), fall = down.secondsTo(bytes);
    double missing = (up.missing(bytes) + down.missing(bytes)) / bytes;
    // Where filling and draining would overlap, neither is counted.
    if (seconds + missing >= rise + fall)
      seconds += missing;
    return relaxation.headOfF(here[first], 0) + seconds + lastTail;
  }

private:
  /// Bytes that grow no faster than `largest` + `rate` * seconds.
  struct Slope {
    double largest = 0, rate = 0;
    void add(int64_t bytes, double seconds) {
      if (bytes <= 0)
        return;
      double value = static_cast<double>(bytes);
      largest = std::max(largest, value);
      rate =
          std::max(rate, seconds > 0 ? value / seconds
                                     : std::numeric_limits<double>::infinity());
    }
    double secondsTo(double bytes) const {
      return largest >= bytes || rate == std::numeric_limits<double>::infinity()
                 ? 0
                 : (bytes - largest) / rate;
    }
    /// Byte-seconds that are missing until `bytes` are reached.
    double missing(double bytes) const {
      return std::max(0.0, bytes - largest) * secondsTo(bytes) / 2;
    }
  };

  int size() const { return memory.size(); }
  bool isSample(int j, int step) const {
    return (j - first) % step == 0 || j + 1 == size();
  }
  /// Byte-seconds that a microbatch takes on a stage at least.
  double smallestArea(int s) const {
    const Stage &stage = problem.stages[s];
    const RelaxedStage &relaxed = relaxation.stage(s);
    auto area = [&](int64_t bytes, PassKind kind) {
      return static_cast<double>(bytes) * stage.duration(kind);
    };
    int64_t all = relaxed.afterRecompute;
    int64_t most = all + stage.taken(PassKind::Backward);
    double split =
        stage.hasBackwardInput ? area(most, PassKind::BackwardInput) : 0;
    if (stage.hasBackwardWeight)
      split += area(relaxed.afterGradient, PassKind::BackwardWeight);
    double wait = relaxation.headOfG(s, 0) - relaxation.headOfF(s, 0);
    return static_cast<double>(relaxed.afterForward) * wait +
           area(all - relaxed.afterForward, PassKind::Recompute) +
           std::min(split, area(most, PassKind::Backward));
  }

  const Problem &problem;
  const Relaxation &relaxation;
  const std::vector<int> &here; // stages of the device, ascending
  int microbatches;
  MemoryWindows memory;
  int first; // index of the lowest stage that has backward passes
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_MEMORYBOUND_H
