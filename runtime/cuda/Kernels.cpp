//===- Kernels.cpp - compiled kernels and passes --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "weir/Runtime/Options.h"

#include <cctype>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

Status weir::runtime::cuda::checkArch(const std::string &arch, int major,
                                      int minor, const std::string &device) {
  std::string_view text = arch;
  if (!text.starts_with("sm_"))
    return {};
  text.remove_prefix(3);
  bool isExact = !text.empty() && std::isalpha(text.back());
  if (isExact)
    text.remove_suffix(1);
  int number = 0;
  if (!readNumber(text, 10, 9999, number))
    return fail("program: unknown architecture '", arch, "'");
  bool runs = number / 10 == major &&
              (isExact ? number % 10 == minor : number % 10 <= minor);
  if (runs)
    return {};
  return fail("this program was compiled for ", arch, ", and ", device,
              " is an sm_", major, minor, "; compile with --arch=sm_", major,
              minor);
}

static Status checkDevice(const std::string &arch) {
  int ordinal = 0, major = 0, minor = 0;
  Status status = check(cudaGetDevice(&ordinal), "cudaGetDevice");
  if (!status.failed())
    status = check(cudaDeviceGetAttribute(
                       &major, cudaDevAttrComputeCapabilityMajor, ordinal),
                   "cudaDeviceGetAttribute");
  if (!status.failed())
    status = check(cudaDeviceGetAttribute(
                       &minor, cudaDevAttrComputeCapabilityMinor, ordinal),
                   "cudaDeviceGetAttribute");
  if (status.failed())
    return status;
  return checkArch(arch, major, minor,
                   "device " + std::to_string(ordinal) + " (" +
                       deviceName(ordinal) + ")");
}

Status Kernels::load(const weir_cuda_module &module) {
  if (Status status = checkDevice(module.arch ? module.arch : "");
      status.failed())
    return status;
  if (module.num_kernels == 0)
    return {};
  Status status = check(cudaLibraryLoadData(&library, module.image, nullptr,
                                            nullptr, 0, nullptr, nullptr, 0),
                        "cannot load the kernels of the program");
  if (status.failed())
    return status;
  for (int64_t i = 0; i < module.num_kernels; ++i) {
    status = check(cudaLibraryGetKernel(&kernels.emplace_back(), library,
                                        module.kernel_names[i]),
                   "kernel '" + std::string(module.kernel_names[i]) + "'");
    if (status.failed())
      return status;
  }
  return {};
}

Kernels::~Kernels() {
  if (library)
    (void)cudaLibraryUnload(library);
}

//===----------------------------------------------------------------------===//
// What compiled passes call
//===----------------------------------------------------------------------===//

void PassContext::fail(const Status &status) {
  if (failure)
    return;
  failureText = status.message();
  failure = failureText.c_str();
}

void PassContext::note(const Status &status) {
  if (status.failed())
    fail(status);
}

static PassContext &contextOf(weir_context *context) {
  return *static_cast<PassContext *>(context);
}

extern "C" void weir_cuda_launch_kernel(weir_context *context,
                                        const weir_cuda_launch *launch,
                                        void *const *arguments) {
  PassContext &pass = contextOf(context);
  const int64_t numKernels = pass.kernels->size();
  if (launch->kernel < 0 || launch->kernel >= numKernels ||
      launch->num_arguments < 0 ||
      launch->num_arguments > WEIR_CUDA_MAX_ARGUMENTS)
    return pass.fail(fail("launch of kernel ", launch->kernel, " of ",
                          numKernels, " with ", launch->num_arguments,
                          " arguments"));
  // cudaLaunchKernel takes the address of each parameter.
  void *parameters[WEIR_CUDA_MAX_ARGUMENTS];
  for (int64_t i = 0; i < launch->num_arguments; ++i)
    parameters[i] = const_cast<void **>(&arguments[i]);
  auto dims = [](const int64_t(&size)[3]) {
    return dim3(static_cast<unsigned>(size[0]), static_cast<unsigned>(size[1]),
                static_cast<unsigned>(size[2]));
  };
  if (pass.times)
    pass.note(pass.times->beforeKernel(pass.compute, *launch,
                                       pass.kernelNames[launch->kernel]));
  cudaError_t error = cudaLaunchKernel(
      reinterpret_cast<const void *>((*pass.kernels)[launch->kernel]),
      dims(launch->grid), dims(launch->block), parameters, launch->shared_bytes,
      pass.compute);
  if (error != cudaSuccess)
    pass.fail(
        check(error, "launch of kernel " + std::to_string(launch->kernel)));
  if (pass.times)
    pass.note(pass.times->after(pass.compute));
}

extern "C" void weir_cuda_multiply(weir_context *context,
                                   const weir_cuda_product *product,
                                   const void *a, const void *b, void *c,
                                   void *bias, void *aux, void *workspace) {
  PassContext &pass = contextOf(context);
  if (pass.times)
    pass.note(pass.times->beforeProduct(pass.compute, *product));
  Status status = pass.products->multiply(pass.compute, product, a, b, c, bias,
                                          aux, workspace);
  pass.note(status);
  if (pass.times)
    pass.note(pass.times->after(pass.compute));
}

extern "C" void *weir_cuda_stream(weir_context *context) {
  return contextOf(context).compute;
}
