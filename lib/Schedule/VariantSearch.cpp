// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "VariantSearch.h"
#include "AlternatingOrder.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include <algorithm>
#include <cmath>

namespace weir::schedule {

/// Sums of the same durations in another order differ by less.
static constexpr double kTolerance = 1e-9;

VariantSearch::VariantSearch(const Problem &problem,
                             const std::vector<bool> &isFused,
                             Objective objective, uint64_t seed)
    : problem(problem), graph(makeChainGraph(problem, isFused)),
      backwards(reversed(graph)), objective(objective), random(seed),
      shapes(problem, graph), scheduler(graph), backwardScheduler(backwards),
      timer(graph), keys(graph.numPasses()), reverseKeys(graph.numPasses()) {
  if (problem.memoryLimits.empty())
    return;
  for (const Stage &stage : problem.stages)
    hasBuffers |= stage.forwardTransferBytes || stage.backwardTransferBytes;
  leastLimits = smallestLimits(problem);
  for (int d = 0; d < problem.numDevices; ++d)
    leastLimits[d] -= problem.fixed(d);
  leastExcess.assign(problem.numDevices, 0);
}

bool VariantSearch::fitsWithBuffers(const ChainOrder &order) {
  static constexpr int kMostRejected = 8;
  std::optional<Simulation> simulation =
      simulate(problem, toSchedule(graph, order));
  if (!simulation)
    return false;
  bool fits = true;
  for (int d = 0; d < graph.numDevices; ++d) {
    std::optional<int64_t> limit = problem.limit(d);
    if (!limit || simulation->peakBytes[d] <= *limit)
      continue;
    int64_t excess = simulation->peakBytes[d] - *limit;
    int64_t &least = leastExcess[d];
    least = least == 0 ? excess : std::min(least, excess);
    fits = false;
  }
  if (fits || ++rejected < kMostRejected)
    return fits;
  for (int d = 0; d < graph.numDevices; ++d) {
    int64_t lowered = graph.limits[d] - leastExcess[d];
    graph.limits[d] = backwards.limits[d] = std::max(lowered, leastLimits[d]);
  }
  std::fill(leastExcess.begin(), leastExcess.end(), 0);
  rejected = 0;
  isAnnealing = false;
  return false;
}

double VariantSearch::value(const Timing &timing) const {
  return objective == Objective::Span ? timing.span : timing.makespan;
}

double VariantSearch::cost(const Timing &timing) const {
  static constexpr double kWeight = 1e-3;
  if (objective == Objective::Span)
    return timing.span + kWeight * timing.sumOfSpans / graph.numDevices;
  return timing.makespan +
         kWeight * (timing.span + timing.sumOfEnds / graph.numDevices);
}

bool VariantSearch::consider(Timing &timing) {
  static constexpr size_t kMostEquals = 8;
  double here = value(timing);
  bool better = !found || here < bestValue() * (1 - kTolerance);
  if (!better && here > bestValue() * (1 + kTolerance))
    return false;
  bool isNew = better || timing.order != best.order;
  if (isNew && hasBuffers && !fitsWithBuffers(timing.order))
    return false;
  if (better) {
    equals.assign(1, timing.order);
  } else if (isNew) {
    if (equals.size() < kMostEquals)
      equals.push_back(timing.order);
    else
      equals[randomInt(random, 0, kMostEquals - 1)] = timing.order;
  }
  if (better || cost(timing) <= cost(best) || randomInt(random, 0, 7) == 0)
    best = timing;
  found = true;
  return better;
}

bool VariantSearch::schedule(const ListRules &rules) {
  ++tried;
  timed += 2 * static_cast<int64_t>(graph.numPasses());
  return scheduler.run(keys, rules, trial);
}

void VariantSearch::offer(const ChainOrder &order) {
  ++tried;
  timed += static_cast<int64_t>(graph.numPasses());
  if (!timer.run(order, trial))
    return;
  std::vector<double> starts = trial.start;
  if (exceedsLimit(graph, order) < 0)
    consider(trial);
  offerKeys(starts);
}

void VariantSearch::offerAlternating() {
  std::vector<double> parts = {1};
  for (int i = 0; i < 3; ++i)
    parts.push_back(randomReal(random, 0.5, 1));
  for (double part : parts)
    for (bool forward : {false, true})
      for (bool backward : {false, true}) {
        std::optional<ChainOrder> order =
            alternatingOrder(graph, {forward, backward, part});
        if (!order)
          return;
        offer(*order);
      }
}

void VariantSearch::offerKeys(const std::vector<double> &starts) {
  keys = starts;
  for (bool overtakes : {false, true})
    if (schedule({overtakes, 0}))
      consider(trial);
}

void VariantSearch::tryShape(const BlockShape &shape) {
  shapes.keys(shape, keys);
  if (!schedule(shape.rules))
    return;
  static constexpr size_t kMostShapes = 8;
  ShapeValue entry{value(trial), shape};
  auto place = std::lower_bound(bestShapes.begin(), bestShapes.end(), entry,
                                [](const ShapeValue &a, const ShapeValue &b) {
                                  return a.value < b.value * (1 - kTolerance);
                                });
  if (place != bestShapes.end() || bestShapes.size() < kMostShapes) {
    bestShapes.insert(place, entry);
    if (bestShapes.size() > kMostShapes)
      bestShapes.pop_back();
  }
  consider(trial);
  // What comes close may get ahead.
  static constexpr double kClose = 1.03;
  if (value(trial) <= bestValue() * kClose)
    tryReversals(trial);
}

void VariantSearch::offerShapesOf(const VariantSearch &other) {
  for (const ShapeValue &entry : other.bestShapes)
    tryShape(entry.shape);
}

void VariantSearch::tryReversals(Timing from) {
  static constexpr int kMostRounds = 4;
  double before = cost(from);
  for (int round = 0; round < kMostRounds; ++round) {
    if (!tryReversal(from))
      return;
    double after = cost(from);
    if (after >= before * (1 - kTolerance))
      return;
    before = after;
  }
}

bool VariantSearch::tryReversal(Timing &timing) {
  int last = graph.numMicrobatches - 1;
  auto mirror = [&](const std::vector<double> &starts,
                    std::vector<double> &mirrored) {
    for (int c = 0; c < graph.size(); ++c)
      for (int m = 0; m <= last; ++m)
        mirrored[graph.at(c, last - m)] =
            -(starts[graph.at(c, m)] + graph.chains[c].duration);
  };
  mirror(timing.start, reverseKeys);
  ++tried;
  timed += 3 * static_cast<int64_t>(graph.numPasses());
  if (!backwardScheduler.run(reverseKeys, shapes.randomRules(random),
                             reverseTrial))
    return false;
  for (std::vector<int> &row : reverseTrial.order)
    std::reverse(row.begin(), row.end());
  bool found = false;
  double least = 0;
  auto take = [&] {
    if (!found || cost(trial) < least) {
      least = cost(trial);
      timing = trial;
    }
    found = true;
    consider(trial);
  };
  if (exceedsLimit(graph, reverseTrial.order) < 0 &&
      timer.run(reverseTrial.order, trial))
    take();
  mirror(reverseTrial.start, keys);
  if (schedule(shapes.randomRules(random)))
    take();
  return found;
}

void VariantSearch::tryShiftedKeys() {
  keys = best.start;
  int last = graph.numMicrobatches - 1;
  int changes = randomInt(random, 0, 3) == 0 ? randomInt(random, 2, 8) : 1;
  for (; changes > 0; --changes) {
    double scale = randomInt(random, 0, 1) ? 0.3 : 1.5;
    double shift = randomReal(random, -scale, scale) * shapes.work();
    int chosen = randomInt(random, 0, graph.size() - 1);
    int first = randomInt(random, 0, last), end = first;
    if (randomInt(random, 0, 2) == 0)
      end = std::min(last, first + randomInt(random, 0, last));
    int similar = randomInt(random, 0, 2);
    const Chain &chain = graph.chains[chosen];
    for (int c = 0; c < graph.size(); ++c) {
      const Chain &other = graph.chains[c];
      bool isShifted =
          c == chosen || (similar > 0 && other.kind == chain.kind &&
                          (similar == 2 || other.device == chain.device));
      for (int m = first; isShifted && m <= end; ++m)
        keys[graph.at(c, m)] += shift;
    }
  }
  if (schedule(shapes.randomRules(random)))
    consider(trial);
}

/// Where on the critical paths of the current order a pass waits for nothing
/// but the pass before it on its device.
void VariantSearch::findCriticalMoves() {
  critical.clear();
  // Where each pass is, and which pass of another chain it waited for.
  std::vector<Place> placeOf(graph.numPasses());
  std::vector<int> next(graph.chains.size(), 0);
  std::vector<std::vector<int>> microbatches(graph.numDevices);
  for (int d = 0; d < graph.numDevices; ++d)
    for (size_t i = 0; i < current.order[d].size(); ++i) {
      int c = current.order[d][i];
      microbatches[d].push_back(next[c]);
      placeOf[graph.at(c, next[c]++)] = {d, i};
    }
  std::vector<std::vector<std::pair<int, double>>> into(graph.chains.size());
  for (int c = 0; c < graph.size(); ++c)
    for (const Chain::Arc &arc : graph.chains[c].arcs)
      into[arc.to].push_back({c, arc.lag});

  // From the end of the device that ends last (or that has the longest span).
  Place at{-1, 0};
  double latest = -1;
  for (int d = 0; d < graph.numDevices; ++d) {
    const std::vector<int> &row = current.order[d];
    if (row.empty())
      continue;
    double end =
        current.start[graph.at(row.back(), graph.numMicrobatches - 1)] +
        graph.chains[row.back()].duration;
    if (objective == Objective::Span)
      end -= current.start[graph.at(row.front(), 0)];
    if (end > latest) {
      latest = end;
      at = {d, row.size() - 1};
    }
  }
  double tolerance = kTolerance * (1 + current.makespan);
  for (size_t steps = 0; steps < graph.numPasses() && at.device >= 0; ++steps) {
    const std::vector<int> &row = current.order[at.device];
    int c = row[at.index], m = microbatches[at.device][at.index];
    double start = current.start[graph.at(c, m)];
    bool followsDevice = false;
    if (at.index > 0) {
      int before = row[at.index - 1];
      double end =
          current
              .start[graph.at(before, microbatches[at.device][at.index - 1])] +
          graph.chains[before].duration;
      followsDevice = end >= start - tolerance;
    }
    Place producer{-1, 0};
    for (auto [from, lag] : into[c])
      if (graph.chains[from].device != at.device &&
          current.start[graph.at(from, m)] + graph.chains[from].duration +
                  lag >=
              start - tolerance)
        producer = placeOf[graph.at(from, m)];
    if (followsDevice)
      critical.push_back(at);
    if (followsDevice && (producer.device < 0 || randomInt(random, 0, 1)))
      at = {at.device, at.index - 1};
    else
      at = producer;
  }
}

/// Puts the pass at `from` before the one at `to` in the current order; false,
/// with the order as it was, if memory or dependences forbid it. The result is
/// in `trial`.
bool VariantSearch::moveForward(int device, size_t from, size_t to) {
  std::vector<int> &row = current.order[device];
  auto rotate = [&](bool back) {
    if (back)
      std::rotate(row.begin() + to, row.begin() + to + 1,
                  row.begin() + from + 1);
    else
      std::rotate(row.begin() + to, row.begin() + from, row.begin() + from + 1);
  };
  rotate(false);
  int64_t held = 0;
  bool fits = true;
  for (int c : row) {
    const Chain &chain = graph.chains[c];
    held += chain.taken;
    if (held + chain.workspace > graph.limits[device]) {
      fits = false;
      break;
    }
    held -= chain.released;
  }
  if (fits) {
    ++tried;
    timed += static_cast<int64_t>(graph.numPasses());
    fits = timer.run(current.order, trial);
  }
  rotate(true);
  return fits;
}

void VariantSearch::anneal() {
  if (!isAnnealing || sinceImprovement > 400) {
    isAnnealing = true;
    current = best;
    sinceImprovement = 0;
    temperature =
        1e-3 * shapes.work() * std::pow(10.0, randomReal(random, -2, 1.5));
    findCriticalMoves();
  }
  for (int i = 0; i < 20; ++i) {
    ++sinceImprovement;
    Place place;
    if (!critical.empty() && randomInt(random, 0, 9) < 7) {
      place =
          critical[randomInt(random, 0, static_cast<int>(critical.size()) - 1)];
    } else {
      place.device = randomInt(random, 0, graph.numDevices - 1);
      int size = static_cast<int>(current.order[place.device].size());
      if (size == 0)
        continue;
      place.index = randomInt(random, 0, size - 1);
    }
    size_t most = randomInt(random, 0, 1) ? 1 : randomInt(random, 2, 12);
    most = std::min(most, place.index);
    if (most == 0)
      continue;
    const std::vector<int> &row = current.order[place.device];
    // Passes of one chain never change places.
    size_t to = place.index;
    while (to > place.index - most && row[to - 1] != row[place.index])
      --to;
    if (to == place.index || !moveForward(place.device, place.index, to))
      continue;
    double change = cost(trial) - cost(current);
    if (change > 0 &&
        randomReal(random, 0, 1) >= std::exp(-change / temperature))
      continue;
    // Timing kept the order of the trial as it was moved.
    current = trial;
    if (consider(trial))
      sinceImprovement = 0;
    findCriticalMoves();
  }
}

void VariantSearch::step() {
  if (!found)
    return tryShape(shapes.random(random));
  int choice = randomInt(random, 0, 99);
  if (choice < 25)
    tryShape(shapes.random(random));
  else if (choice < 50 && !bestShapes.empty())
    tryShape(shapes.perturbed(
        bestShapes[randomInt(random, 0, 1) *
                   randomInt(random, 0,
                             static_cast<int>(bestShapes.size()) - 1)]
            .shape,
        random));
  else if (choice < 65)
    tryReversals(best);
  else if (choice < 80)
    tryShiftedKeys();
  else
    anneal();
}

} // namespace weir::schedule
