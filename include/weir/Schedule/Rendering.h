// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules as pictures and as files that other programs read. Files in the CSV
// format of PyTorch that hold sends and receives are read by PipelineCsv.h.

#ifndef WEIR_SCHEDULE_RENDERING_H
#define WEIR_SCHEDULE_RENDERING_H

#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Simulation.h"

#include <iosfwd>
#include <span>

namespace weir::schedule {

/// How quantities are written. Schedules of real programs have seconds and
/// bytes; those of abstract problems units of a pass and of an activation.
struct Units {
  bool abstract = false;
  /// Seconds and bytes of one abstract unit.
  double time = 1;
  double memory = 1;
};

/// A schedule with what is drawn of it.
struct Rendered {
  const Problem &problem;
  const Schedule &schedule;
  const Simulation &simulation;
  Units units;
};

/// A self-contained SVG: the timeline of every device with a colour for each
/// kind of pass (a shade for each stage of a device), microbatch numbers where
/// they fit, memory over time under it, and a caption with makespan, bubble,
/// lower bound, gap and peak memory. Where passes are too many to be told
/// apart, neighbours of one kind are drawn as one, and many devices share one
/// memory curve, so that the file stays within a few megabytes.
void writeSvg(std::ostream &os, const Problem &problem,
              const Schedule &schedule, const Simulation &simulation,
              const Units &units = {});

/// One self-contained HTML page for one or more schedules under each other on a
/// common axis of time: zoom, pan, details of the pass under the pointer,
/// memory of a device. Loads nothing; names are escaped. Requires at least one
/// schedule.
void writeHtml(std::ostream &os, std::span<const Rendered> rendered);

/// The trace event format that Perfetto and chrome://tracing read: a process
/// per device with a thread for its passes, slices for the transfers that it
/// sends, and a counter for its memory; arrows lead from a pass to the pass on
/// another device that reads what it sends. Timestamps are in microseconds; one
/// abstract unit of time is shown as a millisecond.
void writeTrace(std::ostream &os, const Problem &problem,
                const Schedule &schedule, const Simulation &simulation,
                const Units &units = {});

/// {"schedule", "devices", "microbatches", "stages", "placement": [device of
/// each stage], "makespan", "span", "lower_bound", "bound_scope",
/// "bubble_ratio", "peak_memory": [bytes per device], "passes": [[{"pass":
/// "F|B|W|BW|U|R", "stage", "microbatch", "start", "end"}, ...] per device]},
/// times in seconds, or times and memory in abstract units.
void writeJson(std::ostream &os, const Problem &problem,
               const Schedule &schedule, const Simulation &simulation,
               Objective objective = Objective::Makespan,
               const Units &units = {});

/// One row per device in the format of PyTorch's pipelining: cells stage, kind,
/// microbatch, such as 0F3, 0I3 (B), 0W3 and 0B3 (fused). Updates and
/// recomputation are left out: that format has none.
void writeCsv(std::ostream &os, const Schedule &schedule);

/// Reads what `writeCsv` writes. Empty cells are idle time, empty lines at the
/// end are none; cells of sends, receives and parameter sharding are skipped,
/// since they follow from the order of passes; an overlapped cell is its passes
/// one after the other. Returns nullopt and sets `error` to one line that
/// begins with row and column, counted from 1, of what cannot be read.
std::optional<Schedule> readCsv(std::istream &is, std::string *error);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_RENDERING_H
