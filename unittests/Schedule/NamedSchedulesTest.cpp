// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/NamedSchedules.h"
#include "RandomProblems.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

std::vector<int> placementOf(const NamedSchedule &named, int devices) {
  return makePlacement(named.placement, devices * named.stagesPerDevice,
                       devices);
}

Simulation simulateNamed(std::string_view name, const Problem &problem) {
  std::string error;
  std::optional<Schedule> schedule = buildNamed(name, problem, &error);
  EXPECT_TRUE(schedule) << error;
  EXPECT_EQ(verify(problem, *schedule), std::nullopt);
  return *simulate(problem, *schedule);
}

Simulation simulateUnit(std::string_view name, int devices, int microbatches) {
  return simulateNamed(name,
                       unitProblem(devices, microbatches,
                                   placementOf(*findNamed(name), devices)));
}

// Known facts at unit cost. Memory in activations of a stage; a device holds
// two stages of half the size under v-half.
TEST(NamedSchedules, unitCostFacts) {
  for (int p = 2; p <= 16; ++p)
    for (int m : {2 * p, 2 * p + 1, 3 * p - 1, 4 * p}) {
      SCOPED_TRACE("p=" + std::to_string(p) + " m=" + std::to_string(m));
      Simulation gpipe = simulateUnit("gpipe", p, m);
      EXPECT_EQ(gpipe.makespan, 3 * (m + p - 1));
      EXPECT_EQ(gpipe.largestPeakBytes(), m);

      Simulation oneForwardOneBackward = simulateUnit("1f1b", p, m);
      EXPECT_EQ(oneForwardOneBackward.makespan, 3 * (m + p - 1));
      for (int device = 0; device < p; ++device)
        EXPECT_EQ(oneForwardOneBackward.peakBytes[device], p - device);

      Simulation zeroBubble = simulateUnit("zb-h1", p, m);
      EXPECT_EQ(zeroBubble.makespan, 3 * m + p - 1);
      EXPECT_EQ(zeroBubble.largestPeakBytes(), p);

      Simulation vHalf = simulateUnit("v-half", p, m);
      int chunks = 2 * ((p + 2) / 2);
      EXPECT_EQ(vHalf.largestPeakBytes(), chunks);
      EXPECT_EQ(vHalf.makespan,
                std::max(6 * m + 6 * p - 3 * chunks, 6 * m + p) - 1);
    }
}

TEST(NamedSchedules, oneDeviceHasNoBubble) {
  for (const NamedSchedule &named : listNamed())
    for (int m : {1, 2, 7})
      EXPECT_EQ(simulateUnit(named.name, 1, m).bubbleRatio, 0) << named.name;
}

// More devices than microbatches, and counts that nothing divides.
TEST(NamedSchedules, workForAnyCounts) {
  for (const NamedSchedule &named : listNamed())
    for (int p = 1; p <= 9; ++p)
      for (int m = 1; m <= 11; ++m) {
        Problem problem = unitProblem(p, m, placementOf(named, p));
        Simulation simulation = simulateNamed(named.name, problem);
        EXPECT_GE(simulation.makespan,
                  lowerBound(problem, Objective::Makespan).seconds);
        EXPECT_GE(simulation.span,
                  lowerBound(problem, Objective::Span).seconds);
      }
}

TEST(NamedSchedules, useFusedOrSplitPasses) {
  for (const NamedSchedule &named : listNamed()) {
    constexpr std::string_view kFused[] = {"gpipe", "1f1b", "interleaved-1f1b",
                                           "1f1b-v", "dualpipe-v"};
    bool expectFused = std::find(std::begin(kFused), std::end(kFused),
                                 named.name) != std::end(kFused);
    Problem problem = unitProblem(3, 4, placementOf(named, 3));
    Schedule schedule = *buildNamed(named.name, problem, nullptr);
    EXPECT_EQ(schedule.name, named.name);
    for (const std::vector<Pass> &order : schedule.order) {
      bool hasFused =
          std::any_of(order.begin(), order.end(), [](const Pass &pass) {
            return pass.kind == PassKind::Backward;
          });
      EXPECT_EQ(hasFused, expectFused) << named.name;
    }
  }
}

TEST(NamedSchedules, gpipeTakesAnyPlacement) {
  for (std::vector<int> placement : {loopPlacement(12, 4), vPlacement(12, 4),
                                     std::vector<int>{2, 2, 0, 1, 0}})
    simulateNamed("gpipe", unitProblem(4, 5, placement));
}

TEST(NamedSchedules, takeRunsOfStages) {
  for (std::string_view name : {"1f1b", "zb-h1"}) {
    // Two stages per device are one stage of twice the length.
    Simulation one = simulateUnit(name, 4, 9);
    Simulation two =
        simulateNamed(name, unitProblem(4, 9, linearPlacement(8, 4)));
    EXPECT_EQ(two.makespan, 2 * one.makespan);
    EXPECT_EQ(two.largestPeakBytes(), 2 * one.largestPeakBytes());
    // Runs of different lengths, fewer stages than devices, devices in any
    // order.
    simulateNamed(name, unitProblem(3, 7, linearPlacement(7, 3)));
    simulateNamed(name, unitProblem(5, 7, linearPlacement(3, 5)));
    simulateNamed(name, unitProblem(3, 7, {2, 0, 0, 1}));
  }
}

std::string errorOf(std::string_view name, std::vector<int> placement) {
  int devices = *std::max_element(placement.begin(), placement.end()) + 1;
  std::string error = "none";
  buildNamed(name, unitProblem(devices, 4, placement), &error);
  return error;
}

TEST(NamedSchedules, sayWhatTheyNeed) {
  EXPECT_EQ(errorOf("zero-bubble", {0, 1}),
            "unknown schedule 'zero-bubble'; there are gpipe, 1f1b, "
            "interleaved-1f1b, zb-h1, zb-h2, zb-v, v-min, v-half, v-zb, "
            "1f1b-v, gis, dualpipe-v");
  EXPECT_EQ(errorOf("1f1b", {0, 1, 0, 1}),
            "1f1b needs consecutive stages on each device, but stage 2 comes "
            "back to device 0");
  EXPECT_EQ(errorOf("v-half", {0, 1, 0, 1}),
            "v-half needs 4 stages on 2 devices in v placement: the device "
            "that holds stage i holds stage 3-i");
  EXPECT_EQ(errorOf("v-half", {0, 1}),
            "v-half needs 4 stages on 2 devices in v placement: the device "
            "that holds stage i holds stage 3-i");
}

// A limit keeps W's from being put off: zb-h1 then needs on each device what
// 1f1b needs there.
TEST(NamedSchedules, zeroBubbleMakesDoWithLess) {
  Problem problem = unitProblem(4, 12, linearPlacement(4, 4));
  problem.fixedBytes = {0, 1, 2, 3};
  problem.limitMemory(4);
  Simulation simulation = simulateNamed("zb-h1", problem);
  EXPECT_EQ(simulation.peakActivationBytes, (std::vector<int64_t>{4, 3, 2, 1}));
  problem.limitMemory(3);
  EXPECT_EQ(verify(problem, *buildNamed("zb-h1", problem, nullptr)),
            "device 0 needs 4 bytes during F s0 mb 3, the limit is 3");
}

// Whatever the costs, memory stays within the bound of the block on the device
// that needs most.
TEST(NamedSchedulesProperty, verifyAndRespectBounds) {
  Random random(7);
  for (int i = 0; i < 1500; ++i) {
    const NamedSchedule &named = listNamed()[randomInt(
        random, 0, static_cast<int>(listNamed().size()) - 1)];
    int p = randomInt(random, 1, 9), m = randomInt(random, 1, 14);
    std::vector<int> placement = placementOf(named, p);
    if (named.placement == Placement::Linear)
      placement = linearPlacement(randomInt(random, 1, 2 * p), p);
    std::vector<int> devices(p);
    for (int d = 0; d < p; ++d)
      devices[d] = d;
    for (int d = p - 1; d > 0; --d)
      std::swap(devices[d], devices[randomInt(random, 0, d)]);
    for (int &device : placement)
      device = devices[device];
    Problem problem = randomProblem(random, p, m, placement);
    SCOPED_TRACE(std::string(named.name) + " p=" + std::to_string(p) +
                 " m=" + std::to_string(m));
    Simulation simulation = simulateNamed(named.name, problem);
    EXPECT_GE(simulation.makespan,
              lowerBound(problem, Objective::Makespan).seconds * (1 - 1e-12));
    EXPECT_GE(simulation.span,
              lowerBound(problem, Objective::Span).seconds * (1 - 1e-12));
    std::optional<BuildingBlock> namedOrNone =
        namedBlock(named.name, problem, nullptr);
    if (!namedOrNone)
      continue;
    const BuildingBlock &block = *namedOrNone;
    Problem unit = problem;
    for (Stage &stage : unit.stages) {
      stage.forward = stage.backwardInput = stage.backwardWeight = 1;
      stage.backward.reset();
    }
    std::vector<int64_t> bound = block.memoryBound(unit);
    int64_t largest = *std::max_element(bound.begin(), bound.end());
    EXPECT_LE(simulation.largestPeakActivationBytes(), largest);
  }
}

// Large problems are built, checked and simulated as a matter of course.
TEST(NamedSchedules, sixtyFourStages) {
  for (const NamedSchedule &named : listNamed()) {
    Simulation simulation = simulateUnit(named.name, 64, 256);
    EXPECT_LT(simulation.bubbleRatio, 0.22) << named.name;
  }
}

} // namespace
