// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/ExactSearch.h"
#include "MemoryBound.h"
#include "weir/Schedule/LowerBound.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>

namespace weir::schedule {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Sums of the same durations in different orders may differ by this part.
constexpr double kRounding = 1e-9;

class ExactSearch {
public:
  ExactSearch(const Problem &problem, int64_t nodeLimit)
      : problem(problem), relaxation(problem),
        stagesHere(problem.stagesOfDevices()), numStages(problem.numStages()),
        microbatches(problem.numMicrobatches), nodesLeft(nodeLimit) {
    relaxation.computeHeads(0);
    relaxation.computeTails(0, -1);
    for (int device = 0; device < problem.numDevices; ++device)
      if (problem.limit(device) && !stagesHere[device].empty())
        MemoryBound(problem, relaxation, device, stagesHere[device])
            .forEachWindow([&](int s, int m, double least) {
              if (m >= 0)
                windows.push_back({at(stagesHere[device][s], m), least});
            });
    progress.resize(numStages);
    size_t size = static_cast<size_t>(numStages) * microbatches;
    for (auto *times : {&readyF, &readyG, &headF, &headR, &headG, &headW})
      times->assign(size, 0);
    devices.resize(problem.numDevices);
    for (int device = 0; device < problem.numDevices; ++device)
      if (problem.limit(device))
        devices[device].limit = *problem.limit(device) - problem.fixed(device);
    for (const Stage &stage : problem.stages)
      passesLeft += microbatches * (stage.recompute ? 2 : 1);
    for (const Stage &stage : problem.stages)
      passesLeft +=
          microbatches * (stage.hasBackwardInput + stage.hasBackwardWeight);
  }

  ExactResult run() {
    ExactResult result;
    result.bound = lowerBound(problem, Objective::Makespan).seconds;
    for (const std::vector<int> &here : stagesHere)
      if (here.size() > kMaxStagesOfDevice)
        return result;
    for (const Device &device : devices)
      if (device.limit < 0) {
        result.status = ExactResult::Status::Infeasible;
        return result;
      }
    int64_t allowed = nodesLeft;
    for (;;) {
      target = result.bound * (1 + kRounding);
      nextTarget = kInfinity;
      seen.clear();
      numSeen = 0;
      bool found = extend();
      result.nodes = allowed - nodesLeft;
      if (found) {
        result.status = ExactResult::Status::Optimal;
        result.schedule.name = "exact";
        for (const Device &device : devices)
          result.schedule.order.push_back(device.order);
        return result;
      }
      if (nodesLeft <= 0)
        return result;
      if (nextTarget == kInfinity) {
        result.status = ExactResult::Status::Infeasible;
        return result;
      }
      result.bound = nextTarget;
    }
  }

private:
  static constexpr size_t kMaxStagesOfDevice = 12; // of 5 chains in 64 bits

  /// How many microbatches of a stage have had their F, R, gradient, W.
  struct Progress {
    int f = 0, r = 0, g = 0, w = 0;
  };
  struct Device {
    double free = 0;
    int64_t held = 0;
    int64_t limit = std::numeric_limits<int64_t>::max();
    std::vector<Pass> order;
    /// Chains whose next pass may only come after some other pass.
    uint64_t putOff = 0;
  };
  struct Choice {
    Pass pass;
    double start, end;
  };

  size_t at(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * microbatches + microbatch;
  }
  /// The bit of the chain among those of its device.
  uint64_t chainBit(const Pass &pass) const {
    const std::vector<int> &here = stagesHere[problem.placement[pass.stage]];
    size_t j =
        std::lower_bound(here.begin(), here.end(), pass.stage) - here.begin();
    return uint64_t(1) << (j * 5 + chainOf(pass.kind));
  }
  static int chainOf(PassKind kind) {
    switch (kind) {
    case PassKind::Forward:
      return 0;
    case PassKind::Recompute:
      return 1;
    case PassKind::BackwardInput:
      return 2;
    case PassKind::Backward:
      return 3;
    default:
      return 4;
    }
  }

  /// Whether split passes are never worse than a fused one.
  static bool fusedIsUseless(const Stage &stage) {
    double split = stage.duration(PassKind::BackwardInput) +
                   stage.duration(PassKind::BackwardWeight);
    int64_t fused = stage.workspace(PassKind::Backward);
    if (stage.duration(PassKind::Backward) < split)
      return false;
    if (stage.hasBackwardInput && stage.hasBackwardWeight)
      return stage.workspace(PassKind::BackwardInput) <= fused &&
             stage.workspace(PassKind::BackwardWeight) -
                     stage.releasedByBackwardInput <=
                 fused;
    PassKind only = stage.hasBackwardInput ? PassKind::BackwardInput
                                           : PassKind::BackwardWeight;
    return stage.workspace(only) <= fused;
  }

  void addChoice(PassKind kind, int s, int m, double ready,
                 std::vector<Choice> &choices) const {
    const Stage &stage = problem.stages[s];
    const Device &device = devices[problem.placement[s]];
    Pass pass{kind, s, m};
    if (device.held + stage.taken(kind) + stage.workspace(kind) >
            device.limit ||
        (device.putOff & chainBit(pass)))
      return;
    double start = std::max(device.free, ready);
    choices.push_back({pass, start, start + stage.duration(kind)});
  }

  /// All passes that may come next on their device.
  std::vector<Choice> allChoices() const {
    std::vector<Choice> choices;
    for (int s = 0; s < numStages; ++s) {
      const Stage &stage = problem.stages[s];
      auto [f, r, g, w] = progress[s];
      if (f < microbatches && (s == 0 || progress[s - 1].f > f))
        addChoice(PassKind::Forward, s, f, s ? readyF[at(s - 1, f)] : 0,
                  choices);
      if (stage.recompute && r < f)
        addChoice(PassKind::Recompute, s, r, 0, choices);
      if (!stage.hasBackward())
        continue;
      bool isLast = s + 1 == numStages;
      if (g < (stage.recompute ? r : f) && (isLast || progress[s + 1].g > g)) {
        double ready = isLast ? 0 : readyG[at(s + 1, g)];
        addChoice(stage.hasBackwardInput ? PassKind::BackwardInput
                                         : PassKind::BackwardWeight,
                  s, g, ready, choices);
        if (w == g && !fusedIsUseless(stage))
          addChoice(PassKind::Backward, s, g, ready, choices);
      }
      if (stage.hasBackwardInput && stage.hasBackwardWeight && w < g)
        addChoice(PassKind::BackwardWeight, s, w, 0, choices);
    }
    return choices;
  }

  /// Runs `choice`, calls `then`, and undoes it.
  template <typename Then> bool with(const Choice &choice, Then then) {
    auto [kind, s, m] = choice.pass;
    const Stage &stage = problem.stages[s];
    Device &device = devices[problem.placement[s]];
    Progress before = progress[s];
    double free = device.free;
    uint64_t putOff = device.putOff;
    int64_t held = device.held;
    int parts = 1;
    double linkFree = 0;
    double *link = nullptr;

    Progress &p = progress[s];
    bool sendsGradient = false;
    if (kind == PassKind::Forward)
      ++p.f;
    else if (kind == PassKind::Recompute)
      ++p.r;
    else if (kind == PassKind::Backward || !stage.hasBackwardInput ||
             !stage.hasBackwardWeight) {
      ++p.g, ++p.w;
      parts = stage.hasBackwardInput + stage.hasBackwardWeight;
      sendsGradient = true;
    } else if (kind == PassKind::BackwardInput) {
      ++p.g;
      sendsGradient = true;
    } else {
      ++p.w;
    }
    if (kind == PassKind::Forward && s + 1 < numStages)
      readyF[at(s, m)] = send(s, s + 1, stage.forwardTransferBytes, choice.end,
                              link, linkFree);
    if (sendsGradient && s > 0 && problem.stages[s - 1].hasBackward())
      readyG[at(s, m)] = send(s, s - 1, stage.backwardTransferBytes, choice.end,
                              link, linkFree);
    device.free = choice.end;
    device.held += stage.taken(kind) - stage.released(kind);
    device.putOff = 0;
    device.order.push_back(choice.pass);
    passesLeft -= parts;

    if (then())
      return true;

    passesLeft += parts;
    device.order.pop_back();
    device.held = held;
    device.putOff = putOff;
    device.free = free;
    progress[s] = before;
    if (link)
      *link = linkFree;
    return false;
  }

  double send(int from, int to, int64_t bytes, double time, double *&link,
              double &linkFree) {
    std::pair ends(problem.placement[from], problem.placement[to]);
    if (ends.first == ends.second)
      return time;
    const Link &properties = problem.link(ends.first, ends.second);
    double occupied = static_cast<double>(bytes) / properties.bandwidth;
    if (occupied > 0) {
      link = &links[ends];
      linkFree = *link;
      time = *link = std::max(time, *link) + occupied;
    }
    return time + properties.latency;
  }

  /// When the last pass of the complete order ends; the next target where that
  /// is too late.
  double end() {
    double end = 0;
    for (const Device &device : devices)
      end = std::max(end, device.free);
    if (end > target)
      nextTarget = std::min(nextTarget, end);
    return end;
  }

  /// Completes the partial order within the target. False where that cannot be
  /// done, or no more nodes may be tried.
  bool extend() {
    if (passesLeft == 0)
      return end() <= target;
    if (--nodesLeft <= 0)
      return false;
    std::vector<Choice> choices = allChoices();
    if (choices.empty())
      return false;
    double least = leastMakespan();
    if (least > target) {
      nextTarget = std::min(nextTarget, least);
      return false;
    }
    if (isDominated())
      return false;

    const Choice first = *std::min_element(
        choices.begin(), choices.end(), [&](const Choice &a, const Choice &b) {
          return std::tuple(a.end, rank(a)) < std::tuple(b.end, rank(b));
        });
    int device = problem.placement[first.pass.stage];
    std::erase_if(choices, [&](const Choice &choice) {
      return problem.placement[choice.pass.stage] != device ||
             (choice.start >= first.end && !(choice.pass == first.pass));
    });
    std::sort(
        choices.begin(), choices.end(), [&](const Choice &a, const Choice &b) {
          return std::tuple(rank(a), a.start) < std::tuple(rank(b), b.start);
        });
    for (const Choice &choice : choices)
      if (with(choice, [&] { return extend(); }))
        return true;
    if (!mayBePutOff(first.pass))
      return false;
    // Whatever comes next cannot start before `first` would have ended.
    Device &here = devices[device];
    uint64_t putOff = here.putOff;
    double free = here.free;
    for (const Choice &choice : choices)
      here.putOff |= chainBit(choice.pass);
    here.free = std::max(here.free, first.end);
    if (extend())
      return true;
    here.putOff = putOff;
    here.free = free;
    return false;
  }

  /// Backward passes first, which others wait for and which free memory.
  static int rank(const Choice &choice) {
    switch (choice.pass.kind) {
    case PassKind::BackwardInput:
    case PassKind::Backward:
      return 0;
    case PassKind::Recompute:
      return 1;
    case PassKind::Forward:
      return 2;
    default:
      return 3;
    }
  }

  /// Whether it can be better not to run `pass` although nothing else would
  /// run meanwhile: for what it takes from others, memory or a link, or because
  /// its stage may run a fused pass later, or just not that.
  bool mayBePutOff(const Pass &pass) const {
    auto [kind, s, m] = pass;
    const Stage &stage = problem.stages[s];
    int device = problem.placement[s];
    if (problem.limit(device) && stage.taken(kind) > stage.released(kind))
      return true;
    bool isForward = kind == PassKind::Forward;
    bool isBackward = !isForward && kind != PassKind::Recompute;
    if (isBackward && !fusedIsUseless(stage))
      return true;
    int to = isForward ? s + 1 : isBackward ? s - 1 : -1;
    if (to < 0 || to == numStages || problem.placement[to] == device)
      return false;
    int64_t bytes =
        isForward ? stage.forwardTransferBytes : stage.backwardTransferBytes;
    return bytes > 0 &&
           problem.link(device, problem.placement[to]).bandwidth < kInfinity;
  }

  /// The makespan of the relaxed problem, whose passes that are done have the
  /// times that they have.
  double leastMakespan() {
    double bound = 0;
    int last = numStages - 1;
    for (int m = 0; m < microbatches; ++m) {
      for (int s = 0; s <= last; ++s) {
        if (m < progress[s].f) {
          continue;
        }
        const RelaxedStage &stage = relaxation.stage(s);
        double head = freeOf(s);
        if (m > progress[s].f)
          head = std::max(head, headF[at(s, m - 1)] + stage.forward);
        if (s > 0)
          head = std::max(head, m < progress[s - 1].f
                                    ? readyF[at(s - 1, m)]
                                    : headF[at(s - 1, m)] +
                                          relaxation.stage(s - 1).forward +
                                          relaxation.secondsToNext(s - 1));
        for (const Relaxation::Wait &wait : relaxation.waitsOfF(s))
          if (m - wait.gap >= progress[wait.stage].g)
            head = std::max(head, headG[at(wait.stage, m - wait.gap)] +
                                      wait.seconds[m - wait.gap]);
        int room = relaxation.roomOfWeights(s);
        if (m >= room && m - room >= progress[s].w)
          head = std::max(head, headW[at(s, m - room)] + stage.weight);
        headF[at(s, m)] = head;
        bound =
            std::max(bound, head + stage.forward + relaxation.tailOfF(s, m));
      }
      for (int s = last; s >= 0; --s) {
        if (!relaxation.hasBackward(s) || m < progress[s].w)
          continue;
        const RelaxedStage &stage = relaxation.stage(s);
        double head = freeOf(s);
        bool recomputes = problem.stages[s].recompute.has_value();
        if (m >= progress[s].f)
          head = headF[at(s, m)] + stage.forward;
        if (recomputes && m >= progress[s].r) {
          if (m > progress[s].r)
            head = std::max(head, headR[at(s, m - 1)] + stage.recompute);
          headR[at(s, m)] = head;
          head += stage.recompute;
        }
        if (m >= progress[s].g) {
          if (s < last)
            head =
                std::max(head, m < progress[s + 1].g
                                   ? readyG[at(s + 1, m)]
                                   : headG[at(s + 1, m)] +
                                         relaxation.stage(s + 1).gradient +
                                         relaxation.secondsToPrevious(s + 1));
          if (m > progress[s].g)
            head = std::max(head, headG[at(s, m - 1)] + stage.gradient);
          headG[at(s, m)] = head;
          head += stage.gradient;
          bound = std::max(bound, head + relaxation.tailOfG(s, m));
        }
        if (m > progress[s].w)
          head = std::max(head, headW[at(s, m - 1)] + stage.weight);
        headW[at(s, m)] = head;
        bound = std::max(bound, head + stage.weight + relaxation.tailOfW(s, m));
      }
    }
    for (auto [index, least] : windows) {
      int s = static_cast<int>(index) / microbatches;
      if (static_cast<int>(index) % microbatches >= progress[s].g)
        bound = std::max(bound, headG[index] + least);
    }
    if (bound > target)
      return bound;
    for (const std::vector<int> &here : stagesHere) {
      if (bound > target)
        break;
      jobs.clear();
      for (int s : here) {
        const RelaxedStage &stage = relaxation.stage(s);
        for (int m = progress[s].w; m < microbatches; ++m) {
          size_t i = at(s, m);
          if (m >= progress[s].f)
            jobs.push_back({headF[i], stage.forward, relaxation.tailOfF(s, m)});
          if (!relaxation.hasBackward(s))
            continue;
          if (problem.stages[s].recompute && m >= progress[s].r)
            jobs.push_back(
                {headR[i], stage.recompute, relaxation.tailOfR(s, m)});
          if (m >= progress[s].g)
            jobs.push_back(
                {headG[i], stage.gradient, relaxation.tailOfG(s, m)});
          jobs.push_back({headW[i], stage.weight, relaxation.tailOfW(s, m)});
        }
      }
      bound = std::max(bound, oneMachineBound(jobs));
    }
    return bound;
  }
  double freeOf(int stage) const {
    return devices[problem.placement[stage]].free;
  }

  /// Whether the same passes were done before with all times at most those of
  /// now. If not, remembers the times of now.
  bool isDominated() {
    std::string key;
    std::vector<double> times;
    auto put = [&](int value) { key.push_back(static_cast<char>(value)); };
    for (int s = 0; s < numStages; ++s) {
      auto [f, r, g, w] = progress[s];
      put(f), put(r), put(g), put(w);
      // What is on its way, or waits to be read.
      if (s + 1 < numStages)
        for (int m = progress[s + 1].f; m < f; ++m)
          times.push_back(std::max(readyF[at(s, m)], freeOf(s + 1)));
      if (s > 0 && relaxation.hasBackward(s - 1))
        for (int m = progress[s - 1].g; m < g; ++m)
          times.push_back(std::max(readyG[at(s, m)], freeOf(s - 1)));
    }
    for (const Device &device : devices) {
      times.push_back(device.free);
      for (int shift = 0; shift < 64; shift += 8)
        put(static_cast<int>(device.putOff >> shift & 255));
    }
    for (const auto &[ends, free] : links)
      times.push_back(free);
    std::vector<std::vector<double>> &others = seen[key];
    for (const std::vector<double> &other : others)
      if (other.size() == times.size() &&
          std::equal(times.begin(), times.end(), other.begin(),
                     [](double now, double then) { return then <= now; }))
        return true;
    if (numSeen < kMaxSeen) {
      ++numSeen;
      others.push_back(std::move(times));
    }
    return false;
  }
  static constexpr int64_t kMaxSeen = 2000000;

  const Problem &problem;
  Relaxation relaxation;
  std::vector<std::vector<int>> stagesHere;
  int numStages, microbatches;
  int64_t nodesLeft;

  struct Window {
    size_t index; // of the gradient pass
    double least; // from its start to the end
  };
  std::vector<Window> windows;

  // The partial order.
  std::vector<Progress> progress;
  std::vector<Device> devices;
  std::vector<double> readyF, readyG; // where the next stage may read them
  std::map<std::pair<int, int>, double> links; // free from
  int passesLeft = 0;

  std::vector<double> headF, headR, headG, headW;
  std::vector<Job> jobs;
  double target = 0, nextTarget = 0;
  std::unordered_map<std::string, std::vector<std::vector<double>>> seen;
  int64_t numSeen = 0;
};

} // namespace

ExactResult exactMakespan(const Problem &problem, int64_t nodeLimit) {
  return ExactSearch(problem, nodeLimit).run();
}

} // namespace weir::schedule
