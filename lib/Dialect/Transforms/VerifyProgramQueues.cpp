//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyPrograms.h"

#include <map>

using namespace mlir;
using namespace weir;

namespace {

/// The transfers from one device to another, in the order of their starts.
struct Queue {
  SmallVector<SendStartOp> sends;
  SmallVector<RecvStartOp> receives;
};

/// All queues by (from, to), and the ends of messages by their numbers.
struct Queues {
  std::map<std::pair<int64_t, int64_t>, Queue> byDevices;
  std::map<int64_t, SendStartOp> sendOf;
  std::map<int64_t, RecvStartOp> recvOf;
};

} // namespace

/// Records the transfer under its message number; refuses a second one.
template <typename TransferOp>
static LogicalResult recordMessage(std::map<int64_t, TransferOp> &byNumber,
                                   TransferOp op) {
  auto [it, isNew] = byNumber.try_emplace(op.getMessage(), op);
  if (isNew)
    return success();
  InFlightDiagnostic diag = op.emitError("message ")
                            << op.getMessage() << " is used twice";
  diag.attachNote(it->second->getLoc()) << "first used here";
  return diag;
}

/// Checks that a transfer is with another device, and of a microbatch there is.
template <typename TransferOp>
static LogicalResult verifyEnds(const ProgramsOfPipeline &all, int64_t device,
                                TransferOp op) {
  int64_t peer = op.getPeer();
  if (peer == device || peer < 0 || peer >= int64_t(all.programs.size()))
    return op.emitOpError("has no such peer: device ") << peer;
  std::optional<uint64_t> microbatch = op.getMicrobatch();
  if (microbatch && *microbatch >= uint64_t(all.microbatches))
    return op.emitOpError("is of microbatch ")
           << int64_t(*microbatch) << " of " << all.microbatches;
  return success();
}

static LogicalResult collectQueues(const ProgramsOfPipeline &all,
                                   Queues &queues) {
  for (ProgramOp program : all.programs) {
    int64_t device = program.getDevice();
    for (Operation &op : program.getBody().front()) {
      if (auto send = dyn_cast<SendStartOp>(op)) {
        queues.byDevices[{device, send.getPeer()}].sends.push_back(send);
        if (failed(recordMessage(queues.sendOf, send)) ||
            failed(verifyEnds(all, device, send)))
          return failure();
      } else if (auto receive = dyn_cast<RecvStartOp>(op)) {
        queues.byDevices[{receive.getPeer(), device}].receives.push_back(
            receive);
        if (failed(recordMessage(queues.recvOf, receive)) ||
            failed(verifyEnds(all, device, receive)))
          return failure();
      }
    }
  }
  return success();
}

/// "message 3 of microbatch 1 of type tensor<8xf32>".
template <typename TransferOp>
static std::string describe(TransferOp op, Type type) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "message " << op.getMessage();
  if (op.getMicrobatch())
    os << " of microbatch " << *op.getMicrobatch();
  os << " of type " << type;
  return text;
}

/// Checks that the two ends of transfer `number` from device `pair.first` to
/// device `pair.second` are of one message.
static LogicalResult verifyMeeting(std::pair<int64_t, int64_t> pair,
                                   size_t number, SendStartOp send,
                                   RecvStartOp receive) {
  Type type = receive.getToken().getType().getTensor();
  if (send.getMessage() == receive.getMessage() &&
      send.getMicrobatch() == receive.getMicrobatch() &&
      send.getValue().getType() == type)
    return success();
  InFlightDiagnostic diag =
      receive.emitError("transfer ")
      << number << " from device " << pair.first << " to device " << pair.second
      << " is received as " << describe(receive, type) << " but sent as "
      << describe(send, send.getValue().getType());
  diag.attachNote(send.getLoc()) << "sent here";
  return diag;
}

static LogicalResult verifyTokens(ProgramOp program) {
  for (Operation &op : program.getBody().front()) {
    if (!isa<SendStartOp, RecvStartOp>(op))
      continue;
    Value token = op.getResult(0);
    if (token.use_empty())
      return op.emitOpError("is never waited for");
    if (token.hasOneUse())
      continue;
    InFlightDiagnostic diag = op.emitOpError("is waited for more than once");
    for (Operation *user : token.getUsers())
      diag.attachNote(user->getLoc()) << "waited for here";
    return diag;
  }
  return success();
}

LogicalResult weir::verifyQueues(const ProgramsOfPipeline &all) {
  Queues queues;
  if (failed(collectQueues(all, queues)))
    return failure();
  for (auto &[pair, queue] : queues.byDevices) {
    size_t both = std::min(queue.sends.size(), queue.receives.size());
    for (size_t i = 0; i < both; ++i)
      if (failed(verifyMeeting(pair, i, queue.sends[i], queue.receives[i])))
        return failure();
    if (queue.sends.size() > both)
      return queue.sends[both].emitError("message ")
             << queue.sends[both].getMessage() << " is never received";
    if (queue.receives.size() > both)
      return queue.receives[both].emitError("message ")
             << queue.receives[both].getMessage() << " is never sent";
  }
  for (ProgramOp program : all.programs)
    if (failed(verifyTokens(program)))
      return failure();
  return success();
}

/// "for message 3 to device 1".
static std::string describeWait(WaitOp wait) {
  Operation *start = wait.getToken().getDefiningOp();
  if (auto send = dyn_cast<SendStartOp>(start))
    return ("for message " + Twine(send.getMessage()) + " to device " +
            Twine(send.getPeer()))
        .str();
  auto receive = cast<RecvStartOp>(start);
  return ("for message " + Twine(receive.getMessage()) + " from device " +
          Twine(receive.getPeer()))
      .str();
}

LogicalResult weir::verifyProgress(const HappensBefore &order) {
  SmallVector<HappensBefore::Step> cycle = order.findCycle();
  if (cycle.empty())
    return success();
  auto first = cast<WaitOp>(cycle.front().op);
  InFlightDiagnostic diag = first.emitError("deadlock: device ")
                            << order.getDevice(first) << " waits here "
                            << describeWait(first);
  for (const HappensBefore::Step &step : llvm::drop_begin(cycle)) {
    int64_t device = order.getDevice(step.op);
    Diagnostic &note = diag.attachNote(step.op->getLoc());
    if (auto wait = dyn_cast<WaitOp>(step.op))
      note << "after device " << device << " has waited here "
           << describeWait(wait) << " (program order)";
    else
      note << "which device " << device
           << (isa<SendStartOp>(step.op) ? " sends" : " receives")
           << " only here (rendezvous)";
  }
  diag.attachNote(first.getLoc())
      << "after device " << order.getDevice(first)
      << " has waited here, where the cycle closes (program order)";
  return diag;
}
