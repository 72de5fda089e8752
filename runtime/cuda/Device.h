//===- Device.h - devices, streams, events and their errors ------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_DEVICE_H
#define WEIR_RUNTIME_CUDA_DEVICE_H

#include "weir/Runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <string>
#include <string_view>
#include <utility>

namespace weir::runtime::cuda {

/// One line for a call that failed: what it was, the error by name, what to do
/// in the usual cases. Success for cudaSuccess. Leaves no error behind for
/// cudaGetLastError.
Status check(cudaError_t error, std::string_view what);
Status check(cublasStatus_t error, std::string_view what);
/// `communicator` may be null; it tells more about the error.
Status check(ncclResult_t error, std::string_view what,
             ncclComm_t communicator = nullptr);

/// Finds out how many devices there are; fails if there is none, and says why.
Status countDevices(int &count);

/// Makes a device the one of the calling thread.
Status useDevice(int ordinal);

/// "NVIDIA H100 80GB HBM3"; empty if it cannot be asked.
std::string deviceName(int ordinal);

/// A CUDA handle with its destructor.
template <typename Handle, cudaError_t (*destroy)(Handle)> class Owned {
public:
  Owned() = default;
  explicit Owned(Handle handle) : handle(handle) {}
  Owned(Owned &&other) noexcept : handle(std::exchange(other.handle, {})) {}
  Owned &operator=(Owned &&other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Owned() { reset(); }

  void reset() {
    // What fails here has failed before, in a call that was checked.
    if (handle)
      (void)destroy(std::exchange(handle, {}));
  }
  Handle get() const { return handle; }
  Handle *out() {
    reset();
    return &handle;
  }

private:
  Handle handle = {};
};

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using DeviceMemory = Owned<void *, cudaFree>;
using PinnedMemory = Owned<void *, cudaFreeHost>;

Status makeStream(Stream &stream);
/// Without a time; `timed` for traces.
Status makeEvent(Event &event, bool timed = false);
/// Page-locked host memory, zeroed.
Status makePinned(PinnedMemory &memory, int64_t bytes);
/// Device memory, not cleared.
Status makeMemory(DeviceMemory &memory, int64_t bytes);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_DEVICE_H
