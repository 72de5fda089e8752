// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Search.h"
#include "RandomProblems.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"
#include "weir/Schedule/Variants.h"

#include <gtest/gtest.h>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

/// A unit of memory that all numbers of chunks divide.
constexpr int64_t kUnit = 840;

/// A device's share of the model takes the given durations for one microbatch
/// and keeps one unit of memory; it is cut into up to `maxChunks` stages.
struct Case {
  int devices, microbatches;
  double forward = 1, backwardInput = 1, backwardWeight = 1;
  double transfer = 0;
  int maxChunks = 2;
  double memory; // units
};

std::vector<Problem> variantsOf(const Case &c) {
  std::vector<Problem> variants;
  for (int chunks = 1; chunks <= c.maxChunks; ++chunks)
    for (Placement placement :
         distinctPlacements(chunks * c.devices, c.devices)) {
      Problem problem;
      problem.numDevices = c.devices;
      problem.numMicrobatches = c.microbatches;
      Stage stage;
      stage.forward = c.forward / chunks;
      stage.backwardInput = c.backwardInput / chunks;
      stage.backwardWeight = c.backwardWeight / chunks;
      stage.activationBytes = kUnit / chunks;
      problem.stages.assign(chunks * c.devices, stage);
      problem.placement =
          makePlacement(placement, chunks * c.devices, c.devices);
      problem.defaultLink.latency = c.transfer;
      problem.limitMemory(static_cast<int64_t>(c.memory * kUnit));
      variants.push_back(problem);
    }
  return variants;
}

SearchResult searchWithin(const std::vector<Problem> &variants, double effort,
                          Objective objective = Objective::Makespan) {
  SearchOptions options;
  options.effort = effort;
  options.objective = objective;
  std::string error;
  std::optional<SearchResult> result = search(variants, options, &error);
  EXPECT_TRUE(result) << error;
  if (!result)
    return {};
  const Problem &problem = variants[result->variant];
  EXPECT_EQ(verify(problem, result->schedule), std::nullopt);
  Simulation simulation = *simulate(problem, result->schedule);
  EXPECT_DOUBLE_EQ(result->value, objective == Objective::Span
                                      ? simulation.span
                                      : simulation.makespan);
  EXPECT_LE(result->bound.seconds, result->value * (1 + 1e-9));
  EXPECT_NEAR(*result->values[result->variant], result->value, 1e-9);
  return *result;
}

struct Published {
  Case problem;
  double best;
};

// The best makespans of published generators, with little search.
TEST(Search, isNoWorseThanPublishedSchedules) {
  const Published points[] = {
      {{4, 16, 1, 1, 1, 0, 8, 2}, 53.5},     // v-min
      {{4, 16, 1, 1, 1, 0, 8, 2.25}, 50.5},  // grouped interleaving
      {{4, 16, 1, 1, 1, 0, 8, 3.5}, 50.0},   // adaptive
      {{4, 16, 1, 1, 1, 0, 8, 4}, 48.75},    // grouped interleaving
      {{4, 16, 1, 1, 1, 0.1, 8, 2.5}, 54.0}, // grouped interleaving
      {{4, 16, 1, 1, 1, 0.1, 8, 4}, 50.8},   // zb-v
      {{8, 32, 1, 1, 1, 0, 2, 4}, 107.5},    // adaptive
      {{8, 32, 1, 1, 1, 0, 2, 5}, 104.5},    // v-half
      {{8, 32, 1, 1, 1, 0, 2, 8}, 99.5},     // zb-v
      {{8, 32, 1, 1, 1, 0.1, 2, 4}, 121.7},  // adaptive
      {{8, 32, 1, 0.98, 0.74, 0.1, 2, 4}, 120.47},
      {{8, 32, 1, 1, 1, 0.1, 2, 8}, 102.8}, // zb-v
  };
  for (const Published &point : points)
    EXPECT_LE(searchWithin(variantsOf(point.problem), 1).value,
              point.best + 1e-6)
        << point.problem.devices << " devices, memory " << point.problem.memory
        << ", transfer " << point.problem.transfer;
}

TEST(Search, shortensTheSpan) {
  // v-zb: no device ever waits.
  EXPECT_NEAR(
      searchWithin(variantsOf({8, 32, 1, 1, 1, 0, 2, 8}), 0.5, Objective::Span)
          .value,
      96, 1e-9);
}

TEST(Search, dependsOnTheSeedAlone) {
  std::vector<Problem> variants = variantsOf({4, 11, 2, 3, 1, 0.1, 3, 2.5});
  SearchResult first = searchWithin(variants, 0.05);
  SearchResult second = searchWithin(variants, 0.05);
  EXPECT_EQ(first.variant, second.variant);
  EXPECT_EQ(first.schedule.order, second.schedule.order);
  EXPECT_EQ(first.steps, second.steps);
  EXPECT_EQ(first.values, second.values);
}

TEST(Search, usesTheLeastMemoryThereIs) {
  std::vector<Problem> variants = variantsOf({4, 6, 1, 1, 1, 0, 2, 1});
  double previous = searchWithin(variants, 0.02).value;
  EXPECT_LE(previous, 4 * 6 * 3);
  // More memory never hurts, and there is no cliff.
  for (double memory : {1.5, 2.0, 3.0, 4.0}) {
    double value =
        searchWithin(variantsOf({4, 6, 1, 1, 1, 0, 2, memory}), 0.1).value;
    EXPECT_LE(value, previous + 1e-9);
    previous = value;
  }
}

TEST(Search, refusesWhatCannotFit) {
  std::vector<Problem> variants = variantsOf({3, 5, 1, 1, 1, 0, 2, 1});
  for (Problem &problem : variants)
    problem.memoryLimits[1] = kUnit - 1;
  std::string error;
  EXPECT_FALSE(search(variants, SearchOptions(), &error));
  EXPECT_EQ(error, "device 1 needs at least 840 bytes, the limit is 839");
}

TEST(Search, fusesWherePassesAreShorterTogether) {
  Problem problem = unitProblem(2, 8, {0, 1});
  for (Stage &stage : problem.stages)
    stage.backward = 1;
  SearchResult result = searchWithin({problem}, 0.05);
  // Both devices run fused passes only: 8 * (1 + 1), and one F and one
  // backward pass of the other device.
  EXPECT_DOUBLE_EQ(result.value, 18);
}

TEST(Search, takesTheRobustOneOfEquals) {
  std::vector<Problem> variants = variantsOf({4, 8, 1, 1, 1, 0, 1, 8});
  SearchResult result = searchWithin(variants, 0.2);
  JitterResult varied =
      *jitter(variants[result.variant], result.schedule, 5, 100, 7);
  EXPECT_GE(varied.mean, result.value * 0.99);
  EXPECT_LE(varied.mean, result.value * 1.04);
}

// Unequal stages, any placement, missing passes, recomputation, transfer
// buffers: what is found fits, and without buffers something is found exactly
// where the smallest limits say so.
TEST(Search, copesWithAnyProblem) {
  int found = 0, refused = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    test::Random random(seed);
    int devices = test::randomInt(random, 1, 5);
    std::vector<int> placement(test::randomInt(random, 1, 8));
    for (int &device : placement)
      device = test::randomInt(random, 0, devices - 1);
    Problem problem = randomProblem(random, devices,
                                    test::randomInt(random, 1, 7), placement);
    bool hasBuffers = test::randomInt(random, 0, 1);
    if (!hasBuffers)
      for (Stage &stage : problem.stages)
        stage.forwardTransferBytes = stage.backwardTransferBytes = 0;
    std::vector<int64_t> smallest = smallestLimits(problem);
    int slack = test::randomInt(random, -3, 30);
    for (int64_t bytes : smallest)
      problem.memoryLimits.push_back(std::max<int64_t>(bytes + slack, 0));
    bool isFeasible = true;
    for (int d = 0; d < devices; ++d)
      isFeasible &= problem.memoryLimits[d] >= smallest[d];
    SearchOptions options;
    options.effort = 0.002;
    options.threads = 1;
    std::string error;
    std::optional<SearchResult> result = search({&problem, 1}, options, &error);
    if (!result) {
      ++refused;
      EXPECT_FALSE(error.empty());
      EXPECT_TRUE(hasBuffers || !isFeasible) << "seed " << seed;
      continue;
    }
    ++found;
    EXPECT_TRUE(isFeasible);
    EXPECT_EQ(verify(problem, result->schedule), std::nullopt)
        << "seed " << seed;
    EXPECT_LE(result->bound.seconds, result->value * (1 + 1e-9));
  }
  EXPECT_GT(found, 200);
  EXPECT_GT(refused, 10);
}

} // namespace
