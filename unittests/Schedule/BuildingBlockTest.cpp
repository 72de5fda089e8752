// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/BuildingBlock.h"
#include "RandomProblems.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

Problem unitProblemOf(const NamedSchedule &named, int devices,
                      int microbatches) {
  return unitProblem(
      devices, microbatches,
      makePlacement(named.placement, devices * named.stagesPerDevice, devices));
}

/// One device, one stage: F at 0, B at 4, interval 3.
struct OneStage : testing::Test {
  Problem problem = unitProblem(1, 5, {0});
  BuildingBlock block{3, false, {{0, 4, std::nullopt}}};
};

TEST_F(OneStage, wTakesTheNextFreeSlot) {
  ASSERT_TRUE(block.placeBackwardWeights(problem));
  // B ends at 5, which is 2 modulo 3 and free.
  EXPECT_EQ(block.stages[0].backwardWeight, 5);
  block.stages[0] = {0, 5, std::nullopt};
  ASSERT_TRUE(block.placeBackwardWeights(problem));
  // B ends at 6, where the F of two microbatches later runs.
  EXPECT_EQ(block.stages[0].backwardWeight, 7);
}

TEST_F(OneStage, wNeedsAGapThatIsLongEnough) {
  problem.stages[0].backwardWeight = 1.5;
  EXPECT_FALSE(block.placeBackwardWeights(problem));
}

TEST_F(OneStage, findsCollisions) {
  ASSERT_TRUE(block.placeBackwardWeights(problem));
  EXPECT_EQ(block.check(problem), std::nullopt);
  block.stages[0].backwardInput = 3;
  EXPECT_EQ(block.check(problem),
            "F of stage 0 and B of stage 0 overlap on device 0");
  block.stages[0].backwardInput = 0.5;
  EXPECT_EQ(block.check(problem),
            "B of stage 0 starts before its input is there");
  block.stages[0] = {0, 4, std::nullopt};
  EXPECT_EQ(block.check(problem), "W of stage 0 has no offset");
  block.stages[0].backwardWeight = 5;
  problem.stages[0].forward = 3.5;
  EXPECT_EQ(block.check(problem),
            "F of stage 0 takes longer than the interval");
}

TEST_F(OneStage, boundsMemoryByLifespans) {
  ASSERT_TRUE(block.placeBackwardWeights(problem));
  EXPECT_EQ(block.lifespan(problem, 0), 6);
  Stage &stage = problem.stages[0];
  stage.activationBytes = 10;
  // All 10 from 0 to 6: two at once.
  EXPECT_EQ(block.memoryBound(problem), (std::vector<int64_t>{20}));
  // 4 of them only to 5, which is still two at once; 100 more from 4 to 6.
  stage.releasedByBackwardInput = 4;
  stage.takenByBackwardInput = 100;
  EXPECT_EQ(block.memoryBound(problem), (std::vector<int64_t>{120}));
  stage.hasBackwardWeight = false;
  EXPECT_EQ(block.memoryBound(problem), (std::vector<int64_t>{20}));
  stage.hasBackwardInput = false;
  EXPECT_EQ(block.memoryBound(problem), (std::vector<int64_t>{10}));
}

TEST_F(OneStage, repeatsInOrderOfTime) {
  ASSERT_TRUE(block.placeBackwardWeights(problem));
  problem.numMicrobatches = 3;
  std::string text;
  Schedule schedule = repeat(block, problem);
  for (const Pass &pass : schedule.order[0])
    text += std::string(shortName(pass.kind)) +
            std::to_string(pass.microbatch) + " ";
  EXPECT_EQ(text, "F0 F1 B0 W0 F2 B1 W1 B2 W2 ");
}

constexpr std::string_view kBlocks[] = {"1f1b",   "zb-h1", "zb-h2", "v-min",
                                        "v-half", "v-zb",  "1f1b-v"};

TEST(NamedBlock, isFreeOfCollisions) {
  for (std::string_view name : kBlocks)
    for (int p = 1; p <= 64; ++p) {
      Problem problem = unitProblemOf(*findNamed(name), p, 1);
      std::string error;
      std::optional<BuildingBlock> block = namedBlock(name, problem, &error);
      ASSERT_TRUE(block) << error;
      EXPECT_EQ(block->check(problem), std::nullopt) << name << " p=" << p;
      // No gap: the block takes as long as a device has work.
      EXPECT_EQ(block->interval, 3 * problem.numStages() / p);
    }
}

TEST(NamedBlock, groupsAreFreeOfCollisions) {
  for (int p = 1; p <= 17; ++p)
    for (int chunks = 1; chunks <= 6; ++chunks)
      for (int group = 1; group <= p + 1; ++group) {
        Problem problem = unitProblem(p, p + 1, loopPlacement(chunks * p, p));
        std::string name = "gis:group=" + std::to_string(group);
        BuildingBlock block = *namedBlock(name, problem, nullptr);
        EXPECT_EQ(block.check(problem), std::nullopt)
            << name << " p=" << p << " chunks=" << chunks;
        EXPECT_EQ(block.interval, 3 * group * chunks);
      }
}

// Offsets of F0, F1, B1, B0 on device i.
TEST(NamedBlock, offsetsOfTheVFamily) {
  for (int p = 1; p <= 64; ++p) {
    Problem problem = unitProblem(p, 1, vPlacement(2 * p, p));
    int third = p % 3 == 0 ? 2 : 0, half = p % 2 == 0 ? 3 : 0;
    for (int i = 0; i < p; ++i) {
      auto offsets = [&](std::string_view name) {
        BuildingBlock block = *namedBlock(name, problem, nullptr);
        const auto &outer = block.stages[i];
        const auto &inner = block.stages[2 * p - 1 - i];
        return std::vector<double>{outer.forward, inner.forward,
                                   inner.backwardInput, outer.backwardInput};
      };
      EXPECT_EQ(offsets("v-min"),
                (std::vector<double>{1. * i, 2. * p - 1 - i, 2. * p + third + i,
                                     4. * p + third - 1 - i}));
      EXPECT_EQ(offsets("v-half"),
                (std::vector<double>{2. * i, 3. * p - 2 - i,
                                     3. * p - 1 + half + 2 * i,
                                     6. * p - 2 + half - i}));
      EXPECT_EQ(offsets("v-zb"),
                (std::vector<double>{4. * i, 6. * p - 5 - 2 * i,
                                     6. * p - 4 + 4 * i, 12. * p - 9 - 2 * i}));
    }
  }
}

void expectBoundHolds(const Problem &problem, const BuildingBlock &block) {
  Schedule schedule = repeat(block, problem);
  ASSERT_EQ(verify(problem, schedule), std::nullopt);
  std::vector<int64_t> bound = block.memoryBound(problem);
  Simulation simulation = *simulate(problem, schedule);
  for (int device = 0; device < problem.numDevices; ++device)
    EXPECT_LE(simulation.peakActivationBytes[device], bound[device]);
}

// The bound needs no unrolling, and the repeated block meets it.
TEST(NamedBlock, memoryBoundIsThatOfTheRepeatedBlock) {
  for (std::string_view name : kBlocks)
    for (int p : {1, 2, 3, 4, 5, 8, 13}) {
      Problem problem = unitProblemOf(*findNamed(name), p, 4 * p);
      expectBoundHolds(problem, *namedBlock(name, problem, nullptr));
    }
  for (std::string_view name : {"gis", "gis:group=1", "gis:group=3"})
    for (int p : {1, 2, 3, 4, 5, 8}) {
      Problem problem = unitProblem(p, 5 * p + 1, loopPlacement(3 * p, p));
      expectBoundHolds(problem, *namedBlock(name, problem, nullptr));
    }
}

TEST(NamedBlock, groupsCountInTheBound) {
  // Two microbatches at 0 and 3, every 12: a window of 4 sees both, one of 3
  // only one, one of 13 three.
  Problem problem = unitProblem(1, 1, {0});
  BuildingBlock block{12, false, {{0, 1, 3}}, 2, 3};
  EXPECT_EQ(block.check(problem),
            "F of stage 0 and W of stage 0 overlap on device 0");
  block.stages[0].backwardWeight = 2;
  EXPECT_EQ(block.check(problem), std::nullopt);
  EXPECT_EQ(block.memoryBound(problem)[0], 1);
  block.stages[0].backwardWeight = 8;
  EXPECT_EQ(block.memoryBound(problem)[0], 2);
  block.stages[0].backwardWeight = 13;
  EXPECT_EQ(block.memoryBound(problem)[0], 3);
  EXPECT_EQ(block.delay(5), 27);
}

TEST(Reorder, putsWeightGradientsIntoIdleTime) {
  // Device 1 waits for F of microbatch 1 and runs a W meanwhile.
  Problem problem = unitProblem(2, 2, {0, 1});
  problem.stages[0].forward = 3;
  Schedule schedule;
  constexpr PassKind F = PassKind::Forward, B = PassKind::BackwardInput,
                     W = PassKind::BackwardWeight;
  schedule.order = {
      {{F, 0, 0}, {F, 0, 1}, {B, 0, 0}, {B, 0, 1}, {W, 0, 0}, {W, 0, 1}},
      {{F, 1, 0}, {B, 1, 0}, {F, 1, 1}, {B, 1, 1}, {W, 1, 0}, {W, 1, 1}}};
  Schedule reordered = reorder(problem, schedule, {2, 2});
  EXPECT_EQ(verify(problem, reordered), std::nullopt);
  EXPECT_EQ(
      reordered.order[1],
      (std::vector<Pass>{
          {F, 1, 0}, {B, 1, 0}, {W, 1, 0}, {F, 1, 1}, {B, 1, 1}, {W, 1, 1}}));
  // With memory for one microbatch, W comes before the next F.
  problem.stages[0].forward = 0;
  reordered = reorder(problem, schedule, {2, 1});
  EXPECT_EQ(reordered.order[1][2], (Pass{W, 1, 0}));
  reordered = reorder(problem, schedule, {2, 2});
  EXPECT_EQ(reordered.order[1][2], (Pass{F, 1, 1}));
}

TEST(Reorder, leavesAloneWhatIsKept) {
  // The same W would fill the same idle time.
  Problem problem = unitProblem(2, 2, {0, 1});
  problem.stages[0].forward = 3;
  Schedule schedule;
  constexpr PassKind F = PassKind::Forward, B = PassKind::BackwardInput,
                     W = PassKind::BackwardWeight;
  schedule.order = {
      {{F, 0, 0}, {F, 0, 1}, {B, 0, 0}, {B, 0, 1}, {W, 0, 0}, {W, 0, 1}},
      {{F, 1, 0}, {B, 1, 0}, {F, 1, 1}, {B, 1, 1}, {W, 1, 0}, {W, 1, 1}}};
  std::vector<PassRange> kept = {{0, 0}, {2, 5}};
  EXPECT_EQ(reorder(problem, schedule, {2, 2}, true, kept).order[1],
            schedule.order[1]);
  // A W that is not kept waits for those of its stage that are.
  schedule.order[1] = {{F, 1, 0}, {B, 1, 0}, {F, 1, 1},
                       {W, 1, 0}, {B, 1, 1}, {W, 1, 1}};
  kept[1] = {2, 4};
  EXPECT_EQ(reorder(problem, schedule, {2, 2}, true, kept).order[1],
            schedule.order[1]);
}

/// Any part of each device's order.
std::vector<PassRange> randomRanges(Random &random, const Schedule &schedule) {
  std::vector<PassRange> ranges;
  for (const std::vector<Pass> &order : schedule.order) {
    int size = static_cast<int>(order.size());
    size_t begin = randomInt(random, 0, size);
    ranges.push_back(
        {begin, begin + randomInt(random, 0, size - static_cast<int>(begin))});
  }
  return ranges;
}

// What is kept keeps its order, and the result is a schedule.
TEST(ReorderProperty, keepsRanges) {
  Random random(14);
  for (int i = 0; i < 500; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 6), placement);
    Schedule schedule = randomSchedule(random, problem);
    std::vector<int64_t> limits(p);
    for (int64_t &limit : limits)
      limit = randomInt(random, 0, 100);
    std::vector<PassRange> kept = randomRanges(random, schedule);
    Schedule reordered =
        reorder(problem, schedule, limits, randomInt(random, 0, 1), kept);
    ASSERT_EQ(verify(problem, reordered), std::nullopt);
    for (int device = 0; device < p; ++device) {
      const std::vector<Pass> &before = schedule.order[device];
      const std::vector<Pass> &after = reordered.order[device];
      auto at = after.begin();
      for (size_t k = kept[device].begin; k < kept[device].end; ++k) {
        at = std::find(at, after.end(), before[k]);
        ASSERT_NE(at, after.end());
      }
    }
  }
}

// Whatever order it is given, the result is a schedule that stays within the
// limits, or within what the order needs with every W at once.
TEST(ReorderProperty, staysWithinLimits) {
  Random random(4);
  for (int i = 0; i < 500; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 6), placement);
    Schedule schedule = randomSchedule(random, problem);
    std::vector<int64_t> limits(p);
    for (int64_t &limit : limits)
      limit = randomInt(random, 0, 100);
    Schedule reordered = reorder(problem, schedule, limits);
    ASSERT_EQ(verify(problem, reordered), std::nullopt);

    std::vector<int64_t> peaks =
        simulate(problem, reordered)->peakActivationBytes;
    for (int device = 0; device < p; ++device) {
      int64_t held = 0, needed = 0;
      for (const Pass &pass : schedule.order[device]) {
        const Stage &stage = problem.stages[pass.stage];
        if (pass.kind == PassKind::BackwardWeight && stage.hasBackwardInput)
          continue;
        held += stage.taken(pass.kind);
        needed = std::max(needed, held);
        held -= stage.released(pass.kind);
        if (pass.kind == PassKind::BackwardInput && stage.hasBackwardWeight)
          held -= stage.released(PassKind::BackwardWeight);
      }
      EXPECT_LE(peaks[device], std::max(limits[device], needed));
    }
  }
}

TEST(PullForward, fillsSlotsWithinTheLimit) {
  // Microbatch 1 may start three slots earlier, if there is room for two.
  Problem problem = unitProblem(1, 2, {0});
  constexpr PassKind F = PassKind::Forward, B = PassKind::BackwardInput,
                     W = PassKind::BackwardWeight;
  std::vector<std::vector<TimedPass>> passes = {{{{F, 0, 0}, 0, 1},
                                                 {{B, 0, 0}, 3, 4},
                                                 {{W, 0, 0}, 4, 5},
                                                 {{F, 0, 1}, 5, 6},
                                                 {{B, 0, 1}, 6, 7},
                                                 {{W, 0, 1}, 7, 8}}};
  EXPECT_EQ(
      pullForward(problem, passes, {1}).order[0],
      (std::vector<Pass>{
          {F, 0, 0}, {B, 0, 0}, {W, 0, 0}, {F, 0, 1}, {B, 0, 1}, {W, 0, 1}}));
  // B's input is there in slot 1; F of microbatch 1 comes later in time, so it
  // takes what is left.
  passes[0][1] = {{B, 0, 0}, 1, 2};
  passes[0][2] = {{W, 0, 0}, 4, 5};
  EXPECT_EQ(pullForward(problem, passes, {2}).order[0][2], (Pass{W, 0, 0}));
  passes[0] = {{{F, 0, 0}, 0, 1}, {{F, 0, 1}, 1, 2}, {{B, 0, 0}, 6, 7},
               {{W, 0, 0}, 7, 8}, {{B, 0, 1}, 8, 9}, {{W, 0, 1}, 9, 10}};
  EXPECT_EQ(
      pullForward(problem, passes, {2}).order[0],
      (std::vector<Pass>{
          {F, 0, 0}, {F, 0, 1}, {B, 0, 0}, {W, 0, 0}, {B, 0, 1}, {W, 0, 1}}));
}

// Whatever it is given, the result is a schedule, needs no more memory than the
// limits or what it was given, and is no longer.
TEST(PullForwardProperty, staysWithinLimitsAndGetsNoLonger) {
  Random random(11);
  for (int i = 0; i < 500; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 6), placement);
    for (Stage &stage : problem.stages) {
      stage.forward = randomInt(random, 1, 3);
      stage.backwardInput = randomInt(random, 1, 3);
      stage.backwardWeight = randomInt(random, 1, 3);
      stage.backward.reset();
      stage.recompute.reset();
      stage.keptForRecompute = 0;
    }
    problem.defaultLink = Link();
    problem.links.clear();
    Schedule schedule = randomSchedule(random, problem);
    Simulation before = *simulate(problem, schedule);
    // Idle slots anywhere.
    std::vector<std::vector<TimedPass>> passes = before.passes;
    int stretch = randomInt(random, 1, 3);
    for (std::vector<TimedPass> &device : passes)
      for (TimedPass &timed : device) {
        double length = timed.end - timed.start;
        timed.start *= stretch;
        timed.end = timed.start + length;
      }
    std::vector<int64_t> limits(p);
    for (int64_t &limit : limits)
      limit = randomInt(random, 0, 100);
    std::vector<PassRange> kept;
    if (randomInt(random, 0, 1))
      kept = randomRanges(random, schedule);
    Schedule pulled = pullForward(problem, passes, limits, kept);
    ASSERT_EQ(verify(problem, pulled), std::nullopt);
    for (size_t device = 0; device < kept.size(); ++device) {
      auto [begin, end] = kept[device];
      EXPECT_TRUE(std::equal(pulled.order[device].begin() + begin,
                             pulled.order[device].begin() + end,
                             schedule.order[device].begin() + begin));
    }
    Simulation after = *simulate(problem, pulled);
    EXPECT_LE(after.makespan, before.makespan * stretch);
    for (int device = 0; device < p; ++device)
      EXPECT_LE(after.peakActivationBytes[device],
                std::max(limits[device], before.peakActivationBytes[device]));
  }
}

} // namespace
