//===- Device.cpp - devices, streams, events and their errors -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include <cstring>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// "13.0" of 13000.
static std::string versionText(int version) {
  return std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10);
}

static std::string versionHint() {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0)
    return "no NVIDIA driver is loaded; this program needs one for CUDA " +
           versionText(runtime) + " or newer";
  return "the driver is for CUDA " + versionText(driver) +
         ", and this program needs " + versionText(runtime) + " or newer";
}

static std::string memoryHint() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess)
    return "";
  return std::to_string(free) + " of " + std::to_string(total) +
         " bytes are free";
}

static std::string hintFor(cudaError_t error) {
  switch (error) {
  case cudaErrorNoDevice:
    return "is a GPU installed and, with CUDA_VISIBLE_DEVICES, visible?";
  case cudaErrorInsufficientDriver:
    return versionHint();
  case cudaErrorMemoryAllocation:
    return memoryHint();
  case cudaErrorNoKernelImageForDevice:
    return "the program was compiled for another GPU; see weirc --arch";
  case cudaErrorDevicesUnavailable:
    return "is another process using the GPU exclusively?";
  default:
    return "";
  }
}

Status weir::runtime::cuda::check(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess)
    return {};
  (void)cudaGetLastError();
  std::string hint = hintFor(error);
  return fail(what, ": ", cudaGetErrorString(error), " (",
              cudaGetErrorName(error), ")", hint.empty() ? "" : "; ", hint);
}

Status weir::runtime::cuda::check(cublasStatus_t error, std::string_view what) {
  if (error == CUBLAS_STATUS_SUCCESS)
    return {};
  return fail(what, ": ", cublasLtGetStatusString(error));
}

Status weir::runtime::cuda::check(ncclResult_t error, std::string_view what,
                                  ncclComm_t communicator) {
  if (error == ncclSuccess)
    return {};
  const char *more = ncclGetLastError(communicator);
  std::string text = more ? more : "";
  // It may have several lines, of which the first is the cause.
  text = text.substr(0, text.find('\n'));
  const char *hint = error == ncclUnhandledCudaError || error == ncclSystemError
                         ? "; NCCL_DEBUG=WARN tells more"
                         : "";
  return fail(what, ": ", ncclGetErrorString(error),
              text.empty() ? "" : " (" + text + ")", hint);
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

Status weir::runtime::cuda::countDevices(int &count) {
  count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count == 0)
    error = cudaErrorNoDevice;
  if (error == cudaSuccess)
    return {};
  (void)cudaGetLastError();
  std::string hint = hintFor(error);
  return fail("no CUDA device was found (", cudaGetErrorName(error),
              "): ", hint.empty() ? cudaGetErrorString(error) : hint);
}

Status weir::runtime::cuda::useDevice(int ordinal) {
  return check(cudaSetDevice(ordinal),
               "cannot use device " + std::to_string(ordinal));
}

std::string weir::runtime::cuda::deviceName(int ordinal) {
  cudaDeviceProp properties = {};
  if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess)
    return "";
  return properties.name;
}

//===----------------------------------------------------------------------===//
// Streams, events, memory
//===----------------------------------------------------------------------===//

Status weir::runtime::cuda::makeStream(Stream &stream) {
  return check(cudaStreamCreateWithFlags(stream.out(), cudaStreamNonBlocking),
               "cannot make a stream");
}

Status weir::runtime::cuda::makeEvent(Event &event, bool timed) {
  return check(
      cudaEventCreateWithFlags(event.out(), timed ? cudaEventDefault
                                                  : cudaEventDisableTiming),
      "cannot make an event");
}

Status weir::runtime::cuda::makePinned(PinnedMemory &memory, int64_t bytes) {
  if (bytes == 0)
    return {};
  Status status = check(
      cudaHostAlloc(memory.out(), bytes, cudaHostAllocDefault),
      "cannot allocate " + std::to_string(bytes) + " bytes of host memory");
  if (!status.failed())
    std::memset(memory.get(), 0, bytes);
  return status;
}

Status weir::runtime::cuda::makeMemory(DeviceMemory &memory, int64_t bytes) {
  if (bytes == 0)
    return {};
  return check(cudaMalloc(memory.out(), bytes),
               "cannot allocate " + std::to_string(bytes) + " bytes");
}
