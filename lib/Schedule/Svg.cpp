// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedText.h"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace weir::schedule {

namespace {

class Picture {
public:
  Picture(std::ostream &os, const Problem &problem, const Schedule &schedule,
          const Simulation &simulation, const Units &units)
      : os(os), problem(problem), schedule(schedule), simulation(simulation),
        units(units) {
    size_t most = 1;
    for (const auto &passes : simulation.passes)
      most = std::max(most, passes.size());
    // About 17 points per pass show a two-digit number; pictures wider than
    // this are zoomed into anyway.
    double wanted = 17.0 * static_cast<double>(most) /
                    std::max(0.2, 1 - simulation.bubbleRatio);
    width = std::clamp(wanted, 420.0, 2400.0);
    duration = simulation.makespan > 0 ? simulation.makespan : 1;
    for (const auto &passes : simulation.passes)
      for (const TimedPass &timed : passes)
        has[static_cast<int>(timed.pass.kind)] = true;
    std::vector<int> seen(problem.numDevices, 0);
    for (int s = 0; s < problem.numStages(); ++s) {
      chunk.push_back(seen[problem.placement[s]]++);
      numChunks = std::max(numChunks, chunk.back() + 1);
    }
    largestBytes = std::max<int64_t>(1, simulation.largestPeakBytes());
    timelineTop = 58;
    memoryTop = timelineTop + problem.numDevices * (kRow + kGap) + 30;
    axisTop = memoryTop + problem.numDevices * (kMemoryRow + kGap) + 2;
  }

  void write() {
    double totalWidth = kLeft + width + kRight, totalHeight = axisTop + 36;
    os << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""
       << rounded(totalWidth, 1) << "\" height=\"" << rounded(totalHeight, 1)
       << "\" viewBox=\"0 0 " << rounded(totalWidth, 1) << ' '
       << rounded(totalHeight, 1) << "\">\n<title>" << escapedXml(schedule.name)
       << "</title>\n";
    writeStyle();
    os << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    writeCaption();
    writeLegend();
    writeGrid();
    for (int device = 0; device < problem.numDevices; ++device)
      writeTimeline(device);
    os << "<text class=\"heading\" x=\"" << kLeft << "\" y=\"" << memoryTop - 8
       << "\">memory</text>\n";
    for (int device = 0; device < problem.numDevices; ++device)
      writeMemory(device);
    os << "</svg>\n";
  }

private:
  static constexpr double kLeft = 70, kRight = 84, kRow = 20, kGap = 4,
                          kMemoryRow = 20;

  std::string x(double time) const {
    return rounded(kLeft + time / duration * width, 2);
  }
  double memoryHeight(int64_t bytes) const {
    return static_cast<double>(bytes) / static_cast<double>(largestBytes) *
           (kMemoryRow - 1);
  }

  /// `value` in seconds, with the unit that makes `scale` a handy number.
  std::string timeText(double value, double scale, int precision) const {
    if (units.abstract)
      return rounded(value / units.time, precision);
    static constexpr std::pair<double, const char *> kUnits[] = {
        {1, " s"}, {1e-3, " ms"}, {1e-6, " \xc2\xb5s"}, {1e-9, " ns"}};
    for (auto [unit, name] : kUnits)
      if (scale >= unit || unit == 1e-9)
        return rounded(value / unit, precision) + name;
    return {};
  }
  std::string timeText(double value) const {
    return timeText(value, value > 0 ? value : 1, 2);
  }
  std::string bytesText(int64_t bytes) const {
    double value = static_cast<double>(bytes);
    if (units.abstract)
      return rounded(value / units.memory, 2);
    static constexpr std::pair<double, const char *> kUnits[] = {
        {0x1p30, " GiB"}, {0x1p20, " MiB"}, {0x1p10, " KiB"}};
    for (auto [unit, name] : kUnits)
      if (value >= unit)
        return rounded(value / unit, 1) + name;
    return rounded(value, 0) + " B";
  }

  /// The first stage of a device is light, the last one dark.
  static Color shade(PassKind kind, double darkness) {
    static constexpr std::pair<Color, Color> kShades[kNumPassKinds] = {
        {{158, 197, 254}, {37, 99, 205}},   // F
        {{253, 201, 128}, {214, 110, 16}},  // B
        {{163, 219, 170}, {34, 128, 66}},   // W
        {{245, 178, 178}, {190, 58, 64}},   // BW
        {{200, 200, 208}, {110, 110, 122}}, // U
        {{214, 196, 240}, {124, 84, 180}},  // R
    };
    auto [light, dark] = kShades[static_cast<int>(kind)];
    auto mix = [&](int a, int b) {
      return a + static_cast<int>(std::lround((b - a) * darkness));
    };
    return {mix(light.red, dark.red), mix(light.green, dark.green),
            mix(light.blue, dark.blue)};
  }

  double darknessOf(int chunkIndex) const {
    return numChunks < 2 ? 0
                         : static_cast<double>(chunkIndex) / (numChunks - 1);
  }

  static std::string className(PassKind kind, int chunkIndex) {
    return std::string(shortName(kind)) + std::to_string(chunkIndex);
  }

  void writeStyle() {
    os << "<style>\n"
          "text{font-family:Helvetica,Arial,sans-serif;font-size:11px;"
          "fill:#222}\n"
          ".heading{font-weight:bold}\n"
          ".caption{font-size:14px;font-weight:bold}\n"
          ".label{text-anchor:end}\n"
          ".tick{text-anchor:middle;fill:#555;font-size:10px}\n"
          ".grid{stroke:#e3e3e8;stroke-width:1}\n"
          ".lane{fill:#f5f5f7}\n"
          ".memory{fill:#b9c3d6;stroke:#5b6b8c;stroke-width:.8}\n"
          ".limit{stroke:#c22;stroke-width:1;stroke-dasharray:4 3}\n"
          "rect.p{stroke:#fff;stroke-width:.6}\n"
          ".n{text-anchor:middle;font-size:9.5px}\n"
          ".d{fill:#fff}\n";
    for (int kind = 0; kind < kNumPassKinds; ++kind)
      for (int c = 0; has[kind] && c < numChunks; ++c) {
        Color color = shade(static_cast<PassKind>(kind), darknessOf(c));
        os << '.' << className(static_cast<PassKind>(kind), c) << "{fill:rgb("
           << color.red << ',' << color.green << ',' << color.blue << ")}\n";
      }
    os << "</style>\n";
  }

  void writeCaption() {
    Bound bound = lowerBound(problem, Objective::Makespan);
    os << "<text class=\"caption\" x=\"" << kLeft << "\" y=\"18\">"
       << escapedXml(schedule.name)
       << "<tspan font-weight=\"normal\" font-size=\"11\" dx=\"10\">"
       << "makespan " << timeText(simulation.makespan) << ", bubble "
       << rounded(100 * simulation.bubbleRatio, 1) << "%, lower bound "
       << timeText(bound.seconds) << ", peak memory "
       << bytesText(simulation.largestPeakBytes());
    if (!problem.memoryLimits.empty())
      os << " of "
         << bytesText(*std::max_element(problem.memoryLimits.begin(),
                                        problem.memoryLimits.end()));
    os << "</tspan></text>\n";
  }

  void writeLegend() {
    double at = kLeft;
    for (int kind = 0; kind < kNumPassKinds; ++kind) {
      if (!has[kind])
        continue;
      for (int c = 0; c < numChunks; ++c) {
        os << "<rect class=\"" << className(static_cast<PassKind>(kind), c)
           << "\" x=\"" << at << "\" y=\"30\" width=\"12\" height=\"12\"/>";
        at += 12;
      }
      std::string name(longName(static_cast<PassKind>(kind)));
      std::replace(name.begin(), name.end(), '_', ' ');
      os << "<text x=\"" << at + 4 << "\" y=\"40\">" << name << "</text>\n";
      at += 16 + 6.0 * static_cast<double>(name.size());
    }
  }

  void writeGrid() {
    double rough = duration * 90 / width;
    double step = std::pow(10, std::floor(std::log10(rough)));
    for (double factor : {2.0, 5.0, 10.0})
      if (step < rough)
        step = factor * std::pow(10, std::floor(std::log10(rough)));
    for (int i = 0; i * step <= duration * (1 + 1e-9); ++i) {
      std::string position = x(i * step);
      os << "<line class=\"grid\" x1=\"" << position << "\" x2=\"" << position
         << "\" y1=\"" << timelineTop << "\" y2=\"" << axisTop << "\"/>"
         << "<text class=\"tick\" x=\"" << position << "\" y=\"" << axisTop + 14
         << "\">" << timeText(i * step, duration, 3) << "</text>\n";
    }
  }

  void writeLabel(int device, double y) {
    os << "<text class=\"label\" x=\"" << kLeft - 8 << "\" y=\"" << y
       << "\">device " << device << "</text>\n";
  }

  void writeTimeline(int device) {
    double top = timelineTop + device * (kRow + kGap);
    writeLabel(device, top + kRow / 2 + 4);
    os << "<rect class=\"lane\" x=\"" << kLeft << "\" y=\"" << top
       << "\" width=\"" << rounded(width, 2) << "\" height=\"" << kRow
       << "\" fill-opacity=\".6\"/>\n";
    for (const auto &[pass, start, end] : simulation.passes[device]) {
      double boxWidth = (end - start) / duration * width;
      int c = chunk[pass.stage];
      os << "<rect class=\"p " << className(pass.kind, c) << "\" x=\""
         << x(start) << "\" y=\"" << top << "\" width=\""
         << rounded(boxWidth, 2) << "\" height=\"" << kRow << "\"><title>"
         << toString(pass) << ": " << timeText(start, duration, 4) << " to "
         << timeText(end, duration, 4) << "</title></rect>";
      std::string text =
          pass.kind == PassKind::Update ? "U" : std::to_string(pass.microbatch);
      if (boxWidth >= 3 + 5.4 * static_cast<double>(text.size()))
        os << "<text class=\"n" << (darknessOf(c) > 0.5 ? " d" : "")
           << "\" x=\"" << x((start + end) / 2) << "\" y=\""
           << top + kRow / 2 + 3.5 << "\">" << text << "</text>";
      os << '\n';
    }
  }

  void writeMemory(int device) {
    double bottom = memoryTop + device * (kMemoryRow + kGap) + kMemoryRow;
    writeLabel(device, bottom - kMemoryRow / 2 + 4);
    os << "<path class=\"memory\" d=\"M" << x(0) << ' ' << bottom;
    for (const MemorySample &sample : simulation.memory[device])
      os << 'H' << x(sample.time) << 'V'
         << rounded(bottom - memoryHeight(sample.bytes), 2);
    os << 'H' << x(duration) << 'V' << bottom << "Z\"/>\n";
    std::optional<int64_t> limit = problem.limit(device);
    if (limit && *limit <= largestBytes * 1.2) {
      std::string y = rounded(bottom - memoryHeight(*limit), 2);
      os << "<line class=\"limit\" x1=\"" << kLeft << "\" x2=\"" << x(duration)
         << "\" y1=\"" << y << "\" y2=\"" << y << "\"/>\n";
    }
    os << "<text x=\"" << rounded(kLeft + width + 6, 1) << "\" y=\""
       << bottom - kMemoryRow / 2 + 4 << "\">"
       << bytesText(simulation.peakBytes[device]) << "</text>\n";
  }

  std::ostream &os;
  const Problem &problem;
  const Schedule &schedule;
  const Simulation &simulation;
  const Units &units;
  double width, duration;
  double timelineTop, memoryTop, axisTop;
  int64_t largestBytes;
  std::array<bool, kNumPassKinds> has{};
  std::vector<int> chunk; // of each stage, among the stages of its device
  int numChunks = 1;
};

} // namespace

void writeSvg(std::ostream &os, const Problem &problem,
              const Schedule &schedule, const Simulation &simulation,
              const Units &units) {
  Picture(os, problem, schedule, simulation, units).write();
}

} // namespace weir::schedule
