//===- RandomTest.cpp - random numbers depend on their names alone --------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Random.h"

#include <cmath>
#include <gtest/gtest.h>
#include <vector>

using namespace weir::runtime;

// The known answers that the authors publish with Random123 (kat_vectors).
TEST(RandomTest, PhiloxGivesTheKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                   {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                   {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomTest, StreamsDifferBySeedAndName) {
  auto first = RandomStream(1, "a").words(0, 0, 0, 0);
  EXPECT_EQ(first, RandomStream(1, "a").words(0, 0, 0, 0));
  EXPECT_NE(first, RandomStream(2, "a").words(0, 0, 0, 0));
  EXPECT_NE(first, RandomStream(1, "b").words(0, 0, 0, 0));
  EXPECT_NE(first, RandomStream(uint64_t(1) << 32 | 1, "a").words(0, 0, 0, 0));
}

TEST(RandomTest, BelowStaysBelowAndReachesAll) {
  RandomStream stream(0, "below");
  std::vector<int> hits(7);
  for (uint32_t i = 0; i < 1000; ++i) {
    uint64_t value = stream.below(7, i, 0, 0);
    ASSERT_LT(value, 7u);
    ++hits[value];
  }
  for (int count : hits)
    EXPECT_GT(count, 90);
  EXPECT_EQ(stream.below(1, 5, 0, 0), 0u);
}

TEST(RandomTest, NormalHasItsMoments) {
  std::vector<double> values(100001);
  RandomStream(3, "normal").normal(0.5, std::span(values));
  double sum = 0, squares = 0, fourth = 0;
  for (double value : values) {
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourth += value * value * value * value;
  }
  double n = values.size();
  // Four standard errors each.
  EXPECT_NEAR(sum / n, 0, 4 * 0.5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.25, 4 * 0.25 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3 * 0.0625, 4 * 0.0625 * std::sqrt(96 / n));
}

TEST(RandomTest, FloatsAreTheRoundedDoubles) {
  std::vector<double> doubles(33);
  std::vector<float> floats(33), fewer(8);
  RandomStream stream(3, "normal");
  stream.normal(0.02, std::span(doubles));
  stream.normal(0.02, std::span(floats));
  stream.normal(0.02, std::span(fewer));
  for (size_t i = 0; i < floats.size(); ++i)
    EXPECT_EQ(floats[i], static_cast<float>(doubles[i]));
  // An element does not depend on how many there are.
  for (size_t i = 0; i < fewer.size(); ++i)
    EXPECT_EQ(fewer[i], floats[i]);
}
