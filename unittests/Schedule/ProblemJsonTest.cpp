// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/ProblemJson.h"
#include "RandomProblems.h"

#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

constexpr std::string_view kEverything = R"({
  "$schema": "schedule-problem.schema.json",
  "description": "every member",
  "devices": 2,
  "microbatches": 3,
  "units": {"time": 1e-3, "memory": 1024},
  "placement": [0, 1, 1],
  "stages": [
    {"forward": 1, "backward_input": null, "backward_weight": 2.5},
    {"repeat": 2,
     "forward": 1e-3, "backward_input": 2e-3, "backward_weight": 3e-3,
     "backward": 4e-3, "recompute": 5e-3, "gradient_reduction": 6e-3,
     "update": 7e-3,
     "activation_bytes": 100, "released_by_backward_input_bytes": 20,
     "taken_by_backward_input_bytes": 30, "kept_for_recompute_bytes": 40,
     "forward_transfer_bytes": 50, "backward_transfer_bytes": 60,
     "workspace_bytes": {"forward": 1, "backward_input": 2,
                         "backward_weight": 3, "backward": 4, "update": 5,
                         "recompute": 6},
     "fixed_bytes": 1000}
  ],
  "default_link": {"latency": 1e-5, "bandwidth": 1e9},
  "links": [{"from": 0, "to": 1, "bandwidth": 2e9},
            {"from": 1, "to": 0, "latency": 2e-5}],
  "fixed_bytes": [7, 8],
  "memory_limit": [10000, 20000]
})";

ProblemFile read(std::string_view text) {
  std::string error;
  std::optional<ProblemFile> file = readProblem(text, &error);
  EXPECT_TRUE(file) << error;
  return file.value_or(ProblemFile());
}

TEST(ProblemJson, readsEverything) {
  ProblemFile file = read(kEverything);
  Problem expected;
  expected.numDevices = 2;
  expected.numMicrobatches = 3;
  expected.placement = {0, 1, 1};
  Stage first, other;
  first.forward = 1;
  first.hasBackwardInput = false;
  first.backwardWeight = 2.5;
  other.forward = 1e-3;
  other.backwardInput = 2e-3;
  other.backwardWeight = 3e-3;
  other.backward = 4e-3;
  other.recompute = 5e-3;
  other.gradientReduction = 6e-3;
  other.update = 7e-3;
  other.activationBytes = 100;
  other.releasedByBackwardInput = 20;
  other.takenByBackwardInput = 30;
  other.keptForRecompute = 40;
  other.forwardTransferBytes = 50;
  other.backwardTransferBytes = 60;
  other.workspaceBytes = {1, 2, 3, 4, 5, 6};
  expected.stages = {first, other, other};
  expected.defaultLink = {1e-5, 1e9};
  expected.links[{0, 1}] = {0, 2e9};
  expected.links[{1, 0}].latency = 2e-5;
  // Two stages of 1000 bytes are on device 1.
  expected.fixedBytes = {7, 2008};
  expected.memoryLimits = {10000, 20000};
  EXPECT_EQ(file.problem, expected);
  EXPECT_TRUE(file.isPlaced());
  EXPECT_TRUE(file.fixedBytesOfStages.empty());
  EXPECT_TRUE(file.units.abstract);
  EXPECT_EQ(file.units.time, 1e-3);
  EXPECT_EQ(file.units.memory, 1024);
}

TEST(ProblemJson, needsLittle) {
  ProblemFile file = read(R"({"devices": 2, "microbatches": 1, "stages": [
    {"forward": 1, "backward_input": 1, "backward_weight": 1,
     "fixed_bytes": 5}]})");
  EXPECT_FALSE(file.isPlaced());
  EXPECT_EQ(file.fixedBytesOfStages, (std::vector<int64_t>{5}));
  EXPECT_TRUE(file.problem.fixedBytes.empty());
  EXPECT_FALSE(file.units.abstract);
}

TEST(ProblemJson, readsOneNumberForAllDevicesAndNamedPlacements) {
  ProblemFile file = read(R"({"devices": 2, "microbatches": 1,
    "placement": "v", "fixed_bytes": 3, "memory_limit": 9e0, "stages": [
    {"repeat": 4, "forward": 1, "backward_input": 1, "backward_weight": 1}]})");
  EXPECT_EQ(file.problem.placement, (std::vector<int>{0, 1, 1, 0}));
  EXPECT_EQ(file.problem.fixedBytes, (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(file.problem.memoryLimits, (std::vector<int64_t>{9, 9}));
}

/// The error after `from` is replaced in a text with every member.
std::string errorAfter(std::string_view from, std::string_view to) {
  std::string text(kEverything);
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  std::string error;
  EXPECT_FALSE(readProblem(text, &error)) << to;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  return error;
}

TEST(ProblemJson, saysWhatIsWrongWhere) {
  EXPECT_EQ(errorAfter(R"("forward": 1e-3)", R"("forward": "1e-3")"),
            "stages[1].forward: expected a number");
  EXPECT_EQ(errorAfter(R"("forward": 1e-3)", R"("forward": -1)"),
            "stages[1].forward: expected 0 to 1e+100, not -1");
  EXPECT_EQ(errorAfter(R"("forward": 1e-3)", R"("forward": 1e999)"),
            "stages[1].forward: expected 0 to 1e+100, not inf");
  EXPECT_EQ(errorAfter(R"("forward": 1e-3, )", ""),
            "stages[1].forward: missing");
  EXPECT_EQ(errorAfter(R"("update")", R"("up")"),
            "stages[1].up: unknown; there are forward, backward_input, "
            "backward_weight, repeat, backward, recompute, gradient_reduction, "
            "update, activation_bytes, released_by_backward_input_bytes, "
            "taken_by_backward_input_bytes, kept_for_recompute_bytes, "
            "forward_transfer_bytes, backward_transfer_bytes, workspace_bytes, "
            "fixed_bytes");
  EXPECT_EQ(errorAfter(R"("backward": 4,)", R"("b\nw": 4,)").substr(0, 42),
            R"(stages[1].workspace_bytes["b\nw"]: unknown)");
  EXPECT_EQ(
      errorAfter(R"("update": 7e-3)", R"("update": 7e-3, "upd\u0061te": 1)"),
      "stages[1].update: given twice");
  EXPECT_EQ(errorAfter(R"("devices": 2)", R"("devices": 2, "devices": 2)"),
            "devices: given twice");
  EXPECT_EQ(errorAfter(R"("devices": 2)", R"("devices": 2.5)"),
            "devices: expected an integer, not 2.5");
  EXPECT_EQ(errorAfter(R"("devices": 2)", R"("devices": 65537)"),
            "devices: expected 1 to 65536, not 65537");
  EXPECT_EQ(errorAfter(R"("microbatches": 3)", R"("microbatches": true)"),
            "microbatches: expected an integer");
  EXPECT_EQ(errorAfter(R"("microbatches": 3,)", ""), "microbatches: missing");
  EXPECT_EQ(errorAfter(R"("repeat": 2)", R"("repeat": 4194304)"),
            "stages[1]: more than 1398101 stages for this many microbatches");
  EXPECT_EQ(errorAfter(R"("repeat": 2)", R"("repeat": 0)"),
            "stages[1].repeat: expected 1 to 4194304, not 0");
  EXPECT_EQ(errorAfter("[0, 1, 1]", "[0, 1]"),
            "placement: expected one device for each of the 3 stages, not 2");
  EXPECT_EQ(errorAfter("[0, 1, 1]", "[0, 1, 2]"),
            "placement[2]: expected 0 to 1, not 2");
  EXPECT_EQ(errorAfter("[0, 1, 1]", R"("zigzag")"),
            "placement: expected linear, loop, v or an array");
  EXPECT_EQ(errorAfter("[0, 1, 1]", "null"),
            "placement: expected linear, loop, v or an array");
  EXPECT_EQ(errorAfter(R"("to": 0)", R"("to": 9)"),
            "links[1].to: expected 0 to 1, not 9");
  EXPECT_EQ(errorAfter(R"("from": 1, "to": 0)", R"("from": 0, "to": 1)"),
            "links[1]: a second link from device 0 to device 1");
  EXPECT_EQ(errorAfter(R"("from": 1, "to": 0)", R"("from": 1, "to": 1)"),
            "there is a link from device 1 to itself");
  EXPECT_EQ(
      errorAfter(R"("bandwidth": 1e9)", R"("bandwidth": 0)").substr(0, 23),
      "default_link.bandwidth:");
  EXPECT_EQ(errorAfter(R"({"latency": 1e-5, "bandwidth": 1e9})", "7"),
            "default_link: expected an object");
  EXPECT_EQ(errorAfter("[7, 8]", "[7]"), "fixed_bytes: expected one number for "
                                         "each of the 2 devices, not 1");
  EXPECT_EQ(errorAfter("[10000, 20000]", "[10000, -1]"),
            "memory_limit[1]: expected 0 to 9223372036854775807, not -1");
  EXPECT_EQ(errorAfter("[10000, 20000]", R"("1G")"),
            "memory_limit: expected an integer or an array");
  EXPECT_EQ(errorAfter("[7, 8]", "9223372036854775807"),
            "the fixed bytes overflow 64 bits");
  EXPECT_EQ(errorAfter(R"("memory": 1024)", R"("memory": 0)"),
            "units.memory: expected 1e-50 to 1e+50, not 0");
  EXPECT_EQ(errorAfter(R"("every member")", "7"),
            "description: expected a string");
  // What Problem::check says.
  EXPECT_EQ(
      errorAfter(R"("backward_input": 2e-3)", R"("backward_input": null)"),
      "stage 1 has no backward-input pass, but stage 0 needs the gradient "
      "that it would send");
}

TEST(ProblemJson, refusesWhatIsNoProblem) {
  auto error = [](std::string_view text) {
    std::string error;
    EXPECT_FALSE(readProblem(text, &error));
    return error;
  };
  EXPECT_EQ(error("7"), "expected an object");
  EXPECT_EQ(error("{}"), "devices: missing");
  EXPECT_EQ(error("").substr(0, 10), "not JSON: ");
  EXPECT_EQ(error("{\"devices\": }").substr(0, 10), "not JSON: ");
  EXPECT_EQ(error("\xff").substr(0, 10), "not JSON: ");
  EXPECT_EQ(error(std::string(1000000, '[')),
            "nested more deeply than any problem");
  EXPECT_EQ(error(R"({"devices": 1, "microbatches": 1, "stages": []})"),
            "stages: expected at least one stage");
}

// Damaged files are read or refused with one line.
TEST(ProblemJsonProperty, survivesDamage) {
  Random random(1);
  int numRead = 0;
  constexpr std::string_view kPieces[] = {
      "{",    "}",          "[",           "]",    ",",
      ":",    "\"",         "\\",          "-",    "1e9",
      "null", "9999999999", "\"forward\"", "\xc3", std::string_view("\0", 1)};
  for (int i = 0; i < 20000; ++i) {
    std::string text(kEverything);
    for (int changes = randomInt(random, 1, 3); changes > 0; --changes) {
      int last = static_cast<int>(text.size()) - 1;
      size_t at = randomInt(random, 0, last);
      switch (randomInt(random, 0, 3)) {
      case 0:
        text.erase(at, randomInt(random, 1, 20));
        break;
      case 1:
        text.insert(at, kPieces[randomInt(random, 0, std::size(kPieces) - 1)]);
        break;
      case 2:
        text[at] = static_cast<char>(randomInt(random, 0, 255));
        break;
      case 3:
        text.insert(at, text.substr(randomInt(random, 0, last),
                                    randomInt(random, 1, 40)));
        break;
      }
      if (text.empty())
        text = " ";
    }
    std::string error;
    if (std::optional<ProblemFile> file = readProblem(text, &error)) {
      ++numRead;
      EXPECT_EQ(file->isPlaced() ? file->problem.check() : std::nullopt,
                std::nullopt);
      continue;
    }
    EXPECT_FALSE(error.empty());
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_LT(error.size(), 500u);
  }
  EXPECT_GT(numRead, 0);
}

TEST(ProblemJsonProperty, readsWhatItWrites) {
  Random random(2);
  for (int i = 0; i < 500; ++i) {
    int p = randomInt(random, 1, 4), n = randomInt(random, 1, 6);
    std::vector<int> placement(n);
    for (int &device : placement)
      device = randomInt(random, 0, p - 1);
    Problem problem =
        randomProblem(random, p, randomInt(random, 1, 5), placement);
    addRecomputeAndReductions(random, problem);
    if (randomInt(random, 0, 1) == 0)
      for (int device = 0; device < p; ++device)
        problem.memoryLimits.push_back(randomInt(random, 0, 1 << 30));
    // Every bit of a duration counts.
    problem.stages[0].forward /= 3;
    for (Stage &stage : problem.stages) {
      if (!stage.hasBackwardInput)
        stage.backwardInput = 0;
      if (!stage.hasBackwardWeight)
        stage.backwardWeight = 0;
    }
    if (randomInt(random, 0, 4) == 0)
      problem.stages.assign(n, problem.stages.back());
    Units units;
    if (i % 2)
      units = {true, 0.25, 1024};
    if (problem.check())
      continue;
    std::string text = writeProblem(problem, units);
    ProblemFile file = read(text);
    EXPECT_EQ(file.problem, problem) << text;
    EXPECT_EQ(file.units.abstract, units.abstract);
    EXPECT_EQ(file.units.time, units.time);
    EXPECT_EQ(file.units.memory, units.memory);
    EXPECT_EQ(writeProblem(file.problem, file.units), text);
  }
}

TEST(ProblemJson, writesOpenPlacementsAndRepeats) {
  Problem problem = unitProblem(2, 1, linearPlacement(4, 2));
  EXPECT_EQ(writeProblem(problem), R"({
  "devices": 2,
  "microbatches": 1,
  "placement": "linear",
  "stages": [
    {"repeat":4,"forward":1,"backward_input":1,"backward_weight":1,"activation_bytes":1}
  ]
}
)");
  problem.placement.clear();
  EXPECT_EQ(read(writeProblem(problem)).problem, problem);
}

} // namespace
