//===- Layers.h - what the models are built of ------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The backward keeps what its rules read of the forward, so layers are cut into
// ops such that little is read:
//
// - layernorm is one op over the row's mean and 1/deviation, so x is kept and
//   not the normalised x;
// - attention divides by the sum of the exponentials after the product with the
//   values, so the exponentials are kept and not the probabilities, and the
//   division is over T*D elements of a head and not over T*T;
// - the largest element, which softmax only subtracts for the range of exp,
//   gets no gradient: its gradient is zero whatever it is.
//
// `dims` names the dimensions of rows, one letter each: "bt" for a row per
// sequence and position, "b" for one per sequence. Features are 'e'.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TOOLS_WEIRMODEL_LAYERS_H
#define WEIR_TOOLS_WEIRMODEL_LAYERS_H

#include "ModelText.h"

namespace weir::model {

inline Init normal(double deviation) { return {Init::Normal, deviation}; }
inline constexpr Init zeros{Init::Constant, 0.0};
inline constexpr Init ones{Init::Constant, 1.0};

/// The attribute of an op through which no gradient flows.
inline constexpr llvm::StringLiteral stopGradient = "weir.stop_gradient";

/// A number as text that parses as a float and loses nothing.
std::string number(double value);

/// How a weight lies in memory: GPT-2 and its kin have inputs x outputs,
/// torch.nn.Linear outputs x inputs.
enum class Layout { InputsFirst, OutputsFirst };

Value add(ModelText &m, llvm::StringRef name, llvm::StringRef pattern, Value a,
          Value b);

/// The product of rows and the variable `weight`, from letter `in` to `out`.
Value project(ModelText &m, llvm::StringRef name, llvm::StringRef weight,
              std::string dims, char in, char out, Value x, Layout layout);

/// The same with `variable`.weight, and `variable`.bias added.
Value linear(ModelText &m, llvm::StringRef name, llvm::StringRef variable,
             std::string dims, char in, char out, Value x,
             Layout layout = Layout::InputsFirst);

/// Declares what `linear` reads.
void declareLinear(ModelText &m, const std::string &variable, int64_t inputs,
                   int64_t outputs, Init init,
                   Layout layout = Layout::InputsFirst);

/// GELU by its approximation with tanh, as in GPT-2. `dims` with features.
Value geluTanh(ModelText &m, llvm::StringRef name, std::string dims, Value x);

/// GELU by the error function: "Gaussian Error Linear Units", arXiv 1606.08415.
Value geluErf(ModelText &m, llvm::StringRef name, std::string dims, Value x);

/// "Layer Normalization", arXiv 1607.06450, over the last dimension.
Value layernorm(ModelText &m, llvm::StringRef name, llvm::StringRef scale,
                llvm::StringRef shift, std::string dims,
                llvm::StringRef epsilon, Value x);

/// "Root Mean Square Layer Normalization", arXiv 1910.07467, over the last
/// dimension.
Value rmsnorm(ModelText &m, llvm::StringRef name, llvm::StringRef scale,
              std::string dims, llvm::StringRef epsilon, Value x);

/// e^(x - largest of its row) over the last dimension, and the sums of the
/// rows.
struct Softmax {
  Value largest, exps, total;
};
Softmax softmax(ModelText &m, std::string dims, Value x);

/// Softmax attention of queries (b, i, heads, d) on keys and values (b, j,
/// keyHeads, d), where `keyHeads` ("h", "g") are letters of `heads` ("h",
/// "gr"): queries with the same key head share it. Returns rows (b, i,
/// features).
Value attend(ModelText &m, llvm::StringRef heads, llvm::StringRef keyHeads,
             bool causal, Value q, Value k, Value v);

/// The variables of the linear layers of an attention, without ".weight".
struct AttentionVariables {
  std::string q, k, v, out;
};

/// Attention of the rows of `x` on one another, with as many key heads as
/// heads. `dims` without features.
Value selfAttention(ModelText &m, const AttentionVariables &variables,
                    std::string dims, int64_t heads, bool causal, Value x,
                    Layout layout = Layout::InputsFirst);

/// Rows of the variable `table`, by token: B x T to B x T x E.
Value embed(ModelText &m, llvm::StringRef table, Value tokens);

/// The mean of `x` over the dimensions that `rows` does not have, `count`
/// elements each; `sum` and `name` are the names of the two values.
Value mean(ModelText &m, llvm::StringRef sum, llvm::StringRef name,
           const std::string &dims, const std::string &rows, int64_t count,
           Value x);

/// Ends the model with the sum of the cross-entropies of the rows and how many
/// count: those whose label is not negative.
void finishWithCrossEntropy(ModelText &m, llvm::raw_ostream &os,
                            const std::string &headline, std::string dims,
                            Value logits, Value labels);

} // namespace weir::model

#endif // WEIR_TOOLS_WEIRMODEL_LAYERS_H
