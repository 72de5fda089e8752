//===- Models.cpp - the models that can be generated ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The backward keeps what its rules read of the forward, so the models are cut
// into ops such that little is read:
//
// - layernorm is one op over the row's mean and 1/deviation, so x is kept and
//   not the normalised x;
// - attention divides by the sum of the exponentials after the product with the
//   values, so the exponentials are kept and not the probabilities, and the
//   division is over T*D elements of a head and not over T*T;
// - the largest element, which softmax only subtracts for the range of exp,
// gets
//   no gradient: its gradient is zero whatever it is.
//
//===----------------------------------------------------------------------===//

#include "Models.h"
#include "ModelText.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace weir::model;

static constexpr StringRef stopGradient = "weir.stop_gradient";

static Init normal(double deviation) { return {Init::Normal, deviation}; }
static const Init zeros{Init::Constant, 0.0};
static const Init ones{Init::Constant, 1.0};

/// A number as text that parses as a float and loses nothing.
static std::string number(double value) {
  return formatv("{0:e17}", value).str();
}

static Value addBias(ModelText &m, StringRef name, StringRef pattern, Value x,
                     Value bias) {
  return m.elementwise(name, pattern, {x, bias}, {"x", "bias"}, R"(
      %y = arith.addf %x, %bias : $f
      linalg.yield %y : $f)");
}

/// y = x w + b on rows of `dims` ("bt"), of letter `in` to letter `out`.
static Value linear(ModelText &m, StringRef name, StringRef variable,
                    std::string dims, char in, char out, Value x) {
  Value weight = m.read((variable + ".weight").str());
  Value product =
      m.contract((name + "_product").str(),
                 dims + in + "," + in + out + "->" + dims + out, x, weight);
  Value bias = m.read((variable + ".bias").str());
  return addBias(m, name, dims + out + "," + out + "->" + dims + out, product,
                 bias);
}

static Value gelu(ModelText &m, StringRef name, std::string dims, Value x) {
  return m.elementwise(name, dims + "->" + dims, {x}, {"x"}, R"(
      %half = arith.constant 0.5 : $f
      %one = arith.constant 1.0 : $f
      %cubic = arith.constant 0.044715 : $f
      %scale = arith.constant 0.79788456080286541 : $f
      %x2 = arith.mulf %x, %x : $f
      %x3 = arith.mulf %x2, %x : $f
      %c = arith.mulf %cubic, %x3 : $f
      %inner = arith.addf %x, %c : $f
      %u = arith.mulf %scale, %inner : $f
      %tanh = math.tanh %u : $f
      %sum = arith.addf %one, %tanh : $f
      %hx = arith.mulf %half, %x : $f
      %y = arith.mulf %hx, %sum : $f
      linalg.yield %y : $f)");
}

static Value layernorm(ModelText &m, StringRef name, StringRef variable,
                       Value x) {
  std::string inverse = number(1.0 / static_cast<double>(x.shape.back()));
  std::string prefix = (name + "_").str();
  Value sum = m.reduce(prefix + "sum", "bte->bt", {x}, {"x"}, R"(
      %s = arith.addf %acc, %x : $f
      linalg.yield %s : $f)");
  Value mean = m.elementwise(prefix + "mean", "bt->bt", {sum}, {"sum"},
                             "%inverse = arith.constant " + inverse + R"( : $f
      %m = arith.mulf %sum, %inverse : $f
      linalg.yield %m : $f)");
  m.comment("The deviations from the mean sum to zero, so no gradient of the "
            "squares flows through the mean.");
  Value squares =
      m.reduce(prefix + "squares", "bte,bt->bt", {x, mean}, {"x", "mean"}, R"(
      %d = arith.subf %x, %mean : $f
      %d2 = arith.mulf %d, %d : $f
      %s = arith.addf %acc, %d2 : $f
      linalg.yield %s : $f)",
               "zero", "weir.stop_gradient = array<i64: 1>");
  Value rstd = m.elementwise(prefix + "rstd", "bt->bt", {squares}, {"squares"},
                             "%inverse = arith.constant " + inverse + R"( : $f
      %epsilon = arith.constant 1.0e-5 : $f
      %variance = arith.mulf %squares, %inverse : $f
      %v = arith.addf %variance, %epsilon : $f
      %r = math.rsqrt %v : $f
      linalg.yield %r : $f)");
  Value gamma = m.read((variable + ".gamma").str());
  Value beta = m.read((variable + ".beta").str());
  return m.elementwise(name, "bte,bt,bt,e,e->bte", {x, mean, rstd, gamma, beta},
                       {"x", "mean", "rstd", "gamma", "beta"}, R"(
      %d = arith.subf %x, %mean : $f
      %n = arith.mulf %d, %rstd : $f
      %g = arith.mulf %n, %gamma : $f
      %y = arith.addf %g, %beta : $f
      linalg.yield %y : $f)");
}

static Value attention(ModelText &m, const Sizes &s, StringRef variable,
                       Value x) {
  int64_t depth = s.hidden / s.heads;
  auto project = [&](StringRef which) {
    Value flat = linear(m, (which + "_flat").str(),
                        (variable + "." + which).str(), "bt", 'e', 'f', x);
    return m.expandShape(which, flat, "[[0], [1], [2, 3]]",
                         {s.batch, s.context, s.heads, depth});
  };
  Value q = project("q"), k = project("k"), v = project("v");
  Value products = m.contract("products", "bihd,bjhd->bhij", q, k);
  m.comment("A token sees itself and those before it.");
  Value scores = m.elementwise(
      "scores", "bhij->bhij", {products}, {"p"},
      "%scale = arith.constant " +
          number(1.0 / std::sqrt(static_cast<double>(depth))) + R"( : $f
      %hidden = arith.constant -1.0e30 : $f
      %i = linalg.index 2 : index
      %j = linalg.index 3 : index
      %seen = arith.cmpi sle, %j, %i : index
      %s = arith.mulf %p, %scale : $f
      %y = arith.select %seen, %s, %hidden : $f
      linalg.yield %y : $f)");
  Value largest = m.reduce("largest", "bhij->bhi", {scores}, {"s"}, R"(
      %m = arith.maximumf %acc, %s : $f
      linalg.yield %m : $f)",
                           "lowest", stopGradient);
  Value exps = m.elementwise("exps", "bhij,bhi->bhij", {scores, largest},
                             {"s", "largest"}, R"(
      %d = arith.subf %s, %largest : $f
      %e = math.exp %d : $f
      linalg.yield %e : $f)");
  Value total = m.reduce("total", "bhij->bhi", {exps}, {"e"}, R"(
      %s = arith.addf %acc, %e : $f
      linalg.yield %s : $f)");
  Value weighted = m.contract("weighted", "bhij,bjhd->bihd", exps, v);
  Value heads = m.elementwise("attended", "bihd,bhi->bihd", {weighted, total},
                              {"w", "total"}, R"(
      %y = arith.divf %w, %total : $f
      linalg.yield %y : $f)");
  Value flat = m.collapseShape("attended_flat", heads, "[[0], [1], [2, 3]]",
                               {s.batch, s.context, s.hidden});
  return linear(m, "attn", (variable + ".proj").str(), "bt", 'f', 'e', flat);
}

static Value add(ModelText &m, StringRef name, StringRef pattern, Value a,
                 Value b) {
  return m.elementwise(name, pattern, {a, b}, {"a", "b"}, R"(
      %y = arith.addf %a, %b : $f
      linalg.yield %y : $f)");
}

/// The sum of the cross-entropies of rows `dims` ("bt"), and how many count.
static std::pair<Value, Value> crossEntropy(ModelText &m, std::string dims,
                                            Value logits, Value labels) {
  std::string rows = dims + "v->" + dims;
  Value largest = m.reduce("largest", rows, {logits}, {"l"}, R"(
      %m = arith.maximumf %acc, %l : $f
      linalg.yield %m : $f)",
                           "lowest", stopGradient);
  Value exps = m.elementwise("exps", dims + "v," + dims + "->" + dims + "v",
                             {logits, largest}, {"l", "largest"}, R"(
      %d = arith.subf %l, %largest : $f
      %e = math.exp %d : $f
      linalg.yield %e : $f)");
  Value total = m.reduce("total", rows, {exps}, {"e"}, R"(
      %s = arith.addf %acc, %e : $f
      linalg.yield %s : $f)");
  m.comment("The logit of the label; a negative label picks none.");
  Value picked =
      m.reduce("picked", dims + "v," + dims + "->" + dims, {logits, labels},
               {"l", "label"},
               "%v = linalg.index " + std::to_string(dims.size()) + R"( : index
      %w = arith.index_cast %v : index to i32
      %is = arith.cmpi eq, %w, %label : i32
      %none = arith.constant 0.0 : $f
      %p = arith.select %is, %l, %none : $f
      %s = arith.addf %acc, %p : $f
      linalg.yield %s : $f)");
  Value loss = m.reduce(
      "sum", dims + "," + dims + "," + dims + "," + dims + "->",
      {total, largest, picked, labels}, {"total", "largest", "picked", "label"},
      R"(
      %first = arith.constant 0 : i32
      %none = arith.constant 0.0 : $f
      %counts = arith.cmpi sge, %label, %first : i32
      %log = math.log %total : $f
      %lse = arith.addf %log, %largest : $f
      %l = arith.subf %lse, %picked : $f
      %kept = arith.select %counts, %l, %none : $f
      %s = arith.addf %acc, %kept : $f
      linalg.yield %s : $f)");
  Value count = m.reduce("count", dims + "->", {labels}, {"label"}, R"(
      %first = arith.constant 0 : i32
      %none = arith.constant 0.0 : $f
      %one = arith.constant 1.0 : $f
      %counts = arith.cmpi sge, %label, %first : i32
      %c = arith.select %counts, %one, %none : $f
      %s = arith.addf %acc, %c : $f
      linalg.yield %s : $f)");
  return {loss, count};
}

static std::string describe(StringRef kind, const Sizes &s) {
  return formatv("{0}: {1} layers, hidden {2}, context {3}, vocabulary {4}, "
                 "{5} sequences per microbatch{6}\n"
                 "The loss is a sum over the labels that are not negative.",
                 kind, s.layers, s.hidden, s.context, s.vocab, s.batch,
                 s.tied ? ", head tied to the embedding" : "")
      .str();
}

/// Embeds the tokens of every row: B x T to B x T x E.
static Value embed(ModelText &m, const Sizes &s, Value tokens) {
  Value indices = m.expandShape("indices", tokens, "[[0], [1, 2]]",
                                {s.batch, s.context, 1});
  return m.gather("tokens", m.read("wte"), indices);
}

void weir::model::writeGpt(raw_ostream &os, const Sizes &s) {
  ModelText m("gpt", s.element);
  int64_t e = s.hidden;
  // GPT-2 makes the layers that write to the residual stream smaller, by the
  // square root of how many there are.
  Init residual = normal(0.02 / std::sqrt(2.0 * static_cast<double>(s.layers)));
  m.variable("wte", {s.vocab, e}, normal(0.02));
  m.variable("wpe", {s.context, e}, normal(0.02));
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string h = "h" + std::to_string(i) + ".";
    m.variable(h + "ln1.gamma", {e}, ones);
    m.variable(h + "ln1.beta", {e}, zeros);
    for (const char *which : {"q", "k", "v"}) {
      m.variable(h + "attn." + which + ".weight", {e, e}, normal(0.02));
      m.variable(h + "attn." + which + ".bias", {e}, zeros);
    }
    m.variable(h + "attn.proj.weight", {e, e}, residual);
    m.variable(h + "attn.proj.bias", {e}, zeros);
    m.variable(h + "ln2.gamma", {e}, ones);
    m.variable(h + "ln2.beta", {e}, zeros);
    m.variable(h + "mlp.up.weight", {e, 4 * e}, normal(0.02));
    m.variable(h + "mlp.up.bias", {4 * e}, zeros);
    m.variable(h + "mlp.down.weight", {4 * e, e}, residual);
    m.variable(h + "mlp.down.bias", {e}, zeros);
  }
  m.variable("ln.gamma", {e}, ones);
  m.variable("ln.beta", {e}, zeros);
  if (!s.tied)
    m.variable("head.weight", {s.vocab, e}, normal(0.02));

  Value tokens = m.argument("tokens", {s.batch, s.context});
  Value labels = m.argument("labels", {s.batch, s.context});

  m.section("Embedding of tokens and positions", "embed_");
  Value x = embed(m, s, tokens);
  x = add(m, "x", "bte,te->bte", x, m.read("wpe"));
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string layer = std::to_string(i);
    std::string h = "h" + layer + ".";
    m.section("Layer " + layer + ": attention", "h" + layer + "_");
    m.beginLayer(i);
    Value n1 = layernorm(m, "ln1", h + "ln1", x);
    x = add(m, "x1", "bte,bte->bte", x, attention(m, s, h + "attn", n1));
    m.section("Layer " + layer + ": MLP", "h" + layer + "_");
    Value n2 = layernorm(m, "ln2", h + "ln2", x);
    Value up = linear(m, "up", h + "mlp.up", "bt", 'e', 'f', n2);
    Value down = linear(m, "down", h + "mlp.down", "bt", 'f', 'e',
                        gelu(m, "gelu", "btf", up));
    x = add(m, "x2", "bte,bte->bte", x, down);
  }
  m.section("Head", "head_");
  Value n = layernorm(m, "ln", "ln", x);
  Value logits = m.contract("logits", "bte,ve->btv", n,
                            m.read(s.tied ? "wte" : "head.weight"));
  m.section("Cross-entropy", "loss_");
  auto [loss, count] = crossEntropy(m, "bt", logits, labels);
  m.finish(os, describe("GPT", s) + "\n" + std::to_string(s.heads) + " heads",
           loss, count);
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
    m.variable(h + ".weight", {i == 0 ? row : e, e},
               keepsSize(i == 0 ? row : e));
    m.variable(h + ".bias", {e}, zeros);
  }
  if (!s.tied)
    m.variable("head.weight", {s.vocab, e}, keepsSize(e));

  Value tokens = m.argument("tokens", {s.batch, s.context});
  Value labels = m.argument("labels", {s.batch, s.context});

  m.section("Embedding, row by row", "embed_");
  Value x = m.collapseShape("x", embed(m, s, tokens), "[[0], [1, 2]]",
                            {s.batch, row});
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string h = "h" + std::to_string(i);
    m.section("Layer " + std::to_string(i), h + "_");
    m.beginLayer(i);
    x = gelu(m, "gelu", "bf", linear(m, "linear", h, "b", 'e', 'f', x));
  }
  m.section("Head", "head_");
  Value logits = m.contract("logits", "be,ve->bv", x,
                            m.read(s.tied ? "wte" : "head.weight"));
  m.section("Cross-entropy of each row's last label", "loss_");
  Value last = m.column("last", labels, s.context - 1);
  auto [loss, count] = crossEntropy(m, "b", logits, last);
  m.finish(os, describe("MLP", s), loss, count);
}
