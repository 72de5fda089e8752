// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules that a user adds. The registry is one of the process, so these
// tests have an executable of their own.

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Search.h"

#include <gtest/gtest.h>

#include <atomic>

using namespace weir::schedule;

namespace {

/// Times that the schedule below was built, by any thread.
std::atomic<int> numBuilt = 0;

/// One microbatch after the other through all stages: "one-by-one:backwards"
/// starts with the last one, which no program may, and "one-by-one:faulty" runs
/// a stage that is not there.
std::optional<Schedule> buildOneByOne(std::string_view name,
                                      const Problem &problem,
                                      std::string *error) {
  bool isBackwards = name == "one-by-one:backwards";
  bool isFaulty = name == "one-by-one:faulty";
  if (!isBackwards && !isFaulty && name != "one-by-one") {
    *error = "'" + std::string(name) +
             "': parameters of one-by-one are "
             "backwards, faulty";
    return std::nullopt;
  }
  ++numBuilt;
  Schedule schedule;
  schedule.order.resize(problem.numDevices);
  for (int i = 0; i < problem.numMicrobatches; ++i) {
    int m = isBackwards ? problem.numMicrobatches - 1 - i : i;
    for (int s = 0; s < problem.numStages(); ++s)
      schedule.order[problem.placement[s]].push_back({PassKind::Forward, s, m});
    for (int s = problem.numStages() - 1; s >= 0; --s)
      schedule.order[problem.placement[s]].push_back(
          {PassKind::Backward, s, m});
  }
  if (isFaulty)
    schedule.order[0].push_back({PassKind::Forward, problem.numStages(), 0});
  return schedule;
}

class RegisteredSchedules : public testing::Test {
protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(registerNamedSchedule({"one-by-one", "one after the other",
                                     Placement::Loop, 2, "backwards, faulty"},
                                    buildOneByOne),
              std::nullopt);
  }

  static std::string errorOf(std::string_view name) {
    std::string error = "none";
    buildNamed(name, unitProblem(2, 3, {0, 1, 0, 1}), &error);
    return error;
  }
};

TEST_F(RegisteredSchedules, areFoundAndListedLast) {
  EXPECT_EQ(findNamed("one-by-one")->description, "one after the other");
  EXPECT_EQ(listNamed().back().name, "one-by-one");
  EXPECT_NE(errorOf("other").find("dualpipe-v, one-by-one"), std::string::npos);
}

TEST_F(RegisteredSchedules, areBuiltWithTheirParameters) {
  Problem problem = unitProblem(2, 3, {0, 1, 0, 1});
  std::string error;
  std::optional<Schedule> schedule = buildNamed("one-by-one", problem, &error);
  ASSERT_TRUE(schedule) << error;
  EXPECT_EQ(schedule->name, "one-by-one");
  EXPECT_EQ(verify(problem, *schedule), std::nullopt);
  EXPECT_EQ(errorOf("one-by-one:x"),
            "'one-by-one:x': parameters of one-by-one are backwards, "
            "faulty");
  EXPECT_FALSE(namedBlock("one-by-one", problem, &error));
  EXPECT_EQ(error, "one-by-one is not made from a building block");
}

// R is no concern of who writes a schedule.
TEST_F(RegisteredSchedules, recompute) {
  Problem problem = unitProblem(2, 3, {0, 1, 0, 1});
  for (Stage &stage : problem.stages)
    stage.recompute = 1;
  std::string error;
  EXPECT_TRUE(buildNamed("one-by-one", problem, &error)) << error;
}

TEST_F(RegisteredSchedules, areCheckedWhenBuilt) {
  for (std::string name : {"one-by-one:backwards", "one-by-one:faulty"})
    EXPECT_EQ(
        errorOf(name).rfind(name + " built an order that cannot run: ", 0), 0u);
}

TEST_F(RegisteredSchedules, areTriedBySearch) {
  numBuilt = 0;
  Problem problem = unitProblem(2, 3, {0, 1, 0, 1});
  problem.limitMemory(2);
  std::string error;
  std::optional<SearchResult> result = search({&problem, 1}, {}, &error);
  ASSERT_TRUE(result) << error;
  EXPECT_EQ(verify(problem, result->schedule), std::nullopt);
  EXPECT_GT(numBuilt, 0);
}

TEST_F(RegisteredSchedules, haveNamesThatCanBeGiven) {
  auto errorOfName = [](std::string_view name, int stagesPerDevice = 1,
                        ScheduleBuilder build = buildOneByOne) {
    return registerNamedSchedule(
               {name, "", Placement::Linear, stagesPerDevice, ""}, build)
        .value_or("none");
  };
  EXPECT_EQ(errorOfName("1f1b"), "schedule '1f1b' has a name that is taken");
  EXPECT_EQ(errorOfName("auto"), "schedule 'auto' has a name that is taken");
  for (std::string_view name : {"", "-x", "a,b", "a:b", "a b"})
    EXPECT_EQ(errorOfName(name),
              "schedule '" + std::string(name) +
                  "' has a name that cannot be given on a command line");
  EXPECT_EQ(errorOfName("x", 0),
            "schedule 'x' needs at least one stage per device");
  EXPECT_EQ(errorOfName("x", 1, nullptr), "schedule 'x' has no builder");
  EXPECT_EQ(findNamed("x"), nullptr);
}

} // namespace
