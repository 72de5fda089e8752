// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How much work of a device fits into its memory.

#ifndef WEIR_LIB_SCHEDULE_MEMORYWINDOWS_H
#define WEIR_LIB_SCHEDULE_MEMORYWINDOWS_H

#include "MostWork.h"
#include "weir/Schedule/Problem.h"

#include <algorithm>
#include <numeric>

namespace weir::schedule {

/// A stage of the relaxed problem: an F, an R, a gradient pass G and the weight
/// part W that may follow it, each no longer than in any mode (a fused backward
/// sends its gradient at its end, a split one earlier). A stage without B has a
/// G of no duration, which marks the arrival of its gradient.
struct RelaxedStage {
  double forward, recompute, gradient, weight;
  /// Bytes that a microbatch holds between passes: after F, after R, after G.
  int64_t afterForward, afterRecompute, afterGradient;

  explicit RelaxedStage(const Stage &stage);
  double work() const { return forward + recompute + gradient + weight; }
};

/// The windows of bound 3 of `lowerBound` on one device with a memory limit.
/// Stages are given by their index among the stages of the device.
class MemoryWindows {
public:
  MemoryWindows(const Problem &problem, const std::vector<RelaxedStage> &stages,
                int device, const std::vector<int> &stagesHere)
      : problem(problem), stages(stages), here(stagesHere),
        microbatches(problem.numMicrobatches),
        free(*problem.limit(device) - problem.fixed(device)) {
    int64_t kept = 0;
    for (int s : here) {
      const RelaxedStage &stage = stages[s];
      for (int64_t bytes : {stage.afterForward, stage.afterRecompute}) {
        unitBefore = std::gcd(unitBefore, bytes);
        unitAfter = std::gcd(unitAfter, bytes);
      }
      unitAfter = std::gcd(unitAfter, stage.afterGradient);
      workOfMicrobatch += stage.work();
      keptUpTo.push_back(kept += stage.afterForward);
      first += !problem.stages[s].hasBackward();
    }
  }

  int size() const { return static_cast<int>(here.size()); }
  /// The lowest stage that has backward passes.
  int firstTrained() const { return first; }
  int64_t freeBytes() const { return free; }
  double work() const { return microbatches * workOfMicrobatch; }

  /// The most work that may have been done when G(s, i) starts.
  double beforeGradient(int s, int i) const {
    auto bestOffer = [&](double price) {
      Offer best, sum;
      for (int j = 0; j < size(); ++j) {
        const RelaxedStage &stage = stages[here[j]];
        if (j > s)
          sum = sum + Offer{stage.work(), 0};
        else
          sum = sum + better(price, {stage.forward, double(stage.afterForward)},
                             {stage.forward + stage.recompute,
                              double(stage.afterRecompute)});
        best = better(price, best, sum);
      }
      return best;
    };
    return i * workOfMicrobatch + mostWorkWithin(roomAtGradient(s), unitBefore,
                                                 microbatches - i, bestOffer);
  }

  /// The most work that may be left when F(t, i) has ended.
  double afterForward(int t, int i) const {
    int64_t room = roomAtForward(t);
    auto bestOffer = [&](double price) {
      // Microbatches have had their G's from some stage on upwards.
      Offer ended, best;
      for (int j = 0; j < size(); ++j)
        ended = ended + pendingWeight(price, j);
      best = ended;
      Offer open;
      for (int j = 0; j < size(); ++j) {
        const RelaxedStage &stage = stages[here[j]];
        double backward = stage.gradient + stage.weight;
        if (j > t)
          open = open + Offer{stage.work(), 0};
        else
          open = open + better(price,
                               {stage.recompute + backward,
                                double(stage.afterForward)},
                               {backward, double(stage.afterRecompute)});
        Offer pending = pendingWeight(price, j);
        ended = {ended.seconds - pending.seconds, ended.bytes - pending.bytes};
        best = better(price, best, open + ended);
      }
      return best;
    };
    return (microbatches - 1 - i) * workOfMicrobatch +
           mostWorkWithin(room, unitAfter, i + 1, bestOffer);
  }
  /// The least d for which G(s, i) must start before F(t, i + d) does; a large
  /// number where there is none, 0 where not even one microbatch fits.
  ///
  /// If G(s, i) did not come first, microbatches i..i+d would be held on the
  /// lower one of the two stages and all below: when G(s, i) starts, or at the
  /// latest when F(t, i + d) does. One of them would be held on the higher one
  /// and all between as well.
  int64_t gap(int s, int t) const {
    int64_t low = keptUpTo[std::min(s, t)];
    int64_t between = keptUpTo[std::max(s, t)] - low;
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    auto least = [&](int64_t bytes) -> int64_t {
      if (low <= 0)
        return most;
      return bytes < low ? 0 : std::min(most, bytes / low);
    };
    if (t <= s)
      return least(roomAtGradient(s) - between);
    return std::min(least(roomAtForward(t) - between),
                    least(roomAtGradient(s)));
  }

private:
  /// `mostWork` where all bytes are multiples of `unit`.
  template <typename BestOffer>
  double mostWorkWithin(int64_t bytes, int64_t unit, int count,
                        BestOffer bestOffer) const {
    bytes = std::max<int64_t>(bytes, 0);
    unit = std::max<int64_t>(unit, 1);
    return mostWork(static_cast<double>(bytes - bytes % unit), count,
                    workOfMicrobatch / static_cast<double>(unit), bestOffer);
  }

  /// Bytes that may be held when a backward pass of `here[s]` starts.
  int64_t roomAtGradient(int s) const {
    const Stage &stage = problem.stages[here[s]];
    auto needed = [&](PassKind kind) {
      return stage.taken(kind) + stage.workspace(kind);
    };
    int64_t split = stage.hasBackwardInput ? needed(PassKind::BackwardInput)
                                           : needed(PassKind::BackwardWeight);
    return free - std::min(split, needed(PassKind::Backward));
  }

  /// Bytes that may be held when a forward pass of `here[t]` runs, with its
  /// own.
  int64_t roomAtForward(int t) const {
    return free - problem.stages[here[t]].workspace(PassKind::Forward);
  }
  Offer pendingWeight(double price, int j) const {
    const RelaxedStage &stage = stages[here[j]];
    return better(price, {stage.weight, double(stage.afterGradient)}, {});
  }

  const Problem &problem;
  const std::vector<RelaxedStage> &stages; // of all devices
  const std::vector<int> &here;            // of this device, ascending
  int microbatches;
  int64_t free; // bytes for activations
  int first = 0;
  // Divide all bytes that are held between passes, before and after G's.
  int64_t unitBefore = 0, unitAfter = 0;
  double workOfMicrobatch = 0;
  std::vector<int64_t> keptUpTo; // by the stages up to each one, after F
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_MEMORYWINDOWS_H
