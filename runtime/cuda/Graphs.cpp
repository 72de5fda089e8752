//===- Graphs.cpp - passes and steps as CUDA graphs -----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Graphs.h"

#include <algorithm>
#include <cstring>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

Status weir::runtime::cuda::capture(cudaStream_t stream,
                                    const std::function<Status()> &enqueue,
                                    const std::string &what,
                                    GraphExec &executable) {
  auto failHere = [&](const Status &status) {
    return fail("capturing ", what, ": ", status.message());
  };
  // Other threads may allocate meanwhile: those of other ranks, and NCCL's.
  Status status =
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
            "cudaStreamBeginCapture");
  if (status.failed())
    return failHere(status);
  Status enqueued = enqueue();
  // Ends the capture in any case; what went wrong first is what counts.
  Graph graph;
  status =
      check(cudaStreamEndCapture(stream, graph.out()), "cudaStreamEndCapture");
  if (enqueued.failed())
    return failHere(enqueued);
  if (status.failed())
    return failHere(status);
  status = check(cudaGraphInstantiate(executable.out(), graph.get(), 0),
                 "cudaGraphInstantiate");
  return status.failed() ? failHere(status) : Status();
}

/// With Auto: the steps that are measured, per mode.
static constexpr int64_t measuredSteps = 3;

GraphMode GraphSchedule::modeOf(int64_t step) const {
  if (step == 1)
    return GraphMode::None;
  switch (choice) {
  case GraphChoice::None:
    return GraphMode::None;
  case GraphChoice::Pass:
    return GraphMode::Pass;
  case GraphChoice::Step:
    return GraphMode::Step;
  case GraphChoice::Auto:
    return step <= 1 + measuredSteps ? GraphMode::Pass : GraphMode::Step;
  }
  return GraphMode::None;
}

Status GraphSchedule::note(int64_t step, double seconds, Store &store,
                           double timeout,
                           const std::function<bool()> &isNeeded) {
  if (choice != GraphChoice::Auto || step == 1)
    return {};
  double &shortest = best[step <= 1 + measuredSteps ? 0 : 1];
  shortest = shortest == 0 ? seconds : std::min(shortest, seconds);
  if (step < 1 + 2 * measuredSteps)
    return {};
  return settle(store, timeout, isNeeded);
}

Status GraphSchedule::settle(Store &store, double timeout,
                             const std::function<bool()> &isNeeded) {
  auto nameOf = [](int64_t rank) {
    return "graph-times." + std::to_string(rank);
  };
  Status status =
      store.put(nameOf(device),
                std::string(reinterpret_cast<char *>(best), sizeof(best)));
  double slowest[2] = {0, 0};
  for (int64_t rank = 0; rank < numDevices && !status.failed(); ++rank) {
    std::string bytes;
    status = store.get(nameOf(rank), timeout,
                       "the step times of rank " + std::to_string(rank),
                       isNeeded, bytes);
    double times[2];
    if (!status.failed() && bytes.size() != sizeof(times))
      status = fail("the step times of rank ", rank, " have ", bytes.size(),
                    " bytes");
    if (status.failed())
      break;
    std::memcpy(times, bytes.data(), sizeof(times));
    for (int i = 0; i < 2; ++i)
      slowest[i] = std::max(slowest[i], times[i]);
  }
  choice = slowest[0] <= slowest[1] ? GraphChoice::Pass : GraphChoice::Step;
  return status;
}
