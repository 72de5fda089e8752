//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What passes that schedule are asked for: a schedule by name, or a search.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_DIALECT_TRANSFORMS_SCHEDULEREQUEST_H
#define WEIR_LIB_DIALECT_TRANSFORMS_SCHEDULEREQUEST_H

#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Schedule.h"

namespace weir {

struct ScheduleRequest {
  std::string schedule;               ///< a name, block:FILE or auto
  std::string objective = "makespan"; ///< of auto: makespan or span
  double timeBudget = 2; ///< of auto: `schedule::SearchOptions::effort`
  int64_t seed = 1;      ///< of auto

  bool isAuto() const { return schedule == "auto"; }
  schedule::Objective getObjective() const {
    return objective == "span" ? schedule::Objective::Span
                               : schedule::Objective::Makespan;
  }

  /// One line that says what is wrong with the request, or nullopt.
  std::optional<std::string> check() const;

  /// The schedule for `problem`, which must pass its `check`. Without one,
  /// nullopt and one line in `error`. Only the search heeds memory limits.
  std::optional<schedule::Schedule> make(const schedule::Problem &problem,
                                         std::string &error) const;
};

} // namespace weir

#endif // WEIR_LIB_DIALECT_TRANSFORMS_SCHEDULEREQUEST_H
