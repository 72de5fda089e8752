// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The page is Timeline.html with Timeline.js in it, and the schedules as JSON:
//
//   {"reductionColor": "#rrggbb",
//    "kinds": [{"short": "F", "name": "forward",
//               "shades": [{"fill": "#rrggbb", "text": "#rrggbb"}, ...]}, ...],
//    "schedules": [{"name", "caption", "devices", "microbatches", "stages",
//                   "chunks": [of each stage, among those of its device],
//                   "timeUnit", "memoryUnit", "makespan", "bound",
//                   "peaks": [per device], "limits": [per device, or empty],
//                   "passes": [[kind, stage, microbatch, start, duration, ...],
//                              ... per device],
//                   "reductions": [[stage, start, duration, ...], ...],
//                   "memory": [[time, memory, ...], ... per device]}, ...]}
//
// with times and memory in the units that are named.

#include "RenderedText.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <ostream>

namespace weir::schedule {

static constexpr std::string_view kPage =
#include "TimelineHtml.inc"
    ;
static constexpr std::string_view kScript =
#include "TimelineJs.inc"
    ;

/// Nine digits: files stay small, and pixels do not show the rest.
static std::string compact(double value) {
  char buffer[64];
  auto result = std::to_chars(buffer, buffer + sizeof(buffer), value,
                              std::chars_format::general, 9);
  return std::string(buffer, result.ptr);
}

template <typename Range, typename Print>
static void writeArray(std::ostream &os, const Range &range, Print print) {
  os << '[';
  bool isFirst = true;
  for (const auto &element : range) {
    if (!isFirst)
      os << ',';
    isFirst = false;
    print(element);
  }
  os << ']';
}

static void writeKinds(std::ostream &os, std::span<const Rendered> rendered) {
  int numChunks = 1;
  for (const Rendered &one : rendered)
    numChunks = std::max(numChunks, Chunks(one.problem).most);
  std::array<PassKind, kNumPassKinds> kinds;
  for (int kind = 0; kind < kNumPassKinds; ++kind)
    kinds[kind] = static_cast<PassKind>(kind);
  writeArray(os, kinds, [&](PassKind kind) {
    std::string name(longName(kind));
    std::replace(name.begin(), name.end(), '_', ' ');
    os << "{\"short\":" << jsonString(shortName(kind))
       << ",\"name\":" << jsonString(name) << ",\"shades\":";
    std::vector<Color> shades;
    for (int chunk = 0; chunk < numChunks; ++chunk)
      shades.push_back(passColor(kind, chunk, numChunks));
    writeArray(os, shades, [&](const Color &color) {
      os << "{\"fill\":\"" << toString(color) << "\",\"text\":\""
         << textColor(color) << "\"}";
    });
    os << '}';
  });
}

static void writeSchedule(std::ostream &os, const Rendered &rendered,
                          const QuantityText &text) {
  const Problem &problem = rendered.problem;
  const Simulation &simulation = rendered.simulation;
  Caption caption(rendered, text);
  auto memory = [&](int64_t bytes) { os << compact(text.memoryValue(bytes)); };
  os << "{\"name\":" << jsonString(rendered.schedule.name)
     << ",\"caption\":" << jsonString(caption.line())
     << ",\"devices\":" << problem.numDevices
     << ",\"microbatches\":" << problem.numMicrobatches
     << ",\"stages\":" << problem.numStages() << ",\"chunks\":";
  writeArray(os, Chunks(problem).ofStage, [&](int chunk) { os << chunk; });
  os << ",\"timeUnit\":" << jsonString(text.timeUnit())
     << ",\"memoryUnit\":" << jsonString(text.memoryUnit())
     << ",\"makespan\":" << compact(text.timeValue(simulation.makespan))
     << ",\"bound\":" << compact(text.timeValue(caption.boundSeconds))
     << ",\n\"peaks\":";
  writeArray(os, simulation.peakBytes, memory);
  os << ",\"limits\":";
  writeArray(os, problem.memoryLimits, memory);
  os << ",\n\"passes\":";
  writeArray(os, simulation.passes, [&](const auto &passes) {
    writeArray(os, passes, [&](const TimedPass &timed) {
      os << static_cast<int>(timed.pass.kind) << ',' << timed.pass.stage << ','
         << timed.pass.microbatch << ',' << compact(text.timeValue(timed.start))
         << ',' << compact(text.timeValue(timed.end - timed.start));
    });
  });
  os << ",\n\"reductions\":";
  writeArray(os, simulation.reductions, [&](const auto &reductions) {
    writeArray(os, reductions, [&](const TimedReduction &reduction) {
      os << reduction.stage << ',' << compact(text.timeValue(reduction.start))
         << ',' << compact(text.timeValue(reduction.end - reduction.start));
    });
  });
  os << ",\n\"memory\":";
  writeArray(os, simulation.memory, [&](const auto &samples) {
    writeArray(os, changes(samples), [&](const MemorySample &sample) {
      os << compact(text.timeValue(sample.time)) << ',';
      memory(sample.bytes);
    });
  });
  os << '}';
}

static void writeData(std::ostream &os, std::span<const Rendered> rendered) {
  double duration = 0;
  int64_t bytes = 0;
  for (const Rendered &one : rendered) {
    duration = std::max(duration, one.simulation.makespan);
    bytes = std::max(bytes, one.simulation.largestPeakBytes());
  }
  os << "{\"reductionColor\":\"" << toString(kReductionColor)
     << "\",\n\"kinds\":";
  writeKinds(os, rendered);
  os << ",\n\"schedules\":";
  writeArray(os, rendered, [&](const Rendered &one) {
    writeSchedule(os, one, QuantityText(one.units, duration, bytes));
  });
  os << '}';
}

void writeHtml(std::ostream &os, std::span<const Rendered> rendered) {
  assert(!rendered.empty() && "a page shows at least one schedule");
  std::string title;
  for (const Rendered &one : rendered)
    title += (title.empty() ? "" : ", ") + one.schedule.name;
  for (std::string_view rest = kPage; !rest.empty();) {
    size_t begin = std::min(rest.find("{{"), rest.size());
    os << rest.substr(0, begin);
    rest.remove_prefix(begin);
    if (rest.empty())
      break;
    std::string_view mark = rest.substr(0, rest.find("}}") + 2);
    rest.remove_prefix(mark.size());
    if (mark == "{{title}}")
      os << escapedXml(title);
    else if (mark == "{{data}}")
      writeData(os, rendered);
    else if (mark == "{{script}}")
      os << kScript;
  }
}

} // namespace weir::schedule
