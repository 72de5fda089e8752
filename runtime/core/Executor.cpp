//===- Executor.cpp - runs the programs of all ranks ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Executor.h"
#include "weir/Runtime/Arena.h"
#include "weir/Runtime/Product.h"
#include "weir/Runtime/Random.h"
#include "weir/Runtime/ThreadTransport.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>

using namespace weir::runtime;

using Clock = std::chrono::steady_clock;

/// How long ranks may take to notice that another has failed, in seconds, if
/// the timeout is not shorter. A rank that is still inside a pass counts as
/// hung.
static constexpr double longestGrace = 5;

/// All bits set: a NaN in f32 and f64, and -1 in integers, which indexes
/// nothing.
static constexpr int poisonByte = 0xFF;

static Clock::duration fromSeconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(seconds));
}

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

/// A gradient accumulator and the copy of it that is kept of step 1.
struct GradientCopy {
  int64_t variable, use;
  const std::byte *source;
  std::vector<std::byte> copy;
  bool isCopied = false;

  void take() {
    std::memcpy(copy.data(), source, copy.size());
    isCopied = true;
  }
};

/// What one rank has, written by its own thread only, but for the atomics.
struct Rank {
  int64_t device;
  Arena arena;
  std::vector<Operation> operations;
  std::vector<void *> addresses; /* of all RUN buffers, one after the other */
  std::vector<Span> clearedEachStep;
  float *learningRate = nullptr, *stepNumber = nullptr;
  const float *loss = nullptr, *count = nullptr;
  weir_context context;

  std::vector<GradientCopy> gradientCopies;
  float lossCopy = 0, countCopy = 0;

  /// Where the rank is, for the messages of others and the watchdog: the step,
  /// and the action in it. Step 0 is before the first.
  std::atomic<int64_t> step = 0, action = 0;

  std::thread thread;
};

} // namespace

//===----------------------------------------------------------------------===//
// State: shared by the caller and the threads of the ranks
//===----------------------------------------------------------------------===//

class Executor::State {
public:
  explicit State(std::shared_ptr<const Job> job)
      : job(std::move(job)), table(this->job->table),
        options(this->job->options) {}

  Status prepare();
  Status run(const RunEvents &events, std::shared_ptr<State> self);
  /// Joins the threads if all have ended.
  void joinOrLeave();
  bool isAnyRunning() {
    std::lock_guard lock(mutex);
    return running > 0;
  }

  const std::shared_ptr<const Job> job;
  const Table &table;
  const Options &options;
  std::vector<std::unique_ptr<Rank>> ranks;
  std::vector<std::vector<std::byte>> gradientSums;
  float lossSum = 0, count = 0;

private:
  void resolve(Rank &rank);
  void rankMain(Rank &rank);
  void initialise(Rank &rank);
  void poisonUnused(Rank &rank);
  bool beginStep(int64_t step);
  bool runStep(Rank &rank, int64_t step);
  bool runOperation(Rank &rank, int64_t step, const Operation &operation);
  bool endStep(Rank &rank, int64_t step, Clock::time_point &lastEnd);
  bool checkTransfer(Rank &rank, TransferResult result);
  void copyGradientsFor(Rank &rank, const Operation &update);
  void copyRemainingGradients(Rank &rank);
  void sumGradients();
  void failRank(const Rank &rank, const std::string &what);
  void failAll(const std::string &message);
  std::string place(const Rank &rank) const;
  std::string whatBlocks(const Rank &rank) const;

  std::unique_ptr<ThreadTransport> transport;

  std::mutex mutex;
  std::condition_variable changed;
  /// All of these under the mutex.
  bool hasFailed = false;
  std::string failure;
  int64_t running = 0, ready = 0, numGradientsCopied = 0;
  bool go = false, stopRequested = false;
  int64_t highestStep = 0; /* that any rank has begun */
  /// Steps that are over and not yet reported: a ring, so that no step
  /// allocates. Its producer waits where the caller is that far behind.
  static constexpr int64_t ringSize = 64;
  StepRecord ring[ringSize];
  int64_t produced = 0, consumed = 0;
};

Status Executor::State::prepare() {
  int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  bool coresForAll = table.numDevices() * options.threads <= cores;
  transport = std::make_unique<ThreadTransport>(coresForAll ? 2000 : 50);
  for (int64_t device = 0; device < table.numDevices(); ++device) {
    Rank &rank = *ranks.emplace_back(std::make_unique<Rank>());
    rank.device = device;
    Status status = rank.arena.reserve(table.devices()[device].arena_bytes);
    if (status.failed())
      return fail("device ", device, ": ", status.message());
    resolve(rank);
  }
  return {};
}

/// Looks up all that the operations of a rank need.
void Executor::State::resolve(Rank &rank) {
  int64_t device = rank.device;
  for (const weir_resident &resident : table.residents(device)) {
    std::byte *address = rank.arena.at(resident.offset);
    auto scalar = reinterpret_cast<float *>(address);
    switch (resident.kind) {
    case WEIR_RESIDENT_GRADIENT:
      rank.clearedEachStep.push_back({address, resident.bytes});
      if (!options.saveGradients.empty())
        rank.gradientCopies.push_back({resident.variable, resident.index,
                                       address,
                                       std::vector<std::byte>(resident.bytes)});
      break;
    case WEIR_RESIDENT_LOSS:
      rank.clearedEachStep.push_back({address, resident.bytes});
      rank.loss = scalar;
      break;
    case WEIR_RESIDENT_COUNT:
      rank.clearedEachStep.push_back({address, resident.bytes});
      rank.count = scalar;
      break;
    case WEIR_RESIDENT_LEARNING_RATE:
      rank.learningRate = scalar;
      break;
    case WEIR_RESIDENT_STEP:
      rank.stepNumber = scalar;
      break;
    }
  }

  std::span<const weir_action> actions = table.actions(device);
  size_t numBuffers = 0;
  for (const weir_action &action : actions)
    if (action.kind == WEIR_ACTION_RUN)
      numBuffers += action.num_buffers;
  // Reserved at once: operations point into it.
  rank.addresses.reserve(numBuffers);
  rank.operations.reserve(actions.size());

  std::unordered_map<int64_t, int64_t> handles; /* by token */
  for (const weir_action &action : actions) {
    Operation operation = {};
    operation.kind = action.kind;
    switch (action.kind) {
    case WEIR_ACTION_RUN:
      operation.isUpdate = action.pass == WEIR_PASS_UPDATE;
      operation.kernel = job->kernels[action.kernel];
      operation.buffers = rank.addresses.data() + rank.addresses.size();
      operation.numBuffers = action.num_buffers;
      for (int64_t offset : table.buffers(action))
        rank.addresses.push_back(rank.arena.at(offset));
      break;
    case WEIR_ACTION_LOAD:
      operation.input = action.input;
      operation.microbatch = action.microbatch;
      operation.address = rank.arena.at(action.offset);
      break;
    case WEIR_ACTION_SEND_START:
    case WEIR_ACTION_RECV_START: {
      operation.address = rank.arena.at(action.offset);
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
      operation.address = rank.arena.at(action.offset);
      operation.bytes = action.bytes;
      break;
    }
    rank.operations.push_back(operation);
  }
}

//===----------------------------------------------------------------------===//
// A rank
//===----------------------------------------------------------------------===//

void Executor::State::rankMain(Rank &rank) {
  try {
    Status status = setProductThreads(static_cast<int>(options.threads));
    if (status.failed())
      failAll(status.message());
    else
      initialise(rank);

    {
      std::unique_lock lock(mutex);
      ++ready;
      changed.notify_all();
      changed.wait(lock, [&] { return go || hasFailed; });
    }
    Clock::time_point lastEnd = Clock::now();
    for (int64_t step = 1; beginStep(step); ++step)
      if (!runStep(rank, step) || !endStep(rank, step, lastEnd))
        break;
  } catch (const std::exception &error) {
    failRank(rank, error.what());
  } catch (...) {
    failRank(rank, "an exception that is not a std::exception");
  }
  std::lock_guard lock(mutex);
  --running;
  changed.notify_all();
}

void Executor::State::initialise(Rank &rank) {
  if (options.poison)
    poisonUnused(rank);
  for (const weir_resident &resident : table.residents(rank.device)) {
    // The arena is zero, and so is all that is not a parameter.
    if (resident.kind != WEIR_RESIDENT_PARAMETER)
      continue;
    const weir_variable &variable = table.variables()[resident.variable];
    std::byte *address = rank.arena.at(resident.offset);
    if (!job->parameters.empty()) {
      std::memcpy(address, job->parameters[resident.variable], resident.bytes);
      continue;
    }
    auto draw = [&](auto *elements) {
      std::span out(elements, resident.bytes / sizeof(*elements));
      if (variable.init_kind == WEIR_INIT_CONSTANT) {
        std::fill(out.begin(), out.end(), variable.init_value);
        return;
      }
      RandomStream stream(options.seed, std::string("parameter ") +
                                            table.string(variable.name));
      stream.normal(variable.init_value, out);
    };
    if (variable.element_type == WEIR_F32)
      draw(reinterpret_cast<float *>(address));
    else
      draw(reinterpret_cast<double *>(address));
  }
}

void Executor::State::poisonUnused(Rank &rank) {
  std::map<int64_t, int64_t> residents; /* begin to end */
  for (const weir_resident &resident : table.residents(rank.device))
    residents[resident.offset] = resident.offset + resident.bytes;
  residents[rank.arena.bytes()] = rank.arena.bytes();
  int64_t at = 0;
  for (auto [begin, end] : residents) {
    if (begin > at)
      std::memset(rank.arena.at(at), poisonByte, begin - at);
    at = end;
  }
}

/// Whether a rank shall run `step`. When a stop is asked for, all ranks end
/// with the highest step that any of them has begun: the others need it to end.
bool Executor::State::beginStep(int64_t step) {
  std::lock_guard lock(mutex);
  if (hasFailed || step > options.steps ||
      (stopRequested && step > highestStep))
    return false;
  highestStep = std::max(highestStep, step);
  return true;
}

bool Executor::State::runStep(Rank &rank, int64_t step) {
  rank.action.store(0, std::memory_order_relaxed);
  rank.step.store(step, std::memory_order_relaxed);
  for (const Span &span : rank.clearedEachStep)
    std::memset(span.address, 0, span.bytes);
  if (rank.learningRate)
    *rank.learningRate = static_cast<float>(options.learningRateOf(step));
  if (rank.stepNumber)
    *rank.stepNumber = static_cast<float>(step);

  Trace *trace = job->trace.get();
  const int64_t numOperations = rank.operations.size();
  for (int64_t i = 0; i < numOperations; ++i) {
    rank.action.store(i, std::memory_order_relaxed);
    int64_t begin = trace ? Trace::now() : 0;
    if (!runOperation(rank, step, rank.operations[i]))
      return false;
    if (trace)
      trace->record(rank.device, step, i, begin, Trace::now());
  }
  rank.action.store(numOperations, std::memory_order_relaxed);
  if (step == 1 && !options.saveGradients.empty())
    copyRemainingGradients(rank);
  return true;
}

bool Executor::State::runOperation(Rank &rank, int64_t step,
                                   const Operation &operation) {
  switch (operation.kind) {
  case WEIR_ACTION_RUN:
    if (operation.isUpdate && step == 1)
      copyGradientsFor(rank, operation);
    operation.kernel(&rank.context, operation.buffers);
    if (!rank.context.failure)
      return true;
    failRank(rank, rank.context.failure);
    return false;
  case WEIR_ACTION_LOAD:
    job->data.fill(operation.input, step, operation.microbatch,
                   reinterpret_cast<int32_t *>(operation.address));
    return true;
  case WEIR_ACTION_SEND_START:
    return checkTransfer(rank, transport->sendStart(operation.handle));
  case WEIR_ACTION_RECV_START:
    if (options.poison)
      std::memset(operation.address, poisonByte, operation.bytes);
    return checkTransfer(rank, transport->receiveStart(operation.handle));
  case WEIR_ACTION_WAIT:
    return checkTransfer(rank,
                         transport->wait(operation.handle, options.timeout));
  default:
    if (options.poison)
      std::memset(operation.address, poisonByte, operation.bytes);
    return true;
  }
}

bool Executor::State::checkTransfer(Rank &rank, TransferResult result) {
  switch (result) {
  case TransferResult::Done:
    return true;
  case TransferResult::Aborted:
    return false;
  case TransferResult::TimedOut: {
    std::ostringstream what;
    what << "no answer within " << options.timeout << " s; " << whatBlocks(rank)
         << "; if it is only slow, allow more with --timeout=SECONDS";
    failRank(rank, what.str());
    return false;
  }
  case TransferResult::Mismatch:
    failRank(rank, "the two ends disagree on the message; " + whatBlocks(rank));
    return false;
  }
  return false;
}

/// Reports the step from the device that has the loss.
bool Executor::State::endStep(Rank &rank, int64_t step,
                              Clock::time_point &lastEnd) {
  if (rank.device != table.header().loss_device)
    return true;
  StepRecord record = {};
  record.step = step;
  record.lossSum = *rank.loss;
  record.count = *rank.count;
  record.learningRate = options.learningRateOf(step);
  record.sampleName = job->data.sampleName();
  record.samples = static_cast<double>(job->data.samplesPerMicrobatch() *
                                      table.header().num_microbatches);
  Clock::time_point now = Clock::now();
  record.seconds = std::chrono::duration<double>(now - lastEnd).count();
  lastEnd = now;
  if (record.count == 0) {
    failAll("step " + std::to_string(step) +
            ": no label counts, so there is no loss");
    return false;
  }
  if (!std::isfinite(record.loss())) {
    std::ostringstream message;
    message << "step " << step << ": the loss is "
            << (std::isnan(record.loss()) ? "nan" : "infinite")
            << "; nothing is saved; a lower --lr= (now " << options.learningRate
            << ") or --warmup-steps= may help";
    failAll(message.str());
    return false;
  }
  std::unique_lock lock(mutex);
  changed.wait(lock,
               [&] { return produced - consumed < ringSize || hasFailed; });
  if (hasFailed)
    return false;
  ring[produced++ % ringSize] = record;
  changed.notify_all();
  return true;
}

/// Keeps the gradients that an update of step 1 is about to use: it may change
/// them, and other stages of the device may still add to theirs.
void Executor::State::copyGradientsFor(Rank &rank, const Operation &update) {
  for (GradientCopy &gradient : rank.gradientCopies) {
    auto isPart = [&](void *buffer) {
      const std::byte *at = static_cast<std::byte *>(buffer);
      return at >= gradient.source &&
             at < gradient.source + gradient.copy.size();
    };
    if (!gradient.isCopied &&
        std::any_of(update.buffers, update.buffers + update.numBuffers, isPart))
      gradient.take();
  }
}

/// Keeps the gradients of step 1 that no update has used, at its end.
void Executor::State::copyRemainingGradients(Rank &rank) {
  for (GradientCopy &gradient : rank.gradientCopies)
    if (!gradient.isCopied)
      gradient.take();
  if (rank.device == table.header().loss_device) {
    rank.lossCopy = *rank.loss;
    rank.countCopy = *rank.count;
  }
  std::lock_guard lock(mutex);
  ++numGradientsCopied;
  changed.notify_all();
}

//===----------------------------------------------------------------------===//
// Failures
//===----------------------------------------------------------------------===//

/// Where a rank is: "at 'F s0 mb 3' of step 7".
std::string Executor::State::place(const Rank &rank) const {
  int64_t step = rank.step.load(std::memory_order_relaxed);
  int64_t action = rank.action.load(std::memory_order_relaxed);
  if (step == 0)
    return "before step 1";
  if (action >= static_cast<int64_t>(rank.operations.size()))
    return "at the end of step " + std::to_string(step);
  return "at '" + table.describe(rank.device, action) + "' of step " +
         std::to_string(step);
}

/// Follows the waits from a rank in a transfer to the rank that holds all up.
std::string Executor::State::whatBlocks(const Rank &rank) const {
  std::string text;
  const Rank *current = &rank;
  for (int64_t hop = 0; hop < table.numDevices(); ++hop) {
    int64_t at = current->action.load(std::memory_order_relaxed);
    std::span<const weir_action> actions = table.actions(current->device);
    if (at >= static_cast<int64_t>(actions.size()))
      break;
    if (actions[at].kind == WEIR_ACTION_WAIT)
      at = table.startOf(current->device, at);
    if (actions[at].kind != WEIR_ACTION_SEND_START &&
        actions[at].kind != WEIR_ACTION_RECV_START)
      break;
    if (hop > 0 && current == &rank)
      break;
    current = ranks[actions[at].peer].get();
    text += (text.empty() ? "device " : ", device ") +
            std::to_string(current->device) + " is " + place(*current);
  }
  return text;
}

void Executor::State::failRank(const Rank &rank, const std::string &what) {
  failAll("rank " + std::to_string(rank.device) + " " + place(rank) + ": " +
          what);
}

/// The first failure is the cause, and counts; others follow from it.
void Executor::State::failAll(const std::string &message) {
  {
    std::lock_guard lock(mutex);
    if (!hasFailed)
      failure = message;
    hasFailed = true;
  }
  changed.notify_all();
  transport->abort();
}

//===----------------------------------------------------------------------===//
// The caller
//===----------------------------------------------------------------------===//

Status Executor::State::run(const RunEvents &events,
                            std::shared_ptr<State> self) {
  const int64_t numRanks = ranks.size();
  running = numRanks;
  for (int64_t i = 0; i < numRanks; ++i) {
    try {
      ranks[i]->thread =
          std::thread([self, &rank = *ranks[i]] { self->rankMain(rank); });
    } catch (const std::system_error &error) {
      failAll("cannot start the thread of rank " + std::to_string(i) + ": " +
              error.what());
      std::lock_guard lock(mutex);
      running -= numRanks - i;
      break;
    }
  }

  bool gradientsReported = options.saveGradients.empty();
  auto areGradientsReady = [&] {
    return !gradientsReported && numGradientsCopied == numRanks;
  };
  auto report = [&](const Status &status) {
    if (status.failed())
      failAll(status.message());
  };

  // A rank that hangs alone keeps nobody waiting: the watchdog sees that
  // nothing moves. It is slower than the waits, whose messages say more.
  const Clock::duration patience = fromSeconds(options.timeout + 1);
  Clock::time_point lastProgress = Clock::now();
  int64_t lastSum = -1;
  const Clock::duration grace =
      fromSeconds(std::min(options.timeout, longestGrace));
  std::optional<Clock::time_point> failedAt;

  std::unique_lock lock(mutex);
  while (running > 0 || consumed < produced || areGradientsReady()) {
    changed.wait_for(lock, std::chrono::milliseconds(100), [&] {
      return running == 0 || consumed < produced ||
             (ready == numRanks && !go) ||
             areGradientsReady() ||
             (hasFailed && !failedAt);
    });
    if (ready == numRanks && !go) {
      go = true;
      lastProgress = Clock::now();
      changed.notify_all();
    }
    if (areGradientsReady()) {
      gradientsReported = true;
      lock.unlock();
      sumGradients();
      if (events.onGradients)
        report(events.onGradients());
      lock.lock();
    }
    while (consumed < produced) {
      StepRecord record = ring[consumed % ringSize];
      ++consumed;
      changed.notify_all();
      lock.unlock();
      if (events.onStep)
        report(events.onStep(record));
      lock.lock();
    }
    if (!stopRequested && events.shouldStop && events.shouldStop())
      stopRequested = true;

    Clock::time_point now = Clock::now();
    if (hasFailed) {
      failedAt = failedAt.value_or(now);
      if (now - *failedAt > grace)
        break;
      continue;
    }
    int64_t sum = ready;
    for (const auto &rank : ranks)
      sum += rank->step.load(std::memory_order_relaxed) *
                 (rank->operations.size() + 1) +
             rank->action.load(std::memory_order_relaxed);
    if (sum != lastSum || !go) {
      lastSum = sum;
      lastProgress = now;
    } else if (now - lastProgress > patience) {
      std::ostringstream message;
      message << "no rank got on for " << options.timeout << " s; ";
      for (const auto &rank : ranks)
        message << (rank->device ? ", rank " : "rank ") << rank->device
                << " is " << place(*rank);
      message << "; if this is only slow, allow more with --timeout=SECONDS";
      lock.unlock();
      failAll(message.str());
      lock.lock();
    }
  }
  if (!hasFailed)
    return {};
  return Status::failure(failure);
}

void Executor::State::joinOrLeave() {
  bool ended = !isAnyRunning();
  for (auto &rank : ranks) {
    if (!rank->thread.joinable())
      continue;
    if (ended)
      rank->thread.join();
    else
      rank->thread.detach();
  }
}

/// Adds the uses of each variable in their order.
void Executor::State::sumGradients() {
  std::map<std::pair<int64_t, int64_t>, const GradientCopy *> copies;
  for (const auto &rank : ranks) {
    for (const GradientCopy &gradient : rank->gradientCopies)
      copies[{gradient.variable, gradient.use}] = &gradient;
    if (rank->device == table.header().loss_device) {
      lossSum = rank->lossCopy;
      count = rank->countCopy;
    }
  }
  gradientSums.resize(table.variables().size());
  for (auto [key, gradient] : copies) {
    std::vector<std::byte> &sum = gradientSums[key.first];
    if (sum.empty()) {
      sum = gradient->copy;
      continue;
    }
    auto add = [&](auto *to, const auto *from) {
      for (size_t i = 0; i < sum.size() / sizeof(*to); ++i)
        to[i] += from[i];
    };
    if (table.variables()[key.first].element_type == WEIR_F32)
      add(reinterpret_cast<float *>(sum.data()),
          reinterpret_cast<const float *>(gradient->copy.data()));
    else
      add(reinterpret_cast<double *>(sum.data()),
          reinterpret_cast<const double *>(gradient->copy.data()));
  }
}

Executor::Executor(std::shared_ptr<const Job> job)
    : state(std::make_shared<State>(std::move(job))) {}

Executor::~Executor() { state->joinOrLeave(); }

Status Executor::prepare() { return state->prepare(); }

Status Executor::run(const RunEvents &events) {
  return state->run(events, state);
}

bool Executor::hasHungRank() const { return state->isAnyRunning(); }

int64_t Executor::arenaBytes() const {
  int64_t total = 0;
  for (const auto &rank : state->ranks)
    total += rank->arena.bytes();
  return total;
}

int64_t Executor::ownBytes() const {
  int64_t total = state->job->trace ? state->job->trace->bytes() : 0;
  for (const auto &rank : state->ranks) {
    total += rank->operations.size() * sizeof(Operation);
    total += rank->addresses.size() * sizeof(void *);
    for (const GradientCopy &gradient : rank->gradientCopies)
      total += 2 * gradient.copy.size();
  }
  return total;
}

static NamedTensor namedVariable(const Table &table, int64_t index,
                                 const void *data) {
  const weir_variable &variable = table.variables()[index];
  std::span<const int64_t> shape = table.shape(variable);
  return {table.string(variable.name), variable.element_type,
          std::vector<int64_t>(shape.begin(), shape.end()), data,
          table.bytes(variable)};
}

std::vector<NamedTensor> Executor::parameters() const {
  const Table &table = state->table;
  std::vector<NamedTensor> tensors;
  std::vector<bool> seen(table.variables().size(), false);
  for (const auto &rank : state->ranks)
    for (const weir_resident &resident : table.residents(rank->device)) {
      if (resident.kind != WEIR_RESIDENT_PARAMETER || seen[resident.variable])
        continue;
      seen[resident.variable] = true;
      tensors.push_back(namedVariable(table, resident.variable,
                                      rank->arena.at(resident.offset)));
    }
  return tensors;
}

std::vector<NamedTensor> Executor::gradients() const {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < state->gradientSums.size(); ++i)
    if (!state->gradientSums[i].empty())
      tensors.push_back(
          namedVariable(state->table, i, state->gradientSums[i].data()));
  tensors.push_back({"__loss_sum", WEIR_F32, {}, &state->lossSum, 4});
  tensors.push_back({"__count", WEIR_F32, {}, &state->count, 4});
  return tensors;
}
