// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "VSchedules.h"
#include "PlacedStages.h"

#include <algorithm>
#include <array>
#include <deque>

namespace weir::schedule {

namespace {

/// Slots of F0, F1, B1, B0 on device i, which holds stages i and 2p-1-i.
struct VOffsets {
  int forward0, forward1, backward1, backward0;
};

} // namespace

/// P. Qi, X. Wan, N. Amar, M. Lin, "Pipeline Parallelism with Controllable
/// Memory", 2024, for v-min and v-half. v-zb is their idea of a block without
/// bubbles with offsets of our own, free of collisions at any p: modulo 6, F0
/// and B1 of a device are an even number of slots apart from each other, F1 and
/// B0 from each other, and the two pairs an odd one.
static std::optional<VOffsets> splitOffsets(std::string_view name, int p,
                                            int i) {
  if (name == "v-min") {
    int t = p % 3 == 0 ? 2 : 0;
    return VOffsets{i, 2 * p - 1 - i, 2 * p + t + i, 4 * p + t - 1 - i};
  }
  if (name == "v-half") {
    int t = p % 2 == 0 ? 3 : 0;
    return VOffsets{2 * i, 3 * p - 2 - i, 3 * p - 1 + t + 2 * i,
                    6 * p - 2 + t - i};
  }
  if (name == "v-zb")
    return VOffsets{4 * i, 6 * p - 5 - 2 * i, 6 * p - 4 + 4 * i,
                    12 * p - 9 - 2 * i};
  return std::nullopt;
}

/// Forward passes of one slot and fused backward passes of two go forth, back,
/// forth and back without a pause, but for 3 slots where a backward pass would
/// meet another pass of its device.
static std::vector<VOffsets> fusedOffsets(int p) {
  std::vector<VOffsets> offsets(p);
  // A pass of two slots from `start` on, and slots that are taken, modulo 6.
  auto meets = [](int start, std::initializer_list<int> taken) {
    return std::any_of(taken.begin(), taken.end(), [&](int slot) {
      int distance = ((slot - start) % 6 + 6) % 6;
      return distance < 2;
    });
  };
  int time = 2 * p;
  for (int i = 0; i < p; ++i) {
    auto &[f0, f1, b1, b0] = offsets[i];
    f0 = i;
    f1 = 2 * p - 1 - i;
    while (meets(time, {f0, f1}))
      time += 3;
    b1 = time;
    time += 2;
  }
  for (int i = p - 1; i >= 0; --i) {
    auto &[f0, f1, b1, b0] = offsets[i];
    while (meets(time, {f0, f1, b1, b1 + 1}))
      time += 3;
    b0 = time;
    time += 2;
  }
  return offsets;
}

std::optional<BuildingBlock> vBlock(std::string_view name,
                                    const Problem &problem) {
  int p = problem.numDevices;
  BuildingBlock block;
  block.interval = 6;
  block.stages.resize(2 * p);
  block.fused = name == "1f1b-v";
  std::vector<VOffsets> fused;
  if (block.fused)
    fused = fusedOffsets(p);
  for (int i = 0; i < p; ++i) {
    std::optional<VOffsets> offsets =
        block.fused ? fused[i] : splitOffsets(name, p, i);
    if (!offsets)
      return std::nullopt;
    block.stages[i].forward = offsets->forward0;
    block.stages[2 * p - 1 - i].forward = offsets->forward1;
    block.stages[2 * p - 1 - i].backwardInput = offsets->backward1;
    block.stages[i].backwardInput = offsets->backward0;
  }
  return block;
}

Schedule zeroBubbleV(const Problem &problem) {
  int p = problem.numDevices;
  // Fewer microbatches do not fill the pipeline; they run as the first ones of
  // so many.
  int m = std::max(problem.numMicrobatches, 2 * p - 1);
  Schedule schedule;
  schedule.order.resize(p);
  for (int i = 0; i < p; ++i) {
    DeviceOrder order(problem, schedule.order[problem.placement[i]]);
    int outer = i, inner = 2 * p - 1 - i;
    auto split = [&](int stage) {
      order.backwardInput(stage);
      order.backwardWeight(stage);
    };
    // Until the first microbatch is back, and until its gradient begins.
    int fill = 2 * (p - i) - 1;
    for (int k = 0; k < fill; ++k)
      order.forward(outer);
    for (int k = 0; k < i; ++k) {
      order.forward(inner);
      order.forward(outer);
    }
    for (int k = 0; k < p - i; ++k) {
      order.forward(inner);
      split(inner);
    }
    // One of each, as long as there are microbatches.
    int forwardsLeft = m - fill - i, innerLeft = m - p;
    while (innerLeft > 0) {
      if (forwardsLeft-- > 0)
        order.forward(outer);
      split(outer);
      order.forward(inner);
      split(inner);
      --innerLeft;
    }
    // Gradients of inputs first, as others wait for them.
    for (int k = 0; k < i; ++k) {
      order.backwardInput(outer);
      order.backwardInput(inner);
    }
    for (int k = 0; k < p - i; ++k)
      split(outer);
    while (order.pendingWeights(inner) > 0)
      order.backwardWeight(inner);
    while (order.pendingWeights(outer) > 0)
      order.backwardWeight(outer);
  }
  return schedule;
}

Schedule dualPipeV(const Problem &problem) {
  int p = problem.numDevices;
  int m = std::max(problem.numMicrobatches, 2 * p);
  Schedule schedule;
  schedule.order.resize(p);
  for (int i = 0; i < p; ++i) {
    DeviceOrder order(problem, schedule.order[problem.placement[i]]);
    int outer = i, inner = 2 * p - 1 - i;
    std::deque<int> weights; // stages whose W was put off
    auto splitInput = [&](int stage) {
      order.backwardInput(stage);
      weights.push_back(stage);
    };
    auto weight = [&] {
      if (weights.empty())
        return;
      order.backwardWeight(weights.front());
      weights.pop_front();
    };
    int before = p - 1 - i; // devices between this one and the turn

    for (int k = 0; k < 2 * before; ++k)
      order.forward(outer);
    for (int k = 0; k <= i; ++k) {
      order.forward(outer);
      order.forward(inner);
    }
    for (int k = 0; k < before; ++k) {
      splitInput(inner);
      weight();
      order.forward(inner);
    }
    // Forward passes of one chunk beside backward passes of the other.
    for (int k = 0; k < m - p - before; ++k) {
      order.forward(outer);
      order.backward(inner);
      order.forward(inner);
      order.backward(outer);
    }
    for (int k = 0; k < before; ++k) {
      order.backward(inner);
      order.forward(inner);
      order.backward(outer);
    }
    // The second half of the last gradients is split, so that W's fill the
    // time until the pipeline has run empty.
    for (int k = 0; k < 2 * (i + 1); ++k) {
      int stage = k % 2 == 0 ? inner : outer;
      if (k < i + 1)
        order.backward(stage);
      else
        splitInput(stage);
    }
    for (int k = 0; k < before; ++k) {
      weight();
      splitInput(outer);
    }
    while (!weights.empty())
      weight();
  }
  return schedule;
}

} // namespace weir::schedule
