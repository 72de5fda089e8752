//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/PassBuffers.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/Transforms/Passes.h"

#include <map>
#include <set>

namespace weir {
#define GEN_PASS_DEF_WEIRVERIFYPROGRAMS
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

/// What a value of a program is: a value of the pipeline for one microbatch, the
/// gradient of one use of a variable, or the count of the step.
struct Meaning {
  Value value;
  int64_t microbatch = -1;
  StringRef variable;
  int64_t use = -1;
  bool isCount = false;

  bool operator==(const Meaning &) const = default;
};

struct Queue {
  SmallVector<SendStartOp> sends;
  SmallVector<RecvStartOp> receives;
};

class Verifier {
public:
  explicit Verifier(PipelineOp pipeline)
      : pipeline(pipeline), stages(getStagePasses(pipeline)),
        programs(getPrograms(pipeline)) {}

  LogicalResult verify();

private:
  LogicalResult verifyDevices();
  LogicalResult matchQueues();
  LogicalResult verifyTokens(ProgramOp program);
  LogicalResult verifyProgress();
  LogicalResult verifyValues();
  LogicalResult verifyLoad(LoadOp load);
  LogicalResult verifySend(SendStartOp send);
  LogicalResult verifyRun(ProgramOp program, RunOp run);
  LogicalResult verifyUpdate(RunOp run);
  LogicalResult verifyComplete();
  LogicalResult verifyResidents(ProgramOp program);
  LogicalResult verifyPlan(ProgramOp program);

  UpdateOp findUpdate(StringRef variable);
  ArrayRef<PassBuffer> getBuffers(StagePassOpInterface pass);
  Meaning getMeaning(Value value);
  std::string describe(const Meaning &meaning);

  PipelineOp pipeline;
  SmallVector<StagePasses> stages;
  SmallVector<ProgramOp> programs;
  std::map<std::pair<int64_t, int64_t>, Queue> queues; // (from, to)
  std::map<int64_t, SendStartOp> sendOf; // by message
  std::map<int64_t, RecvStartOp> recvOf;
  /// Runs by stage, kind (never fused) and microbatch.
  std::map<std::tuple<int64_t, int, int64_t>, RunOp> runs;
  DenseMap<int64_t, RunOp> firstRunOfStage;
  DenseMap<Operation *, SmallVector<PassBuffer>> buffersOf; // by pass
  int64_t microbatches = 0;
};

struct VerifyPrograms : weir::impl::WeirVerifyProgramsBase<VerifyPrograms> {
  using WeirVerifyProgramsBase::WeirVerifyProgramsBase;

  void runOnOperation() override {
    for (auto pipeline : getOperation().getOps<PipelineOp>())
      if (failed(Verifier(pipeline).verify()))
        signalPassFailure();
  }
};

} // namespace

static int64_t deviceOf(Operation *op) {
  return op->getParentOfType<ProgramOp>().getDevice();
}

/// The kinds that a run stands for.
static SmallVector<PassKind, 2> kindsOf(PassKind kind) {
  if (kind == PassKind::Backward)
    return {PassKind::BackwardInput, PassKind::BackwardWeight};
  return {kind};
}

LogicalResult Verifier::verify() {
  if (programs.empty())
    return success();
  if (failed(verifyDevices()) || failed(matchQueues()))
    return failure();
  for (ProgramOp program : programs)
    if (failed(verifyTokens(program)))
      return failure();
  // Progress comes first: where messages wait for one another in a circle, their
  // values have no meaning.
  if (failed(verifyProgress()) || failed(verifyValues()) ||
      failed(verifyComplete()))
    return failure();
  for (ProgramOp program : programs)
    if (failed(verifyResidents(program)))
      return failure();
  for (ProgramOp program : programs)
    if (program.getArena() && failed(verifyPlan(program)))
      return failure();
  return success();
}

LogicalResult Verifier::verifyDevices() {
  microbatches = programs.front().getMicrobatches();
  for (auto [index, program] : llvm::enumerate(programs)) {
    if (program.getDevice() != index) {
      InFlightDiagnostic diag = program.emitError("is of device ")
                                << program.getDevice()
                                << ", but the devices must be 0 to "
                                << programs.size() - 1 << ", each once";
      if (index > 0)
        diag.attachNote(programs[index - 1].getLoc())
            << "device " << programs[index - 1].getDevice() << " is here";
      return diag;
    }
    if (int64_t(program.getMicrobatches()) != microbatches) {
      InFlightDiagnostic diag = program.emitError("runs ")
                                << program.getMicrobatches()
                                << " microbatches, device 0 runs "
                                << microbatches;
      diag.attachNote(programs.front().getLoc()) << "device 0 is here";
      return diag;
    }
  }
  return success();
}

/// Records the transfer under its message number; refuses a second one.
template <typename TransferOp>
static LogicalResult recordMessage(std::map<int64_t, TransferOp> &byNumber,
                                   TransferOp op) {
  auto [it, isNew] = byNumber.try_emplace(op.getMessage(), op);
  if (isNew)
    return success();
  InFlightDiagnostic diag = op.emitError("message ")
                            << op.getMessage() << " is used twice";
  diag.attachNote(it->second->getLoc()) << "first used here";
  return diag;
}

LogicalResult Verifier::matchQueues() {
  for (ProgramOp program : programs) {
    int64_t device = program.getDevice();
    for (Operation &op : program.getBody().front()) {
      int64_t peer = 0;
      std::optional<uint64_t> microbatch;
      if (auto send = dyn_cast<SendStartOp>(op)) {
        peer = send.getPeer();
        microbatch = send.getMicrobatch();
        queues[{device, peer}].sends.push_back(send);
        if (failed(recordMessage(sendOf, send)))
          return failure();
      } else if (auto receive = dyn_cast<RecvStartOp>(op)) {
        peer = receive.getPeer();
        microbatch = receive.getMicrobatch();
        queues[{peer, device}].receives.push_back(receive);
        if (failed(recordMessage(recvOf, receive)))
          return failure();
      } else {
        continue;
      }
      if (peer == device || peer < 0 || peer >= int64_t(programs.size()))
        return op.emitError("has no such peer: device ") << peer;
      if (microbatch && *microbatch >= uint64_t(microbatches))
        return op.emitError("is of microbatch ")
               << int64_t(*microbatch) << " of " << microbatches;
    }
  }
  for (auto &[key, queue] : queues) {
    size_t both = std::min(queue.sends.size(), queue.receives.size());
    for (size_t i = 0; i < both; ++i) {
      SendStartOp send = queue.sends[i];
      RecvStartOp receive = queue.receives[i];
      auto type = receive.getToken().getType().getTensor();
      if (send.getMessage() == receive.getMessage() &&
          send.getValue().getType() == type)
        continue;
      InFlightDiagnostic diag =
          receive.emitError("transfer ")
          << i << " from device " << key.first << " to device " << key.second
          << " is received as message " << receive.getMessage() << " of type "
          << type << " but sent as message " << send.getMessage() << " of type "
          << send.getValue().getType();
      diag.attachNote(send.getLoc()) << "sent here";
      return diag;
    }
    if (queue.sends.size() > both)
      return queue.sends[both].emitError("message ")
             << queue.sends[both].getMessage() << " is never received";
    if (queue.receives.size() > both)
      return queue.receives[both].emitError("message ")
             << queue.receives[both].getMessage() << " is never sent";
  }
  return success();
}

LogicalResult Verifier::verifyTokens(ProgramOp program) {
  for (Operation &op : program.getBody().front()) {
    if (!isa<SendStartOp, RecvStartOp>(op))
      continue;
    Value token = op.getResult(0);
    if (token.use_empty())
      return op.emitError("is never waited for");
    if (token.hasOneUse())
      continue;
    InFlightDiagnostic diag = op.emitError("is waited for more than once");
    for (Operation *user : token.getUsers())
      diag.attachNote(user->getLoc()) << "waited for here";
    return diag;
  }
  return success();
}

Meaning Verifier::getMeaning(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto wait = dyn_cast<WaitOp>(op)) {
    auto receive = wait.getToken().getDefiningOp<RecvStartOp>();
    return getMeaning(sendOf.at(receive.getMessage()).getValue());
  }
  if (auto resident = dyn_cast<ResidentOp>(op)) {
    if (resident.getKind() == ResidentKind::Gradient)
      return {Value(), -1, *resident.getVariable(),
              static_cast<int64_t>(*resident.getIndex())};
    Meaning meaning;
    meaning.isCount = resident.getKind() == ResidentKind::Count;
    return meaning;
  }
  if (auto load = dyn_cast<LoadOp>(op)) {
    for (auto [input, argument] :
         llvm::zip(pipeline.getInputs(), pipeline.getBody().getArguments()))
      if (cast<StringAttr>(input).getValue() == load.getInput())
        return {argument, static_cast<int64_t>(load.getMicrobatch())};
    return {};
  }
  auto run = cast<RunOp>(op);
  RunSignature signature =
      getRunSignature(stages[*run.getStage()], run.getPass());
  unsigned number = cast<OpResult>(value).getResultNumber();
  size_t outputs = signature.outputs.size();
  return {number < outputs ? signature.outputs[number]
                           : signature.between[number - outputs],
          static_cast<int64_t>(*run.getMicrobatch())};
}

std::string Verifier::describe(const Meaning &meaning) {
  if (meaning.isCount)
    return "the count";
  if (!meaning.variable.empty())
    return ("the gradient of use " + Twine(meaning.use) + " of @" +
            meaning.variable)
        .str();
  if (!meaning.value)
    return "something else";
  std::string mb = " of microbatch " + std::to_string(meaning.microbatch);
  if (auto argument = dyn_cast<BlockArgument>(meaning.value))
    return ("input " +
            cast<StringAttr>(pipeline.getInputs()[argument.getArgNumber()])
                .getValue() +
            mb)
        .str();
  auto result = cast<OpResult>(meaning.value);
  auto pass = cast<StagePassOpInterface>(result.getOwner());
  return ("result " + Twine(result.getResultNumber()) + " of " +
          stringifyPassKind(pass.getPassKind()) + " " +
          Twine(pass.getStageNumber()) + mb)
      .str();
}

LogicalResult Verifier::verifyRun(ProgramOp program, RunOp run) {
  int64_t stage = *run.getStage(), microbatch = *run.getMicrobatch();
  PassKind kind = run.getPass();
  if (stage < 0 || stage >= int64_t(stages.size()))
    return run.emitError("runs stage ") << stage << ", but the pipeline has "
                                        << stages.size() << " stages";
  if (microbatch < 0 || microbatch >= microbatches)
    return run.emitError("runs microbatch ")
           << microbatch << " of " << microbatches;
  auto [first, isFirst] = firstRunOfStage.try_emplace(stage, run);
  if (!isFirst && deviceOf(first->second) != int64_t(program.getDevice())) {
    InFlightDiagnostic diag = run.emitError("stage ")
                              << stage << " runs on two devices";
    diag.attachNote(first->second.getLoc()) << "it runs here too";
    return diag;
  }
  for (PassKind part : kindsOf(kind)) {
    if (!stages[stage].get(part))
      return run.emitError("stage ") << stage << " has no "
                                     << stringifyPassKind(part);
    auto [it, isNew] =
        runs.try_emplace({stage, static_cast<int>(part), microbatch}, run);
    if (!isNew) {
      InFlightDiagnostic diag = run.emitError()
                                << stringifyPassKind(part) << " " << stage
                                << " of microbatch " << microbatch
                                << " runs twice";
      diag.attachNote(it->second.getLoc()) << "it runs here too";
      return diag;
    }
    if (microbatch == 0 ||
        runs.count({stage, static_cast<int>(part), microbatch - 1}))
      continue;
    InFlightDiagnostic diag =
        run.emitError() << stringifyPassKind(part) << " " << stage
                        << " of microbatch " << microbatch
                        << " runs before that of microbatch " << microbatch - 1;
    for (auto other : program.getBody().getOps<RunOp>())
      if (other.getStage() == run.getStage() &&
          other.getMicrobatch() == uint64_t(microbatch - 1) &&
          llvm::is_contained(kindsOf(other.getPass()), part))
        diag.attachNote(other.getLoc()) << "which runs here";
    return diag;
  }
  RunSignature signature = getRunSignature(stages[stage], kind);
  auto typesOf = [](ArrayRef<Value> values) {
    return SmallVector<Type>(ValueRange(values).getTypes());
  };
  if (run.getInputs().size() != signature.operands.size() ||
      SmallVector<Type>(run.getOutputs().getTypes()) !=
          typesOf(signature.outputs) ||
      SmallVector<Type>(run.getBetween().getTypes()) !=
          typesOf(signature.between)) {
    InFlightDiagnostic diag =
        run.emitError("takes or gives other values than its pass");
    diag.attachNote(stages[stage].get(kindsOf(kind).front())->getLoc())
        << "the pass is here";
    return diag;
  }
  return success();
}

UpdateOp Verifier::findUpdate(StringRef variable) {
  for (auto update : pipeline.getBody().getOps<UpdateOp>())
    if (update.getVariable() == variable)
      return update;
  return {};
}

ArrayRef<PassBuffer> Verifier::getBuffers(StagePassOpInterface pass) {
  SmallVector<PassBuffer> &buffers = buffersOf[pass];
  if (buffers.empty())
    buffers = getPassBuffers(pass);
  return buffers;
}

LogicalResult Verifier::verifyLoad(LoadOp load) {
  Meaning meaning = getMeaning(load.getResult());
  if (!meaning.value)
    return load.emitError("loads \"")
           << load.getInput() << "\", but the pipeline has no such input";
  if (load.getType() != meaning.value.getType())
    return load.emitError("loads ")
           << load.getType() << ", but the input is "
           << meaning.value.getType();
  if (load.getMicrobatch() >= uint64_t(microbatches))
    return load.emitError("loads microbatch ")
           << meaning.microbatch << " of " << microbatches;
  return success();
}

LogicalResult Verifier::verifySend(SendStartOp send) {
  auto resident = send.getValue().getDefiningOp<ResidentOp>();
  if (!resident || resident.getKind() == ResidentKind::Gradient ||
      resident.getKind() == ResidentKind::Count)
    return success();
  InFlightDiagnostic diag =
      send.emitError("sends a resident that every device has for itself: ")
      << stringifyResidentKind(resident.getKind());
  diag.attachNote(resident.getLoc()) << "the resident is here";
  return diag;
}

LogicalResult Verifier::verifyUpdate(RunOp run) {
  StringRef variable = *run.getVariable();
  UpdateOp update = findUpdate(variable);
  if (!update)
    return run.emitError("the pipeline has no update of @") << variable;
  if (run.getInputs().size() != update.getUses() + 1)
    return run.emitError("needs the gradients of ")
           << update.getUses() << " uses and the count";
  for (auto [index, operand] : llvm::enumerate(run.getInputs())) {
    Meaning expected;
    if (index < update.getUses())
      expected = {Value(), -1, variable, static_cast<int64_t>(index)};
    else
      expected.isCount = true;
    if (getMeaning(operand) == expected)
      continue;
    InFlightDiagnostic diag = run.emitError("operand ")
                              << index << " must be " << describe(expected)
                              << ", but is " << describe(getMeaning(operand));
    diag.attachNote(operand.getLoc()) << "value produced here";
    return diag;
  }
  return success();
}

LogicalResult Verifier::verifyValues() {
  // Runs first: the meaning of a value may come from another program.
  for (ProgramOp program : programs)
    for (auto run : program.getBody().getOps<RunOp>())
      if (!run.getVariable() && failed(verifyRun(program, run)))
        return failure();
  for (ProgramOp program : programs) {
    for (auto load : program.getBody().getOps<LoadOp>())
      if (failed(verifyLoad(load)))
        return failure();
    for (auto send : program.getBody().getOps<SendStartOp>())
      if (failed(verifySend(send)))
        return failure();
  }
  for (ProgramOp program : programs)
    for (auto run : program.getBody().getOps<RunOp>()) {
      if (run.getVariable()) {
        if (failed(verifyUpdate(run)))
          return failure();
        continue;
      }
      RunSignature signature =
          getRunSignature(stages[*run.getStage()], run.getPass());
      for (auto [index, operand, value] :
           llvm::enumerate(run.getInputs(), signature.operands)) {
        Meaning expected{value, static_cast<int64_t>(*run.getMicrobatch())};
        Meaning actual = getMeaning(operand);
        if (actual == expected && operand.getType() == value.getType())
          continue;
        InFlightDiagnostic diag = run.emitError("operand ")
                                  << index << " must be " << describe(expected)
                                  << ", but is " << describe(actual);
        if (Operation *producer = operand.getDefiningOp())
          diag.attachNote(producer->getLoc()) << "value produced here";
        return diag;
      }
    }
  return success();
}

LogicalResult Verifier::verifyComplete() {
  for (auto [stage, passes] : llvm::enumerate(stages))
    for (PassKind kind : {PassKind::Forward, PassKind::BackwardInput,
                          PassKind::BackwardWeight}) {
      StagePassOpInterface pass = passes.get(kind);
      if (!pass)
        continue;
      for (int64_t m = 0; m < microbatches; ++m) {
        if (runs.count({int64_t(stage), static_cast<int>(kind), m}))
          continue;
        InFlightDiagnostic diag = pass->emitError()
                                  << stringifyPassKind(kind) << " " << stage
                                  << " of microbatch " << m
                                  << " is run by no program";
        diag.attachNote(programs.front().getLoc())
            << "the first of " << programs.size() << " programs is here";
        return diag;
      }
    }
  return success();
}

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

LogicalResult Verifier::verifyResidents(ProgramOp program) {
  std::map<std::tuple<ResidentKind, StringRef, int64_t>, ResidentOp> residents;
  for (auto resident : program.getBody().getOps<ResidentOp>()) {
    auto [it, isNew] = residents.try_emplace(
        {resident.getKind(), resident.getVariable().value_or(""),
         resident.getIndex().value_or(0)},
        resident);
    if (isNew)
      continue;
    InFlightDiagnostic diag = resident.emitError("is there twice");
    diag.attachNote(it->second.getLoc()) << "first here";
    return diag;
  }
  auto require = [&](RunOp run, ResidentKind kind, StringRef variable,
                     int64_t index) -> FailureOr<ResidentOp> {
    auto it = residents.find({kind, variable, index});
    if (it != residents.end())
      return it->second;
    return run.emitError("needs a resident ")
           << nameResident(kind, variable, index)
           << ", which the program lacks";
  };

  // From `settled` on nothing may be added to an accumulator, because it is sent
  // or an update takes it, and no pass may read a parameter, because it is the
  // next step's.
  DenseMap<Operation *, Operation *> settled;
  DenseSet<Operation *> gathered;
  llvm::StringMap<RunOp> updated;
  auto settle = [&](Value value, Operation *by) {
    if (auto resident = value.getDefiningOp<ResidentOp>())
      settled.try_emplace(resident, by);
  };
  auto visitPass = [&](RunOp run, StagePassOpInterface pass) -> LogicalResult {
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
          tooEarly->emitError("comes before a pass that ")
          << (isRead ? "reads " : "adds to ")
          << nameResident(*kind, buffer.variable, buffer.index);
      diag.attachNote(run.getLoc()) << "the pass runs here";
      return diag;
    }
    return success();
  };
  auto visitUpdate = [&](RunOp run) -> LogicalResult {
    StringRef variable = *run.getVariable();
    auto [it, isNew] = updated.try_emplace(variable, run);
    if (!isNew) {
      InFlightDiagnostic diag = run.emitError("@")
                                << variable << " is updated twice";
      diag.attachNote(it->second.getLoc()) << "it is updated here too";
      return diag;
    }
    for (const PassBuffer &buffer : getBuffers(findUpdate(variable))) {
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
  };
  for (Operation &op : program.getBody().front()) {
    if (auto send = dyn_cast<SendStartOp>(op))
      settle(send.getValue(), send);
    auto run = dyn_cast<RunOp>(op);
    if (!run)
      continue;
    if (run.getVariable()) {
      if (failed(visitUpdate(run)))
        return failure();
      continue;
    }
    for (PassKind kind : kindsOf(run.getPass()))
      if (failed(visitPass(run, stages[*run.getStage()].get(kind))))
        return failure();
  }

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
    if (kind == ResidentKind::Parameter && findUpdate(variable) &&
        !updated.contains(variable))
      return program.emitError("holds @")
             << variable << " but does not update it";
  }
  return success();
}

LogicalResult Verifier::verifyProgress() {
  // Transfers wait for both their sides, everything else for nothing but the
  // program's own order, so whichever order the devices are advanced in, they
  // stop at the same place.
  SmallVector<Block::iterator> at, end;
  for (ProgramOp program : programs) {
    at.push_back(program.getBody().front().begin());
    end.push_back(program.getBody().front().end());
  }
  std::set<int64_t> sendStarted, recvStarted;
  auto messageOf = [](WaitOp wait) -> int64_t {
    Operation *start = wait.getToken().getDefiningOp();
    if (auto send = dyn_cast<SendStartOp>(start))
      return send.getMessage();
    return cast<RecvStartOp>(start).getMessage();
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t device = 0; device < programs.size(); ++device)
      for (; at[device] != end[device]; ++at[device], moved = true) {
        Operation &op = *at[device];
        if (auto send = dyn_cast<SendStartOp>(op))
          sendStarted.insert(send.getMessage());
        else if (auto receive = dyn_cast<RecvStartOp>(op))
          recvStarted.insert(receive.getMessage());
        else if (auto wait = dyn_cast<WaitOp>(op))
          if (int64_t message = messageOf(wait);
              !sendStarted.count(message) || !recvStarted.count(message))
            break;
      }
  }
  for (size_t device = 0; device < programs.size(); ++device) {
    if (at[device] == end[device])
      continue;
    auto wait = cast<WaitOp>(*at[device]);
    int64_t message = messageOf(wait);
    bool isSend = isa<SendingType>(wait.getToken().getType());
    Operation *other = isSend ? recvOf.at(message).getOperation()
                              : sendOf.at(message).getOperation();
    int64_t peer = deviceOf(other);
    InFlightDiagnostic diag =
        wait.emitError("deadlock: device ")
        << device << " waits here for message " << message
        << (isSend ? " to device " : " from device ") << peer;
    diag.attachNote(other->getLoc())
        << "which device " << peer << (isSend ? " receives" : " sends")
        << " only here";
    if (at[peer] != end[peer])
      diag.attachNote(at[peer]->getLoc())
          << "after device " << peer << " has waited here";
    return diag;
  }
  return success();
}

LogicalResult Verifier::verifyPlan(ProgramOp program) {
  int64_t arena = *program.getArena();
  if (program.getLimit() && arena > int64_t(*program.getLimit()))
    return program.emitError("device ")
           << program.getDevice() << " needs " << arena
           << " bytes, but the memory limit is " << *program.getLimit();
  SmallVector<LiveBuffer> buffers = getLiveBuffers(program);
  for (const LiveBuffer &buffer : buffers) {
    std::optional<int64_t> offset = buffer.getOffset();
    if (!offset)
      return buffer.maker->emitError("has no offset for ")
             << (buffer.isScratch() ? std::string("its workspace")
                                    : "result " + std::to_string(buffer.slot));
    if (*offset % bufferAlignment != 0)
      return buffer.maker->emitError("offset ")
             << *offset << " is not a multiple of " << bufferAlignment;
    if (*offset < 0 || *offset > arena - buffer.bytes)
      return buffer.maker->emitError() << buffer.bytes << " bytes at " << *offset
                                       << " are outside the arena of " << arena
                                       << " bytes";
  }
  // Sweep over the places; what lives is kept by offset, so that only neighbours
  // can overlap.
  SmallVector<const LiveBuffer *> byBegin, byEnd;
  for (const LiveBuffer &buffer : buffers)
    if (buffer.bytes > 0)
      byBegin.push_back(&buffer);
  byEnd = byBegin;
  llvm::stable_sort(byBegin, [](auto *a, auto *b) { return a->begin < b->begin; });
  llvm::stable_sort(byEnd, [](auto *a, auto *b) { return a->end < b->end; });
  std::map<int64_t, const LiveBuffer *> live;
  auto nextEnd = byEnd.begin();
  for (const LiveBuffer *buffer : byBegin) {
    for (; nextEnd != byEnd.end() && (*nextEnd)->end < buffer->begin; ++nextEnd)
      live.erase(*(*nextEnd)->getOffset());
    int64_t offset = *buffer->getOffset();
    auto next = live.lower_bound(offset);
    const LiveBuffer *other = nullptr;
    if (next != live.end() && next->first < offset + buffer->bytes)
      other = next->second;
    else if (next != live.begin() &&
             std::prev(next)->first + std::prev(next)->second->bytes > offset)
      other = std::prev(next)->second;
    if (other) {
      InFlightDiagnostic diag =
          buffer->maker->emitError("bytes ")
          << offset << " to " << offset + buffer->bytes << " of device "
          << program.getDevice()
          << " are still in use: a buffer that lives here holds "
          << *other->getOffset() << " to "
          << *other->getOffset() + other->bytes;
      diag.attachNote(other->maker->getLoc()) << "made here";
      return diag;
    }
    live[offset] = buffer;
  }
  return success();
}
