// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An order of passes per device, and the check that it may run.

#ifndef WEIR_SCHEDULE_SCHEDULE_H
#define WEIR_SCHEDULE_SCHEDULE_H

#include "weir/Schedule/Problem.h"

namespace weir::schedule {

struct Pass {
  PassKind kind = PassKind::Forward;
  int stage = 0;
  /// -1 for an update.
  int microbatch = -1;

  bool operator==(const Pass &) const = default;
};

/// "F s3 mb 7", "U s3".
std::string toString(const Pass &pass);

/// What each device runs, in order. Times follow from the order (`simulate`).
struct Schedule {
  std::string name;
  std::vector<std::vector<Pass>> order;
};

/// Appends the updates that `schedule` lacks, of stages whose update takes
/// time, to the orders of their devices: the stage whose backward passes end
/// first is updated first, as its gradients are exchanged first.
void appendUpdates(const Problem &problem, Schedule &schedule);

/// Checks `schedule` from scratch: every pass exactly once (either B and W or a
/// fused backward) and on the device of its stage; per stage F, B and W each in
/// the order of microbatches 0, 1, 2, ... (a fused backward counts as both);
/// at most one update per stage, after its last backward pass; no deadlock; and
/// where the problem has a memory limit, peak memory within it.
///
/// Returns nullopt, or one line that names the passes at fault and their
/// devices. Requires `!problem.check()`.
std::optional<std::string> verify(const Problem &problem,
                                  const Schedule &schedule);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_SCHEDULE_H
