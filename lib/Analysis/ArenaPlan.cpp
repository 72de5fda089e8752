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

/// Finds the buffers that live at the same time as another without a look at
/// all. Each bucket of places has those that begin in it, and those that live
/// on in it:
///
///   place     0 ... 63 | 64 ... 127 | 128 ... 191
///   begin     a b      | c          |
///   live on            | b          | b c
class PlacedByTime {
public:
  explicit PlacedByTime(ArrayRef<LiveBuffer> buffers) : buffers(buffers) {
    int64_t last = 0;
    for (const LiveBuffer &buffer : buffers)
      last = std::max(last, buffer.end);
    beginning.resize(bucketOf(last) + 1);
    livingOn.resize(bucketOf(last) + 1);
  }

  void insert(size_t index) {
    size_t first = bucketOf(buffers[index].begin);
    beginning[first].push_back(index);
    for (size_t i = first + 1; i <= bucketOf(buffers[index].end); ++i)
      livingOn[i].push_back(index);
  }

  /// Calls `visit` once with every buffer that meets the given one.
  template <typename Visitor>
  void forEachMeeting(size_t index, Visitor visit) const {
    const LiveBuffer &buffer = buffers[index];
    auto visitMeeting = [&](ArrayRef<size_t> bucket) {
      for (size_t other : bucket)
        if (buffers[other].begin <= buffer.end &&
            buffer.begin <= buffers[other].end)
          visit(other);
    };
    size_t first = bucketOf(buffer.begin);
    visitMeeting(livingOn[first]);
    for (size_t i = first; i <= bucketOf(buffer.end); ++i)
      visitMeeting(beginning[i]);
  }

private:
  static size_t bucketOf(int64_t place) { return place / 64; }

  ArrayRef<LiveBuffer> buffers;
  std::vector<SmallVector<size_t>> beginning, livingOn;
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

/// How many pairs of buffers live at the same time. Buffers come in the order
/// in which they begin, so a later one meets an earlier one if it begins before
/// the earlier one ends.
static int64_t countMeetings(ArrayRef<LiveBuffer> buffers) {
  int64_t meetings = 0;
  for (auto [index, buffer] : llvm::enumerate(buffers)) {
    auto begun = llvm::upper_bound(
        buffers, buffer.end,
        [](int64_t end, const LiveBuffer &other) { return end < other.begin; });
    meetings += begun - buffers.begin() - int64_t(index) - 1;
  }
  return meetings;
}

/// Places the largest buffers first, each at the lowest offset that is free
/// while it lives. Often tighter, but every meeting costs time.
static Plan planBySize(ArrayRef<LiveBuffer> buffers) {
  Plan plan;
  plan.offsets.resize(buffers.size());
  SmallVector<size_t> bySize = llvm::to_vector(llvm::seq(buffers.size()));
  llvm::stable_sort(bySize, [&](size_t a, size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });
  PlacedByTime placed(buffers);
  SmallVector<std::pair<int64_t, int64_t>> taken; // [begin, end) in bytes
  for (size_t index : bySize) {
    taken.clear();
    placed.forEachMeeting(index, [&](size_t other) {
      taken.push_back(
          {plan.offsets[other],
           plan.offsets[other] + alignBuffer(buffers[other].bytes)});
    });
    llvm::sort(taken);
    int64_t bytes = alignBuffer(buffers[index].bytes), offset = 0;
    for (auto [begin, end] : taken) {
      if (begin - offset >= bytes)
        break;
      offset = std::max(offset, end);
    }
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    placed.insert(index);
  }
  return plan;
}

ArenaPlan weir::planArena(ProgramOp program) {
  // A quarter of a second; with more, planning would dominate the compiler.
  constexpr int64_t manyMeetings = int64_t(1) << 24;
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
  if (countMeetings(buffers) <= manyMeetings) {
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
