//===- Executor.cpp - runs the programs of all ranks ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Executor.h"
#include "weir/Runtime/Arena.h"
#include "weir/Runtime/Product.h"
#include "weir/Runtime/ThreadTransport.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <unordered_map>

using namespace weir::runtime;

namespace {

/// An action with everything looked up.
struct Operation {
  int64_t kind;
  bool isUpdate;
  weir_kernel kernel;
  void *const *buffers;
  int64_t numBuffers;
  int64_t input, microbatch;
  int64_t handle; /* of the transfer */
  std::byte *address;
  int64_t bytes;
};

struct Span {
  std::byte *address;
  int64_t bytes;
};

class HostRank : public Rank {
public:
  HostRank(int64_t device, RunLoop &loop) : Rank(device), loop(loop) {}

  /// Reserves the arena and looks up all that the operations need.
  Status prepare(ThreadTransport &transport);

  Status initialise() override;
  bool runStep(int64_t step) override;
  StepLoss loss() const override { return {*lossSum, *count}; }

  Arena arena;
  std::vector<Operation> operations;
  std::vector<void *> addresses; /* of all RUN buffers, one after the other */

private:
  void resolveResidents();
  void resolveActions();
  bool runOperation(int64_t step, const Operation &operation);
  bool checkTransfer(TransferResult result);
  void copyGradientsFor(const Operation &update);

  RunLoop &loop;
  ThreadTransport *transport = nullptr;
  std::vector<Span> clearedEachStep;
  float *learningRate = nullptr, *stepNumber = nullptr;
  const float *lossSum = nullptr, *count = nullptr;
  weir_context context;
};

} // namespace

class Executor::State {
public:
  explicit State(std::shared_ptr<const Job> job) : loop(std::move(job)) {
    loop.abort = [this] { transport->abort(); };
  }

  Status prepare();
  HostRank &rank(size_t i) { return static_cast<HostRank &>(*loop.ranks[i]); }

  RunLoop loop;

private:
  std::unique_ptr<ThreadTransport> transport;
};

Status Executor::State::prepare() {
  const Table &table = loop.table;
  int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  bool coresForAll = table.numDevices() * loop.options.threads <= cores;
  transport = std::make_unique<ThreadTransport>(coresForAll ? 2000 : 50);
  for (int64_t device = 0; device < table.numDevices(); ++device) {
    loop.ranks.push_back(std::make_unique<HostRank>(device, loop));
    if (Status status = rank(device).prepare(*transport); status.failed())
      return fail("device ", device, ": ", status.message());
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Before the first step
//===----------------------------------------------------------------------===//

Status HostRank::prepare(ThreadTransport &rankTransport) {
  transport = &rankTransport;
  Status status = arena.reserve(loop.table.devices()[device].arena_bytes);
  if (status.failed())
    return status;
  resolveResidents();
  resolveActions();
  loop.keepGradients(*this, arena.at(0));
  return {};
}

void HostRank::resolveResidents() {
  for (const weir_resident &resident : loop.table.residents(device)) {
    std::byte *address = arena.at(resident.offset);
    auto scalar = reinterpret_cast<float *>(address);
    switch (resident.kind) {
    case WEIR_RESIDENT_GRADIENT:
      clearedEachStep.push_back({address, resident.bytes});
      break;
    case WEIR_RESIDENT_LOSS:
      clearedEachStep.push_back({address, resident.bytes});
      lossSum = scalar;
      break;
    case WEIR_RESIDENT_COUNT:
      clearedEachStep.push_back({address, resident.bytes});
      count = scalar;
      break;
    case WEIR_RESIDENT_LEARNING_RATE:
      learningRate = scalar;
      break;
    case WEIR_RESIDENT_STEP:
      stepNumber = scalar;
      break;
    }
  }
}

void HostRank::resolveActions() {
  std::span<const weir_action> actions = loop.table.actions(device);
  size_t numBuffers = 0;
  for (const weir_action &action : actions)
    if (action.kind == WEIR_ACTION_RUN)
      numBuffers += action.num_buffers;
  // Reserved at once: operations point into it.
  addresses.reserve(numBuffers);
  operations.reserve(actions.size());

  std::unordered_map<int64_t, int64_t> handles; /* by token */
  for (const weir_action &action : actions) {
    Operation operation = {};
    operation.kind = action.kind;
    switch (action.kind) {
    case WEIR_ACTION_RUN:
      operation.isUpdate = action.pass == WEIR_PASS_UPDATE;
      operation.kernel = loop.job->kernels[action.kernel];
      operation.buffers = addresses.data() + addresses.size();
      operation.numBuffers = action.num_buffers;
      for (const weir_buffer &buffer : loop.table.buffers(action))
        addresses.push_back(arena.at(buffer.offset));
      break;
    case WEIR_ACTION_LOAD:
      operation.input = action.input;
      operation.microbatch = action.microbatch;
      operation.address = arena.at(action.offset);
      break;
    case WEIR_ACTION_SEND_START:
    case WEIR_ACTION_RECV_START: {
      operation.address = arena.at(action.offset);
      operation.bytes = action.bytes;
      TransferEnd end = {device, action.peer, action.message, operation.address,
                         action.bytes};
      operation.handle = action.kind == WEIR_ACTION_SEND_START
                             ? transport->addSend(end)
                             : transport->addReceive(end);
      handles[action.token] = operation.handle;
      break;
    }
    case WEIR_ACTION_WAIT:
      operation.handle = handles.at(action.token);
      break;
    case WEIR_ACTION_RELEASE:
      operation.address = arena.at(action.offset);
      operation.bytes = action.bytes;
      break;
    }
    operations.push_back(operation);
  }
}

Status HostRank::initialise() {
  const Options &options = loop.options;
  Status status = setProductThreads(static_cast<int>(options.threads));
  if (status.failed())
    return status;
  if (options.poison)
    for (ByteRange range : rangesBetweenResidents(loop.table, device))
      std::memset(arena.at(range.begin), poisonByte, range.end - range.begin);
  // The arena is zero, and so is all that is not a parameter.
  for (const weir_resident &resident : loop.table.residents(device))
    if (resident.kind == WEIR_RESIDENT_PARAMETER)
      loop.job->initialise(resident.variable,
                           std::span(arena.at(resident.offset),
                                     static_cast<size_t>(resident.bytes)));
  return {};
}

//===----------------------------------------------------------------------===//
// A step
//===----------------------------------------------------------------------===//

bool HostRank::runStep(int64_t step) {
  const Options &options = loop.options;
  for (const Span &span : clearedEachStep)
    std::memset(span.address, 0, span.bytes);
  if (learningRate)
    *learningRate = static_cast<float>(options.learningRateOf(step));
  if (stepNumber)
    *stepNumber = static_cast<float>(step);

  Trace *trace = loop.job->trace.get();
  const int64_t numOperations = operations.size();
  for (int64_t i = 0; i < numOperations; ++i) {
    action.store(i, std::memory_order_relaxed);
    int64_t begin = trace ? Trace::now() : 0;
    if (!runOperation(step, operations[i]))
      return false;
    if (trace)
      trace->record(device, step, i, begin, Trace::now());
  }
  action.store(numOperations, std::memory_order_relaxed);
  if (step == 1)
    for (GradientCopy &gradient : gradientCopies)
      if (!gradient.isCopied)
        std::memcpy(gradient.copy.data(), gradient.source,
                    gradient.copy.size());
  return true;
}

bool HostRank::runOperation(int64_t step, const Operation &operation) {
  const Options &options = loop.options;
  switch (operation.kind) {
  case WEIR_ACTION_RUN:
    if (operation.isUpdate && step == 1)
      copyGradientsFor(operation);
    operation.kernel(&context, operation.buffers);
    if (!context.failure)
      return true;
    loop.failRank(*this, context.failure);
    return false;
  case WEIR_ACTION_LOAD:
    loop.job->data.fill(operation.input, step, operation.microbatch,
                        reinterpret_cast<int32_t *>(operation.address));
    return true;
  case WEIR_ACTION_SEND_START:
    return checkTransfer(transport->sendStart(operation.handle));
  case WEIR_ACTION_RECV_START:
    if (options.poison)
      std::memset(operation.address, poisonByte, operation.bytes);
    return checkTransfer(transport->receiveStart(operation.handle));
  case WEIR_ACTION_WAIT:
    return checkTransfer(transport->wait(operation.handle, options.timeout));
  default:
    if (options.poison)
      std::memset(operation.address, poisonByte, operation.bytes);
    return true;
  }
}

bool HostRank::checkTransfer(TransferResult result) {
  switch (result) {
  case TransferResult::Done:
    return true;
  case TransferResult::Aborted:
    return false;
  case TransferResult::TimedOut:
    loop.failRank(*this, loop.timeoutText(*this));
    return false;
  case TransferResult::Mismatch:
    loop.failRank(*this, "the two ends disagree on the message; " +
                             loop.whatBlocks(*this));
    return false;
  case TransferResult::Failed:
    loop.failRank(*this, "the message could not be copied");
    return false;
  }
  return false;
}

/// Keeps the gradients that an update of step 1 is about to use: it may change
/// them, and other stages of the device may still add to theirs.
void HostRank::copyGradientsFor(const Operation &update) {
  for (GradientCopy &gradient : gradientCopies) {
    if (gradient.isCopied ||
        !gradient.isUsedBy(
            {update.buffers, static_cast<size_t>(update.numBuffers)}))
      continue;
    std::memcpy(gradient.copy.data(), gradient.source, gradient.copy.size());
    gradient.isCopied = true;
  }
}

//===----------------------------------------------------------------------===//
// The caller
//===----------------------------------------------------------------------===//

Executor::Executor(std::shared_ptr<const Job> job)
    : state(std::make_shared<State>(std::move(job))) {}

Executor::~Executor() { state->loop.joinOrLeave(); }

Status Executor::prepare() { return state->prepare(); }

Status Executor::run(const RunEvents &events) {
  return state->loop.run(events, state);
}

bool Executor::hasHungRank() const { return state->loop.isAnyRunning(); }

int64_t Executor::arenaBytes() const {
  int64_t total = 0;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    total += state->rank(i).arena.bytes();
  return total;
}

int64_t Executor::ownBytes() const {
  const RunLoop &loop = state->loop;
  int64_t total = loop.job->trace ? loop.job->trace->bytes() : 0;
  for (size_t i = 0; i < loop.ranks.size(); ++i) {
    const HostRank &rank = state->rank(i);
    total += rank.operations.size() * sizeof(Operation);
    total += rank.addresses.size() * sizeof(void *);
    for (const GradientCopy &gradient : rank.gradientCopies)
      total += 2 * gradient.copy.size();
  }
  return total;
}

std::vector<NamedTensor> Executor::parameters() const {
  const Table &table = state->loop.table;
  std::vector<NamedTensor> tensors;
  std::vector<bool> seen(table.variables().size(), false);
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    for (const weir_resident &resident : table.residents(i)) {
      if (resident.kind != WEIR_RESIDENT_PARAMETER || seen[resident.variable])
        continue;
      seen[resident.variable] = true;
      tensors.push_back(namedVariable(
          table, resident.variable, state->rank(i).arena.at(resident.offset)));
    }
  return tensors;
}

std::vector<NamedTensor> Executor::gradients() const {
  return state->loop.gradients();
}
