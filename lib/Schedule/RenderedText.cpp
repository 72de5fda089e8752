// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedText.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace weir::schedule {

std::string number(double value) {
  char buffer[64];
  auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, result.ptr);
}

std::string rounded(double value, int precision) {
  char buffer[64];
  auto result = std::to_chars(buffer, buffer + sizeof(buffer), value,
                              std::chars_format::fixed, precision);
  if (result.ec != std::errc())
    return number(value);
  std::string text(buffer, result.ptr);
  if (text.find('.') == std::string::npos)
    return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text == "-0" ? "0" : text;
}

/// The length of the UTF-8 sequence that `text` begins with; 0 if it begins
/// with none (overlong forms, surrogates and noncharacters are none).
static size_t utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  if (lead < 0x80)
    return 1;
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
    return 0;
  uint32_t code = lead & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  bool isSurrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kSmallest[length] || code > 0x10ffff || isSurrogate ||
      (code & 0xfffe) == 0xfffe)
    return 0;
  return length;
}

/// Hands the ASCII characters of `text` to `ascii`, copies what else is UTF-8
/// and replaces what is not.
template <typename Ascii>
static std::string mapText(std::string_view text, Ascii ascii) {
  std::string result;
  while (!text.empty()) {
    size_t length = utf8Length(text);
    if (length == 1)
      ascii(text.front(), result);
    else if (length == 0)
      result += "\xef\xbf\xbd";
    else
      result += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::string jsonString(std::string_view text) {
  return '"' +
         mapText(text,
                 [](char c, std::string &result) {
                   if (c == '"' || c == '\\') {
                     result += '\\';
                     result += c;
                   } else if (c < 0x20 || c == '<' || c == 0x7f) {
                     const char *digits = "0123456789abcdef";
                     result += "\\u00";
                     result += digits[c >> 4];
                     result += digits[c & 15];
                   } else {
                     result += c;
                   }
                 }) +
         '"';
}

std::string escapedXml(std::string_view text) {
  return mapText(text, [](char c, std::string &result) {
    switch (c) {
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '&':
      result += "&amp;";
      break;
    case '"':
      result += "&quot;";
      break;
    case '\'':
      result += "&#39;";
      break;
    default:
      result += c < 0x20 || c == 0x7f ? ' ' : c;
    }
  });
}

QuantityText::QuantityText(const Units &units, double duration, int64_t bytes)
    : timeScale(units.time), memoryScale(units.memory) {
  if (units.abstract)
    return;
  static constexpr std::pair<double, std::string_view> kTimes[] = {
      {1, "s"}, {1e-3, "ms"}, {1e-6, "\xc2\xb5s"}, {1e-9, "ns"}};
  for (auto [scale, name] : kTimes) {
    timeScale = scale;
    timeName = name;
    if (duration >= scale)
      break;
  }
  static constexpr std::pair<double, std::string_view> kSizes[] = {
      {0x1p30, "GiB"}, {0x1p20, "MiB"}, {0x1p10, "KiB"}, {1, "B"}};
  for (auto [scale, name] : kSizes) {
    memoryScale = scale;
    memoryName = name;
    if (static_cast<double>(bytes) >= scale)
      break;
  }
}

static std::string withUnit(std::string text, std::string_view unit) {
  return unit.empty() ? text : (text += ' ') += unit;
}

std::string QuantityText::time(double seconds, int precision) const {
  return withUnit(rounded(timeValue(seconds), precision), timeName);
}

std::string QuantityText::memory(int64_t bytes) const {
  return withUnit(rounded(memoryValue(bytes), 2), memoryName);
}

Chunks::Chunks(const Problem &problem) {
  std::vector<int> seen(problem.numDevices, 0);
  for (int device : problem.placement) {
    ofStage.push_back(seen[device]++);
    most = std::max(most, seen[device]);
  }
}

std::string toString(const Color &color) {
  std::string result = "#";
  for (int channel : {color.red, color.green, color.blue})
    for (int digit : {channel >> 4, channel & 15})
      result += "0123456789abcdef"[digit];
  return result;
}

static std::pair<Color, Color> colorRange(PassKind kind) {
  switch (kind) {
  case PassKind::Forward: // blue
    return {{173, 211, 239}, {0, 90, 158}};
  case PassKind::BackwardInput: // orange
    return {{252, 217, 146}, {214, 133, 0}};
  case PassKind::BackwardWeight: // bluish green
    return {{158, 221, 198}, {0, 120, 88}};
  case PassKind::Backward: // vermilion
    return {{246, 188, 150}, {190, 78, 0}};
  case PassKind::Update: // grey
    return {{206, 206, 210}, {112, 112, 118}};
  case PassKind::Recompute: // reddish purple
    return {{231, 189, 214}, {160, 74, 126}};
  }
  return {{206, 206, 210}, {112, 112, 118}};
}

Color passColor(PassKind kind, int chunk, int numChunks) {
  double darkness =
      numChunks < 2 ? 0.25 : static_cast<double>(chunk) / (numChunks - 1);
  auto [light, dark] = colorRange(kind);
  auto mix = [&](int a, int b) {
    return a + static_cast<int>(std::lround((b - a) * darkness));
  };
  return {mix(light.red, dark.red), mix(light.green, dark.green),
          mix(light.blue, dark.blue)};
}

std::string_view textColor(const Color &color) {
  // Luma of ITU-R BT.601.
  double luma = 0.299 * color.red + 0.587 * color.green + 0.114 * color.blue;
  return luma > 140 ? "#000" : "#fff";
}

Caption::Caption(const Rendered &rendered, const QuantityText &text) {
  const Simulation &simulation = rendered.simulation;
  const Problem &problem = rendered.problem;
  // A limit that is missed is none, and the bound under it holds for others.
  bool isMissed = false;
  for (int device = 0; device < problem.numDevices; ++device)
    isMissed |= simulation.peakBytes[device] >
                problem.limit(device).value_or(simulation.peakBytes[device]);
  Problem bounded = problem;
  if (isMissed)
    bounded.memoryLimits.clear();
  boundSeconds = lowerBound(bounded, Objective::Makespan).seconds;
  makespan = text.time(simulation.makespan);
  bubble = rounded(100 * simulation.bubbleRatio, 1) + "%";
  bound = text.time(boundSeconds);
  // A bound of what floating point adds up in another order is no gap.
  double ratio = boundSeconds > 0 ? simulation.makespan / boundSeconds - 1 : 0;
  gap = rounded(100 * std::max(0.0, ratio), 1) + "%";
  memory = text.memory(simulation.largestPeakBytes());
  if (!problem.memoryLimits.empty())
    memory +=
        " of " + text.memory(*std::max_element(problem.memoryLimits.begin(),
                                               problem.memoryLimits.end()));
}

std::string Caption::line() const {
  return "makespan " + makespan + ", bubble " + bubble + ", lower bound " +
         bound + " (gap " + gap + "), peak memory " + memory;
}

std::vector<MemorySample> changes(const std::vector<MemorySample> &samples) {
  std::vector<MemorySample> result;
  for (const MemorySample &sample : samples)
    if (result.empty() || result.back().bytes != sample.bytes)
      result.push_back(sample);
  return result;
}

TransferEnds::TransferEnds(const Problem &problem, const Simulation &simulation)
    : problem(problem), simulation(simulation),
      indices(static_cast<size_t>(problem.numStages()) *
                  problem.numMicrobatches,
              {-1, -1}) {
  for (const std::vector<TimedPass> &passes : simulation.passes)
    for (size_t i = passes.size(); i-- > 0;) {
      const Pass &pass = passes[i].pass;
      if (pass.kind == PassKind::Update || pass.kind == PassKind::Recompute)
        continue;
      size_t at = static_cast<size_t>(pass.stage) * problem.numMicrobatches +
                  pass.microbatch;
      indices[at][pass.kind != PassKind::Forward] = static_cast<int>(i);
    }
}

const TimedPass *TransferEnds::find(int device, int stage, int microbatch,
                                    bool gradient) const {
  if (stage < 0 || stage >= problem.numStages())
    return nullptr;
  int index = indices[static_cast<size_t>(stage) * problem.numMicrobatches +
                      microbatch][gradient];
  return index < 0 ? nullptr : &simulation.passes[device][index];
}

const TimedPass *TransferEnds::producer(const TimedTransfer &transfer) const {
  const Pass &pass = transfer.producer;
  return find(transfer.fromDevice, pass.stage, pass.microbatch,
              pass.kind != PassKind::Forward);
}

const TimedPass *TransferEnds::reader(const TimedTransfer &transfer) const {
  const Pass &pass = transfer.producer;
  bool isGradient = pass.kind != PassKind::Forward;
  return find(transfer.toDevice, pass.stage + (isGradient ? -1 : 1),
              pass.microbatch, isGradient);
}

} // namespace weir::schedule
