//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/ProgramLiveness.h"

#include "weir/Analysis/PipelineProblem.h"

#include "mlir/IR/BuiltinOps.h"

using namespace mlir;
using namespace weir;

PipelineOp weir::getPipeline(ProgramOp program) {
  return SymbolTable::lookupNearestSymbolFrom<PipelineOp>(
      program, program.getPipelineAttr());
}

SmallVector<ProgramOp> weir::getPrograms(PipelineOp pipeline) {
  SmallVector<ProgramOp> programs;
  for (auto program : pipeline->getParentOfType<ModuleOp>().getOps<ProgramOp>())
    if (program.getPipeline() == pipeline.getSymName())
      programs.push_back(program);
  llvm::sort(programs, [](ProgramOp a, ProgramOp b) {
    return a.getDevice() < b.getDevice();
  });
  return programs;
}

std::vector<int> weir::getPlacement(PipelineOp pipeline,
                                    ArrayRef<ProgramOp> programs) {
  std::vector<int> placement(pipeline.getStages(), -1);
  for (ProgramOp program : programs)
    for (auto run : program.getBody().getOps<RunOp>())
      if (run.getStage() && *run.getStage() < placement.size())
        placement[*run.getStage()] = program.getDevice();
  return placement;
}

schedule::Schedule weir::getOrder(ArrayRef<ProgramOp> programs) {
  schedule::Schedule order;
  for (ProgramOp program : programs) {
    if (order.name.empty())
      order.name = program.getSchedule().value_or("given").str();
    std::vector<schedule::Pass> &passes = order.order.emplace_back();
    for (auto run : program.getBody().getOps<RunOp>())
      if (run.getStage())
        passes.push_back({toSchedule(run.getPass()),
                          static_cast<int>(*run.getStage()),
                          static_cast<int>(*run.getMicrobatch())});
  }
  return order;
}

/// The offsets attribute of an op that makes buffers.
static DenseI64ArrayAttr getOffsets(Operation *op) {
  return op->getAttrOfType<DenseI64ArrayAttr>("offsets");
}

std::optional<int64_t> LiveBuffer::getOffset() const {
  if (isScratch()) {
    auto scratch = maker->getAttrOfType<IntegerAttr>("scratch");
    return scratch ? std::optional<int64_t>(scratch.getInt()) : std::nullopt;
  }
  DenseI64ArrayAttr offsets = getOffsets(maker);
  if (!offsets || slot >= offsets.size())
    return std::nullopt;
  return offsets[slot];
}

std::optional<int64_t> weir::getOffset(Value value) {
  if (auto wait = value.getDefiningOp<WaitOp>())
    value = wait.getToken();
  auto result = dyn_cast<OpResult>(value);
  DenseI64ArrayAttr offsets =
      result ? getOffsets(result.getOwner()) : DenseI64ArrayAttr();
  if (!offsets || result.getResultNumber() >= offsets.size())
    return std::nullopt;
  return offsets[result.getResultNumber()];
}

SmallVector<LiveBuffer> weir::getLiveBuffers(ProgramOp program) {
  Block &body = program.getBody().front();
  DenseMap<Operation *, int64_t> placeOf;
  int64_t place = 0;
  for (Operation &op : body)
    placeOf[&op] = place++;
  int64_t last = place - 1;

  PipelineOp pipeline = getPipeline(program);
  SmallVector<StagePasses> stages;
  llvm::StringMap<int64_t> updateWorkspace;
  if (pipeline) {
    stages = getStagePasses(pipeline);
    for (auto update : pipeline.getBody().getOps<UpdateOp>())
      updateWorkspace[update.getVariable()] = update.getWorkspaceBytes();
  }
  auto getScratchBytes = [&](RunOp run) -> int64_t {
    if (run.getVariable())
      return updateWorkspace.lookup(*run.getVariable());
    if (*run.getStage() >= stages.size())
      return 0;
    StagePasses &passes = stages[*run.getStage()];
    auto bytes = [](StagePassOpInterface pass) {
      return pass ? pass.getWorkspaceBytes() : 0;
    };
    // A fused backward runs one pass after the other on the same scratch.
    if (run.getPass() == PassKind::Backward)
      return std::max(bytes(passes.backwardInput),
                      bytes(passes.backwardWeight));
    return bytes(passes.get(run.getPass()));
  };

  SmallVector<LiveBuffer> buffers;
  auto add = [&](Operation *maker, int64_t slot, Value value, int64_t bytes) {
    LiveBuffer buffer{maker,          slot,           bytes,
                      placeOf[maker], placeOf[maker], placeOf[maker],
                      placeOf[maker]};
    if (isa<ResidentOp>(maker)) {
      buffer.begin = buffer.ready = 0;
      buffer.lastRead = buffer.end = last;
      buffers.push_back(buffer);
      return;
    }
    auto visit = [&](Value value) {
      for (Operation *user : value.getUsers()) {
        auto send = dyn_cast<SendStartOp>(user);
        if (!send) {
          buffer.lastRead = std::max(buffer.lastRead, placeOf[user]);
          continue;
        }
        buffer.end = std::max(buffer.end, placeOf[user]);
        for (Operation *wait : send.getToken().getUsers())
          buffer.end = std::max(buffer.end, placeOf[wait]);
      }
    };
    visit(value);
    if (isa<RecvStartOp>(maker))
      for (Operation *user : value.getUsers())
        if (auto wait = dyn_cast<WaitOp>(user)) {
          buffer.ready = placeOf[user];
          if (wait.getResult())
            visit(wait.getResult());
        }
    buffer.end = std::max(buffer.end, buffer.lastRead);
    buffers.push_back(buffer);
  };
  for (Operation &op : body) {
    if (auto receive = dyn_cast<RecvStartOp>(op)) {
      add(&op, 0, receive.getToken(),
          getTensorBytes(receive.getToken().getType().getTensor()));
    } else if (isa<ResidentOp, LoadOp, RunOp>(op)) {
      for (OpResult result : op.getResults())
        add(&op, result.getResultNumber(), result,
            getValueBytes(result.getType()));
      if (auto run = dyn_cast<RunOp>(op))
        if (int64_t bytes = getScratchBytes(run)) {
          int64_t at = placeOf[&op];
          buffers.push_back({&op, -1, bytes, at, at, at, at});
        }
    }
  }
  return buffers;
}

int64_t weir::getUsedBytes(ProgramOp program) {
  int64_t end = 0;
  for (const LiveBuffer &buffer : getLiveBuffers(program))
    end = std::max(end, buffer.getOffset().value_or(0) + buffer.bytes);
  return alignBuffer(end);
}

MemoryPeaks weir::getMemoryPeaks(ProgramOp program) {
  MemoryPeaks peaks;
  int64_t places = program.getBody().front().getOperations().size();
  // Differences at the places where a kind grows or shrinks.
  SmallVector<int64_t> activations(places + 1), workspace(places + 1),
      transfers(places + 1);
  auto hold = [](SmallVectorImpl<int64_t> &kind, int64_t begin, int64_t end,
                 int64_t bytes) {
    if (begin > end)
      return;
    kind[begin] += bytes;
    kind[end + 1] -= bytes;
  };
  int64_t resident = 0;
  for (const LiveBuffer &buffer : getLiveBuffers(program)) {
    int64_t bytes = alignBuffer(buffer.bytes);
    if (auto op = dyn_cast<ResidentOp>(buffer.maker)) {
      resident += bytes;
      (op.getKind() == ResidentKind::Parameter  ? peaks.parameters
       : op.getKind() == ResidentKind::Gradient ? peaks.gradients
       : op.getKind() == ResidentKind::State    ? peaks.states
                                                : peaks.scalars) += bytes;
    } else if (buffer.isScratch()) {
      hold(workspace, buffer.begin, buffer.end, bytes);
    } else {
      hold(transfers, buffer.begin, buffer.ready - 1, bytes);
      int64_t read = std::max(buffer.ready, buffer.lastRead);
      hold(activations, buffer.ready, read, bytes);
      hold(transfers, read + 1, buffer.end, bytes);
    }
  }
  int64_t a = 0, w = 0, t = 0;
  for (int64_t place = 0; place < places; ++place) {
    a += activations[place];
    w += workspace[place];
    t += transfers[place];
    peaks.activations = std::max(peaks.activations, a);
    peaks.workspace = std::max(peaks.workspace, w);
    peaks.transfers = std::max(peaks.transfers, t);
    peaks.total = std::max(peaks.total, resident + a + w + t);
  }
  return peaks;
}
