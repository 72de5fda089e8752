//===- weir/Runtime/Transport.h - transfers between ranks -------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_TRANSPORT_H
#define WEIR_RUNTIME_TRANSPORT_H

#include <cstdint>

namespace weir::runtime {

/// One end of a transfer that is repeated in every step.
struct TransferEnd {
  int64_t rank;
  int64_t peer;
  int64_t message; /* equal at both ends */
  void *address;   /* read by a send, written by a receive */
  int64_t bytes;
};

enum class TransferResult {
  Done,
  /// The peer did not start its end in time.
  TimedOut,
  /// Another rank has failed: abort() was called.
  Aborted,
  /// The ends of the transfer disagree on message or bytes.
  Mismatch,
  /// The bytes could not be copied; the transport knows why.
  Failed,
};

/// Moves bytes between ranks by rendezvous: a transfer takes place once both
/// ends have started it, and nothing may depend on buffering. Per pair of ranks
/// and direction, transfers take place in the order in which they were added.
///
/// All ends are added before the first step, rank by rank, in the order of the
/// program; a step starts each of them once, in the same order, and waits for
/// each of them once. So an implementation can set everything up beforehand and
/// allocate nothing in a step.
class Transport {
public:
  virtual ~Transport() = default;

  /// Adds one end and returns the handle by which the rank starts and waits for
  /// it. Not thread-safe.
  virtual int64_t addSend(const TransferEnd &end) = 0;
  virtual int64_t addReceive(const TransferEnd &end) = 0;

  /// Starts one end; does not block for the peer. From here to the end of the
  /// wait, what is sent may not be written, and what is received may be neither
  /// read nor written.
  virtual TransferResult sendStart(int64_t handle) = 0;
  virtual TransferResult receiveStart(int64_t handle) = 0;

  /// Waits until the transfer has taken place, at most `timeout` seconds.
  virtual TransferResult wait(int64_t handle, double timeout) = 0;

  /// Ends all waits, now and later, with Aborted. Any thread may call it.
  virtual void abort() = 0;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_TRANSPORT_H
