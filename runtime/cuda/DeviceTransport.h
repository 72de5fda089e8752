//===- DeviceTransport.h - transfers between devices -------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_DEVICETRANSPORT_H
#define WEIR_RUNTIME_CUDA_DEVICETRANSPORT_H

#include "Device.h"
#include "StepPlan.h"

#include <cstddef>
#include <vector>

namespace weir::runtime::cuda {

/// What the operations of a plan stand for on a device.
struct PlanResources {
  const StepPlan *plan = nullptr;
  std::byte *arena = nullptr;
  std::vector<Stream> streams; /* compute first */
  std::vector<Event> events;

  cudaStream_t compute() const { return streams[0].get(); }
};

/// The transfers of one rank. All of it on the rank's own thread, with its
/// device current, but for abort().
class DeviceTransport {
public:
  explicit DeviceTransport(PlanResources &resources) : resources(resources) {}
  virtual ~DeviceTransport() = default;

  /// Before the first step: connects to all peers and moves something through
  /// every queue, so that nothing is set up in a step. Every rank of the
  /// program calls it.
  virtual Status connect() = 0;

  /// Puts a transfer on the stream of its queue.
  virtual Status start(int64_t transfer) = 0;
  /// Records its done event behind it; makes a stream wait for that. By default
  /// the event of the plan.
  virtual Status recordDone(int64_t transfer);
  virtual Status waitDone(int64_t transfer, cudaStream_t stream);
  /// Whether these can be captured into a graph of this rank alone.
  virtual bool canBeCaptured() const = 0;

  /// Fails if a transfer has failed since; `stream` is then that of its queue,
  /// or 0 if it is not known.
  virtual Status poll(int64_t &stream) = 0;

  /// Ends all transfers, now and later. Any thread may call it.
  virtual void abort() = 0;
  /// Ends the connections, in concert with the others; after the last step.
  virtual void close() = 0;

protected:
  PlanResources &resources;
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_DEVICETRANSPORT_H
