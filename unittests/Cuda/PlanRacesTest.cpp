//===- PlanRacesTest.cpp - every event of a plan is needed, or not --------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanRaces.h"
#include "ChainModel.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;
using namespace weir::runtime::cuda;

namespace {

class PlanRacesTest : public ::testing::Test {
protected:
  static constexpr int64_t numDevices = 3;

  PlanRacesTest() : builder(makeChain(numDevices, 2)), bytes(builder.build()) {
    Status status = Table::parse(bytes.data(), bytes.size(), table);
    EXPECT_FALSE(status.failed()) << status.message();
  }

  std::vector<StepPlan> plansOf(const StepPlanOptions &options) const {
    std::vector<StepPlan> plans;
    for (int64_t device = 0; device < numDevices; ++device)
      plans.push_back(StepPlan::make(table, device, options));
    return plans;
  }

  TableBuilder builder;
  std::vector<std::byte> bytes;
  Table table;
};

bool isOfEvent(const PlanOperation &operation) {
  return operation.kind == PlanKind::Record || operation.kind == PlanKind::Wait;
}

} // namespace

// Whatever the options, a plan orders all that conflicts.
TEST_F(PlanRacesTest, PlansHaveNone) {
  for (bool marks : {false, true})
    for (bool poison : {false, true})
      for (int64_t limit : {0, 2}) {
        StepPlanOptions options = {poison, marks, limit};
        Status status = checkRaces(table, plansOf(options));
        EXPECT_FALSE(status.failed()) << status.message();
      }
}

TEST_F(PlanRacesTest, NamesBothOperations) {
  std::vector<StepPlan> plans = plansOf({});
  auto isReceiveWait = [](const PlanOperation &operation) {
    return operation.kind == PlanKind::Wait && operation.stream == 0;
  };
  auto wait = std::find_if(plans[1].operations.begin(),
                           plans[1].operations.end(), isReceiveWait);
  plans[1] = plans[1].without(wait - plans[1].operations.begin());
  std::string error = checkRaces(table, plans).message();
  EXPECT_NE(error.find("queue 1: recv x mb 0 from device 0'"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("'compute: F s1 mb 0'"), std::string::npos) << error;
}

// Without an event or a wait there is a race, or the rest orders everything
// still: a wait behind another one for the same, and what orders bytes that
// nothing touches again.
TEST_F(PlanRacesTest, MostEventsAreNeeded) {
  const std::vector<StepPlan> plans = plansOf({});
  std::vector<std::string> redundant;
  int numRaces = 0;
  for (int64_t device = 0; device < numDevices; ++device)
    for (size_t i = 0; i < plans[device].operations.size(); ++i) {
      if (!isOfEvent(plans[device].operations[i]))
        continue;
      std::vector<StepPlan> changed = plans;
      changed[device] = plans[device].without(i);
      if (checkRaces(table, changed).failed())
        ++numRaces;
      else
        redundant.push_back(std::to_string(device) + " " +
                            plans[device].describe(table, i));
    }
  // Nothing writes what is sent within the step, nor reads what is received
  // before it is asked for.
  for (const std::string &line : redundant)
    EXPECT_TRUE(line.find("end of 'send") != line.npos ||
                line.find("start of 'recv") != line.npos)
        << line;
  // Two for each start of the 8 sends, two for each end of the 8 receives.
  EXPECT_EQ(numRaces, 32);
}

// A buffer that is used again makes the write-after-read events needed: the
// second send of a buffer that is written in between, and the second receive
// into one that is read in between.
TEST(PlanRacesReuseTest, ReuseNeedsEveryEvent) {
  TableBuilder builder(2);
  builder.header.num_stages = 1;
  builder.header.num_microbatches = 2;
  builder.addResident(0, WEIR_RESIDENT_LOSS, -1, 0, 4);
  builder.addResident(0, WEIR_RESIDENT_COUNT, -1, 0, 4);
  int64_t pass = builder.addKernel("pass", nullptr);
  for (int64_t device : {0, 1}) {
    int64_t at = builder.devices[device].allocate(64);
    for (int64_t mb : {0, 1}) {
      if (device == 0)
        builder.run(0, pass, WEIR_PASS_FORWARD, 0, mb, {at});
      builder.wait(device, device == 0
                               ? builder.sendStart(0, 1, mb, mb, at, 64, "x")
                               : builder.recvStart(1, 0, mb, mb, at, 64, "x"));
      if (device == 1)
        builder.run(1, pass, WEIR_PASS_FORWARD, 0, mb, {at});
    }
  }
  std::vector<std::byte> bytes = builder.build();
  Table table;
  Status status = Table::parse(bytes.data(), bytes.size(), table);
  ASSERT_FALSE(status.failed()) << status.message();
  const std::vector<StepPlan> plans = {StepPlan::make(table, 0, {}),
                                       StepPlan::make(table, 1, {})};
  ASSERT_FALSE(checkRaces(table, plans).failed());
  for (int64_t device : {0, 1})
    for (size_t i = 0; i < plans[device].operations.size(); ++i) {
      if (!isOfEvent(plans[device].operations[i]))
        continue;
      std::vector<StepPlan> changed = plans;
      changed[device] = plans[device].without(i);
      std::string line = plans[device].describe(table, i);
      // The last send must be over before the next step; before the first
      // receive the end of the step before is enough.
      bool isEdge =
          device == 1 && line.find("start of 'recv x mb 0") != line.npos;
      EXPECT_NE(checkRaces(table, changed).failed(), isEdge) << line;
    }
}
