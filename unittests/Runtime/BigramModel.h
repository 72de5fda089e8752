//===- BigramModel.h - a model small enough to compile by hand --*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Stage 0 looks tokens up in "embedding"; stage 1 multiplies by "head" and has
// the loss, softmax and cross-entropy. Even microbatches are use 0 of the head,
// odd ones use 1, so that a sum over uses takes place. Plain gradient descent.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RUNTIME_BIGRAMMODEL_H
#define WEIR_UNITTESTS_RUNTIME_BIGRAMMODEL_H

#include "TableBuilder.h"

#include <cstdint>
#include <functional>
#include <string>

namespace weir::runtime::testing {

struct Bigram {
  static constexpr int64_t rows = 2, context = 8, width = 16, vocab = 32;
  static constexpr int64_t positions = rows * context;
  static constexpr int64_t microbatches = 4;
  static constexpr int64_t inputBytes = positions * 4;
  static constexpr int64_t xBytes = positions * width * 4;
  static constexpr int64_t logitsBytes = positions * vocab * 4;

  /// Both stages on one device, one microbatch after the other.
  static TableBuilder onOneDevice();

  /// Stage s on device s, two microbatches in flight, buffers reused.
  static TableBuilder onTwoDevices();

  /// As onOneDevice(), but the activations that the weight gradient reads are
  /// released before it.
  static TableBuilder withWrongLiveRange();

  /// Runs at the start of every forward pass of stage 0 or 1 on the thread of
  /// its rank, if set: a test can hang, fail or count there.
  static std::function<void(weir_context *)> beforeForward[2];

  /// Whether the calling thread is inside a matrix product.
  static thread_local bool isInsideProduct;

  /// The products, to be listed in a weir_module.
  static const weir_product *const products[3];
  static constexpr int64_t numProducts = 3;
};

/// A file of `length` bytes below Bigram::vocab, each the successor of the one
/// before in a fixed permutation: a text that the model can learn.
std::string writeText(const std::string &directory, int64_t length);

} // namespace weir::runtime::testing

#endif // WEIR_UNITTESTS_RUNTIME_BIGRAMMODEL_H
