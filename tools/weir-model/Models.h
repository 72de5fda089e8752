//===- Models.h - the models that can be generated --------------*- C++ -*-===//
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

/// The sizes of a model; 0 is what it does not have. `batch` is the number of
/// sequences or images in a microbatch.
struct Sizes {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t batch = 0;
  std::string element = "f32";

  /// Attention: heads of queries, and of keys and values.
  int64_t heads = 0;
  int64_t kvHeads = 0;
  /// The width of the MLP in a layer; of the one across tokens.
  int64_t intermediate = 0;
  int64_t tokenIntermediate = 0;

  /// Text.
  int64_t context = 0;
  int64_t vocab = 0;
  int64_t ropeBase = 0;
  /// The head uses the token embedding as its weight.
  bool tied = false;

  /// Mixture of experts: how many, and how many of them count for a token.
  int64_t experts = 0;
  int64_t topK = 0;

  /// Images: height and width, channels, height and width of a patch.
  int64_t image = 0;
  int64_t channels = 0;
  int64_t patch = 0;
  int64_t classes = 0;
  /// Classify by the mean over the patches instead of a class token.
  bool meanPooling = false;
};

/// What the text of a model of tokens begins with: its kind and sizes, `more`
/// of them on a line of their own, and what the loss is.
std::string describeTokenModel(llvm::StringRef kind, const Sizes &sizes,
                               const std::string &more);

/// Writes a transformer in the manner of GPT-2: normalisation before attention
/// and before the MLP, learned positions, GELU by tanh, and the cross-entropy
/// of every label that is not negative.
void writeGpt(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes a perceptron that reads a row of tokens, embedded and put end to end,
/// and predicts the row's last label.
void writeMlp(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes "LLaMA: Open and Efficient Foundation Language Models", arXiv
/// 2302.13971, with keys and values shared by groups of heads as in "GQA",
/// arXiv 2305.13245, where kvHeads < heads.
void writeLlama(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes LLaMA with a mixture of experts in place of each MLP ("Adaptive
/// Mixtures of Local Experts", Neural Computation 3, 1991). Every expert is
/// computed for every token, so that shapes are static, and weighted by a
/// softmax, of which the topK largest weights are kept ("Switch Transformers",
/// arXiv 2101.03961, where topK is 1).
void writeMoe(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes "An Image is Worth 16x16 Words: Transformers for Image Recognition at
/// Scale", arXiv 2010.11929.
void writeVit(llvm::raw_ostream &os, const Sizes &sizes);

/// Writes "MLP-Mixer: An all-MLP Architecture for Vision", arXiv 2105.01601.
void writeMixer(llvm::raw_ostream &os, const Sizes &sizes);

} // namespace weir::model

#endif // WEIR_TOOLS_WEIRMODEL_MODELS_H
