//===- Device.cpp - emulated devices and their memory ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "EmulatedControl.h"
#include "Fault.h"
#include "Stream.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

using namespace weir::emulated;

//===----------------------------------------------------------------------===//
// Settings
//===----------------------------------------------------------------------===//

template <typename Number>
static void readNumber(const char *name, Number &number, Number least) {
  const char *text = getenv(name);
  if (!text)
    return;
  const char *end = text + strlen(text);
  auto [stop, error] = std::from_chars(text, end, number);
  if (error == std::errc() && stop == end && number >= least)
    return;
  fprintf(stderr, "error: %s=%s is no number that it can have\n", name, text);
  exit(1);
}

static Settings readSettings() {
  Settings read;
  readNumber("WEIR_EMULATED_DEVICES", read.devices, 0);
  readNumber("WEIR_EMULATED_MEMORY", read.memoryBytes, size_t(0));
  readNumber("WEIR_EMULATED_SEED", read.seed, uint64_t(0));
  readNumber("WEIR_EMULATED_WORKERS", read.workers, 1);
  if (const char *check = getenv("WEIR_EMULATED_CHECK")) {
    read.checkRaces = std::string_view(check) == "races";
    if (!read.checkRaces && *check) {
      fprintf(stderr, "error: WEIR_EMULATED_CHECK=%s is unknown\n", check);
      exit(1);
    }
  }
  return read;
}

const Settings &weir::emulated::settings() {
  static const Settings read = readSettings();
  return read;
}

uint64_t weir::emulated::random(uint64_t a, uint64_t b, uint64_t c) {
  // Each number is mixed in by the finalizer of splitmix64.
  uint64_t mixed = settings().seed;
  for (uint64_t number : {a, b, c}) {
    mixed += number + UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    mixed ^= mixed >> 31;
  }
  return mixed;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static const size_t alignment = 256, guardBytes = 4096;
static const unsigned char guardByte = 0xa5;

static size_t roundUp(size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

cudaError_t Device::allocate(void **address, size_t bytes) {
  *address = nullptr;
  if (bytes == 0)
    return cudaSuccess;
  std::lock_guard lock(mutex);
  if (bytes > settings().memoryBytes - usedBytes || faultNow("memory", index))
    return cudaErrorMemoryAllocation;
  size_t rounded = roundUp(bytes);
  void *block =
      std::aligned_alloc(4096, (rounded + 2 * guardBytes + 4095) / 4096 * 4096);
  if (!block)
    return cudaErrorMemoryAllocation;
  auto *begin = static_cast<unsigned char *>(block) + guardBytes;
  memset(block, guardByte, guardBytes);
  // Fresh memory holds NaN as f32 and f64, and no valid index.
  memset(begin, 0xff, bytes);
  memset(begin + bytes, guardByte, rounded - bytes + guardBytes);
  allocations[reinterpret_cast<uintptr_t>(begin)] = {block, bytes};
  usedBytes += bytes;
  *address = begin;
  return cudaSuccess;
}

bool Device::guardsHold(uintptr_t begin, const Allocation &allocation) {
  auto intact = [](const unsigned char *from, const unsigned char *to) {
    return std::all_of(from, to,
                       [](unsigned char byte) { return byte == guardByte; });
  };
  auto *front = static_cast<const unsigned char *>(allocation.block);
  auto *end = reinterpret_cast<const unsigned char *>(begin + allocation.bytes);
  return intact(front, front + guardBytes) &&
         intact(end, end + (roundUp(allocation.bytes) - allocation.bytes) +
                         guardBytes);
}

cudaError_t Device::release(void *address) {
  if (!address)
    return cudaSuccess;
  std::unique_lock lock(mutex);
  auto found = allocations.find(reinterpret_cast<uintptr_t>(address));
  if (found == allocations.end())
    return cudaErrorInvalidValue;
  bool intact = guardsHold(found->first, found->second);
  usedBytes -= found->second.bytes;
  forgetAccesses(address, found->second.bytes);
  std::free(found->second.block);
  allocations.erase(found);
  lock.unlock();
  if (!intact)
    fail(cudaErrorIllegalAddress, "something wrote past the end of an "
                                  "allocation that is freed");
  return intact ? cudaSuccess : cudaErrorIllegalAddress;
}

void Device::checkGuards() {
  bool intact = true;
  {
    std::lock_guard lock(mutex);
    for (const auto &[begin, allocation] : allocations)
      intact &= guardsHold(begin, allocation);
  }
  if (!intact)
    fail(cudaErrorIllegalAddress,
         "something wrote past the end of an allocation");
}

size_t Device::used() {
  std::lock_guard lock(mutex);
  return usedBytes;
}

bool Device::contains(const void *address, size_t bytes) {
  auto begin = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(mutex);
  auto after = allocations.upper_bound(begin);
  if (after == allocations.begin())
    return false;
  const auto &[start, allocation] = *std::prev(after);
  return begin - start <= allocation.bytes &&
         bytes <= allocation.bytes - (begin - start);
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void Device::fail(cudaError_t error, const std::string &explanation) {
  std::lock_guard lock(mutex);
  int none = cudaSuccess;
  if (!failure.compare_exchange_strong(none, error))
    return;
  what = explanation;
  fprintf(stderr, "emulated device %d: %s\n", index, what.c_str());
  for (cudaStream_t stream : live)
    stream->notice();
}

std::string Device::message() {
  std::lock_guard lock(mutex);
  return what;
}

void Device::forgetError() {
  std::lock_guard lock(mutex);
  failure = cudaSuccess;
  what.clear();
}

void Device::add(cudaStream_t stream) {
  std::lock_guard lock(mutex);
  live.insert(stream);
}

void Device::remove(cudaStream_t stream) {
  std::lock_guard lock(mutex);
  live.erase(stream);
}

extern "C" const char *weir_emulated_message(int index) {
  thread_local std::string message;
  Device *found = device(index);
  message = found ? found->message() : "";
  return message.c_str();
}

extern "C" void weir_emulated_reset_device(int index) {
  if (Device *found = device(index))
    found->forgetError();
}

static thread_local int chosenDevice = 0;
static thread_local cudaError_t lastError = cudaSuccess;
static thread_local bool inHostFunction = false;

static std::vector<std::unique_ptr<Device>> &devices() {
  // Never destroyed: threads of streams may outlive main.
  static auto &all = *[] {
    auto *all = new std::vector<std::unique_ptr<Device>>;
    for (int i = 0; i < settings().devices; ++i)
      all->push_back(std::make_unique<Device>(i));
    return all;
  }();
  return all;
}

Device *weir::emulated::device(int index) {
  bool exists = index >= 0 && size_t(index) < devices().size();
  return exists ? devices()[index].get() : nullptr;
}

Device &weir::emulated::currentDevice() { return *devices()[chosenDevice]; }

Device *weir::emulated::deviceOf(const void *address, size_t bytes) {
  for (auto &candidate : devices())
    if (candidate->contains(address, bytes))
      return candidate.get();
  return nullptr;
}

cudaError_t weir::emulated::report(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady)
    lastError = error;
  return error;
}

cudaError_t weir::emulated::callError() {
  if (inHostFunction)
    return cudaErrorNotPermitted;
  if (devices().empty())
    return cudaErrorNoDevice;
  return currentDevice().error();
}

void weir::emulated::setInHostFunction(bool inside) { inHostFunction = inside; }

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

cudaError_t cudaGetDeviceCount(int *count) {
  *count = int(devices().size());
  return report(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int index) {
  if (!device(index))
    return report(devices().empty() ? cudaErrorNoDevice
                                    : cudaErrorInvalidDevice);
  chosenDevice = index;
  return report(callError());
}

cudaError_t cudaGetDevice(int *index) {
  *index = chosenDevice;
  return report(devices().empty() ? cudaErrorNoDevice : cudaSuccess);
}

/// What a device says of itself: little, and close to a real one.
static const int maxThreads = 1024, maxShared = 48 << 10, multiprocessors = 132;

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute,
                                   int index) {
  if (!device(index))
    return report(cudaErrorInvalidDevice);
  switch (attribute) {
  case cudaDevAttrMaxThreadsPerBlock:
  case cudaDevAttrMaxBlockDimX:
  case cudaDevAttrMaxThreadsPerMultiProcessor:
    *value = maxThreads;
    return cudaSuccess;
  case cudaDevAttrMaxGridDimX:
    *value = INT32_MAX;
    return cudaSuccess;
  case cudaDevAttrMaxSharedMemoryPerBlock:
  case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *value = maxShared;
    return cudaSuccess;
  case cudaDevAttrWarpSize:
    *value = 32;
    return cudaSuccess;
  case cudaDevAttrMaxRegistersPerBlock:
    *value = 65536;
    return cudaSuccess;
  case cudaDevAttrClockRate:
  case cudaDevAttrMemoryClockRate:
    *value = 1000000;
    return cudaSuccess;
  case cudaDevAttrMultiProcessorCount:
    *value = multiprocessors;
    return cudaSuccess;
  case cudaDevAttrConcurrentKernels:
    *value = 1;
    return cudaSuccess;
  case cudaDevAttrPciBusId:
    *value = index + 1;
    return cudaSuccess;
  case cudaDevAttrPciDeviceId:
  case cudaDevAttrPciDomainId:
  case cudaDevAttrComputeCapabilityMinor:
    *value = 0;
    return cudaSuccess;
  case cudaDevAttrGlobalMemoryBusWidth:
    *value = 64;
    return cudaSuccess;
  case cudaDevAttrL2CacheSize:
    *value = 1 << 20;
    return cudaSuccess;
  case cudaDevAttrComputeCapabilityMajor:
    *value = 9;
    return cudaSuccess;
  }
  return report(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int index) {
  if (!device(index))
    return report(cudaErrorInvalidDevice);
  *properties = {};
  snprintf(properties->name, sizeof(properties->name), "emulated device");
  properties->totalGlobalMem = settings().memoryBytes;
  properties->sharedMemPerBlock = maxShared;
  properties->sharedMemPerMultiprocessor = maxShared;
  properties->sharedMemPerBlockOptin = maxShared;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = maxThreads;
  properties->maxThreadsPerMultiProcessor = maxThreads;
  const int block[] = {maxThreads, maxThreads, 64};
  const int grid[] = {INT32_MAX, 65535, 65535};
  std::copy_n(block, 3, properties->maxThreadsDim);
  std::copy_n(grid, 3, properties->maxGridSize);
  properties->major = 9;
  properties->multiProcessorCount = multiprocessors;
  properties->concurrentKernels = 1;
  properties->pciBusID = index + 1;
  properties->memoryBusWidth = 64;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int index) {
  if (!device(index))
    return report(cudaErrorInvalidDevice);
  if (snprintf(id, length, "0000:%02x:00.0", index + 1) >= length)
    return report(cudaErrorInvalidValue);
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  cudaError_t error = cudaPeekAtLastError();
  lastError = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  if (cudaError_t error = callError())
    return error;
  return lastError;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  if (cudaError_t error = callError())
    return report(error);
  *total = settings().memoryBytes;
  *free = *total - currentDevice().used();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **address, size_t bytes) {
  if (cudaError_t error = unsafeCallError())
    return report(error);
  return report(currentDevice().allocate(address, bytes));
}

cudaError_t cudaFree(void *address) {
  if (cudaError_t error = unsafeCallError())
    return report(error);
  Device *owner = address ? deviceOf(address, 0) : &currentDevice();
  if (!owner)
    return report(cudaErrorInvalidValue);
  // Memory may be in use until everything on the device has ended.
  owner->synchronize();
  return report(owner->release(address));
}

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned int) {
  if (cudaError_t error = unsafeCallError())
    return report(error);
  *address = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return report(*address || !bytes ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *address) {
  if (cudaError_t error = unsafeCallError())
    return report(error);
  std::free(address);
  return cudaSuccess;
}
