//===- Main.cpp - the training program of CUDA devices --------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include <cstdlib>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// Fails for products that cuBLASLt has no layout for; that needs no device.
static Status checkProducts(const weir_cuda_module &module) {
  for (int64_t i = 0; i < module.num_products; ++i) {
    ProductLayout layout;
    if (Status status = makeLayout(*module.products[i], layout);
        status.failed())
      return fail("program: ", status.message());
  }
  return {};
}

extern "C" int weir_cuda_main(int argc, char **argv,
                              const weir_cuda_module *module) {
  // Streams beyond the hardware's queues wait for each other. Read by the
  // driver when it starts; what the user has set stays.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);
  CudaOptions options;
  TrainingTarget target;
  target.options = cudaTargetOptions(options);
  target.checkProducts = [&] { return checkProducts(*module); };
  target.makeTrainer = [&](std::shared_ptr<Job> job) {
    return std::make_unique<CudaExecutor>(std::move(job), *module, options);
  };
  return trainingMain(argc, argv, module->module, target);
}
