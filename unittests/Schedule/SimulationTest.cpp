// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Simulation.h"
#include "RandomProblems.h"

#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

constexpr PassKind F = PassKind::Forward, B = PassKind::BackwardInput,
                   W = PassKind::BackwardWeight, BW = PassKind::Backward,
                   U = PassKind::Update, R = PassKind::Recompute;

std::vector<std::pair<double, int64_t>>
samples(const std::vector<MemorySample> &memory) {
  std::vector<std::pair<double, int64_t>> result;
  for (auto [time, bytes] : memory)
    result.emplace_back(time, bytes);
  return result;
}

// Two devices, one microbatch, everything worked out by hand:
//
//   time      0    2    3    5    6    9   10   11   12   14
//   device 0  [ F0 ]                             [B0][W0 ]
//   device 1            [ F1 ][ B1 ... ][W1]
//   0 -> 1         [==== ]                        4 bytes at 4/s, latency 1
//   1 -> 0                         [==]           3 bytes at 3/s, latency 1
TEST(Simulation, timesAndMemoryOfATinyCase) {
  Problem problem;
  problem.numDevices = 2;
  problem.placement = {0, 1};
  problem.defaultLink = {1, 4};
  problem.links[{1, 0}] = {1, 3};
  problem.fixedBytes = {100, 200};
  Stage first, second;
  first.forward = 2;
  first.backwardInput = 1;
  first.backwardWeight = 2;
  first.activationBytes = 10;
  first.releasedByBackwardInput = 6;
  first.takenByBackwardInput = 8;
  first.workspaceBytes = {1, 2, 3, 0, 0};
  first.forwardTransferBytes = 4;
  second.forward = 1;
  second.backwardInput = 4;
  second.backwardWeight = 1;
  second.activationBytes = 20;
  second.releasedByBackwardInput = 20;
  second.backwardTransferBytes = 3;
  problem.stages = {first, second};
  ASSERT_EQ(problem.check(), std::nullopt);
  Schedule schedule{
      "",
      {{{F, 0, 0}, {B, 0, 0}, {W, 0, 0}}, {{F, 1, 0}, {B, 1, 0}, {W, 1, 0}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);

  auto times = [&](int device) {
    std::vector<std::pair<double, double>> result;
    for (const TimedPass &timed : simulation->passes[device])
      result.emplace_back(timed.start, timed.end);
    return result;
  };
  using Times = std::vector<std::pair<double, double>>;
  EXPECT_EQ(times(0), (Times{{0, 2}, {11, 12}, {12, 14}}));
  EXPECT_EQ(times(1), (Times{{4, 5}, {5, 9}, {9, 10}}));
  ASSERT_EQ(simulation->transfers.size(), 2u);
  EXPECT_EQ(simulation->transfers[0].start, 2);
  EXPECT_EQ(simulation->transfers[0].arrival, 4);
  EXPECT_EQ(simulation->transfers[1].start, 9);
  EXPECT_EQ(simulation->transfers[1].arrival, 11);

  EXPECT_EQ(simulation->makespan, 14);
  EXPECT_EQ(simulation->span, 14);
  EXPECT_EQ(simulation->busy, (std::vector<double>{5, 6}));
  EXPECT_DOUBLE_EQ(simulation->bubbleRatio, 1 - 6.0 / 14);

  using Samples = std::vector<std::pair<double, int64_t>>;
  // F: 10 + 1 workspace + 4 to send. The gradient arrives from 9 to 11. B: 8 +
  // 2 workspace, then gives back 6 of the 10; W has the other 4 and the 8.
  EXPECT_EQ(samples(simulation->memory[0]), (Samples{{0, 115},
                                                     {2, 114},
                                                     {4, 110},
                                                     {9, 113},
                                                     {11, 120},
                                                     {12, 115},
                                                     {14, 100}}));
  // The input arrives from 2 to 4. B sends 3 from its start on.
  EXPECT_EQ(samples(simulation->memory[1]), (Samples{{0, 200},
                                                     {2, 204},
                                                     {4, 220},
                                                     {5, 223},
                                                     {9, 203},
                                                     {10, 203},
                                                     {11, 200}}));
  EXPECT_EQ(simulation->peakBytes, (std::vector<int64_t>{120, 223}));
  EXPECT_EQ(simulation->peakActivationBytes, (std::vector<int64_t>{18, 20}));
}

// A link moves one transfer after the other; its latency does not occupy it.
TEST(Simulation, transfersQueue) {
  Problem problem = unitProblem(2, 3, {0, 1});
  for (Stage &stage : problem.stages)
    stage.hasBackwardInput = stage.hasBackwardWeight = false;
  problem.stages[0].forwardTransferBytes = 6;
  problem.defaultLink = {5, 2};
  Schedule schedule{
      "",
      {{{F, 0, 0}, {F, 0, 1}, {F, 0, 2}}, {{F, 1, 0}, {F, 1, 1}, {F, 1, 2}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  std::vector<double> starts;
  for (const TimedPass &timed : simulation->passes[1])
    starts.push_back(timed.start);
  EXPECT_EQ(starts, (std::vector<double>{9, 12, 15}));
}

TEST(Simulation, updatesRunLast) {
  Problem problem = unitProblem(1, 1, {0});
  problem.stages[0].update = 3;
  Schedule schedule{"", {{{F, 0, 0}, {BW, 0, 0}, {PassKind::Update, 0, -1}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  EXPECT_EQ(simulation->makespan, 6);
}

// R reads nothing of the next stage, so it runs while the gradient is computed.
TEST(Simulation, recomputesBeforeTheGradientArrives) {
  Problem problem = unitProblem(2, 1, {0, 1}, 10);
  problem.stages[0].recompute = 1.5;
  problem.stages[0].keptForRecompute = 4;
  problem.stages[0].workspaceBytes[static_cast<size_t>(R)] = 2;
  Schedule schedule{
      "",
      {{{F, 0, 0}, {R, 0, 0}, {B, 0, 0}, {W, 0, 0}}, {{F, 1, 0}, {BW, 1, 0}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  EXPECT_EQ(simulation->passes[0][1].start, 1);
  EXPECT_EQ(simulation->passes[0][1].end, 2.5);
  EXPECT_EQ(simulation->passes[0][2].start, 4);
  EXPECT_EQ(simulation->busy[0], 4.5);
  using Samples = std::vector<std::pair<double, int64_t>>;
  EXPECT_EQ(samples(simulation->memory[0]),
            (Samples{{0, 4}, {1, 12}, {2.5, 10}, {4, 10}, {5, 10}, {6, 0}}));
}

// One exchange of gradients after the other, beside the passes of the device;
// an update waits for the one of its stage.
//
//   time   0   1   2   3   4   5   6    7   8  10  11
//   passes [F0][F1][B1][W1][B0][W0]    [U1]    [U0]
//   G                  [G1 ==========   ][G0 ==]
TEST(Simulation, exchangesGradientsBesidePasses) {
  Problem problem = unitProblem(1, 1, {0, 0});
  problem.stages[1].gradientReduction = 3;
  problem.stages[0].gradientReduction = 3;
  problem.stages[0].update = problem.stages[1].update = 1;
  Schedule schedule{"",
                    {{{F, 0, 0},
                      {F, 1, 0},
                      {B, 1, 0},
                      {W, 1, 0},
                      {B, 0, 0},
                      {W, 0, 0},
                      {U, 1, -1},
                      {U, 0, -1}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  ASSERT_EQ(simulation->reductions[0].size(), 2u);
  EXPECT_EQ(simulation->reductions[0][0].stage, 1);
  EXPECT_EQ(simulation->reductions[0][0].start, 4);
  EXPECT_EQ(simulation->reductions[0][0].end, 7);
  EXPECT_EQ(simulation->reductions[0][1].stage, 0);
  EXPECT_EQ(simulation->reductions[0][1].start, 7);
  EXPECT_EQ(simulation->reductions[0][1].end, 10);
  EXPECT_EQ(simulation->passes[0][6].start, 7);
  EXPECT_EQ(simulation->passes[0][7].start, 10);
  EXPECT_EQ(simulation->makespan, 11);
  EXPECT_EQ(simulation->busy[0], 8);

  // Without updates the step ends with the last exchange.
  schedule.order[0].resize(6);
  simulation = simulate(problem, schedule);
  EXPECT_EQ(simulation->makespan, 10);
  EXPECT_EQ(simulation->span, 10);
}

// A fused backward pass computes the weight gradients too, and only the last
// microbatch starts the exchange.
TEST(Simulation, exchangesGradientsAfterTheLastMicrobatch) {
  Problem problem = unitProblem(1, 2, {0});
  problem.stages[0].gradientReduction = 0.5;
  Schedule schedule{"", {{{F, 0, 0}, {F, 0, 1}, {BW, 0, 0}, {BW, 0, 1}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  ASSERT_EQ(simulation->reductions[0].size(), 1u);
  EXPECT_EQ(simulation->reductions[0][0].start, 6);
  EXPECT_EQ(simulation->makespan, 6.5);
}

// A pass that takes no time still needs its memory.
TEST(Simulation, seesPeaksOfPassesWithoutDuration) {
  Problem problem = unitProblem(1, 1, {0});
  Stage &stage = problem.stages[0];
  stage.forward = stage.backwardInput = stage.backwardWeight = 0;
  stage.workspaceBytes.fill(7);
  Schedule schedule{"", {{{F, 0, 0}, {B, 0, 0}, {W, 0, 0}}}};
  std::optional<Simulation> simulation = simulate(problem, schedule);
  ASSERT_TRUE(simulation);
  EXPECT_EQ(simulation->peakBytes[0], 8);
  EXPECT_EQ(simulation->makespan, 0);
  EXPECT_EQ(simulation->bubbleRatio, 0);
}

TEST(Simulation, refusesWhatVerifyRefuses) {
  Problem problem = unitProblem(1, 1, {0});
  Schedule schedule{"", {{{B, 0, 0}, {F, 0, 0}, {W, 0, 0}}}};
  std::string error;
  EXPECT_FALSE(simulate(problem, schedule, &error));
  EXPECT_EQ(error, verify(problem, schedule));
  EXPECT_FALSE(simulate(problem, {}, &error));
  EXPECT_EQ(error, "the schedule is for 0 devices, the problem has 1");
}

// Independent of how the simulator works: passes of a device do not overlap, no
// pass starts before what it reads is there, every pass starts as early as that
// allows, and memory returns to what is fixed.
TEST(SimulationProperty, keepsOrderAndDependences) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 5), placement);
    if (i % 2 == 0)
      addRecomputeAndReductions(random, problem);
    Schedule schedule = randomSchedule(random, problem);
    std::optional<Simulation> simulation = simulate(problem, schedule);
    ASSERT_TRUE(simulation);

    std::map<std::tuple<PassKind, int, int>, double> ends;
    for (const auto &passes : simulation->passes)
      for (const auto &[pass, start, end] : passes)
        ends[{pass.kind, pass.stage, pass.microbatch}] = end;
    std::map<std::tuple<bool, int, int>, double> arrivals; // by receiver
    for (const TimedTransfer &transfer : simulation->transfers) {
      auto [kind, s, m] = transfer.producer;
      bool isGradient = kind != F;
      EXPECT_GE(transfer.start, ends.at({kind, s, m}));
      arrivals[{isGradient, isGradient ? s - 1 : s + 1, m}] = transfer.arrival;
    }
    std::map<int, double> reductions; // their ends, by stage
    for (const auto &queue : simulation->reductions) {
      double free = 0;
      for (const auto &[stage, start, end] : queue) {
        int last = problem.numMicrobatches - 1;
        auto it = ends.find({W, stage, last});
        double ready =
            it != ends.end() ? it->second : ends.at({BW, stage, last});
        EXPECT_DOUBLE_EQ(start, std::max(free, ready));
        EXPECT_DOUBLE_EQ(end, start + problem.stages[stage].gradientReduction);
        reductions[stage] = free = end;
        EXPECT_LE(end, simulation->makespan);
      }
    }
    for (int s = 0; s < n; ++s) {
      EXPECT_EQ(reductions.count(s), problem.stages[s].gradientReduction > 0);
    }
    for (int device = 0; device < p; ++device) {
      double free = 0;
      for (const auto &[pass, start, end] : simulation->passes[device]) {
        auto [kind, s, m] = pass;
        double earliest = free;
        auto waitFor = [&](PassKind kind, int stage) {
          auto it = ends.find({kind, stage, m});
          if (it != ends.end() && problem.placement[stage] == device)
            earliest = std::max(earliest, it->second);
        };
        auto receive = [&](bool isGradient) {
          auto it = arrivals.find({isGradient, s, m});
          if (it != arrivals.end())
            earliest = std::max(earliest, it->second);
        };
        bool waitsForB = kind == W && problem.stages[s].hasBackwardInput;
        if (kind == F) {
          receive(false);
          if (s > 0)
            waitFor(F, s - 1);
        } else if (kind == R) {
          waitFor(F, s);
        } else if (kind == U) {
          if (reductions.count(s))
            earliest = std::max(earliest, reductions[s]);
        } else if (waitsForB) {
          waitFor(B, s);
        } else {
          receive(true);
          waitFor(F, s);
          waitFor(R, s);
          if (s + 1 < n) {
            waitFor(B, s + 1);
            waitFor(BW, s + 1);
          }
        }
        EXPECT_DOUBLE_EQ(start, earliest) << toString(pass);
        EXPECT_DOUBLE_EQ(end, start + problem.stages[s].duration(kind));
        free = end;
      }
      const std::vector<MemorySample> &memory = simulation->memory[device];
      EXPECT_EQ(memory.back().bytes, problem.fixed(device));
      for (size_t j = 0; j < memory.size(); ++j) {
        EXPECT_GE(memory[j].bytes, problem.fixed(device));
        EXPECT_LE(memory[j].bytes, simulation->peakBytes[device]);
        if (j > 0) {
          EXPECT_LT(memory[j - 1].time, memory[j].time);
        }
      }
    }
  }
}

// The limit that verify accepts is the peak that the simulation sees.
TEST(SimulationProperty, agreesWithVerifyOnPeakMemory) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 5), placement);
    if (i % 2 == 0)
      for (Stage &stage : problem.stages)
        stage.forwardTransferBytes = stage.backwardTransferBytes = 0;
    if (i % 3 == 0)
      addRecomputeAndReductions(random, problem);
    Schedule schedule = randomSchedule(random, problem);
    int64_t peak = simulate(problem, schedule)->largestPeakBytes();
    problem.limitMemory(peak);
    EXPECT_EQ(verify(problem, schedule), std::nullopt);
    problem.limitMemory(peak - 1);
    if (peak > 0) {
      EXPECT_TRUE(verify(problem, schedule));
    }
  }
}

TEST(Jitter, withoutJitterIsTheSimulation) {
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 5), placement);
    if (i % 2 == 0)
      addRecomputeAndReductions(random, problem);
    Schedule schedule = randomSchedule(random, problem);
    Simulation simulation = *simulate(problem, schedule);
    std::optional<JitterResult> result = jitter(problem, schedule, 0, 1, i);
    ASSERT_TRUE(result);
    EXPECT_DOUBLE_EQ(result->mean, simulation.makespan);
    EXPECT_DOUBLE_EQ(result->worst, simulation.makespan);
    EXPECT_DOUBLE_EQ(result->meanSpan, simulation.span);
    EXPECT_DOUBLE_EQ(result->worstSpan, simulation.span);

    result = jitter(problem, schedule, 10, 50, i);
    EXPECT_LE(result->mean, result->worst);
    EXPECT_LE(result->meanSpan, result->worstSpan);
    EXPECT_GE(result->mean, 0.9 * simulation.makespan - 1e-9);
    EXPECT_LE(result->worst, 1.1 * simulation.makespan + 1e-9);
  }
}

// One pass after the other: the mean of many draws is the sum of durations, and
// only the seed decides what is drawn.
TEST(Jitter, drawsFromTheSeed) {
  Problem problem = unitProblem(1, 4, {0});
  Schedule schedule{"", {{}}};
  for (int m = 0; m < 4; ++m) {
    schedule.order[0].push_back({F, 0, m});
    schedule.order[0].push_back({BW, 0, m});
  }
  JitterResult result = *jitter(problem, schedule, 20, 10000, 1);
  // Four uniform factors of width 0.4 each on 1 and 2.
  EXPECT_NEAR(result.mean, 12, 0.03);
  EXPECT_GT(result.worst, 13);
  EXPECT_LT(result.worst, 14.4);
  EXPECT_EQ(result.mean, jitter(problem, schedule, 20, 10000, 1)->mean);
  EXPECT_NE(result.mean, jitter(problem, schedule, 20, 10000, 2)->mean);
}

TEST(Jitter, refusesWhatVerifyRefuses) {
  Problem problem = unitProblem(1, 1, {0});
  std::string error;
  EXPECT_FALSE(jitter(problem, {"", {{{F, 0, 0}}}}, 1, 1, 1, &error));
  EXPECT_EQ(error, "B s0 mb 0 on device 0 is missing");
}

} // namespace
