//===- Layers.cpp - what the models are built of --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Layers.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace weir::model;

std::string weir::model::number(double value) {
  return formatv("{0:e17}", value).str();
}

//===----------------------------------------------------------------------===//
// Linear layers
//===----------------------------------------------------------------------===//

Value weir::model::add(ModelText &m, StringRef name, StringRef pattern, Value a,
                       Value b) {
  return m.elementwise(name, pattern, {a, b}, {"a", "b"}, R"(
      %y = arith.addf %a, %b : $f
      linalg.yield %y : $f)");
}

Value weir::model::project(ModelText &m, StringRef name, StringRef weight,
                           std::string dims, char in, char out, Value x,
                           Layout layout) {
  std::string weightDims = layout == Layout::InputsFirst ? std::string{in, out}
                                                         : std::string{out, in};
  return m.contract(name, dims + in + "," + weightDims + "->" + dims + out, x,
                    m.read(weight));
}

Value weir::model::linear(ModelText &m, StringRef name, StringRef variable,
                          std::string dims, char in, char out, Value x,
                          Layout layout) {
  Value product =
      project(m, (name + "_product").str(), (variable + ".weight").str(), dims,
              in, out, x, layout);
  Value bias = m.read((variable + ".bias").str());
  return m.elementwise(name, dims + out + "," + out + "->" + dims + out,
                       {product, bias}, {"x", "bias"}, R"(
      %y = arith.addf %x, %bias : $f
      linalg.yield %y : $f)");
}

void weir::model::declareLinear(ModelText &m, const std::string &variable,
                                int64_t inputs, int64_t outputs, Init init,
                                Layout layout) {
  Shape shape{inputs, outputs};
  if (layout == Layout::OutputsFirst)
    std::swap(shape[0], shape[1]);
  m.variable(variable + ".weight", shape, init);
  m.variable(variable + ".bias", {outputs}, zeros);
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

Value weir::model::geluTanh(ModelText &m, StringRef name, std::string dims,
                            Value x) {
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

Value weir::model::geluErf(ModelText &m, StringRef name, std::string dims,
                           Value x) {
  return m.elementwise(name, dims + "->" + dims, {x}, {"x"}, R"(
      %half = arith.constant 0.5 : $f
      %one = arith.constant 1.0 : $f
      %root_half = arith.constant 0.70710678118654752 : $f
      %u = arith.mulf %root_half, %x : $f
      %erf = math.erf %u : $f
      %sum = arith.addf %one, %erf : $f
      %hx = arith.mulf %half, %x : $f
      %y = arith.mulf %hx, %sum : $f
      linalg.yield %y : $f)");
}

//===----------------------------------------------------------------------===//
// Normalisation
//===----------------------------------------------------------------------===//

/// 1 / sqrt(squares / number of features + epsilon)
static Value reciprocalRoot(ModelText &m, StringRef name, std::string dims,
                            int64_t features, StringRef epsilon,
                            Value squares) {
  return m.elementwise(name, dims + "->" + dims, {squares}, {"squares"},
                       "%inverse = arith.constant " +
                           number(1.0 / double(features)) + R"( : $f
      %epsilon = arith.constant )" +
                           epsilon.str() + R"( : $f
      %variance = arith.mulf %squares, %inverse : $f
      %v = arith.addf %variance, %epsilon : $f
      %r = math.rsqrt %v : $f
      linalg.yield %r : $f)");
}

Value weir::model::mean(ModelText &m, StringRef sum, StringRef name,
                        const std::string &dims, const std::string &rows,
                        int64_t count, Value x) {
  Value total = m.reduce(sum, dims + "->" + rows, {x}, {"x"}, R"(
      %s = arith.addf %acc, %x : $f
      linalg.yield %s : $f)");
  return m.elementwise(name, rows + "->" + rows, {total}, {"sum"},
                       "%inverse = arith.constant " +
                           number(1.0 / double(count)) + R"( : $f
      %m = arith.mulf %sum, %inverse : $f
      linalg.yield %m : $f)");
}

Value weir::model::layernorm(ModelText &m, StringRef name, StringRef scale,
                             StringRef shift, std::string dims,
                             StringRef epsilon, Value x) {
  int64_t features = x.shape.back();
  std::string prefix = (name + "_").str(), all = dims + "e";
  Value center =
      mean(m, prefix + "sum", prefix + "mean", all, dims, features, x);
  m.comment("The deviations from the mean sum to zero, so no gradient of the "
            "squares flows through the mean.");
  Value squares = m.reduce(prefix + "squares", all + "," + dims + "->" + dims,
                           {x, center}, {"x", "mean"}, R"(
      %d = arith.subf %x, %mean : $f
      %d2 = arith.mulf %d, %d : $f
      %s = arith.addf %acc, %d2 : $f
      linalg.yield %s : $f)",
                           "zero", "weir.stop_gradient = array<i64: 1>");
  Value rstd =
      reciprocalRoot(m, prefix + "rstd", dims, features, epsilon, squares);
  return m.elementwise(name, all + "," + dims + "," + dims + ",e,e->" + all,
                       {x, center, rstd, m.read(scale), m.read(shift)},
                       {"x", "mean", "rstd", "gamma", "beta"}, R"(
      %d = arith.subf %x, %mean : $f
      %n = arith.mulf %d, %rstd : $f
      %g = arith.mulf %n, %gamma : $f
      %y = arith.addf %g, %beta : $f
      linalg.yield %y : $f)");
}

Value weir::model::rmsnorm(ModelText &m, StringRef name, StringRef scale,
                           std::string dims, StringRef epsilon, Value x) {
  std::string prefix = (name + "_").str(), all = dims + "e";
  Value squares =
      m.reduce(prefix + "squares", all + "->" + dims, {x}, {"x"}, R"(
      %x2 = arith.mulf %x, %x : $f
      %s = arith.addf %acc, %x2 : $f
      linalg.yield %s : $f)");
  Value rrms = reciprocalRoot(m, prefix + "rrms", dims, x.shape.back(), epsilon,
                              squares);
  return m.elementwise(name, all + "," + dims + ",e->" + all,
                       {x, rrms, m.read(scale)}, {"x", "rrms", "gamma"}, R"(
      %n = arith.mulf %x, %rrms : $f
      %y = arith.mulf %n, %gamma : $f
      linalg.yield %y : $f)");
}

//===----------------------------------------------------------------------===//
// Softmax and what is made of it
//===----------------------------------------------------------------------===//

Softmax weir::model::softmax(ModelText &m, std::string dims, Value x) {
  std::string rows = dims.substr(0, dims.size() - 1);
  Value largest = m.reduce("largest", dims + "->" + rows, {x}, {"x"}, R"(
      %m = arith.maximumf %acc, %x : $f
      linalg.yield %m : $f)",
                           "lowest", stopGradient);
  Value exps = m.elementwise("exps", dims + "," + rows + "->" + dims,
                             {x, largest}, {"x", "largest"}, R"(
      %d = arith.subf %x, %largest : $f
      %e = math.exp %d : $f
      linalg.yield %e : $f)");
  Value total = m.reduce("total", dims + "->" + rows, {exps}, {"e"}, R"(
      %s = arith.addf %acc, %e : $f
      linalg.yield %s : $f)");
  return {largest, exps, total};
}

/// Products of queries and keys, scaled; those with later keys masked if
/// causal.
static Value scaleScores(ModelText &m, std::string dims, bool causal,
                         int64_t depth, Value products) {
  std::string scale = "%scale = arith.constant " +
                      number(1.0 / std::sqrt(static_cast<double>(depth))) +
                      " : $f";
  if (!causal)
    return m.elementwise("scores", dims + "->" + dims, {products}, {"p"},
                         scale + R"(
      %s = arith.mulf %p, %scale : $f
      linalg.yield %s : $f)");
  m.comment("A token sees itself and those before it.");
  std::string query = std::to_string(dims.find('i'));
  std::string key = std::to_string(dims.find('j'));
  return m.elementwise("scores", dims + "->" + dims,
                       {products}, {"p"}, scale + R"(
      %hidden = arith.constant -1.0e30 : $f
      %i = linalg.index )" + query + R"( : index
      %j = linalg.index )" + key + R"( : index
      %seen = arith.cmpi sle, %j, %i : index
      %s = arith.mulf %p, %scale : $f
      %y = arith.select %seen, %s, %hidden : $f
      linalg.yield %y : $f)");
}

Value weir::model::attend(ModelText &m, StringRef heads, StringRef keyHeads,
                          bool causal, Value q, Value k, Value v) {
  std::string h = heads.str(), g = keyHeads.str();
  std::string queries = "bi" + h + "d", keys = "bj" + g + "d";
  std::string scores = "b" + h + "ij", rows = "b" + h + "i";
  Value products =
      m.contract("products", queries + "," + keys + "->" + scores, q, k);
  Value scaled = scaleScores(m, scores, causal, q.shape.back(), products);
  Softmax weights = softmax(m, scores, scaled);
  Value weighted = m.contract("weighted", scores + "," + keys + "->" + queries,
                              weights.exps, v);
  Value attended =
      m.elementwise("attended", queries + "," + rows + "->" + queries,
                    {weighted, weights.total}, {"w", "total"}, R"(
      %y = arith.divf %w, %total : $f
      linalg.yield %y : $f)");
  Shape flat(ArrayRef<int64_t>(q.shape).take_front(2));
  int64_t features = 1;
  for (int64_t size : ArrayRef<int64_t>(q.shape).drop_front(2))
    features *= size;
  flat.push_back(features);
  return m.collapseShape(
      "attended_flat", attended,
      h.size() == 1 ? "[[0], [1], [2, 3]]" : "[[0], [1], [2, 3, 4]]", flat);
}

Value weir::model::selfAttention(ModelText &m,
                                 const AttentionVariables &variables,
                                 std::string dims, int64_t heads, bool causal,
                                 Value x, Layout layout) {
  auto split = [&](const std::string &name, const std::string &variable) {
    Value flat = linear(m, name + "_flat", variable, dims, 'e', 'f', x, layout);
    return m.expandShape(
        name, flat, "[[0], [1], [2, 3]]",
        {x.shape[0], x.shape[1], heads, flat.shape.back() / heads});
  };
  Value q = split("q", variables.q), k = split("k", variables.k);
  Value v = split("v", variables.v);
  return linear(m, "attn", variables.out, dims, 'f', 'e',
                attend(m, "h", "h", causal, q, k, v), layout);
}

Value weir::model::embed(ModelText &m, StringRef table, Value tokens) {
  Shape shape = tokens.shape;
  shape.push_back(1);
  Value indices = m.expandShape("indices", tokens, "[[0], [1, 2]]", shape);
  return m.gather("tokens", m.read(table), indices);
}

void weir::model::finishWithCrossEntropy(ModelText &m, raw_ostream &os,
                                         const std::string &headline,
                                         std::string dims, Value logits,
                                         Value labels) {
  Softmax weights = softmax(m, dims + "v", logits);
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
  Value sum =
      m.reduce("sum", dims + "," + dims + "," + dims + "," + dims + "->",
               {weights.total, weights.largest, picked, labels},
               {"total", "largest", "picked", "label"},
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
  m.finish(os, headline, sum, count);
}
