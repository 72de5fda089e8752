// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Local search for one problem.

#ifndef WEIR_LIB_SCHEDULE_VARIANTSEARCH_H
#define WEIR_LIB_SCHEDULE_VARIANTSEARCH_H

#include "BlockShape.h"
#include "weir/Schedule/LowerBound.h"

namespace weir::schedule {

/// Tries orders of one problem, which has to outlive it, one after the other,
/// and keeps the best. Four ways to come to an order:
///   - the keys of a random block shape, or of the best one with a few numbers
///     changed, list-scheduled;
///   - an order that comes close to the best, list-scheduled from its end to
///     its beginning, and from there forwards again, for as long as that helps
///     (forward-backward improvement: K. Y. Li, R. J. Willis, "An iterative
///     scheduling technique for resource-constrained project scheduling", EJOR
///     56, 1992);
///   - the start times of the best order with some of them shifted,
///     list-scheduled;
///   - the order itself with one pass of a critical path moved to the front of
///     those before it on its device, accepted as simulated annealing does.
class VariantSearch {
public:
  VariantSearch(const Problem &problem, const std::vector<bool> &isFused,
                Objective objective, uint64_t seed);
  VariantSearch(const VariantSearch &) = delete;

  const ChainGraph &chains() const { return graph; }
  bool hasBest() const { return found; }
  /// Seconds; only where there is one.
  double bestValue() const { return value(best); }
  const Timing &bestTiming() const { return best; }
  /// Orders as good as the best, the best included.
  const std::vector<ChainOrder> &bestOrders() const { return equals; }

  /// Takes an order that was found elsewhere, and where it does not fit or is
  /// not good enough, what list scheduling makes of it.
  void offer(const ChainOrder &order);
  /// Orders of a V in which devices run B's and F's in turn.
  void offerAlternating();
  /// The same with the start of every pass.
  void offerKeys(const std::vector<double> &starts);

  /// Tries the best block shapes that another search has found for the same
  /// stages with another number of microbatches.
  void offerShapesOf(const VariantSearch &other);

  /// Tries one order, or a few small changes of one.
  void step();

  int64_t ordersTried() const { return tried; }
  /// Passes of all of them: what the search costs.
  int64_t passesTimed() const { return timed; }

private:
  double value(const Timing &timing) const;
  /// Tells apart orders of the same value: what ends early can still get
  /// better.
  double cost(const Timing &timing) const;
  bool consider(Timing &timing);
  /// Whether an order fits with its transfer buffers, of which the graph only
  /// counts those of running passes. If too many do not, the graph's limits are
  /// lowered.
  bool fitsWithBuffers(const ChainOrder &order);
  bool schedule(const ListRules &rules);
  void tryShape(const BlockShape &shape);
  /// Goes backwards and forwards from an order, as long as that helps.
  void tryReversals(Timing from);
  /// Once; replaces `timing` by what it gives, if it gives anything.
  bool tryReversal(Timing &timing);
  void tryShiftedKeys();
  void anneal();
  void findCriticalMoves();
  bool moveForward(int device, size_t from, size_t to);

  const Problem &problem;
  ChainGraph graph, backwards;
  Objective objective;
  Random random;
  BlockShapes shapes;
  ListScheduler scheduler, backwardScheduler;
  OrderTimer timer;

  bool hasBuffers = false;
  int rejected = 0;
  std::vector<int64_t> leastExcess; // since limits were lowered last
  std::vector<int64_t> leastLimits;

  bool found = false;
  Timing best;
  std::vector<ChainOrder> equals;
  struct ShapeValue {
    double value;
    BlockShape shape;
  };
  /// The best shapes, best first.
  std::vector<ShapeValue> bestShapes;

  // Annealing.
  bool isAnnealing = false;
  Timing current;
  double temperature = 0;
  int sinceImprovement = 0;
  struct Place {
    int device;
    size_t index;
  };
  std::vector<Place> critical;

  Timing trial, reverseTrial;
  std::vector<double> keys, reverseKeys;
  int64_t tried = 0, timed = 0;
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_VARIANTSEARCH_H
