//===- StepPlan.h - what a rank puts on which stream -------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The program of a device as a list of operations on streams. A rank has one
// compute stream and one stream for each of its queues (a peer and a
// direction), as the scheduler's model has them. Events order them:
//
//   action           compute stream           stream of the queue
//   send x to 1      record start(x)
//                                             wait start(x)
//                                             send x
//                                             record done(x)
//   F s0 mb 1        F s0 mb 1                   (at the same time)
//   wait for send x  wait done(x)
//
// and likewise for a receive: its start says that nothing reads the buffer any
// more. So the host waits for nothing within a step. Everything else is on the
// compute stream, in the order of the program: what happens before what is read
// off the list. All streams start from the compute stream and end in it, so
// that a step can be captured as one graph.
//
// The list is data: the executor issues it, a race checker can analyse it, and
// a test can leave out a record or a wait to see that it is missed.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_STEPPLAN_H
#define WEIR_RUNTIME_CUDA_STEPPLAN_H

#include "weir/Runtime/Status.h"
#include "weir/Runtime/Table.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weir::runtime::cuda {

/// A send or a receive of one device, in the order of their starts.
struct PlannedTransfer {
  bool isSend;
  int64_t peer, message;
  int64_t offset, bytes; /* in the arena */
  int64_t stream;        /* of its queue */
  int64_t startAction, waitAction;
  int64_t startEvent, doneEvent;
};

enum class PlanKind {
  /// Fill `bytes` at `offset` with zeros, or with poison.
  Clear,
  Poison,
  /// Copy `bytes` from `staging` of the staging block to `offset`, ...
  CopyIn,
  /// ... and the other way round.
  CopyOut,
  /// Call the compiled pass of `action`.
  Run,
  /// The transfer `transfer`.
  Send,
  Receive,
  /// Record `event`; make the stream wait for it.
  Record,
  Wait,
  /// Tell the host that the stream got here: set entry `mark` of the marks.
  Mark,
};

struct PlanOperation {
  PlanKind kind;
  int64_t stream; /* 0: compute */
  int64_t action; /* of the table; -1 before the first and after the last */
  int64_t event = -1;
  int64_t transfer = -1; /* Send, Receive; Record, Wait of one */
  int64_t offset = 0, bytes = 0;
  int64_t staging = 0;
  int64_t mark = -1;
};

/// Bytes [begin, end) of the arena that an operation touches.
struct PlanAccess {
  int64_t begin, end;
  enum Mode { Read, Write } mode;
};

struct StepPlanOptions {
  /// Poison what is received before it is received, and what is released.
  bool poison = false;
  /// Mark start and end of every transfer, where events cannot be asked.
  bool marks = false;
  /// The most transfers of the rank that may be in flight; the start of a
  /// transfer waits for the end of the one so many before it. 0: no limit.
  int64_t transfersInFlight = 0;
};

class StepPlan {
public:
  /// Of a device of a verified table.
  static StepPlan make(const Table &table, int64_t device,
                       const StepPlanOptions &options);

  int64_t device = 0;
  int64_t numStreams = 1; /* compute, then the queues */
  int64_t numEvents = 0;
  /// Host memory that goes in and out in a step: learning rate and step number
  /// (where the device has them), inputs, loss and count.
  int64_t stagingBytes = 0;
  int64_t learningRateAt = -1, stepNumberAt = -1; /* in the staging block */
  int64_t lossAt = -1, countAt = -1;              /* -1: has none */
  /// Where each LOAD finds its input.
  struct Load {
    int64_t action, staging;
  };
  std::vector<Load> loads;
  std::vector<PlannedTransfer> transfers;
  /// In the order in which the host issues them.
  std::vector<PlanOperation> operations;

  bool hasMarks = false;

  int64_t numQueues() const { return numStreams - 1; }
  /// Marks of the start and of the end of a transfer.
  static int64_t startMark(int64_t transfer) { return 2 * transfer; }
  static int64_t doneMark(int64_t transfer) { return 2 * transfer + 1; }
  int64_t numMarks() const { return 2 * transfers.size(); }

  /// The plan without one Record or Wait.
  StepPlan without(size_t operation) const;

  /// What an operation reads and writes.
  std::vector<PlanAccess> accesses(const Table &table,
                                   const PlanOperation &operation) const;

  /// One operation as people write it: "queue 1: wait start(0)".
  std::string describe(const Table &table, size_t operation) const;
};

/// Whether the programs of a table get to their ends when each device has at
/// most `limits[device]` transfers in flight (0: any number), in the order of
/// their starts.
Status checkTransfersInFlight(const Table &table,
                              std::span<const int64_t> limits);

/// Queues of a device: peers that it sends to and peers that it receives from.
int64_t numQueues(const Table &table, int64_t device);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_STEPPLAN_H
