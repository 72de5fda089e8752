// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scheduling problems as JSON, in the format of
// docs/schedule-problem.schema.json.

#ifndef WEIR_SCHEDULE_PROBLEMJSON_H
#define WEIR_SCHEDULE_PROBLEMJSON_H

#include "weir/Schedule/Rendering.h"

#include <string>
#include <string_view>

namespace weir::schedule {

struct ProblemFile {
  /// Without a placement where the file leaves it open; otherwise complete.
  Problem problem;
  /// Parameters, gradients, optimizer state of each stage, where the placement
  /// is open; they come on top of `problem.fixedBytes`. Empty: none. A
  /// placement has put them into `problem.fixedBytes`.
  std::vector<int64_t> fixedBytesOfStages;
  /// For display only: `problem` is in seconds and bytes.
  Units units;

  bool isPlaced() const { return !problem.placement.empty(); }
};

/// Reads a problem. Anything that the schema does not allow is refused, and so
/// is what `Problem::check` refuses.
///
/// Returns nullopt and sets `error` to one line, where possible with the path
/// of the value at fault: "stages[3].forward: expected a number".
std::optional<ProblemFile> readProblem(std::string_view text,
                                       std::string *error);

/// The text of a problem; `readProblem` gives back the same, less the durations
/// of passes that a stage lacks. Neighbouring stages with the same costs are
/// written once. Requires `!problem.check()`, except that the placement may be
/// empty.
std::string writeProblem(const Problem &problem, const Units &units = {});

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_PROBLEMJSON_H
