// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedCase.h"

#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

TEST(Json, holdsTheResult) {
  RenderedCase c("zb-h1", 2, 1);
  c.schedule.name = "a \"b\"\n";
  c.problem.stages[0].forward = 0.1;
  c.simulation = *simulate(c.problem, c.schedule);
  std::ostringstream os;
  writeJson(os, c.problem, c.schedule, c.simulation);
  EXPECT_EQ(os.str(), R"({
  "schedule": "a \"b\"\u000a",
  "devices": 2,
  "microbatches": 1,
  "stages": 2,
  "placement": [0, 1],
  "makespan": 4.1,
  "span": 4.1,
  "lower_bound": 4.1,
  "bound_scope": "any order of this placement, without a memory limit",
  "bubble_ratio": 0.2682926829268292,
  "peak_memory": [1, 1],
  "passes": [
    [{"pass": "F", "stage": 0, "microbatch": 0, "start": 0, "end": 0.1},
     {"pass": "B", "stage": 0, "microbatch": 0, "start": 2.1, "end": 3.1},
     {"pass": "W", "stage": 0, "microbatch": 0, "start": 3.1, "end": 4.1}],
    [{"pass": "F", "stage": 1, "microbatch": 0, "start": 0.1, "end": 1.1},
     {"pass": "B", "stage": 1, "microbatch": 0, "start": 1.1, "end": 2.1},
     {"pass": "W", "stage": 1, "microbatch": 0, "start": 2.1, "end": 3.1}]
  ]
}
)");
}

} // namespace
