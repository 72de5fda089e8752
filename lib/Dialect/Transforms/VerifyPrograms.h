//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The parts of weir-verify-programs. Each may use what those above it have
// shown.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_DIALECT_TRANSFORMS_VERIFYPROGRAMS_H
#define WEIR_LIB_DIALECT_TRANSFORMS_VERIFYPROGRAMS_H

#include "weir/Analysis/HappensBefore.h"
#include "weir/Analysis/PipelineProblem.h"

namespace weir {

/// A pipeline and its programs, those of devices 0, 1, ... in order.
struct ProgramsOfPipeline {
  PipelineOp pipeline;
  llvm::SmallVector<StagePasses> stages;
  llvm::SmallVector<ProgramOp> programs;
  int64_t microbatches;

  /// The update of a variable, or null.
  UpdateOp findUpdate(llvm::StringRef variable) const;
};

/// The kinds of passes that a run stands for.
llvm::SmallVector<PassKind, 2> getRunKinds(PassKind kind);

/// Sends and receives match in order, and each is waited for once.
mlir::LogicalResult verifyQueues(const ProgramsOfPipeline &all);

/// The programs end, whatever the speed of the devices.
mlir::LogicalResult verifyProgress(const HappensBefore &order);

/// Every pass runs as often, where and on what it should.
mlir::LogicalResult verifyValues(const ProgramsOfPipeline &all,
                                 const HappensBefore &order);

/// The program has the residents that it uses; what gathers in them is complete
/// before it is used, and is used.
mlir::LogicalResult verifyResidents(const ProgramsOfPipeline &all,
                                    ProgramOp program);

/// No byte of the planned program's arena is written while it is needed, and
/// the arena is as large as its buffers take.
mlir::LogicalResult verifyArena(const ProgramsOfPipeline &all,
                                ProgramOp program, const HappensBefore &order);

} // namespace weir

#endif // WEIR_LIB_DIALECT_TRANSFORMS_VERIFYPROGRAMS_H
