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

// Known facts at unit cost. Memory and times in those of a stage; a device of
// the V family holds two stages of half the size.
void checkUnitCostFacts(int p, int m) {
  SCOPED_TRACE("p=" + std::to_string(p) + " m=" + std::to_string(m));
  Simulation gpipe = simulateUnit("gpipe", p, m);
  EXPECT_EQ(gpipe.makespan, 3 * (m + p - 1));
  EXPECT_EQ(gpipe.largestPeakBytes(), m);

  Simulation oneForwardOneBackward = simulateUnit("1f1b", p, m);
  EXPECT_EQ(oneForwardOneBackward.makespan, 3 * (m + p - 1));
  for (int device = 0; device < p; ++device)
    EXPECT_EQ(oneForwardOneBackward.peakBytes[device], p - device);

  Simulation zeroBubble1 = simulateUnit("zb-h1", p, m);
  EXPECT_EQ(zeroBubble1.makespan, 3 * m + p - 1);
  EXPECT_EQ(zeroBubble1.largestPeakBytes(), p);

  Simulation zeroBubble2 = simulateUnit("zb-h2", p, m);
  EXPECT_EQ(zeroBubble2.makespan, 3 * m + p - 1);
  EXPECT_EQ(zeroBubble2.span, 3 * m);
  EXPECT_EQ(zeroBubble2.largestPeakBytes(), 2 * p - 1);

  for (std::string_view name : {"zb-v", "v-zb"}) {
    Simulation zeroBubbleV = simulateUnit(name, p, m);
    EXPECT_EQ(zeroBubbleV.makespan, 6 * m + p - 1) << name;
    EXPECT_EQ(zeroBubbleV.span, 6 * m) << name;
    EXPECT_EQ(zeroBubbleV.largestPeakBytes(), 2 * p) << name;
  }

  // The fill and drain that k stages in memory allow.
  auto leastMakespan = [&](int k) {
    return std::max(6 * m + 6 * p - 3 * k, 6 * m + p) - 1;
  };
  Simulation vHalf = simulateUnit("v-half", p, m);
  int half = 2 * ((p + 2) / 2);
  EXPECT_EQ(vHalf.largestPeakBytes(), half);
  EXPECT_EQ(vHalf.makespan, leastMakespan(half));

  Simulation vMin = simulateUnit("v-min", p, m);
  int third = 2 * ((p + 4) / 3);
  EXPECT_EQ(vMin.largestPeakBytes(), third);
  EXPECT_GE(vMin.makespan, leastMakespan(third));
  EXPECT_LE(vMin.makespan, leastMakespan(third) + (p % 3 == 1 ? 0 : 4));

  EXPECT_EQ(simulateUnit("1f1b-v", p, m).largestPeakBytes(),
            2 * (2 * p / 3 + 1));
}

TEST(NamedSchedules, unitCostFacts) {
  for (int p = 2; p <= 16; ++p)
    for (int m : {2 * p, 2 * p + 1, 3 * p - 1, 4 * p})
      checkUnitCostFacts(p, m);
  for (int p : {17, 22, 27, 32, 41, 48, 63, 64})
    checkUnitCostFacts(p, 2 * p + p % 3);
}

// Peak memory and makespan of published generators, in passes of a stage.
TEST(NamedSchedules, reachPublishedResults) {
  struct Published {
    std::string_view name;
    int chunks, devices, microbatches;
    int makespan, memory;
  };
  constexpr Published kPublished[] = {{"v-min", 2, 4, 16, 107, 4},
                                      {"v-min", 2, 16, 64, 443, 12},
                                      {"v-half", 2, 8, 32, 209, 10},
                                      {"zb-v", 2, 8, 32, 199, 16},
                                      {"zb-v", 2, 7, 6, 44, 12},
                                      {"zb-v", 2, 8, 8, 55, 16},
                                      {"gis:group=4", 8, 8, 32, 810, 36},
                                      {"gis:group=8", 8, 8, 32, 782, 64},
                                      {"gis:group=4", 8, 4, 16, 390, 32},
                                      {"gis:group=2", 8, 4, 16, 404, 18},
                                      {"gis:group=16", 8, 16, 64, 1566, 128},
                                      {"1f1b-v", 2, 8, 32, 225, 12},
                                      {"1f1b-v", 2, 13, 52, 372, 18}};
  for (const Published &published : kPublished) {
    SCOPED_TRACE(published.name);
    int p = published.devices;
    Problem problem =
        unitProblem(p, published.microbatches,
                    makePlacement(findNamed(published.name)->placement,
                                  published.chunks * p, p));
    Simulation simulation = simulateNamed(published.name, problem);
    EXPECT_LE(simulation.makespan, published.makespan);
    EXPECT_EQ(simulation.largestPeakBytes(), published.memory);
  }
}

// Makespans of published generators where transfers take a part of a pass.
TEST(NamedSchedules, reachPublishedResultsWithTransfers) {
  struct Published {
    std::string_view name;
    int devices, microbatches;
    double transfer, makespan;
  };
  constexpr Published kPublished[] = {
      {"v-half", 4, 16, 0.2, 105.4}, {"v-half", 6, 24, 0.4, 168.6},
      {"v-half", 8, 32, 0.1, 213.8}, {"v-half", 8, 32, 0.2, 218.6},
      {"v-half", 8, 32, 0.4, 228.2}, {"v-half", 12, 48, 0.4, 347.2},
      {"v-half", 7, 28, 0.2, 193.4}, {"v-half", 16, 64, 0.2, 445.4},
      {"v-min", 8, 32, 0.2, 256.6},  {"v-min", 16, 64, 0.2, 525.4},
      {"zb-v", 7, 10, 0.2, 71.6},    {"zb-v", 6, 9, 0.4, 67.6},
      {"zb-v", 8, 32, 0.2, 205.6},   {"1f1b-v", 8, 32, 0.2, 251.4}};
  for (auto [name, p, m, transfer, makespan] : kPublished) {
    SCOPED_TRACE(std::string(name) + " p=" + std::to_string(p));
    Problem problem = unitProblem(p, m, placementOf(*findNamed(name), p));
    problem.defaultLink.latency = transfer;
    EXPECT_LE(simulateNamed(name, problem).makespan, makespan + 1e-9);
  }
}

// From as many microbatches on as fill the pipeline.
TEST(NamedSchedules, zeroBubbleSchedulesHaveNoBubble) {
  for (std::string_view name : {"v-zb", "zb-v", "zb-h2"})
    for (int p = 1; p <= 20; ++p)
      for (int m : {2 * p - 1, 2 * p, 19, 2 * p + 5, 3 * p - 1, 32}) {
        if (m < 2 * p - 1)
          continue;
        SCOPED_TRACE(std::string(name) + " p=" + std::to_string(p) +
                     " m=" + std::to_string(m));
        Simulation simulation = simulateUnit(name, p, m);
        for (int device = 0; device < p; ++device) {
          const std::vector<TimedPass> &passes = simulation.passes[device];
          EXPECT_EQ(passes.back().end - passes.front().start,
                    simulation.busy[device]);
        }
      }
}

// Stages differ, as those of a model do: no device needs more bytes than in the
// repeated block, which has as many activations on each.
TEST(NamedSchedules, vHalfKeepsToTheBytesOfItsBlock) {
  for (int p : {4, 7, 8}) {
    Problem problem = unitProblem(p, 4 * p, vPlacement(2 * p, p), 1184);
    for (Stage &stage : problem.stages) {
      stage.releasedByBackwardInput = 592;
      stage.takenByBackwardInput = 655;
    }
    problem.stages[0].takenByBackwardInput = 721;
    problem.stages.back().activationBytes = 1448;
    problem.stages.back().releasedByBackwardInput = 724;
    problem.stages.back().takenByBackwardInput = 918;
    std::optional<BuildingBlock> block = namedBlock("v-half", problem, nullptr);
    std::vector<int64_t> steady =
        simulate(problem, repeat(*block, problem))->peakActivationBytes;
    Simulation simulation = simulateNamed("v-half", problem);
    for (int device = 0; device < p; ++device)
      EXPECT_LE(simulation.peakActivationBytes[device], steady[device]);
    // At the cost of at most one pass.
    EXPECT_LE(simulation.makespan,
              simulateUnit("v-half", p, 4 * p).makespan + 1);
  }
}

// Interleaved 1F1B as Megatron defines it: a bubble of (p-1)/chunks
// microbatches where the devices divide the microbatches, and rounds of any
// size otherwise.
TEST(NamedSchedules, interleavedInRounds) {
  for (int p : {1, 2, 3, 4, 7, 8})
    for (int chunks : {1, 2, 3, 5}) {
      for (int rounds : {1, 2, 3}) {
        Problem problem =
            unitProblem(p, rounds * p, loopPlacement(chunks * p, p));
        EXPECT_EQ(simulateNamed("interleaved-1f1b", problem).makespan,
                  3 * (rounds * p * chunks + p - 1));
      }
      // PyTorch's definition allows ten microbatches in two rounds of five.
      Problem problem = unitProblem(p, 2 * p + 1, loopPlacement(chunks * p, p));
      simulateNamed("interleaved-1f1b", problem);
    }
  Problem problem = unitProblem(4, 10, loopPlacement(8, 4));
  Schedule schedule = *buildNamed("interleaved-1f1b", problem, nullptr);
  for (int k = 0; k < 10; ++k)
    EXPECT_EQ(schedule.order[0][k],
              (Pass{PassKind::Forward, k < 5 ? 0 : 4, k % 5}));
}

// Every forward pass of the steady state stands beside a backward pass of the
// other chunk.
TEST(NamedSchedules, dualPipeVPairsPasses) {
  Problem problem = unitProblem(4, 12, vPlacement(8, 4));
  Schedule schedule = *buildNamed("dualpipe-v", problem, nullptr);
  for (int device = 0; device < 4; ++device) {
    int pairs = 0;
    const std::vector<Pass> &order = schedule.order[device];
    for (size_t i = 0; i + 1 < order.size(); ++i)
      pairs += order[i].kind == PassKind::Forward &&
               order[i + 1].kind == PassKind::Backward &&
               order[i].stage != order[i + 1].stage;
    EXPECT_GE(pairs, 2 * (12 - 8));
  }
}

TEST(NamedSchedules, recomputeDirectlyBeforeBackward) {
  for (const NamedSchedule &named : listNamed()) {
    Problem problem = unitProblem(4, 6, placementOf(named, 4), 4);
    for (int s = 0; s < problem.numStages(); s += 2) {
      problem.stages[s].recompute = 1;
      problem.stages[s].keptForRecompute = 1;
    }
    Schedule schedule = *buildNamed(named.name, problem, nullptr);
    ASSERT_EQ(verify(problem, schedule), std::nullopt) << named.name;
    for (const std::vector<Pass> &order : schedule.order)
      for (size_t i = 0; i < order.size(); ++i)
        if (order[i].kind == PassKind::Recompute) {
          const Pass &next = order[i + 1];
          EXPECT_TRUE(next.kind == PassKind::Backward ||
                      next.kind == PassKind::BackwardInput);
          EXPECT_EQ(next.stage, order[i].stage);
          EXPECT_EQ(next.microbatch, order[i].microbatch);
        }
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
  std::string known;
  for (const NamedSchedule &named : listNamed())
    known += (known.empty() ? "" : ", ") + std::string(named.name);
  EXPECT_EQ(errorOf("zero-bubble", {0, 1}),
            "unknown schedule 'zero-bubble'; there are " + known);
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

TEST(NamedSchedules, sayWhatParametersAre) {
  auto errorOfName = [](std::string_view name) {
    std::string error = "none";
    buildNamed(name, unitProblem(2, 4, {0, 1, 0, 1}), &error);
    return error;
  };
  EXPECT_EQ(errorOfName("gis:group=3"), "none");
  EXPECT_EQ(errorOfName("gis:group=0"),
            "'gis:group=0': a group has a number of microbatches from 1 to "
            "4194304");
  EXPECT_EQ(errorOfName("gis:group=2x"),
            "'gis:group=2x': a group has a number of microbatches from 1 to "
            "4194304");
  EXPECT_EQ(errorOfName("gis:"),
            "'gis:': parameters of gis are group=N: microbatches that go "
            "through a chunk in a row (default: half of the devices, rounded "
            "up)");
  EXPECT_EQ(errorOfName("v-min:group=2"),
            "'v-min:group=2': v-min has no parameters");
  EXPECT_EQ(errorOfName("gis"), "none");
  EXPECT_EQ(errorOf("gis", {0, 1, 1, 0}),
            "gis needs a multiple of 2 stages on 2 devices in loop placement: "
            "the device that holds stage i holds stage i+2");
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
