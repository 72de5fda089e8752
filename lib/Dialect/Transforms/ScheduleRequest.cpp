//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleRequest.h"

#include "weir/Schedule/NamedSchedules.h"

#include <cmath>

using namespace weir;

std::optional<std::string> ScheduleRequest::check() const {
  if (!isAuto() && !schedule.starts_with("block:") &&
      !schedule::findNamed(schedule)) {
    std::string error = "unknown schedule '" + schedule + "'; known are ";
    for (const schedule::NamedSchedule &known : schedule::listNamed())
      error += std::string(known.name) + ", ";
    return error + "block:FILE, auto";
  }
  if (objective != "makespan" && objective != "span")
    return "unknown objective '" + objective + "'; known are makespan and span";
  if (!(timeBudget >= 0 && std::isfinite(timeBudget)) || searchSteps < 0)
    return "time-budget and search-steps must be at least 0 and finite";
  return std::nullopt;
}

std::optional<schedule::Schedule>
ScheduleRequest::make(const schedule::Problem &problem,
                      std::string &error) const {
  if (!isAuto())
    return schedule::buildNamed(schedule, problem, &error);
  error = "the search is not part of this version";
  return std::nullopt;
}
