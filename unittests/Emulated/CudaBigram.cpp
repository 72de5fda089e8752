//===- CudaBigram.cpp - the bigram model on emulated devices --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaBigram.h"

#include "weir/Emulated.h"
#include "weir/Runtime/Context.h"

#include <cassert>
#include <utility>

using namespace weir::runtime::testing;

using B = Bigram;

namespace {

struct Argument {
  int64_t bytes;
  bool write;
};

} // namespace

static constexpr int64_t parameterBytes = B::vocab * B::width * 4;
static constexpr size_t numKernels = 7;

/// In the order in which Bigram adds its kernels.
static const std::vector<Argument> arguments[numKernels] = {
    // forward0: tokens, embedding, x
    {{B::inputBytes, false}, {parameterBytes, false}, {B::xBytes, true}},
    // forward1: x, head, labels, loss, count, gradient of the logits
    {{B::xBytes, false},
     {parameterBytes, false},
     {B::inputBytes, false},
     {4, true},
     {4, true},
     {B::logitsBytes, true}},
    // backward_input1: gradient of the logits, head, gradient of x
    {{B::logitsBytes, false}, {parameterBytes, false}, {B::xBytes, true}},
    // backward_weight1: x, gradient of the logits, gradient of the head
    {{B::xBytes, false}, {B::logitsBytes, false}, {parameterBytes, true}},
    // backward_weight0: tokens, gradient of x, gradient of the embedding
    {{B::inputBytes, false}, {B::xBytes, false}, {parameterBytes, true}},
    // update0: embedding, its gradient, learning rate, count
    {{parameterBytes, true}, {parameterBytes, true}, {4, false}, {4, false}},
    // update1: head, its gradients by use, learning rate, count
    {{parameterBytes, true},
     {parameterBytes, true},
     {parameterBytes, false},
     {4, false},
     {4, false}},
};

static const char *const kernelNames[numKernels] = {
    "forward0",         "forward1", "backward_input1", "backward_weight1",
    "backward_weight0", "update0",  "update1"};

static weir_kernel hostPasses[numKernels];

template <size_t index>
static void runThread(void *const *buffers, weir_emulated_thread *thread) {
  for (size_t i = 0; i < arguments[index].size(); ++i)
    weir_emulated_access(thread, int64_t(i), buffers[i],
                         arguments[index][i].bytes, arguments[index][i].write);
  weir_context context;
  hostPasses[index](&context, buffers);
}

template <size_t index>
static void launch(weir_context *context, void *const *buffers) {
  static const weir_cuda_launch launch = {int64_t(index),
                                          {1, 1, 1},
                                          {1, 1, 1},
                                          0,
                                          int64_t(arguments[index].size()),
                                          0};
  weir_cuda_launch_kernel(context, &launch, buffers);
}

template <size_t... indices>
static std::vector<weir_kernel> makePasses(std::index_sequence<indices...>) {
  return {launch<indices>...};
}

template <size_t... indices>
static std::vector<weir_emulated_kernel>
makeKernels(std::index_sequence<indices...>) {
  return {{kernelNames[indices], runThread<indices>,
           int64_t(arguments[indices].size()), 0,
           WEIR_EMULATED_REPORTS_ACCESSES}...};
}

CudaBigram::CudaBigram(TableBuilder builder) : table(builder.build()) {
  static const std::vector<weir_emulated_kernel> kernels =
      makeKernels(std::make_index_sequence<numKernels>());
  static const weir_emulated_image image = {WEIR_EMULATED_MAGIC, numKernels,
                                            kernels.data()};
  assert(builder.kernels.size() == numKernels);
  std::copy(builder.kernels.begin(), builder.kernels.end(), hostPasses);
  passes = makePasses(std::make_index_sequence<numKernels>());
  module.module = {table.data(), int64_t(table.size()), passes.data(), nullptr,
                   0};
  module.arch = "emulated";
  module.image = &image;
  module.image_bytes = sizeof(image);
  module.kernel_names = kernelNames;
  module.num_kernels = numKernels;
}
