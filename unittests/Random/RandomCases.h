//===- RandomCases.h - cuts and schedules made at random --------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RANDOM_RANDOMCASES_H
#define WEIR_UNITTESTS_RANDOM_RANDOMCASES_H

#include "weir/Driver/Compiler.h"

#include "llvm/ADT/ArrayRef.h"

#include <random>

namespace weir::test {

/// One way to run a cut of a model.
struct Case {
  size_t cut;
  /// Schedule, microbatches and what steers the search; the rest is the cut's.
  CompilerOptions options;
  /// The memory limit as a part of what the case needs without one, in percent;
  /// 0: none.
  int64_t limitPercent;
};

/// All on one device in one stage: what others are compared with.
CompilerOptions makeReferenceCut(std::mt19937_64 &random);

/// A cut of a model whose forward ops have the numbers `ops`: devices, stages,
/// placement, and sometimes the positions. Optimizer as in `reference`.
CompilerOptions makeCut(std::mt19937_64 &random, llvm::ArrayRef<int64_t> ops,
                        const CompilerOptions &reference);

/// A building block for stage s on device placement[s], as the text of a file
/// for
/// `--schedule=block:FILE`: forward and backward_input passes of a microbatch
/// in a row, at the shortest interval, or a longer one, at which no two meet.
std::string makeBlock(std::mt19937_64 &random, llvm::ArrayRef<int> placement);

/// A case of cut number `index`, by any schedule that takes its placement, or
/// by `blockSchedule`; some have a memory limit.
Case makeCase(std::mt19937_64 &random, size_t index, const CompilerOptions &cut,
              llvm::StringRef blockSchedule);

/// A named schedule for the stages and devices of `cut`, and whether they are
/// what it is made for; it may take others as well.
struct Mismatch {
  CompilerOptions options;
  bool isMadeFor;
};
Mismatch makeMismatch(std::mt19937_64 &random, const CompilerOptions &cut,
                      llvm::ArrayRef<int> placement);

/// A way from the uncut model to a plan, with whatever the compiler chooses.
CompilerOptions makeWholeWay(std::mt19937_64 &random,
                             const CompilerOptions &reference);

/// The options of weirc that decide how the model is cut and updated.
std::string toCutOptions(const CompilerOptions &options);

/// The options of weir-run for a model that was cut: schedule, microbatches,
/// limit.
std::string toScheduleOptions(const CompilerOptions &options);

} // namespace weir::test

#endif // WEIR_UNITTESTS_RANDOM_RANDOMCASES_H
