//===- PassTimesTest.cpp - how long passes take ---------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PassTimes.h"
#include "BigramModel.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;
using namespace weir::runtime::cuda;

TEST(PassTimesTest, TheMedianIsInTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

// Step 1 sets things up, so it counts only where it is the only one.
TEST(PassTimesTest, TheFirstStepGivesWayToOthers) {
  std::vector<std::byte> bytes = Bigram::onOneDevice().build();
  Table table;
  ASSERT_FALSE(Table::parse(bytes.data(), bytes.size(), table).failed());
  std::span<const weir_action> actions = table.actions(0);
  PassTimes times(table, 0);
  auto run = [&](int64_t step, double seconds) {
    for (size_t i = 0; i < actions.size(); ++i)
      times.add(step, i, seconds);
  };
  run(1, 9);
  ASSERT_FALSE(times.passes().empty());
  for (const PassCalls &pass : times.passes())
    EXPECT_EQ(pass.seconds, std::vector<double>(pass.callsPerStep, 9));
  run(2, 1);
  run(3, 2);
  int64_t calls = 0;
  for (const PassCalls &pass : times.passes()) {
    std::vector<double> expected(pass.callsPerStep, 1);
    expected.resize(2 * pass.callsPerStep, 2);
    EXPECT_EQ(pass.seconds, expected) << pass.name;
    EXPECT_GT(pass.bufferBytes, 0) << pass.name;
    calls += pass.callsPerStep;
  }
  EXPECT_EQ(calls, std::ranges::count(actions, int64_t(WEIR_ACTION_RUN),
                                      &weir_action::kind));
}
