// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "InterleavedSchedules.h"
#include "PlacedStages.h"

#include <algorithm>
#include <numeric>

namespace weir::schedule {

/// Interleaved 1F1B, where `device(i, order, forwards, backwards)` writes the
/// order of the device that is i-th in the pipeline. The other two are the
/// stages of its forward and backward passes in turn.
template <typename WriteDevice>
static Schedule runInRounds(const Problem &problem, WriteDevice device) {
  int p = problem.numDevices, m = problem.numMicrobatches;
  int chunks = problem.numStages() / p;
  int numRounds = std::max(1, m / p);
  Schedule schedule;
  schedule.order.resize(p);
  for (int i = 0; i < p; ++i) {
    std::vector<int> forwards, backwards;
    for (int round = 0; round < numRounds; ++round) {
      int size = m / numRounds + (round < m % numRounds);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        forwards.insert(forwards.end(), size, chunk * p + i);
        backwards.insert(backwards.end(), size, (chunks - 1 - chunk) * p + i);
      }
    }
    DeviceOrder order(problem, schedule.order[problem.placement[i]]);
    device(i, order, forwards, backwards);
  }
  return schedule;
}

/// How many forward passes come before the first backward pass: all chunks but
/// the last one of the first round, and `perDevice` for every device that comes
/// after this one.
static int warmUp(const Problem &problem, int i, int perDevice) {
  int p = problem.numDevices, m = problem.numMicrobatches;
  int chunks = problem.numStages() / p;
  int numRounds = std::max(1, m / p);
  int firstRound = m / numRounds + (m % numRounds > 0);
  return std::min(m * chunks,
                  (chunks - 1) * firstRound + perDevice * (p - 1 - i));
}

Schedule interleavedOneForwardOneBackward(const Problem &problem) {
  return runInRounds(problem, [&](int i, DeviceOrder &order,
                                  const std::vector<int> &forwards,
                                  const std::vector<int> &backwards) {
    // A microbatch passes the devices after this one twice before its backward
    // pass.
    size_t ahead = warmUp(problem, i, 2);
    for (size_t k = 0; k < ahead; ++k)
      order.forward(forwards[k]);
    for (size_t k = 0; k < backwards.size(); ++k) {
      if (ahead + k < forwards.size())
        order.forward(forwards[ahead + k]);
      order.backward(backwards[k]);
    }
  });
}

Schedule interleavedZeroBubble(const Problem &problem) {
  return runInRounds(problem, [&](int i, DeviceOrder &order,
                                  const std::vector<int> &forwards,
                                  const std::vector<int> &backwards) {
    size_t ahead = warmUp(problem, i, 1), putOff = i;
    for (size_t k = 0; k < ahead; ++k)
      order.forward(forwards[k]);
    for (size_t k = 0; k < backwards.size(); ++k) {
      if (ahead + k < forwards.size())
        order.forward(forwards[ahead + k]);
      order.backwardInput(backwards[k]);
      if (k >= putOff)
        order.backwardWeight(backwards[k - putOff]);
    }
    size_t left = std::min(putOff, backwards.size());
    for (size_t k = backwards.size() - left; k < backwards.size(); ++k)
      order.backwardWeight(backwards[k]);
  });
}

BuildingBlock groupedInterleavedBlock(const Problem &problem, int group) {
  int p = problem.numDevices;
  int chunks = problem.numStages() / p;
  int half = (p + 1) / 2;
  int groupsApart = (half + group - 1) / group;
  int distance = 3 * group * groupsApart;
  // Chunks must not meet: modulo the interval of 3 * group * chunks, they are
  // at multiples of groupsApart groups, which come round after
  // chunks / gcd steps; each further round is one group later.
  int steps = chunks / std::gcd(chunks, groupsApart);
  auto chunkStart = [&](int chunk) {
    return distance * chunk + 3 * group * (chunk / steps);
  };
  // A forward pass moves on every slot and a backward pass every second one,
  // or, on the first `slow` devices, the other way round, which is so chosen
  // that the last device is done with a microbatch when the first one begins
  // the next chunk, and the same on the way back. Either way F, B and W of a
  // device stay at x, x+1 and x+2 modulo 3.
  int slow = std::max(0, 2 * p - 1 - distance);
  auto forwardSlot = [&](int i) { return i + std::min(i, slow); };
  auto backwardSlot = [&](int i) { return 3 * (p - 1 - i) + forwardSlot(i); };

  BuildingBlock block;
  block.interval = 3.0 * group * chunks;
  block.group = group;
  block.stride = 3;
  block.stages.resize(problem.numStages());
  for (int chunk = 0; chunk < chunks; ++chunk)
    for (int i = 0; i < p; ++i) {
      BuildingBlock::Offsets &offsets = block.stages[chunk * p + i];
      offsets.forward = chunkStart(chunk) + forwardSlot(i);
      offsets.backwardInput = chunkStart(chunks - 1) +
                              chunkStart(chunks - 1 - chunk) + backwardSlot(i) +
                              1;
      offsets.backwardWeight = offsets.backwardInput + 1;
    }
  return block;
}

} // namespace weir::schedule
