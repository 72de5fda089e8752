// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Building blocks as JSON: the files of `block:FILE`.

#ifndef WEIR_SCHEDULE_BLOCKJSON_H
#define WEIR_SCHEDULE_BLOCKJSON_H

#include "weir/Schedule/NamedSchedules.h"

#include <string>
#include <string_view>

namespace weir::schedule {

/// Reads a block in the format of docs/schedule-block.schema.json:
///
///   {"devices": 2, "placement": "v", "interval": 6,
///    "stages": [{"forward": 0, "backward_input": 7},
///               {"forward": 1, "backward_input": 6, "backward_weight": 9},
///               {"forward": 2, "backward_input": 5},
///               {"forward": 3, "backward_input": 4}]}
///
/// where `backward_weight` may be left out: W then takes the next free slot. A
/// block with `"fused": true` gives `backward` in place of the two. Optional:
/// `group` and `stride` (see `BuildingBlock`), and `durations`, an object with
/// those of `forward`, `backward_input`, `backward_weight` (1 each) and
/// `backward` (their sum) that the offsets count on.
///
/// Returns nullopt and sets `error` to one line, where possible with the path
/// of the value at fault. Whether passes collide depends on those that stages
/// have, so that is for `buildFromBlock` to say.
std::optional<PlacedBlock> readBlock(std::string_view text, std::string *error);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_BLOCKJSON_H
