// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules as pictures and as files that other programs read.

#ifndef WEIR_SCHEDULE_RENDERING_H
#define WEIR_SCHEDULE_RENDERING_H

#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Simulation.h"

#include <iosfwd>

namespace weir::schedule {

/// How quantities are written. Schedules of real programs have seconds and
/// bytes; those of abstract problems units of a pass and of an activation.
struct Units {
  bool abstract = false;
  /// Seconds and bytes of one abstract unit.
  double time = 1;
  double memory = 1;
};

/// A self-contained SVG: the timeline of every device with F, B, W and
/// microbatch numbers (the second stage of a device in darker shades), memory
/// over time under it, and a caption with makespan, bubble, lower bound and
/// peak memory.
void writeSvg(std::ostream &os, const Problem &problem,
              const Schedule &schedule, const Simulation &simulation,
              const Units &units = {});

/// {"schedule", "devices", "microbatches", "stages", "placement": [device of
/// each stage], "makespan", "span", "lower_bound", "bound_scope",
/// "bubble_ratio", "peak_memory": [bytes per device], "passes": [[{"pass":
/// "F|B|W|BW|U", "stage", "microbatch", "start", "end"}, ...] per device]},
/// times in seconds, or times and memory in abstract units.
void writeJson(std::ostream &os, const Problem &problem,
               const Schedule &schedule, const Simulation &simulation,
               Objective objective = Objective::Makespan,
               const Units &units = {});

/// One row per device in the format of PyTorch's pipelining: cells stage, kind,
/// microbatch, such as 0F3, 0I3 (B), 0W3 and 0B3 (fused). Updates are left out:
/// that format has none.
void writeCsv(std::ostream &os, const Schedule &schedule);

/// Reads what `writeCsv` writes. Empty cells are idle time, empty lines at the
/// end are none; cells of sends,
/// receives and parameter sharding are skipped, since they follow from the
/// order of passes. Returns nullopt and sets `error` to one line that begins
/// with row and column, counted from 1, of what cannot be read.
std::optional<Schedule> readCsv(std::istream &is, std::string *error);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_RENDERING_H
