//===- Models.h - the models that can be generated ---------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TOOLS_WEIRMODEL_MODELS_H
#define WEIR_TOOLS_WEIRMODEL_MODELS_H

#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <string>

namespace weir::model {

/// The sizes of a model; `batch` is the number of sequences in a microbatch.
struct Sizes {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t context = 0;
  int64_t vocab = 0;
  int64_t batch = 0;
  /// The head uses the token embedding as its weight.
  bool tied = false;
  std::string element = "f32";
};

/// Writes a transformer in the manner of GPT-2: normalisation before attention
/// and before the MLP, learned positions, GELU by tanh, and the cross-entropy
/// of every label that is not negative.
void writeGpt(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes a perceptron that reads a row of tokens, embedded and put end to end,
/// and predicts the row's last label.
void writeMlp(llvm::raw_ostream &os, const Sizes &sizes);

} // namespace weir::model

#endif // WEIR_TOOLS_WEIRMODEL_MODELS_H
