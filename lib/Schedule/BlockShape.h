// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Building blocks of a few numbers, for any durations and placement.

#ifndef WEIR_LIB_SCHEDULE_BLOCKSHAPE_H
#define WEIR_LIB_SCHEDULE_BLOCKSHAPE_H

#include "ChainGraph.h"

#include <random>

namespace weir::schedule {

using Random = std::mt19937_64;

/// Uniform, and the same on every platform.
double randomReal(Random &random, double low, double high);
int randomInt(Random &random, int low, int high);

/// How the passes of one microbatch follow each other, beyond what durations
/// and transfers demand. All in seconds. A chunk is the n-th stage of its
/// device, or the n-th run of stages; the stages of a chunk follow each other
/// from device to device.
///
///   F0      F0 -> F0 -> F0      hop: waits between the stages of a chunk
///   turn                  F1    turn: waits between two chunks
///
/// v-min, v-half and v-zb are of this form, and so are interleaved schedules:
/// there a group of microbatches goes through one chunk before the next.
struct BlockShape {
  /// Per chunk: what F, and B, waits at every device, the ones before
  /// `firstFar` and the others.
  std::vector<double> forwardHop, backwardHop;
  std::vector<double> farForwardHop, farBackwardHop;
  int firstFar = 0;
  /// Per chunk: what F waits after it, and B before it is left.
  std::vector<double> forwardTurn, backwardTurn;
  /// Between the last F and the first B.
  double summit = 0;
  double interval = 0;
  /// Microbatches of a group start `spacing` apart, groups size * interval.
  int groupSize = 1;
  double spacing = 0;
  /// From the end of B to W.
  double weightDelay = 0;
  ListRules rules;
};

/// Makes shapes for one graph, and the order of passes that a shape means.
class BlockShapes {
public:
  BlockShapes(const Problem &problem, const ChainGraph &graph);

  /// Seconds of all passes of one microbatch on the busiest device.
  double work() const { return workPerMicrobatch; }
  int numChunks() const { return chunks; }

  BlockShape random(Random &random) const;
  /// A few numbers of `shape` changed.
  BlockShape perturbed(BlockShape shape, Random &random) const;
  ListRules randomRules(Random &random) const;

  /// The start of every pass, as ChainGraph::at has them.
  void keys(const BlockShape &shape, std::vector<double> &keys) const;

private:
  void setSteps(std::vector<double> &forwardHop,
                std::vector<double> &backwardHop, Random &random) const;
  void setDescents(BlockShape &shape, Random &random) const;
  double randomWait(Random &random, double scale) const;
  double randomWeightDelay(Random &random) const;

  const ChainGraph &graph;
  int numDevices;
  int chunks = 0;
  std::vector<int> chunkOf; // of each stage
  /// The chains of each stage; -1 where it has none.
  std::vector<int> forward, recompute, backward, weight;
  /// From each stage to the next, and from the next back to it.
  std::vector<double> forwardLag, backwardLag;
  double workPerMicrobatch = 0;
  /// Mean duration of one pass.
  double pass = 0;
  /// By Little's law, the interval that the memory limits allow when no pass
  /// waits; no less than the work.
  double leastInterval = 0;
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_BLOCKSHAPE_H
