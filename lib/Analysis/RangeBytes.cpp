//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/RangeBytes.h"

#include "llvm/ADT/STLExtras.h"

using namespace weir;

void RangeBytes::add(llvm::ArrayRef<int64_t> positions, int64_t bytes,
                     std::optional<int64_t> madeAt) {
  std::optional<int64_t> previous = madeAt;
  for (int64_t position : positions) {
    if (previous == position)
      continue;
    ending[position] += bytes;
    if (previous)
      leaving[*previous].emplace_back(position, bytes);
    previous = position;
  }
}

int64_t RangeBytes::Walk::extend() {
  sum += bytes.ending[--begin];
  for (auto [to, size] : bytes.leaving[begin])
    if (to < end)
      sum -= size;
  return sum;
}

int64_t RangeBytes::get(int64_t begin, int64_t end) const {
  Walk walk(*this, end);
  int64_t sum = 0;
  for (int64_t position = end; position > begin; --position)
    sum = walk.extend();
  return sum;
}

llvm::SmallVector<int64_t> RangeBytes::getCrossing() const {
  llvm::SmallVector<int64_t> crossing(size() + 1);
  for (auto [from, links] : llvm::enumerate(leaving))
    for (auto [to, bytes] : links) {
      crossing[from + 1] += bytes;
      crossing[to + 1] -= bytes;
    }
  for (int64_t i = 0; i < size(); ++i)
    crossing[i + 1] += crossing[i];
  return crossing;
}
