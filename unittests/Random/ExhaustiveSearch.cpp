//===- ExhaustiveSearch.cpp - the least memory of all orders --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExhaustiveSearch.h"

#include "weir/Analysis/ArenaPlan.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/Transforms/WritePrograms.h"
#include "weir/Driver/Compiler.h"
#include "weir/Schedule/AllOrders.h"

#include <algorithm>

using namespace mlir;
using namespace weir;
using namespace weir::test;

/// Bytes of the largest arena of the programs of `order`.
static int64_t getArena(PipelineOp pipeline, const schedule::Problem &problem,
                        const schedule::Schedule &order) {
  if (failed(writePrograms(pipeline, problem, order)))
    llvm::report_fatal_error("a schedule without programs");
  int64_t largest = 0;
  for (ProgramOp program : getPrograms(pipeline)) {
    largest = std::max(largest, planArena(program).bytes);
    program.erase();
  }
  return largest;
}

std::optional<int64_t> weir::test::findLeastArena(ModuleOp stages,
                                                  ArrayRef<int> placement,
                                                  int64_t microbatches,
                                                  int64_t mostOrders) {
  PipelineOp pipeline = getOnlyPipeline(stages);
  int numDevices = *llvm::max_element(placement) + 1;
  schedule::Problem problem =
      buildProblem(pipeline, placement, numDevices, microbatches);
  auto orders = schedule::listAllOrders(problem, mostOrders);
  if (!orders)
    return std::nullopt;
  std::optional<int64_t> least;
  for (const schedule::Schedule &order : *orders) {
    int64_t arena = getArena(pipeline, problem, order);
    least = std::min(least.value_or(arena), arena);
  }
  return least;
}
