//===- Training.h - run planned programs in this process --------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RANDOM_TRAINING_H
#define WEIR_UNITTESTS_RANDOM_TRAINING_H

#include "weir/Program.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace weir::test {

/// What is compared: all that a training leaves behind.
struct Trained {
  struct Tensor {
    std::string name;
    std::vector<std::byte> bytes;
    bool operator==(const Tensor &) const = default;
  };
  /// Parameters at the end, and gradients of step 1 with loss and count of its
  /// step, by name.
  std::vector<Tensor> tensors;
  /// Loss sum and count of every step.
  std::vector<double> losses;

  bool operator==(const Trained &) const = default;
};

struct TrainingOptions {
  int64_t steps = 2;
  double learningRate = 0.01;
  /// A text whose bytes are below the vocabulary.
  std::string data;
};

/// Trains by the program table `table`, as the training programs do, with one
/// thread per device and unused memory poisoned. Returns an empty string, or
/// what went wrong: an error of the runtime, or a result that is not finite.
std::string train(std::span<const char> table, std::vector<weir_kernel> kernels,
                  const TrainingOptions &options, Trained &result);

/// What differs first, or an empty string.
std::string compare(const Trained &is, const Trained &should);

} // namespace weir::test

#endif // WEIR_UNITTESTS_RANDOM_TRAINING_H
