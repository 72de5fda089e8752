// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Numbers, quantities and names as the output formats write them.

#ifndef WEIR_LIB_SCHEDULE_RENDEREDTEXT_H
#define WEIR_LIB_SCHEDULE_RENDEREDTEXT_H

#include "weir/Schedule/Rendering.h"

namespace weir::schedule {

/// The shortest decimal number that reads back as the same double.
std::string number(double value);
/// At most `precision` digits after the point, without trailing zeros.
std::string rounded(double value, int precision);

/// A JSON string in quotes, also safe within a script element: names come from
/// users and files, so that bytes that are no UTF-8 become U+FFFD and `<` is
/// escaped.
std::string jsonString(std::string_view text);
/// Text for XML and HTML, safe in content and in quoted attributes.
std::string escapedXml(std::string_view text);

/// Times and memory of one picture, with the units that make handy numbers.
class QuantityText {
public:
  /// `duration` is the length of the picture in seconds, `bytes` its largest
  /// memory.
  QuantityText(const Units &units, double duration, int64_t bytes);

  /// With the unit, if there is one: "12.5 ms", "12.5".
  std::string time(double seconds, int precision = 2) const;
  std::string memory(int64_t bytes) const;

  /// Without the unit.
  double timeValue(double seconds) const { return seconds / timeScale; }
  double memoryValue(int64_t bytes) const {
    return static_cast<double>(bytes) / memoryScale;
  }
  /// "ms", "GiB"; empty for abstract units.
  std::string_view timeUnit() const { return timeName; }
  std::string_view memoryUnit() const { return memoryName; }

private:
  double timeScale, memoryScale;
  std::string_view timeName, memoryName;
};

/// For each stage the position among the stages of its device, and the largest
/// number of stages on a device.
struct Chunks {
  explicit Chunks(const Problem &problem);
  std::vector<int> ofStage;
  int most = 1;
};

struct Color {
  int red, green, blue;
};
/// "#rrggbb".
std::string toString(const Color &color);

/// The colour of a pass: hues that people with any colour vision can tell apart
/// (M. Okabe and K. Ito, "Color Universal Design", 2008), from light for the
/// first stage of a device to dark for the last.
Color passColor(PassKind kind, int chunk, int numChunks);
/// The colour of exchanges of gradients.
inline constexpr Color kReductionColor = {204, 186, 0};
/// Black or white, whichever can be read on `color`.
std::string_view textColor(const Color &color);

/// What the picture of a step says of it, such as "makespan 41, bubble 12.2%".
struct Caption {
  Caption(const Rendered &rendered, const QuantityText &text);
  std::string makespan, bubble, bound, gap, memory;
  double boundSeconds = 0;
  /// All of them in a line.
  std::string line() const;
};

/// The samples at which memory changes.
std::vector<MemorySample> changes(const std::vector<MemorySample> &samples);

/// The passes at both ends of transfers.
class TransferEnds {
public:
  explicit TransferEnds(const Problem &problem, const Simulation &simulation);
  /// nullptr where the simulation has no such pass.
  const TimedPass *producer(const TimedTransfer &transfer) const;
  const TimedPass *reader(const TimedTransfer &transfer) const;

private:
  const TimedPass *find(int device, int stage, int microbatch,
                        bool gradient) const;

  const Problem &problem;
  const Simulation &simulation;
  /// By stage and microbatch, where F and the first backward pass are among the
  /// passes of the device; -1 if there is none.
  std::vector<std::array<int, 2>> indices;
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_RENDEREDTEXT_H
