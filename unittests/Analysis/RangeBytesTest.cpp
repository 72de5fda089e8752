//===- RangeBytesTest.cpp - bytes of ranges against direct counting -------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/RangeBytes.h"

#include "llvm/ADT/STLExtras.h"

#include <gtest/gtest.h>

#include <random>

using namespace weir;

namespace {

struct Thing {
  llvm::SmallVector<int64_t> positions;
  int64_t bytes;
  std::optional<int64_t> madeAt;

  bool isMadeIn(int64_t begin, int64_t end) const {
    return madeAt && *madeAt >= begin && *madeAt < end;
  }
  bool isUsedIn(int64_t begin, int64_t end) const {
    return llvm::any_of(positions,
                        [&](int64_t p) { return p >= begin && p < end; });
  }
};

std::vector<Thing> makeThings(std::mt19937 &random, int64_t size) {
  std::vector<Thing> things(random() % 8);
  for (Thing &thing : things) {
    thing.bytes = 1 + random() % 100;
    int64_t first = 0;
    if (random() % 2) {
      thing.madeAt = random() % size;
      first = *thing.madeAt;
    }
    // Positions may repeat: a value may be read twice by one operation.
    for (size_t uses = random() % 5; uses > 0; --uses)
      thing.positions.push_back(first + random() % (size - first));
    llvm::sort(thing.positions);
  }
  return things;
}

} // namespace

// A range needs everything that it uses and does not make, once.
TEST(RangeBytes, EqualsDirectCount) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    int64_t size = 1 + random() % 9;
    std::vector<Thing> things = makeThings(random, size);
    RangeBytes bytes(size);
    for (const Thing &thing : things)
      bytes.add(thing.positions, thing.bytes, thing.madeAt);
    for (int64_t end = 0; end <= size; ++end) {
      RangeBytes::Walk walk(bytes, end);
      for (int64_t begin = end; begin >= 0; --begin) {
        int64_t expected = 0;
        for (const Thing &thing : things)
          if (thing.isUsedIn(begin, end) && !thing.isMadeIn(begin, end))
            expected += thing.bytes;
        EXPECT_EQ(bytes.get(begin, end), expected);
        if (begin < end)
          EXPECT_EQ(walk.extend(), expected);
      }
    }
  }
}

// What crosses a position was there before it, and is used at it or behind.
TEST(RangeBytes, CrossingEqualsDirectCount) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 200; ++trial) {
    int64_t size = 1 + random() % 9;
    std::vector<Thing> things = makeThings(random, size);
    RangeBytes bytes(size);
    for (const Thing &thing : things)
      bytes.add(thing.positions, thing.bytes, thing.madeAt);
    llvm::SmallVector<int64_t> crossing = bytes.getCrossing();
    ASSERT_EQ(static_cast<int64_t>(crossing.size()), size + 1);
    for (int64_t position = 0; position <= size; ++position) {
      int64_t expected = 0;
      for (const Thing &thing : things)
        if ((thing.isMadeIn(0, position) || thing.isUsedIn(0, position)) &&
            thing.isUsedIn(position, size))
          expected += thing.bytes;
      EXPECT_EQ(crossing[position], expected);
    }
  }
}
