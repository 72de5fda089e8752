//===- DeviceTrace.cpp - when operations ran on the device ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceTrace.h"

#include <algorithm>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

bool DeviceTrace::isTimed(const PlanOperation &operation) const {
  switch (operation.kind) {
  case PlanKind::Run:
  case PlanKind::Send:
  case PlanKind::Receive:
    return true;
  case PlanKind::CopyIn:
    return operation.action >= 0;
  default:
    return false;
  }
}

Status DeviceTrace::prepare(const PlanResources &resources) {
  times.resize(resources.plan->operations.size());
  Status status = makeEvent(base, /*timed=*/true);
  for (size_t i = 0; i < times.size() && !status.failed(); ++i) {
    if (!isTimed(resources.plan->operations[i]))
      continue;
    status = makeEvent(times[i].begin, /*timed=*/true);
    if (!status.failed())
      status = makeEvent(times[i].end, /*timed=*/true);
  }
  return status;
}

Status DeviceTrace::beginStep(const PlanResources &resources) {
  Status status = check(cudaEventRecord(base.get(), resources.compute()),
                        "cudaEventRecord");
  if (!status.failed())
    status = check(cudaEventSynchronize(base.get()), "cudaEventSynchronize");
  baseTime = Trace::now();
  return status;
}

static Status record(const PlanResources &resources, size_t index,
                     const Event &event) {
  if (!event.get())
    return {};
  int64_t stream = resources.plan->operations[index].stream;
  return check(cudaEventRecord(event.get(), resources.streams[stream].get()),
               "cudaEventRecord");
}

Status DeviceTrace::before(const PlanResources &resources, size_t index) {
  return record(resources, index, times[index].begin);
}

Status DeviceTrace::after(const PlanResources &resources, size_t index) {
  return record(resources, index, times[index].end);
}

Status DeviceTrace::timeOf(const Event &event, int64_t &nanoseconds) const {
  float milliseconds = 0;
  Status status =
      check(cudaEventElapsedTime(&milliseconds, base.get(), event.get()),
            "cudaEventElapsedTime");
  nanoseconds = baseTime + static_cast<int64_t>(milliseconds * 1e6);
  return status;
}

Status DeviceTrace::endStep(const PlanResources &resources,
                            const Listener &record) const {
  const StepPlan &plan = *resources.plan;
  std::vector<int64_t> doneTimes(plan.transfers.size(), baseTime);
  int64_t computeTime = baseTime; /* where the compute stream is */
  for (size_t i = 0; i < times.size(); ++i) {
    const PlanOperation &operation = plan.operations[i];
    if (times[i].begin.get()) {
      int64_t begin = 0, end = 0;
      Status status = timeOf(times[i].begin, begin);
      if (!status.failed())
        status = timeOf(times[i].end, end);
      if (status.failed())
        return status;
      record(operation.action, begin, end);
      if (operation.stream == 0)
        computeTime = end;
      else
        doneTimes[operation.transfer] = end;
    } else if (operation.kind == PlanKind::Wait && operation.stream == 0 &&
               operation.transfer >= 0) {
      int64_t end = std::max(computeTime, doneTimes[operation.transfer]);
      record(operation.action, computeTime, end);
      computeTime = end;
    }
  }
  return {};
}
