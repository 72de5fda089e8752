//===- DeviceTransport.cpp - transfers between devices --------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceTransport.h"

using namespace weir::runtime;
using namespace weir::runtime::cuda;

Status DeviceTransport::recordDone(int64_t number) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  return check(cudaEventRecord(resources.events[transfer.doneEvent].get(),
                               resources.streams[transfer.stream].get()),
               "cudaEventRecord");
}

Status DeviceTransport::waitDone(int64_t number, cudaStream_t stream) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  return check(cudaStreamWaitEvent(
                   stream, resources.events[transfer.doneEvent].get(), 0),
               "cudaStreamWaitEvent");
}
