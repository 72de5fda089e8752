//===- weir/Runtime/Job.h - what there is to train --------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_JOB_H
#define WEIR_RUNTIME_JOB_H

#include "weir/Program.h"
#include "weir/Runtime/Checkpoint.h"
#include "weir/Runtime/Data.h"
#include "weir/Runtime/Options.h"
#include "weir/Runtime/Status.h"
#include "weir/Runtime/Table.h"
#include "weir/Runtime/Trace.h"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace weir::runtime {

/// All bits set: a NaN in f32 and f64, and -1 in integers, which indexes
/// nothing.
inline constexpr int poisonByte = 0xFF;

/// What an executor works on. All of it outlives the threads of the ranks, even
/// those that hang.
struct Job {
  Table table;
  Data data;
  Options options;
  /// By kernel of the table.
  std::vector<weir_kernel> kernels;
  /// By variable of the table: initial values; empty to draw them.
  std::vector<const std::byte *> parameters;
  Safetensors parameterFile;    /* owns those bytes */
  std::unique_ptr<Trace> trace; /* may be null */

  /// Writes the values that variable `index` has before the first step; `out`
  /// has the bytes of the variable.
  void initialise(int64_t index, std::span<std::byte> out) const;
};

/// Bytes [begin, end) of an arena.
struct ByteRange {
  int64_t begin, end;
};

/// What no resident of a device covers, in order.
std::vector<ByteRange> rangesBetweenResidents(const Table &table,
                                              int64_t device);

/// Variable `index` of the table with its `data`, which is borrowed.
NamedTensor namedVariable(const Table &table, int64_t index, const void *data);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_JOB_H
