//===- ThreadTransport.cpp - ranks as threads -----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/ThreadTransport.h"

#include <chrono>
#include <cstring>

using namespace weir::runtime;

int64_t ThreadTransport::addEnd(const TransferEnd &end, bool isSend) {
  Channel &channel =
      isSend ? channels[{end.rank, end.peer}] : channels[{end.peer, end.rank}];
  size_t index = isSend ? channel.numSends++ : channel.numReceives++;
  if (index == channel.meetings.size())
    channel.meetings.emplace_back();
  Meeting &meeting = channel.meetings[index];
  (isSend ? meeting.send : meeting.receive) = end;
  ends.push_back({&channel, &meeting});
  return static_cast<int64_t>(ends.size()) - 1;
}

int64_t ThreadTransport::addSend(const TransferEnd &end) {
  return addEnd(end, /*isSend=*/true);
}

int64_t ThreadTransport::addReceive(const TransferEnd &end) {
  return addEnd(end, /*isSend=*/false);
}

bool ThreadTransport::copy(const TransferEnd &send,
                           const TransferEnd &receive) {
  std::memcpy(receive.address, send.address, send.bytes);
  return true;
}

TransferResult ThreadTransport::start(End &end, int64_t Meeting::*mine,
                                      int64_t Meeting::*other) {
  Meeting &meeting = *end.meeting;
  int64_t step = ++end.steps;
  bool bothStarted;
  {
    std::lock_guard lock(end.channel->mutex);
    meeting.*mine = step;
    bothStarted = meeting.*other == step;
  }
  if (!bothStarted)
    return TransferResult::Done;
  if (meeting.send.message != meeting.receive.message ||
      meeting.send.bytes != meeting.receive.bytes)
    return TransferResult::Mismatch;
  if (!copy(meeting.send, meeting.receive))
    return TransferResult::Failed;
  {
    // Under the mutex, so that a waiter which is about to block sees it.
    std::lock_guard lock(end.channel->mutex);
    meeting.transfers.store(step, std::memory_order_release);
  }
  end.channel->done.notify_all();
  return TransferResult::Done;
}

TransferResult ThreadTransport::sendStart(int64_t handle) {
  return start(ends[handle], &Meeting::sendsStarted, &Meeting::receivesStarted);
}

TransferResult ThreadTransport::receiveStart(int64_t handle) {
  return start(ends[handle], &Meeting::receivesStarted, &Meeting::sendsStarted);
}

TransferResult ThreadTransport::wait(int64_t handle, double timeout) {
  End &end = ends[handle];
  auto isDone = [&] {
    return end.meeting->transfers.load(std::memory_order_acquire) >= end.steps;
  };
  auto isAborted = [&] { return aborted.load(std::memory_order_acquire); };

  for (int spin = 0; spin < spins; ++spin) {
    if (isDone())
      return TransferResult::Done;
    if (isAborted())
      return TransferResult::Aborted;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  auto deadline = std::chrono::steady_clock::now() +
                  std::chrono::duration_cast<std::chrono::nanoseconds>(
                      std::chrono::duration<double>(timeout));
  std::unique_lock lock(end.channel->mutex);
  end.channel->done.wait_until(lock, deadline,
                               [&] { return isDone() || isAborted(); });
  if (isDone())
    return TransferResult::Done;
  return isAborted() ? TransferResult::Aborted : TransferResult::TimedOut;
}

void ThreadTransport::abort() {
  aborted.store(true, std::memory_order_release);
  for (auto &[pair, channel] : channels) {
    // A waiter holds the mutex between its last look and its sleep.
    { std::lock_guard lock(channel.mutex); }
    channel.done.notify_all();
  }
}
