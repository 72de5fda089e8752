//===- Vision.cpp - models of images --------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Variables have the names and shapes that they have in the libraries
// Transformers (ViTForImageClassification) and timm (MlpMixer). Where those
// truncate a normal distribution at two or more deviations, this does not.
//
//===----------------------------------------------------------------------===//

#include "Layers.h"
#include "Models.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace weir::model;

static constexpr StringLiteral epsilon = "1.0e-6";

static int64_t patchesPerImage(const Sizes &s) {
  int64_t side = s.image / s.patch;
  return side * side;
}

static void declareDense(ModelText &m, const std::string &name, int64_t inputs,
                         int64_t outputs, Init init) {
  declareLinear(m, name, inputs, outputs, init, Layout::OutputsFirst);
}

static void declareNorm(ModelText &m, const std::string &name, int64_t size) {
  m.variable(name + ".weight", {size}, ones);
  m.variable(name + ".bias", {size}, zeros);
}

/// The projection of patches, in the shape of a convolution. LeCun's
/// initialisation keeps the variance: "Efficient BackProp", 1998.
static void declarePatches(ModelText &m, const Sizes &s,
                           const std::string &name) {
  int64_t inputs = s.channels * s.patch * s.patch;
  m.variable(name + ".weight", {s.hidden, s.channels, s.patch, s.patch},
             normal(1.0 / std::sqrt(static_cast<double>(inputs))));
  m.variable(name + ".bias", {s.hidden}, zeros);
}

static Value norm(ModelText &m, StringRef name, const std::string &variable,
                  std::string dims, Value x) {
  return layernorm(m, name, variable + ".weight", variable + ".bias", dims,
                   epsilon, x);
}

static Value dense(ModelText &m, StringRef name, StringRef variable,
                   std::string dims, char in, char out, Value x) {
  return linear(m, name, variable, dims, in, out, x, Layout::OutputsFirst);
}

/// Images of bytes, B x C x H x W, to patches, B x N x E, row by row.
static Value embedPatches(ModelText &m, const Sizes &s,
                          const std::string &variable, Value images) {
  int64_t side = s.image / s.patch, features = s.channels * s.patch * s.patch;
  Value grid =
      m.expandShape("grid", images, "[[0], [1], [2, 3], [4, 5]]",
                    {s.batch, s.channels, side, s.patch, side, s.patch});
  m.comment("From 0..255 to -1..1, patch by patch.");
  Value pixels = m.elementwise("pixels", "bcypxq->byxcpq", {grid}, {"byte"}, R"(
      %scale = arith.constant )" + number(1.0 / 127.5) + R"( : $f
      %one = arith.constant 1.0 : $f
      %x = arith.sitofp %byte : i32 to $f
      %s = arith.mulf %x, %scale : $f
      %y = arith.subf %s, %one : $f
      linalg.yield %y : $f)");
  Value patches = m.collapseShape("patches", pixels, "[[0], [1, 2], [3, 4, 5]]",
                                  {s.batch, patchesPerImage(s), features});
  Value weight = m.collapseShape("kernel", m.read(variable + ".weight"),
                                 "[[0], [1, 2, 3]]", {s.hidden, features});
  Value product = m.contract("product", "bnk,ek->bne", patches, weight);
  return add(m, "x", "bne,e->bne", product, m.read(variable + ".bias"));
}

/// The mean over the tokens of an image: B x N x E to B x E.
static Value meanOverTokens(ModelText &m, Value x) {
  return mean(m, "pool_sum", "pool", "bne", "be", x.shape[1], x);
}

static std::string describe(StringRef kind, const Sizes &s) {
  return formatv("{0}: {1} layers, hidden {2}, images of {3} x {4} x {4} in "
                 "patches of {5} x {5}, {6} classes, {7} images per microbatch",
                 kind, s.layers, s.hidden, s.channels, s.image, s.patch,
                 s.classes, s.batch)
      .str();
}

/// Classifies rows B x E and ends the model.
static void finish(raw_ostream &os, ModelText &m, const std::string &headline,
                   StringRef head, Value x, Value labels) {
  Value logits = dense(m, "logits", head, "b", 'e', 'v', x);
  m.classes(logits.shape.back());
  m.section("Cross-entropy", "loss_");
  finishWithCrossEntropy(m, os, headline, "b", logits, labels);
}

//===----------------------------------------------------------------------===//
// ViT
//===----------------------------------------------------------------------===//

static std::string vitLayer(int64_t layer) {
  return "vit.encoder.layer." + std::to_string(layer) + ".";
}

/// The patches, after the class token where there is one, and their positions.
static Value vitEmbedding(ModelText &m, const Sizes &s, Value images) {
  const std::string embeddings = "vit.embeddings.";
  Value x =
      embedPatches(m, s, embeddings + "patch_embeddings.projection", images);
  int64_t tokens = patchesPerImage(s) + !s.meanPooling, e = s.hidden;
  Value positions =
      m.collapseShape("positions", m.read(embeddings + "position_embeddings"),
                      "[[0, 1], [2]]", {tokens, e});
  if (s.meanPooling)
    return add(m, "x0", "bne,ne->bne", x, positions);
  Value token = m.collapseShape("class", m.read(embeddings + "cls_token"),
                                "[[0, 1, 2]]", {e});
  Value shifted = m.placeInZeros("shifted", x, {0, 1, 0}, {s.batch, tokens, e});
  return m.elementwise("x0", "bne,e,ne->bne", {shifted, token, positions},
                       {"x", "class", "position"}, R"(
      %none = arith.constant 0 : index
      %n = linalg.index 1 : index
      %first = arith.cmpi eq, %n, %none : index
      %t = arith.select %first, %class, %x : $f
      %y = arith.addf %t, %position : $f
      linalg.yield %y : $f)");
}

void weir::model::writeVit(raw_ostream &os, const Sizes &s) {
  ModelText m("vit", s.element);
  int64_t e = s.hidden, f = s.intermediate;
  int64_t tokens = patchesPerImage(s) + !s.meanPooling;
  Init init = normal(0.02);
  if (!s.meanPooling)
    m.variable("vit.embeddings.cls_token", {1, 1, e}, init);
  m.variable("vit.embeddings.position_embeddings", {1, tokens, e}, init);
  declarePatches(m, s, "vit.embeddings.patch_embeddings.projection");
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string layer = vitLayer(i);
    declareNorm(m, layer + "layernorm_before", e);
    for (const char *which : {"query", "key", "value"})
      declareDense(m, layer + "attention.attention." + which, e, e, init);
    declareDense(m, layer + "attention.output.dense", e, e, init);
    declareNorm(m, layer + "layernorm_after", e);
    declareDense(m, layer + "intermediate.dense", e, f, init);
    declareDense(m, layer + "output.dense", f, e, init);
  }
  declareNorm(m, "vit.layernorm", e);
  declareDense(m, "classifier", e, s.classes, init);

  Value images = m.argument("images", {s.batch, s.channels, s.image, s.image});
  Value labels = m.argument("labels", {s.batch});

  m.section("Embedding of patches and positions", "embed_");
  Value x = vitEmbedding(m, s, images);
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string number = std::to_string(i), layer = vitLayer(i);
    m.section("Layer " + number + ": attention", "h" + number + "_");
    m.beginLayer(i);
    Value n1 = norm(m, "ln1", layer + "layernorm_before", "bn", x);
    const std::string a = layer + "attention.attention.";
    x = add(m, "x1", "bne,bne->bne", x,
            selfAttention(m,
                          {a + "query", a + "key", a + "value",
                           layer + "attention.output.dense"},
                          "bn", s.heads, /*causal=*/false, n1,
                          Layout::OutputsFirst));
    m.section("Layer " + number + ": MLP", "h" + number + "_");
    Value n2 = norm(m, "ln2", layer + "layernorm_after", "bn", x);
    Value up = dense(m, "up", layer + "intermediate.dense", "bn", 'e', 'f', n2);
    Value down = dense(m, "down", layer + "output.dense", "bn", 'f', 'e',
                       geluErf(m, "gelu", "bnf", up));
    x = add(m, "x2", "bne,bne->bne", x, down);
  }
  m.section("Head", "head_");
  if (s.meanPooling) {
    x = meanOverTokens(m, norm(m, "ln", "vit.layernorm", "bn", x));
  } else {
    x = m.slice("class", x, {0, 0, 0}, {s.batch, 1, e}, {s.batch, e});
    x = norm(m, "ln", "vit.layernorm", "b", x);
  }
  finish(os, m,
         describe("ViT", s) +
             formatv("\n{0} heads, intermediate {1}, {2}", s.heads, f,
                     s.meanPooling ? "mean pooling" : "class token")
                 .str(),
         "classifier", x, labels);
}

//===----------------------------------------------------------------------===//
// MLP-Mixer
//===----------------------------------------------------------------------===//

/// An MLP across tokens, the same for every feature: B x N x E to B x N x E.
/// The products stand left of x, so nothing is transposed.
static Value mixTokens(ModelText &m, const std::string &variable, Value x) {
  auto across = [&](StringRef name, const std::string &which,
                    const std::string &pattern, const std::string &bias,
                    Value y) {
    Value product = m.contract((name + "_product").str(), pattern,
                               m.read(variable + which + ".weight"), y);
    return add(m, name, bias, product, m.read(variable + which + ".bias"));
  };
  Value up = across("tokens_up", ".fc1", "sn,bne->bse", "bse,s->bse", x);
  return across("tokens_down", ".fc2", "ns,bse->bne", "bne,n->bne",
                geluErf(m, "tokens_gelu", "bse", up));
}

static Value mixChannels(ModelText &m, const std::string &variable, Value x) {
  Value up = dense(m, "channels_up", variable + ".fc1", "bn", 'e', 'f', x);
  return dense(m, "channels_down", variable + ".fc2", "bn", 'f', 'e',
               geluErf(m, "channels_gelu", "bnf", up));
}

void weir::model::writeMixer(raw_ostream &os, const Sizes &s) {
  ModelText m("mixer", s.element);
  int64_t e = s.hidden, tokens = patchesPerImage(s);
  // Glorot and Bengio, "Understanding the difficulty of training deep
  // feedforward neural networks", AISTATS 2010.
  auto declare = [&](const std::string &name, int64_t inputs, int64_t outputs) {
    declareDense(m, name, inputs, outputs,
                 normal(std::sqrt(2.0 / double(inputs + outputs))));
  };
  declarePatches(m, s, "stem.proj");
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string block = "blocks." + std::to_string(i) + ".";
    declareNorm(m, block + "norm1", e);
    declare(block + "mlp_tokens.fc1", tokens, s.tokenIntermediate);
    declare(block + "mlp_tokens.fc2", s.tokenIntermediate, tokens);
    declareNorm(m, block + "norm2", e);
    declare(block + "mlp_channels.fc1", e, s.intermediate);
    declare(block + "mlp_channels.fc2", s.intermediate, e);
  }
  declareNorm(m, "norm", e);
  // Published models start with a head of zeros, which lets nothing else learn
  // in the first step.
  declare("head", e, s.classes);

  Value images = m.argument("images", {s.batch, s.channels, s.image, s.image});
  Value labels = m.argument("labels", {s.batch});

  m.section("Embedding of patches", "embed_");
  Value x = embedPatches(m, s, "stem.proj", images);
  for (int64_t i = 0; i < s.layers; ++i) {
    std::string number = std::to_string(i), block = "blocks." + number + ".";
    m.section("Layer " + number + ": token mixing", "h" + number + "_");
    m.beginLayer(i);
    Value n1 = norm(m, "ln1", block + "norm1", "bn", x);
    x = add(m, "x1", "bne,bne->bne", x, mixTokens(m, block + "mlp_tokens", n1));
    m.section("Layer " + number + ": channel mixing", "h" + number + "_");
    Value n2 = norm(m, "ln2", block + "norm2", "bn", x);
    x = add(m, "x2", "bne,bne->bne", x,
            mixChannels(m, block + "mlp_channels", n2));
  }
  m.section("Head", "head_");
  x = meanOverTokens(m, norm(m, "ln", "norm", "bn", x));
  finish(os, m,
         describe("MLP-Mixer", s) +
             formatv("\nintermediate {0} across tokens, {1} across channels",
                     s.tokenIntermediate, s.intermediate)
                 .str(),
         "head", x, labels);
}
