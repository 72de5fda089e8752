//===- PlanRaces.h - operations of plans without an order --------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two operations of a step that touch the same bytes of an arena, one of them
// writing, must be ordered by streams, events and transfers. Each stream is a
// line with a vector clock (Mattern, Virtual time and global states of
// distributed systems, 1989): a wait takes in the clock that was recorded, and
// the two ends of a transfer take in each other's, for it is a rendezvous. A
// step starts and ends with all streams idle, so steps need not be compared.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PLANRACES_H
#define WEIR_RUNTIME_CUDA_PLANRACES_H

#include "StepPlan.h"

#include <functional>
#include <span>

namespace weir::runtime::cuda {

/// What a pass does with one of its buffers: buffer `index` of action `action`
/// of `device`. Unknown counts as a write.
using AccessMode = std::function<PlanAccess::Mode(
    int64_t device, int64_t action, size_t index)>;

/// Fails with the first two operations without an order, or if the plans of the
/// devices, one for each of the table, do not come to their ends. A wait for an
/// event that no record precedes waits for nothing, as on a device.
Status checkRaces(const Table &table, std::span<const StepPlan> plans,
                  const AccessMode &mode = {});

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PLANRACES_H
