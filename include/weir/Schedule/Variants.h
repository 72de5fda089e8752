// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The ways to cut one model into stages and to lay them over devices.

#ifndef WEIR_SCHEDULE_VARIANTS_H
#define WEIR_SCHEDULE_VARIANTS_H

#include "weir/Schedule/Problem.h"

#include <span>

namespace weir::schedule {

/// A model whose stages may be joined but have no devices yet: a problem
/// without a placement, and the fixed bytes of each stage (empty: none), which
/// come on top of those of the devices.
struct UnplacedProblem {
  Problem problem;
  std::vector<int64_t> fixedBytesOfStages;
};

/// Joins neighbouring stages until `numStages` are left, so that the longest
/// stage (all its passes for one microbatch) is as short as that allows.
///
/// A joined stage takes the sums of durations and bytes; workspace is the
/// largest one, and what is sent is what crosses its borders. It has a pass if
/// one of its parts has, and as B it runs all B's before the first W. What a
/// part without backward passes takes for its F counts as workspace.
///
/// Requires 1 <= numStages <= unplaced.problem.numStages().
UnplacedProblem joinStages(const UnplacedProblem &unplaced, int numStages);

/// Puts the stages on devices, and their fixed bytes with them.
Problem place(const UnplacedProblem &unplaced, std::vector<int> placement);

/// The placements (v, loop, linear) of `numStages` stages, less those that
/// repeat an earlier one.
std::vector<Placement> distinctPlacements(int numStages, int numDevices);

/// The model cut into 1, 2, ... `maxChunks` stages per device (as long as it
/// has that many stages), each in all distinct placements. Never empty.
std::vector<Problem> makeVariants(const UnplacedProblem &unplaced,
                                  int maxChunks);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_VARIANTS_H
