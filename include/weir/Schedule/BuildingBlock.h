// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A schedule as software pipelining sees it: one microbatch, and an interval.

#ifndef WEIR_SCHEDULE_BUILDINGBLOCK_H
#define WEIR_SCHEDULE_BUILDINGBLOCK_H

#include "weir/Schedule/Simulation.h"

namespace weir::schedule {

/// The passes of one microbatch over all stages. Other microbatches run the
/// same passes later: `group` of them `stride` apart from each other, and the
/// next group an interval after this one. Durations and bytes are those of the
/// problem that the block is used with.
///
///   device 0  F0                B0 W0
///   device 1     F1       B1 W1
///   device 2        F2 B2 W2
///
/// The peak memory of the repeated block follows without unrolling it: what
/// lives for L seconds is there at most ceil(L / interval) times at once.
struct BuildingBlock {
  struct Offsets {
    double forward = 0;
    double backwardInput = 0; // of the fused pass in a fused block
    std::optional<double> backwardWeight;
  };

  double interval = 0;
  /// B and W of a microbatch are one pass.
  bool fused = false;
  std::vector<Offsets> stages;
  int group = 1;
  double stride = 0;

  /// How much later than the offsets a microbatch runs.
  double delay(int microbatch) const {
    return microbatch / group * interval + microbatch % group * stride;
  }

  /// Gives every W that has no offset the next free slot of its device, in the
  /// order of the B's. False if some W finds no gap that is long enough.
  bool placeBackwardWeights(const Problem &problem);

  /// One line that names two passes of a device that overlap in the repeated
  /// block, or a pass that starts before its input is there; nullopt if none.
  std::optional<std::string> check(const Problem &problem) const;

  /// Seconds from the start of a stage's F to the end of the last pass that
  /// reads what F kept.
  double lifespan(const Problem &problem, int stage) const;

  /// Upper bound on the activation bytes of each device in the repeated block:
  /// the sum over its stages of ceil(lifespan / interval) * bytes (of what a
  /// lifespan can see of starts, where groups are larger than 1), separately
  /// for what B gives back, what W gives back and what B takes for W.
  std::vector<int64_t> memoryBound(const Problem &problem) const;
};

/// The passes of the schedule that starts the block every interval, per device,
/// in the order of their times.
std::vector<std::vector<TimedPass>> repeatTimed(const BuildingBlock &block,
                                                const Problem &problem);

/// The schedule that starts the block every interval: passes in the order of
/// their times. Squeezing out the idle time of warm-up and cool-down keeps the
/// order, so `simulate` does it.
Schedule repeat(const BuildingBlock &block, const Problem &problem);

/// The passes of a device at the positions `begin` to `end` - 1 of its order.
struct PassRange {
  size_t begin = 0, end = 0;
};

/// Moves passes into idle slots before them: all passes in the order of their
/// times, each to the first slots in which its inputs are there, its stage's
/// earlier microbatches have run, and the activation bytes of its device stay
/// within `limits` until the slots that it leaves. A pass that takes memory
/// stays where the limits are exceeded already. The passes `kept` (per device;
/// empty: none) stay in their slots, and later ones stay behind them.
///
/// `passes` (per device, by time) is all that a schedule of the problem runs;
/// F, B, W and fused passes start at whole slots, last one or more of them, and
/// do not overlap. Transfers take no time. There are no R's and U's.
Schedule pullForward(const Problem &problem,
                     const std::vector<std::vector<TimedPass>> &passes,
                     const std::vector<int64_t> &limits,
                     const std::vector<PassRange> &kept = {});

/// Fills idle time: where the pass whose turn it is has to wait, a later F or B
/// that may already run goes first (unless `mayOvertake` is false), else a W
/// whose B has run; a W also runs where memory asks for it. Per stage the order
/// of microbatches stays. The passes `kept` (per device; empty: none) stay in
/// their order, W's included, and no F or B moves across them.
/// Activation bytes stay within `limits` (per device), or within what
/// `schedule` needs when every W runs as early as possible, whichever is
/// larger. Decides by the durations of `problem` and by transfers that do not
/// queue. Requires a schedule that `verify` accepts.
Schedule reorder(const Problem &problem, const Schedule &schedule,
                 const std::vector<int64_t> &limits, bool mayOvertake = true,
                 const std::vector<PassRange> &kept = {});

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_BUILDINGBLOCK_H
