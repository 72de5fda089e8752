// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Schedule.h"
#include "RandomProblems.h"
#include "weir/Schedule/NamedSchedules.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

constexpr PassKind F = PassKind::Forward, B = PassKind::BackwardInput,
                   W = PassKind::BackwardWeight, BW = PassKind::Backward,
                   U = PassKind::Update, R = PassKind::Recompute;

/// Two devices, two microbatches, split backward passes.
struct VerifyTest : testing::Test {
  Problem problem = unitProblem(2, 2, {0, 1});
  Schedule schedule{
      "test",
      {{{F, 0, 0}, {F, 0, 1}, {B, 0, 0}, {W, 0, 0}, {B, 0, 1}, {W, 0, 1}},
       {{F, 1, 0}, {B, 1, 0}, {F, 1, 1}, {B, 1, 1}, {W, 1, 0}, {W, 1, 1}}}};

  void swap(int device, int i, int j) {
    std::swap(schedule.order[device][i], schedule.order[device][j]);
  }
  std::string error() { return verify(problem, schedule).value_or("none"); }
};

TEST_F(VerifyTest, acceptsASchedule) { EXPECT_EQ(error(), "none"); }

TEST_F(VerifyTest, refusesAnotherNumberOfDevices) {
  schedule.order.emplace_back();
  EXPECT_EQ(error(), "the schedule is for 3 devices, the problem has 2");
}

TEST_F(VerifyTest, namesAMissingPass) {
  schedule.order[1].erase(schedule.order[1].begin() + 4);
  EXPECT_EQ(error(), "W s1 mb 0 on device 1 is missing");
}

TEST_F(VerifyTest, namesADuplicate) {
  schedule.order[0].push_back({B, 0, 1});
  EXPECT_EQ(error(),
            "B s0 mb 1 on device 0 appears twice, at positions 4 and 6");
}

TEST_F(VerifyTest, namesAPassOnTheWrongDevice) {
  schedule.order[0][0].stage = 1;
  EXPECT_EQ(error(), "F s1 mb 0 on device 0: stage 1 is placed on device 1");
}

TEST_F(VerifyTest, namesAPassThatIsNotThere) {
  schedule.order[0][0].stage = 2;
  EXPECT_EQ(error(), "F s2 mb 0 on device 0: there are 2 stages");
  schedule.order[0][0] = {F, 0, 2};
  EXPECT_EQ(error(), "F s0 mb 2 on device 0: there are 2 microbatches");
  schedule.order[0][0] = {F, 0, -1};
  EXPECT_EQ(error(), "F s0 mb -1 on device 0: there are 2 microbatches");
  schedule.order[0][0] = {U, 0, 1};
  EXPECT_EQ(error(), "U s0 on device 0: an update belongs to no microbatch");
  schedule.order[0][0] = {F, 0, 0};
  problem.stages[0].hasBackwardInput = false;
  EXPECT_EQ(error(),
            "B s0 mb 0 on device 0: the stage has no backward_input pass");
}

TEST_F(VerifyTest, refusesAFusedPassBesideItsParts) {
  schedule.order[1].push_back({BW, 1, 1});
  EXPECT_EQ(error(), "B s1 mb 1 on device 1 repeats a part of BW s1 mb 1");
}

TEST_F(VerifyTest, acceptsAFusedPassInPlaceOfItsParts) {
  schedule.order[1] = {{F, 1, 0}, {F, 1, 1}, {BW, 1, 0}, {BW, 1, 1}};
  EXPECT_EQ(error(), "none");
}

TEST_F(VerifyTest, keepsMicrobatchesInOrder) {
  swap(1, 4, 5);
  EXPECT_EQ(error(), "W s1 mb 0 on device 1 comes after W s1 mb 1; "
                     "microbatches run in order");
}

// A fused pass accumulates a weight gradient too.
TEST_F(VerifyTest, keepsFusedPassesInOrderWithSplitOnes) {
  schedule.order[1] = {{F, 1, 0}, {F, 1, 1}, {B, 1, 0}, {BW, 1, 1}, {W, 1, 0}};
  EXPECT_EQ(error(), "W s1 mb 0 on device 1 comes after BW s1 mb 1; "
                     "microbatches run in order");
}

TEST_F(VerifyTest, wantsTheUpdateLast) {
  schedule.order[0].push_back({U, 0, -1});
  EXPECT_EQ(error(), "none");
  swap(0, 5, 6);
  EXPECT_EQ(error(), "W s0 mb 1 on device 0 comes after U s0");
}

TEST(Updates, followTheLastBackwardPasses) {
  Problem problem = unitProblem(1, 1, {0, 0, 0});
  problem.stages[0].update = problem.stages[2].update = 1;
  Schedule schedule{
      "",
      {{{F, 0, 0}, {F, 1, 0}, {F, 2, 0}, {BW, 2, 0}, {BW, 1, 0}, {BW, 0, 0}}}};
  Schedule without = schedule;
  appendUpdates(problem, schedule);
  EXPECT_EQ(verify(problem, schedule), std::nullopt);
  without.order[0].insert(without.order[0].end(), {{U, 2, -1}, {U, 0, -1}});
  EXPECT_EQ(schedule.order, without.order);
  // Those that are there already are left alone.
  appendUpdates(problem, schedule);
  EXPECT_EQ(schedule.order, without.order);
}

TEST_F(VerifyTest, wantsRecomputeBetweenForwardAndBackward) {
  schedule.order[0].insert(schedule.order[0].begin() + 1, {R, 0, 0});
  EXPECT_EQ(error(), "R s0 mb 0 on device 0: the stage has no recompute pass");
  problem.stages[0].recompute = 1;
  EXPECT_EQ(error(), "R s0 mb 1 on device 0 is missing");
  std::vector<Pass> &order = schedule.order[0];
  order = {{F, 0, 0}, {F, 0, 1}, {R, 0, 0}, {B, 0, 0},
           {R, 0, 1}, {W, 0, 0}, {B, 0, 1}, {W, 0, 1}};
  EXPECT_EQ(error(), "none");
  swap(0, 1, 4);
  EXPECT_EQ(error(), "R s0 mb 0 on device 0 comes after R s0 mb 1; "
                     "microbatches run in order");
  swap(0, 1, 4);
  swap(0, 4, 6);
  EXPECT_EQ(error(), "deadlock: B s0 mb 1 on device 0 waits for R s0 mb 1, "
                     "which comes after B s0 mb 1 on device 0");
  swap(0, 4, 6);
  swap(0, 0, 2);
  EXPECT_EQ(error(), "F s0 mb 0 on device 0 comes after F s0 mb 1; "
                     "microbatches run in order");
  order = {{R, 0, 0}, {F, 0, 0}, {F, 0, 1}, {R, 0, 1}, {BW, 0, 0}, {BW, 0, 1}};
  EXPECT_EQ(error(), "deadlock: R s0 mb 0 on device 0 waits for F s0 mb 0, "
                     "which comes after R s0 mb 0 on device 0");
  swap(0, 0, 1);
  EXPECT_EQ(error(), "none");
  order.push_back({R, 0, 1});
  EXPECT_EQ(error(),
            "R s0 mb 1 on device 0 appears twice, at positions 3 and 6");
  order.back() = {U, 0, -1};
  EXPECT_EQ(error(), "none");
  std::swap(order[3], order[6]);
  EXPECT_EQ(error(), "BW s0 mb 0 on device 0 comes after U s0");
}

// A stage without B reads what R computes in its W.
TEST_F(VerifyTest, wantsRecomputeBeforeTheWeightPass) {
  problem.stages[0].recompute = 1;
  problem.stages[0].hasBackwardInput = false;
  schedule.order[0] = {{F, 0, 0}, {F, 0, 1}, {R, 0, 0},
                       {W, 0, 0}, {R, 0, 1}, {W, 0, 1}};
  EXPECT_EQ(error(), "none");
  swap(0, 2, 3);
  EXPECT_EQ(error(), "deadlock: W s0 mb 0 on device 0 waits for R s0 mb 0, "
                     "which comes after W s0 mb 0 on device 0");
}

TEST_F(VerifyTest, findsADeadlockWithinADevice) {
  swap(1, 0, 1);
  EXPECT_EQ(error(), "deadlock: B s1 mb 0 on device 1 waits for F s1 mb 0, "
                     "which comes after B s1 mb 0 on device 1");
}

// Each device holds back what the other one needs first.
TEST_F(VerifyTest, namesTheCycleOfADeadlock) {
  schedule.order[0] = {{F, 0, 0}, {B, 0, 0}, {F, 0, 1},
                       {W, 0, 0}, {B, 0, 1}, {W, 0, 1}};
  schedule.order[1] = {{F, 1, 0}, {F, 1, 1}, {B, 1, 0},
                       {B, 1, 1}, {W, 1, 0}, {W, 1, 1}};
  EXPECT_EQ(error(),
            "deadlock: B s0 mb 0 on device 0 waits for B s1 mb 0, which comes "
            "after F s1 mb 1 on device 1; F s1 mb 1 on device 1 waits for F s0 "
            "mb 1, which comes after B s0 mb 0 on device 0");
}

TEST_F(VerifyTest, measuresMemoryAgainstTheLimit) {
  problem.fixedBytes = {100, 100};
  problem.limitMemory(102);
  EXPECT_EQ(error(), "none");
  problem.limitMemory(101);
  EXPECT_EQ(error(),
            "device 0 needs 102 bytes during F s0 mb 1, the limit is 101");
  problem.limitMemory(99);
  problem.stages.assign(2, Stage());
  EXPECT_EQ(error(), "device 0 needs 100 bytes, the limit is 99");
}

TEST_F(VerifyTest, limitsEachDevice) {
  problem.memoryLimits = {2, 1};
  EXPECT_EQ(error(), "device 1 needs 2 bytes during F s1 mb 1, the limit is 1");
  problem.memoryLimits = {1, 2};
  EXPECT_EQ(error(), "device 0 needs 2 bytes during F s0 mb 1, the limit is 1");
  problem.memoryLimits = {2, 2};
  EXPECT_EQ(error(), "none");
}

TEST_F(VerifyTest, countsWhatRecomputeTakes) {
  problem.stages[0].activationBytes = 10;
  problem.stages[0].recompute = 1;
  problem.stages[0].keptForRecompute = 3;
  schedule.order[0] = {{F, 0, 0}, {F, 0, 1}, {R, 0, 0}, {B, 0, 0},
                       {W, 0, 0}, {R, 0, 1}, {B, 0, 1}, {W, 0, 1}};
  problem.memoryLimits = {13, 2};
  EXPECT_EQ(error(), "none");
  problem.memoryLimits = {12, 2};
  EXPECT_EQ(error(),
            "device 0 needs 13 bytes during R s0 mb 0, the limit is 12");
}

TEST_F(VerifyTest, countsTransferBuffers) {
  problem.stages[0].forwardTransferBytes = 10;
  problem.limitMemory(12);
  EXPECT_EQ(error(), "none");
  // Microbatch 1 arrives while device 1 runs F and B of microbatch 0.
  problem.limitMemory(10);
  EXPECT_EQ(error(), "device 0 needs 12 bytes with its transfer buffers, the "
                     "limit is 10");
}

// Every random order is a schedule, and no order stays one when two passes that
// depend on each other trade places or a pass is dropped, doubled or moved to
// another device.
TEST(VerifyProperty, refusesBrokenOrders) {
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 7);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 5), placement);
    addRecomputeAndReductions(random, problem);
    ASSERT_EQ(problem.check(), std::nullopt);
    Schedule schedule = randomSchedule(random, problem);
    ASSERT_EQ(verify(problem, schedule), std::nullopt);

    int device = problem.placement[randomInt(random, 0, n - 1)];
    std::vector<Pass> &order = schedule.order[device];
    int at = randomInt(random, 0, static_cast<int>(order.size()) - 1);
    Pass pass = order[at];
    Schedule original = schedule;

    order.erase(order.begin() + at);
    std::optional<std::string> dropped = verify(problem, schedule);
    // A step may leave the update to others.
    ASSERT_EQ(dropped.has_value(), pass.kind != U);
    if (dropped) {
      EXPECT_NE(dropped->find("is missing"), std::string::npos) << *dropped;
    }

    schedule = original;
    order.insert(order.begin() + at, pass);
    std::optional<std::string> doubled = verify(problem, schedule);
    ASSERT_TRUE(doubled);
    EXPECT_NE(doubled->find(toString(pass)), std::string::npos) << *doubled;

    schedule = original;
    for (size_t j = at + 1; j < order.size(); ++j) {
      bool isOfMicrobatch = order[j].stage == pass.stage &&
                            order[j].microbatch == pass.microbatch;
      bool isOfKind =
          order[j].stage == pass.stage && order[j].kind == pass.kind;
      if (!isOfMicrobatch && !isOfKind)
        continue;
      std::swap(order[at], order[j]);
      EXPECT_TRUE(verify(problem, schedule)) << toString(pass);
      break;
    }

    schedule = original;
    if (p > 1) {
      int other = (device + 1) % p;
      order.erase(order.begin() + at);
      schedule.order[other].push_back(pass);
      std::optional<std::string> moved = verify(problem, schedule);
      ASSERT_TRUE(moved);
      EXPECT_NE(moved->find("is placed on device"), std::string::npos);
    }
  }
}

} // namespace
