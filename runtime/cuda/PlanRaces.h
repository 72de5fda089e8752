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
// the two ends of a transfer take in each other's, for it is a rendezvous.
//
// Two steps in a row are checked: the host starts a step on all streams when the
// compute stream has come to the end of the one before. That is enough for any
// number. Let an operation X of step k conflict with an operation Y of step k +
// n, n > 1. X comes before the Y of step k + 1, which has been checked, and that
// one before the Y of step k + n, for they are on the same stream.
//
// What is found to have no race has none in any run: the order is that of the
// plans, not of one run of them. So this is also the proof that an operation of
// an event is redundant: without it, all that conflicts is still in order.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PLANRACES_H
#define WEIR_RUNTIME_CUDA_PLANRACES_H

#include "StepPlan.h"

#include <span>

namespace weir::runtime::cuda {

/// Fails with the first two operations without an order, or if the plans of the
/// devices, one for each of the table, do not come to their ends. A wait for an
/// event that no record precedes waits for nothing, as on a device.
Status checkRaces(const Table &table, std::span<const StepPlan> plans);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PLANRACES_H
