// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/BlockJson.h"
#include "RandomProblems.h"
#include "weir/Schedule/Simulation.h"

#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

constexpr std::string_view kVHalf = R"({
  "description": "v-half", "devices": 2, "placement": "v", "interval": 6,
  "stages": [{"forward": 0, "backward_input": 13},
             {"forward": 2, "backward_input": 12},
             {"forward": 3, "backward_input": 10},
             {"forward": 4, "backward_input": 8}]})";

PlacedBlock read(std::string_view text) {
  std::string error;
  std::optional<PlacedBlock> placed = readBlock(text, &error);
  EXPECT_TRUE(placed) << error;
  return placed.value_or(PlacedBlock());
}

TEST(BlockJson, readsEverything) {
  PlacedBlock placed = read(R"({
    "$schema": "x", "description": "y", "devices": 2, "placement": [1, 0],
    "interval": 8.5, "group": 2, "stride": 4, "fused": false,
    "durations": {"forward": 1.5, "backward_input": 2, "backward_weight": 0.5,
                  "backward": 2.25},
    "stages": [{"forward": 0, "backward_input": 5},
               {"forward": 1.5, "backward_input": 3, "backward_weight": 6}]})");
  EXPECT_EQ(placed.numDevices, 2);
  EXPECT_EQ(placed.placement, (std::vector<int>{1, 0}));
  EXPECT_EQ(placed.durations.forward, 1.5);
  EXPECT_EQ(placed.durations.backwardInput, 2);
  EXPECT_EQ(placed.durations.backwardWeight, 0.5);
  EXPECT_EQ(placed.durations.backward, 2.25);
  EXPECT_EQ(placed.block.interval, 8.5);
  EXPECT_EQ(placed.block.group, 2);
  EXPECT_EQ(placed.block.stride, 4);
  EXPECT_FALSE(placed.block.fused);
  ASSERT_EQ(placed.block.stages.size(), 2u);
  EXPECT_EQ(placed.block.stages[0].backwardWeight, std::nullopt);
  EXPECT_EQ(placed.block.stages[1].forward, 1.5);
  EXPECT_EQ(placed.block.stages[1].backwardInput, 3);
  EXPECT_EQ(placed.block.stages[1].backwardWeight, 6);
}

TEST(BlockJson, readsFusedBlocks) {
  PlacedBlock placed = read(R"({
    "devices": 1, "placement": "linear", "interval": 3, "fused": true,
    "stages": [{"forward": 0, "backward": 1}]})");
  EXPECT_TRUE(placed.block.fused);
  EXPECT_EQ(placed.block.stages[0].backwardInput, 1);
  Schedule schedule =
      *buildFromBlock("mine", placed, unitProblem(1, 2, {0}), nullptr);
  EXPECT_EQ(schedule.name, "mine");
  EXPECT_EQ(schedule.order[0], (std::vector<Pass>{{PassKind::Forward, 0, 0},
                                                  {PassKind::Backward, 0, 0},
                                                  {PassKind::Forward, 0, 1},
                                                  {PassKind::Backward, 0, 1}}));
}

// A file with a named schedule's offsets gives that schedule.
TEST(BlockJson, buildsWhatNamedSchedulesAre) {
  for (int m : {1, 3, 8}) {
    Problem problem = unitProblem(2, m, vPlacement(4, 2));
    EXPECT_EQ(buildFromBlock("", read(kVHalf), problem, nullptr)->order,
              buildNamed("v-half", problem, nullptr)->order);
  }
}

// The example of the header.
TEST(BlockJson, buildsTheDocumentedBlock) {
  PlacedBlock placed = read(R"(
   {"devices": 2, "placement": "v", "interval": 6,
    "stages": [{"forward": 0, "backward_input": 7},
               {"forward": 1, "backward_input": 6, "backward_weight": 9},
               {"forward": 2, "backward_input": 5},
               {"forward": 3, "backward_input": 4}]})");
  for (int m : {1, 2, 9}) {
    Problem problem = unitProblem(2, m, vPlacement(4, 2));
    std::string error;
    std::optional<Schedule> schedule =
        buildFromBlock("", placed, problem, &error);
    ASSERT_TRUE(schedule) << error;
    EXPECT_EQ(verify(problem, *schedule), std::nullopt);
  }
}

// Idle time costs no work, however much of it there is between passes.
TEST(BlockJson, buildsFromLongIntervals) {
  for (double interval : {100., 4000., 4194304., 1e9}) {
    PlacedBlock placed = read(kVHalf);
    placed.block.interval = interval;
    Problem problem = unitProblem(2, 2000, vPlacement(4, 2));
    Schedule schedule = *buildFromBlock("", placed, problem, nullptr);
    EXPECT_EQ(verify(problem, schedule), std::nullopt);
  }
}

/// `kVHalf` with one piece of text replaced.
std::string edited(std::string_view from, std::string_view to) {
  std::string text(kVHalf);
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string readError(const std::string &text) {
  std::string error;
  EXPECT_FALSE(readBlock(text, &error)) << text;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  return error;
}

TEST(BlockJson, saysWhatIsWrongWhere) {
  EXPECT_EQ(readError(edited("\"interval\": 6,", "")), "interval: missing");
  EXPECT_EQ(readError(edited("\"interval\": 6", "\"interval\": 0")),
            "interval: expected 1e-09 to 1e+09, not 0");
  EXPECT_EQ(readError(edited("\"v\"", "\"w\"")),
            "placement: expected linear, loop, v or an array");
  EXPECT_EQ(readError(edited("\"v\"", "[0, 1, 1]")),
            "placement: expected the device of each of the 4 stages, not of 3");
  EXPECT_EQ(readError(edited("\"v\"", "[0, 1, 2, 0]")),
            "placement[2]: expected 0 to 1, not 2");
  EXPECT_EQ(readError(edited("\"forward\": 2", "\"forward\": -2")),
            "stages[1].forward: expected 0 to 1e+09, not -2");
  EXPECT_EQ(readError(edited("\"forward\": 2", "\"start\": 2")),
            "stages[1].forward: missing");
  EXPECT_EQ(readError(edited("\"devices\"", "\"fused\": true, \"devices\"")),
            "stages[0].backward: missing");
  EXPECT_EQ(readError(edited("\"devices\"", "\"fused\": 1, \"devices\"")),
            "fused: expected true or false");
  EXPECT_EQ(readError(edited("\"devices\"", "\"group\": 2, \"devices\"")),
            "stride: a group must start within an interval, one microbatch "
            "after the other");
  EXPECT_EQ(readError(edited("\"devices\"",
                             "\"group\": 3, \"stride\": 3, \"devices\"")),
            "stride: a group must start within an interval, one microbatch "
            "after the other");
  EXPECT_EQ(readError(edited("\"devices\": 2", "\"devices\": 0")),
            "devices: expected 1 to 65536, not 0");
  EXPECT_EQ(readError("[]"), "expected an object");
}

std::string buildError(const std::string &text, const Problem &problem) {
  std::string error;
  EXPECT_FALSE(buildFromBlock("block:f", read(text), problem, &error));
  return error;
}

TEST(BlockJson, refusesWhatIsNoBlockOfTheProblem) {
  Problem problem = unitProblem(2, 5, vPlacement(4, 2));
  EXPECT_EQ(buildError(edited("\"backward_input\": 8", "\"backward_input\": 4"),
                       problem),
            "block:f: B of stage 3 starts before its input is there");
  EXPECT_EQ(buildError(edited("\"forward\": 3", "\"forward\": 6"), problem),
            "block:f: F of stage 3 starts before its input is there");
  EXPECT_EQ(buildError(edited("\"interval\": 6", "\"interval\": 5"), problem),
            "block:f: B of stage 0 and B of stage 3 overlap on device 0");
  EXPECT_EQ(
      buildError(std::string(kVHalf), unitProblem(2, 5, loopPlacement(4, 2))),
      "block:f: the block has stage 2 on device 1, the problem on 0");
  EXPECT_EQ(
      buildError(std::string(kVHalf), unitProblem(3, 5, vPlacement(6, 3))),
      "block:f: the block is for 4 stages on 2 devices, the problem has "
      "6 on 3");
}

// Rounding is measured by durations, not by an interval that may be anything.
TEST(BlockJson, findsCollisionsInLongIntervals) {
  std::string text = edited("\"interval\": 6", "\"interval\": 1e9");
  size_t at = text.find("\"forward\": 2");
  text.replace(at, 12, "\"forward\": 3");
  at = text.find("\"forward\": 3", at + 12);
  text.replace(at, 12, "\"forward\": 3");
  EXPECT_EQ(buildError(text, unitProblem(2, 5, vPlacement(4, 2))),
            "block:f: F of stage 2 starts before its input is there");
}

// Blocks made from the offsets of random ones: a schedule, or a reason.
TEST(BlockJsonProperty, buildsOrRefuses) {
  Random random(5);
  int built = 0;
  for (int i = 0; i < 3000; ++i) {
    int p = randomInt(random, 1, 3), n = randomInt(random, 1, 5);
    PlacedBlock placed;
    placed.numDevices = p;
    bool inSlots = randomInt(random, 0, 1) == 0;
    auto duration = [&] {
      return inSlots ? randomInt(random, 1, 2) : randomInt(random, 0, 6) * 0.25;
    };
    placed.durations.forward = duration();
    placed.durations.backwardInput = duration();
    placed.durations.backwardWeight = duration();
    BuildingBlock &block = placed.block;
    block.fused = randomInt(random, 0, 3) == 0;
    block.interval = randomInt(random, 1, 30);
    if (randomInt(random, 0, 2) == 0) {
      block.group = 2;
      block.stride = block.interval / 2;
    }
    // Offsets that respect the chain; collisions are left to chance.
    double time = 0;
    for (int s = 0; s < n; ++s) {
      placed.placement.push_back(randomInt(random, 0, p - 1));
      block.stages.push_back({time, 0, std::nullopt});
      time += placed.durations.forward + randomInt(random, 0, 2);
    }
    for (int s = n - 1; s >= 0; --s) {
      block.stages[s].backwardInput = time;
      time += placed.durations.duration(block.fused ? PassKind::Backward
                                                    : PassKind::BackwardInput) +
              randomInt(random, 0, 2);
    }
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 8), placed.placement);
    std::string error;
    std::optional<Schedule> schedule =
        buildFromBlock("random", placed, problem, &error);
    if (!schedule) {
      EXPECT_FALSE(error.empty());
      continue;
    }
    ++built;
    EXPECT_EQ(verify(problem, *schedule), std::nullopt);
  }
  EXPECT_GT(built, 300);
}

// Whatever is cut out or changed, there is an answer.
TEST(BlockJsonProperty, survivesDamage) {
  Random random(6);
  Problem problem = unitProblem(2, 4, vPlacement(4, 2));
  for (int i = 0; i < 3000; ++i) {
    std::string text(kVHalf);
    for (int k = randomInt(random, 1, 3); k > 0; --k) {
      int at = randomInt(random, 0, static_cast<int>(text.size()) - 1);
      if (randomInt(random, 0, 1))
        text.erase(at, randomInt(random, 1, 10));
      else
        text[at] = "0123456789[]{}\",:-e. v"[randomInt(random, 0, 21)];
      if (text.empty())
        text = "1";
    }
    std::string error;
    std::optional<PlacedBlock> placed = readBlock(text, &error);
    if (!placed) {
      EXPECT_FALSE(error.empty());
      continue;
    }
    if (std::optional<Schedule> schedule =
            buildFromBlock("damaged", *placed, problem, &error))
      EXPECT_EQ(verify(problem, *schedule), std::nullopt) << text;
  }
}

} // namespace
