// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/HeldMicrobatches.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <gtest/gtest.h>

using namespace weir::schedule;

static std::vector<std::vector<HeldMicrobatches>> hold(const Problem &problem,
                                                       const char *name) {
  std::string error;
  std::optional<Schedule> schedule = buildNamed(name, problem, &error);
  EXPECT_TRUE(schedule) << error;
  return countHeldMicrobatches(problem, *schedule);
}

// Stage s of p holds p - s microbatches under 1f1b, all of them under gpipe.
TEST(HeldMicrobatchesTest, OneStagePerDevice) {
  Problem problem = unitProblem(4, 3, linearPlacement(4, 4));
  std::vector<std::vector<HeldMicrobatches>> expected{
      {{3}}, {{3}}, {{2}}, {{1}}};
  EXPECT_EQ(hold(problem, "1f1b"), expected);
  for (const auto &moments : hold(problem, "gpipe"))
    EXPECT_EQ(moments, std::vector<HeldMicrobatches>{{3}});
}

// Where stages keep as much, the largest moment is the peak that simulation
// finds.
TEST(HeldMicrobatchesTest, PeakOfSimulation) {
  Problem problem = unitProblem(4, 12, vPlacement(8, 4));
  for (const char *name : {"v-half", "v-min", "zb-v", "1f1b-v"}) {
    std::string error;
    std::optional<Schedule> schedule = buildNamed(name, problem, &error);
    ASSERT_TRUE(schedule) << error;
    std::optional<Simulation> times = simulate(problem, *schedule);
    auto held = countHeldMicrobatches(problem, *schedule);
    for (int device = 0; device < 4; ++device) {
      int most = 0;
      for (const HeldMicrobatches &moment : held[device])
        most = std::max(most, moment[0] + moment[1]);
      EXPECT_EQ(most, times->peakActivationBytes[device]) << name;
    }
  }
}
