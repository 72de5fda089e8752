//===- LaunchTimes.h - how long kernels take --------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_LAUNCHTIMES_H
#define WEIR_RUNTIME_CUDA_LAUNCHTIMES_H

#include "Device.h"
#include "weir/Cuda.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weir::runtime::cuda {

/// Equal launches of a kernel, or equal products.
struct LaunchCalls {
  std::string name;
  bool isProduct;
  std::vector<std::string> passes = {}; /* that launch it: "F s3" */
  /// Of one: bytes that a kernel reads and writes, every one once (0: not
  /// known); operations of a product.
  int64_t bytes = 0, flops = 0;
  int64_t callsPerStep = 0;
  std::vector<double> seconds; /* of each call that counts */
};

/// How fast a large copy within a device is.
struct CopySpeed {
  int64_t bytes = 0;  /* read, and as many written */
  double seconds = 0; /* median; 0: not measured */

  double bytesPerSecond() const {
    return seconds > 0 ? 2 * static_cast<double>(bytes) / seconds : 0;
  }
};

/// Times every launch of a rank by itself: an event before it and one behind
/// it. That keeps launches apart that would follow each other at once, so what
/// a pass takes is less than the sum; and the time between two events with
/// nothing between them (emptySeconds) is part of every time. As in PassTimes,
/// step 1 counts only if there is no other.
class LaunchTimes {
public:
  /// What is launched from here on belongs to this pass.
  void enterPass(const char *name) { pass = name; }
  /// Around a launch or a product; on the rank's own thread. The descriptor
  /// tells equal ones.
  Status beforeKernel(cudaStream_t stream, const weir_cuda_launch &launch,
                      const char *name);
  Status beforeProduct(cudaStream_t stream, const weir_cuda_product &product);
  Status after(cudaStream_t stream);

  /// When the step has ended, and its stream is idle.
  Status endStep(int64_t step, cudaStream_t stream);

  /// Measures copies of a few times the bytes of the largest kernel, so that no
  /// cache holds them; fewer where the device has no room. After the last step,
  /// with the device current.
  Status measureCopy(cudaStream_t stream);

  /// By the time that they take in a step, longest first.
  std::vector<LaunchCalls> launches() const;
  double emptySeconds() const;
  const CopySpeed &copy() const { return copySpeed; }

private:
  struct Timed {
    Event begin, end;
    size_t launch; /* number of it; of no launch: `noLaunch` */
  };
  static constexpr size_t noLaunch = ~size_t(0);

  Status before(cudaStream_t stream, size_t launch);
  Status secondsOf(const Timed &timed, double &seconds) const;

  std::vector<LaunchCalls> calls;
  std::map<std::string, size_t> known; /* by contents of the descriptor */
  std::map<const void *, size_t> numbers;
  std::vector<Timed> timed; /* of this step, up to `used` */
  size_t used = 0;
  const char *pass = "";
  std::vector<double> empty;
  CopySpeed copySpeed;
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_LAUNCHTIMES_H
