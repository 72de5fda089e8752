// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ZB-V for any durations and memory.

#ifndef WEIR_LIB_SCHEDULE_ALTERNATINGORDER_H
#define WEIR_LIB_SCHEDULE_ALTERNATINGORDER_H

#include "ChainGraph.h"

namespace weir::schedule {

/// When a W goes before a pass that still waits, though it would delay it.
struct AlternatingRules {
  bool delaysForward = true;
  bool delaysBackward = true; // in the upper half of the model
  /// The part of each device's limit that may be used.
  double memoryPart = 1;
};

/// Two stages per device in a V: after a warm-up as long as memory allows,
/// every device runs one B and one F in turn. W's fill the time that a pass
/// waits; one that does not fit in delays the pass if the device would
/// otherwise idle for longer than another one has to. The heuristic for the V
/// of P. Qi, X. Wan, G. Huang, M. Lin, "Zero Bubble Pipeline Parallelism",
/// 2023, with stages that may differ.
///
/// nullopt if the graph is no such V with all of F, B and W, or the memory is
/// too small for this pattern.
std::optional<ChainOrder> alternatingOrder(const ChainGraph &graph,
                                           const AlternatingRules &rules);

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_ALTERNATINGORDER_H
