//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProgramInterpreter.h"

#include "weir/Analysis/PassBuffers.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"

#include "llvm/ADT/Hashing.h"

#include <random>

using namespace mlir;
using namespace weir;

namespace {

constexpr int64_t wordBytes = 4;

struct Range {
  int64_t begin, words;
};

/// A send and a receive that meet.
struct Transfer {
  int from, to;
  Range source, target;
  bool sendStarted = false, receiveStarted = false, isDone = false;
  bool isReady() const { return sendStarted && receiveStarted && !isDone; }
};

struct Device {
  std::vector<uint64_t> words;
  Block::iterator at, end;
  std::map<std::string, Range> residents;
};

class Interpreter {
public:
  Interpreter(ArrayRef<ProgramOp> programs, Speed speed, uint64_t seed);

  std::optional<Outcome> run();

private:
  void meet(ArrayRef<ProgramOp> programs);
  bool step(int number);
  void move(Transfer &transfer);
  void runPass(Device &device, RunOp run);
  Range getRange(Value value);
  uint64_t read(const Device &device, Range range);
  void write(Device &device, Range range, uint64_t tag);
  uint64_t mix(uint64_t a, uint64_t b) { return llvm::hash_combine(a, b); }

  Speed speed;
  std::mt19937_64 random;
  PipelineOp pipeline;
  SmallVector<StagePasses> stages;
  std::vector<Device> devices;
  std::vector<Transfer> transfers;
  DenseMap<Operation *, size_t> transferOf; // by start
};

} // namespace

static std::string getName(ResidentKind kind, StringRef variable,
                           int64_t index) {
  return (stringifyResidentKind(kind) + variable + Twine(index)).str();
}

static uint64_t hashText(StringRef text) { return llvm::hash_value(text); }

Interpreter::Interpreter(ArrayRef<ProgramOp> programs, Speed speed,
                         uint64_t seed)
    : speed(speed), random(seed),
      pipeline(getPipeline(ProgramOp(programs.front()))),
      stages(getStagePasses(pipeline)) {
  for (ProgramOp program : programs) {
    Device &device = devices.emplace_back();
    device.words.resize(*program.getArena() / wordBytes);
    for (uint64_t &word : device.words)
      word = random();
    Block &body = program.getBody().front();
    device.at = body.begin();
    device.end = body.end();
    for (auto resident : program.getBody().getOps<ResidentOp>()) {
      ResidentKind kind = resident.getKind();
      std::string name = getName(kind, resident.getVariable().value_or(""),
                                 resident.getIndex().value_or(0));
      Range range = getRange(resident.getResult());
      device.residents[name] = range;
      bool isCleared = kind == ResidentKind::Gradient ||
                       kind == ResidentKind::Loss ||
                       kind == ResidentKind::Count;
      write(device, range, isCleared ? 0 : hashText(name));
    }
  }
  meet(programs);
}

/// Pairs sends with receives by their places in the queues.
void Interpreter::meet(ArrayRef<ProgramOp> programs) {
  std::map<std::pair<int, int>, std::vector<size_t>> open;
  for (ProgramOp program : programs)
    for (auto send : program.getBody().getOps<SendStartOp>()) {
      int from = program.getDevice(), to = send.getPeer();
      open[{from, to}].push_back(transfers.size());
      transferOf[send] = transfers.size();
      transfers.push_back({from, to, getRange(send.getValue()), {0, 0}});
    }
  std::map<std::pair<int, int>, size_t> next;
  for (ProgramOp program : programs)
    for (auto receive : program.getBody().getOps<RecvStartOp>()) {
      std::pair<int, int> pair(receive.getPeer(), program.getDevice());
      size_t transfer = open[pair].at(next[pair]++);
      transferOf[receive] = transfer;
      transfers[transfer].target = getRange(receive.getToken());
    }
}

Range Interpreter::getRange(Value value) {
  if (auto wait = value.getDefiningOp<WaitOp>())
    value = wait.getToken();
  auto receiving = dyn_cast<ReceivingType>(value.getType());
  int64_t bytes =
      getValueBytes(receiving ? Type(receiving.getTensor()) : value.getType());
  return {*getOffset(value) / wordBytes, bytes / wordBytes};
}

uint64_t Interpreter::read(const Device &device, Range range) {
  uint64_t tag = 1;
  for (int64_t i = 0; i < range.words; ++i)
    tag = mix(tag, device.words.at(range.begin + i));
  return tag;
}

void Interpreter::write(Device &device, Range range, uint64_t tag) {
  for (int64_t i = 0; i < range.words; ++i)
    device.words.at(range.begin + i) = tag ? mix(tag, i) : 0;
}

void Interpreter::move(Transfer &transfer) {
  Device &from = devices[transfer.from], &to = devices[transfer.to];
  for (int64_t i = 0; i < transfer.target.words; ++i)
    to.words.at(transfer.target.begin + i) =
        from.words.at(transfer.source.begin + i);
  transfer.isDone = true;
}

void Interpreter::runPass(Device &device, RunOp run) {
  auto spoil = [&](Range range) {
    for (int64_t i = 0; i < range.words; ++i)
      device.words.at(range.begin + i) = random();
  };
  SmallVector<StagePassOpInterface> passes;
  if (run.getVariable()) {
    for (auto update : pipeline.getBody().getOps<UpdateOp>())
      if (update.getVariable() == *run.getVariable())
        passes.push_back(update);
  } else if (run.getPass() == PassKind::Backward) {
    passes = {stages[*run.getStage()].backwardInput,
              stages[*run.getStage()].backwardWeight};
  } else {
    passes = {stages[*run.getStage()].get(run.getPass())};
  }
  Range scratch{0, 0};
  for (StagePassOpInterface pass : passes)
    if (int64_t bytes = pass.getWorkspaceBytes())
      scratch = {static_cast<int64_t>(*run.getScratch()) / wordBytes,
                 std::max(scratch.words, bytes / wordBytes)};
  spoil(scratch);
  for (Value result : run.getResults())
    spoil(getRange(result));

  uint64_t tag = 1;
  for (Value operand : run.getInputs())
    tag = mix(tag, read(device, getRange(operand)));
  SmallVector<Range> added, replaced;
  for (StagePassOpInterface pass : passes) {
    tag = mix(tag, hashText(stringifyPassKind(pass.getPassKind())));
    tag = mix(tag, pass.getStageNumber());
    for (const PassBuffer &buffer : getPassBuffers(pass)) {
      std::optional<ResidentKind> kind = buffer.getResidentKind();
      bool isOperand = run.getVariable() && (kind == ResidentKind::Gradient ||
                                             kind == ResidentKind::Count);
      if (!kind || isOperand)
        continue;
      Range range =
          device.residents.at(getName(*kind, buffer.variable, buffer.index));
      if (*kind == ResidentKind::Gradient || *kind == ResidentKind::Loss ||
          *kind == ResidentKind::Count) {
        added.push_back(range);
        continue;
      }
      tag = mix(tag, read(device, range));
      if (run.getVariable() &&
          (*kind == ResidentKind::Parameter || *kind == ResidentKind::State))
        replaced.push_back(range);
    }
  }
  for (Range range : added)
    write(device, range, mix(read(device, range), tag));
  for (Range range : replaced)
    write(device, range, tag);
  for (OpResult result : run->getResults())
    write(device, getRange(result), mix(tag, result.getResultNumber()));
  spoil(scratch);
}

/// Advances a device by one action; false if it waits or has ended.
bool Interpreter::step(int number) {
  Device &device = devices[number];
  if (device.at == device.end)
    return false;
  Operation &op = *device.at;
  if (auto wait = dyn_cast<WaitOp>(op)) {
    Transfer &transfer =
        transfers[transferOf.lookup(wait.getToken().getDefiningOp())];
    if (transfer.isReady())
      move(transfer);
    if (!transfer.isDone)
      return false;
  } else if (auto send = dyn_cast<SendStartOp>(op)) {
    transfers[transferOf.lookup(send)].sendStarted = true;
  } else if (auto receive = dyn_cast<RecvStartOp>(op)) {
    Transfer &transfer = transfers[transferOf.lookup(receive)];
    transfer.receiveStarted = true;
    write(device, transfer.target, random());
  } else if (auto load = dyn_cast<LoadOp>(op)) {
    write(device, getRange(load.getResult()),
          mix(hashText(load.getInput()), load.getMicrobatch()));
  } else if (auto run = dyn_cast<RunOp>(op)) {
    runPass(device, run);
  }
  ++device.at;
  return true;
}

std::optional<Outcome> Interpreter::run() {
  for (;;) {
    for (Transfer &transfer : transfers)
      if (transfer.isReady() &&
          (speed == Speed::Eager ||
           (speed == Speed::Random && random() % 16 == 0)))
        move(transfer);
    // Some device first, or the next one that is not held up.
    int first = random() % devices.size(), tried = 0, count = devices.size();
    while (tried < count && !step((first + tried) % count))
      ++tried;
    if (tried == count)
      break;
  }
  Outcome outcome;
  for (auto [number, device] : llvm::enumerate(devices)) {
    if (device.at != device.end)
      return std::nullopt;
    for (auto &[name, range] : device.residents)
      outcome[{static_cast<int>(number), name}] = read(device, range);
  }
  return outcome;
}

std::optional<Outcome> weir::interpret(ArrayRef<ProgramOp> programs,
                                       Speed speed, uint64_t seed) {
  return Interpreter(programs, speed, seed).run();
}
