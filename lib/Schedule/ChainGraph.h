// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A problem in the form in which orders are tried by the ten thousand.

#ifndef WEIR_LIB_SCHEDULE_CHAINGRAPH_H
#define WEIR_LIB_SCHEDULE_CHAINGRAPH_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

/// The passes of one kind of one stage, one per microbatch and in that order.
/// Since chains keep their order, an order of passes is a row of chain numbers
/// per device: the n-th time a chain comes up is its microbatch n.
struct Chain {
  PassKind kind;
  int stage;
  int device;
  double duration;
  /// Held from the start, and given back at the end of a pass.
  int64_t taken, released;
  int64_t workspace;
  /// What reads the result waits for `lag` seconds from the end, and for the
  /// link, which a transfer occupies for `occupancy` seconds.
  struct Arc {
    int to;
    double lag = 0;
    double occupancy = 0;
    int link = -1;
  };
  std::vector<Arc> arcs;
  /// How many arcs lead here.
  int waitsFor = 0;
  /// Nothing but the end of the step waits for these passes.
  bool isFiller = false;
};

/// All chains of a problem. A pass m of a chain waits for the passes m of the
/// chains with an arc to it, and for the pass m-1 of its own.
struct ChainGraph {
  int numDevices = 0;
  int numMicrobatches = 0;
  int numLinks = 0;
  std::vector<Chain> chains;
  std::vector<std::vector<int>> chainsOfDevice;
  /// Activation bytes that a device may hold, workspace included.
  std::vector<int64_t> limits;

  int size() const { return static_cast<int>(chains.size()); }
  size_t numPasses() const { return chains.size() * numMicrobatches; }
  size_t at(int chain, int microbatch) const {
    return static_cast<size_t>(chain) * numMicrobatches + microbatch;
  }
};

/// The backward passes of a stage are all fused, or none is.
ChainGraph makeChainGraph(const Problem &problem,
                          const std::vector<bool> &isFused);

/// The same graph with time running backwards: an order of it, read from the
/// end, is one of `graph`. Transfers only lag.
ChainGraph reversed(const ChainGraph &graph);

/// Rows of chain numbers, one row per device.
using ChainOrder = std::vector<std::vector<int>>;

/// When passes start, indexed by ChainGraph::at.
struct Timing {
  ChainOrder order;
  std::vector<double> start;
  double makespan = 0;
  double span = 0;
  double sumOfEnds = 0;  // over devices
  double sumOfSpans = 0; // likewise
};

/// How `listSchedule` chooses among the passes that may run.
struct ListRules {
  /// A pass may overtake passes of smaller key that still wait.
  bool overtakes = true;
  /// A pass that would still run when one of smaller key gets ready is not
  /// started if it waits for less than this part of its own duration.
  double patience = 0;
  /// A filler is not started either if its device would not have idled for more
  /// than this, or than another device, once the pass of smaller key is ready.
  /// Negative: not so.
  double idleBudget = -1;
};

/// How far a run of the passes has come.
struct PassProgress {
  explicit PassProgress(const ChainGraph &graph);
  void reset(const ChainGraph &graph);
  /// The pass `microbatch` of `chain` ends: its device is free, and what waits
  /// for it has one thing less to wait for. Calls `isReady(chain)` for each
  /// that waits for nothing more.
  template <typename IsReady>
  void finish(const ChainGraph &graph, int chain, int microbatch, double end,
              IsReady &&isReady);

  std::vector<double> ready;    // by ChainGraph::at
  std::vector<int8_t> waiting;  // likewise: for how many passes
  std::vector<int> next;        // microbatch of each chain
  std::vector<double> freeAt;   // of each device
  std::vector<double> linkFree; // of each link
};

/// Runs passes as they get ready, the one with the smallest `key` first, within
/// the limits. False if every device came to wait for memory.
///
/// One object serves many calls, so that nothing is allocated in between.
class ListScheduler {
public:
  explicit ListScheduler(const ChainGraph &graph);
  bool run(const std::vector<double> &key, const ListRules &rules,
           Timing &timing);

private:
  struct Event {
    double time;
    int device;
    bool operator>(const Event &other) const {
      return time != other.time ? time > other.time : device > other.device;
    }
  };
  void decide(int device, double time);
  /// Whether a pass that overtakes would leave too little memory for those of
  /// smaller key. They might then wait for each other.
  bool takesFromOvertaken(int device, int chain, int64_t free) const;
  void start(int chain, double time);
  void push(double time, int device);

  const ChainGraph &graph;
  const std::vector<double> *key = nullptr;
  ListRules rules;
  Timing *timing = nullptr;
  PassProgress progress;
  std::vector<int64_t> held;
  std::vector<double> idle; // seconds since the first pass of each device
  double mostIdle = 0;
  std::vector<Event> events;
  size_t started = 0;
};

/// Runs the passes of each device in the given order, each as soon as it can.
/// False if they wait for each other.
class OrderTimer {
public:
  explicit OrderTimer(const ChainGraph &graph);
  bool run(const ChainOrder &order, Timing &timing);

private:
  const ChainGraph &graph;
  PassProgress progress;
  std::vector<size_t> position;
  std::vector<int> worklist;
};

/// The first device whose limit the order breaks; -1 if none.
int exceedsLimit(const ChainGraph &graph, const ChainOrder &order);

Schedule toSchedule(const ChainGraph &graph, const ChainOrder &order);

/// Splits fused passes where the graph has them split; nullopt if it has only
/// the fused pass of one that is split.
std::optional<ChainOrder> fromSchedule(const ChainGraph &graph,
                                       const Schedule &schedule);

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_CHAINGRAPH_H
