//===- DeviceCode.cpp - kernels as code of a CUDA device ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/DeviceCode.h"

#include "weir/Conversion/Passes.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVM/NVVM/Target.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"

using namespace mlir;
using namespace weir;

void weir::registerDeviceDialects(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  NVVM::registerNVVMTargetInterfaceExternalModels(registry);
}

std::string weir::getCudaToolkit() {
  return llvm::sys::Process::GetEnv("CUDA_HOME").value_or("/usr/local/cuda");
}

/// The directory of the toolkit, with what is needed in it.
static llvm::Expected<std::string> findToolkit() {
  std::string path = getCudaToolkit();
  for (StringRef file : {"bin/ptxas", "nvvm/libdevice/libdevice.10.bc"}) {
    SmallString<128> full(path);
    llvm::sys::path::append(full, file);
    if (!llvm::sys::fs::exists(full))
      return llvm::createStringError(
          "the CUDA toolkit is missing: there is no " + full.str() +
          "; set CUDA_HOME to the directory of the toolkit");
  }
  return path;
}

llvm::Expected<std::string> weir::compileToCubin(gpu::GPUModuleOp module,
                                                 StringRef arch,
                                                 StringRef ptxasOptions) {
  llvm::Expected<std::string> toolkit = findToolkit();
  if (!toolkit)
    return toolkit.takeError();
  MLIRContext *context = module.getContext();
  OwningOpRef<ModuleOp> parent = ModuleOp::create(module.getLoc());
  auto lowered = cast<gpu::GPUModuleOp>(module->clone());
  parent->push_back(lowered);
  // The first error is the one to tell.
  std::string message;
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error &&
        message.empty())
      message = diagnostic.str();
    return success();
  });
  auto fail = [&]() -> llvm::Error {
    StringRef line = StringRef(message).trim().split('\n').first;
    return llvm::createStringError("cannot compile kernels for " + arch + ": " +
                                   (line.empty() ? "unknown error" : line));
  };
  PassManager passes(context);
  passes.addNestedPass<gpu::GPUModuleOp>(createWeirLowerDevice());
  if (failed(passes.run(*parent)))
    return fail();
  auto target = NVVM::NVVMTargetAttr::get(context, /*optLevel=*/2,
                                          "nvptx64-nvidia-cuda", arch,
                                          /*features=*/"+ptx88");
  gpu::TargetOptions options(*toolkit, /*librariesToLink=*/{}, ptxasOptions,
                             /*elfSection=*/"", gpu::CompilationTarget::Binary);
  std::optional<SmallVector<char, 0>> binary =
      cast<gpu::TargetAttrInterface>(Attribute(target))
          .serializeToObject(lowered, options);
  if (!binary)
    return fail();
  return std::string(binary->begin(), binary->end());
}
