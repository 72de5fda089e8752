// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Times that no schedule can beat, with their proofs.

#ifndef WEIR_SCHEDULE_LOWERBOUND_H
#define WEIR_SCHEDULE_LOWERBOUND_H

#include "weir/Schedule/Problem.h"

namespace weir::schedule {

/// Makespan: first start to last end over all devices, one step with a barrier.
/// Span: the longest first-start-to-last-end of one device, the period of steps
/// when the update is no barrier.
enum class Objective { Makespan, Span };

struct Bound {
  double seconds = 0;
  /// Which schedules cannot beat it.
  std::string scope;
};

/// A lower bound over all schedules of the problem's placement, fused or split,
/// within its memory limits; transfer buffers, updates and the exchange of
/// gradients count as zero. It is the largest of the following, each over a
/// relaxation in which a pass takes no longer than in any mode. With head(x),
/// the earliest start of a pass, and tail(x), the least time from its end to
/// the end of everything:
///
/// 1. The critical path: fill, all microbatches of a stage in order, drain, and
///    under a memory limit the waits of F's for what has to be done first (see
///    3).
///
/// 2. For each device and each link, the preemptive one-machine schedule with
///    heads and tails (J. R. Jackson's rule; J. Carlier, "The one-machine
///    sequencing problem", EJOR 11, 1982).
///
/// 3. What fits into memory before a backward pass, and after a forward pass.
///    Until B(s,i) starts, the stages of the device up to s can only have
///    finished microbatches 0..i-1, and all others that they began are held. So
///    the device has done at most before(s,i) seconds of work: all of i
///    microbatches, and the most valuable work that may be held in L bytes (a
///    linear program of one constraint; its dual is minimised over the price of
///    a byte, and every price is a proof). Likewise from the end of F(s,i)
///    there are at most after(s,i) seconds of work left: all of microbatches
///    i+1.., and what the bytes that may be held by then still have to do.
///    Where B(s,i) must start before F(t,j) does, because the microbatches i..j
///    would not fit otherwise, there lie between the two starts at least
///
///      work - before(s,i) - after(t,j) - duration(F(t,j))
///
///    seconds, with which all heads and tails are computed, and
///
///      time >= head(B(s,i)) + work - before(s,i) - after(t,j) + tail(F(t,j)).
///
///    For unit passes of two chunks in a V, k of which fit, on device p-1 and
///    with B(p,0) and F(p,m-1):
///      (3p - 1) + (6m - k - 2k) + 3p = 6m + 6p - 3k - 1,
///    the bound that v-half meets.
///
/// 4. Little's law: every microbatch is held on a device at least from its F to
///    its backward pass there, a path through all stages above; the sum of
///    lifespan * bytes is at most L * time, less what a device cannot hold yet
///    while it fills, and no more while it drains (bytes rise no faster than
///    passes that take them can follow each other).
///
/// For the span all are taken from the first pass of a device to its last.
Bound lowerBound(const Problem &problem, Objective objective);

/// A lower bound over all ways to cut the problem's model into K * numDevices
/// equal stages, 1 <= K <= `maxStagesPerDevice`, and to place K of them on each
/// device, for the largest memory limit and the fastest link of any device. A
/// stage of 1/n of the model is taken to have 1/n of the sums of durations and
/// bytes over the problem's stages, and to send the least that any of them
/// sends. It is the largest of
///
/// 1. the work of a device, the shortest way to its first pass, and bound 3
///    above with i = 0 and j = m-1, for the device whose last stage is lowest
///    (makespan) or which has stage 0 (span). Both ways between that device
///    and the last stage go through p-1 other devices at least. Those that hold
///    their stages in one row add K stages to the way, the others cost further
///    transfers; the better of these is taken;
/// 2. Little's law for the mean device, without fill and drain.
///
/// Requires stages that all have B and W and do not recompute; otherwise only
/// the work counts.
Bound lowerBoundAnyPlacement(const Problem &problem, int maxStagesPerDevice,
                             Objective objective);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_LOWERBOUND_H
