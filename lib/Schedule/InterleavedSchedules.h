// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules of several chunks per device in loop placement.

#ifndef WEIR_LIB_SCHEDULE_INTERLEAVEDSCHEDULES_H
#define WEIR_LIB_SCHEDULE_INTERLEAVEDSCHEDULES_H

#include "weir/Schedule/BuildingBlock.h"

namespace weir::schedule {

/// Interleaved 1F1B (D. Narayanan et al., "Efficient Large-Scale Language Model
/// Training on GPU Clusters Using Megatron-LM", 2021): rounds of microbatches
/// go through chunk after chunk, and after a warm-up forward and backward
/// passes alternate.
///
/// Every round has at least as many microbatches as there are devices, or all
/// of them. There are as many rounds as that allows, and where they cannot be
/// equal, the first ones have one more; if they can, this is what PyTorch runs,
/// and where the devices divide the microbatches, also what Megatron runs.
///
/// Requires loop placement.
Schedule interleavedOneForwardOneBackward(const Problem &problem);

/// The same with B and W split, as PyTorch has it after ZB-H1: the first
/// backward pass comes earlier, and each device puts off as many W's as there
/// are devices before it, which evens out their memory.
///
/// Requires loop placement.
Schedule interleavedZeroBubble(const Problem &problem);

/// The block of grouped interleaved 1F1B with B and W split: `group`
/// microbatches go through a chunk one after the other, 3 slots apart. The next
/// chunk follows as early as a chunk's forward and backward passes let it,
/// which is after half as many microbatches as there are devices, rounded up to
/// whole groups. All passes take one slot.
///
/// Requires loop placement.
BuildingBlock groupedInterleavedBlock(const Problem &problem, int group);

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_INTERLEAVEDSCHEDULES_H
