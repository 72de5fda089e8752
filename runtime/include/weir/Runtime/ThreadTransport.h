//===- weir/Runtime/ThreadTransport.h - ranks as threads --------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_THREADTRANSPORT_H
#define WEIR_RUNTIME_THREADTRANSPORT_H

#include "weir/Runtime/Transport.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace weir::runtime {

/// Transfers between threads of one process: one copy, made or put on its way
/// by the thread that starts its end second.
class ThreadTransport : public Transport {
public:
  /// Waits look `spins` times before they block: a few where ranks share cores,
  /// more where each has its own.
  explicit ThreadTransport(int spins) : spins(spins) {}

  int64_t addSend(const TransferEnd &end) override;
  int64_t addReceive(const TransferEnd &end) override;
  TransferResult sendStart(int64_t handle) override;
  TransferResult receiveStart(int64_t handle) override;
  TransferResult wait(int64_t handle, double timeout) override;
  void abort() override;

protected:
  /// Copies from one end to the other; called once both have started, before
  /// either wait is over. False if it cannot.
  virtual bool copy(const TransferEnd &send, const TransferEnd &receive);

private:
  /// One transfer of each step. Steps are counted apart at either end, since a
  /// rank may begin its next step before its peer has seen the end of this one;
  /// neither can be further than that.
  struct Meeting {
    TransferEnd send{}, receive{};
    int64_t sendsStarted = 0, receivesStarted = 0; /* under the mutex */
    std::atomic<int64_t> transfers = 0;
  };

  /// The transfers from one rank to another.
  struct Channel {
    std::mutex mutex;
    std::condition_variable done;
    std::deque<Meeting> meetings;
    size_t numSends = 0, numReceives = 0;
  };

  struct End {
    Channel *channel;
    Meeting *meeting;
    int64_t steps = 0; /* number of starts */
  };

  int64_t addEnd(const TransferEnd &end, bool isSend);
  TransferResult start(End &end, int64_t Meeting::*mine,
                       int64_t Meeting::*other);

  const int spins;
  std::atomic<bool> aborted = false;
  std::map<std::pair<int64_t, int64_t>, Channel> channels; /* from, to */
  std::deque<End> ends;                                    /* by handle */
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_THREADTRANSPORT_H
