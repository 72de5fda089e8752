// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// All schedules of a problem, where they are few.

#ifndef WEIR_SCHEDULE_ALLORDERS_H
#define WEIR_SCHEDULE_ALLORDERS_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

/// All schedules of `problem`, memory limits apart: on every device each kind
/// of pass of a stage in the order of the microbatches, and the backward passes
/// of a stage fused for all microbatches or for none.
///
/// nullopt if there are more than `mostOrders` combinations of orders that a
/// device by itself can run, of which some may wait for each other and are no
/// schedules. A stage of two kinds of passes and n microbatches has as many
/// orders as there are standard Young tableaux of 2 by n, one of three kinds
/// those of 3 by n, so this is for few passes. Recomputation and updates are
/// not provided for.
std::optional<std::vector<Schedule>> listAllOrders(const Problem &problem,
                                                   size_t mostOrders);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_ALLORDERS_H
