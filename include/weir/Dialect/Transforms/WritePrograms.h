//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_TRANSFORMS_WRITEPROGRAMS_H
#define WEIR_DIALECT_TRANSFORMS_WRITEPROGRAMS_H

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Schedule/Schedule.h"

namespace weir {

/// Writes the program of every device behind `pipeline`, as `weir-schedule`
/// does for the order that it chose. `problem` is that of `buildProblem`. Fails
/// where `order` is no order of `problem` (the memory limit apart): then the
/// error is emitted, and nothing is written.
llvm::LogicalResult writePrograms(PipelineOp pipeline,
                                  const schedule::Problem &problem,
                                  const schedule::Schedule &order);

} // namespace weir

#endif // WEIR_DIALECT_TRANSFORMS_WRITEPROGRAMS_H
