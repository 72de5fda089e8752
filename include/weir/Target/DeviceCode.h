//===- DeviceCode.h - kernels as code of a CUDA device ----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From the kernels that `convert-weir-to-cuda` leaves in `gpu.module
// @weir_device` to what a device can load.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_DEVICECODE_H
#define WEIR_TARGET_DEVICECODE_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "llvm/Support/Error.h"

#include <string>

namespace weir {

/// Name of the module of kernels inside `module @weir_kernels`.
inline constexpr llvm::StringLiteral deviceModuleName = "weir_device";
/// On `module @weir_kernels`: the names of the kernels by number.
inline constexpr llvm::StringLiteral deviceKernelsName = "weir.device_kernels";
/// Name of the array that holds the address of every weir_cuda_product.
inline constexpr llvm::StringLiteral cudaProductsName = "weir_cuda_products";

/// Adds what `compileToCubin` needs to translate the NVVM dialect.
void registerDeviceDialects(mlir::DialectRegistry &registry);

/// Where the CUDA toolkit should be: the directory of the environment variable
/// CUDA_HOME, else /usr/local/cuda.
std::string getCudaToolkit();

/// Compiles the kernels of `module` to a cubin for `arch`, such as sm_90a. The
/// module stays as it is. ptxas and libdevice are those of the toolkit. Fails
/// with one line that says what is missing, or what ptxas said first.
/// `ptxasOptions` are handed to ptxas; what it prints goes to standard error.
llvm::Expected<std::string> compileToCubin(mlir::gpu::GPUModuleOp module,
                                           llvm::StringRef arch,
                                           llvm::StringRef ptxasOptions = "");

} // namespace weir

#endif // WEIR_TARGET_DEVICECODE_H
