//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bytes of which a run of operations needs one copy, however often it uses
// them.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_RANGEBYTES_H
#define WEIR_ANALYSIS_RANGEBYTES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace weir {

/// Things that are used at some of the positions 0 to n - 1: values, variables.
/// A range of positions needs a thing if it uses it, once however often.
///
///   positions     0  1  2  3  4  5
///   a thing          x     x  x       links 1 -> 3 -> 4
///
/// A range [2, 4) needs it, as the use at 3 is the first: the link to it comes
/// from before the range. So the bytes of a range are those of the links that
/// end in it, less those of the links inside it.
class RangeBytes {
public:
  explicit RangeBytes(int64_t size) : ending(size), leaving(size) {}

  int64_t size() const { return ending.size(); }

  /// Adds a thing of `bytes` that is used at `positions`, which ascend. One
  /// that is made at a position is there already for a range that makes it.
  void add(llvm::ArrayRef<int64_t> positions, int64_t bytes,
           std::optional<int64_t> madeAt = std::nullopt);

  /// The bytes of a range whose end stays and whose begin goes down, one
  /// position at a time, from the empty range.
  class Walk {
  public:
    Walk(const RangeBytes &bytes, int64_t end)
        : bytes(bytes), begin(end), end(end) {}
    /// Puts the position before the range into it; returns the bytes then.
    int64_t extend();

  private:
    const RangeBytes &bytes;
    int64_t begin, end, sum = 0;
  };

  /// The bytes of [begin, end). Takes as long as the range.
  int64_t get(int64_t begin, int64_t end) const;

  /// Bytes of the links from before a position to it or beyond, for the
  /// positions 0 to n: what a range that begins there needs of things made
  /// before.
  llvm::SmallVector<int64_t> getCrossing() const;

private:
  /// Bytes of the links that end at a position, and the links (end, bytes) that
  /// leave it.
  llvm::SmallVector<int64_t> ending;
  llvm::SmallVector<llvm::SmallVector<std::pair<int64_t, int64_t>, 1>> leaving;
};

} // namespace weir

#endif // WEIR_ANALYSIS_RANGEBYTES_H
