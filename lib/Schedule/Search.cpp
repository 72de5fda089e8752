// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Search.h"
#include "VariantSearch.h"
#include "weir/Schedule/ExactSearch.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <ranges>
#include <thread>
#include <utility>

namespace weir::schedule {

namespace {

constexpr double kTolerance = 1e-9;
/// Passes that a thread times in a second of effort.
constexpr double kPassesPerSecond = 3e7;
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
  /// Whether this part of the time limit is over.
  bool isOver(double part) const {
    return limit > 0 && seconds() >= part * limit;
  }

private:
  std::chrono::steady_clock::time_point begin =
      std::chrono::steady_clock::now();
  double limit;
};

bool fitsLimits(const Problem &problem, const Simulation &simulation) {
  for (int d = 0; d < problem.numDevices; ++d)
    if (std::optional<int64_t> limit = problem.limit(d);
        limit && simulation.peakBytes[d] > *limit)
      return false;
  return true;
}

bool fusedIsShorter(const Stage &stage) {
  return stage.hasBackwardInput && stage.hasBackwardWeight &&
         stage.duration(PassKind::Backward) <
             stage.backwardInput + stage.backwardWeight;
}

/// One variant with one choice of fused and split backward passes, as one
/// thread searches it: with fewer microbatches first if there are many passes.
class Candidate {
public:
  Candidate(const Problem &problem, int variant, std::vector<bool> isFused,
            Objective objective, const Clock &clock, uint64_t seed)
      : variant(variant), problem(problem), isFused(std::move(isFused)),
        objective(objective), clock(clock), seed(seed) {
    size_t passes = 3 * problem.stages.size() * problem.numMicrobatches;
    int fewer = std::max(3 * problem.numDevices, 24);
    isReduced = passes > kManyPasses && 3 * fewer < 2 * problem.numMicrobatches;
    if (isReduced) {
      reducedProblem = problem;
      reducedProblem.numMicrobatches = fewer;
    }
  }

  const int variant;

  bool hasReduced() const { return isReduced; }
  size_t trialPasses() const {
    return 3 * problem.stages.size() * trialProblem().numMicrobatches;
  }
  /// The search with fewer microbatches, or the whole one where there is none.
  VariantSearch &trial() {
    if (!small)
      small = make(trialProblem());
    return *small;
  }
  VariantSearch &whole() {
    if (!isReduced)
      return trial();
    if (!large)
      large = make(problem);
    return *large;
  }
  /// What no order of the trial problem can beat.
  double trialBound() const {
    return lowerBound(trialProblem(), objective).seconds;
  }
  /// The named schedules of the whole problem that were built since the last
  /// call.
  std::vector<Schedule> takeNamed() { return std::exchange(named, {}); }
  int64_t ordersTried() const {
    return (small ? small->ordersTried() : 0) +
           (large ? large->ordersTried() : 0);
  }

  void tryNamed(double part) { offerNamed(trial(), trialProblem(), part); }

  /// Makes orders of all microbatches from what was found for fewer: by the
  /// same named schedule, by repeating the middle of the best order, and by the
  /// same block shapes.
  void extend() {
    if (!bestNamed.empty())
      offerNamed(bestNamed, whole(), problem);
    for (int period : periods())
      if (!whole().hasBest() || !clock.isOver(0.85))
        repeatMiddle(period);
    if (!whole().hasBest() || !clock.isOver(0.85))
      whole().offerShapesOf(trial());
    offerNamed(whole(), problem, 0.85);
  }

private:
  const Problem &trialProblem() const {
    return isReduced ? reducedProblem : problem;
  }
  std::unique_ptr<VariantSearch> make(const Problem &of) const {
    return std::make_unique<VariantSearch>(of, isFused, objective, seed);
  }
  /// After how many microbatches the middle of the trial's best order repeats
  /// itself best: the difference of the starts is the most regular.
  std::vector<int> periods() {
    static constexpr size_t kTried = 3;
    const Timing &timing = trial().bestTiming();
    const ChainGraph &graph = trial().chains();
    std::vector<std::pair<double, int>> irregularity;
    for (int period = 1; period <= graph.numMicrobatches / 6; ++period) {
      int middle = graph.numMicrobatches / 2;
      double sum = 0;
      for (int c = 0; c < graph.size(); ++c)
        sum += std::abs(timing.start[graph.at(c, middle + period)] -
                        2 * timing.start[graph.at(c, middle)] +
                        timing.start[graph.at(c, middle - period)]);
      irregularity.push_back({sum / period, period});
    }
    std::sort(irregularity.begin(), irregularity.end());
    std::vector<int> result;
    for (const auto &[sum, period] : irregularity)
      if (result.size() < kTried)
        result.push_back(period);
    return result;
  }

  void repeatMiddle(int period) {
    const Timing &timing = trial().bestTiming();
    const ChainGraph &from = trial().chains(), &to = whole().chains();
    int added = to.numMicrobatches - from.numMicrobatches;
    int first = from.numMicrobatches / 2 - (period + 1) / 2;
    // The mean over all chains evens out what an irregular order adds.
    double interval = 0;
    for (int c = 0; c < from.size(); ++c)
      interval += timing.start[from.at(c, first + period)] -
                  timing.start[from.at(c, first)];
    interval /= from.size();
    auto start = [&](int c, int m) {
      if (m < first)
        return timing.start[from.at(c, m)];
      if (m >= first + added)
        return timing.start[from.at(c, m - added)] + interval * added / period;
      return timing.start[from.at(c, first + (m - first) % period)] +
             interval * ((m - first) / period);
    };
    std::vector<double> keys(to.numPasses());
    for (int c = 0; c < from.size(); ++c)
      for (int m = 0; m < to.numMicrobatches; ++m)
        keys[to.at(c, m)] = start(c, m);
    whole().offerKeys(keys);
  }

  /// Goes on while nothing was found, or this part of the time limit lasts.
  void offerNamed(VariantSearch &search, const Problem &problem, double part) {
    // Those of most use come last in the list.
    for (const NamedSchedule &entry : std::views::reverse(listNamed())) {
      if (search.hasBest() && clock.isOver(part))
        return;
      bool hadBest = search.hasBest();
      double before = hadBest ? search.bestValue() : 0;
      offerNamed(entry.name, search, problem);
      if (search.hasBest() && (!hadBest || search.bestValue() < before))
        bestNamed = entry.name;
    }
    if (!search.hasBest() || !clock.isOver(part))
      search.offerAlternating();
  }

  void offerNamed(std::string_view name, VariantSearch &search,
                  const Problem &problem) {
    std::optional<Schedule> schedule = buildNamed(name, problem, nullptr);
    if (!schedule)
      return;
    if (std::optional<ChainOrder> order =
            fromSchedule(search.chains(), *schedule))
      search.offer(*order);
    if (problem.numMicrobatches == this->problem.numMicrobatches)
      named.push_back(std::move(*schedule));
  }

  const Problem &problem;
  Problem reducedProblem;
  std::vector<bool> isFused;
  Objective objective;
  const Clock &clock;
  uint64_t seed;
  bool isReduced = false;
  std::string_view bestNamed;  // what the trial's best began with
  std::vector<Schedule> named; // as they are, fused and split passes mixed
  std::unique_ptr<VariantSearch> small, large;
};

/// The best schedules so far, checked by `simulate`.
class Best {
public:
  Best(std::span<const Problem> variants, Objective objective)
      : variants(variants), objective(objective), values(variants.size()) {}

  bool isFound() const { return best >= 0; }
  int variant() const { return best; }
  double value() const { return bestValue; } // seconds
  const std::vector<std::optional<double>> &valuesOfVariants() const {
    return values;
  }

  /// Whether the schedule fits.
  bool offer(int variant, const Schedule &schedule) {
    const Problem &problem = variants[variant];
    std::optional<Simulation> simulation = simulate(problem, schedule);
    if (!simulation || !fitsLimits(problem, *simulation))
      return false;
    double here =
        objective == Objective::Span ? simulation->span : simulation->makespan;
    values[variant] = std::min(values[variant].value_or(here), here);
    bool isBetter = !isFound() || here < bestValue * (1 - kTolerance);
    if (!isBetter && (variant != best || here > bestValue * (1 + kTolerance)))
      return true;
    if (isBetter)
      equals.clear();
    best = variant;
    bestValue = here;
    equals.push_back({here, schedule});
    return true;
  }

  struct Entry {
    double value; // seconds
    Schedule schedule;
  };

  /// Fuses B's with the W's that follow them right away, where a fused pass is
  /// shorter and that helps.
  void fuseAdjacent() {
    const Problem &problem = variants[best];
    for (const Entry &entry : std::vector<Entry>(equals)) {
      std::vector<bool> isShorter;
      for (const Stage &stage : problem.stages)
        isShorter.push_back(fusedIsShorter(stage));
      offer(best, fused(entry.schedule, isShorter));
      for (size_t s = 0; s < isShorter.size(); ++s)
        if (isShorter[s]) {
          std::vector<bool> only(isShorter.size(), false);
          only[s] = true;
          offer(best, fused(equals.front().schedule, only));
        }
    }
  }

  /// Of the best schedules the one that suffers least when durations vary.
  const Entry &mostRobust() const {
    static constexpr double kPercent = 5;
    // Large problems even out the variations by themselves.
    size_t passes =
        3 * variants[best].stages.size() * variants[best].numMicrobatches;
    int draws = static_cast<int>(std::clamp<size_t>(2000000 / passes, 2, 20));
    const Entry *chosen = &equals.front();
    double least = std::numeric_limits<double>::infinity();
    for (const Entry &entry : equals) {
      if (equals.size() == 1)
        break;
      JitterResult varied =
          *jitter(variants[best], entry.schedule, kPercent, draws, 1);
      double mean =
          objective == Objective::Span ? varied.meanSpan : varied.mean;
      if (mean < least) {
        least = mean;
        chosen = &entry;
      }
    }
    return *chosen;
  }

private:
  static Schedule fused(const Schedule &schedule,
                        const std::vector<bool> &stages) {
    Schedule result = schedule;
    for (std::vector<Pass> &order : result.order) {
      std::vector<Pass> kept;
      for (const Pass &pass : order)
        if (pass.kind == PassKind::BackwardWeight && stages[pass.stage] &&
            !kept.empty() &&
            kept.back() ==
                Pass{PassKind::BackwardInput, pass.stage, pass.microbatch})
          kept.back().kind = PassKind::Backward;
        else
          kept.push_back(pass);
      order = std::move(kept);
    }
    return result;
  }

  std::span<const Problem> variants;
  Objective objective;
  std::vector<std::optional<double>> values;
  int best = -1;
  double bestValue = 0;
  std::vector<Entry> equals;
};

/// All candidates on all threads.
class Search {
public:
  Search(std::span<const Problem> variants, const SearchOptions &options)
      : variants(variants), options(options), clock(options.timeLimit),
        best(variants, options.objective),
        passes(options.effort * kPassesPerSecond) {
    int cores = static_cast<int>(std::thread::hardware_concurrency());
    candidates.resize(options.threads > 0 ? options.threads
                                          : std::max(cores, 1));
  }

  /// Whether a schedule was found.
  bool run(const std::vector<int> &feasible) {
    // Something to fall back on.
    Best fallback(variants, options.objective);
    for (int v : feasible) {
      addCandidates(v);
      if (std::optional<Schedule> schedule = oneMicrobatchAtATime(variants[v]))
        fallback.offer(v, *schedule);
      if (fallback.isFound() && firstSeconds < 0)
        firstSeconds = clock.seconds();
    }
    dropExpensive();
    for (const std::unique_ptr<Candidate> &candidate : candidates[0])
      if (candidate->hasReduced())
        roundsEnd = 0.7;
    ranking.resize(candidates[0].size());
    std::iota(ranking.begin(), ranking.end(), 0);
    tryNamed();

    int count = static_cast<int>(ranking.size());
    searchRound(count, 0.25, kAnyValue);
    solveSmall();
    searchRound((count + 2) / 3, 0.2, kAnyValue);
    for (int i = 0; i < 4; ++i)
      searchRound(3, 0.1, 1.01);
    extend(3);
    if (fallback.isFound() &&
        (!best.isFound() || fallback.value() < best.value()))
      best = std::move(fallback);
    if (best.isFound())
      best.fuseAdjacent();
    return best.isFound();
  }

  SearchResult result() {
    SearchResult result;
    result.variant = best.variant();
    const Best::Entry &chosen = best.mostRobust();
    result.schedule = chosen.schedule;
    result.schedule.name = "auto";
    result.value = chosen.value;
    result.bound = lowerBound(variants[result.variant], options.objective);
    for (size_t i = 0; i < bounds.size(); ++i)
      if (candidates[0][i]->variant == result.variant &&
          !candidates[0][i]->hasReduced())
        result.bound.seconds = std::max(result.bound.seconds, bounds[i]);
    result.values = best.valuesOfVariants();
    for (const auto &row : candidates)
      for (const std::unique_ptr<Candidate> &candidate : row)
        result.steps += candidate->ordersTried();
    result.firstSeconds = firstSeconds;
    result.seconds = clock.seconds();
    return result;
  }

private:
  void addCandidates(int variant) {
    const std::vector<Stage> &stages = variants[variant].stages;
    auto add = [&](const std::vector<bool> &isFused) {
      for (size_t t = 0; t < candidates.size(); ++t)
        candidates[t].push_back(std::make_unique<Candidate>(
            variants[variant], variant, isFused, options.objective, clock,
            options.seed * 1000003 + candidates[t].size() * 101 + t));
    };
    std::vector<bool> isFused(stages.size(), false);
    add(isFused);
    // Where a fused pass is shorter than its parts, it may be worth the wait.
    for (size_t s = 0; s < stages.size(); ++s)
      isFused[s] = fusedIsShorter(stages[s]);
    if (std::find(isFused.begin(), isFused.end(), true) != isFused.end())
      add(isFused);
  }

  /// Keeps as many candidates, from the first, as the effort is enough for.
  void dropExpensive() {
    static constexpr size_t kFewest = 3;
    static constexpr double kTrials = 60; // of each candidate
    double sum = 0;
    size_t count = 0;
    while (count < candidates[0].size()) {
      sum += kTrials * static_cast<double>(candidates[0][count]->trialPasses());
      if (count >= kFewest &&
          sum > 0.5 * passes * static_cast<double>(candidates.size()))
        break;
      ++count;
    }
    for (auto &row : candidates)
      row.resize(count);
  }

  /// Every thread takes bounds and named schedules of its share of the
  /// candidates.
  void tryNamed() {
    size_t step = candidates.size();
    bounds.resize(ranking.size());
    exchanged.resize(ranking.size(), std::numeric_limits<double>::infinity());
    onThreads([&](size_t t) {
      for (size_t i = t; i < ranking.size(); i += step) {
        if (i < step)
          candidates[t][i]->tryNamed(0.4);
        else if (!clock.isOver(0.2))
          candidates[t][i]->tryNamed(0.2);
        bounds[i] = candidates[t][i]->trialBound();
      }
    });
    for (size_t i = 0; i < ranking.size(); ++i)
      offerNamed(*candidates[i % step][i]);
    exchange();
  }

  void offerNamed(Candidate &candidate) {
    for (const Schedule &schedule : candidate.takeNamed())
      best.offer(candidate.variant, schedule);
  }

  /// Passes the best order of every candidate on to the other threads.
  void exchange() {
    for (size_t i = 0; i < ranking.size(); ++i) {
      VariantSearch *leader = nullptr;
      for (const auto &row : candidates)
        if (VariantSearch &here = row[i]->trial();
            here.hasBest() &&
            (!leader || here.bestValue() < leader->bestValue()))
          leader = &here;
      if (leader && leader->bestValue() < exchanged[i]) {
        exchanged[i] = leader->bestValue();
        for (const auto &row : candidates)
          if (&row[i]->trial() != leader)
            row[i]->trial().offer(leader->bestTiming().order);
      }
      if (!leader || candidates[0][i]->hasReduced())
        continue;
      for (const auto &row : candidates)
        for (const ChainOrder &order : row[i]->trial().bestOrders())
          best.offer(row[i]->variant, toSchedule(leader->chains(), order));
    }
    rank();
  }

  void rank() {
    auto value = [&](int i) {
      VariantSearch &search = candidates[0][i]->trial();
      return search.hasBest() ? search.bestValue()
                              : std::numeric_limits<double>::infinity();
    };
    std::sort(ranking.begin(), ranking.end(), [&](int a, int b) {
      return std::pair(value(a), a) < std::pair(value(b), b);
    });
  }

  /// Whether more search cannot make the candidate the best one.
  bool isDone(int i) {
    Candidate &candidate = *candidates[0][i];
    double lowest = bounds[i] * (1 + kTolerance);
    if (candidate.trial().hasBest() && candidate.trial().bestValue() <= lowest)
      return true;
    return !candidate.hasReduced() && best.isFound() && best.value() <= lowest;
  }

  static constexpr double kAnyValue = std::numeric_limits<double>::infinity();
  /// The `count` best candidates that are not done share the effort, as long as
  /// they are no worse than the first of them by more than a factor.
  void searchRound(int count, double share, double factor) {
    std::vector<int> chosen;
    double first = 0;
    for (int i : ranking) {
      if (static_cast<int>(chosen.size()) == count || isDone(i))
        continue;
      VariantSearch &search = candidates[0][i]->trial();
      double value = search.hasBest() ? search.bestValue() : kAnyValue;
      if (chosen.empty())
        first = value;
      if (value <= first * factor)
        chosen.push_back(i);
    }
    if (chosen.empty() || clock.isOver(roundsEnd))
      return;
    int64_t each = static_cast<int64_t>(share * passes / chosen.size());
    onThreads([&](size_t t) {
      for (int i : chosen) {
        VariantSearch &search = candidates[t][i]->trial();
        int64_t end = search.passesTimed() + each;
        while (search.passesTimed() < end && !clock.isOver(roundsEnd))
          search.step();
      }
    });
    exchange();
  }

  /// Proves what is best for candidates of few passes, or how good it could be.
  void solveSmall() {
    static constexpr size_t kFewPasses = 200;
    static constexpr double kNodesPerPass = 0.01; // of the effort
    std::vector<int> chosen;
    for (int i : ranking)
      if (options.objective == Objective::Makespan &&
          !candidates[0][i]->hasReduced() &&
          candidates[0][i]->trialPasses() <= kFewPasses && !isDone(i))
        chosen.push_back(i);
    std::vector<ExactResult> results(chosen.size());
    onThreads([&](size_t t) {
      for (size_t i = t; i < chosen.size(); i += candidates.size())
        if (!clock.isOver(roundsEnd))
          results[i] = exactMakespan(
              variants[candidates[0][chosen[i]]->variant],
              static_cast<int64_t>(kNodesPerPass * passes / chosen.size()));
    });
    for (size_t i = 0; i < chosen.size(); ++i) {
      double &bound = bounds[chosen[i]];
      bound = std::max(bound, results[i].bound);
      if (results[i].status == ExactResult::Status::Optimal)
        best.offer(candidates[0][chosen[i]]->variant, results[i].schedule);
    }
  }

  /// Goes over to all microbatches with up to `count` candidates, the best one
  /// and those that are not much worse.
  void extend(int count) {
    static constexpr double kNotMuchWorse = 1.03;
    int extended = 0;
    double first = 0;
    for (int i : ranking) {
      // The thread that tried the named schedules.
      Candidate &candidate = *candidates[i % candidates.size()][i];
      if (!candidate.hasReduced() || !candidate.trial().hasBest())
        continue;
      double value = candidate.trial().bestValue();
      if (extended == 0)
        first = value;
      else if (extended == count || value > first * kNotMuchWorse ||
               clock.isOver(0.8))
        return;
      ++extended;
      candidate.extend();
      VariantSearch &search = candidate.whole();
      int64_t end = search.passesTimed() + static_cast<int64_t>(0.05 * passes);
      while (search.hasBest() && search.passesTimed() < end &&
             !clock.isOver(0.9))
        search.step();
      for (const ChainOrder &order : search.bestOrders())
        best.offer(candidate.variant, toSchedule(search.chains(), order));
      offerNamed(candidate);
    }
  }

  template <typename Work> void onThreads(Work &&work) {
    std::vector<std::thread> threads;
    for (size_t t = 1; t < candidates.size(); ++t)
      threads.emplace_back([&work, t] { work(t); });
    work(0);
    for (std::thread &thread : threads)
      thread.join();
  }

  std::span<const Problem> variants;
  const SearchOptions &options;
  Clock clock;
  Best best;
  double passes;
  double firstSeconds = -1;
  /// The part of the time limit for rounds; extending takes the rest.
  double roundsEnd = 0.95;
  /// Per thread the same candidates, with other random numbers.
  std::vector<std::vector<std::unique_ptr<Candidate>>> candidates;
  std::vector<double> exchanged; // what all threads know
  std::vector<double> bounds;    // of the candidates' trial problems
  std::vector<int> ranking;      // best candidate first
};

} // namespace

/// The device whose limit is the furthest below what it needs; -1 if none is.
static int mostLacking(const Problem &problem,
                       const std::vector<int64_t> &needed) {
  int device = -1;
  int64_t most = 0;
  for (int d = 0; d < problem.numDevices; ++d)
    if (std::optional<int64_t> limit = problem.limit(d);
        limit && needed[d] - *limit > most) {
      most = needed[d] - *limit;
      device = d;
    }
  return device;
}

/// What one microbatch at a time needs with its transfer buffers, which may be
/// more than the least possible.
static std::vector<int64_t> enoughBytes(Problem problem) {
  problem.memoryLimits.clear();
  return simulate(problem, *oneMicrobatchAtATime(problem))->peakBytes;
}

/// One line about the variant that comes closest to its limits.
static std::string whyNoneFits(std::span<const Problem> variants,
                               std::vector<int64_t> (*needs)(const Problem &),
                               const char *verb) {
  int64_t least = std::numeric_limits<int64_t>::max();
  std::string message;
  for (const Problem &problem : variants) {
    std::vector<int64_t> needed = needs(problem);
    int d = mostLacking(problem, needed);
    if (d < 0 || needed[d] - *problem.limit(d) >= least)
      continue;
    least = needed[d] - *problem.limit(d);
    message = "device " + std::to_string(d) + verb + std::to_string(needed[d]) +
              " bytes, the limit is " + std::to_string(*problem.limit(d));
  }
  return message;
}

std::optional<SearchResult> search(std::span<const Problem> variants,
                                   const SearchOptions &options,
                                   std::string *error) {
  std::vector<int> feasible;
  for (int v = 0; v < static_cast<int>(variants.size()); ++v)
    if (mostLacking(variants[v], smallestLimits(variants[v])) < 0)
      feasible.push_back(v);
  Search search(variants, options);
  if (!feasible.empty() && search.run(feasible))
    return search.result();
  if (!error)
    return std::nullopt;
  if (feasible.empty()) {
    *error = whyNoneFits(variants, smallestLimits, " needs at least ");
    return std::nullopt;
  }
  std::vector<Problem> tried;
  for (int v : feasible)
    tried.push_back(variants[v]);
  *error =
      "no schedule was found that fits with its transfer buffers; one "
      "microbatch at a time would: " +
      whyNoneFits(
          tried, [](const Problem &problem) { return enoughBytes(problem); },
          " then needs ");
  return std::nullopt;
}

} // namespace weir::schedule
