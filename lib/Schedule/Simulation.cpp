// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Simulation.h"
#include "PassPositions.h"

#include <algorithm>
#include <numeric>

namespace weir::schedule {

namespace {

/// Memory events of one device. Passes follow each other, so the events of
/// passes are in order of time as they come; those of buffers are merged in.
/// At one instant, buffers are given back first and taken last, and what
/// happens within passes stays in between, in the order of the passes.
class MemoryTimeline {
public:
  explicit MemoryTimeline(int64_t fixed) : fixed(fixed) {}

  void passEvent(double time, int64_t bytes, int64_t activationBytes) {
    passEvents.push_back({time, bytes, activationBytes});
  }
  void takeBuffer(double time, int64_t bytes) {
    bufferEvents.push_back({time, bytes, 0});
  }
  void giveBackBuffer(double time, int64_t bytes) {
    bufferEvents.push_back({time, -bytes, 0});
  }

  void finish(std::vector<MemorySample> &samples, int64_t &peak,
              int64_t &peakActivation) {
    std::sort(bufferEvents.begin(), bufferEvents.end(),
              [](const Event &a, const Event &b) {
                return std::pair(a.time, a.bytes) < std::pair(b.time, b.bytes);
              });
    int64_t bytes = fixed, activation = 0;
    peak = fixed;
    peakActivation = 0;
    samples.push_back({0, bytes});
    auto apply = [&](const Event &event) {
      bytes += event.bytes;
      activation += event.activationBytes;
      peak = std::max(peak, bytes);
      peakActivation = std::max(peakActivation, activation);
      if (samples.back().time == event.time)
        samples.back().bytes = bytes;
      else
        samples.push_back({event.time, bytes});
    };
    auto buffer = bufferEvents.begin();
    for (const Event &event : passEvents) {
      while (buffer != bufferEvents.end() &&
             (buffer->time < event.time ||
              (buffer->time == event.time && buffer->bytes < 0)))
        apply(*buffer++);
      apply(event);
    }
    while (buffer != bufferEvents.end())
      apply(*buffer++);
  }

private:
  struct Event {
    double time;
    int64_t bytes;
    int64_t activationBytes;
  };
  int64_t fixed;
  std::vector<Event> passEvents;
  std::vector<Event> bufferEvents;
};

class Simulator {
public:
  Simulator(const Problem &problem, const Schedule &schedule,
            const PassPositions &positions)
      : problem(problem), schedule(schedule), positions(positions),
        transferOf(static_cast<size_t>(problem.numStages()) *
                       problem.numMicrobatches * 2,
                   -1),
        deviceFree(problem.numDevices, 0) {
    result.passes.resize(problem.numDevices);
    for (int device = 0; device < problem.numDevices; ++device)
      result.passes[device].reserve(schedule.order[device].size());
  }

  /// Requires a schedule that does not deadlock.
  Simulation run() {
    // Devices that wait for the device of the row.
    std::vector<std::vector<int>> waiting(problem.numDevices);
    std::vector<int> worklist(problem.numDevices);
    std::iota(worklist.rbegin(), worklist.rend(), 0);
    while (!worklist.empty()) {
      int device = worklist.back();
      worklist.pop_back();
      size_t before = result.passes[device].size();
      int blocker = advance(device);
      if (blocker >= 0)
        waiting[blocker].push_back(device);
      if (result.passes[device].size() != before) {
        worklist.insert(worklist.end(), waiting[device].begin(),
                        waiting[device].end());
        waiting[device].clear();
      }
    }
    measureTimes();
    for (int device = 0; device < problem.numDevices; ++device)
      measureMemory(device);
    return std::move(result);
  }

private:
  /// The transfer that brings a stage its input, or the gradient of its
  /// output; -1 before it is sent.
  int &transferTo(int stage, int microbatch, bool gradient) {
    size_t row = static_cast<size_t>(stage) * problem.numMicrobatches;
    return transferOf[(row + microbatch) * 2 + gradient];
  }

  /// The transfer from another device that `pass` reads, or nullptr.
  const TimedTransfer *received(const Pass &pass) {
    if (pass.kind == PassKind::Update || pass.kind == PassKind::Recompute)
      return nullptr;
    bool readsGradient = pass.kind != PassKind::Forward;
    if (pass.kind == PassKind::BackwardWeight &&
        problem.stages[pass.stage].hasBackwardInput)
      return nullptr;
    int index = transferTo(pass.stage, pass.microbatch, readsGradient);
    return index < 0 ? nullptr : &result.transfers[index];
  }

  /// Runs `device` until it has to wait for a device that has not come far
  /// enough, and returns that device; -1 at the end.
  int advance(int device) {
    const std::vector<Pass> &order = schedule.order[device];
    std::vector<TimedPass> &done = result.passes[device];
    while (done.size() < order.size()) {
      const Pass &pass = order[done.size()];
      for (const Dependence &dependence : positions.dependences(pass)) {
        Position position = positions.of(dependence.pass);
        if (position.index >=
            static_cast<int>(result.passes[position.device].size()))
          return position.device;
      }
      double start = deviceFree[device];
      if (const TimedTransfer *transfer = received(pass))
        start = std::max(start, transfer->arrival);
      double end = start + problem.stages[pass.stage].duration(pass.kind);
      done.push_back({pass, start, end});
      deviceFree[device] = end;
      send(pass, device, end);
    }
    return -1;
  }

  void send(const Pass &pass, int device, double time) {
    std::optional<Pass> receiver = positions.receiver(pass);
    if (!receiver)
      return;
    int to = problem.placement[receiver->stage];
    if (to == device)
      return;
    bool isGradient = pass.kind != PassKind::Forward;
    const Stage &stage = problem.stages[pass.stage];
    int64_t bytes =
        isGradient ? stage.backwardTransferBytes : stage.forwardTransferBytes;
    const Link &link = problem.link(device, to);
    double &linkFree = linksFree[{device, to}];
    double start = std::max(time, linkFree);
    linkFree = start + static_cast<double>(bytes) / link.bandwidth;
    transferTo(receiver->stage, receiver->microbatch, isGradient) =
        static_cast<int>(result.transfers.size());
    result.transfers.push_back(
        {pass, device, to, start, linkFree + link.latency, bytes});
  }

  void measureTimes() {
    double begin = 0, end = 0, mostBusy = 0;
    bool isFirst = true;
    for (const std::vector<TimedPass> &passes : result.passes) {
      double busy = 0;
      for (const TimedPass &pass : passes)
        busy += problem.stages[pass.pass.stage].duration(pass.pass.kind);
      result.busy.push_back(busy);
      mostBusy = std::max(mostBusy, busy);
      if (passes.empty())
        continue;
      double first = passes.front().start, last = passes.back().end;
      begin = isFirst ? first : std::min(begin, first);
      end = isFirst ? last : std::max(end, last);
      isFirst = false;
      result.span = std::max(result.span, last - first);
    }
    result.makespan = end - begin;
    if (result.makespan > 0)
      result.bubbleRatio = std::max(0.0, 1 - mostBusy / result.makespan);
  }

  void measureMemory(int device) {
    MemoryTimeline timeline(problem.fixed(device));
    for (const auto &[pass, start, end] : result.passes[device]) {
      const Stage &stage = problem.stages[pass.stage];
      int64_t taken = stage.taken(pass.kind);
      int64_t released = stage.released(pass.kind);
      int64_t workspace = stage.workspace(pass.kind);
      int64_t atStart = taken + workspace, atEnd = released + workspace;
      if (const TimedTransfer *input = received(pass);
          input && input->start < start) {
        timeline.takeBuffer(input->start, input->bytes);
        atStart -= input->bytes;
      }
      if (const TimedTransfer *output = sent(pass)) {
        atStart += output->bytes;
        if (output->arrival <= end)
          atEnd += output->bytes;
        else
          timeline.giveBackBuffer(output->arrival, output->bytes);
      }
      timeline.passEvent(start, atStart, taken);
      timeline.passEvent(end, -atEnd, -released);
    }
    result.memory.emplace_back();
    timeline.finish(result.memory.back(), result.peakBytes.emplace_back(),
                    result.peakActivationBytes.emplace_back());
  }

  const TimedTransfer *sent(const Pass &pass) {
    std::optional<Pass> receiver = positions.receiver(pass);
    if (!receiver)
      return nullptr;
    int index = transferTo(receiver->stage, receiver->microbatch,
                           pass.kind != PassKind::Forward);
    return index < 0 ? nullptr : &result.transfers[index];
  }

  const Problem &problem;
  const Schedule &schedule;
  const PassPositions &positions;
  std::vector<int> transferOf;
  std::vector<double> deviceFree;
  std::map<std::pair<int, int>, double> linksFree;
  Simulation result;
};

} // namespace

static int64_t largest(const std::vector<int64_t> &values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

int64_t Simulation::largestPeakBytes() const { return largest(peakBytes); }
int64_t Simulation::largestPeakActivationBytes() const {
  return largest(peakActivationBytes);
}

std::optional<Simulation>
simulate(const Problem &problem, const Schedule &schedule, std::string *error) {
  std::optional<std::string> message;
  PassPositions positions(problem, schedule, message);
  if (!message)
    message = verifyOrder(problem, schedule, positions);
  if (message) {
    if (error)
      *error = *message;
    return std::nullopt;
  }
  return Simulator(problem, schedule, positions).run();
}

} // namespace weir::schedule
