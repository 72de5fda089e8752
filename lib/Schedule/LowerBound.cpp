// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/LowerBound.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace weir::schedule {

namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

/// A pass as one machine sees it.
struct Job {
  double head;     // earliest start
  double duration; // on the machine
  double tail;     // least time from its end to the end of everything
};

/// The relaxed problem: per stage and microbatch an F, a gradient pass G and
/// the weight part W that may follow it, each no longer than in any mode (a
/// fused backward sends its gradient at its end, a split one earlier). Devices
/// are not limited here; only the passes of one kind of one stage follow each
/// other, in the order of microbatches.
class Relaxation {
public:
  explicit Relaxation(const Problem &problem) : problem(problem) {
    size_t size =
        static_cast<size_t>(problem.numStages()) * problem.numMicrobatches;
    for (int s = 0; s < problem.numStages(); ++s) {
      const Stage &stage = problem.stages[s];
      double b = stage.duration(PassKind::BackwardInput);
      double w = stage.duration(PassKind::BackwardWeight);
      double fused = stage.duration(PassKind::Backward);
      Durations d;
      d.forward = stage.forward;
      d.gradient = std::min(b, fused);
      d.weight = std::min(b + w, fused) - d.gradient;
      durations.push_back(d);
      bool last = s + 1 == problem.numStages();
      activationSeconds.push_back(
          last ? 0 : transfer(s, s + 1, stage.forwardTransferBytes));
      gradientSeconds.push_back(
          s == 0 ? 0 : transfer(s, s - 1, stage.backwardTransferBytes));
    }
    for (auto *values : {&headF, &headG, &headW, &tailF, &tailG, &tailW})
      values->assign(size, kNever);
  }

  /// Earliest starts, counted from the start of F(firstStage, 0). Stages below
  /// are left out, and what they send is taken to be there.
  void computeHeads(int firstStage) {
    for (int s = firstStage; s < problem.numStages(); ++s)
      for (int m = 0; m < problem.numMicrobatches; ++m) {
        double head = 0;
        if (m > 0)
          head = headF[at(s, m - 1)] + durations[s].forward;
        if (s > firstStage)
          head = std::max(head, headF[at(s - 1, m)] + durations[s - 1].forward +
                                    activationSeconds[s - 1]);
        headF[at(s, m)] = head;
      }
    for (int s = problem.numStages() - 1; s >= firstStage; --s) {
      if (!problem.stages[s].hasBackward())
        continue;
      for (int m = 0; m < problem.numMicrobatches; ++m) {
        double head = headF[at(s, m)] + durations[s].forward;
        if (s + 1 < problem.numStages())
          head =
              std::max(head, headG[at(s + 1, m)] + durations[s + 1].gradient +
                                 gradientSeconds[s + 1]);
        if (m > 0)
          head = std::max(head, headG[at(s, m - 1)] + durations[s].gradient);
        headG[at(s, m)] = head;
        head += durations[s].gradient;
        if (m > 0)
          head = std::max(head, headW[at(s, m - 1)] + durations[s].weight);
        headW[at(s, m)] = head;
      }
    }
  }

  /// Least times from the end of each pass to the end of everything, or with
  /// `device` >= 0 to the end of that device's passes (kNever: none follow).
  /// Stages below `firstStage` are left out.
  void computeTails(int firstStage, int device) {
    int last = problem.numMicrobatches - 1;
    for (int s = firstStage; s < problem.numStages(); ++s) {
      if (!problem.stages[s].hasBackward())
        continue;
      double end = ends(s, device);
      for (int m = last; m >= 0; --m) {
        double tail = end;
        if (m < last)
          tail = std::max(tail, tailW[at(s, m + 1)] + durations[s].weight);
        tailW[at(s, m)] = tail;
        tail += durations[s].weight;
        if (m < last)
          tail = std::max(tail, tailG[at(s, m + 1)] + durations[s].gradient);
        if (s > firstStage && problem.stages[s - 1].hasBackward())
          tail =
              std::max(tail, tailG[at(s - 1, m)] + durations[s - 1].gradient +
                                 gradientSeconds[s]);
        tailG[at(s, m)] = std::max(tail, end);
      }
    }
    for (int s = problem.numStages() - 1; s >= firstStage; --s)
      for (int m = last; m >= 0; --m) {
        double tail = ends(s, device);
        if (m < last)
          tail = std::max(tail, tailF[at(s, m + 1)] + durations[s].forward);
        if (s + 1 < problem.numStages())
          tail = std::max(tail, tailF[at(s + 1, m)] + durations[s + 1].forward +
                                    activationSeconds[s]);
        if (problem.stages[s].hasBackward())
          tail = std::max(tail, tailG[at(s, m)] + durations[s].gradient);
        tailF[at(s, m)] = tail;
      }
  }

  void addJobs(int s, std::vector<Job> &jobs) const {
    for (int m = 0; m < problem.numMicrobatches; ++m) {
      size_t i = at(s, m);
      jobs.push_back({headF[i], durations[s].forward, tailF[i]});
      if (!problem.stages[s].hasBackward())
        continue;
      jobs.push_back({headG[i], durations[s].gradient, tailG[i]});
      jobs.push_back({headW[i], durations[s].weight, tailW[i]});
    }
  }

  /// The transfers of every link that has a finite bandwidth.
  std::map<std::pair<int, int>, std::vector<Job>> linkJobs() const {
    std::map<std::pair<int, int>, std::vector<Job>> result;
    auto add = [&](int from, int to, int64_t bytes, double head, double after) {
      std::pair devices(problem.placement[from], problem.placement[to]);
      if (devices.first == devices.second)
        return;
      const Link &link = problem.link(devices.first, devices.second);
      double duration = static_cast<double>(bytes) / link.bandwidth;
      if (duration > 0)
        result[devices].push_back({head, duration, link.latency + after});
    };
    for (int s = 0; s < problem.numStages(); ++s)
      for (int m = 0; m < problem.numMicrobatches; ++m) {
        if (s + 1 < problem.numStages())
          add(s, s + 1, problem.stages[s].forwardTransferBytes,
              headF[at(s, m)] + durations[s].forward,
              durations[s + 1].forward + tailF[at(s + 1, m)]);
        if (s > 0 && problem.stages[s - 1].hasBackward())
          add(s, s - 1, problem.stages[s].backwardTransferBytes,
              headG[at(s, m)] + durations[s].gradient,
              durations[s - 1].gradient + tailG[at(s - 1, m)]);
      }
    return result;
  }

private:
  struct Durations {
    double forward, gradient, weight;
  };

  size_t at(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * problem.numMicrobatches + microbatch;
  }
  double ends(int stage, int device) const {
    return device < 0 || problem.placement[stage] == device ? 0 : kNever;
  }
  double transfer(int fromStage, int toStage, int64_t bytes) const {
    int from = problem.placement[fromStage], to = problem.placement[toStage];
    if (from == to)
      return 0;
    const Link &link = problem.link(from, to);
    return link.latency + static_cast<double>(bytes) / link.bandwidth;
  }

  const Problem &problem;
  std::vector<Durations> durations;
  std::vector<double> activationSeconds; // from each stage to the next
  std::vector<double> gradientSeconds;   // from each stage to the previous
  std::vector<double> headF, headG, headW, tailF, tailG, tailW;
};

} // namespace

/// Jackson's rule: of the passes that may run, run the one with the longest
/// tail, and interrupt it for a longer one. Optimal with preemption, so a bound
/// without.
static double oneMachineBound(std::vector<Job> jobs) {
  std::sort(jobs.begin(), jobs.end(),
            [](const Job &a, const Job &b) { return a.head < b.head; });
  auto shorterTail = [&](size_t a, size_t b) {
    return jobs[a].tail < jobs[b].tail;
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(shorterTail)> ready(
      shorterTail);
  double time = 0, bound = 0;
  size_t next = 0;
  while (next < jobs.size() || !ready.empty()) {
    if (ready.empty())
      time = std::max(time, jobs[next].head);
    while (next < jobs.size() && jobs[next].head <= time)
      ready.push(next++);
    Job &job = jobs[ready.top()];
    double until = time + job.duration;
    if (next < jobs.size() && jobs[next].head < until) {
      job.duration = until - jobs[next].head;
      time = jobs[next].head;
      continue;
    }
    time = until;
    bound = std::max(bound, time + job.tail);
    ready.pop();
  }
  return bound;
}

Bound lowerBound(const Problem &problem, Objective objective) {
  Bound bound{0, "any order of this placement, without a memory limit"};
  Relaxation relaxation(problem);
  std::vector<std::vector<int>> stages = problem.stagesOfDevices();
  auto deviceBound = [&](const std::vector<int> &stagesHere) {
    std::vector<Job> jobs;
    for (int s : stagesHere)
      relaxation.addJobs(s, jobs);
    return oneMachineBound(std::move(jobs));
  };

  if (objective == Objective::Makespan) {
    // Every pass waits for F(0, 0), so that is where the step begins.
    relaxation.computeHeads(0);
    relaxation.computeTails(0, -1);
    for (const std::vector<int> &stagesHere : stages)
      bound.seconds = std::max(bound.seconds, deviceBound(stagesHere));
    for (auto &[devices, jobs] : relaxation.linkJobs())
      bound.seconds = std::max(bound.seconds, oneMachineBound(std::move(jobs)));
    return bound;
  }

  for (int device = 0; device < problem.numDevices; ++device) {
    if (stages[device].empty())
      continue;
    // All passes of a device wait for the first F of its lowest stage.
    int first = stages[device].front();
    relaxation.computeHeads(first);
    relaxation.computeTails(first, device);
    bound.seconds = std::max(bound.seconds, deviceBound(stages[device]));
  }
  return bound;
}

} // namespace weir::schedule
