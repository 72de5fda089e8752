// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What every algorithm owes every problem: a valid schedule or a reason.

#include "RandomProblems.h"
#include "weir/Schedule/ExactSearch.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Search.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

std::vector<int> randomPlacement(Random &random, int p, int n) {
  int kind = randomInt(random, 0, 3);
  if (kind < 3)
    return makePlacement(static_cast<Placement>(kind), n, p);
  std::vector<int> placement(n);
  for (int &device : placement)
    device = randomInt(random, 0, p - 1);
  return placement;
}

/// Few or many stages and microbatches, costs of all kinds, no limits.
Problem anyProblem(Random &random, int maxDevices, int maxMicrobatches) {
  int p = randomInt(random, 1, maxDevices);
  int n = p * randomInt(random, 1, 3);
  if (randomInt(random, 0, 3) == 0)
    n = randomInt(random, 1, 3 * p);
  // One microbatch, and fewer than devices, are cases of their own.
  int m = randomInt(random, 0, 4) == 0
              ? randomInt(random, 1, std::min(p, maxMicrobatches))
              : randomInt(random, 1, maxMicrobatches);
  Problem problem = randomProblem(random, p, m, randomPlacement(random, p, n));
  if (randomInt(random, 0, 3) == 0)
    addRecomputeAndReductions(random, problem);
  if (randomInt(random, 0, 1) == 0) // stages alike, as named schedules assume
    for (Stage &stage : problem.stages)
      stage = problem.stages.back();
  if (problem.check())
    return unitProblem(p, m, problem.placement);
  return problem;
}

void dropTransferBytes(Problem &problem) {
  for (Stage &stage : problem.stages)
    stage.forwardTransferBytes = stage.backwardTransferBytes = 0;
}

bool isOneLine(const std::string &text) {
  return !text.empty() && text.find('\n') == std::string::npos;
}

/// Limits from below the smallest that is feasible to above what an order
/// chosen at random needs.
void limitAtRandom(Random &random, Problem &problem) {
  problem.memoryLimits = smallestLimits(problem);
  if (randomInt(random, 0, 2) == 0)
    problem.memoryLimits =
        simulate(problem, randomSchedule(random, problem))->peakBytes;
  int more = randomInt(random, 0, 2) * randomInt(random, 0, 40);
  for (int64_t &limit : problem.memoryLimits)
    limit = std::max<int64_t>(0, limit + more - randomInt(random, 0, 8) / 8);
}

void expectBelow(const Problem &problem, const Simulation &simulation) {
  EXPECT_GE(simulation.makespan,
            lowerBound(problem, Objective::Makespan).seconds * (1 - 1e-12));
  EXPECT_GE(simulation.span,
            lowerBound(problem, Objective::Span).seconds * (1 - 1e-12));
}

TEST(AlgorithmsProperty, namedSchedulesAreValidOrRefused) {
  Random random(31);
  const int cases = numCases(2000);
  int built = 0;
  for (int i = 0; i < cases; ++i) {
    Problem problem = anyProblem(random, 6, 12);
    std::span<const NamedSchedule> all = listNamed();
    const NamedSchedule &named =
        all[randomInt(random, 0, static_cast<int>(all.size()) - 1)];
    if (randomInt(random, 0, 1) == 0) {
      // What it is made for.
      int n = named.stagesPerDevice * problem.numDevices;
      problem.stages.resize(n, problem.stages.back());
      problem.placement = makePlacement(named.placement, n, problem.numDevices);
      if (problem.check())
        continue;
    }
    if (randomInt(random, 0, 1) == 0)
      limitAtRandom(random, problem);
    SCOPED_TRACE(std::string(named.name) + ", case " + std::to_string(i));
    std::string error;
    std::optional<Schedule> schedule = buildNamed(named.name, problem, &error);
    if (!schedule) {
      ASSERT_TRUE(isOneLine(error));
      continue;
    }
    ++built;
    // A limit may be exceeded, but nothing else may be wrong.
    problem.memoryLimits.clear();
    ASSERT_EQ(verify(problem, *schedule), std::nullopt);
    Simulation simulation = *simulate(problem, *schedule);
    problem.memoryLimits = simulation.peakBytes;
    ASSERT_EQ(verify(problem, *schedule), std::nullopt);
    expectBelow(problem, simulation);
    appendUpdates(problem, *schedule);
    simulation = *simulate(problem, *schedule);
    for (int device = 0; device < problem.numDevices; ++device)
      ASSERT_GE(simulation.peakBytes[device], smallestLimits(problem)[device]);
  }
  EXPECT_GT(built, cases / 4);
}

TEST(AlgorithmsProperty, searchFitsOrRefuses) {
  Random random(32);
  const int cases = numCases(300);
  int found = 0, refused = 0;
  for (int i = 0; i < cases; ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    Problem problem = anyProblem(random, 4, 6);
    bool hasBuffers = randomInt(random, 0, 3) == 0;
    if (!hasBuffers)
      dropTransferBytes(problem);
    bool isLimited = randomInt(random, 0, 3) != 0;
    if (isLimited)
      limitAtRandom(random, problem);
    SearchOptions options;
    options.effort = 1e-4;
    options.threads = randomInt(random, 0, 9) == 0 ? 2 : 1;
    options.seed = random();
    if (randomInt(random, 0, 1) == 0)
      options.objective = Objective::Span;
    std::string error;
    std::optional<SearchResult> result =
        search(std::span(&problem, 1), options, &error);
    if (!result) {
      ++refused;
      ASSERT_TRUE(isOneLine(error));
      ASSERT_TRUE(isLimited);
      if (!hasBuffers) {
        ASSERT_FALSE(oneMicrobatchAtATime(problem));
      }
      continue;
    }
    ++found;
    ASSERT_EQ(verify(problem, result->schedule), std::nullopt);
    Simulation simulation = *simulate(problem, result->schedule);
    expectBelow(problem, simulation);
    double value = options.objective == Objective::Makespan
                       ? simulation.makespan
                       : simulation.span;
    ASSERT_NEAR(result->value, value, 1e-9 * value);
    ASSERT_LE(result->bound.seconds, value * (1 + 1e-9));
  }
  EXPECT_GT(found, cases / 2);
  EXPECT_GT(refused, 0);
}

// On cases that the exact search can finish.
TEST(AlgorithmsProperty, searchIsNearTheOptimum) {
  Random random(33);
  const int cases = numCases(60);
  int finished = 0;
  double sum = 0, worst = 0;
  for (int i = 0; i < cases; ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    Problem problem = anyProblem(random, 3, 4);
    for (Stage &stage : problem.stages)
      stage.update = stage.gradientReduction = 0;
    dropTransferBytes(problem);
    limitAtRandom(random, problem);
    ExactResult exact = exactMakespan(problem, 30000);
    SearchOptions options;
    options.effort = 1e-2;
    options.threads = 1;
    std::optional<SearchResult> result =
        search(std::span(&problem, 1), options);
    ASSERT_EQ(!result, !oneMicrobatchAtATime(problem));
    if (exact.status != ExactResult::Status::NotFinished) {
      ASSERT_EQ(!result, exact.status == ExactResult::Status::Infeasible);
    }
    if (!result)
      continue;
    ASSERT_GE(result->value, exact.bound * (1 - 1e-9));
    if (exact.status != ExactResult::Status::Optimal || exact.bound <= 0)
      continue;
    ++finished;
    double gap = result->value / exact.bound - 1;
    sum += gap;
    worst = std::max(worst, gap);
  }
  ASSERT_GT(finished, cases / 3);
  RecordProperty("mean gap", std::to_string(sum / finished));
  RecordProperty("largest gap", std::to_string(worst));
  EXPECT_LT(sum / finished, 0.02);
}

} // namespace
