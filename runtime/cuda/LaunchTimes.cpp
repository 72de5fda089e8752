//===- LaunchTimes.cpp - how long kernels take ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LaunchTimes.h"
#include "PassTimes.h"
#include "ProductLayout.h"

#include <algorithm>
#include <functional>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// Copies are measured with so many bytes: far more than caches have, and no
/// more than is needed for that.
static constexpr int64_t leastCopy = int64_t(64) << 20;
static constexpr int64_t mostCopy = int64_t(1) << 30;
static constexpr int numCopies = 10, numFirstCopies = 2;

static int64_t flopsOf(const weir_product &product) {
  int64_t flops = 2 * product.m * product.n * product.k;
  for (int64_t i = 0; i < product.batch_rank; ++i)
    flops *= product.batch_size[i];
  return flops;
}

//===----------------------------------------------------------------------===//
// A step
//===----------------------------------------------------------------------===//

Status LaunchTimes::before(cudaStream_t stream, size_t launch) {
  Status status;
  if (used == timed.size()) {
    Timed &added = timed.emplace_back();
    status = makeEvent(added.begin, /*timed=*/true);
    if (!status.failed())
      status = makeEvent(added.end, /*timed=*/true);
  }
  timed[used].launch = launch;
  if (launch != noLaunch)
    if (std::vector<std::string> &passes = calls[launch].passes;
        std::ranges::find(passes, pass) == passes.end())
      passes.push_back(pass);
  if (!status.failed())
    status = check(cudaEventRecord(timed[used].begin.get(), stream),
                   "cudaEventRecord");
  return status;
}

Status LaunchTimes::after(cudaStream_t stream) {
  return check(cudaEventRecord(timed[used++].end.get(), stream),
               "cudaEventRecord");
}

Status LaunchTimes::beforeKernel(cudaStream_t stream,
                                 const weir_cuda_launch &launch,
                                 const char *name) {
  auto [number, isNew] = numbers.try_emplace(&launch, calls.size());
  if (isNew) {
    std::string contents(reinterpret_cast<const char *>(&launch),
                         sizeof(launch));
    number->second = known.try_emplace(contents, calls.size()).first->second;
    if (number->second == calls.size())
      calls.push_back({name, false, {}, launch.bytes, 0, 0, {}});
  }
  return before(stream, number->second);
}

Status LaunchTimes::beforeProduct(cudaStream_t stream,
                                  const weir_cuda_product &product) {
  auto [number, isNew] = numbers.try_emplace(&product, calls.size());
  if (isNew) {
    std::string contents(reinterpret_cast<const char *>(&product),
                         sizeof(product));
    number->second = known.try_emplace(contents, calls.size()).first->second;
    if (number->second == calls.size())
      calls.push_back(
          {describe(product), true, {}, 0, flopsOf(product.product), 0, {}});
  }
  return before(stream, number->second);
}

Status LaunchTimes::secondsOf(const Timed &timed, double &seconds) const {
  float milliseconds = 0;
  Status status = check(
      cudaEventElapsedTime(&milliseconds, timed.begin.get(), timed.end.get()),
      "cudaEventElapsedTime");
  seconds = static_cast<double>(milliseconds) * 1e-3;
  return status;
}

Status LaunchTimes::endStep(int64_t step, cudaStream_t stream) {
  if (step == 2) {
    empty.clear();
    for (LaunchCalls &launch : calls)
      launch.seconds.clear();
  }
  for (LaunchCalls &launch : calls)
    launch.callsPerStep = 0;
  Status status = before(stream, noLaunch);
  if (!status.failed())
    status = after(stream);
  if (!status.failed())
    status = check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  for (size_t i = 0; i < used && !status.failed(); ++i) {
    double seconds = 0;
    status = secondsOf(timed[i], seconds);
    if (timed[i].launch == noLaunch) {
      empty.push_back(seconds);
      continue;
    }
    LaunchCalls &launch = calls[timed[i].launch];
    ++launch.callsPerStep;
    launch.seconds.push_back(seconds);
  }
  used = 0;
  return status;
}

//===----------------------------------------------------------------------===//
// After the last step
//===----------------------------------------------------------------------===//

static double stepSeconds(const LaunchCalls &launch) {
  return median(launch.seconds) * static_cast<double>(launch.callsPerStep);
}

std::vector<LaunchCalls> LaunchTimes::launches() const {
  std::vector<LaunchCalls> sorted = calls;
  std::ranges::sort(sorted, std::greater(), stepSeconds);
  return sorted;
}

double LaunchTimes::emptySeconds() const { return median(empty); }

Status LaunchTimes::measureCopy(cudaStream_t stream) {
  int64_t largest = 0;
  for (const LaunchCalls &launch : calls)
    largest = std::max(largest, launch.bytes);
  size_t free = 0, total = 0;
  Status status = check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const int64_t bytes = std::min(std::clamp(4 * largest, leastCopy, mostCopy),
                                 static_cast<int64_t>(free / 4));
  if (status.failed() || bytes == 0)
    return status;
  DeviceMemory from, to;
  status = makeMemory(from, bytes);
  if (!status.failed())
    status = makeMemory(to, bytes);
  if (!status.failed())
    status =
        check(cudaMemsetAsync(from.get(), 1, bytes, stream), "cudaMemsetAsync");
  Timed one;
  if (!status.failed())
    status = makeEvent(one.begin, /*timed=*/true);
  if (!status.failed())
    status = makeEvent(one.end, /*timed=*/true);
  std::vector<double> times;
  for (int i = 0; i < numFirstCopies + numCopies && !status.failed(); ++i) {
    status = check(cudaEventRecord(one.begin.get(), stream), "cudaEventRecord");
    if (!status.failed())
      status = check(cudaMemcpyAsync(to.get(), from.get(), bytes,
                                     cudaMemcpyDeviceToDevice, stream),
                     "cudaMemcpyAsync");
    if (!status.failed())
      status = check(cudaEventRecord(one.end.get(), stream), "cudaEventRecord");
    if (!status.failed())
      status = check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    double seconds = 0;
    if (!status.failed())
      status = secondsOf(one, seconds);
    if (i >= numFirstCopies)
      times.push_back(seconds);
  }
  if (!status.failed())
    copySpeed = {bytes, median(times)};
  return status;
}
