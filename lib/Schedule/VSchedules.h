// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules of two stages per device, forth and back. All functions require
// that placement.

#ifndef WEIR_LIB_SCHEDULE_VSCHEDULES_H
#define WEIR_LIB_SCHEDULE_VSCHEDULES_H

#include "weir/Schedule/BuildingBlock.h"

namespace weir::schedule {

/// The blocks of v-min, v-half, v-zb and 1f1b-v; nullopt for any other name.
/// Passes take one slot, fused ones two. W's are not placed.
std::optional<BuildingBlock> vBlock(std::string_view name,
                                    const Problem &problem);

/// ZB-V as P. Qi, X. Wan, G. Huang, M. Lin, "Zero Bubble Pipeline Parallelism",
/// 2023, section 6, draw it.
Schedule zeroBubbleV(const Problem &problem);

/// DualPipeV of DeepSeek-AI: DualPipe ("DeepSeek-V3 Technical Report", 2024)
/// cut in half. What it calls one overlapped action, the forward pass of a
/// microbatch and the backward pass of another one, are two passes here, the
/// forward pass first.
Schedule dualPipeV(const Problem &problem);

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_VSCHEDULES_H
