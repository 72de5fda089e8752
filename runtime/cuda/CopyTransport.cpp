//===- CopyTransport.cpp - transfers by copies of the device --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CopyTransport.h"

using namespace weir::runtime;
using namespace weir::runtime::cuda;

//===----------------------------------------------------------------------===//
// Meeting
//===----------------------------------------------------------------------===//

bool CopyMeeting::copy(const TransferEnd &send, const TransferEnd &receive) {
  Copy &copy = copies.at(send.message);
  Status status = check(cudaStreamWaitEvent(copy.stream, copy.ready.get(), 0),
                        "cudaStreamWaitEvent");
  if (!status.failed())
    status = check(cudaMemcpyAsync(receive.address, send.address, send.bytes,
                                   cudaMemcpyDefault, copy.stream),
                   "cudaMemcpyAsync from device " + std::to_string(send.rank) +
                       " to device " + std::to_string(receive.rank));
  if (!status.failed())
    status =
        check(cudaEventRecord(copy.done.get(), copy.stream), "cudaEventRecord");
  if (!status.failed())
    return true;
  std::lock_guard lock(mutex);
  if (firstFailure.empty())
    firstFailure = status.message();
  return false;
}

std::string CopyMeeting::failure() {
  std::lock_guard lock(mutex);
  return firstFailure;
}

//===----------------------------------------------------------------------===//
// A rank
//===----------------------------------------------------------------------===//

Status CopyTransport::prepare() {
  for (const PlannedTransfer &transfer : resources.plan->transfers) {
    TransferEnd end = {rank.device, transfer.peer, transfer.message,
                       resources.arena + transfer.offset, transfer.bytes};
    CopyMeeting::Copy &copy = meeting.copies[transfer.message];
    // Each event belongs to the device whose stream records it.
    Status status;
    if (transfer.isSend) {
      handles.push_back(meeting.addSend(end));
      status = makeEvent(copy.ready);
    } else {
      handles.push_back(meeting.addReceive(end));
      copy.stream = resources.streams[transfer.stream].get();
      status = makeEvent(copy.done);
    }
    if (status.failed())
      return status;
  }
  return {};
}

Status CopyTransport::statusOf(TransferResult result) {
  switch (result) {
  case TransferResult::Done:
    return {};
  case TransferResult::TimedOut:
    return fail(loop.timeoutText(rank));
  case TransferResult::Aborted:
    return fail("ended, since another rank has failed");
  case TransferResult::Mismatch:
    return fail("the two ends disagree on the message");
  case TransferResult::Failed:
    return fail(meeting.failure());
  }
  return {};
}

Status CopyTransport::start(int64_t number) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  if (!transfer.isSend)
    return statusOf(meeting.receiveStart(handles[number]));
  Status status =
      check(cudaEventRecord(meeting.copies.at(transfer.message).ready.get(),
                            resources.streams[transfer.stream].get()),
            "cudaEventRecord");
  if (status.failed())
    return status;
  return statusOf(meeting.sendStart(handles[number]));
}

Status CopyTransport::waitDone(int64_t number, cudaStream_t stream) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  Status status = statusOf(meeting.wait(handles[number], loop.options.timeout));
  if (status.failed())
    return status;
  return check(cudaStreamWaitEvent(
                   stream, meeting.copies.at(transfer.message).done.get(), 0),
               "cudaStreamWaitEvent");
}
