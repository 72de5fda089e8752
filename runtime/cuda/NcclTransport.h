//===- NcclTransport.h - transfers by NCCL -----------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One communicator for all ranks, and from it, by ncclCommSplit, one of two
// ranks for each queue: an ordered pair of devices. So queues do not wait for
// each other, as the scheduler's model has it, and each is in order.
//
// A transfer of NCCL is a kernel that occupies multiprocessors until its peer
// has come. Two that wait for each other's peers must therefore be resident
// together, on every device:
//
//  * There is at most one kernel per queue, since its stream is in order. With
//    Q queues on the busiest device and M multiprocessors, each kernel gets at
//    most max(1, min(32, M) / Q) blocks (maxCTAs), no more than 8. Kernels of
//    passes do not count: they wait for nothing, so they end.
//  * A device holds at least M blocks; so M / maxCTAs transfers fit, and no
//  more than 28, for a device has 32 hardware queues
//    (CUDA_DEVICE_MAX_CONNECTIONS), some of which are needed for the rest.
//    Where a rank has more queues than that, the start of each transfer waits
//    for the end of the one so many before it
//    (StepPlanOptions::transfersInFlight), and the table is checked to get on
//    with that (checkTransfersInFlight).
//
// No communicator blocks: every call is polled for, and abort() ends what is on
// the device.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_NCCLTRANSPORT_H
#define WEIR_RUNTIME_CUDA_NCCLTRANSPORT_H

#include "DeviceTransport.h"
#include "Store.h"
#include "weir/Runtime/Table.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

namespace weir::runtime::cuda {

/// Blocks of a transfer's kernel at most, for a table's programs; devices with
/// `multiprocessors` each.
int maxTransferBlocks(const Table &table, int64_t multiprocessors);

/// Transfers that fit on a device with `multiprocessors` at once.
int64_t mostTransfersInFlight(const Table &table, int64_t multiprocessors);

/// The ordered pairs of devices that have a queue, in rounds: no device is
/// twice in a round. The same on every rank.
using QueuePair = std::pair<int64_t, int64_t>; /* from, to */
std::vector<std::vector<QueuePair>> queueRounds(const Table &table);

class NcclTransport : public DeviceTransport {
public:
  /// `store` is shared by all ranks; `timeout` in seconds.
  NcclTransport(const Table &table, PlanResources &resources, Store &store,
                int64_t multiprocessors, double timeout);
  ~NcclTransport() override;

  Status connect() override;
  Status start(int64_t transfer) override;
  bool canBeCaptured() const override { return true; }
  Status poll(int64_t &stream) override;
  void abort() override;
  void close() override;

private:
  struct Queue {
    ncclComm_t communicator = nullptr;
    int64_t peer;
    bool isSend;
  };

  Status joinWorld();
  Status split(const std::vector<QueuePair> &round);
  Status warmUp(const QueuePair &pair);
  Queue *queueOf(const QueuePair &pair);
  Status enqueue(Queue &queue, void *address, int64_t bytes,
                 cudaStream_t stream, const std::string &what);
  Status settle(ncclComm_t communicator, ncclResult_t result,
                const std::string &what);
  Status look(ncclComm_t communicator, const std::string &what,
              bool &isInProgress);
  std::string textOf(const Queue &queue) const;

  const Table &table;
  const int64_t rank;
  Store &store;
  const int64_t multiprocessors;
  const double timeout;

  /// Of every call that takes a communicator: abort() ends them all.
  std::timed_mutex mutex;
  std::atomic<bool> isAborted = false;
  ncclComm_t world = nullptr;
  std::vector<Queue> queues; /* queue i is stream i + 1 */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_NCCLTRANSPORT_H
