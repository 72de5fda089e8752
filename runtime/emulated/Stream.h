//===- Stream.h - emulated streams and events -------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A stream is a thread that runs operations in order, as late as it likes. The
// calls that enqueue return at once, so that what nothing orders does happen in
// another order than that of the calls.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_STREAM_H
#define WEIR_RUNTIME_EMULATED_STREAM_H

#include "Device.h"
#include "Races.h"

#include <chrono>
#include <condition_variable>
#include <cuda_runtime_api.h>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace weir::emulated {

class Capture;

/// One record of an event: set once, when the stream gets there.
class Record {
public:
  void set(const Clock &clock);
  bool isSet();
  void wait();
  /// After isSet() or wait().
  const Clock &clock() const { return clockThen; }
  std::chrono::steady_clock::time_point time() const { return timeThen; }

private:
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Clock clockThen;
  std::chrono::steady_clock::time_point timeThen;
};

struct Operation {
  /// For messages.
  std::string name;
  /// Left out once the device has failed.
  std::function<void(Line &)> run;
  /// What `run` touches.
  std::vector<Access> accesses;
  /// Waited for before, set after, or null.
  std::shared_ptr<Record> waits, signals;
  /// In graphs only: the event that each launch waits for or records.
  cudaEvent_t waitsFor = nullptr, records = nullptr;
  /// What the host knew when it enqueued the operation.
  Clock host;
};

/// Runs an operation on a line.
void execute(const Operation &operation, Line &line);

/// Puts an operation on a stream, or into the graph that it is captured for.
/// A null stream is the default stream of the current device.
cudaError_t enqueue(cudaStream_t stream, Operation operation);

/// The stream itself, for null the default stream of the current device.
cudaStream_t resolve(cudaStream_t stream);

/// callError(), or the reason why a call that may wait or allocate is forbidden
/// while streams are captured; it invalidates those captures.
cudaError_t unsafeCallError();

} // namespace weir::emulated

struct CUevent_st {
  weir::emulated::Device &device;
  const unsigned flags;
  std::mutex mutex;
  /// The last record; null before the first.
  std::shared_ptr<weir::emulated::Record> record;
  /// If the last record was captured: in which capture, else 0, and the nodes
  /// it stands for.
  uint64_t capture = 0;
  std::vector<cudaGraphNode_t> captured;
};

struct CUstream_st {
  explicit CUstream_st(weir::emulated::Device &device);

  weir::emulated::Device &device;
  const uint64_t number;

  /// Guarded by the captures' mutex: what captures the stream, and the nodes
  /// that the next one depends on.
  weir::emulated::Capture *capture = nullptr;
  std::vector<cudaGraphNode_t> tail;

  void push(weir::emulated::Operation operation);
  /// Waits until all that is enqueued now has ended, or the device has failed.
  void synchronize();
  bool idle();
  /// Lets what waits look at the device's error.
  void notice();
  void hold(bool held);
  /// Ends the stream after what is enqueued, and deletes it.
  void destroy();

private:
  void loop();
  void runFirst(std::unique_lock<std::mutex> &lock);

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<weir::emulated::Operation> queue;
  uint64_t pushed = 0, finished = 0;
  bool held = false, closing = false;
  /// The thread's own, and a copy of its clock for others.
  weir::emulated::Line line;
  weir::emulated::Clock reached;
};

#endif // WEIR_RUNTIME_EMULATED_STREAM_H
