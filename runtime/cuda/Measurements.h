//===- Measurements.h - what a rank measured --------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_MEASUREMENTS_H
#define WEIR_RUNTIME_CUDA_MEASUREMENTS_H

#include "LaunchTimes.h"
#include "PassTimes.h"
#include "weir/Runtime/Table.h"

#include <cstdint>
#include <string>

namespace weir::runtime::cuda {

/// A rank beside what the compiler planned for it.
struct RankMeasurement {
  int64_t rank;
  /// Whether it ran without the others: then no loss counts.
  bool isPlayed;
  const PassTimes *times;
  /// The end of the highest byte of the arena that anything lives in or that
  /// was written; -1 if it is not known.
  int64_t highestTouched;
  const LaunchTimes *launches; /* null: not timed */
};

/// For people: a line per pass; updates of all parameters on one line; the
/// kernels that take longest.
void printMeasurement(const Table &table, const RankMeasurement &measurement);

/// {"rank": ..., "passes": [...], "memory": {...}, "launches": [...], ...}
std::string measurementJson(const Table &table,
                            const RankMeasurement &measurement);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_MEASUREMENTS_H
