//===- CopyTransport.h - transfers by copies of the device -------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Between ranks of one process, which may share a device: NCCL allows no two
// ranks on one. The ranks meet on the host while they put a step on their
// streams; what they put there is one copy, ordered by events:
//
//   sender's queue            receiver's queue
//   wait start(send)          wait start(receive)
//   record ready(send)        wait ready(send)
//                             copy
//                             record done
//
// The thread that comes second puts the copy there; a wait of the program first
// waits, on the host, until that has happened, and then makes the compute
// stream wait for `done`. So no event is waited for before it is recorded, and
// nothing is put on a stream that waits for what comes later: the copies need
// no room on the device together. The threads get on as far as the program of
// each allows, which is what the verified table guarantees.
//
// A graph of one rank cannot hold events of another: steps cannot be captured.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_COPYTRANSPORT_H
#define WEIR_RUNTIME_CUDA_COPYTRANSPORT_H

#include "DeviceTransport.h"
#include "weir/Runtime/RunLoop.h"
#include "weir/Runtime/ThreadTransport.h"

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace weir::runtime::cuda {

/// Where the ranks of a process meet.
class CopyMeeting : public ThreadTransport {
public:
  CopyMeeting() : ThreadTransport(/*spins=*/50) {}

  /// A transfer by its message. Filled in by either end before the first step.
  struct Copy {
    Event ready, done;
    cudaStream_t stream = nullptr; /* of the receiver's queue */
  };
  std::unordered_map<int64_t, Copy> copies;

  /// Why a copy has failed.
  std::string failure();

protected:
  bool copy(const TransferEnd &send, const TransferEnd &receive) override;

private:
  std::mutex mutex;
  std::string firstFailure;
};

/// The transfers of one rank. Making it is not thread-safe.
class CopyTransport : public DeviceTransport {
public:
  CopyTransport(CopyMeeting &meeting, PlanResources &resources, RunLoop &loop,
                const Rank &rank)
      : DeviceTransport(resources), meeting(meeting), loop(loop), rank(rank) {}

  /// Adds this rank's ends; its device is current.
  Status prepare();

  Status connect() override { return {}; }
  Status start(int64_t transfer) override;
  Status recordDone(int64_t) override { return {}; }
  Status waitDone(int64_t transfer, cudaStream_t stream) override;
  bool canBeCaptured() const override {
    return resources.plan->transfers.empty();
  }
  Status poll(int64_t &) override { return {}; }
  void abort() override { meeting.abort(); }
  void close() override {}

private:
  Status statusOf(TransferResult result);

  CopyMeeting &meeting;
  RunLoop &loop;
  const Rank &rank;
  std::vector<int64_t> handles; /* by transfer */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_COPYTRANSPORT_H
