//===- PassTimes.h - how long passes take -----------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PASSTIMES_H
#define WEIR_RUNTIME_CUDA_PASSTIMES_H

#include "weir/Runtime/Table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace weir::runtime::cuda {

/// Number in the middle of a list, or the mean of the two there; 0 of none.
double median(std::vector<double> numbers);

/// The calls of a pass: all microbatches of a stage's, or an update's one.
struct PassCalls {
  std::string name; /* "F s3", "U wte" */
  int64_t pass;     /* enum weir_pass_kind */
  int64_t stage;    /* -1 of an update */
  int64_t callsPerStep = 0;
  double estimate; /* seconds of a call, as the schedule reckons; 0: unknown */
  /// Bytes of the buffers that a call works with, workspace and residents
  /// among them, as planned.
  int64_t bufferBytes;
  std::vector<double> seconds; /* of each call that counts */
};

/// How long the passes of a rank take on its device. What step 1 takes counts
/// only if there is no other: it loads code and sets up libraries.
class PassTimes {
public:
  PassTimes() = default; /* of no passes */
  PassTimes(const Table &table, int64_t device);

  /// `action` of the rank; what is no pass does not count.
  void add(int64_t step, int64_t action, double seconds);

  /// In the order of their first calls.
  const std::vector<PassCalls> &passes() const { return calls; }

private:
  std::vector<PassCalls> calls;
  std::vector<int64_t> callsOf; /* by action; -1 for what is no pass */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PASSTIMES_H
