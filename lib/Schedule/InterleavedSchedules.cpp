// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "InterleavedSchedules.h"
#include "PlacedStages.h"

#include <algorithm>
#include <numeric>

namespace weir::schedule {

Schedule interleavedOneForwardOneBackward(const Problem &problem) {
  int p = problem.numDevices, m = problem.numMicrobatches;
  int chunks = problem.numStages() / p;
  int numRounds = std::max(1, m / p);
  // The chunk of each forward pass of a device; its backward passes go through
  // the chunks of a round the other way.
  std::vector<int> chunkOf;
  std::vector<int> backwardChunkOf;
  for (int round = 0; round < numRounds; ++round) {
    int size = m / numRounds + (round < m % numRounds);
    for (int chunk = 0; chunk < chunks; ++chunk)
      for (int i = 0; i < size; ++i) {
        chunkOf.push_back(chunk);
        backwardChunkOf.push_back(chunks - 1 - chunk);
      }
  }
  int firstRound = m / numRounds + (m % numRounds > 0);
  int total = static_cast<int>(chunkOf.size());

  Schedule schedule;
  schedule.order.resize(p);
  for (int i = 0; i < p; ++i) {
    DeviceOrder order(problem, schedule.order[problem.placement[i]]);
    // All chunks but the last one of the first round, and what runs while the
    // first microbatch is on its way to the last device and back.
    int warmUp = std::min(total, (chunks - 1) * firstRound + 2 * (p - 1 - i));
    for (int k = 0; k < warmUp; ++k)
      order.forward(chunkOf[k] * p + i);
    for (int k = 0; k < total; ++k) {
      if (warmUp + k < total)
        order.forward(chunkOf[warmUp + k] * p + i);
      order.backward(backwardChunkOf[k] * p + i);
    }
  }
  return schedule;
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
