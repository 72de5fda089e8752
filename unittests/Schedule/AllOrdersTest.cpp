// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/AllOrders.h"

#include <gtest/gtest.h>

#include <set>

using namespace weir::schedule;

static size_t count(const Problem &problem) {
  auto orders = listAllOrders(problem, 100000);
  EXPECT_TRUE(orders);
  return orders ? orders->size() : 0;
}

// The numbers of standard Young tableaux are 1, 5, 42, 462 of shape 3 by n and
// 1, 2, 5, 14 of shape 2 by n (OEIS A005789, A000108).
TEST(AllOrdersTest, OfOneStage) {
  const size_t split[] = {1, 5, 42, 462}, fused[] = {1, 2, 5, 14};
  for (int n = 1; n <= 4; ++n) {
    Problem problem = unitProblem(1, n, linearPlacement(1, 1));
    problem.stages[0].hasBackwardInput = true;
    EXPECT_EQ(count(problem), split[n - 1] + fused[n - 1]);
    problem.stages[0].hasBackwardInput = false;
    EXPECT_EQ(count(problem), fused[n - 1]);
    problem.stages[0].hasBackwardWeight = false;
    EXPECT_EQ(count(problem), 1u);
  }
}

// F of stage 0 before that of stage 1, B's the other way, and where the W's may
// go: 3 orders with both split, 2 and 1 with one fused, 1 with both.
TEST(AllOrdersTest, OfTwoStages) {
  Problem problem = unitProblem(1, 1, {0, 0});
  problem.stages[0].hasBackwardInput = true;
  auto orders = listAllOrders(problem, 100000);
  ASSERT_TRUE(orders);
  std::set<std::string> texts;
  for (const Schedule &schedule : *orders) {
    std::string text;
    for (const Pass &pass : schedule.order[0])
      text += toString(pass) + " ";
    texts.insert(text);
  }
  EXPECT_EQ(orders->size(), 7u);
  EXPECT_EQ(texts.size(), 7u);
}

// Of 2 devices with 1 + 1 orders each all go together; the limit counts them.
TEST(AllOrdersTest, OfTwoDevices) {
  Problem problem = unitProblem(2, 1, linearPlacement(2, 2));
  problem.stages[0].hasBackwardInput = true;
  EXPECT_EQ(count(problem), 4u);
  EXPECT_TRUE(listAllOrders(problem, 4));
  EXPECT_FALSE(listAllOrders(problem, 3));
}
