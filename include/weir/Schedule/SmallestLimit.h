// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The least memory that a placement can do with.

#ifndef WEIR_SCHEDULE_SMALLESTLIMIT_H
#define WEIR_SCHEDULE_SMALLESTLIMIT_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

/// The smallest memory limit of each device, fixed bytes included, that any
/// schedule of the problem's placement fits into; the problem's own limits play
/// no part. All devices reach theirs in one schedule, `oneMicrobatchAtATime`.
///
/// Proof: of any schedule keep only the passes of microbatch 0. No device holds
/// more than before, since others only add. Repeating that order for one
/// microbatch after the other is a schedule, which holds no more either. And of
/// one microbatch, every device has the order of its F's and of its B's given;
/// where R's and W's go, no other device can tell. So each device can be solved
/// alone: with a limit, a W should run as soon as it fits, as should a fused
/// pass, for they only give back; R's are tried at all places. Updates come
/// last, when nothing but the fixed bytes is held.
///
/// Transfer buffers are not counted: with them the result remains a lower
/// bound. Where all stages have backward passes, one microbatch at a time needs
/// at most one buffer that is sent and one that is received more.
std::vector<int64_t> smallestLimits(const Problem &problem);

/// All passes of microbatch 0, then of microbatch 1, ..., within the problem's
/// limits (transfer buffers apart), without updates. nullopt where a limit is
/// below that of `smallestLimits`.
std::optional<Schedule> oneMicrobatchAtATime(const Problem &problem);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_SMALLESTLIMIT_H
