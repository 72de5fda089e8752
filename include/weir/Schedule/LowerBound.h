// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Times that no schedule can beat.

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
/// with any memory; updates count as zero. It is the largest of
///   - the critical path: fill, all microbatches of a stage in order, drain;
///   - for each device and each link, the preemptive one-machine schedule with
///     the earliest start of every pass and the least time that must follow it
///     (J. R. Jackson's rule; J. Carlier, "The one-machine sequencing problem",
///     EJOR 11, 1982).
/// For the span both are taken from the first pass of a device to its last.
Bound lowerBound(const Problem &problem, Objective objective);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_LOWERBOUND_H
