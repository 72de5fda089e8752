//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyPrograms.h"

#include "weir/Analysis/PassBuffers.h"

#include <map>

using namespace mlir;
using namespace weir;

namespace {

class ResidentVerifier {
public:
  ResidentVerifier(const ProgramsOfPipeline &all, ProgramOp program)
      : all(all), pipeline(all.pipeline), program(program) {}

  LogicalResult verify();

private:
  LogicalResult collect();
  LogicalResult visitPass(RunOp run, StagePassOpInterface pass);
  LogicalResult visitUpdate(RunOp run);
  LogicalResult visitAction(Operation *op);
  LogicalResult verifyUsed();
  FailureOr<ResidentOp> require(RunOp run, ResidentKind kind,
                                StringRef variable, int64_t index);
  void settle(Value value, Operation *by);
  ArrayRef<PassBuffer> getBuffers(StagePassOpInterface pass);

  const ProgramsOfPipeline &all;
  PipelineOp pipeline;
  ProgramOp program;
  std::map<std::tuple<ResidentKind, StringRef, int64_t>, ResidentOp> residents;
  DenseMap<Operation *, SmallVector<PassBuffer>> buffersOf; // by pass

  /// By resident, from where on nothing may be added to an accumulator, because
  /// it is sent or an update takes it, and no pass may read a parameter,
  /// because it is the next step's.
  DenseMap<Operation *, Operation *> settled;
  DenseSet<Operation *> gathered; // residents that a pass adds to
  llvm::StringMap<RunOp> updated; // by variable
};

} // namespace

/// "gradient @w 0", "count".
static std::string nameResident(ResidentKind kind, StringRef variable,
                                int64_t index) {
  std::string name = stringifyResidentKind(kind).str();
  if (!variable.empty())
    name += (" @" + variable).str();
  if (kind == ResidentKind::Gradient || kind == ResidentKind::State)
    name += " " + std::to_string(index);
  return name;
}

ArrayRef<PassBuffer> ResidentVerifier::getBuffers(StagePassOpInterface pass) {
  SmallVector<PassBuffer> &buffers = buffersOf[pass];
  if (buffers.empty())
    buffers = getPassBuffers(pass);
  return buffers;
}

LogicalResult ResidentVerifier::collect() {
  for (auto resident : program.getBody().getOps<ResidentOp>()) {
    auto [it, isNew] = residents.try_emplace(
        {resident.getKind(), resident.getVariable().value_or(""),
         resident.getIndex().value_or(0)},
        resident);
    if (isNew)
      continue;
    InFlightDiagnostic diag = resident.emitOpError("is there twice");
    diag.attachNote(it->second.getLoc()) << "first here";
    return diag;
  }
  return success();
}

FailureOr<ResidentOp> ResidentVerifier::require(RunOp run, ResidentKind kind,
                                                StringRef variable,
                                                int64_t index) {
  auto it = residents.find({kind, variable, index});
  if (it != residents.end())
    return it->second;
  return run.emitOpError("needs a resident ")
         << nameResident(kind, variable, index) << ", which the program lacks";
}

void ResidentVerifier::settle(Value value, Operation *by) {
  if (auto resident = value.getDefiningOp<ResidentOp>())
    settled.try_emplace(resident, by);
}

LogicalResult ResidentVerifier::visitPass(RunOp run,
                                          StagePassOpInterface pass) {
  for (const PassBuffer &buffer : getBuffers(pass)) {
    std::optional<ResidentKind> kind = buffer.getResidentKind();
    if (!kind)
      continue;
    FailureOr<ResidentOp> resident =
        require(run, *kind, buffer.variable, buffer.index);
    if (failed(resident))
      return failure();
    bool isRead = *kind == ResidentKind::Parameter;
    if (!isRead)
      gathered.insert(*resident);
    // Who gathers for a variable updates it.
    if (*kind == ResidentKind::Gradient &&
        failed(require(run, ResidentKind::Parameter, buffer.variable, 0)))
      return failure();
    Operation *tooEarly = settled.lookup(*resident);
    if (!tooEarly)
      continue;
    InFlightDiagnostic diag =
        tooEarly->emitOpError("comes before a pass that ")
        << (isRead ? "reads " : "adds to ")
        << nameResident(*kind, buffer.variable, buffer.index);
    diag.attachNote(run.getLoc()) << "the pass runs here";
    return diag;
  }
  return success();
}

LogicalResult ResidentVerifier::visitUpdate(RunOp run) {
  StringRef variable = *run.getVariable();
  auto [it, isNew] = updated.try_emplace(variable, run);
  if (!isNew) {
    InFlightDiagnostic diag = run.emitError("@")
                              << variable << " is updated twice";
    diag.attachNote(it->second.getLoc()) << "it is updated here too";
    return diag;
  }
  for (const PassBuffer &buffer : getBuffers(all.findUpdate(variable))) {
    // Gradients and the count are operands.
    std::optional<ResidentKind> kind = buffer.getResidentKind();
    if (!kind || *kind == ResidentKind::Gradient ||
        *kind == ResidentKind::Count)
      continue;
    FailureOr<ResidentOp> resident =
        require(run, *kind, buffer.variable, buffer.index);
    if (failed(resident))
      return failure();
    if (*kind == ResidentKind::Parameter)
      settle(resident->getResult(), run);
  }
  for (Value operand : run.getInputs())
    settle(operand, run);
  return success();
}

LogicalResult ResidentVerifier::visitAction(Operation *op) {
  if (auto send = dyn_cast<SendStartOp>(op))
    settle(send.getValue(), send);
  auto run = dyn_cast<RunOp>(op);
  if (!run)
    return success();
  if (run.getVariable())
    return visitUpdate(run);
  for (PassKind kind : getRunKinds(run.getPass()))
    if (failed(visitPass(run, all.stages[*run.getStage()].get(kind))))
      return failure();
  return success();
}

/// Checks that what is held is of use: gathered, and updated.
LogicalResult ResidentVerifier::verifyUsed() {
  bool isReported =
      pipeline.walk([](ReportOp) { return WalkResult::interrupt(); })
          .wasInterrupted();
  for (auto &[key, resident] : residents) {
    auto [kind, variable, index] = key;
    bool needsPass = kind == ResidentKind::Gradient ||
                     (isReported && (kind == ResidentKind::Loss ||
                                     kind == ResidentKind::Count));
    if (needsPass && !gathered.contains(resident))
      return resident.emitError("no pass of device ")
             << program.getDevice() << " adds to "
             << nameResident(kind, variable, index);
    if (kind == ResidentKind::Parameter && all.findUpdate(variable) &&
        !updated.contains(variable))
      return program.emitOpError("holds @")
             << variable << " but does not update it";
  }
  return success();
}

LogicalResult ResidentVerifier::verify() {
  if (failed(collect()))
    return failure();
  for (Operation &op : program.getBody().front())
    if (failed(visitAction(&op)))
      return failure();
  return verifyUsed();
}

LogicalResult weir::verifyResidents(const ProgramsOfPipeline &all,
                                    ProgramOp program) {
  return ResidentVerifier(all, program).verify();
}
