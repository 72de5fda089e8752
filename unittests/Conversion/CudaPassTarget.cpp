//===- CudaPassTarget.cpp - passes compiled for the emulated device -------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "weir/Conversion/Passes.h"
#include "weir/Cuda.h"
#include "weir/Target/DeviceCode.h"

#include "cuda_runtime_api.h"

#include <stdexcept>

using namespace mlir;

namespace {

/// What passes are called with in the place of the runtime's context.
struct Loaded {
  std::vector<cudaKernel_t> kernels;
};

} // namespace

static void check(cudaError_t error) {
  if (error != cudaSuccess)
    throw std::runtime_error("CUDA error " + std::to_string(error));
}

// The part of the runtime that compiled passes call, on one stream.

extern "C" void weir_cuda_launch_kernel(weir_context *context,
                                        const weir_cuda_launch *launch,
                                        void *const *arguments) {
  const void *addresses[WEIR_CUDA_MAX_ARGUMENTS];
  for (int64_t i = 0; i < launch->num_arguments; ++i)
    addresses[i] = &arguments[i];
  dim3 grid(launch->grid[0], launch->grid[1], launch->grid[2]);
  dim3 block(launch->block[0], launch->block[1], launch->block[2]);
  check(cudaLaunchKernel(
      reinterpret_cast<const void *>(
          reinterpret_cast<Loaded *>(context)->kernels[launch->kernel]),
      grid, block, const_cast<void **>(addresses), launch->shared_bytes,
      nullptr));
}

extern "C" void weir_cuda_multiply(weir_context *context,
                                   const weir_cuda_product *product,
                                   const void *a, const void *b, void *c,
                                   void *bias, void *, void *) {
  check(cudaDeviceSynchronize());
  const weir_product &shape = product->product;
  countProduct(context, &shape, a, b, c);
  if (product->epilogue == WEIR_CUDA_EPILOGUE_NONE)
    return;
  auto add = [&](auto *matrix, const auto *row) {
    for (int64_t i = 0; i < shape.m; ++i)
      for (int64_t j = 0; j < shape.n; ++j)
        matrix[i * shape.c_stride_m + j * shape.c_stride_n] += row[j];
  };
  if (shape.element_type == WEIR_F32)
    add(static_cast<float *>(c), static_cast<const float *>(bias));
  else
    add(static_cast<double *>(c), static_cast<const double *>(bias));
}

static std::shared_ptr<void>
load(ModuleOp module, llvm::function_ref<void *(const std::string &)> lookup) {
  cudaLibrary_t library;
  check(cudaLibraryLoadData(&library, lookup("weir_device_image"), nullptr,
                            nullptr, 0, nullptr, nullptr, 0));
  auto context = std::make_shared<Loaded>();
  for (Attribute name :
       module->getAttrOfType<ArrayAttr>(weir::deviceKernelsName))
    check(
        cudaLibraryGetKernel(&context->kernels.emplace_back(), library,
                             cast<StringAttr>(name).getValue().str().c_str()));
  return context;
}

const PassTarget &getTarget() {
  static const PassTarget target = {
      [](PassManager &passes) {
        weir::ConvertWeirToCUDAOptions options;
        options.arch = "emulated";
        options.productWorkspace = 0;
        options.fuseBias = true;
        passes.addPass(weir::createConvertWeirToCUDA(options));
        passes.addNestedPass<ModuleOp>(weir::createConvertGPUToEmulated());
      },
      load,
      [](int64_t bytes) {
        void *memory;
        check(cudaMalloc(&memory, bytes));
        return static_cast<char *>(memory);
      },
      [](char *memory) { cudaFree(memory); },
      [] { check(cudaDeviceSynchronize()); },
      /*tolerance=*/1e-4};
  return target;
}
