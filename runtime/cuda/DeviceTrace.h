//===- DeviceTrace.h - when operations ran on the device ---------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_DEVICETRACE_H
#define WEIR_RUNTIME_CUDA_DEVICETRACE_H

#include "DeviceTransport.h"
#include "weir/Runtime/Trace.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace weir::runtime::cuda {

/// Times of the operations of a rank by events with time on their streams. A
/// transfer lasts from where its queue comes to it to where it is over; a wait
/// lasts as long as the compute stream has nothing to do for it. Graphs have no
/// times of their parts: passes can be graphs, steps cannot.
class DeviceTrace {
public:
  Status prepare(const PlanResources &resources);

  /// At the start of a step, with all streams idle: ties the clock of the
  /// device to that of the host.
  Status beginStep(const PlanResources &resources);
  /// Around operation `index` of the plan.
  Status before(const PlanResources &resources, size_t index);
  Status after(const PlanResources &resources, size_t index);
  /// Tells of every action that has a time, in nanoseconds of the host's clock.
  using Listener =
      std::function<void(int64_t action, int64_t begin, int64_t end)>;
  /// When the step has ended.
  Status endStep(const PlanResources &resources, const Listener &record) const;

private:
  struct Times {
    Event begin, end;
  };
  bool isTimed(const PlanOperation &operation) const;
  Status timeOf(const Event &event, int64_t &nanoseconds) const;

  Event base;
  int64_t baseTime = 0;     /* of the host, nanoseconds */
  std::vector<Times> times; /* by operation; null where not timed */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_DEVICETRACE_H
