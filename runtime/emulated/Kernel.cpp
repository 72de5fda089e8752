//===- Kernel.cpp - libraries and launches --------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Block.h"
#include "Fault.h"
#include "Graph.h"
#include "Stream.h"

#include <cstring>
#include <map>
#include <string_view>

using namespace weir::emulated;

struct CUkern_st {
  const weir_emulated_kernel *kernel;
};

struct CUlib_st {
  std::map<std::string_view, CUkern_st> kernels;
};

cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                cudaJitOption *, void **,
                                unsigned numJitOptions, cudaLibraryOption *,
                                void **, unsigned numLibraryOptions) {
  if (cudaError_t error = callError())
    return report(error);
  if (numJitOptions || numLibraryOptions)
    return report(cudaErrorNotSupported);
  if (faultNow("library", currentDevice().index))
    return report(cudaErrorNoKernelImageForDevice);
  auto *image = static_cast<const weir_emulated_image *>(code);
  if (!image || image->magic != WEIR_EMULATED_MAGIC)
    return report(cudaErrorInvalidKernelImage);
  auto *loaded = new CUlib_st;
  for (int64_t i = 0; i < image->num_kernels; ++i)
    loaded->kernels[image->kernels[i].name] = {&image->kernels[i]};
  *library = loaded;
  return cudaSuccess;
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
  if (!library)
    return report(cudaErrorInvalidResourceHandle);
  delete library;
  return report(callError());
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library,
                                 const char *name) {
  if (cudaError_t error = callError())
    return report(error);
  auto found = library->kernels.find(name);
  if (found == library->kernels.end())
    return report(cudaErrorSymbolNotFound);
  *kernel = &found->second;
  return cudaSuccess;
}

/// Runs a launch, its blocks shared by several threads. Returns what went
/// wrong, or "".
static std::string runLaunch(const KernelLaunch &launch,
                             std::vector<Access> &accesses) {
  int64_t blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
  struct {
    std::mutex mutex;
    std::condition_variable changed;
    std::string error;
    int64_t workersLeft;
    std::atomic<int64_t> next{0};
  } shared;
  auto work = [&] {
    // Stacks are kept from launch to launch.
    static thread_local Block block;
    std::string error;
    while (error.empty()) {
      int64_t index = shared.next++;
      if (index >= blocks)
        break;
      error = block.run(launch, index);
    }
    std::vector<Access> touched = block.takeAccesses();
    std::lock_guard lock(shared.mutex);
    if (shared.error.empty())
      shared.error = error;
    accesses.insert(accesses.end(), touched.begin(), touched.end());
    --shared.workersLeft;
    shared.changed.notify_all();
  };
  // Threads that could not earn what it costs to wake them are left out.
  int64_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  int64_t workers = blocks * threads < 4096
                        ? 1
                        : std::min<int64_t>(settings().workers, blocks);
  shared.workersLeft = workers;
  for (int64_t i = 1; i < workers; ++i)
    runOnThread(work);
  work();
  std::unique_lock lock(shared.mutex);
  shared.changed.wait(lock, [&] { return shared.workersLeft == 0; });
  return shared.error;
}

/// Whether a device like those of today takes such a launch.
static bool fits(const KernelLaunch &launch) {
  const int64_t gridLimit[] = {INT32_MAX, 65535, 65535};
  const int64_t blockLimit[] = {1024, 1024, 64};
  for (int dim = 0; dim < 3; ++dim)
    if (launch.grid[dim] < 1 || launch.grid[dim] > gridLimit[dim] ||
        launch.block[dim] < 1 || launch.block[dim] > blockLimit[dim])
      return false;
  return launch.block[0] * launch.block[1] * launch.block[2] <= 1024;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block,
                             void **arguments, size_t sharedBytes,
                             cudaStream_t stream) {
  if (cudaError_t error = callError())
    return report(error);
  stream = resolve(stream);
  if (&stream->device != &currentDevice())
    return report(cudaErrorInvalidResourceHandle);
  if (!function)
    return report(cudaErrorInvalidDeviceFunction);
  auto *kernel = static_cast<const CUkern_st *>(function)->kernel;
  KernelLaunch launch = {kernel,
                         {grid.x, grid.y, grid.z},
                         {block.x, block.y, block.z},
                         sharedBytes,
                         {}};
  if (!fits(launch))
    return report(cudaErrorInvalidConfiguration);
  if (kernel->shared_bytes + sharedBytes > 48 << 10)
    return report(cudaErrorInvalidValue);
  if (faultNow("launch", stream->device.index))
    return report(cudaErrorLaunchOutOfResources);
  for (int64_t i = 0; i < kernel->num_arguments; ++i)
    launch.arguments.push_back(*static_cast<void **>(arguments[i]));

  bool faulty = faultNow("kernel", stream->device.index);
  Operation operation;
  operation.name = std::string("kernel ") + kernel->name;
  operation.run = [launch = std::move(launch), faulty](Line &line) {
    std::string kernel = std::string("kernel ") + launch.kernel->name;
    for (size_t i = 0; i < launch.arguments.size(); ++i)
      if (faulty || !line.device.contains(launch.arguments[i], 1))
        return line.device.fail(cudaErrorIllegalAddress,
                                kernel + ": argument " + std::to_string(i) +
                                    " is no memory of the device");
    bool check = settings().checkRaces;
    if (check && !(launch.kernel->flags & WEIR_EMULATED_REPORTS_ACCESSES))
      return line.device.fail(
          cudaErrorNotSupported,
          kernel + " does not say what it touches, so races cannot be checked");
    std::vector<Access> accesses;
    std::string error = runLaunch(launch, accesses);
    if (!error.empty())
      return line.device.fail(cudaErrorLaunchFailure, kernel + ": " + error);
    if (check) {
      mergeAccesses(accesses);
      checkAccesses(line, kernel, accesses);
    }
  };
  return report(enqueue(stream, std::move(operation)));
}
