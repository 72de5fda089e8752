//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleRequest.h"

#include "weir/Analysis/PipelineProblem.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Search.h"

#include <cmath>

using namespace weir;

std::optional<std::string> ScheduleRequest::check() const {
  if (!isAuto() && !isBlockFile(schedule) && !schedule::findNamed(schedule)) {
    std::string error = "unknown schedule '" + schedule + "'; known are ";
    for (const schedule::NamedSchedule &known : schedule::listNamed())
      error += std::string(known.name) + ", ";
    return error + "block:FILE, auto";
  }
  if (objective != "makespan" && objective != "span")
    return "unknown objective '" + objective + "'; known are makespan and span";
  if (!(timeBudget >= 0 && std::isfinite(timeBudget)))
    return std::string("the time budget must be at least 0 and finite");
  return std::nullopt;
}

std::optional<schedule::Schedule>
ScheduleRequest::make(const schedule::Problem &problem,
                      std::string &error) const {
  if (isBlockFile(schedule)) {
    std::optional<schedule::PlacedBlock> block = readBlockFile(schedule, error);
    if (!block)
      return std::nullopt;
    return schedule::buildFromBlock(schedule, *block, problem, &error);
  }
  if (!isAuto())
    return schedule::buildNamed(schedule, problem, &error);
  schedule::SearchOptions options;
  options.objective = getObjective();
  options.effort = timeBudget;
  options.seed = seed;
  std::optional<schedule::SearchResult> result =
      schedule::search({&problem, 1}, options, &error);
  if (!result)
    return std::nullopt;
  return std::move(result->schedule);
}
