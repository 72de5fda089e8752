//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A pipeline as the scheduling library sees it.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_PIPELINEPROBLEM_H
#define WEIR_ANALYSIS_PIPELINEPROBLEM_H

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Schedule/NamedSchedules.h"

#include "llvm/ADT/SetVector.h"

namespace weir {

/// The passes of one stage; null where the stage has none of that kind.
struct StagePasses {
  StagePassOpInterface forward, backwardInput, backwardWeight;

  StagePassOpInterface get(PassKind kind) const;
};

/// The passes of every stage of `pipeline`, by stage.
llvm::SmallVector<StagePasses> getStagePasses(PipelineOp pipeline);

/// What `weir.run` of a pass takes and gives, as values of the pipeline. For a
/// fused backward of a stage with both passes: what the two take from outside,
/// what others take of either, and what only the second takes of the first.
struct RunSignature {
  llvm::SetVector<mlir::Value> operands;
  llvm::SmallVector<mlir::Value> outputs;
  llvm::SmallVector<mlir::Value> between;
};
RunSignature getRunSignature(const StagePasses &passes, PassKind kind);

/// Bytes that stay on a device through all steps, by kind. A device holds a
/// variable if one of its stages reads it or gathers its gradient; the device
/// of stage 0 also holds those that no stage uses, which are saved like others.
struct ResidentBytes {
  int64_t parameters = 0, gradients = 0, states = 0;
  int64_t total() const { return parameters + gradients + states; }
};
ResidentBytes getResidentBytes(PipelineOp pipeline,
                               llvm::ArrayRef<int> placement, int device);

/// The names of the variables that a pass of `pipeline` on `device` reads or
/// gathers the gradient of, in the order of the passes; for the device of stage
/// 0, then those of the module that no pass uses.
llvm::SetVector<mlir::StringRef>
getVariablesOfDevice(PipelineOp pipeline, llvm::ArrayRef<int> placement,
                     int device);

/// Checks that every stage of `pipeline` has a forward pass, which is what
/// schedules are made of; emits an error that names the stage if one has none.
mlir::LogicalResult checkHasForwards(PipelineOp pipeline);

/// The scheduling problem of `pipeline`, whose stages have forward passes, for
/// `microbatches`, stage s on device
/// placement[s]. Durations in seconds are those of the passes (every pass takes
/// at least a nanosecond), bytes follow from the operands and results of
/// passes.
schedule::Problem buildProblem(PipelineOp pipeline,
                               llvm::ArrayRef<int> placement, int numDevices,
                               int microbatches);

/// The device of each of `stages` stages on `devices` devices (not positive: as
/// many as `placement` needs): `linear`, `loop`, `v`, or the devices
/// themselves, separated by commas. Returns nullopt and sets `error` to one
/// line where there is no such placement or a device would hold nothing.
std::optional<std::vector<int>> readPlacement(llvm::StringRef placement,
                                              int64_t stages, int64_t devices,
                                              std::string &error);

/// Whether `placement` lists devices; how many stages it is for, and for how
/// many devices.
struct ListedPlacement {
  int64_t stages = 0, devices = 0;
};
std::optional<ListedPlacement> getListedPlacement(llvm::StringRef placement);

/// The placement as `readPlacement` reads it: "0,1,1,0".
std::string listPlacement(llvm::ArrayRef<int> placement);

/// Whether the name of a schedule is `block:FILE`, and the block in that file;
/// without one, nullopt and one line in `error`.
bool isBlockFile(llvm::StringRef schedule);
std::optional<schedule::PlacedBlock> readBlockFile(llvm::StringRef schedule,
                                                   std::string &error);

} // namespace weir

#endif // WEIR_ANALYSIS_PIPELINEPROBLEM_H
