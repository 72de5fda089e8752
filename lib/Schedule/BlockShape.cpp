// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "BlockShape.h"

#include <algorithm>
#include <limits>

namespace weir::schedule {

double randomReal(Random &random, double low, double high) {
  return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
}

int randomInt(Random &random, int low, int high) {
  return low +
         static_cast<int>(random() % static_cast<uint64_t>(high - low + 1));
}

BlockShapes::BlockShapes(const Problem &problem, const ChainGraph &graph)
    : graph(graph), numDevices(problem.numDevices) {
  int numStages = problem.numStages();
  forward.assign(numStages, -1);
  recompute = backward = weight = forward;
  for (int c = 0; c < graph.size(); ++c) {
    const Chain &chain = graph.chains[c];
    if (chain.kind == PassKind::Forward)
      forward[chain.stage] = c;
    else if (chain.kind == PassKind::Recompute)
      recompute[chain.stage] = c;
    else if (chain.isFiller)
      weight[chain.stage] = c;
    else
      backward[chain.stage] = c;
  }
  auto lag = [&](int from, int to) {
    if (from >= 0)
      for (const Chain::Arc &arc : graph.chains[from].arcs)
        if (arc.to == to)
          return arc.lag;
    return 0.0;
  };
  std::vector<int> count(problem.numDevices, 0);
  // Neighbours on one device are one chunk, except where only the turns of a
  // zigzag are such neighbours.
  auto followsItself = [&](int s) {
    return s > 0 && problem.placement[s] == problem.placement[s - 1];
  };
  int neighbours = 0;
  for (int s = 0; s < numStages; ++s)
    neighbours += followsItself(s);
  bool hasRuns = neighbours >= problem.numDevices;
  for (int s = 0; s < numStages; ++s) {
    chunkOf.push_back(hasRuns && followsItself(s)
                          ? chunkOf.back()
                          : count[problem.placement[s]]++);
    chunks = std::max(chunks, chunkOf[s] + 1);
    bool last = s + 1 == numStages;
    forwardLag.push_back(last ? 0 : lag(forward[s], forward[s + 1]));
    backwardLag.push_back(last ? 0 : lag(backward[s + 1], backward[s]));
  }
  std::vector<double> work(problem.numDevices, 0);
  double sum = 0;
  for (const Chain &chain : graph.chains) {
    work[chain.device] += chain.duration;
    sum += chain.duration;
  }
  workPerMicrobatch = *std::max_element(work.begin(), work.end());
  pass = sum / graph.size();

  // Without any waiting: for how long each stage holds its memory.
  std::vector<double> bytesTimesSeconds(problem.numDevices, 0);
  double path = 0;
  for (int s = numStages - 1; s >= 0; --s) {
    double own = graph.chains[forward[s]].duration;
    if (backward[s] >= 0)
      own += graph.chains[backward[s]].duration;
    path += own + forwardLag[s] + backwardLag[s];
    if (weight[s] >= 0)
      own += graph.chains[weight[s]].duration;
    bytesTimesSeconds[problem.placement[s]] +=
        path * static_cast<double>(problem.stages[s].activationBytes);
  }
  leastInterval = workPerMicrobatch;
  for (int d = 0; d < problem.numDevices; ++d)
    if (graph.limits[d] > 0)
      leastInterval =
          std::max(leastInterval,
                   bytesTimesSeconds[d] / static_cast<double>(graph.limits[d]));
}

double BlockShapes::randomWait(Random &random, double scale) const {
  switch (randomInt(random, 0, 2)) {
  case 0:
    return 0;
  case 1:
    return randomReal(random, 0, scale);
  default: // What the blocks of equal passes have.
    return pass * randomInt(random, 0, 4);
  }
}

double BlockShapes::randomWeightDelay(Random &random) const {
  switch (randomInt(random, 0, 2)) {
  case 0: // W's fill idle time only, and make room when memory is short.
    return 1e6 * workPerMicrobatch;
  case 1:
    return randomReal(random, 0, 2 * workPerMicrobatch);
  default:
    return randomReal(random, 0, numDevices * workPerMicrobatch);
  }
}

ListRules BlockShapes::randomRules(Random &random) const {
  ListRules rules;
  rules.overtakes = randomInt(random, 0, 3) != 0;
  switch (randomInt(random, 0, 3)) {
  case 0:
  case 1:
    break;
  case 2:
    rules.patience = randomReal(random, 0, 1);
    break;
  case 3:
    rules.idleBudget = randomReal(random, 0, 8 * pass);
    break;
  }
  return rules;
}

/// In a zigzag of equal passes, those of a device do not wander through each
/// other's slots if the steps of F and of B from device to device, in passes,
/// are r modulo 3 where one goes down and 3 - r where the other comes up.
void BlockShapes::setSteps(std::vector<double> &forwardHop,
                           std::vector<double> &backwardHop,
                           Random &random) const {
  int remainder = randomInt(random, 1, 2);
  auto hop = [&](bool isDown) {
    int step =
        (isDown ? remainder : 3 - remainder) + 3 * randomInt(random, 0, 1);
    return (step - 1) * pass;
  };
  for (int c = 0; c < chunks; ++c) {
    bool isDown = c % 2 == 0;
    forwardHop[c] = hop(isDown);
    backwardHop[c] = hop(!isDown);
  }
}

/// Zigzags that go down at one pace, which may change on the way, and come up
/// as fast as they can. Memory between that of v-min and that of v-zb goes with
/// the pace.
void BlockShapes::setDescents(BlockShape &shape, Random &random) const {
  double near = randomInt(random, 0, 4) * pass;
  double far = std::min(near, randomInt(random, 0, 4) * pass);
  shape.firstFar = randomInt(random, 1, numDevices);
  auto turn = [&] { return randomInt(random, 0, 5) * pass; };
  for (int c = 0; c < chunks; ++c) {
    bool isDown = c % 2 == 0;
    shape.forwardHop[c] = isDown ? near : 0;
    shape.farForwardHop[c] = isDown ? far : 0;
    shape.backwardHop[c] = isDown ? 0 : near;
    shape.farBackwardHop[c] = isDown ? 0 : far;
    shape.forwardTurn[c] = turn();
    shape.backwardTurn[c] = turn();
  }
  shape.summit = turn();
}

BlockShape BlockShapes::random(Random &random) const {
  BlockShape shape;
  // Little memory leaves little time to wait.
  static constexpr double kHowOften[] = {0.05, 0.15, 0.4, 1};
  double often = kHowOften[randomInt(random, 0, 3)];
  auto wait = [&](double scale) {
    return randomReal(random, 0, 1) < often ? randomWait(random, scale) : 0;
  };
  for (int c = 0; c < chunks; ++c) {
    shape.forwardHop.push_back(wait(4 * pass));
    shape.backwardHop.push_back(wait(4 * pass));
    shape.forwardTurn.push_back(wait(6 * pass));
    shape.backwardTurn.push_back(wait(6 * pass));
  }
  shape.summit = wait(6 * pass);
  shape.farForwardHop = shape.forwardHop;
  shape.farBackwardHop = shape.backwardHop;
  if (randomInt(random, 0, 1)) {
    shape.firstFar = randomInt(random, 0, numDevices);
    for (int c = 0; c < chunks; ++c) {
      shape.farForwardHop[c] = wait(4 * pass);
      shape.farBackwardHop[c] = wait(4 * pass);
    }
  }
  shape.interval =
      randomInt(random, 0, 1)
          ? leastInterval
          : randomReal(random, workPerMicrobatch, 1.15 * leastInterval);
  int form = randomInt(random, 0, 7);
  if (form < 2 && chunks % 2 == 0) {
    setSteps(shape.forwardHop, shape.backwardHop, random);
    setSteps(shape.farForwardHop, shape.farBackwardHop, random);
  } else if (form < 4 && chunks % 2 == 0) {
    setDescents(shape, random);
  } else if (form < (chunks % 2 == 0 ? 6 : 4)) {
    shape.groupSize = randomInt(random, 1, 2 * numDevices);
    shape.spacing = workPerMicrobatch / chunks * randomReal(random, 0.3, 1);
    // The group has to be through a chunk before the next one begins.
    double through = std::max(
        0.0, shape.groupSize * workPerMicrobatch / chunks - numDevices * pass);
    for (int c = 0; c < chunks; ++c)
      if (randomInt(random, 0, 3)) {
        shape.forwardTurn[c] = shape.backwardTurn[c] = through;
        shape.forwardHop[c] = shape.backwardHop[c] = 0;
        shape.farForwardHop[c] = shape.farBackwardHop[c] = 0;
      }
  }
  shape.weightDelay = randomWeightDelay(random);
  shape.rules = randomRules(random);
  return shape;
}

BlockShape BlockShapes::perturbed(BlockShape shape, Random &random) const {
  for (int changes = randomInt(random, 1, 3); changes > 0; --changes) {
    int chunk = randomInt(random, 0, chunks - 1);
    bool isFar = randomInt(random, 0, 1);
    switch (randomInt(random, 0, 9)) {
    case 0:
      (isFar ? shape.farForwardHop : shape.forwardHop)[chunk] =
          randomWait(random, 4 * pass);
      break;
    case 1:
      (isFar ? shape.farBackwardHop : shape.backwardHop)[chunk] =
          randomWait(random, 4 * pass);
      break;
    case 2:
      shape.forwardTurn[chunk] = randomWait(random, 6 * pass);
      break;
    case 3:
      shape.backwardTurn[chunk] = randomWait(random, 6 * pass);
      break;
    case 4:
      shape.summit = randomWait(random, 6 * pass);
      break;
    case 5:
      shape.interval =
          randomReal(random, 0.98 * workPerMicrobatch, 1.15 * leastInterval);
      break;
    case 6:
      shape.weightDelay = randomWeightDelay(random);
      break;
    case 7:
      shape.rules = randomRules(random);
      break;
    case 8:
      shape.firstFar = randomInt(random, 0, numDevices);
      break;
    case 9: {
      bool isForward = randomInt(random, 0, 1);
      std::vector<double> &hops =
          isForward ? isFar ? shape.farForwardHop : shape.forwardHop
          : isFar   ? shape.farBackwardHop
                    : shape.backwardHop;
      double change = randomReal(random, -pass, pass);
      for (double &hop : hops)
        hop = std::max(0.0, hop + change);
      break;
    }
    }
  }
  return shape;
}

void BlockShapes::keys(const BlockShape &shape,
                       std::vector<double> &keys) const {
  int numStages = static_cast<int>(forward.size());
  // Within a run of stages on one device nothing waits.
  auto isRun = [&](int s) {
    return graph.chains[forward[s]].device ==
               graph.chains[forward[s - 1]].device &&
           chunkOf[s] == chunkOf[s - 1];
  };
  auto hop = [&](const std::vector<double> &near,
                 const std::vector<double> &far, int s) {
    bool isFar = graph.chains[forward[s]].device >= shape.firstFar;
    return (isFar ? far : near)[chunkOf[s]];
  };
  std::vector<double> forwardStart(numStages, 0), backwardStart(numStages, 0);
  for (int s = 1; s < numStages; ++s) {
    int chunk = chunkOf[s], before = chunkOf[s - 1];
    forwardStart[s] =
        forwardStart[s - 1] + graph.chains[forward[s - 1]].duration +
        forwardLag[s - 1] +
        (isRun(s)          ? 0
         : chunk == before ? hop(shape.forwardHop, shape.farForwardHop, s)
                           : shape.forwardTurn[before]);
  }
  double time = forwardStart.back() + graph.chains[forward.back()].duration +
                shape.summit;
  for (int s = numStages - 1; s >= 0; --s) {
    if (s + 1 < numStages) {
      int chunk = chunkOf[s], before = chunkOf[s + 1];
      time += backwardLag[s] + (isRun(s + 1)      ? 0
                                : chunk == before ? hop(shape.backwardHop,
                                                        shape.farBackwardHop, s)
                                                  : shape.backwardTurn[chunk]);
    }
    backwardStart[s] = time;
    if (backward[s] >= 0)
      time += graph.chains[backward[s]].duration;
  }
  for (int m = 0; m < graph.numMicrobatches; ++m) {
    int group = m / shape.groupSize;
    double begin = group * shape.groupSize * shape.interval +
                   (m - group * shape.groupSize) * shape.spacing;
    for (int s = 0; s < numStages; ++s) {
      keys[graph.at(forward[s], m)] = begin + forwardStart[s];
      double start = begin + backwardStart[s];
      if (recompute[s] >= 0)
        keys[graph.at(recompute[s], m)] =
            start - graph.chains[recompute[s]].duration;
      if (backward[s] >= 0)
        keys[graph.at(backward[s], m)] = start;
      if (weight[s] >= 0)
        keys[graph.at(weight[s], m)] =
            start + graph.chains[backward[s]].duration + shape.weightDelay;
    }
  }
}

} // namespace weir::schedule
