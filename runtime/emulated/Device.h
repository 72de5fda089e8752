//===- Device.h - emulated devices and their memory -------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_DEVICE_H
#define WEIR_RUNTIME_EMULATED_DEVICE_H

#include <atomic>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace weir::emulated {

/// From the environment, see EmulatedControl.h.
struct Settings {
  int devices = 4;
  size_t memoryBytes = size_t(1) << 30;
  uint64_t seed = 0;
  int workers = 2;
  bool checkRaces = false;
};
const Settings &settings();

/// A well mixed function of the seed and three numbers.
uint64_t random(uint64_t a, uint64_t b, uint64_t c);

/// Device memory is memory of the host between two guards that nothing may
/// write:
///
///   block | guard | begin ... begin + bytes, rounded up | guard |
struct Allocation {
  void *block;
  size_t bytes;
};

class Device {
public:
  explicit Device(int index) : index(index) {}

  const int index;
  /// Where streams are numbered.
  std::atomic<uint64_t> streams{0};

  cudaError_t allocate(void **address, size_t bytes);
  cudaError_t release(void *address);
  size_t used();

  /// Whether all of [address, address + bytes) is device memory.
  bool contains(const void *address, size_t bytes);

  /// The first error of an operation on the device: all calls return it.
  cudaError_t error() const { return cudaError_t(failure.load()); }
  /// Keeps the first error, with what happened.
  void fail(cudaError_t error, const std::string &what);
  std::string message();
  void forgetError();

  /// Waits until all that is enqueued now has ended, or the device has failed.
  void synchronize();

  /// Fails if anything wrote past the end of an allocation.
  void checkGuards();

  /// Streams that must notice an error while they are waited for.
  void add(cudaStream_t stream);
  void remove(cudaStream_t stream);

private:
  bool guardsHold(uintptr_t begin, const Allocation &allocation);

  std::mutex mutex;
  std::map<uintptr_t, Allocation> allocations;
  size_t usedBytes = 0;
  std::atomic<int> failure{cudaSuccess};
  std::string what;
  std::set<cudaStream_t> live;
};

/// Null if there is no such device.
Device *device(int index);
/// The one that the calling thread has chosen.
Device &currentDevice();
/// The one whose memory all of [address, address + bytes) is, or null.
Device *deviceOf(const void *address, size_t bytes);

/// Keeps what cudaGetLastError returns; returns `error`.
cudaError_t report(cudaError_t error);

/// Why no call is possible on the current device now: it has failed, or the
/// calling thread runs a host function of a stream. Else cudaSuccess.
cudaError_t callError();

/// Marks the calling thread as running a host function, which may call nothing.
void setInHostFunction(bool inside);

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_DEVICE_H
