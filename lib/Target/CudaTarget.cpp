//===- CudaTarget.cpp - programs for CUDA devices -------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/CudaTarget.h"

#include "HostCode.h"

#include "weir/Conversion/Passes.h"
#include "weir/Target/DeviceCode.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/TargetSelect.h"

using namespace weir;

/// The oldest architecture that CUDA 13 compiles for.
static constexpr int oldestArch = 75;

bool weir::isCudaArch(llvm::StringRef arch) {
  if (arch == emulatedArch)
    return true;
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return false;
  std::unique_ptr<llvm::MCSubtargetInfo> known(
      target->createMCSubtargetInfo(triple, "", ""));
  int number = 0;
  return known->isCPUStringValid(arch) && arch.consume_front("sm_") &&
         !arch.consumeInteger(10, number) && number >= oldestArch;
}

//===----------------------------------------------------------------------===//
// The image
//===----------------------------------------------------------------------===//

/// Turns the kernels in `kernels` into functions of the emulated device, which
/// end up beside those of the passes.
static llvm::Error emulateKernels(mlir::ModuleOp kernels) {
  mlir::PassManager passes(kernels.getContext());
  passes.addPass(createConvertGPUToEmulated());
  if (mlir::succeeded(passes.run(kernels)))
    return llvm::Error::success();
  return llvm::createStringError("cannot emulate the kernels (see above)");
}

/// The kernels compiled for `arch`, which are taken out of `kernels`.
static llvm::Expected<std::string> takeCubin(mlir::ModuleOp kernels,
                                             llvm::StringRef arch) {
  auto device =
      kernels.lookupSymbol<mlir::gpu::GPUModuleOp>(deviceModuleName);
  llvm::Expected<std::string> cubin = compileToCubin(device, arch);
  device.erase();
  return cubin;
}

//===----------------------------------------------------------------------===//
// The program
//===----------------------------------------------------------------------===//

/// A zero-terminated string in `module`.
static llvm::Constant *addString(llvm::Module &module, llvm::StringRef text,
                                 const llvm::Twine &name) {
  return addConstant(
      module, llvm::ConstantDataArray::getString(module.getContext(), text),
      name);
}

/// The weir_cuda_module of a program whose host side is in `module`.
static llvm::Expected<llvm::Constant *>
buildCudaRecord(const HostProgram &program, llvm::StringRef arch,
                llvm::Constant *image, uint64_t imageBytes,
                llvm::Module &module) {
  llvm::Expected<llvm::Constant *> base = buildModuleRecord(program, module);
  if (!base)
    return base.takeError();
  auto *pointer = llvm::PointerType::getUnqual(module.getContext());
  auto getNumber = [&](uint64_t number) {
    return llvm::ConstantInt::get(llvm::Type::getInt64Ty(module.getContext()),
                                  number);
  };
  std::vector<llvm::Constant *> names;
  for (auto name : program.kernels->getAttrOfType<mlir::ArrayAttr>(
                                      deviceKernelsName)
                       .getAsValueRange<mlir::StringAttr>())
    names.push_back(addString(module, name, "weir_kernel_name"));
  llvm::Constant *products = llvm::ConstantPointerNull::get(pointer);
  uint64_t numProducts = 0;
  if (llvm::GlobalVariable *global =
          module.getGlobalVariable(cudaProductsName, /*AllowInternal=*/true)) {
    products = global;
    numProducts =
        llvm::cast<llvm::ArrayType>(global->getValueType())->getNumElements();
  }
  return llvm::ConstantStruct::getAnon(
      {*base, addString(module, arch, "weir_arch"), image,
       getNumber(imageBytes), addPointers(module, names, "weir_kernel_names"),
       getNumber(names.size()), products, getNumber(numProducts)});
}

static llvm::Expected<std::unique_ptr<llvm::Module>>
translateCudaToLLVM(const HostProgram &program, llvm::StringRef arch,
                    llvm::LLVMContext &context) {
  if (!program.kernels || !program.kernels->hasAttr(deviceKernelsName))
    return llvm::createStringError(
        "nothing was compiled: run convert-weir-to-cuda first");
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createHostTargetMachine();
  if (!machine)
    return machine.takeError();
  mlir::ModuleOp original = program.kernels;
  mlir::OwningOpRef<mlir::ModuleOp> kernels = original.clone();
  std::string cubin;
  if (arch == emulatedArch) {
    if (llvm::Error error = emulateKernels(*kernels))
      return std::move(error);
  } else {
    llvm::Expected<std::string> compiled = takeCubin(*kernels, arch);
    if (!compiled)
      return compiled.takeError();
    cubin = std::move(*compiled);
  }
  llvm::Expected<std::unique_ptr<llvm::Module>> translated =
      translateKernels(*kernels, context, **machine);
  if (!translated)
    return translated.takeError();
  llvm::Module &module = **translated;
  llvm::Constant *image =
      arch == emulatedArch
          ? module.getGlobalVariable((deviceModuleName + "_image").str(),
                                     /*AllowInternal=*/true)
          : addBytes(module, cubin, "weir_image");
  llvm::Expected<llvm::Constant *> record =
      buildCudaRecord(program, arch, image, cubin.size(), module);
  if (!record)
    return record.takeError();
  addMain(module, "weir_cuda_main",
          addConstant(module, *record, "weir_cuda_program"));
  optimize(module, **machine);
  return translated;
}

llvm::Error weir::emitCudaLLVM(const HostProgram &program, llvm::StringRef arch,
                               llvm::raw_ostream &os) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateCudaToLLVM(program, arch, context);
  if (!module)
    return module.takeError();
  (*module)->print(os, nullptr);
  return llvm::Error::success();
}

llvm::Error weir::emitCudaObject(const HostProgram &program,
                                 llvm::StringRef arch, llvm::StringRef path) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateCudaToLLVM(program, arch, context);
  if (!module)
    return module.takeError();
  return writeObject(**module, path);
}

/// The runtime, and what it needs, for the linker.
static llvm::Expected<std::vector<std::string>>
getLinkArguments(llvm::StringRef arch) {
  std::vector<std::string> names;
  if (arch == emulatedArch)
    names = {"libweir_cuda_runtime_emulated.a", "libweir_emulated_device.a",
             "libweir_runtime.a"};
  else
    names = {"libweir_cuda_runtime.a"};
  std::vector<std::string> arguments;
  for (llvm::StringRef name : names) {
    llvm::Expected<std::string> path = findRuntime(name);
    if (!path)
      return path.takeError();
    arguments.push_back(*path);
  }
  if (arch == emulatedArch) {
    arguments.push_back("-ldnnl");
    return arguments;
  }
  llvm::SmallString<128> folder(getCudaToolkit());
  llvm::sys::path::append(folder, "lib64");
  for (llvm::StringRef word :
       {"-L", folder.c_str(), "-Xlinker", "-rpath", "-Xlinker", folder.c_str(),
        "-lcublasLt", "-lcudart", "-lnccl"})
    arguments.push_back(word.str());
  return arguments;
}

llvm::Error weir::emitCudaExecutable(const HostProgram &program,
                                     llvm::StringRef arch,
                                     llvm::StringRef path) {
  llvm::Expected<std::vector<std::string>> arguments = getLinkArguments(arch);
  if (!arguments)
    return arguments.takeError();
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateCudaToLLVM(program, arch, context);
  if (!module)
    return module.takeError();
  return linkExecutable(**module, program.libraries, *arguments, path);
}
