//===- Stream.cpp - emulated streams and events ---------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Stream.h"

#include "EmulatedControl.h"
#include "Fault.h"
#include "Graph.h"

#include <cstring>
#include <map>
#include <thread>

using namespace weir::emulated;

//===----------------------------------------------------------------------===//
// Records and operations
//===----------------------------------------------------------------------===//

void Record::set(const Clock &clock) {
  std::lock_guard lock(mutex);
  clockThen = clock;
  timeThen = std::chrono::steady_clock::now();
  done = true;
  changed.notify_all();
}

bool Record::isSet() {
  std::lock_guard lock(mutex);
  return done;
}

void Record::wait() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
}

/// One operation in four starts late, on some streams later than on others.
static void delay(const Line &line, uint64_t stream) {
  if (settings().seed == 0)
    return;
  uint64_t drawn = random(line.device.index, stream, line.operations);
  uint64_t slowness = random(line.device.index, stream, 0) % 4;
  if (drawn % 4 == 0)
    std::this_thread::sleep_for(
        std::chrono::microseconds((drawn >> 8) % 64 * slowness));
}

void weir::emulated::execute(const Operation &operation, Line &line) {
  bool check = settings().checkRaces;
  delay(line, line.id & 0xffffffff);
  ++line.operations;
  if (check) {
    line.clock.tick(line.id);
    line.clock.join(operation.host);
  }
  if (operation.waits) {
    operation.waits->wait();
    if (check)
      line.clock.join(operation.waits->clock());
  }
  if (operation.run && !line.device.error()) {
    if (check && !operation.accesses.empty())
      checkAccesses(line, operation.name, operation.accesses);
    operation.run(line);
  }
  if (operation.signals)
    operation.signals->set(line.clock);
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

CUstream_st::CUstream_st(Device &device)
    : device(device), number(device.streams++), line{device, newLine(), 0, {}} {
  device.add(this);
  std::thread([this] { loop(); }).detach();
}

void CUstream_st::push(Operation operation) {
  operation.host = hostClock();
  std::lock_guard lock(mutex);
  queue.push_back(std::move(operation));
  ++pushed;
  changed.notify_all();
}

void CUstream_st::loop() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return !held && (closing || !queue.empty()); });
    if (queue.empty())
      break;
    runFirst(lock);
  }
  lock.unlock();
  device.remove(this);
  // What found the stream before it was removed may have added to it.
  lock.lock();
  while (!queue.empty())
    runFirst(lock);
  lock.unlock();
  delete this;
}

void CUstream_st::runFirst(std::unique_lock<std::mutex> &lock) {
  Operation operation = std::move(queue.front());
  queue.pop_front();
  lock.unlock();
  execute(operation, line);
  operation = {};
  lock.lock();
  ++finished;
  if (settings().checkRaces)
    reached = line.clock;
  changed.notify_all();
}

void CUstream_st::synchronize() {
  std::unique_lock lock(mutex);
  uint64_t last = pushed;
  changed.wait(lock, [&] { return finished >= last || device.error(); });
  tellHost(reached);
}

bool CUstream_st::idle() {
  std::lock_guard lock(mutex);
  if (finished == pushed)
    tellHost(reached);
  return finished == pushed;
}

void CUstream_st::notice() {
  std::lock_guard lock(mutex);
  changed.notify_all();
}

void CUstream_st::hold(bool hold) {
  std::lock_guard lock(mutex);
  held = hold;
  changed.notify_all();
}

void CUstream_st::destroy() {
  std::lock_guard lock(mutex);
  closing = true;
  held = false;
  changed.notify_all();
}

extern "C" void weir_emulated_hold(cudaStream_t stream) {
  resolve(stream)->hold(true);
}

extern "C" void weir_emulated_let_go(cudaStream_t stream) {
  resolve(stream)->hold(false);
}

cudaStream_t weir::emulated::resolve(cudaStream_t stream) {
  if (stream)
    return stream;
  static auto &mutex = *new std::mutex;
  static auto &defaults = *new std::map<Device *, cudaStream_t>;
  std::lock_guard lock(mutex);
  cudaStream_t &found = defaults[&currentDevice()];
  if (!found)
    found = new CUstream_st(currentDevice());
  return found;
}

cudaError_t weir::emulated::enqueue(cudaStream_t stream, Operation operation) {
  stream = resolve(stream);
  {
    std::lock_guard lock(captureMutex());
    if (stream->capture)
      return stream->capture->add(stream, std::move(operation));
  }
  stream->push(std::move(operation));
  return cudaSuccess;
}

/// Calls that name a stream which is being captured and want to know how far it
/// is: there is no such thing.
static cudaError_t progressCallError(cudaStream_t stream) {
  if (cudaError_t error = unsafeCallError())
    return error;
  std::lock_guard lock(captureMutex());
  if (!stream->capture)
    return cudaSuccess;
  stream->capture->invalidate();
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  if (cudaError_t error = callError())
    return report(error);
  // Others wait for the default stream, which nothing here needs.
  if (flags != cudaStreamNonBlocking)
    return report(cudaErrorNotSupported);
  *stream = new CUstream_st(currentDevice());
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags,
                                         int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream)
    return report(cudaErrorInvalidResourceHandle);
  {
    std::lock_guard lock(captureMutex());
    if (stream->capture)
      return report(cudaErrorStreamCaptureUnsupported);
  }
  stream->destroy();
  return report(callError());
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (cudaError_t error = progressCallError(resolve(stream)))
    return report(error);
  resolve(stream)->synchronize();
  resolve(stream)->device.checkGuards();
  return report(resolve(stream)->device.error());
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (cudaError_t error = progressCallError(resolve(stream)))
    return report(error);
  if (cudaError_t error = resolve(stream)->device.error())
    return report(error);
  return resolve(stream)->idle() ? cudaSuccess : cudaErrorNotReady;
}

void Device::synchronize() {
  // A record on each stream, because a stream may go while it is waited for.
  std::vector<std::shared_ptr<Record>> records;
  {
    std::lock_guard lock(mutex);
    for (cudaStream_t stream : live) {
      records.push_back(std::make_shared<Record>());
      Operation operation;
      operation.signals = records.back();
      stream->push(std::move(operation));
    }
  }
  for (auto &record : records) {
    // Whatever hangs behind an error is not waited for.
    while (!record->isSet() && !error())
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (record->isSet())
      tellHost(record->clock());
  }
}

cudaError_t cudaDeviceSynchronize() {
  if (cudaError_t error = unsafeCallError())
    return report(error);
  currentDevice().synchronize();
  currentDevice().checkGuards();
  return report(callError());
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function,
                               void *data) {
  if (cudaError_t error = callError())
    return report(error);
  Operation operation;
  operation.name = "a host function";
  operation.run = [=](Line &) {
    setInHostFunction(true);
    function(data);
    setInHostFunction(false);
  };
  return report(enqueue(stream, std::move(operation)));
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

/// Whether `kind` is what the addresses are. Host addresses are all that are no
/// device memory.
static bool kindHolds(cudaMemcpyKind kind, bool toDevice, bool fromDevice) {
  switch (kind) {
  case cudaMemcpyHostToHost:
    return !toDevice && !fromDevice;
  case cudaMemcpyHostToDevice:
    return toDevice && !fromDevice;
  case cudaMemcpyDeviceToHost:
    return !toDevice && fromDevice;
  case cudaMemcpyDeviceToDevice:
    return toDevice && fromDevice;
  case cudaMemcpyDefault:
    return true;
  }
  return false;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream) {
  if (cudaError_t error = callError())
    return report(error);
  if (bytes == 0)
    return cudaSuccess;
  if (!to || !from ||
      !kindHolds(kind, deviceOf(to, bytes), deviceOf(from, bytes)))
    return report(cudaErrorInvalidValue);
  Operation operation;
  operation.name = "a copy of " + std::to_string(bytes) + " bytes";
  operation.accesses = {{from, bytes, false}, {to, bytes, true}};
  operation.run = [=](Line &) { memmove(to, from, bytes); };
  return report(enqueue(stream, std::move(operation)));
}

cudaError_t cudaMemsetAsync(void *address, int value, size_t bytes,
                            cudaStream_t stream) {
  if (cudaError_t error = callError())
    return report(error);
  if (bytes == 0)
    return cudaSuccess;
  if (!deviceOf(address, bytes))
    return report(cudaErrorInvalidValue);
  Operation operation;
  operation.name = "a memset of " + std::to_string(bytes) + " bytes";
  operation.accesses = {{address, bytes, true}};
  operation.run = [=](Line &) { memset(address, value, bytes); };
  return report(enqueue(stream, std::move(operation)));
}

//===----------------------------------------------------------------------===//
// Events
//===----------------------------------------------------------------------===//

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  if (cudaError_t error = callError())
    return report(error);
  if (flags & ~unsigned(cudaEventBlockingSync | cudaEventDisableTiming))
    return report(cudaErrorInvalidValue);
  *event = new CUevent_st{currentDevice(), flags, {}, nullptr, 0, {}};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event)
    return report(cudaErrorInvalidResourceHandle);
  delete event;
  return report(callError());
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream,
                                     unsigned flags) {
  if (cudaError_t error = callError())
    return report(error);
  stream = resolve(stream);
  if (!event || &event->device != &stream->device)
    return report(cudaErrorInvalidResourceHandle);

  Operation operation;
  operation.name = "recording an event";
  {
    std::lock_guard lock(captureMutex());
    if (stream->capture) {
      if (flags == cudaEventRecordExternal) {
        operation.records = event;
        return report(stream->capture->add(stream, std::move(operation)));
      }
      std::lock_guard eventLock(event->mutex);
      event->capture = stream->capture->id;
      event->captured = stream->tail;
      return report(stream->capture->error());
    }
  }
  if (flags == cudaEventRecordExternal)
    return report(cudaErrorInvalidValue);
  if (faultNow("late-event", stream->device.index))
    operation.run = [](Line &) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    };
  auto record = std::make_shared<Record>();
  operation.signals = record;
  {
    std::lock_guard lock(event->mutex);
    event->record = record;
    event->capture = 0;
    event->captured.clear();
  }
  return report(enqueue(stream, std::move(operation)));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                unsigned flags) {
  if (cudaError_t error = callError())
    return report(error);
  if (!event)
    return report(cudaErrorInvalidResourceHandle);
  stream = resolve(stream);

  std::unique_lock lock(captureMutex());
  std::unique_lock eventLock(event->mutex);
  Operation operation;
  operation.name = "waiting for an event";
  if (stream->capture && flags == cudaEventWaitExternal) {
    operation.waitsFor = event;
    return report(stream->capture->add(stream, std::move(operation)));
  }
  if (stream->capture || event->capture)
    return report(waitInCapture(stream, *event));
  if (flags == cudaEventWaitExternal)
    return report(cudaErrorInvalidValue);
  operation.waits = event->record;
  eventLock.unlock();
  lock.unlock();
  if (operation.waits)
    stream->push(std::move(operation));
  return cudaSuccess;
}

/// What a call that asks for an event's progress starts with.
static cudaError_t eventCallError(cudaEvent_t event,
                                  std::shared_ptr<Record> &record) {
  if (!event)
    return cudaErrorInvalidResourceHandle;
  if (cudaError_t error = unsafeCallError())
    return error;
  std::lock_guard lock(event->mutex);
  if (event->capture)
    return cudaErrorCapturedEvent;
  record = event->record;
  return event->device.error();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  std::shared_ptr<Record> record;
  if (cudaError_t error = eventCallError(event, record))
    return report(error);
  if (record && !record->isSet())
    return cudaErrorNotReady;
  if (record)
    tellHost(record->clock());
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  while (true) {
    cudaError_t error = cudaEventQuery(event);
    if (error != cudaErrorNotReady)
      return error;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start,
                                 cudaEvent_t end) {
  std::shared_ptr<Record> first, last;
  if (cudaError_t error = eventCallError(start, first))
    return report(error);
  if (cudaError_t error = eventCallError(end, last))
    return report(error);
  if (!first || !last || (start->flags | end->flags) & cudaEventDisableTiming)
    return report(cudaErrorInvalidResourceHandle);
  if (!first->isSet() || !last->isSet())
    return cudaErrorNotReady;
  *milliseconds =
      std::chrono::duration<float, std::milli>(last->time() - first->time())
          .count();
  return cudaSuccess;
}
