// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The trace event format, as docs.google.com/document/d/1CvAClvFfyA5R-
// PhYUmn5OOQtYMH4h6I0nSsKchNAySU ("Trace Event Format") describes it.

#include "RenderedText.h"

#include <cmath>
#include <ostream>

namespace weir::schedule {

namespace {

class TraceWriter {
public:
  TraceWriter(std::ostream &os, const Rendered &rendered)
      : os(os), problem(rendered.problem), simulation(rendered.simulation),
        units(rendered.units), ends(problem, simulation) {}

  void write(std::string_view name) {
    os << "{\n\"displayTimeUnit\": \"ms\",\n\"otherData\": {\"schedule\": "
       << jsonString(name) << ", \"devices\": " << problem.numDevices
       << ", \"microbatches\": " << problem.numMicrobatches
       << ", \"stages\": " << problem.numStages() << ", \"time_unit\": "
       << (units.abstract ? "\"1 ms is one unit of the schedule\""
                          : "\"seconds\"")
       << "},\n\"traceEvents\": [";
    for (int device = 0; device < problem.numDevices; ++device)
      writeNames(device);
    for (int device = 0; device < problem.numDevices; ++device)
      writePasses(device);
    for (int device = 0; device < problem.numDevices; ++device)
      writeReductions(device);
    writeTransfers();
    for (int device = 0; device < problem.numDevices; ++device)
      writeMemory(device);
    os << "\n]\n}\n";
  }

private:
  /// Whole nanoseconds, so that passes that touch do not overlap once start and
  /// duration are rounded.
  int64_t nanoseconds(double seconds) const {
    double value = units.abstract ? seconds / units.time * 1e6 : seconds * 1e9;
    return static_cast<int64_t>(std::llround(std::min(value, 9e18)));
  }
  static std::string microseconds(int64_t nanoseconds) {
    std::string fraction = std::to_string(nanoseconds % 1000);
    std::string result = std::to_string(nanoseconds / 1000);
    if (fraction == "0")
      return result;
    return result + '.' + std::string(3 - fraction.size(), '0') + fraction;
  }

  /// Begins an event; the caller adds what else it has, and "}". The passes of
  /// a device are its thread 0.
  void begin(std::string_view name, char phase, int device) {
    os << (isFirst ? "\n" : ",\n") << "{\"name\":\"" << name << "\",\"ph\":\""
       << phase << "\",\"pid\":" << device << ",\"tid\":0";
    isFirst = false;
  }
  void begin(std::string_view name, char phase, int device, double seconds) {
    begin(name, phase, device);
    os << ",\"ts\":" << microseconds(nanoseconds(seconds));
  }

  void writeNames(int device) {
    begin("process_name", 'M', device);
    os << ",\"args\":{\"name\":\"device " << device << "\"}}";
    begin("process_sort_index", 'M', device);
    os << ",\"args\":{\"sort_index\":" << device << "}}";
    begin("thread_name", 'M', device);
    os << ",\"args\":{\"name\":\"passes\"}}";
  }

  void writePasses(int device) {
    for (const auto &[pass, start, end] : simulation.passes[device]) {
      begin(toString(pass), 'X', device, start);
      os << ",\"dur\":" << microseconds(nanoseconds(end) - nanoseconds(start))
         << ",\"cat\":\"" << longName(pass.kind)
         << "\",\"args\":{\"stage\":" << pass.stage;
      if (pass.microbatch >= 0)
        os << ",\"microbatch\":" << pass.microbatch;
      os << "}}";
    }
  }

  void writeReductions(int device) {
    for (const auto &[stage, start, end] : simulation.reductions[device]) {
      std::string id =
          ",\"cat\":\"gradients\",\"id\":\"G" + std::to_string(stage) + '"';
      begin("gradient exchange", 'b', device, start);
      os << id << ",\"args\":{\"stage\":" << stage << "}}";
      begin("gradient exchange", 'e', device, end);
      os << id << "}";
    }
  }

  /// Transfers on their way at the same time overlap, which only asynchronous
  /// slices may.
  void writeTransfers() {
    int id = 0;
    for (const TimedTransfer &transfer : simulation.transfers) {
      ++id;
      int from = transfer.fromDevice, to = transfer.toDevice;
      bool isForward = transfer.producer.kind == PassKind::Forward;
      std::string name = "to device " + std::to_string(to);
      begin(name, 'b', from, transfer.start);
      os << ",\"cat\":\"transfer\",\"id\":" << id << ",\"args\":{\"what\":\""
         << (isForward ? "activation" : "gradient") << " of "
         << toString(transfer.producer) << "\", ";
      writeMemoryValue(transfer.bytes);
      os << "}}";
      begin(name, 'e', from, transfer.arrival);
      os << ",\"cat\":\"transfer\",\"id\":" << id << "}";
      const TimedPass *producer = ends.producer(transfer);
      const TimedPass *reader = ends.reader(transfer);
      if (!producer || !reader)
        continue;
      // An arrow belongs to the slice that its time is in.
      begin("transfer", 's', from, producer->start);
      os << ",\"cat\":\"flow\",\"id\":" << id << "}";
      begin("transfer", 'f', to, reader->start);
      os << ",\"cat\":\"flow\",\"id\":" << id << ",\"bp\":\"e\"}";
    }
  }

  void writeMemory(int device) {
    for (const MemorySample &sample : changes(simulation.memory[device])) {
      begin("memory", 'C', device, sample.time);
      os << ",\"args\":{";
      writeMemoryValue(sample.bytes);
      os << "}}";
    }
  }

  void writeMemoryValue(int64_t bytes) {
    if (units.abstract)
      os << "\"units\":" << number(static_cast<double>(bytes) / units.memory);
    else
      os << "\"bytes\":" << bytes;
  }

  std::ostream &os;
  const Problem &problem;
  const Simulation &simulation;
  Units units;
  TransferEnds ends;
  bool isFirst = true;
};

} // namespace

void writeTrace(std::ostream &os, const Problem &problem,
                const Schedule &schedule, const Simulation &simulation,
                const Units &units) {
  TraceWriter(os, {problem, schedule, simulation, units}).write(schedule.name);
}

} // namespace weir::schedule
