//===- weir/Runtime/RunLoop.h - the ranks of a process ----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What executors of every target have in common: a thread per rank, steps that
// are reported in order, gradients that are kept of step 1, a watchdog, and
// failures that end all ranks. What a rank does in a step is the target's.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_RUNLOOP_H
#define WEIR_RUNTIME_RUNLOOP_H

#include "weir/Runtime/Job.h"
#include "weir/Runtime/Metrics.h"
#include "weir/Runtime/Status.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::runtime {

/// What the caller of Executor::run hears and says, on its own thread.
struct RunEvents {
  /// After each step, in order.
  std::function<Status(const StepRecord &)> onStep;
  /// Once all gradients of step 1 are there, if the options ask for them.
  std::function<Status()> onGradients;
  /// Asked several times a second; true ends the training after the step that
  /// is under way.
  std::function<bool()> shouldStop;
};

/// A gradient accumulator and the copy of it that is kept of step 1.
struct GradientCopy {
  int64_t variable, use;
  const std::byte *source; /* in the memory of the device */
  std::vector<std::byte> copy;
  bool isCopied = false;

  /// Whether one of these buffers lies in the accumulator.
  bool isUsedBy(std::span<void *const> buffers) const;
};

/// Gradient copies by variable and use.
using GradientMap =
    std::map<std::pair<int64_t, int64_t>, const std::vector<std::byte> *>;

/// The sum over its microbatches of a step's losses, and the labels in it.
struct StepLoss {
  float sum = 0, count = 0;
};

/// One rank: what it has is written by its own thread only, but for the
/// atomics.
class Rank {
public:
  explicit Rank(int64_t device) : device(device) {}
  virtual ~Rank() = default;

  /// All of these on the rank's own thread.
  ///
  /// Before the first step.
  virtual Status initialise() = 0;
  /// Runs a step to its end. On failure tells the loop (RunLoop::failRank) and
  /// returns false; also when the loop has been aborted. Keeps `step` and
  /// `action` up to date; in step 1 fills `gradientCopies`.
  virtual bool runStep(int64_t step) = 0;
  /// After the last step, or a failure.
  virtual void finish() {}
  /// Of the last step, on the loss device.
  virtual StepLoss loss() const = 0;

  /// The action of the step that the rank is at, as far as is known; any thread
  /// may ask.
  virtual int64_t currentAction() const {
    return action.load(std::memory_order_relaxed);
  }

  const int64_t device;
  std::vector<GradientCopy> gradientCopies;
  StepLoss firstLoss; /* of step 1, where gradients are kept */

  /// Where the rank is, for the messages of others and the watchdog: the step,
  /// and the action in it. Step 0 is before the first.
  std::atomic<int64_t> step = 0, action = 0;

private:
  friend class RunLoop;
  std::thread thread;
};

/// How the processes of one training hear of each other. The default is for one
/// process.
class Processes {
public:
  virtual ~Processes() = default;

  /// Tells the others of a failure here, and returns the one that counts: the
  /// first of all processes. Any thread may call it, once.
  virtual std::string announceFailure(const std::string &message) {
    return message;
  }
  /// A failure that another process has announced.
  virtual std::optional<std::string> failure() { return std::nullopt; }

  /// Whether to end after the step under way, given whether this process is
  /// asked to. Once true here, it gets true in all processes.
  virtual bool isStopRequested(bool here) { return here; }
  /// The last step of all, once all processes have said which is the highest
  /// that a rank of theirs has begun. Asked again with the same number until it
  /// is there.
  virtual std::optional<int64_t> lastStep(int64_t highestHere) {
    return highestHere;
  }

  /// Collects the gradient copies of all processes where files are written, and
  /// returns whether that is here.
  virtual Status gatherGradients(GradientMap & /*copies*/, StepLoss & /*loss*/,
                                 bool &isHere) {
    isHere = true;
    return {};
  }
};

class RunLoop {
public:
  explicit RunLoop(std::shared_ptr<const Job> job)
      : job(std::move(job)), table(this->job->table),
        options(this->job->options) {}
  RunLoop(const RunLoop &) = delete;
  RunLoop &operator=(const RunLoop &) = delete;

  /// Set before run().
  ///
  /// The ranks of this process.
  std::vector<std::unique_ptr<Rank>> ranks;
  /// Ends all waits of the ranks, now and later. Any thread may call it.
  std::function<void()> abort;
  std::unique_ptr<Processes> processes = std::make_unique<Processes>();

  /// Runs all ranks to the end. `owner` lives until the last of their threads
  /// has ended, which can be after run() has come back from a failure.
  Status run(const RunEvents &events, const std::shared_ptr<void> &owner);

  /// Joins the threads if all have ended; else leaves them behind.
  void joinOrLeave();
  bool isAnyRunning();

  /// For ranks, on their threads. The first failure is the cause, and counts;
  /// others follow from it.
  void failRank(const Rank &rank, const std::string &what);
  void failAll(const std::string &message);
  /// Whether a failure is known: ranks are to end.
  bool isFailing();
  /// What a rank that has waited too long fails with.
  std::string timeoutText(const Rank &rank) const;
  /// Follows the waits from a rank in a transfer to the rank that holds all up.
  std::string whatBlocks(const Rank &rank) const;
  /// Makes room for copies of the gradients of a rank, if the options ask for
  /// them. `arena` is the address of offset 0.
  void keepGradients(Rank &rank, const std::byte *arena) const;

  /// By variable: the gradient of step 1, the sum of its uses in their order;
  /// empty where there is none. From onGradients on.
  std::vector<std::vector<std::byte>> gradientSums;
  StepLoss firstLoss;
  /// The same as tensors, with "__loss_sum" and "__count".
  std::vector<NamedTensor> gradients() const;

  const std::shared_ptr<const Job> job;
  const Table &table;
  const Options &options;

private:
  using Clock = std::chrono::steady_clock;

  void rankMain(Rank &rank);
  bool beginStep(int64_t step);
  bool endStep(Rank &rank, int64_t step, Clock::time_point &lastEnd);
  void startThreads(const std::shared_ptr<void> &owner);
  Status sumGradients(bool &isHere);
  void reportGradients(const RunEvents &events);
  void reportSteps(const RunEvents &events, std::unique_lock<std::mutex> &lock);
  void pollProcesses(const RunEvents &events,
                     std::unique_lock<std::mutex> &lock);
  void watch(std::unique_lock<std::mutex> &lock);
  const Rank *rankOf(int64_t device) const;
  std::string place(const Rank &rank) const;

  std::mutex mutex;
  std::condition_variable changed;
  /// All of these under the mutex.
  bool hasFailed = false;
  std::string failure;
  int64_t running = 0, ready = 0, numGradientsCopied = 0;
  bool go = false, stopRequested = false;
  int64_t highestStep = 0;         /* that any rank has begun */
  std::optional<int64_t> lastStep; /* known some time after stopRequested */
  /// Steps that are over and not yet reported: a ring, so that no step
  /// allocates. Its producer waits where the caller is that far behind.
  static constexpr int64_t ringSize = 64;
  StepRecord ring[ringSize];
  int64_t produced = 0, consumed = 0;

  /// What the watchdog saw last, on the caller's thread.
  Clock::time_point lastProgress;
  int64_t lastSum = -1;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_RUNLOOP_H
