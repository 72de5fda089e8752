// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The schedule `auto`: the shortest order that fits into the memory.

#ifndef WEIR_SCHEDULE_SEARCH_H
#define WEIR_SCHEDULE_SEARCH_H

#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Schedule.h"

#include <span>

namespace weir::schedule {

struct SearchOptions {
  Objective objective = Objective::Makespan;
  /// How much to look: thirty million passes of trial schedules per unit and
  /// thread, which takes up to a second. The result depends on this, the seed
  /// and the number of threads, and not on the speed of the machine.
  double effort = 5;
  /// Seconds by the clock after which the best schedule found is returned, come
  /// what may; the first valid one is always waited for. Not positive: none.
  double timeLimit = 0;
  uint64_t seed = 1;
  int threads = 2;
};

struct SearchResult {
  /// Index of the problem that the schedule is for.
  int variant = 0;
  Schedule schedule;
  /// Seconds, of the objective.
  double value = 0;
  /// Over all schedules of that variant.
  Bound bound;
  /// The best value found for each variant; nothing where none fits.
  std::vector<std::optional<double>> values;
  /// Schedules tried, by all threads.
  int64_t steps = 0;
  /// Seconds until the first valid schedule was there, and in total.
  double firstSeconds = 0;
  double seconds = 0;
};

/// Looks for the best schedule of one model that may be cut and placed in
/// several ways. Every problem of `variants` is one of them, with its memory
/// limits; all have the same devices and microbatches. Updates and the exchange
/// of gradients count as zero. Of schedules that are equally good, the one is
/// taken whose objective grows least when all durations vary by 5%.
///
/// Returns nullopt and sets `error` to one line if nothing fits into the limits
/// of any variant. The line names the device that lacks memory in the variant
/// that comes closest, and how much it needs at least. That is exact without
/// transfer buffers: where any order fits, one is found. With them a limit that
/// leaves too little for the buffers of one microbatch at a time may be refused
/// although an order would fit. Requires `!variant.check()` of each.
std::optional<SearchResult> search(std::span<const Problem> variants,
                                   const SearchOptions &options,
                                   std::string *error = nullptr);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_SEARCH_H
