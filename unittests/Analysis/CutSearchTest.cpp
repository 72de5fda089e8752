//===- CutSearchTest.cpp - the search for cuts against all cuts -----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/CutSearch.h"

#include "llvm/ADT/STLExtras.h"

#include <gtest/gtest.h>

#include <random>

using namespace weir;
using Cuts = llvm::SmallVector<int64_t>;

/// Operations of 1 to 20 seconds whose values the next ones read, keep, and use
/// variables of.
static RowCosts makeRow(std::mt19937 &random, int64_t size) {
  RowCosts row(size);
  for (int64_t i = 0; i < size; ++i) {
    double seconds = 1 + random() % 20;
    row.secondsBefore[i + 1] = row.secondsBefore[i] + seconds;
    row.forwardBefore[i + 1] = row.forwardBefore[i] + seconds / 4;
    row.weightBefore[i + 1] = row.weightBefore[i] + seconds / 4;
    Cuts readers;
    for (size_t uses = 1 + random() % 2; uses > 0 && i + 1 < size; --uses)
      readers.push_back(i + 1 + random() % (size - i - 1));
    llvm::sort(readers);
    row.received.add(readers, 1 + random() % 50, i);
    row.kept.add(readers, 1 + random() % 50);
    int64_t gradient = random() % 3 ? 0 : 1 + random() % 40;
    row.gradientsBefore[i + 1] = row.gradientsBefore[i] + gradient;
    row.variables.add({i}, 2 * gradient);
  }
  // One variable that several operations share.
  Cuts users;
  for (int64_t i = 0; i < size; ++i)
    if (random() % 3 == 0)
      users.push_back(i);
  row.variables.add(users, 30);
  if (users.size() > 1)
    row.shared.push_back({30, {users.begin(), users.end()}});
  return row;
}

/// Every device one stage; stage s holds as many microbatches as in 1f1b.
static CutProblem makeChain(const RowCosts &row, int stages) {
  CutProblem problem{row, {}, {}, 0, {}, {}};
  for (int s = 0; s < stages; ++s) {
    problem.deviceOfStage.push_back(s);
    problem.held.push_back({{stages - s}});
  }
  return problem;
}

static void forEachCut(int64_t size, int64_t stages,
                       llvm::function_ref<void(llvm::ArrayRef<int64_t>)> call) {
  Cuts cuts{0};
  auto choose = [&](auto &&choose) -> void {
    int64_t rest = stages - cuts.size();
    if (rest == 0) {
      cuts.push_back(size);
      call(cuts);
      cuts.pop_back();
      return;
    }
    for (int64_t next = cuts.back() + 1; next <= size - rest; ++next) {
      cuts.push_back(next);
      choose(choose);
      cuts.pop_back();
    }
  };
  choose(choose);
}

static double getSlowest(const CutProblem &problem,
                         llvm::ArrayRef<int64_t> cuts) {
  double slowest = 0.0;
  for (int64_t device = 0; device < problem.numDevices(); ++device)
    slowest = std::max(slowest, getDeviceCost(problem, cuts, device).seconds);
  return slowest;
}

static bool fits(const CutProblem &problem, llvm::ArrayRef<int64_t> cuts) {
  for (int64_t device = 0; device < problem.numDevices(); ++device)
    if (problem.memoryLimit != 0 &&
        getDeviceCost(problem, cuts, device).bytes() > problem.memoryLimit)
      return false;
  return true;
}

static bool meetsMarks(const CutProblem &problem,
                       llvm::ArrayRef<int64_t> cuts) {
  return llvm::all_of(problem.marks, [&](const StageMark &mark) {
    return mark.stage >= 0 ? cuts[mark.stage] == mark.position
                           : llvm::is_contained(cuts, mark.position);
  });
}

static bool isCut(const CutProblem &problem, llvm::ArrayRef<int64_t> cuts) {
  return static_cast<int64_t>(cuts.size()) == problem.numStages() + 1 &&
         cuts.front() == 0 && cuts.back() == problem.costs.size() &&
         llvm::is_sorted(cuts, std::less_equal<>()) && // no stage is empty
         meetsMarks(problem, cuts);
}

/// Compares what is found with all cuts that meet the marks and the limit.
static void compareWithAllCuts(const CutProblem &problem) {
  constexpr double millionth = 1.0 + 1e-6;
  double fastest = std::numeric_limits<double>::infinity();
  forEachCut(problem.costs.size(), problem.numStages(),
             [&](llvm::ArrayRef<int64_t> cuts) {
               if (meetsMarks(problem, cuts) && fits(problem, cuts))
                 fastest = std::min(fastest, getSlowest(problem, cuts));
             });
  std::optional<FoundCuts> found = searchCuts(problem);
  if (std::isinf(fastest)) {
    EXPECT_TRUE(!found || !fits(problem, found->cuts));
    return;
  }
  ASSERT_TRUE(found);
  EXPECT_TRUE(isCut(problem, found->cuts));
  EXPECT_TRUE(fits(problem, found->cuts));
  EXPECT_GE(found->fastestSeconds, fastest);
  EXPECT_LE(found->fastestSeconds, fastest * millionth);
  // A tenth slower for fewer bytes, a hundredth more for memory.
  double enough = fastest * 1.1 * millionth;
  int64_t leastSent = std::numeric_limits<int64_t>::max();
  forEachCut(problem.costs.size(), problem.numStages(),
             [&](llvm::ArrayRef<int64_t> cuts) {
               if (meetsMarks(problem, cuts) && fits(problem, cuts) &&
                   getSlowest(problem, cuts) <= enough)
                 leastSent = std::min(leastSent, getSentBytes(problem, cuts));
             });
  EXPECT_LE(getSlowest(problem, found->cuts), enough * 1.01);
  EXPECT_LE(getSentBytes(problem, found->cuts), leastSent);
}

// Without a limit the fastest cut is found, and the one that sends least.
TEST(CutSearch, ChainIsOptimal) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 150; ++trial) {
    int64_t size = 2 + random() % 9;
    RowCosts row = makeRow(random, size);
    compareWithAllCuts(
        makeChain(row, 1 + random() % std::min<int64_t>(size, 5)));
  }
}

// Under a limit the fastest of the cuts that fit is found, if one fits.
TEST(CutSearch, ChainIsOptimalUnderALimit) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 150; ++trial) {
    int64_t size = 3 + random() % 8;
    RowCosts row = makeRow(random, size);
    CutProblem problem =
        makeChain(row, 2 + random() % (std::min<int64_t>(size, 5) - 1));
    int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
    forEachCut(size, problem.numStages(), [&](llvm::ArrayRef<int64_t> cuts) {
      int64_t peak = 0;
      for (int64_t device = 0; device < problem.numDevices(); ++device)
        peak = std::max(peak, getDeviceCost(problem, cuts, device).bytes());
      least = std::min(least, peak);
      most = std::max(most, peak);
    });
    // From a little too small to enough for any cut.
    problem.memoryLimit =
        std::max<int64_t>(1, least - 2 + random() % (most - least + 4));
    compareWithAllCuts(problem);
  }
}

// Cuts go where marks are, and are the fastest of those.
TEST(CutSearch, ChainIsOptimalWithMarks) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 150; ++trial) {
    int64_t size = 4 + random() % 7;
    RowCosts row = makeRow(random, size);
    int64_t stages = 3 + random() % 2;
    CutProblem problem = makeChain(row, stages);
    StageMark mark{1 + static_cast<int64_t>(random() % (size - 1))};
    if (random() % 2)
      mark.stage = 1 + random() % (stages - 1);
    problem.marks = {mark};
    compareWithAllCuts(problem);
  }
}

// Where devices hold several stages nothing is claimed but a cut; moves by the
// predicted step never make it longer, and stay within the limit that is met.
TEST(CutSearch, MovesShortenTheStep) {
  std::mt19937 random(4);
  for (int trial = 0; trial < 60; ++trial) {
    int64_t size = 8 + random() % 8;
    RowCosts row = makeRow(random, size);
    CutProblem problem{row, {0, 1, 1, 0}, {}, 0, {}, {}};
    problem.held.assign(2, {{2, 1}, {1, 2}});
    if (random() % 2)
      problem.marks = {{1 + static_cast<int64_t>(random() % (size - 3)), 1}};
    if (random() % 2)
      problem.memoryLimit = 200 + random() % 600;
    // Uneven stages cost, as they do where pipelines fill.
    problem.predict = [&](llvm::ArrayRef<int64_t> cuts) {
      double step = 4.0 * getSlowest(problem, cuts);
      for (int64_t s = 0; s < 4; ++s)
        step += std::abs(row.seconds(cuts[s], cuts[s + 1]) -
                         row.seconds(0, size) / 4);
      return step;
    };
    std::optional<FoundCuts> still = searchCuts(problem);
    problem.predictions = 10000;
    std::optional<FoundCuts> moved = searchCuts(problem);
    ASSERT_TRUE(still && moved);
    EXPECT_TRUE(isCut(problem, still->cuts));
    EXPECT_TRUE(isCut(problem, moved->cuts));
    EXPECT_LE(problem.predict(moved->cuts),
              problem.predict(still->cuts) * 1.001);
    EXPECT_TRUE(!fits(problem, still->cuts) || fits(problem, moved->cuts));
  }
}

// A row that is shorter than the number of stages has no cut.
TEST(CutSearch, TooFewOperations) {
  std::mt19937 random(5);
  RowCosts row = makeRow(random, 3);
  EXPECT_FALSE(searchCuts(makeChain(row, 4)));
}
