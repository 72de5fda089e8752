// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A wave of N microbatches goes forward through all stages and comes back, and
// then the next one. No device holds the activations of more than N
// microbatches, whatever their number; the price is that the pipeline drains
// after each wave.
//
//   device 0   F0 F1 .  .  B0 B1 F2 F3 .  .  B2 B3
//   device 1   .  F0 F1 B0 B1 .  .  F2 F3 B2 B3 .

#include "Waves.h"

#include "weir/Schedule/NamedSchedules.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

using namespace weir::schedule;

/// The N of "waves:size=N", by default as many as there are devices; nullopt if
/// it is no positive number.
static std::optional<int> readSize(std::string_view name,
                                   const Problem &problem) {
  size_t colon = name.find(':');
  if (colon == std::string_view::npos)
    return problem.numDevices;
  constexpr std::string_view kSize = "size=";
  std::string_view parameter = name.substr(colon + 1);
  if (!parameter.starts_with(kSize))
    return std::nullopt;
  parameter.remove_prefix(kSize.size());
  int size = 0;
  const char *end = parameter.data() + parameter.size();
  auto [last, code] = std::from_chars(parameter.data(), end, size);
  if (code != std::errc() || last != end || size < 1)
    return std::nullopt;
  return size;
}

static std::optional<Schedule>
buildWaves(std::string_view name, const Problem &problem, std::string *error) {
  std::optional<int> size = readSize(name, problem);
  if (!size) {
    *error = "'" + std::string(name) + "': waves takes size=N, N at least 1";
    return std::nullopt;
  }
  // The order of each device is a part of one order of all passes, in which
  // every pass comes after what it needs: so no placement can deadlock.
  Schedule schedule;
  schedule.order.resize(problem.numDevices);
  auto run = [&](PassKind kind, int stage, int first, int last) {
    for (int m = first; m < last; ++m)
      schedule.order[problem.placement[stage]].push_back({kind, stage, m});
  };
  int count = problem.numMicrobatches, width = std::min(*size, count);
  for (int first = 0; first < count; first += width) {
    int last = std::min(first + width, count);
    for (int s = 0; s < problem.numStages(); ++s)
      run(PassKind::Forward, s, first, last);
    for (int s = problem.numStages() - 1; s >= 0; --s)
      if (problem.stages[s].hasBackward())
        run(PassKind::Backward, s, first, last);
  }
  return schedule;
}

void registerWaves() {
  NamedSchedule waves;
  waves.name = "waves";
  waves.description = "gpipe in waves of a few microbatches";
  waves.placement = Placement::Linear;
  waves.stagesPerDevice = 1;
  waves.parameters = "size=N: microbatches of a wave (default: as many as "
                     "there are devices)";
  if (auto error = registerNamedSchedule(waves, buildWaves)) {
    std::fprintf(stderr, "error: %s\n", error->c_str());
    std::exit(1);
  }
}
