//===- RunLoop.cpp - the ranks of a process -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/RunLoop.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <system_error>

using namespace weir::runtime;

/// How long ranks may take to notice that another has failed, in seconds, if
/// the timeout is not shorter. A rank that is still inside a pass counts as
/// hung.
static constexpr double longestGrace = 5;

static std::chrono::steady_clock::duration fromSeconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

//===----------------------------------------------------------------------===//
// A rank
//===----------------------------------------------------------------------===//

void RunLoop::rankMain(Rank &rank) {
  try {
    if (Status status = rank.initialise(); status.failed())
      failAll(status.message());
    {
      std::unique_lock lock(mutex);
      ++ready;
      changed.notify_all();
      changed.wait(lock, [&] { return go || hasFailed; });
    }
    Clock::time_point lastEnd = Clock::now();
    for (int64_t step = 1; beginStep(step); ++step) {
      rank.action.store(0, std::memory_order_relaxed);
      rank.step.store(step, std::memory_order_relaxed);
      if (!rank.runStep(step) || !endStep(rank, step, lastEnd))
        break;
    }
  } catch (const std::exception &error) {
    failRank(rank, error.what());
  } catch (...) {
    failRank(rank, "an exception that is not a std::exception");
  }
  rank.finish();
  std::lock_guard lock(mutex);
  --running;
  changed.notify_all();
}

/// Whether a rank shall run `step`. When a stop is asked for, all ranks end
/// with the highest step that any of them has begun: the others need it to end.
bool RunLoop::beginStep(int64_t step) {
  if (step > options.steps)
    return false;
  std::unique_lock lock(mutex);
  if (stopRequested && step > highestStep)
    changed.wait(lock, [&] { return hasFailed || lastStep; });
  if (hasFailed || (lastStep && step > *lastStep))
    return false;
  highestStep = std::max(highestStep, step);
  return true;
}

/// Reports the step from the device that has the loss.
bool RunLoop::endStep(Rank &rank, int64_t step, Clock::time_point &lastEnd) {
  bool hasLoss = rank.device == table.header().loss_device;
  if (step == 1 && !options.saveGradients.empty()) {
    if (hasLoss)
      rank.firstLoss = rank.loss();
    std::lock_guard lock(mutex);
    ++numGradientsCopied;
    changed.notify_all();
  }
  if (!hasLoss)
    return true;
  StepRecord record = {};
  record.step = step;
  record.lossSum = rank.loss().sum;
  record.count = rank.loss().count;
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

//===----------------------------------------------------------------------===//
// Failures
//===----------------------------------------------------------------------===//

const Rank *RunLoop::rankOf(int64_t device) const {
  for (const auto &rank : ranks)
    if (rank->device == device)
      return rank.get();
  return nullptr;
}

/// Where a rank is: "at 'F s0 mb 3' of step 7".
std::string RunLoop::place(const Rank &rank) const {
  int64_t step = rank.step.load(std::memory_order_relaxed);
  int64_t action = rank.currentAction();
  if (step == 0)
    return "before step 1";
  if (action >= static_cast<int64_t>(table.actions(rank.device).size()))
    return "at the end of step " + std::to_string(step);
  return "at '" + table.describe(rank.device, action) + "' of step " +
         std::to_string(step);
}

std::string RunLoop::whatBlocks(const Rank &rank) const {
  std::string text;
  const Rank *current = &rank;
  for (int64_t hop = 0; hop < table.numDevices(); ++hop) {
    int64_t at = current->currentAction();
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
    int64_t peer = actions[at].peer;
    text += (text.empty() ? "device " : ", device ") + std::to_string(peer);
    current = rankOf(peer);
    if (!current)
      return text + " is in another process";
    text += " is " + place(*current);
  }
  return text;
}

std::string RunLoop::timeoutText(const Rank &rank) const {
  std::ostringstream what;
  what << "no answer within " << options.timeout << " s; ";
  if (std::string blocks = whatBlocks(rank); !blocks.empty())
    what << blocks << "; ";
  what << "if it is only slow, allow more with --timeout=SECONDS";
  return what.str();
}

void RunLoop::failRank(const Rank &rank, const std::string &what) {
  failAll("rank " + std::to_string(rank.device) + " " + place(rank) + ": " +
          what);
}

void RunLoop::failAll(const std::string &message) {
  bool isFirst;
  {
    std::lock_guard lock(mutex);
    isFirst = !hasFailed;
    if (isFirst)
      failure = message;
    hasFailed = true;
  }
  changed.notify_all();
  // Before the others see that connections end.
  if (isFirst) {
    std::string cause = processes->announceFailure(message);
    std::lock_guard lock(mutex);
    failure = cause;
  }
  abort();
}

//===----------------------------------------------------------------------===//
// Gradients of step 1
//===----------------------------------------------------------------------===//

bool GradientCopy::isUsedBy(std::span<void *const> buffers) const {
  return std::any_of(buffers.begin(), buffers.end(), [&](void *buffer) {
    const std::byte *at = static_cast<std::byte *>(buffer);
    return at >= source && at < source + copy.size();
  });
}

void RunLoop::keepGradients(Rank &rank, const std::byte *arena) const {
  if (options.saveGradients.empty())
    return;
  for (const weir_resident &resident : table.residents(rank.device))
    if (resident.kind == WEIR_RESIDENT_GRADIENT)
      rank.gradientCopies.push_back({resident.variable, resident.index,
                                     arena + resident.offset,
                                     std::vector<std::byte>(resident.bytes)});
}

/// Adds the uses of each variable in their order, if files are written here.
Status RunLoop::sumGradients(bool &isHere) {
  GradientMap copies;
  for (const auto &rank : ranks) {
    for (const GradientCopy &gradient : rank->gradientCopies)
      copies[{gradient.variable, gradient.use}] = &gradient.copy;
    if (rank->device == table.header().loss_device)
      firstLoss = rank->firstLoss;
  }
  if (Status status = processes->gatherGradients(copies, firstLoss, isHere);
      status.failed() || !isHere)
    return status;
  gradientSums.resize(table.variables().size());
  for (auto [key, copy] : copies) {
    std::vector<std::byte> &sum = gradientSums[key.first];
    if (sum.empty()) {
      sum = *copy;
      continue;
    }
    auto add = [&](auto *to, const auto *from) {
      for (size_t i = 0; i < sum.size() / sizeof(*to); ++i)
        to[i] += from[i];
    };
    if (table.variables()[key.first].element_type == WEIR_F32)
      add(reinterpret_cast<float *>(sum.data()),
          reinterpret_cast<const float *>(copy->data()));
    else
      add(reinterpret_cast<double *>(sum.data()),
          reinterpret_cast<const double *>(copy->data()));
  }
  return {};
}

std::vector<NamedTensor> RunLoop::gradients() const {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < gradientSums.size(); ++i)
    if (!gradientSums[i].empty())
      tensors.push_back(namedVariable(table, i, gradientSums[i].data()));
  tensors.push_back({"__loss_sum", WEIR_F32, {}, &firstLoss.sum, 4});
  tensors.push_back({"__count", WEIR_F32, {}, &firstLoss.count, 4});
  return tensors;
}

void RunLoop::reportGradients(const RunEvents &events) {
  bool isHere = false;
  Status status = sumGradients(isHere);
  if (!status.failed() && isHere && events.onGradients)
    status = events.onGradients();
  if (status.failed())
    failAll(status.message());
}

//===----------------------------------------------------------------------===//
// The caller
//===----------------------------------------------------------------------===//

void RunLoop::startThreads(const std::shared_ptr<void> &owner) {
  const int64_t numRanks = ranks.size();
  running = numRanks;
  for (int64_t i = 0; i < numRanks; ++i) {
    try {
      ranks[i]->thread =
          std::thread([this, owner, &rank = *ranks[i]] { rankMain(rank); });
    } catch (const std::system_error &error) {
      failAll("cannot start the thread of rank " +
              std::to_string(ranks[i]->device) + ": " + error.what());
      std::lock_guard lock(mutex);
      running -= numRanks - i;
      break;
    }
  }
}

void RunLoop::reportSteps(const RunEvents &events,
                          std::unique_lock<std::mutex> &lock) {
  while (consumed < produced) {
    StepRecord record = ring[consumed % ringSize];
    ++consumed;
    changed.notify_all();
    lock.unlock();
    if (events.onStep)
      if (Status status = events.onStep(record); status.failed())
        failAll(status.message());
    lock.lock();
  }
}

/// Hears of failures and stops, here and in other processes.
void RunLoop::pollProcesses(const RunEvents &events,
                            std::unique_lock<std::mutex> &lock) {
  bool stopHere = stopRequested || (events.shouldStop && events.shouldStop());
  lock.unlock();
  std::optional<std::string> elsewhere = processes->failure();
  bool stop = processes->isStopRequested(stopHere);
  if (elsewhere)
    failAll(*elsewhere);
  lock.lock();
  stopRequested = stop;
  if (!stopRequested || lastStep)
    return;
  // From here on highestStep does not change.
  int64_t highest = highestStep;
  lock.unlock();
  std::optional<int64_t> last = processes->lastStep(highest);
  lock.lock();
  lastStep = last;
  if (lastStep)
    changed.notify_all();
}

/// A rank that hangs alone keeps nobody waiting: the watchdog sees that nothing
/// moves. It is slower than the waits, whose messages say more.
void RunLoop::watch(std::unique_lock<std::mutex> &lock) {
  int64_t sum = ready;
  for (const auto &rank : ranks)
    sum += rank->step.load(std::memory_order_relaxed) *
               (table.actions(rank->device).size() + 1) +
           rank->action.load(std::memory_order_relaxed);
  Clock::time_point now = Clock::now();
  if (sum != lastSum || !go) {
    lastSum = sum;
    lastProgress = now;
    return;
  }
  if (now - lastProgress <= fromSeconds(options.timeout + 1))
    return;
  std::ostringstream message;
  message << "no rank got on for " << options.timeout << " s; ";
  for (const auto &rank : ranks)
    message << (rank == ranks.front() ? "rank " : ", rank ") << rank->device
            << " is " << place(*rank);
  message << "; if this is only slow, allow more with --timeout=SECONDS";
  lock.unlock();
  failAll(message.str());
  lock.lock();
}

Status RunLoop::run(const RunEvents &events,
                    const std::shared_ptr<void> &owner) {
  const int64_t numRanks = ranks.size();
  startThreads(owner);

  bool gradientsReported = options.saveGradients.empty();
  auto areGradientsReady = [&] {
    return !gradientsReported && numGradientsCopied == numRanks;
  };
  const Clock::duration grace =
      fromSeconds(std::min(options.timeout, longestGrace));
  std::optional<Clock::time_point> failedAt;
  lastProgress = Clock::now();

  std::unique_lock lock(mutex);
  while (running > 0 || consumed < produced || areGradientsReady()) {
    changed.wait_for(lock, std::chrono::milliseconds(100), [&] {
      return running == 0 || consumed < produced ||
             (ready == numRanks && !go) || areGradientsReady() ||
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
      reportGradients(events);
      lock.lock();
    }
    reportSteps(events, lock);
    pollProcesses(events, lock);
    if (hasFailed) {
      Clock::time_point now = Clock::now();
      failedAt = failedAt.value_or(now);
      if (now - *failedAt > grace)
        break;
      continue;
    }
    watch(lock);
  }
  if (hasFailed)
    return Status::failure(failure);
  // Others may stop and ask how far this process has got.
  int64_t highest = highestStep;
  lock.unlock();
  (void)processes->lastStep(highest);
  return {};
}

bool RunLoop::isFailing() {
  std::lock_guard lock(mutex);
  return hasFailed;
}

bool RunLoop::isAnyRunning() {
  std::lock_guard lock(mutex);
  return running > 0;
}

void RunLoop::joinOrLeave() {
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
