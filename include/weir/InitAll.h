//===- InitAll.h - register everything --------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_INITALL_H
#define WEIR_INITALL_H

#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Dialect/Transforms/Passes.h"

namespace weir {

/// Adds the dialect, and what it gives to other dialects, to `registry`.
inline void registerAllDialects(mlir::DialectRegistry &registry) {
  registry.insert<WeirDialect>();
  registerDerivativeRules(registry);
}

/// Registers every pass for textual pass pipelines.
inline void registerAllPasses() {
  registerConvertGPUToEmulated();
  registerConvertWeirToCUDA();
  registerConvertWeirToHost();
  registerWeirAddOptimizer();
  registerWeirCheckSchedules();
  registerWeirDifferentiate();
  registerWeirEstimateCosts();
  registerWeirExtractProblems();
  registerWeirFixRounding();
  registerWeirLowerDevice();
  registerWeirOutlineStages();
  registerWeirPartition();
  registerWeirPlanMemory();
  registerWeirSchedule();
  registerWeirScheduleProblems();
  registerWeirSplitBackward();
  registerWeirVerifyPrograms();
}

} // namespace weir

#endif // WEIR_INITALL_H
