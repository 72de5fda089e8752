// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The schedules that have names in the literature.

#ifndef WEIR_SCHEDULE_NAMEDSCHEDULES_H
#define WEIR_SCHEDULE_NAMEDSCHEDULES_H

#include "weir/Schedule/BuildingBlock.h"

#include <functional>
#include <span>

namespace weir::schedule {

/// The texts have to outlive all use of the library, as literals do.
struct NamedSchedule {
  std::string_view name;
  std::string_view description;
  Placement placement;
  int stagesPerDevice;
  /// What may follow the name after a colon, such as "gis:group=4"; empty:
  /// none.
  std::string_view parameters;
};

/// All named schedules, registered ones last, with the placement and the number
/// of stages per device that each is made for. gpipe takes any other placement
/// too; 1f1b, zb-h1 and zb-h2 take several consecutive stages per device as
/// well; interleaved-1f1b, interleaved-zb and gis take any number of chunks in
/// loop placement.
std::span<const NamedSchedule> listNamed();
/// nullptr if there is none of that name. Parameters after the name are not
/// looked at.
const NamedSchedule *findNamed(std::string_view name);

/// Builds the schedule of a problem, or returns nullopt and sets `error` (one
/// line, never null) where the problem or the parameters do not fit it. `name`
/// is as the user gave it, with its parameters. Passes R and U are inserted by
/// the caller.
using ScheduleBuilder = std::function<std::optional<Schedule>(
    std::string_view name, const Problem &problem, std::string *error)>;

/// Makes `schedule` known under its name to all that take one: `buildNamed`,
/// the search, and the tools. What `build` returns is checked (`verify`) each
/// time.
///
/// To be called before the library is used, as at the start of `main`: not
/// safe beside other threads, and what `listNamed` and `findNamed` returned
/// before is no longer valid. Returns a line that says what is wrong where the
/// name is taken already ("auto" and "block" are), is none that can be given on
/// a command line (letters, digits, '-', '_' and '.'), where there is no
/// builder, or not at least one stage per device.
[[nodiscard]] std::optional<std::string>
registerNamedSchedule(NamedSchedule schedule, ScheduleBuilder build);

/// The schedule `name`, with its parameters ("gis:group=4"), for any number of
/// devices and microbatches. The order follows from the placement, the
/// microbatches, the passes that stages have and the bytes they keep; durations
/// play no part (named schedules assume F = B = W). gpipe, 1f1b,
/// interleaved-1f1b and 1f1b-v use fused backward passes, dualpipe-v both, the
/// others split ones. R runs directly before the first backward pass of its
/// microbatch. Where idle time of fill and drain is filled, a device holds at
/// most as many activations as some device does in steady state, and bytes in
/// proportion to its own; a memory limit below that only keeps passes from
/// being moved; whether it is met is for `verify` to say. Of equally long
/// orders the one of least span is taken, then the one that transfers delay
/// least; zb-v's own order is left only for a shorter one, or one of less span
/// that transfers delay no more. Of a registered schedule the order is what its
/// builder says.
///
/// Returns nullopt and sets `error` (one line) where there is no such schedule
/// or the placement does not fit it, or the order that a registered one has
/// built cannot run. Requires `!problem.check()`.
std::optional<Schedule> buildNamed(std::string_view name,
                                   const Problem &problem, std::string *error);

/// The building block of `name` in slots of one pass, W's placed; nullopt for
/// schedules without one (gpipe, registered ones) and placements that do not
/// fit.
std::optional<BuildingBlock>
namedBlock(std::string_view name, const Problem &problem, std::string *error);

/// F, B and W of one slot, fused passes of two.
inline Stage unitDurations() {
  Stage stage;
  stage.forward = stage.backwardInput = stage.backwardWeight = 1;
  return stage;
}

/// A block for a given number of stages on given devices, not one for any.
struct PlacedBlock {
  int numDevices = 1;
  /// The device of each stage.
  std::vector<int> placement;
  /// How long the passes of every stage are in the block's own time.
  Stage durations = unitDurations();
  BuildingBlock block;
};

/// The schedule that repeats `placed`, with W's placed where they have no
/// offset, idle time filled as in named schedules, and the given name. Only the
/// order matters; durations of the problem play no part.
///
/// Returns nullopt and sets `error` (one line) where the block is for other
/// stages or devices, or is no block: passes that overlap or start before their
/// input is there. Requires `!problem.check()`.
std::optional<Schedule> buildFromBlock(std::string_view name,
                                       const PlacedBlock &placed,
                                       const Problem &problem,
                                       std::string *error);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_NAMEDSCHEDULES_H
