// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedText.h"

#include <ostream>

namespace weir::schedule {

template <typename Range, typename Print>
static void writeList(std::ostream &os, const Range &range,
                      std::string_view separator, Print print) {
  bool isFirst = true;
  for (const auto &element : range) {
    if (!isFirst)
      os << separator;
    isFirst = false;
    print(element);
  }
}

void writeJson(std::ostream &os, const Problem &problem,
               const Schedule &schedule, const Simulation &simulation,
               Objective objective, const Units &units) {
  Bound bound = lowerBound(problem, objective);
  auto time = [&](double seconds) {
    return number(units.abstract ? seconds / units.time : seconds);
  };
  auto print = [&](const auto &value) { os << value; };
  os << "{\n  \"schedule\": " << jsonString(schedule.name)
     << ",\n  \"devices\": " << problem.numDevices
     << ",\n  \"microbatches\": " << problem.numMicrobatches
     << ",\n  \"stages\": " << problem.numStages() << ",\n  \"placement\": [";
  writeList(os, problem.placement, ", ", print);
  os << "],\n  \"makespan\": " << time(simulation.makespan)
     << ",\n  \"span\": " << time(simulation.span)
     << ",\n  \"lower_bound\": " << time(bound.seconds)
     << ",\n  \"bound_scope\": " << jsonString(bound.scope)
     << ",\n  \"bubble_ratio\": " << number(simulation.bubbleRatio)
     << ",\n  \"peak_memory\": [";
  writeList(os, simulation.peakBytes, ", ", [&](int64_t bytes) {
    if (units.abstract)
      os << number(static_cast<double>(bytes) / units.memory);
    else
      os << bytes;
  });
  os << "],\n  \"passes\": [\n    [";
  writeList(os, simulation.passes, "],\n    [", [&](const auto &passes) {
    writeList(os, passes, ",\n     ", [&](const TimedPass &timed) {
      os << "{\"pass\": \"" << shortName(timed.pass.kind)
         << "\", \"stage\": " << timed.pass.stage
         << ", \"microbatch\": " << timed.pass.microbatch
         << ", \"start\": " << time(timed.start)
         << ", \"end\": " << time(timed.end) << "}";
    });
  });
  os << "]\n  ]\n}\n";
}

} // namespace weir::schedule
