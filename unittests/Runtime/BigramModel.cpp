//===- BigramModel.cpp - a model small enough to compile by hand ----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BigramModel.h"

#include <algorithm>
#include <cmath>
#include <fstream>

using namespace weir::runtime::testing;

using B = Bigram;

std::function<void(weir_context *)> Bigram::beforeForward[2];
thread_local bool Bigram::isInsideProduct = false;

/// Row-major matrices without a batch; transposed operands by their strides.
static weir_product matrixProduct(int64_t m, int64_t n, int64_t k,
                                  bool transposedA, bool transposedB,
                                  bool accumulate) {
  weir_product product = {};
  product.element_type = WEIR_F32;
  product.m = m;
  product.n = n;
  product.k = k;
  product.a_stride_m = transposedA ? 1 : k;
  product.a_stride_k = transposedA ? m : 1;
  product.b_stride_k = transposedB ? 1 : n;
  product.b_stride_n = transposedB ? k : 1;
  product.c_stride_m = n;
  product.c_stride_n = 1;
  product.accumulate = accumulate;
  return product;
}

static const weir_product logitsProduct =
    matrixProduct(B::positions, B::vocab, B::width, false, false, false);
static const weir_product inputGradientProduct =
    matrixProduct(B::positions, B::width, B::vocab, false, true, false);
static const weir_product headGradientProduct =
    matrixProduct(B::width, B::vocab, B::positions, true, false, true);

const weir_product *const Bigram::products[3] = {
    &logitsProduct, &inputGradientProduct, &headGradientProduct};

//===----------------------------------------------------------------------===//
// Compiled passes
//===----------------------------------------------------------------------===//

static void multiply(weir_context *context, const weir_product *product,
                     const void *a, const void *b, void *c) {
  B::isInsideProduct = true;
  weir_host_product(context, product, a, b, c);
  B::isInsideProduct = false;
}

static float *floats(void *buffer) { return static_cast<float *>(buffer); }

/// A poisoned or wrong token reads and writes nothing, as compiled code would
/// have to crash or ignore it; what it would have given is NaN.
static bool isToken(int32_t token) { return token >= 0 && token < B::vocab; }

// tokens, embedding, x
static void forward0(weir_context *context, void *const *buffers) {
  if (B::beforeForward[0])
    B::beforeForward[0](context);
  auto tokens = static_cast<const int32_t *>(buffers[0]);
  for (int64_t i = 0; i < B::positions; ++i)
    for (int64_t j = 0; j < B::width; ++j)
      floats(buffers[2])[i * B::width + j] =
          isToken(tokens[i]) ? floats(buffers[1])[tokens[i] * B::width + j]
                             : NAN;
}

// x, head, labels, loss, count, gradient of the logits
static void forward1(weir_context *context, void *const *buffers) {
  if (B::beforeForward[1])
    B::beforeForward[1](context);
  float *logits = floats(buffers[5]);
  multiply(context, &logitsProduct, buffers[0], buffers[1], logits);
  auto labels = static_cast<const int32_t *>(buffers[2]);
  for (int64_t i = 0; i < B::positions; ++i) {
    float *row = logits + i * B::vocab;
    float largest = *std::max_element(row, row + B::vocab);
    float sum = 0;
    for (int64_t j = 0; j < B::vocab; ++j)
      sum += std::exp(row[j] - largest);
    *floats(buffers[3]) +=
        isToken(labels[i]) ? std::log(sum) + largest - row[labels[i]] : NAN;
    *floats(buffers[4]) += 1;
    for (int64_t j = 0; j < B::vocab; ++j)
      row[j] = std::exp(row[j] - largest) / sum - (j == labels[i]);
  }
}

// gradient of the logits, head, gradient of x
static void backwardInput1(weir_context *context, void *const *buffers) {
  multiply(context, &inputGradientProduct, buffers[0], buffers[1], buffers[2]);
}

// x, gradient of the logits, gradient of the head
static void backwardWeight1(weir_context *context, void *const *buffers) {
  multiply(context, &headGradientProduct, buffers[0], buffers[1], buffers[2]);
}

// tokens, gradient of x, gradient of the embedding
static void backwardWeight0(weir_context *, void *const *buffers) {
  auto tokens = static_cast<const int32_t *>(buffers[0]);
  for (int64_t i = 0; i < B::positions; ++i)
    for (int64_t j = 0; j < B::width && isToken(tokens[i]); ++j)
      floats(buffers[2])[tokens[i] * B::width + j] +=
          floats(buffers[1])[i * B::width + j];
}

/// Adds the uses up where the first one is, as an optimizer may.
static void descend(float *parameter, float *gradient0, const float *gradient1,
                    float rate, float count, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    if (gradient1)
      gradient0[i] += gradient1[i];
    parameter[i] -= rate * (gradient0[i] / count);
  }
}

// embedding, its gradient, learning rate, count
static void update0(weir_context *, void *const *buffers) {
  descend(floats(buffers[0]), floats(buffers[1]), nullptr, *floats(buffers[2]),
          *floats(buffers[3]), B::vocab * B::width);
}

// head, its gradients by use, learning rate, count
static void update1(weir_context *, void *const *buffers) {
  descend(floats(buffers[0]), floats(buffers[1]), floats(buffers[2]),
          *floats(buffers[3]), *floats(buffers[4]), B::width * B::vocab);
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

namespace {

/// The parts of the table that every program of the model shares.
struct Parts {
  explicit Parts(int64_t numDevices) : table(numDevices) {
    table.header.num_stages = 2;
    table.header.num_microbatches = B::microbatches;
    table.header.vocab = B::vocab;
    table.header.loss_device = numDevices - 1;
    table.header.model_name = table.string("bigram");
    table.header.schedule_name = table.string("by hand");
    tokens = table.addInput("tokens", {B::rows, B::context});
    labels = table.addInput("labels", {B::rows, B::context});
    embedding = table.addVariable("embedding", {B::vocab, B::width},
                                  WEIR_INIT_NORMAL, 0.1);
    head =
        table.addVariable("head", {B::width, B::vocab}, WEIR_INIT_NORMAL, 0.1);
    f0 = table.addKernel("forward0", forward0, "rrw");
    f1 = table.addKernel("forward1", forward1, "rrrwww");
    b1 = table.addKernel("backward_input1", backwardInput1, "rrw");
    w1 = table.addKernel("backward_weight1", backwardWeight1, "rrw");
    w0 = table.addKernel("backward_weight0", backwardWeight0, "rrw");
    u0 = table.addKernel("update0", update0, "wwrr");
    u1 = table.addKernel("update1", update1, "wwrrr");
    int64_t first = 0, last = numDevices - 1;
    const int64_t bytes = B::vocab * B::width * 4;
    embeddingAt =
        table.addResident(first, WEIR_RESIDENT_PARAMETER, embedding, 0, bytes);
    embeddingGradientAt =
        table.addResident(first, WEIR_RESIDENT_GRADIENT, embedding, 0, bytes);
    headAt = table.addResident(last, WEIR_RESIDENT_PARAMETER, head, 0, bytes);
    for (int64_t use = 0; use < 2; ++use)
      headGradientAt[use] =
          table.addResident(last, WEIR_RESIDENT_GRADIENT, head, use, bytes);
    lossAt = table.addResident(last, WEIR_RESIDENT_LOSS, -1, 0, 4);
    countAt = table.addResident(last, WEIR_RESIDENT_COUNT, -1, 0, 4);
    for (int64_t device = 0; device < numDevices; ++device)
      rateAt.push_back(
          table.addResident(device, WEIR_RESIDENT_LEARNING_RATE, -1, 0, 4));
  }

  void runForward0(int64_t mb, int64_t tokensAt, int64_t xAt) {
    table.load(0, tokens, mb, tokensAt, B::inputBytes);
    table.run(0, f0, WEIR_PASS_FORWARD, 0, mb, {tokensAt, embeddingAt, xAt});
  }
  void runForward1(int64_t device, int64_t mb, int64_t xAt, int64_t labelsAt,
                   int64_t logitsAt) {
    table.load(device, labels, mb, labelsAt, B::inputBytes);
    table.run(device, f1, WEIR_PASS_FORWARD, 1, mb,
              {xAt, headAt, labelsAt, lossAt, countAt, logitsAt});
    table.release(device, labelsAt, B::inputBytes);
  }
  void runBackwardInput1(int64_t device, int64_t mb, int64_t logitsAt,
                         int64_t dxAt) {
    table.run(device, b1, WEIR_PASS_BACKWARD_INPUT, 1, mb,
              {logitsAt, headAt, dxAt});
  }
  void runBackwardWeight1(int64_t device, int64_t mb, int64_t xAt,
                          int64_t logitsAt) {
    table.run(device, w1, WEIR_PASS_BACKWARD_WEIGHT, 1, mb,
              {xAt, logitsAt, headGradientAt[mb % 2]});
  }
  void runBackwardWeight0(int64_t mb, int64_t tokensAt, int64_t dxAt) {
    table.run(0, w0, WEIR_PASS_BACKWARD_WEIGHT, 0, mb,
              {tokensAt, dxAt, embeddingGradientAt});
    table.release(0, tokensAt, B::inputBytes);
    table.release(0, dxAt, B::xBytes);
  }
  void runUpdate0(int64_t knownCountAt) {
    table.run(0, u0, WEIR_PASS_UPDATE, -1, -1,
              {embeddingAt, embeddingGradientAt, rateAt[0], knownCountAt},
              "update embedding");
  }
  void runUpdate1(int64_t device) {
    table.run(
        device, u1, WEIR_PASS_UPDATE, -1, -1,
        {headAt, headGradientAt[0], headGradientAt[1], rateAt[device], countAt},
        "update head");
  }

  TableBuilder table;
  int64_t tokens, labels, embedding, head;
  int64_t f0, f1, b1, w1, w0, u0, u1;
  int64_t embeddingAt, embeddingGradientAt, headAt, headGradientAt[2];
  int64_t lossAt, countAt;
  std::vector<int64_t> rateAt;
};

} // namespace

static TableBuilder oneDevice(bool releaseTooEarly) {
  Parts p(1);
  TableBuilder::Device &device = p.table.devices[0];
  int64_t tokensAt = device.allocate(B::inputBytes);
  int64_t labelsAt = device.allocate(B::inputBytes);
  int64_t xAt = device.allocate(B::xBytes);
  int64_t dxAt = device.allocate(B::xBytes);
  int64_t logitsAt = device.allocate(B::logitsBytes);
  for (int64_t mb = 0; mb < B::microbatches; ++mb) {
    p.runForward0(mb, tokensAt, xAt);
    p.runForward1(0, mb, xAt, labelsAt, logitsAt);
    p.runBackwardInput1(0, mb, logitsAt, dxAt);
    if (releaseTooEarly)
      p.table.release(0, xAt, B::xBytes);
    p.runBackwardWeight1(0, mb, xAt, logitsAt);
    if (!releaseTooEarly)
      p.table.release(0, xAt, B::xBytes);
    p.table.release(0, logitsAt, B::logitsBytes);
    // The head is updated before the embedding has all of its gradient.
    if (mb == B::microbatches - 1)
      p.runUpdate1(0);
    p.runBackwardWeight0(mb, tokensAt, dxAt);
  }
  p.runUpdate0(p.countAt);
  return std::move(p.table);
}

TableBuilder Bigram::onOneDevice() { return oneDevice(false); }

TableBuilder Bigram::withWrongLiveRange() { return oneDevice(true); }

TableBuilder Bigram::onTwoDevices() {
  Parts p(2);
  TableBuilder &table = p.table;
  const int64_t inFlight = 2;
  const int64_t gradients = 100, countMessage = 200; // message numbers

  // Device 0: forward passes run ahead of backward passes by `inFlight`.
  std::vector<int64_t> tokensAt, xAt, dxAt;
  for (int64_t i = 0; i < inFlight; ++i) {
    tokensAt.push_back(table.devices[0].allocate(inputBytes));
    xAt.push_back(table.devices[0].allocate(xBytes));
    dxAt.push_back(table.devices[0].allocate(xBytes));
  }
  std::vector<int64_t> sends(microbatches), receives(microbatches);
  auto backward0 = [&](int64_t mb) {
    table.wait(0, receives[mb]);
    p.runBackwardWeight0(mb, tokensAt[mb % inFlight], dxAt[mb % inFlight]);
  };
  for (int64_t mb = 0; mb < microbatches; ++mb) {
    int64_t slot = mb % inFlight;
    if (mb >= inFlight)
      backward0(mb - inFlight);
    p.runForward0(mb, tokensAt[slot], xAt[slot]);
    sends[mb] = table.sendStart(0, 1, mb, mb, xAt[slot], xBytes, "x");
    receives[mb] =
        table.recvStart(0, 1, gradients + mb, mb, dxAt[slot], xBytes, "dx");
    table.wait(0, sends[mb]);
    table.release(0, xAt[slot], xBytes);
  }
  for (int64_t mb = microbatches - inFlight; mb < microbatches; ++mb)
    backward0(mb);
  int64_t countAt = table.devices[0].allocate(4);
  table.wait(0, table.recvStart(0, 1, countMessage, -1, countAt, 4, "count"));
  p.runUpdate0(countAt);
  table.release(0, countAt, 4);

  // Device 1: asks for the next input before it works on this one.
  std::vector<int64_t> inputAt;
  for (int64_t i = 0; i < inFlight; ++i)
    inputAt.push_back(table.devices[1].allocate(xBytes));
  int64_t labelsAt = table.devices[1].allocate(inputBytes);
  int64_t logitsAt = table.devices[1].allocate(logitsBytes);
  int64_t outAt = table.devices[1].allocate(xBytes);
  auto askFor = [&](int64_t mb) {
    return table.recvStart(1, 0, mb, mb, inputAt[mb % inFlight], xBytes, "x");
  };
  std::vector<int64_t> asked = {askFor(0)};
  for (int64_t mb = 0; mb < microbatches; ++mb) {
    int64_t x = inputAt[mb % inFlight];
    if (mb + 1 < microbatches)
      asked.push_back(askFor(mb + 1));
    table.wait(1, asked[mb]);
    p.runForward1(1, mb, x, labelsAt, logitsAt);
    p.runBackwardInput1(1, mb, logitsAt, outAt);
    int64_t send =
        table.sendStart(1, 0, gradients + mb, mb, outAt, xBytes, "dx");
    p.runBackwardWeight1(1, mb, x, logitsAt);
    table.wait(1, send);
    table.release(1, x, xBytes);
    table.release(1, logitsAt, logitsBytes);
    table.release(1, outAt, xBytes);
  }
  int64_t send = table.sendStart(1, 0, countMessage, -1, p.countAt, 4, "count");
  p.runUpdate1(1);
  table.wait(1, send);
  return std::move(p.table);
}

std::string weir::runtime::testing::writeText(const std::string &directory,
                                              int64_t length) {
  std::string path = directory + "/text";
  std::ofstream file(path, std::ios::binary);
  for (int64_t i = 0, token = 1; i < length; ++i) {
    file.put(static_cast<char>(token));
    token = (token * 5 + 7) % Bigram::vocab;
  }
  return path;
}
