//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which buffers a program holds, and from which action to which.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_PROGRAMLIVENESS_H
#define WEIR_ANALYSIS_PROGRAMLIVENESS_H

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Schedule/Schedule.h"

namespace weir {

/// One buffer of a program. Places are positions in the program's list of ops;
/// all ranges include both ends.
///
///   begin        ready                lastRead        end
///   recv_start   wait                 last run        wait for the send
///   |-transfer---|-----activation-----|----transfer---|
///
/// For values that are made here `ready` is `begin`; for values that are not
/// sent `lastRead` is `end`. A value nobody reads lives while it is made.
struct LiveBuffer {
  mlir::Operation *maker; ///< resident, load, run or recv_start
  int64_t slot;           ///< which of the maker's offsets; -1: its scratch
  int64_t bytes;
  int64_t begin, ready, lastRead, end;

  bool isResident() const { return mlir::isa<ResidentOp>(maker); }
  bool isScratch() const { return slot < 0; }
  /// The planned offset, if there is one.
  std::optional<int64_t> getOffset() const;
};

/// All buffers of `program` in the order of their makers. Scratch needs the
/// workspaces of the passes, which the lowering of kernels sets; without them
/// there is none. Passes that a run names and the pipeline lacks have none
/// either; the verifier refuses such programs.
llvm::SmallVector<LiveBuffer> getLiveBuffers(ProgramOp program);

/// Where the last buffer of a planned program ends, aligned: the bytes of its
/// arena.
int64_t getUsedBytes(ProgramOp program);

/// The pipeline that a program is of, or null.
PipelineOp getPipeline(ProgramOp program);

/// The programs of a pipeline by device. Devices need not be dense.
llvm::SmallVector<ProgramOp> getPrograms(PipelineOp pipeline);

/// The device of each stage, as programs run them; -1 for a stage that none
/// runs.
std::vector<int> getPlacement(PipelineOp pipeline,
                              llvm::ArrayRef<ProgramOp> programs);

/// The order of passes of each device, updates left out.
schedule::Schedule getOrder(llvm::ArrayRef<ProgramOp> programs);

/// The planned offset of a tensor or bundle of a program.
std::optional<int64_t> getOffset(mlir::Value value);

/// Peak bytes of a program by kind, each at its own worst moment, and of all
/// together, without the gaps that a plan leaves.
struct MemoryPeaks {
  int64_t parameters = 0, gradients = 0, states = 0, scalars = 0;
  int64_t activations = 0, workspace = 0, transfers = 0;
  int64_t total = 0;
};
MemoryPeaks getMemoryPeaks(ProgramOp program);

} // namespace weir

#endif // WEIR_ANALYSIS_PROGRAMLIVENESS_H
