// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Problem.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace weir::schedule;

namespace {

TEST(Placement, laysStagesOverDevices) {
  EXPECT_EQ(linearPlacement(8, 4), (std::vector<int>{0, 0, 1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(linearPlacement(5, 3), (std::vector<int>{0, 0, 1, 1, 2}));
  EXPECT_EQ(loopPlacement(7, 3), (std::vector<int>{0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(vPlacement(8, 4), (std::vector<int>{0, 1, 2, 3, 3, 2, 1, 0}));
  EXPECT_EQ(vPlacement(7, 2), (std::vector<int>{0, 1, 1, 0, 0, 1, 1}));
}

TEST(Placement, usesAsManyDevicesAsThereAreStages) {
  EXPECT_EQ(linearPlacement(2, 4), (std::vector<int>{0, 1}));
  EXPECT_EQ(vPlacement(1, 1), (std::vector<int>{0}));
}

TEST(Placement, isReadFromItsName) {
  for (Placement p : {Placement::Linear, Placement::Loop, Placement::V})
    EXPECT_EQ(parsePlacement(placementName(p)), p);
  EXPECT_FALSE(parsePlacement("zigzag"));
}

TEST(Problem, derivesDurationsOfMissingAndFusedPasses) {
  Stage stage{.forward = 1, .backwardInput = 2, .backwardWeight = 3};
  EXPECT_EQ(stage.duration(PassKind::Backward), 5);
  stage.backward = 4.5;
  EXPECT_EQ(stage.duration(PassKind::Backward), 4.5);
  stage.backward.reset();
  stage.hasBackwardInput = false;
  EXPECT_EQ(stage.duration(PassKind::BackwardInput), 0);
  EXPECT_EQ(stage.duration(PassKind::Backward), 3);
  EXPECT_EQ(stage.duration(PassKind::Recompute), 0);
  stage.recompute = 0.5;
  EXPECT_EQ(stage.duration(PassKind::Recompute), 0.5);
}

TEST(Problem, limitsDevicesOneByOneOrTogether) {
  Problem problem = unitProblem(2, 1, linearPlacement(2, 2));
  EXPECT_EQ(problem.limit(1), std::nullopt);
  problem.limitMemory(7);
  EXPECT_EQ(problem.limit(0), 7);
  problem.memoryLimits = {3, 4};
  EXPECT_EQ(problem.limit(1), 4);
}

TEST(PassKind, hasNames) {
  std::string shortNames, longNames;
  for (int kind = 0; kind < kNumPassKinds; ++kind) {
    shortNames += std::string(shortName(static_cast<PassKind>(kind))) + ' ';
    longNames += std::string(longName(static_cast<PassKind>(kind))) + ' ';
  }
  EXPECT_EQ(shortNames, "F B W BW U R ");
  EXPECT_EQ(longNames, "forward backward_input backward_weight backward update "
                       "recompute ");
}

// Whatever passes a stage has, they give back all that they take.
TEST(Problem, balancesMemory) {
  for (int passes = 0; passes < 8; ++passes) {
    bool hasB = passes & 1, hasW = passes & 2, hasR = passes & 4;
    if (hasR && !hasB && !hasW)
      continue;
    Stage stage;
    if (hasR) {
      stage.recompute = 1;
      stage.keptForRecompute = 3;
    }
    stage.hasBackwardInput = hasB;
    stage.hasBackwardWeight = hasW;
    stage.activationBytes = 10;
    stage.releasedByBackwardInput = 4;
    stage.takenByBackwardInput = 7;
    auto kept = [&](PassKind kind) {
      return stage.taken(kind) - stage.released(kind);
    };
    int64_t ready = kept(PassKind::Forward);
    EXPECT_EQ(ready, hasR ? 3 : hasB || hasW ? 10 : 0);
    if (hasR)
      ready += kept(PassKind::Recompute);
    int64_t split = ready;
    if (hasB)
      split += kept(PassKind::BackwardInput);
    if (hasW)
      split += kept(PassKind::BackwardWeight);
    EXPECT_EQ(split, 0) << hasB << hasW;
    if (hasB || hasW) {
      EXPECT_EQ(ready + kept(PassKind::Backward), 0) << hasB << hasW;
    }
  }
}

/// A problem with one thing wrong.
template <typename Change> std::string errorAfter(Change change) {
  Problem problem = unitProblem(2, 3, linearPlacement(2, 2));
  EXPECT_EQ(problem.check(), std::nullopt);
  change(problem);
  return problem.check().value_or("");
}

TEST(Problem, checkSaysWhatIsWrong) {
  EXPECT_EQ(errorAfter([](Problem &p) { p.numDevices = 0; }),
            "a pipeline needs at least one device, not 0");
  EXPECT_EQ(errorAfter([](Problem &p) { p.numMicrobatches = 0; }),
            "a step needs at least one microbatch, not 0");
  EXPECT_EQ(errorAfter([](Problem &p) { p.numDevices = 1 << 20; }),
            "a pipeline has at most 65536 devices, not 1048576");
  EXPECT_EQ(errorAfter([](Problem &p) { p.numMicrobatches = 1 << 22; }),
            "2 stages times 4194304 microbatches are more than 4194304");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.stages.clear();
              p.placement.clear();
            }),
            "a pipeline needs at least one stage");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.placement = {0, 1, 1};
            }),
            "the placement names 3 devices for 2 stages");
  EXPECT_EQ(errorAfter([](Problem &p) { p.placement[1] = 2; }),
            "stage 1 is placed on device 2, but there are 2 devices");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[1].forward = -1; }),
            "stage 1 has a duration that is negative or too large");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[1].update = 1e308; }),
            "stage 1 has a duration that is negative or too large");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[0].backward = NAN; }),
            "stage 0 has a duration that is negative or too large");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[0].workspaceBytes[2] = -1; }),
            "stage 0 has a negative number of bytes");
  EXPECT_EQ(
      errorAfter([](Problem &p) { p.stages[0].releasedByBackwardInput = 2; }),
      "stage 0 gives back more bytes after its backward-input pass than "
      "its forward pass takes");
  EXPECT_EQ(
      errorAfter([](Problem &p) { p.stages[1].hasBackwardInput = false; }),
      "stage 1 has no backward-input pass, but stage 0 needs the "
      "gradient that it would send");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.links[{0, 2}] = {};
            }),
            "there is a link from device 0 to device 2, but there are 2 "
            "devices");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.links[{1, 1}] = {};
            }),
            "there is a link from device 1 to itself");
  EXPECT_EQ(errorAfter([](Problem &p) { p.defaultLink.bandwidth = 0; }),
            "the default link has a latency that is negative or too large, or "
            "no bandwidth");
  EXPECT_EQ(errorAfter([](Problem &p) { p.fixedBytes = {1}; }),
            "fixed bytes are given for 1 of 2 devices");
  EXPECT_EQ(errorAfter([](Problem &p) { p.limitMemory(-5); }),
            "the memory limit of device 0 is negative");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.memoryLimits = {1, 2, 3};
            }),
            "memory limits are given for 3 of 2 devices");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.memoryLimits = {0, -1};
            }),
            "the memory limit of device 1 is negative");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[1].recompute = -1; }),
            "stage 1 has a duration that is negative or too large");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[1].gradientReduction = NAN; }),
            "stage 1 has a duration that is negative or too large");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.stages[0].hasBackwardInput = false;
              p.stages[0].hasBackwardWeight = false;
              p.stages[0].recompute = 1;
            }),
            "stage 0 computes again what no backward pass reads");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.stages[0].recompute = 1;
              p.stages[0].keptForRecompute = 2;
            }),
            "stage 0 keeps more bytes for its recompute pass than its backward "
            "passes read");
  EXPECT_EQ(errorAfter([](Problem &p) { p.stages[0].keptForRecompute = 1; }),
            "stage 0 keeps bytes for a recompute pass that it does not have");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.stages[0].hasBackwardWeight = false;
              p.stages[0].gradientReduction = 1;
            }),
            "stage 0 exchanges gradients that none of its passes computes");
  EXPECT_EQ(errorAfter([](Problem &p) {
              p.stages[1].activationBytes = INT64_MAX / 2;
            }),
            "the bytes of all stages and microbatches overflow 64 bits");
}

} // namespace
