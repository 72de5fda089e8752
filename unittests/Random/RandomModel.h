//===- RandomModel.h - models made at random --------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RANDOM_RANDOMMODEL_H
#define WEIR_UNITTESTS_RANDOM_RANDOMMODEL_H

#include <cstdint>
#include <set>
#include <string>

namespace weir::test {

struct RandomModel {
  std::string text;
  /// What kinds of ops it has, such as "softmax": for the statistics.
  std::set<std::string> kinds;
  /// Tokens of the data must be below this; 0 where it takes no data.
  int64_t vocab = 0;
};

/// A model that follows from `seed` alone. Graphs have skip edges, variables
/// with several uses, sizes that divide nothing, and a head that may outweigh
/// the rest; some are chains, some wide, some have values without a use. All
/// activations are bounded, so that parameters stay finite and a NaN can only
/// be poison that was read.
RandomModel makeRandomModel(uint64_t seed);

} // namespace weir::test

#endif // WEIR_UNITTESTS_RANDOM_RANDOMMODEL_H
