// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/LowerBound.h"
#include "MemoryBound.h"

namespace weir::schedule {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Bound lowerBound(const Problem &problem, Objective objective) {
  Bound bound{0, problem.memoryLimits.empty()
                     ? "any order of this placement, without a memory limit"
                     : "any order of this placement within the memory limit"};
  Relaxation relaxation(problem);
  std::vector<std::vector<int>> stages = problem.stagesOfDevices();
  auto boundDevice = [&](int device) {
    if (stages[device].empty())
      return;
    std::vector<Job> jobs;
    for (int s : stages[device])
      relaxation.addJobs(s, jobs);
    bound.seconds = std::max(bound.seconds, oneMachineBound(std::move(jobs)));
    if (!problem.limit(device))
      return;
    MemoryBound memory(problem, relaxation, device, stages[device]);
    bound.seconds =
        std::max({bound.seconds, memory.windows(), memory.littlesLaw()});
  };

  if (objective == Objective::Makespan) {
    // Every pass waits for F(0, 0), so that is where the step begins.
    relaxation.computeHeads(0);
    relaxation.computeTails(0, -1);
    for (int device = 0; device < problem.numDevices; ++device)
      boundDevice(device);
    for (auto &[devices, jobs] : relaxation.linkJobs())
      bound.seconds = std::max(bound.seconds, oneMachineBound(std::move(jobs)));
    return bound;
  }

  // Of very large problems a part of the devices has to do.
  int64_t size = static_cast<int64_t>(problem.numStages()) *
                 problem.numMicrobatches * problem.numDevices;
  int step = static_cast<int>(
      std::min<int64_t>(1 + size / 4000000, problem.numDevices));
  for (int device = 0; device < problem.numDevices; ++device) {
    if (stages[device].empty() ||
        (device % step != 0 && device + 1 < problem.numDevices))
      continue;
    // All passes of a device wait for the first F of its lowest stage.
    int first = stages[device].front();
    relaxation.computeHeads(first);
    relaxation.computeTails(first, device);
    boundDevice(device);
  }
  return bound;
}

namespace {

/// A model cut into equal stages, `stagesPerDevice` on each device.
struct EvenCut {
  int devices, stagesPerDevice, microbatches;
  // Of one stage.
  double forward, gradient, weight;
  double afterForward, afterGradient, takenByGradient, area;
  double forwardSeconds, gradientSeconds; // of a transfer
  double largestFree, sumOfFree;          // bytes
  bool limited;

  double numStages() const { return double(devices) * stagesPerDevice; }
  double workOfDevice() const {
    return double(microbatches) * stagesPerDevice *
           (forward + gradient + weight);
  }

  /// Work of forward passes that may come before a backward pass.
  double before() const {
    double count = double(microbatches) * stagesPerDevice;
    double room = largestFree - takenByGradient;
    if (limited && afterForward > 0)
      count = std::min(
          count, std::floor(std::max(room, 0.0) / afterForward * (1 + 1e-12)));
    return count * forward;
  }
  /// Work of backward passes that may come after the last forward pass.
  double after() const {
    double count = double(microbatches) * stagesPerDevice;
    if (!limited)
      return count * (gradient + weight);
    double room = std::max(largestFree, 0.0);
    if (afterForward > 0 && (afterGradient == afterForward || !afterGradient))
      room = std::floor(room / afterForward * (1 + 1e-12)) * afterForward;
    double smallest = afterForward;
    if (afterGradient > 0 && (smallest == 0 || afterGradient < smallest))
      smallest = afterGradient;
    double highestPrice = smallest > 0 ? (gradient + weight) / smallest : 0;
    return mostWork(room, count, highestPrice, [&](double price) {
      return better(price, {gradient + weight, afterForward},
                    better(price, {weight, afterGradient}, {}));
    });
  }

  /// `changes`: of device on the way through all stages. `back` and
  /// `changesBack`: stages and changes between the last stage and the last
  /// stage of the device.
  double windows(double changes, double back, double changesBack) const {
    double head = numStages() * forward + changes * forwardSeconds +
                  back * gradient + changesBack * gradientSeconds;
    double tail = back * forward + changesBack * forwardSeconds +
                  numStages() * gradient + changes * gradientSeconds + weight;
    double idleBefore = std::max(0.0, head - before());
    double idleAfter = std::max(0.0, tail - after());
    bool apart =
        limited && double(microbatches) * stagesPerDevice * afterForward >
                       largestFree - takenByGradient;
    return workOfDevice() +
           (apart ? idleBefore + idleAfter : std::max(idleBefore, idleAfter));
  }

  double makespan() const {
    int p = devices, k = stagesPerDevice;
    double fill = (p - 1) * (forward + forwardSeconds);
    double least = kInfinity;
    // `rows` devices hold their stages in one row; the others come up twice.
    // The device whose last stage is lowest may be one of either.
    for (int rows : {0, 1, p - 1, p}) {
      if (k == 1 && rows < p)
        continue;
      double changes = 2.0 * p - rows - 1;
      if (rows >= 1)
        least = std::min(least,
                         windows(changes, (rows - 1.0) * k + p - rows, p - 1));
      if (rows < p)
        least = std::min(
            least, windows(changes, double(rows) * k + p - 1 - rows, p - 1));
    }
    return std::max({workOfDevice() + fill, least, littlesLaw()});
  }

  double span() const {
    // The device of stage 0 holds all its stages in one row, or comes up again.
    double least =
        windows(devices - 1, numStages() - stagesPerDevice, devices - 1);
    if (stagesPerDevice > 1 && devices > 1)
      least = std::min(least, windows(devices, 0, 0));
    return std::max(least, littlesLaw());
  }

  double littlesLaw() const {
    if (!limited || sumOfFree <= 0)
      return 0;
    double sum = 0;
    int count = devices * stagesPerDevice;
    for (int above = 0; above < count; ++above) {
      int changes = above / stagesPerDevice;
      double wait = (above + 1) * forward + above * gradient +
                    changes * (forwardSeconds + gradientSeconds);
      sum += afterForward * wait + area;
    }
    return microbatches * sum / sumOfFree;
  }
};

} // namespace

static double leastTransfer(const Problem &problem, bool gradient) {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  for (int s = 0; s < problem.numStages(); ++s) {
    // The last stage sends no activation, the first no gradient.
    if (problem.numStages() > 1 &&
        s == (gradient ? 0 : problem.numStages() - 1))
      continue;
    bytes = std::min(bytes, gradient ? problem.stages[s].backwardTransferBytes
                                     : problem.stages[s].forwardTransferBytes);
  }
  auto seconds = [&](const Link &link) {
    return link.latency + static_cast<double>(bytes) / link.bandwidth;
  };
  double least = seconds(problem.defaultLink);
  for (const auto &[devices, link] : problem.links)
    if (devices.first != devices.second)
      least = std::min(least, seconds(link));
  return least;
}

Bound lowerBoundAnyPlacement(const Problem &problem, int maxStagesPerDevice,
                             Objective objective) {
  Bound bound{kInfinity, "any placement of up to " +
                             std::to_string(maxStagesPerDevice) +
                             " equal stages per device"};
  if (!problem.memoryLimits.empty())
    bound.scope += " within the memory limit";
  EvenCut whole{};
  whole.devices = problem.numDevices;
  whole.microbatches = problem.numMicrobatches;
  bool regular = true;
  for (const Stage &stage : problem.stages) {
    RelaxedStage relaxed(stage);
    regular &=
        stage.hasBackwardInput && stage.hasBackwardWeight && !stage.recompute;
    whole.forward += relaxed.forward;
    whole.gradient += relaxed.gradient;
    whole.weight += relaxed.weight + relaxed.recompute;
    whole.afterForward += double(relaxed.afterForward);
    whole.afterGradient += double(relaxed.afterGradient);
    whole.takenByGradient += double(stage.taken(PassKind::BackwardInput));
  }
  if (!regular) {
    whole.stagesPerDevice = 1;
    bound.seconds = whole.workOfDevice() / problem.numDevices;
    return bound;
  }
  whole.forwardSeconds = leastTransfer(problem, false);
  whole.gradientSeconds = leastTransfer(problem, true);
  whole.limited = !problem.memoryLimits.empty();
  for (int device = 0; whole.limited && device < problem.numDevices; ++device) {
    double free = double(*problem.limit(device) - problem.fixed(device));
    whole.largestFree = device ? std::max(whole.largestFree, free) : free;
    whole.sumOfFree += free;
  }
  for (int k = 1; k <= std::max(1, maxStagesPerDevice); ++k) {
    EvenCut cut = whole;
    cut.stagesPerDevice = k;
    double parts = cut.numStages();
    for (double *value :
         {&cut.forward, &cut.gradient, &cut.weight, &cut.afterForward,
          &cut.afterGradient, &cut.takenByGradient})
      *value /= parts;
    double most = cut.afterForward + cut.takenByGradient;
    // A fused backward holds everything for as long as the split one does, or
    // is shorter by what `gradient` and `weight` already leave out.
    cut.area =
        most * cut.gradient + std::min(cut.afterGradient, most) * cut.weight;
    bound.seconds = std::min(bound.seconds, objective == Objective::Makespan
                                                ? cut.makespan()
                                                : cut.span());
  }
  return bound;
}

} // namespace weir::schedule
