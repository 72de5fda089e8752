//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyPrograms.h"

#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/Transforms/Passes.h"

namespace weir {
#define GEN_PASS_DEF_WEIRVERIFYPROGRAMS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

UpdateOp ProgramsOfPipeline::findUpdate(StringRef variable) const {
  for (auto update : PipelineOp(pipeline).getBody().getOps<UpdateOp>())
    if (update.getVariable() == variable)
      return update;
  return {};
}

SmallVector<PassKind, 2> weir::getRunKinds(PassKind kind) {
  if (kind == PassKind::Backward)
    return {PassKind::BackwardInput, PassKind::BackwardWeight};
  return {kind};
}

/// The programs are of devices 0, 1, ..., with the same number of microbatches.
static LogicalResult verifyDevices(MutableArrayRef<ProgramOp> programs) {
  int64_t microbatches = programs.front().getMicrobatches();
  for (auto [index, program] : llvm::enumerate(programs)) {
    if (program.getDevice() != index) {
      InFlightDiagnostic diag = program.emitOpError("is of device ")
                                << program.getDevice()
                                << ", but the devices must be 0 to "
                                << programs.size() - 1 << ", each once";
      if (index > 0)
        diag.attachNote(programs[index - 1].getLoc())
            << "device " << programs[index - 1].getDevice() << " is here";
      return diag;
    }
    if (int64_t(program.getMicrobatches()) != microbatches) {
      InFlightDiagnostic diag = program.emitOpError("runs ")
                                << program.getMicrobatches()
                                << " microbatches, device 0 runs "
                                << microbatches;
      diag.attachNote(programs.front().getLoc()) << "device 0 is here";
      return diag;
    }
  }
  return success();
}

static LogicalResult verifyPrograms(PipelineOp pipeline) {
  ProgramsOfPipeline all{pipeline, getStagePasses(pipeline),
                         getPrograms(pipeline), 0};
  if (all.programs.empty())
    return success();
  all.microbatches = all.programs.front().getMicrobatches();
  if (failed(verifyDevices(all.programs)) || failed(verifyQueues(all)))
    return failure();
  // Progress comes first: where messages wait for one another in a circle,
  // their values have no meaning.
  HappensBefore order(all.programs);
  if (failed(verifyProgress(order)) || failed(verifyValues(all, order)))
    return failure();
  for (ProgramOp program : all.programs)
    if (failed(verifyResidents(all, program)))
      return failure();
  for (ProgramOp program : all.programs)
    if (program.getArena() && failed(verifyArena(all, program, order)))
      return failure();
  return success();
}

namespace {

struct VerifyPrograms : weir::impl::WeirVerifyProgramsBase<VerifyPrograms> {
  using WeirVerifyProgramsBase::WeirVerifyProgramsBase;

  void runOnOperation() override {
    if (getOperation().getOps<ProgramOp>().empty()) {
      getOperation().emitError(
          "no weir.program to verify; run weir-schedule first");
      return signalPassFailure();
    }
    for (auto pipeline : getOperation().getOps<PipelineOp>())
      if (failed(verifyPrograms(pipeline)))
        signalPassFailure();
  }
};

} // namespace
