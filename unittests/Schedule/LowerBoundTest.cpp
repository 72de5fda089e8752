// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/LowerBound.h"
#include "RandomProblems.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

double makespanBound(const Problem &problem) {
  return lowerBound(problem, Objective::Makespan).seconds;
}
double spanBound(const Problem &problem) {
  return lowerBound(problem, Objective::Span).seconds;
}

TEST(LowerBound, countsFillAndWork) {
  for (int p = 1; p <= 8; ++p)
    for (int m : {p, 2 * p, 4 * p + 1}) {
      Problem problem = unitProblem(p, m, linearPlacement(p, p));
      // The last device has to wait p - 1 for its first input.
      EXPECT_EQ(makespanBound(problem), p - 1 + 3 * m);
      // Device 0 has no work from its last F until its first B returns.
      EXPECT_EQ(spanBound(problem), std::max(3 * m, 2 * p - 1 + 2 * m));
    }
}

TEST(LowerBound, countsTheWayThereAndBack) {
  Problem problem = unitProblem(5, 1, linearPlacement(5, 5));
  problem.defaultLink.latency = 0.5;
  // Five F's, five B's, the last W, eight transfers.
  EXPECT_EQ(makespanBound(problem), 15);
  EXPECT_EQ(spanBound(problem), 15);
}

TEST(LowerBound, countsTheWorkOfLinks) {
  Problem problem = unitProblem(2, 6, {0, 1});
  problem.defaultLink.bandwidth = 1;
  problem.stages[0].forwardTransferBytes = 10;
  // F, six transfers of 10, and the last microbatch's F, B, B, W.
  EXPECT_EQ(makespanBound(problem), 1 + 60 + 4);
}

// A fused backward that is faster than its parts must not be ruled out.
TEST(LowerBound, allowsFusedBackwardPasses) {
  Problem problem = unitProblem(1, 4, {0});
  problem.stages[0].backward = 0.5;
  EXPECT_EQ(makespanBound(problem), 4 * 1.5);
}

TEST(LowerBoundProperty, noScheduleBeatsIt) {
  Random random(5);
  for (int i = 0; i < 300; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 6), placement);
    double makespan = makespanBound(problem), span = spanBound(problem);
    for (int j = 0; j < 20; ++j) {
      Simulation simulation =
          *simulate(problem, randomSchedule(random, problem));
      ASSERT_GE(simulation.makespan, makespan * (1 - 1e-12));
      ASSERT_GE(simulation.span, span * (1 - 1e-12));
    }
  }
}

/// Limits every device to what `simulation` needs.
void limitToPeak(Problem &problem, const Simulation &simulation) {
  problem.memoryLimits = simulation.peakBytes;
}

// With two chunks in a V, k of which fit, unit costs and no transfers.
TEST(LowerBound, countsWhatFitsIntoMemory) {
  for (int p = 2; p <= 8; ++p)
    for (int k = p + 1; k <= 2 * p; ++k) {
      int m = 4 * p;
      Problem problem = unitProblem(p, m, vPlacement(2 * p, p));
      problem.limitMemory(k);
      double start = std::max(p - 1, 3 * p - 1 - k);
      double end = std::max(0, 3 * p - 2 * k);
      EXPECT_GE(makespanBound(problem), 6 * m + start + end) << p << " " << k;
    }
}

// Schedules of the V family at their own memory: v-half meets the bound, and
// none beats it.
TEST(LowerBound, isMetByVHalf) {
  for (int p = 2; p <= 16; p += 2) {
    int m = 4 * p;
    Problem problem = unitProblem(p, m, vPlacement(2 * p, p));
    std::string error;
    std::optional<Schedule> schedule = buildNamed("v-half", problem, &error);
    ASSERT_TRUE(schedule) << error;
    std::optional<Simulation> simulation = simulate(problem, *schedule);
    problem.limitMemory(simulation->largestPeakActivationBytes());
    EXPECT_EQ(makespanBound(problem), simulation->makespan) << p;
  }
}

// One microbatch at a time is the only order when no second one fits.
TEST(LowerBound, followsOneMicrobatchAtATime) {
  for (int p = 1; p <= 4; ++p) {
    Problem problem = unitProblem(p, 5, linearPlacement(p, p));
    problem.defaultLink.latency = 0.25;
    problem.limitMemory(1);
    // F's and B's there and back, and the W of device 0.
    double each = 2 * p + 1 + 0.5 * (p - 1);
    EXPECT_EQ(makespanBound(problem), 5 * each);
    EXPECT_EQ(spanBound(problem), 5 * each);
  }
}

// The bound of any placement is one of each placement of equal stages.
TEST(LowerBound, ofAnyPlacementIsBelowThatOfEach) {
  Random random(11);
  const int cases = numCases(400);
  for (int i = 0; i < cases; ++i) {
    int p = randomInt(random, 1, 6), k = randomInt(random, 1, 4);
    std::vector<int> placement(p * k);
    for (int s = 0; s < p * k; ++s)
      placement[s] = s % p;
    for (int s = p * k - 1; s > 0; --s)
      std::swap(placement[s], placement[randomInt(random, 0, s)]);
    if (randomInt(random, 0, 1) == 0)
      placement = makePlacement(static_cast<Placement>(randomInt(random, 0, 2)),
                                p * k, p);
    Problem problem = unitProblem(p, randomInt(random, 1, 12), placement);
    Stage stage;
    stage.forward = randomInt(random, 0, 8);
    stage.backwardInput = randomInt(random, 0, 8);
    stage.backwardWeight = randomInt(random, 0, 8);
    if (randomInt(random, 0, 2) == 0)
      stage.backward = randomInt(random, 0, 16);
    stage.activationBytes = randomInt(random, 0, 6);
    stage.releasedByBackwardInput =
        randomInt(random, 0, static_cast<int>(stage.activationBytes));
    stage.takenByBackwardInput = randomInt(random, 0, 4);
    problem.stages.assign(problem.stages.size(), stage);
    problem.defaultLink.latency = randomInt(random, 0, 4) * 0.25;
    if (randomInt(random, 0, 3))
      problem.limitMemory(randomInt(random, 10, 60));
    if (!oneMicrobatchAtATime(problem))
      continue; // where nothing fits, anything is a bound
    for (Objective objective : {Objective::Makespan, Objective::Span})
      ASSERT_LE(
          lowerBoundAnyPlacement(problem, randomInt(random, k, 6), objective)
              .seconds,
          lowerBound(problem, objective).seconds * (1 + 1e-12))
          << i;
  }
}

TEST(LowerBoundProperty, noScheduleBeatsItWithinItsMemory) {
  Random random(7);
  const int cases = numCases(2000);
  for (int i = 0; i < cases; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 6), placement);
    if (randomInt(random, 0, 3) == 0)
      addRecomputeAndReductions(random, problem);
    if (randomInt(random, 0, 1) == 0)
      for (Stage &stage : problem.stages)
        stage.forwardTransferBytes = stage.backwardTransferBytes = 0;
    for (int j = 0; j < 4; ++j) {
      Simulation simulation =
          *simulate(problem, randomSchedule(random, problem));
      limitToPeak(problem, simulation);
      ASSERT_GE(simulation.makespan, makespanBound(problem) * (1 - 1e-12))
          << i << " " << j;
      ASSERT_GE(simulation.span, spanBound(problem) * (1 - 1e-12))
          << i << " " << j;
    }
  }
}

/// All orders of one stage's passes in which microbatches run in order.
void enumerate(int stage, int microbatches, bool fused,
               std::vector<Pass> &order,
               std::vector<std::vector<Pass>> &result) {
  std::array<int, 3> next{};
  for (const Pass &pass : order)
    ++next[pass.kind == PassKind::Forward          ? 0
           : pass.kind == PassKind::BackwardWeight ? 2
                                                   : 1];
  size_t total = static_cast<size_t>(microbatches) * (fused ? 2 : 3);
  if (order.size() == total)
    return result.push_back(order);
  auto go = [&](PassKind kind, int microbatch) {
    order.push_back({kind, stage, microbatch});
    enumerate(stage, microbatches, fused, order, result);
    order.pop_back();
  };
  if (next[0] < microbatches)
    go(PassKind::Forward, next[0]);
  if (next[1] < next[0])
    go(fused ? PassKind::Backward : PassKind::BackwardInput, next[1]);
  if (!fused && next[2] < next[1])
    go(PassKind::BackwardWeight, next[2]);
}

std::vector<std::vector<Pass>> allOrders(int stage, int microbatches,
                                         bool fused) {
  std::vector<Pass> order;
  std::vector<std::vector<Pass>> result;
  enumerate(stage, microbatches, fused, order, result);
  return result;
}

// Exhaustive search on two devices: the bound holds for the optimum, and for
// unit costs it is the optimum.
TEST(LowerBoundProperty, holdsForTheOptimum) {
  Random random(6);
  const int m = 3;
  for (int i = 0; i < 12; ++i) {
    Problem problem = i == 0 ? unitProblem(2, m, {0, 1})
                             : randomProblem(random, 2, m, {0, 1});
    for (Stage &stage : problem.stages)
      stage.hasBackwardInput = stage.hasBackwardWeight = true;
    double bestMakespan = INFINITY, bestSpan = INFINITY;
    for (bool fused : {false, true})
      for (const std::vector<Pass> &first : allOrders(0, m, fused))
        for (const std::vector<Pass> &second : allOrders(1, m, fused)) {
          std::optional<Simulation> simulation =
              simulate(problem, {"", {first, second}});
          if (!simulation)
            continue; // deadlock
          bestMakespan = std::min(bestMakespan, simulation->makespan);
          bestSpan = std::min(bestSpan, simulation->span);
        }
    EXPECT_GE(bestMakespan, makespanBound(problem) * (1 - 1e-12));
    EXPECT_GE(bestSpan, spanBound(problem) * (1 - 1e-12));
    if (i == 0) {
      EXPECT_EQ(bestMakespan, makespanBound(problem));
    }
  }
}

} // namespace
