// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The shortest schedule of a small problem, with the proof that it is.

#ifndef WEIR_SCHEDULE_EXACTSEARCH_H
#define WEIR_SCHEDULE_EXACTSEARCH_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

struct ExactResult {
  enum class Status {
    Optimal,    // `schedule` takes `bound` seconds, and none takes less
    Infeasible, // no order fits into the memory limits
    NotFinished // the search was given up; none takes less than `bound`
  };
  Status status = Status::NotFinished;
  Schedule schedule; // where Optimal
  double bound = 0;  // seconds, of the makespan
  int64_t nodes = 0;
};

/// Looks for the order of smallest makespan, fused or split, within the memory
/// limits (transfer buffers apart) and without updates and the exchange of
/// gradients, and tries at most `nodeLimit` partial orders. Meant for a few
/// devices and microbatches: time and memory grow exponentially with the number
/// of passes, except where the lower bound is met.
///
/// A depth-first search over active schedules (B. Giffler, G. L. Thompson,
/// "Algorithms for solving production-scheduling problems", Operations Research
/// 8, 1960): of the passes that may run next, take the device where one ends
/// first, and try those of its passes that could start before that end. Under a
/// memory limit a pass that takes memory may also have to be put off, so there
/// is one more branch, on which something else comes first. A partial order is
/// given up where one with the same passes was at least as early in everything,
/// or where the bounds of `lowerBound` with its times exceed a target. The
/// target is `lowerBound` first and then the smallest value that exceeded it
/// (iterative deepening), so that the first schedule found is optimal.
ExactResult exactMakespan(const Problem &problem, int64_t nodeLimit);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_EXACTSEARCH_H
