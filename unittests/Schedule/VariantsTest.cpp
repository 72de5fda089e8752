// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Variants.h"
#include "RandomProblems.h"
#include "weir/Schedule/Simulation.h"

#include <gtest/gtest.h>
#include <numeric>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

UnplacedProblem unplaced(int numDevices, std::vector<double> forward) {
  UnplacedProblem result;
  result.problem.numDevices = numDevices;
  for (double seconds : forward) {
    Stage stage;
    stage.forward = seconds;
    result.problem.stages.push_back(stage);
  }
  return result;
}

std::vector<double> forwards(const Problem &problem) {
  std::vector<double> result;
  for (const Stage &stage : problem.stages)
    result.push_back(stage.forward);
  return result;
}

TEST(Variants, balanceTheLongestStage) {
  UnplacedProblem model = unplaced(2, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(forwards(joinStages(model, 2).problem),
            (std::vector<double>{10, 11}));
  EXPECT_EQ(forwards(joinStages(model, 3).problem),
            (std::vector<double>{6, 9, 6}));
  EXPECT_EQ(forwards(joinStages(model, 6).problem), forwards(model.problem));
  EXPECT_EQ(forwards(joinStages(model, 1).problem), (std::vector<double>{21}));
  // No stage stays empty.
  EXPECT_EQ(forwards(joinStages(unplaced(1, {0, 0, 0, 9}), 4).problem),
            (std::vector<double>{0, 0, 0, 9}));
  EXPECT_EQ(forwards(joinStages(unplaced(1, {9, 0, 0}), 2).problem).size(), 2u);
}

TEST(Variants, tryEveryCutAndPlacement) {
  UnplacedProblem model = unplaced(2, {1, 1, 1, 1, 1, 1, 1, 1});
  std::vector<std::vector<int>> placements;
  for (const Problem &problem : makeVariants(model, 2)) {
    EXPECT_EQ(problem.check(), std::nullopt);
    placements.push_back(problem.placement);
  }
  EXPECT_EQ(placements, (std::vector<std::vector<int>>{
                            {0, 1}, {0, 1, 1, 0}, {0, 1, 0, 1}, {0, 0, 1, 1}}));
  // Cuts end where every stage stands alone.
  EXPECT_EQ(makeVariants(model, 100).size(), 1u + 3 * 3);
  EXPECT_EQ(makeVariants(unplaced(4, {1, 1}), 100).size(), 1u);
  EXPECT_EQ(makeVariants(unplaced(1, {1, 1}), 2).size(), 2u);
}

TEST(Variants, putFixedBytesWhereTheStagesAre) {
  UnplacedProblem model = unplaced(2, {1, 1, 1, 1});
  model.fixedBytesOfStages = {1, 2, 4, 8};
  model.problem.fixedBytes = {100, 200};
  std::vector<Problem> variants = makeVariants(model, 2);
  ASSERT_EQ(variants.size(), 4u);
  EXPECT_EQ(variants[0].fixedBytes, (std::vector<int64_t>{103, 212}));
  EXPECT_EQ(variants[1].fixedBytes, (std::vector<int64_t>{109, 206})); // v
  EXPECT_EQ(variants[2].fixedBytes, (std::vector<int64_t>{105, 210})); // loop
}

TEST(Variants, joinPassesAndBytes) {
  UnplacedProblem model;
  Stage frozen, first, other, withoutWeights;
  frozen.hasBackwardInput = frozen.hasBackwardWeight = false;
  frozen.forward = 1;
  frozen.activationBytes = 50;
  frozen.workspaceBytes[0] = 5;
  first.hasBackwardInput = false;
  first.forward = 1;
  first.backwardWeight = 4;
  first.activationBytes = 10;
  first.gradientReduction = 2;
  other.forward = 2;
  other.backwardInput = 3;
  other.backwardWeight = 5;
  other.backward = 7;
  other.recompute = 1.5;
  other.activationBytes = 20;
  other.keptForRecompute = 6;
  other.releasedByBackwardInput = 9;
  other.takenByBackwardInput = 11;
  other.update = 1;
  other.workspaceBytes[0] = 30;
  withoutWeights.forward = 1;
  withoutWeights.backwardInput = 1;
  withoutWeights.hasBackwardWeight = false;
  withoutWeights.activationBytes = 3;
  withoutWeights.forwardTransferBytes = 77;
  first.forwardTransferBytes = other.backwardTransferBytes = 99;
  model.problem.stages = {frozen, first, other, withoutWeights};
  Stage joined = joinStages(model, 1).problem.stages[0];
  EXPECT_TRUE(joined.hasBackwardInput && joined.hasBackwardWeight);
  EXPECT_EQ(joined.forward, 5);
  EXPECT_EQ(joined.backwardInput, 4);
  EXPECT_EQ(joined.backwardWeight, 9);
  EXPECT_EQ(joined.backward, 12);
  EXPECT_EQ(joined.recompute, 1.5);
  EXPECT_EQ(joined.gradientReduction, 2);
  EXPECT_EQ(joined.update, 1);
  EXPECT_EQ(joined.activationBytes, 33);
  EXPECT_EQ(joined.keptForRecompute, 19);
  // B gives back all of the part without W.
  EXPECT_EQ(joined.releasedByBackwardInput, 12);
  EXPECT_EQ(joined.takenByBackwardInput, 11);
  EXPECT_EQ(joined.workspaceBytes[0], 55);
  EXPECT_EQ(joined.forwardTransferBytes, 77);
  EXPECT_EQ(joined.backwardTransferBytes, 0);
}

// Joined stages are stages: every variant passes the check and can be run.
TEST(VariantsProperty, areProblems) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 12);
    UnplacedProblem model;
    model.problem = randomProblem(random, p, randomInt(random, 1, 3),
                                  std::vector<int>(n, 0));
    addRecomputeAndReductions(random, model.problem);
    model.problem.placement.clear();
    double work = 0;
    for (const Stage &stage : model.problem.stages)
      work += stage.forward + stage.duration(PassKind::BackwardInput) +
              stage.duration(PassKind::BackwardWeight) +
              stage.duration(PassKind::Recompute);
    for (const Problem &problem : makeVariants(model, 3)) {
      ASSERT_EQ(problem.check(), std::nullopt);
      double variantWork = 0;
      for (const Stage &stage : problem.stages)
        variantWork += stage.forward + stage.duration(PassKind::BackwardInput) +
                       stage.duration(PassKind::BackwardWeight) +
                       stage.duration(PassKind::Recompute);
      EXPECT_DOUBLE_EQ(variantWork, work);
      EXPECT_TRUE(simulate(problem, randomSchedule(random, problem)));
    }
  }
}

} // namespace
