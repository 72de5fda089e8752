// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How many microbatches' activations stages hold at the same time.

#ifndef WEIR_SCHEDULE_HELDMICROBATCHES_H
#define WEIR_SCHEDULE_HELDMICROBATCHES_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

/// What a device holds at one moment: the number of microbatches of each of its
/// stages, in the order of the stages.
using HeldMicrobatches = std::vector<int>;

/// For each device the moments at which it holds most: those that no other
/// moment exceeds in one stage without falling behind in another. With bytes
/// b[s] per microbatch and stage, the device's activations take
///
///   max over its moments h of sum over its stages s of h[s] b[s]
///
/// bytes at their peak. A microbatch is held from the start of its F to the end
/// of its last backward pass; what B gives back before W is not counted off.
/// In 1f1b, stage s of p holds min(p - s, m) of m microbatches.
///
/// Requires a schedule that `verify` accepts.
std::vector<std::vector<HeldMicrobatches>>
countHeldMicrobatches(const Problem &problem, const Schedule &schedule);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_HELDMICROBATCHES_H
