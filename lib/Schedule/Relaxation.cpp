// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Relaxation.h"

#include <algorithm>
#include <queue>

namespace weir::schedule {

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr size_t kMaxStagesOfWindows = 12;

double oneMachineBound(std::vector<Job> jobs) {
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

RelaxedStage::RelaxedStage(const Stage &stage) {
  double b = stage.duration(PassKind::BackwardInput);
  double w = stage.duration(PassKind::BackwardWeight);
  double fused = stage.duration(PassKind::Backward);
  forward = stage.forward;
  recompute = stage.duration(PassKind::Recompute);
  gradient = std::min(b, fused);
  weight = std::min(b + w, fused) - gradient;
  afterForward = stage.taken(PassKind::Forward);
  afterRecompute = afterForward + stage.taken(PassKind::Recompute);
  afterGradient = 0;
  if (!stage.hasBackward())
    afterForward = afterRecompute = 0;
  else if (stage.hasBackwardWeight)
    afterGradient = stage.released(PassKind::BackwardWeight);
}

Relaxation::Relaxation(const Problem &problem) : problem(problem) {
  size_t size =
      static_cast<size_t>(problem.numStages()) * problem.numMicrobatches;
  for (int s = 0; s < problem.numStages(); ++s) {
    stages.emplace_back(problem.stages[s]);
    bool last = s + 1 == problem.numStages();
    activationSeconds.push_back(
        last ? 0 : transfer(s, s + 1, problem.stages[s].forwardTransferBytes));
    gradientSeconds.push_back(
        s == 0 ? 0
               : transfer(s, s - 1, problem.stages[s].backwardTransferBytes));
  }
  computeWaits();
  for (auto *values :
       {&headF, &headR, &headG, &headW, &tailF, &tailR, &tailG, &tailW})
    values->assign(size, kNever);
}

void Relaxation::computeHeads(int firstStage) {
  int last = problem.numStages() - 1;
  for (int m = 0; m < problem.numMicrobatches; ++m) {
    for (int s = firstStage; s <= last; ++s) {
      const RelaxedStage &stage = stages[s];
      double head = 0;
      if (m > 0)
        head = headF[at(s, m - 1)] + stage.forward;
      if (s > firstStage)
        head = std::max(head, headF[at(s - 1, m)] + stages[s - 1].forward +
                                  activationSeconds[s - 1]);
      for (const Wait &wait : waits[s])
        if (m >= wait.gap && wait.stage >= firstStage)
          head = std::max(head, headG[at(wait.stage, m - wait.gap)] +
                                    wait.seconds[m - wait.gap]);
      if (m >= weightRoom[s])
        head = std::max(head, headW[at(s, m - weightRoom[s])] + stage.weight);
      headF[at(s, m)] = head;
    }
    for (int s = last; s >= firstStage; --s) {
      if (!hasBackward(s))
        continue;
      const RelaxedStage &stage = stages[s];
      double head = headF[at(s, m)] + stage.forward;
      if (m > 0)
        head = std::max(head, headR[at(s, m - 1)] + stage.recompute);
      headR[at(s, m)] = head;
      head += stage.recompute;
      if (s < last)
        head = std::max(head, headG[at(s + 1, m)] + stages[s + 1].gradient +
                                  gradientSeconds[s + 1]);
      if (m > 0)
        head = std::max(head, headG[at(s, m - 1)] + stage.gradient);
      headG[at(s, m)] = head;
      head += stage.gradient;
      if (m > 0)
        head = std::max(head, headW[at(s, m - 1)] + stage.weight);
      headW[at(s, m)] = head;
    }
  }
}

void Relaxation::computeTails(int firstStage, int device) {
  int last = problem.numMicrobatches - 1;
  for (int m = last; m >= 0; --m) {
    for (int s = firstStage; s < problem.numStages(); ++s) {
      if (!hasBackward(s))
        continue;
      const RelaxedStage &stage = stages[s];
      double end = ends(s, device);
      double tail = end;
      if (m < last)
        tail = std::max(tail, tailW[at(s, m + 1)] + stage.weight);
      if (m + weightRoom[s] <= last)
        tail = std::max(tail, tailF[at(s, m + weightRoom[s])] + stage.forward);
      tailW[at(s, m)] = tail;
      tail += stage.weight;
      if (m < last)
        tail = std::max(tail, tailG[at(s, m + 1)] + stage.gradient);
      for (auto [t, index] : waiting[s]) {
        const Wait &wait = waits[t][index];
        if (m + wait.gap <= last && t >= firstStage)
          tail = std::max(tail, tailF[at(t, m + wait.gap)] + stages[t].forward +
                                    wait.seconds[m] - stage.gradient);
      }
      if (s > firstStage && hasBackward(s - 1))
        tail = std::max(tail, tailG[at(s - 1, m)] + stages[s - 1].gradient +
                                  gradientSeconds[s]);
      tailG[at(s, m)] = tail = std::max(tail, end);
      tail += stage.gradient;
      if (m < last)
        tail = std::max(tail, tailR[at(s, m + 1)] + stage.recompute);
      tailR[at(s, m)] = tail;
    }
    for (int s = problem.numStages() - 1; s >= firstStage; --s) {
      double tail = ends(s, device);
      if (m < last)
        tail = std::max(tail, tailF[at(s, m + 1)] + stages[s].forward);
      if (s + 1 < problem.numStages())
        tail = std::max(tail, tailF[at(s + 1, m)] + stages[s + 1].forward +
                                  activationSeconds[s]);
      if (hasBackward(s))
        tail = std::max(tail, tailR[at(s, m)] + stages[s].recompute);
      tailF[at(s, m)] = tail;
    }
  }
}

void Relaxation::addJobs(int s, std::vector<Job> &jobs) const {
  const RelaxedStage &stage = stages[s];
  for (int m = 0; m < problem.numMicrobatches; ++m) {
    size_t i = at(s, m);
    jobs.push_back({headF[i], stage.forward, tailF[i]});
    if (!hasBackward(s))
      continue;
    if (problem.stages[s].recompute)
      jobs.push_back({headR[i], stage.recompute, tailR[i]});
    jobs.push_back({headG[i], stage.gradient, tailG[i]});
    jobs.push_back({headW[i], stage.weight, tailW[i]});
  }
}

std::map<std::pair<int, int>, std::vector<Job>> Relaxation::linkJobs() const {
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
            headF[at(s, m)] + stages[s].forward,
            stages[s + 1].forward + tailF[at(s + 1, m)]);
      if (s > 0 && hasBackward(s - 1))
        add(s, s - 1, problem.stages[s].backwardTransferBytes,
            headG[at(s, m)] + stages[s].gradient,
            stages[s - 1].gradient + tailG[at(s - 1, m)]);
    }
  return result;
}

void Relaxation::computeWaits() {
  int microbatches = problem.numMicrobatches;
  waits.resize(problem.numStages());
  waiting.resize(problem.numStages());
  weightRoom.assign(problem.numStages(), microbatches);
  std::vector<std::vector<int>> stagesHere = problem.stagesOfDevices();
  for (int device = 0; device < problem.numDevices; ++device) {
    const std::vector<int> &here = stagesHere[device];
    if (!problem.limit(device) || here.empty())
      continue;
    MemoryWindows windows(problem, stages, device, here);
    for (int s : here) {
      int64_t bytes = std::min(stages[s].afterForward, stages[s].afterGradient);
      int64_t room =
          windows.freeBytes() - problem.stages[s].workspace(PassKind::Forward);
      // Nothing may be concluded where not even one fits.
      if (hasBackward(s) && bytes > 0 && room >= bytes)
        weightRoom[s] =
            static_cast<int>(std::min<int64_t>(room / bytes, microbatches));
    }

    // With many stages on a device the windows would take too long.
    bool areMany = here.size() > kMaxStagesOfWindows;
    std::vector<std::vector<double>> before(here.size()), after(here.size());
    for (int s = windows.firstTrained(); s < windows.size() && !areMany; ++s)
      for (int i = 0; i < microbatches; ++i) {
        before[s].push_back(windows.beforeGradient(s, i));
        after[s].push_back(windows.afterForward(s, i));
      }
    for (int t = windows.firstTrained(); t < windows.size(); ++t)
      for (int s = areMany ? t : windows.firstTrained();
           s < (areMany ? t + 1 : windows.size()); ++s) {
        int64_t gap = windows.gap(s, t);
        if (gap < 1 || gap >= microbatches)
          continue;
        Wait wait{here[s], static_cast<int>(gap), {}};
        for (int i = 0; i + gap < microbatches; ++i) {
          double seconds = stages[here[s]].gradient;
          if (!areMany)
            seconds = std::max(seconds, windows.work() - before[s][i] -
                                            after[t][i + gap] -
                                            stages[here[t]].forward);
          wait.seconds.push_back(seconds);
        }
        waiting[here[s]].push_back({here[t], waits[here[t]].size()});
        waits[here[t]].push_back(std::move(wait));
      }
  }
}

double Relaxation::transfer(int fromStage, int toStage, int64_t bytes) const {
  int from = problem.placement[fromStage], to = problem.placement[toStage];
  if (from == to)
    return 0;
  const Link &link = problem.link(from, to);
  return link.latency + static_cast<double>(bytes) / link.bandwidth;
}

} // namespace weir::schedule
