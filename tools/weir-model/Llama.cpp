//===- Llama.cpp - LLaMA, and LLaMA with a mixture of experts -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Variables have the names, shapes and meaning that they have in the library
// Transformers (LlamaForCausalLM, and MixtralForCausalLM with the experts put
// into one matrix as in MegaBlocks), where all start from a normal distribution
// of deviation 0.02. So a checkpoint from there can be loaded.
//
//===----------------------------------------------------------------------===//

#include "Layers.h"
#include "Models.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace weir::model;

static constexpr StringLiteral epsilon = "1.0e-6";

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {
/// The rotation of positions, T x D/2 each.
struct Rotation {
  Value cos, sin;
};
} // namespace

/// "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv
/// 2104.09864: pair i of a head's D features turns by base^(-2i/D) from one
/// position to the next. Angles are in f64, because a sine of a large angle is
/// as wrong as the angle. Every layer computes them anew: next to its products
/// that is nothing, while one table for all would be sent from stage to stage.
static Rotation rotation(ModelText &m, const Sizes &s) {
  int64_t pairs = s.hidden / s.heads / 2;
  SmallVector<double> steps;
  for (int64_t i = 0; i < pairs; ++i)
    steps.push_back(std::pow(static_cast<double>(s.ropeBase),
                             -static_cast<double>(i) / double(pairs)));
  Value frequencies = m.numbers("frequencies", steps);
  auto table = [&](StringRef function) {
    std::string code = R"(
      %t = linalg.index 0 : index
      %t32 = arith.index_cast %t : index to i32
      %position = arith.sitofp %t32 : i32 to f64
      %angle = arith.mulf %position, %frequency : f64
      %y = math.)" + function.str() +
                       " %angle : f64\n";
    code += s.element == "f64" ? "linalg.yield %y : f64"
                               : "%rounded = arith.truncf %y : f64 to $f\n"
                                 "linalg.yield %rounded : $f";
    return m.elementwise(function, "i->ti", {frequencies}, {"frequency"}, code,
                         {{'t', s.context}});
  };
  return {table("cos"), table("sin")};
}

/// Turns each head of `x` (B x T x heads*D). The pairs are features i and
/// i + D/2, so a head is seen as 2 x D/2, and `p` and `q` are the two of a
/// pair.
static Value rotate(ModelText &m, const Sizes &s, const std::string &name,
                    int64_t heads, Rotation by, Value x) {
  int64_t depth = s.hidden / s.heads;
  Value pairs = m.expandShape(name + "_pairs", x, "[[0], [1], [2, 3, 4]]",
                              {s.batch, s.context, heads, 2, depth / 2});
  Value turned = m.reduce(name + "_turned", "bthqi,ti,ti->bthpi",
                          {pairs, by.cos, by.sin}, {"x", "cos", "sin"}, R"(
      %p = linalg.index 3 : index
      %q = linalg.index 5 : index
      %same = arith.cmpi eq, %p, %q : index
      %first = arith.cmpi slt, %p, %q : index
      %minus = arith.negf %sin : $f
      %other = arith.select %first, %minus, %sin : $f
      %factor = arith.select %same, %cos, %other : $f
      %y = arith.mulf %x, %factor : $f
      %s = arith.addf %acc, %y : $f
      linalg.yield %s : $f)",
                          "zero", "", {{'p', 2}});
  return m.collapseShape(name, turned, "[[0], [1], [2], [3, 4]]",
                         {s.batch, s.context, heads, depth});
}

static Value attention(ModelText &m, const Sizes &s,
                       const std::string &variable, Value x) {
  int64_t depth = s.hidden / s.heads, group = s.heads / s.kvHeads;
  auto flat = [&](const std::string &which) {
    return project(m, which + "_flat", variable + "." + which + "_proj.weight",
                   "bt", 'e', 'f', x, Layout::OutputsFirst);
  };
  Rotation by = rotation(m, s);
  Value q = rotate(m, s, "q", s.heads, by, flat("q"));
  Value k = rotate(m, s, "k", s.kvHeads, by, flat("k"));
  Value v = m.expandShape("v", flat("v"), "[[0], [1], [2, 3]]",
                          {s.batch, s.context, s.kvHeads, depth});
  Value attended;
  if (group == 1) {
    attended = attend(m, "h", "h", /*causal=*/true, q, k, v);
  } else {
    q = m.expandShape("q_groups", q, "[[0], [1], [2, 3], [4]]",
                      {s.batch, s.context, s.kvHeads, group, depth});
    attended = attend(m, "gr", "g", /*causal=*/true, q, k, v);
  }
  return project(m, "attn", variable + ".o_proj.weight", "bt", 'f', 'e',
                 attended, Layout::OutputsFirst);
}

//===----------------------------------------------------------------------===//
// MLP and experts
//===----------------------------------------------------------------------===//

/// "GLU Variants Improve Transformer", arXiv 2002.05202: silu(gate) * up, where
/// silu(x) = x * sigmoid(x). The sigmoid is written as (1 + tanh(x/2)) / 2,
/// which neither overflows nor divides by infinity, nor does its derivative.
static Value swiglu(ModelText &m, StringRef name, Value gate, Value up) {
  return m.elementwise(name, "btf,btf->btf", {gate, up}, {"gate", "up"}, R"(
      %half = arith.constant 0.5 : $f
      %one = arith.constant 1.0 : $f
      %h = arith.mulf %half, %gate : $f
      %tanh = math.tanh %h : $f
      %sum = arith.addf %one, %tanh : $f
      %silu = arith.mulf %h, %sum : $f
      %y = arith.mulf %silu, %up : $f
      linalg.yield %y : $f)");
}

static Value mlp(ModelText &m, const std::string &variable, Value x) {
  auto widen = [&](const std::string &which) {
    return project(m, which, variable + "." + which + "_proj.weight", "bt", 'e',
                   'f', x, Layout::OutputsFirst);
  };
  Value gate = widen("gate"), up = widen("up");
  return project(m, "down", variable + ".down_proj.weight", "bt", 'f', 'e',
                 swiglu(m, "swiglu", gate, up), Layout::OutputsFirst);
}

/// The weights of the experts for each token: softmax, and of that the topK
/// largest, the rest being 0. They are not scaled to a sum of 1, so that the
/// router learns even where topK is 1.
static Value route(ModelText &m, const Sizes &s, const std::string &variable,
                   Value x) {
  Value logits = project(m, "logits", variable + ".gate.weight", "bt", 'e', 'x',
                         x, Layout::OutputsFirst);
  Softmax parts = softmax(m, "btx", logits);
  Value weights = m.elementwise("weights", "btx,bt->btx",
                                {parts.exps, parts.total}, {"e", "total"}, R"(
      %w = arith.divf %e, %total : $f
      linalg.yield %w : $f)");
  if (s.topK == s.experts)
    return weights;
  m.comment("The largest weight, the largest below it, and so on.");
  Value least = m.reduce("top1", "btx->bt", {weights}, {"w"}, R"(
      %m = arith.maximumf %acc, %w : $f
      linalg.yield %m : $f)",
                         "zero", stopGradient);
  for (int64_t i = 2; i <= s.topK; ++i)
    least = m.reduce("top" + std::to_string(i), "btx,bt->bt", {weights, least},
                     {"w", "above"}, R"(
      %none = arith.constant 0.0 : $f
      %below = arith.cmpf olt, %w, %above : $f
      %c = arith.select %below, %w, %none : $f
      %m = arith.maximumf %acc, %c : $f
      linalg.yield %m : $f)",
                     "zero", stopGradient);
  return m.elementwise("kept", "btx,bt->btx", {weights, least}, {"w", "least"},
                       R"(
      %none = arith.constant 0.0 : $f
      %is = arith.cmpf oge, %w, %least : $f
      %k = arith.select %is, %w, %none : $f
      linalg.yield %k : $f)");
}

/// The sum over experts of weight * down(swiglu(gate(x), up(x))). The features
/// of all experts are one dimension for the products; a weight goes to the
/// features of its expert before the last of them, which then adds the experts.
static Value experts(ModelText &m, const Sizes &s, const std::string &variable,
                     Value x) {
  Value weights = route(m, s, variable, x);
  auto widen = [&](StringRef name, const std::string &which) {
    return project(m, name, variable + ".experts." + which, "bt", 'e', 'f', x,
                   Layout::OutputsFirst);
  };
  Value gate = widen("gate", "w1"), up = widen("up", "w3");
  Value features = swiglu(m, "swiglu", gate, up);
  Value split = m.expandShape("by_expert", features, "[[0], [1], [2, 3]]",
                              {s.batch, s.context, s.experts, s.intermediate});
  Value weighted = m.elementwise("combined", "btxf,btx->btxf", {split, weights},
                                 {"y", "w"}, R"(
      %z = arith.mulf %y, %w : $f
      linalg.yield %z : $f)");
  Value flat = m.collapseShape("combined_flat", weighted, "[[0], [1], [2, 3]]",
                               features.shape);
  return project(m, "down", variable + ".experts.w2", "bt", 'f', 'e', flat,
                 Layout::InputsFirst);
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

static std::string describe(const Sizes &s) {
  std::string text =
      formatv("{0} heads, {1} of keys and values; intermediate {2}", s.heads,
              s.kvHeads, s.intermediate);
  if (s.experts)
    text += formatv("; {0} experts, of which {1} count for a token", s.experts,
                    s.topK);
  return describeTokenModel(
      s.experts ? "LLaMA with a mixture of experts" : "LLaMA", s, text);
}

static std::string layerName(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

static void declareLayer(ModelText &m, const Sizes &s,
                         const std::string &layer) {
  int64_t e = s.hidden, f = s.intermediate, kv = e / s.heads * s.kvHeads;
  auto weight = [&](const std::string &name, int64_t rows, int64_t columns) {
    m.variable(layer + name, {rows, columns}, normal(0.02));
  };
  m.variable(layer + "input_layernorm.weight", {e}, ones);
  weight("self_attn.q_proj.weight", e, e);
  weight("self_attn.k_proj.weight", kv, e);
  weight("self_attn.v_proj.weight", kv, e);
  weight("self_attn.o_proj.weight", e, e);
  m.variable(layer + "post_attention_layernorm.weight", {e}, ones);
  if (s.experts) {
    weight("block_sparse_moe.gate.weight", s.experts, e);
    weight("block_sparse_moe.experts.w1", s.experts * f, e);
    weight("block_sparse_moe.experts.w3", s.experts * f, e);
    weight("block_sparse_moe.experts.w2", s.experts * f, e);
  } else {
    weight("mlp.gate_proj.weight", f, e);
    weight("mlp.up_proj.weight", f, e);
    weight("mlp.down_proj.weight", e, f);
  }
}

static void write(raw_ostream &os, StringRef function, const Sizes &s) {
  ModelText m(function, s.element);
  m.variable("model.embed_tokens.weight", {s.vocab, s.hidden}, normal(0.02));
  for (int64_t i = 0; i < s.layers; ++i)
    declareLayer(m, s, layerName(i));
  m.variable("model.norm.weight", {s.hidden}, ones);
  if (!s.tied)
    m.variable("lm_head.weight", {s.vocab, s.hidden}, normal(0.02));

  Value tokens = m.argument("tokens", {s.batch, s.context});
  Value labels = m.argument("labels", {s.batch, s.context});
  auto norm = [&](StringRef name, const std::string &variable, Value x) {
    return rmsnorm(m, name, variable + ".weight", "bt", epsilon, x);
  };

  m.section("Embedding of tokens", "embed_");
  Value x = embed(m, "model.embed_tokens.weight", tokens);
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string number = std::to_string(i), layer = layerName(i);
    m.section("Layer " + number + ": attention", "h" + number + "_");
    m.beginLayer(i);
    Value n1 = norm("norm1", layer + "input_layernorm", x);
    x = add(m, "x1", "bte,bte->bte", x,
            attention(m, s, layer + "self_attn", n1));
    m.section("Layer " + number + (s.experts ? ": experts" : ": MLP"),
              "h" + number + (s.experts ? "_moe_" : "_"));
    Value n2 = norm("norm2", layer + "post_attention_layernorm", x);
    x = add(m, "x2", "bte,bte->bte", x,
            s.experts ? experts(m, s, layer + "block_sparse_moe", n2)
                      : mlp(m, layer + "mlp", n2));
  }
  m.section("Head", "head_");
  Value n = norm("norm", "model.norm", x);
  Value logits = project(
      m, "logits", s.tied ? "model.embed_tokens.weight" : "lm_head.weight",
      "bt", 'e', 'v', n, Layout::OutputsFirst);
  m.section("Cross-entropy", "loss_");
  finishWithCrossEntropy(m, os, describe(s), "bt", logits, labels);
}

void weir::model::writeLlama(raw_ostream &os, const Sizes &sizes) {
  write(os, "llama", sizes);
}

void weir::model::writeMoe(raw_ostream &os, const Sizes &sizes) {
  write(os, "moe", sizes);
}
