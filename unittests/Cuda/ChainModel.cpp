//===- ChainModel.cpp - a pipeline of any length
//-----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ChainModel.h"

using namespace weir::runtime::testing;

static constexpr int64_t rows = 2, context = 8, size = rows * context;
static constexpr int64_t bytes = size * 4;

static float *floats(void *buffer) { return static_cast<float *>(buffer); }

// tokens, x
static void embed(weir_context *, void *const *buffers) {
  for (int64_t i = 0; i < size; ++i)
    floats(buffers[1])[i] =
        0.125f * float(static_cast<const int32_t *>(buffers[0])[i]);
}

// x, w, y
static void forward(weir_context *, void *const *buffers) {
  for (int64_t i = 0; i < size; ++i)
    floats(buffers[2])[i] = floats(buffers[0])[i] * floats(buffers[1])[i];
}

// y, loss, count, gradient of y
static void addLoss(weir_context *, void *const *buffers) {
  for (int64_t i = 0; i < size; ++i) {
    *floats(buffers[1]) += floats(buffers[0])[i];
    *floats(buffers[2]) += 1;
    floats(buffers[3])[i] = 1;
  }
}

// x, w, gradient of y, gradient of w, gradient of x
static void backward(weir_context *, void *const *buffers) {
  for (int64_t i = 0; i < size; ++i) {
    floats(buffers[3])[i] += floats(buffers[0])[i] * floats(buffers[2])[i];
    floats(buffers[4])[i] = floats(buffers[1])[i] * floats(buffers[2])[i];
  }
}

// w, its gradient, learning rate, number of the step
static void update(weir_context *, void *const *buffers) {
  for (int64_t i = 0; i < size; ++i)
    floats(buffers[0])[i] -=
        *floats(buffers[2]) * floats(buffers[1])[i] / *floats(buffers[3]);
}

namespace {

struct Chain {
  Chain(int64_t numDevices, int64_t microbatches);
  void forwardOn(int64_t device);
  void backwardOn(int64_t device);

  TableBuilder table;
  const int64_t numDevices, microbatches;
  int64_t tokens, embedKernel, forwardKernel, lossKernel, backwardKernel,
      updateKernel;
  struct Device {
    int64_t w, gradient, rate, step, loss, count;
    std::vector<int64_t> x, y, dx, dy; /* by microbatch */
  };
  std::vector<Device> devices;
};

} // namespace

Chain::Chain(int64_t numDevices, int64_t microbatches)
    : table(numDevices), numDevices(numDevices), microbatches(microbatches),
      devices(numDevices) {
  table.header.num_stages = numDevices;
  table.header.num_microbatches = microbatches;
  table.header.loss_device = numDevices - 1;
  table.header.model_name = table.string("chain");
  table.header.schedule_name = table.string("by hand");
  tokens = table.addInput("tokens", {rows, context});
  embedKernel = table.addKernel("embed", embed);
  forwardKernel = table.addKernel("forward", forward);
  lossKernel = table.addKernel("loss", addLoss);
  backwardKernel = table.addKernel("backward", backward);
  updateKernel = table.addKernel("update", update);
  for (int64_t d = 0; d < numDevices; ++d) {
    Device &device = devices[d];
    int64_t variable = table.addVariable("w" + std::to_string(d),
                                         {rows, context}, WEIR_INIT_NORMAL, 1);
    device.w =
        table.addResident(d, WEIR_RESIDENT_PARAMETER, variable, 0, bytes);
    device.gradient =
        table.addResident(d, WEIR_RESIDENT_GRADIENT, variable, 0, bytes);
    device.rate = table.addResident(d, WEIR_RESIDENT_LEARNING_RATE, -1, 0, 4);
    device.step = table.addResident(d, WEIR_RESIDENT_STEP, -1, 0, 4);
    if (d == numDevices - 1) {
      device.loss = table.addResident(d, WEIR_RESIDENT_LOSS, -1, 0, 4);
      device.count = table.addResident(d, WEIR_RESIDENT_COUNT, -1, 0, 4);
    }
    for (int64_t mb = 0; mb < microbatches; ++mb)
      for (auto list : {&Device::x, &Device::y, &Device::dx, &Device::dy})
        (device.*list).push_back(table.devices[d].allocate(bytes));
  }
}

void Chain::forwardOn(int64_t d) {
  Device &device = devices[d];
  bool isFirst = d == 0, isLast = d == numDevices - 1;
  std::vector<int64_t> receives, sends;
  // The receive of the next microbatch is under way while this one is computed.
  auto ask = [&](int64_t mb) {
    if (!isFirst && mb < microbatches)
      receives.push_back(table.recvStart(d, d - 1, 100 * d + mb, mb,
                                         device.x[mb], bytes, "x"));
  };
  ask(0);
  for (int64_t mb = 0; mb < microbatches; ++mb) {
    ask(mb + 1);
    if (isFirst) {
      table.load(d, tokens, mb, device.dx[mb], bytes);
      table.run(d, embedKernel, WEIR_PASS_FORWARD, d, mb,
                {device.dx[mb], device.x[mb]});
    } else {
      table.wait(d, receives[mb]);
    }
    table.run(d, forwardKernel, WEIR_PASS_FORWARD, d, mb,
              {device.x[mb], device.w, device.y[mb]});
    if (isLast)
      table.run(d, lossKernel, WEIR_PASS_FORWARD, d, mb,
                {device.y[mb], device.loss, device.count, device.dy[mb]});
    else
      sends.push_back(table.sendStart(d, d + 1, 100 * (d + 1) + mb, mb,
                                      device.y[mb], bytes, "x"));
  }
  for (int64_t send : sends)
    table.wait(d, send);
}

void Chain::backwardOn(int64_t d) {
  Device &device = devices[d];
  std::vector<int64_t> sends;
  for (int64_t mb = 0; mb < microbatches; ++mb) {
    if (d + 1 < numDevices)
      table.wait(d, table.recvStart(d, d + 1, 10000 + 100 * d + mb, mb,
                                    device.dy[mb], bytes, "dx"));
    table.run(d, backwardKernel, WEIR_PASS_BACKWARD, d, mb,
              {device.x[mb], device.w, device.dy[mb], device.gradient,
               device.dx[mb]});
    if (d > 0)
      sends.push_back(table.sendStart(d, d - 1, 10000 + 100 * (d - 1) + mb, mb,
                                      device.dx[mb], bytes, "dx"));
  }
  table.run(d, updateKernel, WEIR_PASS_UPDATE, -1, -1,
            {device.w, device.gradient, device.rate, device.step},
            "update w" + std::to_string(d));
  for (int64_t send : sends)
    table.wait(d, send);
}

TableBuilder weir::runtime::testing::makeChain(int64_t numDevices,
                                               int64_t microbatches) {
  Chain chain(numDevices, microbatches);
  for (int64_t d = 0; d < numDevices; ++d) {
    chain.forwardOn(d);
    chain.backwardOn(d);
  }
  return std::move(chain.table);
}
