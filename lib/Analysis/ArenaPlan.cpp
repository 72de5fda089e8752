//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/ArenaPlan.h"

#include "llvm/ADT/STLExtras.h"

#include <map>

using namespace mlir;
using namespace weir;

namespace {

/// A plan for buffers that do not live through the step: an offset for each,
/// and the bytes of all.
struct Plan {
  SmallVector<int64_t> offsets;
  int64_t bytes = 0;
};

/// Gives out the lowest gap that is large enough; joins gaps that touch.
class Gaps {
public:
  int64_t take(int64_t bytes) {
    for (auto it = gaps.begin(); it != gaps.end(); ++it) {
      auto [offset, size] = *it;
      if (size < bytes)
        continue;
      gaps.erase(it);
      if (size > bytes)
        gaps[offset + bytes] = size - bytes;
      return offset;
    }
    // Grow at the top, from a gap that ends there if there is one.
    int64_t offset = top;
    if (!gaps.empty() && gaps.rbegin()->first + gaps.rbegin()->second == top) {
      offset = gaps.rbegin()->first;
      gaps.erase(std::prev(gaps.end()));
    }
    top = offset + bytes;
    return offset;
  }

  void give(int64_t offset, int64_t bytes) {
    auto next = gaps.lower_bound(offset);
    if (next != gaps.end() && offset + bytes == next->first) {
      bytes += next->second;
      next = gaps.erase(next);
    }
    if (next != gaps.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == offset) {
        before->second += bytes;
        return;
      }
    }
    gaps[offset] = bytes;
  }

  int64_t getTop() const { return top; }

private:
  std::map<int64_t, int64_t> gaps; // offset -> bytes
  int64_t top = 0;
};

} // namespace

/// Places buffers in the order in which they begin.
static Plan planInOrder(ArrayRef<LiveBuffer> buffers) {
  Plan plan;
  plan.offsets.resize(buffers.size());
  Gaps gaps;
  std::multimap<int64_t, size_t> ends;
  for (auto [index, buffer] : llvm::enumerate(buffers)) {
    while (!ends.empty() && ends.begin()->first < buffer.begin) {
      size_t done = ends.begin()->second;
      gaps.give(plan.offsets[done], alignBuffer(buffers[done].bytes));
      ends.erase(ends.begin());
    }
    plan.offsets[index] = gaps.take(alignBuffer(buffer.bytes));
    ends.insert({buffer.end, index});
  }
  plan.bytes = gaps.getTop();
  return plan;
}

/// Places the largest buffers first, each at the lowest offset that is free
/// while it lives. Quadratic, but often tighter.
static Plan planBySize(ArrayRef<LiveBuffer> buffers) {
  Plan plan;
  plan.offsets.resize(buffers.size());
  SmallVector<size_t> bySize = llvm::to_vector(llvm::seq(buffers.size()));
  llvm::stable_sort(bySize, [&](size_t a, size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });
  SmallVector<size_t> placed; // ascending by offset
  for (size_t index : bySize) {
    const LiveBuffer &buffer = buffers[index];
    int64_t bytes = alignBuffer(buffer.bytes), offset = 0;
    for (size_t other : placed) {
      if (buffers[other].end < buffer.begin ||
          buffer.end < buffers[other].begin)
        continue;
      if (plan.offsets[other] - offset >= bytes)
        break;
      offset = std::max(offset, plan.offsets[other] +
                                    alignBuffer(buffers[other].bytes));
    }
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    placed.insert(llvm::upper_bound(placed, index,
                                    [&](size_t a, size_t b) {
                                      return plan.offsets[a] < plan.offsets[b];
                                    }),
                  index);
  }
  return plan;
}

ArenaPlan weir::planArena(ProgramOp program) {
  // Above this many buffers the quadratic planner would dominate the compiler.
  constexpr size_t manyBuffers = 4096;
  SmallVector<LiveBuffer> buffers;
  ArenaPlan arena;
  for (const LiveBuffer &buffer : getLiveBuffers(program)) {
    if (!buffer.isResident()) {
      buffers.push_back(buffer);
      continue;
    }
    arena.buffers.push_back(buffer);
    arena.offsets.push_back(arena.bytes);
    arena.bytes += alignBuffer(buffer.bytes);
  }
  Plan plan = planInOrder(buffers);
  if (buffers.size() <= manyBuffers) {
    Plan other = planBySize(buffers);
    if (other.bytes < plan.bytes)
      plan = std::move(other);
  }
  llvm::append_range(arena.buffers, buffers);
  for (int64_t offset : plan.offsets)
    arena.offsets.push_back(arena.bytes + offset);
  arena.bytes += plan.bytes;
  return arena;
}
