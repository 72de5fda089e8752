//===- Models.cpp - a GPT and a perceptron --------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Models.h"
#include "Layers.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace weir::model;

std::string weir::model::describeTokenModel(StringRef kind, const Sizes &s,
                                            const std::string &more) {
  return formatv("{0}: {1} layers, hidden {2}, context {3}, vocabulary {4}, "
                 "{5} sequences per microbatch{6}\n{7}"
                 "The loss is a sum over the labels that are not negative.",
                 kind, s.layers, s.hidden, s.context, s.vocab, s.batch,
                 s.tied ? ", head tied to the embedding" : "",
                 more.empty() ? more : more + "\n")
      .str();
}

void weir::model::writeGpt(raw_ostream &os, const Sizes &s) {
  ModelText m("gpt", s.element);
  int64_t e = s.hidden;
  // GPT-2 makes the layers that write to the residual stream smaller, by the
  // square root of how many there are.
  Init residual = normal(0.02 / std::sqrt(2.0 * static_cast<double>(s.layers)));
  auto declareNorm = [&](const std::string &name) {
    m.variable(name + ".gamma", {e}, ones);
    m.variable(name + ".beta", {e}, zeros);
  };
  m.variable("wte", {s.vocab, e}, normal(0.02));
  m.variable("wpe", {s.context, e}, normal(0.02));
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string h = "h" + std::to_string(i) + ".";
    declareNorm(h + "ln1");
    for (const char *which : {"q", "k", "v"})
      declareLinear(m, h + "attn." + which, e, e, normal(0.02));
    declareLinear(m, h + "attn.proj", e, e, residual);
    declareNorm(h + "ln2");
    declareLinear(m, h + "mlp.up", e, 4 * e, normal(0.02));
    declareLinear(m, h + "mlp.down", 4 * e, e, residual);
  }
  declareNorm("ln");
  if (!s.tied)
    m.variable("head.weight", {s.vocab, e}, normal(0.02));

  Value tokens = m.argument("tokens", {s.batch, s.context});
  Value labels = m.argument("labels", {s.batch, s.context});

  auto norm = [&](StringRef name, const std::string &variable, Value x) {
    return layernorm(m, name, variable + ".gamma", variable + ".beta", "bt",
                     "1.0e-5", x);
  };
  m.section("Embedding of tokens and positions", "embed_");
  Value x = embed(m, "wte", tokens);
  x = add(m, "x", "bte,te->bte", x, m.read("wpe"));
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string layer = std::to_string(i);
    std::string h = "h" + layer + ".";
    m.section("Layer " + layer + ": attention", "h" + layer + "_");
    m.beginLayer(i);
    Value n1 = norm("ln1", h + "ln1", x);
    const std::string a = h + "attn.";
    x = add(m, "x1", "bte,bte->bte", x,
            selfAttention(m, {a + "q", a + "k", a + "v", a + "proj"}, "bt",
                          s.heads, /*causal=*/true, n1));
    m.section("Layer " + layer + ": MLP", "h" + layer + "_");
    Value n2 = norm("ln2", h + "ln2", x);
    Value up = linear(m, "up", h + "mlp.up", "bt", 'e', 'f', n2);
    Value down = linear(m, "down", h + "mlp.down", "bt", 'f', 'e',
                        geluTanh(m, "gelu", "btf", up));
    x = add(m, "x2", "bte,bte->bte", x, down);
  }
  m.section("Head", "head_");
  Value n = norm("ln", "ln", x);
  Value logits = m.contract("logits", "bte,ve->btv", n,
                            m.read(s.tied ? "wte" : "head.weight"));
  m.section("Cross-entropy", "loss_");
  finishWithCrossEntropy(
      m, os, describeTokenModel("GPT", s, std::to_string(s.heads) + " heads"),
      "bt", logits, labels);
}

void weir::model::writeMlp(raw_ostream &os, const Sizes &s) {
  ModelText m("mlp", s.element);
  int64_t e = s.hidden, row = s.context * s.hidden;
  // Deviations that keep the size of the activations from layer to layer.
  auto keepsSize = [](int64_t inputs) {
    return normal(1.0 / std::sqrt(static_cast<double>(inputs)));
  };
  m.variable("wte", {s.vocab, e}, s.tied ? keepsSize(e) : normal(1.0));
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string h = "h" + std::to_string(i);
    int64_t inputs = i == 0 ? row : e;
    declareLinear(m, h, inputs, e, keepsSize(inputs));
  }
  if (!s.tied)
    m.variable("head.weight", {s.vocab, e}, keepsSize(e));

  Value tokens = m.argument("tokens", {s.batch, s.context});
  Value labels = m.argument("labels", {s.batch, s.context});

  m.section("Embedding, row by row", "embed_");
  Value x = m.collapseShape("x", embed(m, "wte", tokens), "[[0], [1, 2]]",
                            {s.batch, row});
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string h = "h" + std::to_string(i);
    m.section("Layer " + std::to_string(i), h + "_");
    m.beginLayer(i);
    x = geluTanh(m, "gelu", "bf", linear(m, "linear", h, "b", 'e', 'f', x));
  }
  m.section("Head", "head_");
  Value logits = m.contract("logits", "be,ve->bv", x,
                            m.read(s.tied ? "wte" : "head.weight"));
  m.section("Cross-entropy of each row's last label", "loss_");
  Value last =
      m.slice("last", labels, {0, s.context - 1}, {s.batch, 1}, {s.batch});
  finishWithCrossEntropy(m, os, describeTokenModel("MLP", s, ""), "b", logits,
                         last);
}
