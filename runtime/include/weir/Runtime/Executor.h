//===- weir/Runtime/Executor.h - runs the programs of all ranks -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EXECUTOR_H
#define WEIR_RUNTIME_EXECUTOR_H

#include "weir/Runtime/Job.h"
#include "weir/Runtime/RunLoop.h"
#include "weir/Runtime/Status.h"

#include <memory>
#include <vector>

namespace weir::runtime {

/// Runs one thread per rank. Everything that a step needs is taken before the
/// first one: arenas, the addresses of every buffer, the transfers.
class Executor {
public:
  explicit Executor(std::shared_ptr<const Job> job);
  Executor(const Executor &) = delete;
  Executor &operator=(const Executor &) = delete;
  /// Threads that hang in a pass are left behind with the memory that they use.
  ~Executor();

  /// Reserves the arenas.
  Status prepare();

  /// Trains. On failure of one rank (a hung peer, a pass that fails, a loss
  /// that is not finite) the others end within seconds, and the status names
  /// the rank, the action and the peer. Call it once, after prepare().
  Status run(const RunEvents &events);

  /// True if a rank has not come back from a compiled pass after a failure. It
  /// cannot be ended from outside; only the end of the process ends it.
  bool hasHungRank() const;

  /// Bytes of all arenas.
  int64_t arenaBytes() const;
  /// Bytes of the executor itself, without the arenas.
  int64_t ownBytes() const;

  /// The parameters as they are, borrowed from the arenas; after run().
  std::vector<NamedTensor> parameters() const;

  /// The gradients of step 1: per variable the sum of its uses in their order,
  /// not divided by the count; "__loss_sum" and "__count". Borrowed; from
  /// onGradients on.
  std::vector<NamedTensor> gradients() const;

private:
  class State;
  std::shared_ptr<State> state;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_EXECUTOR_H
