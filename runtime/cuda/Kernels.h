//===- Kernels.h - compiled kernels and passes -------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_KERNELS_H
#define WEIR_RUNTIME_CUDA_KERNELS_H

#include "Device.h"
#include "LaunchTimes.h"
#include "Products.h"
#include "weir/Cuda.h"
#include "weir/Runtime/Context.h"

#include <string>
#include <vector>

namespace weir::runtime::cuda {

/// The kernels of a program, for all devices of the process.
class Kernels {
public:
  Kernels() = default;
  Kernels(const Kernels &) = delete;
  Kernels &operator=(const Kernels &) = delete;
  ~Kernels();

  /// Checks that the current device can run them, and loads them. Once, with
  /// any device current.
  Status load(const weir_cuda_module &module);

  const std::vector<cudaKernel_t> &list() const { return kernels; }

private:
  cudaLibrary_t library = nullptr;
  std::vector<cudaKernel_t> kernels;
};

/// Whether a device that is named `device` and has compute capability
/// `major`.`minor` runs a cubin for `arch`. A cubin runs on later devices of
/// its major version; one for an arch with a letter, such as sm_90a, on its own
/// only. Anything that is not sm_* is not checked.
Status checkArch(const std::string &arch, int major, int minor,
                 const std::string &device);

/// What the passes of one rank work with.
struct PassContext : weir_context {
  cudaStream_t compute = nullptr;
  const std::vector<cudaKernel_t> *kernels = nullptr;
  const char *const *kernelNames = nullptr;
  Products *products = nullptr;
  LaunchTimes *times = nullptr; /* null where launches are not timed */
  std::string failureText; /* what `failure` points to */

  void fail(const Status &status);
  /// Fails if `status` says so.
  void note(const Status &status);
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_KERNELS_H
