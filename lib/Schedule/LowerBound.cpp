// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/LowerBound.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>

namespace weir::schedule {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNever = -kInfinity;

/// A pass as one machine sees it.
struct Job {
  double head;     // earliest start
  double duration; // on the machine
  double tail;     // least time from its end to the end of everything
};

/// A stage of the relaxed problem: an F, an R, a gradient pass G and the weight
/// part W that may follow it, each no longer than in any mode (a fused backward
/// sends its gradient at its end, a split one earlier). A stage without B has a
/// G of no duration, which marks the arrival of its gradient.
struct RelaxedStage {
  double forward, recompute, gradient, weight;
  /// Bytes that a microbatch holds between passes: after F, after R, after G.
  int64_t afterForward, afterRecompute, afterGradient;

  explicit RelaxedStage(const Stage &stage) {
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
  double work() const { return forward + recompute + gradient + weight; }
};

/// The relaxed problem. Devices are not limited here; only the passes of one
/// kind of one stage follow each other, in the order of microbatches, and F's
/// wait for memory.
class Relaxation {
public:
  explicit Relaxation(const Problem &problem) : problem(problem) {
    size_t size =
        static_cast<size_t>(problem.numStages()) * problem.numMicrobatches;
    for (int s = 0; s < problem.numStages(); ++s) {
      stages.emplace_back(problem.stages[s]);
      bool last = s + 1 == problem.numStages();
      activationSeconds.push_back(
          last ? 0
               : transfer(s, s + 1, problem.stages[s].forwardTransferBytes));
      gradientSeconds.push_back(
          s == 0 ? 0
                 : transfer(s, s - 1, problem.stages[s].backwardTransferBytes));
    }
    computeRooms();
    for (auto *values :
         {&headF, &headR, &headG, &headW, &tailF, &tailR, &tailG, &tailW})
      values->assign(size, kNever);
  }

  /// Earliest starts, counted from the start of F(firstStage, 0). Stages below
  /// are left out, and what they send is taken to be there.
  void computeHeads(int firstStage) {
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
        // Nothing below reads the W's and G's of frozen stages.
        if (m >= gradientRoom[s])
          head = std::max(head,
                          headG[at(s, m - gradientRoom[s])] + stage.gradient);
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

  /// Least times from the end of each pass to the end of everything, or with
  /// `device` >= 0 to the end of that device's passes (kNever: none follow).
  /// Stages below `firstStage` are left out.
  void computeTails(int firstStage, int device) {
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
          tail =
              std::max(tail, tailF[at(s, m + weightRoom[s])] + stage.forward);
        tailW[at(s, m)] = tail;
        tail += stage.weight;
        if (m < last)
          tail = std::max(tail, tailG[at(s, m + 1)] + stage.gradient);
        if (m + gradientRoom[s] <= last)
          tail =
              std::max(tail, tailF[at(s, m + gradientRoom[s])] + stage.forward);
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

  bool hasBackward(int s) const { return problem.stages[s].hasBackward(); }
  const RelaxedStage &stage(int s) const { return stages[s]; }
  double headOfF(int s, int m) const { return headF[at(s, m)]; }
  double headOfG(int s, int m) const { return headG[at(s, m)]; }
  double tailOfF(int s, int m) const { return tailF[at(s, m)]; }
  double tailOfW(int s, int m) const { return tailW[at(s, m)]; }

  void addJobs(int s, std::vector<Job> &jobs) const {
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
              headF[at(s, m)] + stages[s].forward,
              stages[s + 1].forward + tailF[at(s + 1, m)]);
        if (s > 0 && hasBackward(s - 1))
          add(s, s - 1, problem.stages[s].backwardTransferBytes,
              headG[at(s, m)] + stages[s].gradient,
              stages[s - 1].gradient + tailG[at(s - 1, m)]);
      }
    return result;
  }

private:
  /// F(s, i) waits for the end of G(s, i - gradientRoom[s]), and for that of
  /// W(s, i - weightRoom[s]).
  void computeRooms() {
    gradientRoom.assign(problem.numStages(), problem.numMicrobatches);
    weightRoom = gradientRoom;
    std::vector<int64_t> keptBelow(problem.numDevices);
    for (int s = 0; s < problem.numStages(); ++s) {
      int device = problem.placement[s];
      std::optional<int64_t> limit = problem.limit(device);
      if (!limit || !hasBackward(s))
        continue;
      int64_t free = *limit - problem.fixed(device) -
                     problem.stages[s].workspace(PassKind::Forward);
      keptBelow[device] += stages[s].afterForward;
      auto room = [&](int64_t bytes) {
        // Nothing may be concluded where not even one fits.
        if (bytes <= 0 || free < bytes)
          return problem.numMicrobatches;
        return static_cast<int>(
            std::min<int64_t>(free / bytes, problem.numMicrobatches));
      };
      gradientRoom[s] = room(keptBelow[device]);
      weightRoom[s] =
          room(std::min(stages[s].afterForward, stages[s].afterGradient));
    }
  }

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
  std::vector<RelaxedStage> stages;
  std::vector<double> activationSeconds; // from each stage to the next
  std::vector<double> gradientSeconds;   // from each stage to the previous
  std::vector<int> gradientRoom, weightRoom;
  std::vector<double> headF, headR, headG, headW, tailF, tailR, tailG, tailW;
};

/// What a microbatch adds to a window, at a price per byte held.
struct Offer {
  double seconds = 0;
  double bytes = 0;
  double value(double price) const { return seconds - price * bytes; }
  Offer operator+(const Offer &other) const {
    return {seconds + other.seconds, bytes + other.bytes};
  }
};

Offer better(double price, const Offer &a, const Offer &b) {
  return a.value(price) >= b.value(price) ? a : b;
}

/// The most seconds of work that `count` microbatches add within `bytes`, each
/// by the best offer: the dual is convex in the price and piecewise linear, and
/// its value at any price is an upper bound.
template <typename BestOffer>
double mostWork(double bytes, double count, double highestPrice,
                BestOffer bestOffer) {
  struct Line {
    double price, value, slope;
  };
  double least = kInfinity;
  auto evaluate = [&](double price) {
    Offer offer = bestOffer(price);
    Line line{price, price * bytes + count * offer.value(price),
              bytes - count * offer.bytes};
    least = std::min(least, line.value);
    return line;
  };
  Line low = evaluate(0), high = evaluate(highestPrice);
  for (int i = 0; i < 60 && low.slope < 0 && high.slope > 0; ++i) {
    double price = (high.value - high.slope * high.price - low.value +
                    low.slope * low.price) /
                   (low.slope - high.slope);
    double reached = low.value + low.slope * (price - low.price);
    if (!(price > low.price && price < high.price))
      break;
    Line line = evaluate(price);
    if (line.value <= reached + 1e-12 * std::abs(reached))
      break;
    (line.slope < 0 ? low : high) = line;
  }
  return least;
}

/// Bounds 3 and 4 of the header for one device with a memory limit.
class MemoryBound {
public:
  /// `relaxation` has the heads and tails of what is to be bounded.
  MemoryBound(const Problem &problem, const Relaxation &relaxation, int device,
              const std::vector<int> &stagesHere)
      : problem(problem), relaxation(relaxation), here(stagesHere),
        microbatches(problem.numMicrobatches),
        free(*problem.limit(device) - problem.fixed(device)) {
    int64_t kept = 0;
    for (int s : here) {
      const RelaxedStage &stage = relaxation.stage(s);
      for (int64_t bytes : {stage.afterForward, stage.afterRecompute}) {
        unitBefore = std::gcd(unitBefore, bytes);
        unitAfter = std::gcd(unitAfter, bytes);
      }
      unitAfter = std::gcd(unitAfter, stage.afterGradient);
      workOfMicrobatch += stage.work();
      keptUpTo.push_back(kept += stage.afterForward);
    }
    first = static_cast<int>(
        std::find_if(here.begin(), here.end(),
                     [&](int s) { return relaxation.hasBackward(s); }) -
        here.begin());
  }

  double windows() const {
    int count = size();
    if (first == count)
      return 0;
    double firstHead = relaxation.headOfF(here[0], 0);
    double lastTail = kInfinity;
    for (int j = first; j < count; ++j)
      lastTail =
          std::min(lastTail, relaxation.tailOfW(here[j], microbatches - 1));

    // idleAfter[t][i]: the longest for F(t, j) with j >= i.
    int stages = count - first;
    std::vector<std::vector<double>> idleAfter(stages);
    int stageStep = std::max(1, stages / 32);
    int64_t perStage =
        static_cast<int64_t>(microbatches) * count * (stages / stageStep);
    int step = static_cast<int>(std::max<int64_t>(1, perStage / 2000000));
    double result = 0;
    for (int t = first; t < count; ++t) {
      std::vector<double> &idle = idleAfter[t - first];
      idle.assign(microbatches + 1, kNever);
      for (int i = microbatches - 1; i >= 0; --i) {
        idle[i] = idle[i + 1];
        if (isSample(t, stageStep) && (microbatches - 1 - i) % step == 0)
          idle[i] = std::max(idle[i], idleAfterForward(t, i));
      }
      result = std::max(result, firstHead + idle[0]);
    }
    for (int s = first; s < count; ++s) {
      int64_t room = roomAtGradient(s);
      for (int i = 0; i < microbatches; i += step) {
        if (!isSample(s, stageStep))
          break;
        double before = idleBeforeGradient(s, i, room);
        result = std::max(result, before + lastTail);
        for (int t = first; t < count; ++t) {
          int64_t kept = keptUpTo[std::min(s, t)];
          if (kept <= 0)
            continue;
          int64_t j = i + std::max<int64_t>(room, 0) / kept;
          if (j < microbatches)
            result = std::max(result, before + idleAfter[t - first][j]);
        }
      }
    }
    return result + microbatches * workOfMicrobatch;
  }

  double littlesLaw() const {
    if (first == size())
      return 0;
    Slope up, down;
    double area = 0, lastTail = kInfinity;
    for (int j = first; j < size(); ++j) {
      const Stage &stage = problem.stages[here[j]];
      area += smallestArea(here[j]);
      for (PassKind kind :
           {PassKind::Forward, PassKind::Recompute, PassKind::BackwardInput,
            PassKind::BackwardWeight, PassKind::Backward}) {
        bool exists = kind != PassKind::BackwardInput || stage.hasBackwardInput;
        exists &= kind != PassKind::BackwardWeight || stage.hasBackwardWeight;
        if (!exists)
          continue;
        up.add(stage.taken(kind), stage.duration(kind));
        down.add(stage.released(kind), stage.duration(kind));
      }
      lastTail =
          std::min(lastTail, relaxation.tailOfW(here[j], microbatches - 1));
    }
    area *= microbatches;
    double bytes = static_cast<double>(free);
    if (bytes <= 0 || area <= 0)
      return 0;
    double seconds = area / bytes;
    double rise = up.secondsTo(bytes), fall = down.secondsTo(bytes);
    double missing = (up.missing(bytes) + down.missing(bytes)) / bytes;
    // Where filling and draining would overlap, neither is counted.
    if (seconds + missing >= rise + fall)
      seconds += missing;
    return relaxation.headOfF(here[first], 0) + seconds + lastTail;
  }

private:
  /// Bytes that grow no faster than `largest` + `rate` * seconds.
  struct Slope {
    double largest = 0, rate = 0;
    void add(int64_t bytes, double seconds) {
      if (bytes <= 0)
        return;
      double value = static_cast<double>(bytes);
      largest = std::max(largest, value);
      rate = std::max(rate, seconds > 0 ? value / seconds : kInfinity);
    }
    double secondsTo(double bytes) const {
      return largest >= bytes || rate == kInfinity ? 0
                                                   : (bytes - largest) / rate;
    }
    /// Byte-seconds that are missing until `bytes` are reached.
    double missing(double bytes) const {
      return std::max(0.0, bytes - largest) * secondsTo(bytes) / 2;
    }
  };

  int size() const { return static_cast<int>(here.size()); }
  bool isSample(int j, int step) const {
    return (j - first) % step == 0 || j + 1 == size();
  }
  /// `mostWork` where all bytes are multiples of `unit`.
  template <typename BestOffer>
  double mostWorkWithin(int64_t bytes, int64_t unit, int count,
                        BestOffer bestOffer) const {
    bytes = std::max<int64_t>(bytes, 0);
    unit = std::max<int64_t>(unit, 1);
    return mostWork(static_cast<double>(bytes - bytes % unit), count,
                    workOfMicrobatch / static_cast<double>(unit), bestOffer);
  }

  /// Bytes that may be held when a backward pass of `here[s]` starts.
  int64_t roomAtGradient(int s) const {
    const Stage &stage = problem.stages[here[s]];
    auto needed = [&](PassKind kind) {
      return stage.taken(kind) + stage.workspace(kind);
    };
    int64_t split = stage.hasBackwardInput ? needed(PassKind::BackwardInput)
                                           : needed(PassKind::BackwardWeight);
    return free - std::min(split, needed(PassKind::Backward));
  }

  /// head(G(s, i)) less the work that may have been done by then.
  double idleBeforeGradient(int s, int i, int64_t room) const {
    auto bestOffer = [&](double price) {
      Offer best, sum;
      for (int j = 0; j < size(); ++j) {
        const RelaxedStage &stage = relaxation.stage(here[j]);
        if (j > s)
          sum = sum + Offer{stage.work(), 0};
        else
          sum = sum + better(price, {stage.forward, double(stage.afterForward)},
                             {stage.forward + stage.recompute,
                              double(stage.afterRecompute)});
        best = better(price, best, sum);
      }
      return best;
    };
    return relaxation.headOfG(here[s], i) - i * workOfMicrobatch -
           mostWorkWithin(room, unitBefore, microbatches - i, bestOffer);
  }

  /// The least time from the end of F(t, i) to the end, less the work that may
  /// be left by then.
  double idleAfterForward(int t, int i) const {
    int64_t room = free - problem.stages[here[t]].workspace(PassKind::Forward);
    auto bestOffer = [&](double price) {
      // Microbatches have had their G's from some stage on upwards.
      Offer ended, best;
      for (int j = 0; j < size(); ++j)
        ended = ended + pendingWeight(price, j);
      best = ended;
      Offer open;
      for (int j = 0; j < size(); ++j) {
        const RelaxedStage &stage = relaxation.stage(here[j]);
        double backward = stage.gradient + stage.weight;
        if (j > t)
          open = open + Offer{stage.work(), 0};
        else
          open = open + better(price,
                               {stage.recompute + backward,
                                double(stage.afterForward)},
                               {backward, double(stage.afterRecompute)});
        Offer pending = pendingWeight(price, j);
        ended = {ended.seconds - pending.seconds, ended.bytes - pending.bytes};
        best = better(price, best, open + ended);
      }
      return best;
    };
    return relaxation.tailOfF(here[t], i) -
           (microbatches - 1 - i) * workOfMicrobatch -
           mostWorkWithin(room, unitAfter, i + 1, bestOffer);
  }
  Offer pendingWeight(double price, int j) const {
    const RelaxedStage &stage = relaxation.stage(here[j]);
    return better(price, {stage.weight, double(stage.afterGradient)}, {});
  }

  /// Byte-seconds that a microbatch takes on a stage at least.
  double smallestArea(int s) const {
    const Stage &stage = problem.stages[s];
    const RelaxedStage &relaxed = relaxation.stage(s);
    auto area = [&](int64_t bytes, PassKind kind) {
      return static_cast<double>(bytes) * stage.duration(kind);
    };
    int64_t all = relaxed.afterRecompute;
    int64_t most = all + stage.taken(PassKind::Backward);
    double split =
        stage.hasBackwardInput ? area(most, PassKind::BackwardInput) : 0;
    if (stage.hasBackwardWeight)
      split += area(relaxed.afterGradient, PassKind::BackwardWeight);
    double wait = relaxation.headOfG(s, 0) - relaxation.headOfF(s, 0);
    return static_cast<double>(relaxed.afterForward) * wait +
           area(all - relaxed.afterForward, PassKind::Recompute) +
           std::min(split, area(most, PassKind::Backward));
  }

  const Problem &problem;
  const Relaxation &relaxation;
  const std::vector<int> &here; // stages of the device, ascending
  int microbatches;
  int64_t free; // bytes for activations
  int first;    // index of the lowest stage that has backward passes
  // Divide all bytes that are held between passes, before and after G's.
  int64_t unitBefore = 0, unitAfter = 0;
  double workOfMicrobatch = 0;
  std::vector<int64_t> keptUpTo; // by the stages up to each one, after F
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

  for (int device = 0; device < problem.numDevices; ++device) {
    if (stages[device].empty())
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
      count = std::min(count, std::floor(std::max(room, 0.0) / afterForward *
                                         (1 + 1e-12)));
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
    bool apart = limited && double(microbatches) * stagesPerDevice *
                                    afterForward >
                                largestFree - takenByGradient;
    return workOfDevice() + (apart ? idleBefore + idleAfter
                                   : std::max(idleBefore, idleAfter));
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
        least = std::min(least, windows(changes, (rows - 1.0) * k + p - rows,
                                        p - 1));
      if (rows < p)
        least = std::min(
            least, windows(changes, double(rows) * k + p - 1 - rows, p - 1));
    }
    return std::max({workOfDevice() + fill, least, littlesLaw()});
  }

  double span() const {
    // The device of stage 0 holds all its stages in one row, or comes up again.
    double least = windows(devices - 1, numStages() - stagesPerDevice,
                           devices - 1);
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
    if (problem.numStages() > 1 && s == (gradient ? 0 : problem.numStages() - 1))
      continue;
    bytes = std::min(bytes, gradient
                                ? problem.stages[s].backwardTransferBytes
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
    regular &= stage.hasBackwardInput && stage.hasBackwardWeight &&
               !stage.recompute;
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
    cut.area = most * cut.gradient +
               std::min(cut.afterGradient, most) * cut.weight;
    bound.seconds = std::min(bound.seconds, objective == Objective::Makespan
                                                ? cut.makespan()
                                                : cut.span());
  }
  return bound;
}

} // namespace weir::schedule
