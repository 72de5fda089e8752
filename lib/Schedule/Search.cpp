// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Search.h"
#include "VariantSearch.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <thread>

namespace weir::schedule {

namespace {

/// Passes that a thread times in a second of effort.
constexpr double kPassesPerSecond = 6e6;
/// Above this many passes, a variant is searched with fewer microbatches first.
constexpr size_t kManyPasses = 40000;

class Clock {
public:
  explicit Clock(double limit) : limit(limit) {}
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         begin)
        .count();
  }
  bool isOver() const { return limit > 0 && seconds() >= limit; }

private:
  std::chrono::steady_clock::time_point begin =
      std::chrono::steady_clock::now();
  double limit;
};

/// One variant with one choice of fused and split backward passes, as one
/// thread searches it: with fewer microbatches first if there are many passes.
class Candidate {
public:
  Candidate(const Problem &problem, int variant, std::vector<bool> isFused,
            Objective objective, uint64_t seed)
      : variant(variant), problem(problem), isFused(std::move(isFused)),
        objective(objective), seed(seed) {
    size_t passes = 3 * problem.stages.size() * problem.numMicrobatches;
    int fewer = std::max(3 * problem.numDevices, 24);
    isReduced = passes > kManyPasses && 3 * fewer < 2 * problem.numMicrobatches;
    reducedProblem = problem;
    if (isReduced)
      reducedProblem.numMicrobatches = fewer;
  }

  bool hasReduced() const { return isReduced; }
  /// The search with fewer microbatches, or the whole one where there is none.
  VariantSearch &reduced() {
    if (!small)
      small = std::make_unique<VariantSearch>(reducedProblem, isFused,
                                              objective, seed);
    return *small;
  }
  VariantSearch &whole() {
    if (!isReduced)
      return reduced();
    if (!large)
      large =
          std::make_unique<VariantSearch>(problem, isFused, objective, seed);
    return *large;
  }

  void seedWithNamed() { offerNamed(reduced(), reducedProblem); }

  /// Makes orders of all microbatches from the best one of fewer, by repeating
  /// its middle.
  void extend() {
    if (!isReduced || !reduced().hasBest())
      return;
    offerNamed(whole(), problem);
    whole().offerShapesOf(reduced());
    const Timing &timing = reduced().bestTiming();
    const ChainGraph &from = reduced().chains(), &to = whole().chains();
    int added = to.numMicrobatches - from.numMicrobatches;
    std::vector<double> keys(to.numPasses());
    int half = from.numMicrobatches / 2;
    for (int period : {1, 2, problem.numDevices / 2, problem.numDevices}) {
      if (period < 1 || period > from.numMicrobatches / 3)
        continue;
      int first = half - (period + 1) / 2;
      // The mean over all chains evens out what an irregular order adds.
      double interval = 0;
      for (int c = 0; c < from.size(); ++c)
        interval += timing.start[from.at(c, first + period)] -
                    timing.start[from.at(c, first)];
      interval /= from.size();
      for (int c = 0; c < from.size(); ++c)
        for (int m = 0; m < to.numMicrobatches; ++m) {
          double start;
          if (m < first)
            start = timing.start[from.at(c, m)];
          else if (m >= first + added)
            start =
                timing.start[from.at(c, m - added)] + interval * added / period;
          else
            start = timing.start[from.at(c, first + (m - first) % period)] +
                    interval * ((m - first) / period);
          keys[to.at(c, m)] = start;
        }
      whole().offerKeys(keys);
    }
  }

  const int variant;

private:
  static void offerNamed(VariantSearch &search, const Problem &problem) {
    for (const NamedSchedule &named : listNamed())
      if (std::optional<Schedule> schedule =
              buildNamed(named.name, problem, nullptr))
        if (std::optional<ChainOrder> order =
                fromSchedule(search.chains(), *schedule))
          search.offer(*order);
  }

  const Problem &problem;
  Problem reducedProblem;
  std::vector<bool> isFused;
  Objective objective;
  uint64_t seed;
  bool isReduced = false;
  std::unique_ptr<VariantSearch> small, large;
};

} // namespace

/// One microbatch after the other, every W right after its B or fused with it,
/// whichever needs less memory.
static Schedule oneByOne(const Problem &problem) {
  Schedule schedule;
  schedule.order.resize(problem.numDevices);
  for (int m = 0; m < problem.numMicrobatches; ++m) {
    for (int s = 0; s < problem.numStages(); ++s)
      schedule.order[problem.placement[s]].push_back({PassKind::Forward, s, m});
    for (int s = problem.numStages() - 1; s >= 0; --s) {
      const Stage &stage = problem.stages[s];
      std::vector<Pass> &order = schedule.order[problem.placement[s]];
      if (!stage.hasBackward())
        continue;
      if (stage.recompute)
        order.push_back({PassKind::Recompute, s, m});
      int64_t split = 0, held = 0;
      for (PassKind kind : {PassKind::BackwardInput, PassKind::BackwardWeight})
        if (kind == PassKind::BackwardInput ? stage.hasBackwardInput
                                            : stage.hasBackwardWeight) {
          held += stage.taken(kind);
          split = std::max(split, held + stage.workspace(kind));
          held -= stage.released(kind);
        }
      int64_t fused =
          stage.taken(PassKind::Backward) + stage.workspace(PassKind::Backward);
      if (fused < split) {
        order.push_back({PassKind::Backward, s, m});
        continue;
      }
      if (stage.hasBackwardInput)
        order.push_back({PassKind::BackwardInput, s, m});
      if (stage.hasBackwardWeight)
        order.push_back({PassKind::BackwardWeight, s, m});
    }
  }
  return schedule;
}

static double valueOf(const Simulation &simulation, Objective objective) {
  return objective == Objective::Span ? simulation.span : simulation.makespan;
}

static bool fits(const Problem &problem, const Simulation &simulation) {
  for (int d = 0; d < problem.numDevices; ++d)
    if (std::optional<int64_t> limit = problem.limit(d);
        limit && simulation.peakBytes[d] > *limit)
      return false;
  return true;
}

/// Runs `work(thread)` on all threads.
template <typename Work> static void onThreads(int count, Work &&work) {
  std::vector<std::thread> threads;
  for (int i = 1; i < count; ++i)
    threads.emplace_back([&work, i] { work(i); });
  work(0);
  for (std::thread &thread : threads)
    thread.join();
}

std::optional<SearchResult> search(std::span<const Problem> variants,
                                   const SearchOptions &options,
                                   std::string *error) {
  Clock clock(options.timeLimit);
  SearchResult result;
  result.values.resize(variants.size());
  bool found = false;
  auto take = [&](int variant, const Schedule &schedule) {
    const Problem &problem = variants[variant];
    std::optional<Simulation> simulation = simulate(problem, schedule);
    if (!simulation || !fits(problem, *simulation))
      return;
    double value = valueOf(*simulation, options.objective);
    std::optional<double> &best = result.values[variant];
    best = std::min(best.value_or(value), value);
    if (found && result.value <= value)
      return;
    if (!found)
      result.firstSeconds = clock.seconds();
    found = true;
    result.variant = variant;
    result.schedule = schedule;
    result.value = value;
  };

  int numThreads = options.threads > 0
                       ? options.threads
                       : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::vector<std::unique_ptr<Candidate>>> candidates(numThreads);
  for (int v = 0; v < static_cast<int>(variants.size()); ++v) {
    take(v, oneByOne(variants[v]));
    if (!result.values[v])
      continue;
    for (int t = 0; t < numThreads; ++t)
      candidates[t].push_back(std::make_unique<Candidate>(
          variants[v], v, std::vector<bool>(variants[v].stages.size(), false),
          options.objective, options.seed * 1000003 + v * 101 + t));
  }
  if (!found) {
    if (error)
      *error = "no schedule fits into the memory limit";
    return std::nullopt;
  }
  int count = static_cast<int>(candidates[0].size());

  // Every thread seeds its share and passes it on.
  onThreads(numThreads, [&](int t) {
    for (int i = t; i < count; i += numThreads) {
      if (clock.isOver() && i >= numThreads)
        return;
      candidates[t][i]->seedWithNamed();
    }
  });
  auto exchange = [&] {
    for (int i = 0; i < count; ++i) {
      int best = -1;
      for (int t = 0; t < numThreads; ++t)
        if (VariantSearch &here = candidates[t][i]->reduced();
            here.hasBest() &&
            (best < 0 ||
             here.bestValue() < candidates[best][i]->reduced().bestValue()))
          best = t;
      for (int t = 0; t < numThreads && best >= 0; ++t)
        if (t != best)
          candidates[t][i]->reduced().offer(
              candidates[best][i]->reduced().bestTiming().order);
    }
  };
  exchange();

  std::vector<int> ranking(count);
  std::iota(ranking.begin(), ranking.end(), 0);
  auto rank = [&] {
    auto value = [&](int i) {
      VariantSearch &search = candidates[0][i]->reduced();
      return search.hasBest() ? search.bestValue()
                              : std::numeric_limits<double>::infinity();
    };
    std::sort(ranking.begin(), ranking.end(), [&](int a, int b) {
      return std::pair(value(a), a) < std::pair(value(b), b);
    });
  };
  double passes = options.effort * kPassesPerSecond;
  auto round = [&](int numBest, double share) {
    int64_t each = static_cast<int64_t>(share * passes / numBest);
    onThreads(numThreads, [&](int t) {
      for (int i = 0; i < numBest; ++i) {
        VariantSearch &search = candidates[t][ranking[i]]->reduced();
        int64_t end = search.passesTimed() + each;
        while (search.passesTimed() < end && !clock.isOver())
          search.step();
      }
    });
    exchange();
    rank();
  };
  round(count, 0.3);
  if (count > 3)
    round((count + 2) / 3, 0.2);
  int few = std::min(count, 2);
  round(few, 0.2);
  round(few, 0.2);

  for (int i = 0; i < std::min(count, 3); ++i) {
    Candidate &candidate = *candidates[0][ranking[i]];
    if (candidate.hasReduced()) {
      candidate.extend();
      int64_t end =
          candidate.whole().passesTimed() + static_cast<int64_t>(0.05 * passes);
      while (candidate.whole().hasBest() &&
             candidate.whole().passesTimed() < end && !clock.isOver())
        candidate.whole().step();
    }
  }
  for (int i = 0; i < count; ++i) {
    VariantSearch &search = candidates[0][i]->hasReduced() && i >= 3
                                ? candidates[0][i]->reduced()
                                : candidates[0][i]->whole();
    if (candidates[0][i]->hasReduced() && !search.hasBest())
      continue;
    if (search.hasBest() &&
        search.chains().numMicrobatches == variants[0].numMicrobatches)
      take(candidates[0][i]->variant,
           toSchedule(search.chains(), search.bestTiming().order));
  }
  for (const auto &row : candidates)
    for (const auto &candidate : row)
      result.steps += candidate->reduced().ordersTried();
  result.schedule.name = "auto";
  result.bound = lowerBound(variants[result.variant], options.objective);
  result.seconds = clock.seconds();
  return result;
}

} // namespace weir::schedule
