//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/ArenaPlan.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/IR/Remarks.h"
#include "llvm/Support/Format.h"

namespace weir {
#define GEN_PASS_DEF_WEIRPLANMEMORY
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct PlanMemory : weir::impl::WeirPlanMemoryBase<PlanMemory> {
  using WeirPlanMemoryBase::WeirPlanMemoryBase;

  void runOnOperation() override {
    if (getOperation().getOps<ProgramOp>().empty()) {
      getOperation().emitError(
          "no weir.program to plan; run weir-schedule first");
      return signalPassFailure();
    }
    // Every program is planned before one is refused, so that the error can say
    // what limit would do.
    int64_t least = 0;
    ProgramOp refused;
    for (auto program : getOperation().getOps<ProgramOp>()) {
      plan(program);
      remarkOn(program);
      int64_t arena = *program.getArena();
      least = std::max(least, arena);
      if (program.getLimit() && arena > int64_t(*program.getLimit()) &&
          !refused)
        refused = program;
    }
    if (!refused)
      return;
    refused.emitError("device ")
        << refused.getDevice() << " needs " << *refused.getArena()
        << " bytes, but the memory limit is " << *refused.getLimit()
        << "; the smallest limit that this cut and schedule can meet is "
        << least;
    signalPassFailure();
  }

  void plan(ProgramOp program);
  void remarkOn(ProgramOp program);
};

} // namespace

void PlanMemory::plan(ProgramOp program) {
  Builder builder(&getContext());
  ArenaPlan arena = planArena(program);
  DenseMap<Operation *, SmallVector<int64_t>> offsets;
  for (auto [buffer, offset] : llvm::zip(arena.buffers, arena.offsets)) {
    if (buffer.isScratch()) {
      cast<RunOp>(buffer.maker).setScratch(offset);
      continue;
    }
    SmallVector<int64_t> &list = offsets[buffer.maker];
    list.resize(std::max<size_t>(list.size(), buffer.slot + 1));
    list[buffer.slot] = offset;
  }
  for (auto &[op, list] : offsets)
    op->setAttr("offsets", builder.getDenseI64ArrayAttr(list));
  program.setArena(arena.bytes);
}

void PlanMemory::remarkOn(ProgramOp program) {
  if (!getContext().getRemarkEngine())
    return;
  MemoryPeaks peaks = getMemoryPeaks(program);
  int64_t arena = *program.getArena(), gaps = arena - peaks.total;
  // In one piece: a remark does not keep the order of its arguments.
  std::string text;
  llvm::raw_string_ostream(text)
      << "arena of device " << program.getDevice() << ": " << arena
      << " bytes, of which " << gaps << " ("
      << llvm::format("%.2f", arena ? 100.0 * gaps / arena : 0.0)
      << " %) are gaps when most is in use; parameters " << peaks.parameters
      << ", gradients " << peaks.gradients << ", optimizer states "
      << peaks.states << "; at most, each at its own time: activations "
      << peaks.activations << ", workspace " << peaks.workspace
      << ", transfers " << peaks.transfers;
  remark::analysis(program.getLoc(), remark::RemarkOpts::name("arena").category(
                                         "weir-plan-memory"))
      << text;
}
