// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/ExactSearch.h"
#include "RandomProblems.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

using Status = ExactResult::Status;

/// Every order of the passes, one pass at a time, whatever device it is on.
class AllOrders {
public:
  explicit AllOrders(const Problem &problem)
      : problem(problem), progress(problem.numStages()),
        held(problem.numDevices) {
    schedule.order.resize(problem.numDevices);
    for (int device = 0; device < problem.numDevices; ++device)
      held[device] = problem.fixed(device);
  }

  /// The smallest makespan, infinite where no order fits into memory.
  double bestMakespan() {
    for (int device = 0; device < problem.numDevices; ++device)
      if (problem.limit(device) && *problem.limit(device) < held[device])
        return best;
    extend();
    return best;
  }

private:
  struct Progress {
    int forward = 0, recompute = 0, gradient = 0, weight = 0;
  };

  void extend() {
    bool isComplete = true;
    for (int s = 0; s < problem.numStages(); ++s) {
      const Stage &stage = problem.stages[s];
      auto [f, r, g, w] = progress[s];
      int all = problem.numMicrobatches;
      isComplete &= f == all && (!stage.hasBackward() || w == all);
      if (f < all && (s == 0 || progress[s - 1].forward > f))
        run({PassKind::Forward, s, f}, {1, 0, 0, 0});
      if (stage.recompute && r < f)
        run({PassKind::Recompute, s, r}, {0, 1, 0, 0});
      if (!stage.hasBackward())
        continue;
      bool both = stage.hasBackwardInput && stage.hasBackwardWeight;
      if (g < (stage.recompute ? r : f) &&
          (s + 1 == problem.numStages() || progress[s + 1].gradient > g)) {
        run({stage.hasBackwardInput ? PassKind::BackwardInput
                                    : PassKind::BackwardWeight,
             s, g},
            {0, 0, 1, both ? 0 : 1});
        if (w == g)
          run({PassKind::Backward, s, g}, {0, 0, 1, 1});
      }
      if (both && w < g)
        run({PassKind::BackwardWeight, s, w}, {0, 0, 0, 1});
    }
    if (isComplete)
      best = std::min(best, simulate(problem, schedule)->makespan);
  }

  void run(const Pass &pass, Progress step) {
    const Stage &stage = problem.stages[pass.stage];
    int device = problem.placement[pass.stage];
    int64_t peak =
        held[device] + stage.taken(pass.kind) + stage.workspace(pass.kind);
    if (problem.limit(device) && peak > *problem.limit(device))
      return;
    Progress before = progress[pass.stage];
    int64_t heldBefore = held[device];
    progress[pass.stage] = {
        before.forward + step.forward, before.recompute + step.recompute,
        before.gradient + step.gradient, before.weight + step.weight};
    held[device] += stage.taken(pass.kind) - stage.released(pass.kind);
    schedule.order[device].push_back(pass);
    extend();
    schedule.order[device].pop_back();
    held[device] = heldBefore;
    progress[pass.stage] = before;
  }

  const Problem &problem;
  std::vector<Progress> progress;
  std::vector<int64_t> held;
  Schedule schedule;
  double best = INFINITY;
};

/// Without updates, which the exact search leaves out.
Problem smallProblem(Random &random, int p, int m, int n) {
  std::vector<int> placement(n);
  for (int &device : placement)
    device = randomInt(random, 0, p - 1);
  Problem problem = randomProblem(random, p, m, placement);
  if (randomInt(random, 0, 2) == 0)
    addRecomputeAndReductions(random, problem);
  for (Stage &stage : problem.stages)
    stage.update = stage.gradientReduction = 0;
  return problem;
}

void dropTransferBytes(Problem &problem) {
  for (Stage &stage : problem.stages)
    stage.forwardTransferBytes = stage.backwardTransferBytes = 0;
}

void expectValid(const Problem &problem, const ExactResult &result) {
  EXPECT_EQ(verify(problem, result.schedule), std::nullopt);
  std::optional<Simulation> simulation = simulate(problem, result.schedule);
  ASSERT_TRUE(simulation);
  EXPECT_NEAR(simulation->makespan, result.bound, 1e-6);
}

TEST(ExactSearch, findsWhatTheLiteratureHas) {
  // Two chunks in a V, k of which fit: from the memory of v-min on the optimum
  // is the bound.
  for (int p = 2; p <= 4; ++p)
    for (int m = 2; m <= 6; ++m)
      for (int k = p + 1; k <= 2 * p; ++k) {
        Problem problem = unitProblem(p, m, vPlacement(2 * p, p));
        problem.limitMemory(k);
        ExactResult result = exactMakespan(problem, 100000);
        ASSERT_EQ(result.status, Status::Optimal);
        expectValid(problem, result);
        if (p > 2 || k > 3) {
          EXPECT_EQ(result.bound,
                    lowerBound(problem, Objective::Makespan).seconds)
              << p << " " << m << " " << k;
        }
      }
}

TEST(ExactSearch, givesUp) {
  Problem problem = unitProblem(4, 6, vPlacement(8, 4));
  problem.limitMemory(3);
  ExactResult result = exactMakespan(problem, 100);
  EXPECT_EQ(result.status, Status::NotFinished);
  EXPECT_GE(result.bound, lowerBound(problem, Objective::Makespan).seconds);
  EXPECT_LE(result.bound, 66);
}

TEST(ExactSearchProperty, agreesWithAllOrders) {
  Random random(21);
  const int cases = numCases(300);
  int feasible = 0;
  for (int i = 0; i < cases; ++i) {
    int m = randomInt(random, 1, 2);
    Problem problem = smallProblem(random, randomInt(random, 1, 2), m, 3 - m);
    if (m == 2 && randomInt(random, 0, 3) == 0)
      problem = smallProblem(random, 2, 1, 3);
    if (randomInt(random, 0, 3)) {
      dropTransferBytes(problem);
      problem.memoryLimits = smallestLimits(problem);
      for (int64_t &limit : problem.memoryLimits)
        limit += randomInt(random, -1, 25);
    }
    double best = AllOrders(problem).bestMakespan();
    ExactResult result = exactMakespan(problem, 1000000);
    if (best == INFINITY) {
      EXPECT_EQ(result.status, Status::Infeasible) << i;
      continue;
    }
    ++feasible;
    ASSERT_EQ(result.status, Status::Optimal) << i;
    EXPECT_NEAR(result.bound, best, 1e-6) << i;
    expectValid(problem, result);
  }
  EXPECT_GT(feasible, cases / 3);
}

TEST(ExactSearchProperty, noScheduleIsShorter) {
  Random random(22);
  const int cases = numCases(300);
  int finished = 0;
  for (int i = 0; i < cases; ++i) {
    Problem problem =
        smallProblem(random, randomInt(random, 1, 3), randomInt(random, 1, 3),
                     randomInt(random, 1, 4));
    if (randomInt(random, 0, 3))
      dropTransferBytes(problem);
    Simulation simulation = *simulate(problem, randomSchedule(random, problem));
    problem.memoryLimits = simulation.peakBytes;
    double bound = lowerBound(problem, Objective::Makespan).seconds;
    ExactResult result = exactMakespan(problem, 20000);
    EXPECT_NE(result.status, Status::Infeasible);
    EXPECT_GE(result.bound, bound * (1 - 1e-9));
    EXPECT_LE(result.bound, simulation.makespan * (1 + 1e-6));
    if (result.status == Status::Optimal)
      ++finished;
  }
  EXPECT_GT(finished, cases * 4 / 5);
}

TEST(SmallestLimit, isThatOfOneMicrobatch) {
  Problem problem = unitProblem(4, 6, vPlacement(8, 4));
  EXPECT_EQ(smallestLimits(problem), std::vector<int64_t>(4, 2));
  // A fused backward takes nothing for W.
  for (Stage &stage : problem.stages) {
    stage.activationBytes = 10;
    stage.takenByBackwardInput = 3;
    stage.workspaceBytes = {1, 2, 5, 4, 0, 0};
  }
  EXPECT_EQ(smallestLimits(problem), std::vector<int64_t>(4, 27));
}

// A W with much workspace waits until other stages have given back.
TEST(SmallestLimit, putsWeightGradientsOff) {
  Problem problem = unitProblem(1, 2, {0, 0});
  problem.stages[0].activationBytes = 50;
  problem.stages[1].activationBytes = 10;
  problem.stages[1].releasedByBackwardInput = 9;
  auto workspace = [&](PassKind kind) -> int64_t & {
    return problem.stages[1].workspaceBytes[static_cast<size_t>(kind)];
  };
  workspace(PassKind::BackwardWeight) = workspace(PassKind::Backward) = 100;
  EXPECT_EQ(smallestLimits(problem), std::vector<int64_t>{101});
  problem.limitMemory(101);
  std::optional<Schedule> schedule = oneMicrobatchAtATime(problem);
  ASSERT_TRUE(schedule);
  EXPECT_EQ(verify(problem, *schedule), std::nullopt);
  problem.limitMemory(100);
  EXPECT_FALSE(oneMicrobatchAtATime(problem));
}

TEST(SmallestLimit, countsUpdatesThatRun) {
  Problem problem = unitProblem(1, 2, {0, 0});
  problem.stages[1].workspaceBytes[static_cast<size_t>(PassKind::Update)] = 100;
  EXPECT_EQ(smallestLimits(problem), std::vector<int64_t>{2});
  problem.stages[1].update = 0.5;
  EXPECT_EQ(smallestLimits(problem), std::vector<int64_t>{100});
  problem.limitMemory(100);
  EXPECT_TRUE(oneMicrobatchAtATime(problem));
  problem.limitMemory(99);
  EXPECT_FALSE(oneMicrobatchAtATime(problem));
}

TEST(SmallestLimitProperty, isReachedAndNotBeaten) {
  Random random(23);
  const int cases = numCases(400);
  for (int i = 0; i < cases; ++i) {
    Problem problem =
        smallProblem(random, randomInt(random, 1, 3), randomInt(random, 1, 2),
                     randomInt(random, 1, 4));
    dropTransferBytes(problem);
    problem.memoryLimits = smallestLimits(problem);
    std::optional<Schedule> schedule = oneMicrobatchAtATime(problem);
    ASSERT_TRUE(schedule);
    ASSERT_EQ(verify(problem, *schedule), std::nullopt) << i;
    ExactResult result = exactMakespan(problem, 20000);
    EXPECT_NE(result.status, Status::Infeasible);
    if (result.status == Status::Optimal) {
      EXPECT_LE(result.bound,
                simulate(problem, *schedule)->makespan * (1 + 1e-6));
    }

    int device = randomInt(random, 0, problem.numDevices - 1);
    --problem.memoryLimits[device];
    EXPECT_EQ(exactMakespan(problem, 1000000).status, Status::Infeasible) << i;
    EXPECT_FALSE(oneMicrobatchAtATime(problem));
  }
}

} // namespace
