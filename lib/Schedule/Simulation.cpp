// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Simulation.h"
#include "PassPositions.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace weir::schedule {

namespace {

/// Memory events of one device. Passes follow each other, so the events of
/// passes are in order of time as they come; those of buffers are merged in.
/// At one instant, buffers are given back first and taken last, and what
/// happens within passes stays in between, in the order of the passes.
class MemoryTimeline {
public:
  MemoryTimeline(int64_t fixed, size_t numPasses) : fixed(fixed) {
    passEvents.reserve(2 * numPasses);
  }

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
    samples.reserve(passEvents.size() + bufferEvents.size() + 1);
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

/// Transfers between neighbouring stages on different devices, as queues: one
/// per pair of devices and direction, and one transfer per microbatch of each
/// stage and direction.
class Transfers {
public:
  explicit Transfers(const Problem &problem) : problem(problem) {
    std::map<std::pair<int, int>, int> ids;
    auto queueOf = [&](int from, int to) {
      int here = problem.placement[from], there = problem.placement[to];
      if (here == there)
        return -1;
      auto [it, isNew] =
          ids.try_emplace({here, there}, static_cast<int>(queues.size()));
      if (isNew)
        queues.push_back(problem.link(here, there));
      return it->second;
    };
    int numStages = problem.numStages();
    outgoing.assign(numStages, {-1, -1});
    for (int s = 0; s < numStages; ++s) {
      if (s + 1 < numStages)
        outgoing[s][0] = queueOf(s, s + 1);
      if (s > 0 && problem.stages[s].hasBackwardInput &&
          problem.stages[s - 1].hasBackward())
        outgoing[s][1] = queueOf(s, s - 1);
    }
  }

  int numQueues() const { return static_cast<int>(queues.size()); }
  const Link &link(int queue) const { return queues[queue]; }

  /// The queue for what `pass` sends; -1 if it sends nothing to another device.
  int queueAfter(const Pass &pass) const {
    switch (pass.kind) {
    case PassKind::Forward:
      return outgoing[pass.stage][0];
    case PassKind::BackwardInput:
    case PassKind::Backward:
      return outgoing[pass.stage][1];
    case PassKind::BackwardWeight:
    case PassKind::Update:
    case PassKind::Recompute:
      return -1;
    }
    return -1;
  }
  int64_t bytesAfter(const Pass &pass) const {
    const Stage &stage = problem.stages[pass.stage];
    return pass.kind == PassKind::Forward ? stage.forwardTransferBytes
                                          : stage.backwardTransferBytes;
  }

  /// Numbers the transfers: what `pass` sends, given that it sends something.
  size_t slotAfter(const Pass &pass) const {
    return slot(pass.stage, pass.microbatch, pass.kind != PassKind::Forward);
  }
  /// What `pass` reads from another device; -1 if nothing.
  int64_t slotBefore(const Pass &pass) const {
    bool readsGradient = false;
    switch (pass.kind) {
    case PassKind::Forward:
      break;
    case PassKind::BackwardWeight:
      readsGradient = !problem.stages[pass.stage].hasBackwardInput;
      if (!readsGradient)
        return -1;
      break;
    case PassKind::BackwardInput:
    case PassKind::Backward:
      readsGradient = true;
      break;
    case PassKind::Update:
    case PassKind::Recompute:
      return -1;
    }
    int producer = readsGradient ? pass.stage + 1 : pass.stage - 1;
    if (producer < 0 || producer >= problem.numStages() ||
        outgoing[producer][readsGradient] < 0)
      return -1;
    return static_cast<int64_t>(slot(producer, pass.microbatch, readsGradient));
  }
  size_t numSlots() const {
    return static_cast<size_t>(problem.numStages()) * problem.numMicrobatches *
           2;
  }

private:
  size_t slot(int producer, int microbatch, bool gradient) const {
    size_t row = static_cast<size_t>(producer) * problem.numMicrobatches;
    return (row + microbatch) * 2 + gradient;
  }

  const Problem &problem;
  std::vector<Link> queues;
  /// Per stage, the queue to the next stage and the one to the previous one.
  std::vector<std::array<int, 2>> outgoing;
};

/// Whether `pass` is followed by the exchange of its stage's gradients.
bool startsReduction(const Problem &problem, const Pass &pass) {
  return pass.microbatch == problem.numMicrobatches - 1 &&
         (pass.kind == PassKind::BackwardWeight ||
          pass.kind == PassKind::Backward) &&
         problem.stages[pass.stage].gradientReduction > 0;
}

/// Lets every device run as far as it can, until all passes are done.
class Simulator {
public:
  Simulator(const Problem &problem, const Schedule &schedule,
            const PassPositions &positions)
      : problem(problem), schedule(schedule), positions(positions),
        transfers(problem), transferIn(transfers.numSlots(), -1),
        deviceFree(problem.numDevices, 0), reductionFree(problem.numDevices, 0),
        reductionEnd(problem.numStages(), 0),
        queueFree(transfers.numQueues(), 0) {
    result.passes.resize(problem.numDevices);
    result.reductions.resize(problem.numDevices);
    size_t numPasses = 0;
    for (int device = 0; device < problem.numDevices; ++device) {
      result.passes[device].reserve(schedule.order[device].size());
      numPasses += schedule.order[device].size();
    }
    sequence.reserve(numPasses);
    result.transfers.reserve(2 * numPasses / 3);
  }

  /// False if the order leads into a deadlock.
  bool runPasses() {
    // Devices that wait for a pass of the device of the row.
    std::vector<std::vector<int>> waiting(problem.numDevices);
    std::vector<int> worklist(problem.numDevices);
    std::iota(worklist.rbegin(), worklist.rend(), 0);
    while (!worklist.empty()) {
      int device = worklist.back();
      worklist.pop_back();
      size_t before = result.passes[device].size();
      int other = advance(device);
      if (other >= 0 && other != device)
        waiting[other].push_back(device);
      if (result.passes[device].size() != before) {
        worklist.insert(worklist.end(), waiting[device].begin(),
                        waiting[device].end());
        waiting[device].clear();
      }
    }
    for (int device = 0; device < problem.numDevices; ++device)
      if (result.passes[device].size() != schedule.order[device].size())
        return false;
    return true;
  }

  Simulation finish() {
    measureTimes();
    for (int device = 0; device < problem.numDevices; ++device)
      measureMemory(device);
    return std::move(result);
  }

  /// The devices whose next pass ran, in the order in which they ran: every
  /// pass after those that it waits for.
  const std::vector<int> &getSequence() const { return sequence; }
  const Transfers &getTransfers() const { return transfers; }

private:
  /// What `pass` reads from another device, or nullptr.
  const TimedTransfer *received(const Pass &pass) const {
    int64_t slot = transfers.slotBefore(pass);
    return slot < 0 ? nullptr : &result.transfers[transferIn[slot]];
  }

  /// What `pass` sends to another device, or nullptr.
  const TimedTransfer *sent(const Pass &pass) const {
    return transfers.queueAfter(pass) < 0
               ? nullptr
               : &result.transfers[transferIn[transfers.slotAfter(pass)]];
  }

  /// Runs `device` until it has to wait for a device that has not come far
  /// enough, and returns that device; -1 at the end.
  int advance(int device) {
    const std::vector<Pass> &order = schedule.order[device];
    std::vector<TimedPass> &done = result.passes[device];
    while (done.size() < order.size()) {
      const Pass &pass = order[done.size()];
      for (const Pass &dependence : positions.dependences(pass)) {
        Position position = positions.of(dependence);
        if (position.index >=
            static_cast<int>(result.passes[position.device].size()))
          return position.device;
      }
      double start = deviceFree[device];
      if (const TimedTransfer *transfer = received(pass))
        start = std::max(start, transfer->arrival);
      if (pass.kind == PassKind::Update)
        start = std::max(start, reductionEnd[pass.stage]);
      double end = start + problem.stages[pass.stage].duration(pass.kind);
      done.push_back({pass, start, end});
      sequence.push_back(device);
      deviceFree[device] = end;
      send(pass, device, end);
      if (startsReduction(problem, pass))
        reduce(pass.stage, device, end);
    }
    return -1;
  }

  void send(const Pass &pass, int device, double time) {
    int queue = transfers.queueAfter(pass);
    if (queue < 0)
      return;
    int to = problem.placement[pass.kind == PassKind::Forward ? pass.stage + 1
                                                              : pass.stage - 1];
    int64_t bytes = transfers.bytesAfter(pass);
    const Link &link = transfers.link(queue);
    double start = std::max(time, queueFree[queue]);
    queueFree[queue] = start + static_cast<double>(bytes) / link.bandwidth;
    transferIn[transfers.slotAfter(pass)] =
        static_cast<int>(result.transfers.size());
    result.transfers.push_back(
        {pass, device, to, start, queueFree[queue] + link.latency, bytes});
  }

  void reduce(int stage, int device, double time) {
    double start = std::max(time, reductionFree[device]);
    double end = start + problem.stages[stage].gradientReduction;
    reductionFree[device] = reductionEnd[stage] = end;
    result.reductions[device].push_back({stage, start, end});
  }

  void measureTimes() {
    double begin = 0, end = 0, mostBusy = 0;
    bool isFirst = true;
    for (int device = 0; device < problem.numDevices; ++device) {
      const std::vector<TimedPass> &passes = result.passes[device];
      double busy = 0;
      for (const TimedPass &pass : passes)
        busy += problem.stages[pass.pass.stage].duration(pass.pass.kind);
      result.busy.push_back(busy);
      mostBusy = std::max(mostBusy, busy);
      if (passes.empty())
        continue;
      double first = passes.front().start;
      double last = std::max(passes.back().end, reductionFree[device]);
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
    const std::vector<TimedPass> &passes = result.passes[device];
    MemoryTimeline timeline(problem.fixed(device), passes.size());
    for (const auto &[pass, start, end] : passes) {
      const Stage &stage = problem.stages[pass.stage];
      int64_t taken = stage.taken(pass.kind);
      int64_t released = stage.released(pass.kind);
      int64_t workspace = stage.workspace(pass.kind);
      int64_t atStart = taken + workspace, atEnd = released + workspace;
      if (const TimedTransfer *input = received(pass);
          input && input->bytes && input->start < start) {
        timeline.takeBuffer(input->start, input->bytes);
        atStart -= input->bytes;
      }
      if (const TimedTransfer *output = sent(pass); output && output->bytes) {
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

  const Problem &problem;
  const Schedule &schedule;
  const PassPositions &positions;
  Transfers transfers;
  /// Where each transfer is in the result; -1 before it is sent.
  std::vector<int> transferIn;
  std::vector<double> deviceFree;
  std::vector<double> reductionFree; // per device
  std::vector<double> reductionEnd;  // per stage; 0 without a reduction
  std::vector<double> queueFree;
  std::vector<int> sequence;
  Simulation result;
};

/// Draws of the times of one order. Which pass waits for which, and what a
/// queue moves after what, follows from the order alone, so that one list of
/// passes serves all draws.
class JitteredTimes {
public:
  JitteredTimes(const Problem &problem, const Schedule &schedule,
                const std::vector<int> &sequence, const Transfers &transfers)
      : problem(problem), arrivals(transfers.numSlots()),
        queueFree(transfers.numQueues()), devices(problem.numDevices),
        reductionEnd(problem.numStages()) {
    steps.reserve(sequence.size());
    std::vector<size_t> done(problem.numDevices, 0);
    for (int device : sequence) {
      const Pass &pass = schedule.order[device][done[device]++];
      const Stage &stage = problem.stages[pass.stage];
      Step step;
      step.device = device;
      step.stage = pass.stage;
      step.isUpdate = pass.kind == PassKind::Update;
      step.startsReduction = startsReduction(problem, pass);
      step.seconds = stage.duration(pass.kind);
      step.input = transfers.slotBefore(pass);
      step.queue = transfers.queueAfter(pass);
      if (step.queue >= 0) {
        const Link &link = transfers.link(step.queue);
        step.output = static_cast<int64_t>(transfers.slotAfter(pass));
        step.queueSeconds =
            static_cast<double>(transfers.bytesAfter(pass)) / link.bandwidth;
        step.latency = link.latency;
      }
      steps.push_back(step);
    }
  }

  struct Times {
    double makespan = 0;
    double span = 0;
  };

  /// `factor` is called once for every pass, transfer and reduction.
  template <typename Factor> Times draw(Factor factor) {
    std::fill(queueFree.begin(), queueFree.end(), 0.0);
    std::fill(devices.begin(), devices.end(), Device());
    std::fill(reductionEnd.begin(), reductionEnd.end(), 0.0);
    for (const Step &step : steps) {
      Device &device = devices[step.device];
      double start = device.free;
      if (step.input >= 0)
        start = std::max(start, arrivals[step.input]);
      if (step.isUpdate)
        start = std::max(start, reductionEnd[step.stage]);
      if (device.begin < 0)
        device.begin = start;
      device.free = start + step.seconds * factor();
      if (step.queue >= 0) {
        double length = factor();
        double &free = queueFree[step.queue];
        free = std::max(free, device.free) + step.queueSeconds * length;
        arrivals[step.output] = free + step.latency * length;
      }
      if (step.startsReduction) {
        device.reductionFree =
            std::max(device.reductionFree, device.free) +
            problem.stages[step.stage].gradientReduction * factor();
        reductionEnd[step.stage] = device.reductionFree;
      }
    }
    Times times;
    double begin = std::numeric_limits<double>::infinity(), end = 0;
    for (const Device &device : devices) {
      if (device.begin < 0)
        continue;
      double last = std::max(device.free, device.reductionFree);
      begin = std::min(begin, device.begin);
      end = std::max(end, last);
      times.span = std::max(times.span, last - device.begin);
    }
    times.makespan = std::max(0.0, end - begin);
    return times;
  }

private:
  struct Step {
    double seconds = 0;
    double queueSeconds = 0;
    double latency = 0;
    int64_t input = -1;  // slot of a transfer
    int64_t output = -1; // slot of a transfer
    int queue = -1;
    int device = 0;
    int stage = 0;
    bool isUpdate = false;
    bool startsReduction = false;
  };
  struct Device {
    double free = 0;
    double reductionFree = 0;
    double begin = -1; // before its first pass
  };

  const Problem &problem;
  std::vector<Step> steps;
  std::vector<double> arrivals;
  std::vector<double> queueFree;
  std::vector<Device> devices;
  std::vector<double> reductionEnd;
};

/// The same numbers on every platform. S. Vigna's SplitMix64.
class UniformFactors {
public:
  UniformFactors(uint64_t seed, double percent)
      : state(seed), low(1 - percent / 100), width(2 * percent / 100) {}

  double operator()() {
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return low + width * (static_cast<double>(z >> 11) * 0x1p-53);
  }

private:
  uint64_t state;
  double low, width;
};

} // namespace

static int64_t largest(const std::vector<int64_t> &values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

int64_t Simulation::largestPeakBytes() const { return largest(peakBytes); }
int64_t Simulation::largestPeakActivationBytes() const {
  return largest(peakActivationBytes);
}

/// Runs the passes of `schedule`. Returns nullopt and sets `error` where it is
/// no schedule of the problem.
template <typename Use>
static auto withSimulator(const Problem &problem, const Schedule &schedule,
                          std::string *error, Use use)
    -> std::optional<decltype(use(std::declval<Simulator &>()))> {
  std::optional<std::string> message;
  PassPositions positions(problem, schedule, message);
  if (!message)
    message = verifyMicrobatchOrder(problem, schedule);
  if (!message) {
    Simulator simulator(problem, schedule, positions);
    if (simulator.runPasses())
      return use(simulator);
    message = verifyProgress(problem, schedule, positions);
  }
  if (error)
    *error = *message;
  return std::nullopt;
}

std::optional<Simulation>
simulate(const Problem &problem, const Schedule &schedule, std::string *error) {
  return withSimulator(problem, schedule, error,
                       [](Simulator &simulator) { return simulator.finish(); });
}

std::optional<JitterResult> jitter(const Problem &problem,
                                   const Schedule &schedule, double percent,
                                   int draws, uint64_t seed,
                                   std::string *error) {
  return withSimulator(problem, schedule, error, [&](Simulator &simulator) {
    JitteredTimes times(problem, schedule, simulator.getSequence(),
                        simulator.getTransfers());
    UniformFactors factors(seed, percent);
    JitterResult result;
    for (int i = 0; i < draws; ++i) {
      auto [makespan, span] = times.draw([&] { return factors(); });
      result.mean += makespan / draws;
      result.meanSpan += span / draws;
      result.worst = std::max(result.worst, makespan);
      result.worstSpan = std::max(result.worstSpan, span);
    }
    return result;
  });
}

} // namespace weir::schedule
