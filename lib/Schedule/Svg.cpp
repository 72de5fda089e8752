// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedText.h"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace weir::schedule {

namespace {

/// Lengths are in points.
class Picture {
public:
  Picture(std::ostream &os, const Rendered &rendered)
      : os(os), rendered(rendered), problem(rendered.problem),
        simulation(rendered.simulation),
        text(rendered.units, simulation.makespan,
             simulation.largestPeakBytes()),
        caption(rendered, text), chunks(rendered.problem) {
    duration = simulation.makespan > 0 ? simulation.makespan : 1;
    size_t most = 1;
    for (const std::vector<TimedPass> &passes : simulation.passes) {
      most = std::max(most, passes.size());
      numPasses += passes.size();
      for (const TimedPass &timed : passes)
        has[static_cast<int>(timed.pass.kind)] = true;
    }
    for (const auto &reductions : simulation.reductions)
      hasReductions |= !reductions.empty();
    isDetailed = numPasses <= kMostDetailed;
    // Wide enough for a number in each pass, or else for passes that can be
    // told apart.
    double slots =
        static_cast<double>(most) / std::max(0.2, 1 - simulation.bubbleRatio);
    double numbered = 14 * slots;
    width = isDetailed && numbered <= 3000
                ? std::max(numbered, 560.0)
                : std::clamp(1.4 * slots, 1600.0, 6000.0);
    // Text grows with the picture, so that it can be read where the picture is
    // shrunk to the width of a page.
    scale = std::clamp(width / 900, 1.0, 2.0);
    double highestRow =
        scale * std::clamp(640.0 / problem.numDevices, 8.0, 20.0);
    row = isDetailed ? std::min(std::max(1.6 * width / slots, 12.0), highestRow)
                     : highestRow;
    gap = isDetailed ? 3 * scale : scale;
    left = 66 * scale;
    right = 50 * scale;
    timelineTop = 62 * scale;
    timelineBottom = timelineTop + problem.numDevices * (row + gap);
    bool eachDevice = problem.numDevices <= kMostMemoryRows;
    memoryTop = timelineBottom + (eachDevice ? 22 : 12) * scale;
    memoryRow =
        scale *
        (eachDevice ? std::clamp(110.0 / problem.numDevices, 16.0, 26.0) : 90);
    memoryBottom =
        memoryTop + (eachDevice ? problem.numDevices : 1) * (memoryRow + gap);
    memoryScale = largestShownMemory();
  }

  void write() {
    std::string w = rounded(left + width + right, 1);
    std::string h = rounded(memoryBottom + 40 * scale, 1);
    os << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << w
       << "\" height=\"" << h << "\" viewBox=\"0 0 " << w << ' ' << h
       << "\">\n<title>" << escapedXml(rendered.schedule.name) << "</title>\n";
    writeStyle();
    os << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    writeCaption();
    writeLegend();
    writeAxis();
    for (int device = 0; device < problem.numDevices; ++device)
      writeDevice(device);
    writeBound();
    if (problem.numDevices <= kMostMemoryRows) {
      writeText(left, memoryTop - 5 * scale, "", 10, "memory of each device");
      for (int device = 0; device < problem.numDevices; ++device)
        writeMemory(device, memoryTop + device * (memoryRow + gap));
    } else {
      writeLargestMemory();
    }
    os << "</svg>\n";
  }

private:
  /// With more passes, each colour of a device is one path, and passes have
  /// neither numbers nor tips.
  static constexpr size_t kMostDetailed = 8000;
  /// With more devices, the one with the largest peak stands for all.
  static constexpr int kMostMemoryRows = 8;

  /// Part of the height of a lane that exchanges of gradients take.
  static constexpr double kReductionPart = 0.25;

  double position(double time) const { return left + time / duration * width; }
  std::string x(double time) const { return rounded(position(time), 2); }
  std::string length(double points) const { return rounded(points, 2); }

  std::string className(const Pass &pass) const {
    return std::string(shortName(pass.kind)) +
           std::to_string(chunks.ofStage[pass.stage]);
  }
  Color color(const Pass &pass) const {
    return passColor(pass.kind, chunks.ofStage[pass.stage], chunks.most);
  }

  void writeText(double x, double y, std::string_view anchor, double size,
                 std::string_view content, std::string_view more = {}) {
    os << "<text x=\"" << length(x) << "\" y=\"" << length(y)
       << "\" font-size=\"" << length(size * scale) << '"';
    if (!anchor.empty())
      os << " text-anchor=\"" << anchor << '"';
    os << more << '>' << content << "</text>\n";
  }

  void writeStyle() {
    os << "<style>\n"
          "text{font-family:Helvetica,Arial,'Liberation Sans',sans-serif;"
          "fill:#222}\n"
          ".lane{fill:#f4f4f6}\n"
          ".axis{stroke:#555;fill:none}\n"
          ".grid{stroke:#e2e2e7;fill:none}\n"
          ".bound{stroke:#222;stroke-dasharray:2 3;fill:none}\n"
          ".memory{fill:#cdd5e2;stroke:#56668a;stroke-width:.8}\n"
          ".limit{stroke:#b00;stroke-dasharray:5 3;fill:none}\n"
          ".n{text-anchor:middle}\n";
    for (int kind = 0; kind < kNumPassKinds; ++kind)
      for (int chunk = 0; has[kind] && chunk < chunks.most; ++chunk)
        os << '.' << shortName(static_cast<PassKind>(kind)) << chunk << "{fill:"
           << toString(
                  passColor(static_cast<PassKind>(kind), chunk, chunks.most))
           << "}\n";
    if (hasReductions)
      os << ".G{fill:" << toString(kReductionColor) << "}\n";
    os << "</style>\n";
  }

  static std::string plural(int count, const std::string &what) {
    return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
  }

  void writeCaption() {
    // File names may be longer than the picture is wide.
    std::string name = rendered.schedule.name;
    constexpr size_t kLongest = 60;
    if (name.size() > kLongest) {
      size_t cut = name.size() - kLongest;
      while (cut < name.size() && (name[cut] & 0xc0) == 0x80)
        ++cut;
      name = "\xe2\x80\xa6" + name.substr(cut);
    }
    writeText(
        left, 20 * scale, "", 15,
        escapedXml(name) + "<tspan font-weight=\"normal\" font-size=\"" +
            length(11 * scale) + "\" dx=\"" + length(10 * scale) + "\">" +
            plural(problem.numDevices, "device") + ", " +
            plural(problem.numStages(), "stage") + ", " +
            (problem.numMicrobatches == 1
                 ? "1 microbatch"
                 : std::to_string(problem.numMicrobatches) + " microbatches") +
            "</tspan>",
        " font-weight=\"bold\"");
    writeText(left, 36 * scale, "", 11, caption.line());
  }

  void writeLegend() {
    double at = left, top = 44 * scale, size = 10 * scale;
    for (int kind = 0; kind < kNumPassKinds; ++kind) {
      if (!has[kind])
        continue;
      for (int chunk = 0; chunk < chunks.most; ++chunk, at += size)
        os << "<rect class=\"" << shortName(static_cast<PassKind>(kind))
           << chunk << "\" x=\"" << length(at) << "\" y=\"" << length(top)
           << "\" width=\"" << length(size) << "\" height=\"" << length(size)
           << "\"/>\n";
      std::string name(longName(static_cast<PassKind>(kind)));
      std::replace(name.begin(), name.end(), '_', ' ');
      name.insert(0, std::string(shortName(static_cast<PassKind>(kind))) + ' ');
      writeText(at + 4 * scale, top + 9 * scale, "", 10, name);
      at += (18 + 5.6 * static_cast<double>(name.size())) * scale;
    }
    if (hasReductions) {
      os << "<rect class=\"G\" x=\"" << length(at) << "\" y=\""
         << length(top + size * (1 - kReductionPart)) << "\" width=\""
         << length(size) << "\" height=\"" << length(size * kReductionPart)
         << "\"/>\n";
      writeText(at + size + 4 * scale, top + 9 * scale, "", 10,
                "G gradient exchange");
      at += 130 * scale;
    }
    if (chunks.most > 1)
      writeText(at, top + 9 * scale, "", 10,
                "(light to dark: first to last stage of a device)",
                " fill-opacity=\".7\"");
  }

  /// Steps of 1, 2 or 5 times a power of ten that are at least `rough`.
  static double axisStep(double rough) {
    double power = std::pow(10, std::floor(std::log10(rough)));
    for (double factor : {1.0, 2.0, 5.0})
      if (factor * power >= rough * (1 - 1e-9))
        return factor * power;
    return 10 * power;
  }

  void writeAxis() {
    double shown = text.timeValue(duration);
    double step = axisStep(shown * 80 * scale / width);
    std::string top = length(timelineTop - 2 * scale);
    for (int i = 0; i * step <= shown * (1 + 1e-9); ++i) {
      double at = left + i * step / shown * width;
      os << "<path class=\"grid\" d=\"M" << length(at) << ' ' << top << 'V'
         << length(memoryBottom) << "\"/>"
         << "<path class=\"axis\" d=\"M" << length(at) << ' '
         << length(memoryBottom) << 'v' << length(4 * scale) << "\"/>\n";
      writeText(at, memoryBottom + 15 * scale, "middle", 10,
                rounded(i * step, 6));
    }
    os << "<path class=\"axis\" d=\"M" << length(left) << ' '
       << length(memoryBottom) << 'h' << length(width) << "\"/>\n";
    std::string unit(text.timeUnit());
    writeText(left + width / 2, memoryBottom + 31 * scale, "middle", 11,
              unit.empty() ? "time" : "time (" + unit + ")");
  }

  void writeDevice(int device) {
    double top = timelineTop + device * (row + gap);
    // At most 16 labels, and none that touch.
    int labelEvery = 1;
    while (problem.numDevices / labelEvery > 16 ||
           labelEvery * (row + gap) < 11 * scale)
      labelEvery *= 2;
    if (device % labelEvery == 0)
      writeText(left - 6 * scale, top + row / 2 + 3.5 * scale, "end", 10,
                "device " + std::to_string(device));
    os << "<rect class=\"lane\" x=\"" << length(left) << "\" y=\""
       << length(top) << "\" width=\"" << length(width) << "\" height=\""
       << length(row) << "\"/>\n";
    if (isDetailed)
      writePasses(device, top);
    else
      writeBands(device, top);
    // Beside the passes, so at the bottom of the lane.
    for (const TimedReduction &reduction : simulation.reductions[device])
      os << "<rect class=\"G\" x=\"" << x(reduction.start) << "\" y=\""
         << length(top + row * (1 - kReductionPart)) << "\" width=\""
         << length((reduction.end - reduction.start) / duration * width)
         << "\" height=\"" << length(row * kReductionPart) << "\"><title>G s"
         << reduction.stage << ": " << text.time(reduction.start, 4) << " to "
         << text.time(reduction.end, 4) << "</title></rect>\n";
  }

  void writePasses(int device, double top) {
    size_t digits = std::to_string(problem.numMicrobatches - 1).size();
    for (const auto &[pass, start, end] : simulation.passes[device]) {
      double box = (end - start) / duration * width;
      // White between passes where there is room for it.
      double shown = std::max(box - (box > 4 ? 0.8 : 0), 0.5);
      os << "<rect class=\"p " << className(pass) << "\" x=\"" << x(start)
         << "\" y=\"" << length(top) << "\" width=\"" << length(shown)
         << "\" height=\"" << length(row) << "\"><title>" << toString(pass)
         << ": " << text.time(start, 4) << " to " << text.time(end, 4)
         << "</title></rect>";
      bool isUpdate = pass.kind == PassKind::Update;
      std::string label = isUpdate ? "U" : std::to_string(pass.microbatch);
      // Numbers of a kind are all there or all left out.
      double fontSize =
          std::min({row * 0.6, 11 * scale,
                    (shown - 2) / (0.58 * static_cast<double>(digits))});
      if (fontSize >= 6.5)
        os << "<text class=\"n\" x=\"" << length(position(start) + shown / 2)
           << "\" y=\"" << length(top + row / 2 + 0.35 * fontSize)
           << "\" font-size=\"" << length(fontSize)
           << "\" style=\"fill:" << textColor(color(pass)) << "\">" << label
           << "</text>";
      os << '\n';
    }
  }

  /// One path for each colour, with a subpath for every run of passes of that
  /// colour. Moves are relative, since most of the file is their digits, and
  /// in hundredths of a point, which keeps them from adding up to an error.
  void writeBands(int device, double top) {
    struct Band {
      std::string path;
      int64_t at = 0;
    };
    std::map<std::pair<PassKind, int>, Band> bands;
    const std::vector<TimedPass> &passes = simulation.passes[device];
    auto hundredths = [&](double time) {
      return static_cast<int64_t>(std::llround(time / duration * width * 100));
    };
    for (size_t i = 0; i < passes.size();) {
      const Pass &pass = passes[i].pass;
      std::pair key(pass.kind, chunks.ofStage[pass.stage]);
      int64_t start = hundredths(passes[i].start);
      int64_t end = start;
      for (; i < passes.size() && passes[i].pass.kind == key.first &&
             chunks.ofStage[passes[i].pass.stage] == key.second &&
             hundredths(passes[i].start) <= end + (end > start ? 1 : 0);
           ++i)
        end = std::max(end, hundredths(passes[i].end));
      if (end == start)
        continue;
      Band &band = bands[key];
      band.path += 'm' + std::to_string(start - band.at) + " 0h" +
                   std::to_string(end - start);
      band.at = end;
    }
    for (const auto &[key, band] : bands)
      os << "<path fill=\"none\" stroke=\""
         << toString(passColor(key.first, key.second, chunks.most))
         << "\" stroke-width=\"" << length(row) << "\" transform=\"translate("
         << length(left) << ' ' << length(top + row / 2)
         << ")scale(.01 1)\" d=\"M0 0" << band.path << "\"/>\n";
  }

  void writeBound() {
    double at = position(caption.boundSeconds);
    os << "<path class=\"bound\" d=\"M" << length(at) << ' '
       << length(timelineTop - 4 * scale) << 'V' << length(timelineBottom)
       << "\"><title>lower bound " << caption.bound << "</title></path>\n";
  }

  /// The limit of a device, unless it is so far above all memory that curves
  /// would be flat.
  std::optional<int64_t> shownLimit(int device) const {
    std::optional<int64_t> limit = problem.limit(device);
    if (limit && static_cast<double>(*limit) >
                     1.5 * static_cast<double>(simulation.largestPeakBytes()))
      return std::nullopt;
    return limit;
  }
  double largestShownMemory() const {
    int64_t largest = std::max<int64_t>(1, simulation.largestPeakBytes());
    for (int device = 0; device < problem.numDevices; ++device)
      largest = std::max(largest, shownLimit(device).value_or(0));
    return static_cast<double>(largest);
  }

  void writeMemory(int device, double top) {
    double bottom = top + memoryRow;
    auto y = [&](int64_t bytes) {
      return length(bottom -
                    static_cast<double>(bytes) / memoryScale * (memoryRow - 1));
    };
    std::string label = "device " + std::to_string(device);
    if (problem.numDevices <= kMostMemoryRows)
      writeText(left - 6 * scale, bottom - memoryRow / 2 + 3.5 * scale, "end",
                10, label);
    os << "<path class=\"memory\" d=\"M" << x(0) << ' ' << length(bottom);
    const std::vector<MemorySample> &samples = simulation.memory[device];
    int64_t last = 0;
    for (size_t i = 0; i < samples.size();) {
      // The largest of all that share half a point, then the last of them.
      double from = position(samples[i].time);
      int64_t largest = 0;
      for (; i < samples.size() && position(samples[i].time) < from + 0.5; ++i)
        largest = std::max(largest, last = samples[i].bytes);
      os << 'H' << rounded(from, 1) << 'V' << y(largest);
      if (last != largest)
        os << 'V' << y(last);
    }
    os << 'H' << x(duration) << 'V' << length(bottom) << "Z\"><title>" << label
       << ": memory up to " << text.memory(simulation.peakBytes[device])
       << "</title></path>\n";
    if (std::optional<int64_t> limit = shownLimit(device))
      os << "<path class=\"limit\" d=\"M" << x(0) << ' ' << y(*limit) << 'h'
         << length(width) << "\"><title>limit " << text.memory(*limit)
         << "</title></path>\n";
    writeText(left + width + 5 * scale,
              std::stod(y(simulation.peakBytes[device])) + 7 * scale, "", 10,
              text.memory(simulation.peakBytes[device]));
  }

  void writeLargestMemory() {
    const std::vector<int64_t> &peaks = simulation.peakBytes;
    int device = static_cast<int>(std::max_element(peaks.begin(), peaks.end()) -
                                  peaks.begin());
    double middle = memoryTop + memoryRow / 2;
    writeText(left - 6 * scale, middle - 3 * scale, "end", 10, "memory,");
    writeText(left - 6 * scale, middle + 10 * scale, "end", 10,
              "device " + std::to_string(device));
    writeMemory(device, memoryTop);
  }

  std::ostream &os;
  const Rendered &rendered;
  const Problem &problem;
  const Simulation &simulation;
  QuantityText text;
  Caption caption;
  Chunks chunks;
  double duration, width, scale;
  double left, right, row, gap, memoryRow;
  double timelineTop, timelineBottom, memoryTop, memoryBottom;
  double memoryScale; // bytes of the full height
  size_t numPasses = 0;
  bool isDetailed, hasReductions = false;
  std::array<bool, kNumPassKinds> has{};
};

} // namespace

void writeSvg(std::ostream &os, const Problem &problem,
              const Schedule &schedule, const Simulation &simulation,
              const Units &units) {
  Rendered rendered{problem, schedule, simulation, units};
  Picture(os, rendered).write();
}

} // namespace weir::schedule
