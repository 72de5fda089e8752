// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef WEIR_UNITTESTS_SCHEDULE_RANDOMPROBLEMS_H
#define WEIR_UNITTESTS_SCHEDULE_RANDOMPROBLEMS_H

#include "weir/Schedule/Schedule.h"

#include <random>

namespace weir::schedule::test {

using Random = std::mt19937;

/// Inclusive on both sides; the same on every platform.
int randomInt(Random &random, int low, int high);

/// How many random cases a test tries: the value of WEIR_PROPERTY_CASES where
/// the environment has it, to look longer than every build should, or `usual`.
int numCases(int usual);

/// Random durations (some zero), bytes, missing passes, fixed bytes and
/// asymmetric links for the given placement.
Problem randomProblem(Random &random, int numDevices, int numMicrobatches,
                      std::vector<int> placement);

/// Lets some stages recompute, and some exchange gradients with replicas.
void addRecomputeAndReductions(Random &random, Problem &problem);

/// A random order that is a schedule of the problem: passes in an order in
/// which one device could run them all. Mixes fused and split backward passes;
/// stages whose update takes time have one.
Schedule randomSchedule(Random &random, const Problem &problem);

} // namespace weir::schedule::test

#endif // WEIR_UNITTESTS_SCHEDULE_RANDOMPROBLEMS_H
