//===- CudaTarget.h - objects and executables for CUDA devices --*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From what `convert-weir-to-cuda` leaves in `module @weir_kernels` and a
// program table to LLVM IR, an object or an executable, which holds the kernels
// as a binary for one architecture.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_CUDATARGET_H
#define WEIR_TARGET_CUDATARGET_H

#include "weir/Target/HostTarget.h"

namespace weir {

/// The architecture of the emulated device, on which tests run without a GPU.
inline constexpr llvm::StringLiteral emulatedArch = "emulated";

/// Whether kernels can be compiled for `arch`: an architecture that LLVM and CUDA
/// 13 know, such as sm_90a, or `emulated`.
bool isCudaArch(llvm::StringRef arch);

/// Writes the LLVM module of the host side (with `main`) as text. Kernels are in
/// it as a binary for `arch`, which needs ptxas and libdevice of the CUDA
/// toolkit, or as functions of the host if `arch` is `emulated`.
llvm::Error emitCudaLLVM(const HostProgram &program, llvm::StringRef arch,
                         llvm::raw_ostream &os);

/// Writes an object file (with `main`) to `path`, complete or not at all.
llvm::Error emitCudaObject(const HostProgram &program, llvm::StringRef arch,
                           llvm::StringRef path);

/// Writes an executable to `path`: the object linked with the libraries, the
/// CUDA runtime library of Weir and the toolkit's libraries, which are looked
/// for in CUDA_HOME, CUDA_PATH or where they were when Weir was built, and found
/// there at run time, or else by the dynamic linker. For the emulated device,
/// linked with that instead. Fails with one line that says what is missing.
llvm::Error emitCudaExecutable(const HostProgram &program, llvm::StringRef arch,
                               llvm::StringRef path);

} // namespace weir

#endif // WEIR_TARGET_CUDATARGET_H
