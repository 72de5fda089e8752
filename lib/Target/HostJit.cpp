//===- HostJit.cpp - programs compiled into this process ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HostCode.h"

#include "llvm/ExecutionEngine/Orc/CompileUtils.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"

using namespace weir;

struct HostJit::Code {
  /// What the session said first; it speaks of the cause, where the error of a
  /// lookup only names what did not come to be.
  std::string firstError;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  const weir_module *module = nullptr;
};

HostJit::HostJit(std::unique_ptr<Code> code) : code(std::move(code)) {}
HostJit::~HostJit() = default;

const weir_module &HostJit::getModule() const { return *code->module; }

llvm::Expected<weir_kernel> HostJit::lookup(llvm::StringRef name) const {
  llvm::Expected<llvm::orc::ExecutorAddr> address = code->jit->lookup(name);
  if (!address)
    return address.takeError();
  return address->toPtr<weir_kernel>();
}

/// One line on an error of the JIT.
static std::string explainError(llvm::Error error) {
  std::string text;
  llvm::handleAllErrors(
      std::move(error),
      [&](const llvm::orc::SymbolsNotFound &missing) {
        text = explainMissingFunction((*missing.getSymbols().front()).str());
      },
      [&](const llvm::ErrorInfoBase &other) { text = other.message(); });
  return text;
}

/// Makes the functions of a library known to the code of `jit`.
static llvm::Error addLibrary(const KernelLibrary &library,
                              llvm::orc::LLJIT &jit) {
  llvm::orc::JITDylib &program = jit.getMainJITDylib();
  auto addGenerator = [&](auto generator) -> llvm::Error {
    if (!generator)
      return generator.takeError();
    program.addGenerator(std::move(*generator));
    return llvm::Error::success();
  };
  switch (library.kind) {
  case KernelLibrary::Kind::Shared:
    return addGenerator(llvm::orc::DynamicLibrarySearchGenerator::Load(
        library.path.c_str(), jit.getDataLayout().getGlobalPrefix()));
  case KernelLibrary::Kind::Archive:
    return addGenerator(llvm::orc::StaticLibraryDefinitionGenerator::Load(
        jit.getObjLinkingLayer(), library.path.c_str()));
  case KernelLibrary::Kind::Object:
    auto object = llvm::MemoryBuffer::getFile(library.path);
    if (!object)
      return llvm::errorCodeToError(object.getError());
    return jit.addObjectFile(std::move(*object));
  }
  llvm_unreachable("all kinds of libraries are handled");
}

/// Names of the functions that a module calls and does not define.
static std::vector<std::string> getCalledFunctions(const llvm::Module &module) {
  std::vector<std::string> names;
  for (const llvm::Function &function : module)
    if (function.isDeclaration() && !function.isIntrinsic())
      names.push_back(function.getName().str());
  return names;
}

llvm::Expected<std::unique_ptr<HostJit>>
HostJit::create(const HostProgram &program, ProductFunction product) {
  auto context = std::make_unique<llvm::LLVMContext>();
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateToLLVM(program, *context, /*withMain=*/false);
  if (!module)
    return module.takeError();
  auto code = std::make_unique<Code>();
  llvm::orc::LLJITBuilder builder;
  // The same code generator as for objects, so the same bits.
  builder.setCompileFunctionCreator(
      [](llvm::orc::JITTargetMachineBuilder)
          -> llvm::Expected<
              std::unique_ptr<llvm::orc::IRCompileLayer::IRCompiler>> {
        llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
            createHostTargetMachine();
        if (!machine)
          return machine.takeError();
        return std::make_unique<llvm::orc::TMOwningSimpleCompiler>(
            std::move(*machine));
      });
  llvm::Expected<std::unique_ptr<llvm::orc::LLJIT>> jit = builder.create();
  if (!jit)
    return jit.takeError();
  code->jit = std::move(*jit);
  code->jit->getExecutionSession().setErrorReporter(
      [code = code.get()](llvm::Error error) {
        std::string text = explainError(std::move(error));
        if (code->firstError.empty())
          code->firstError = text;
      });
  llvm::orc::JITDylib &library = code->jit->getMainJITDylib();
  llvm::orc::SymbolMap symbols;
  symbols[code->jit->mangleAndIntern("weir_host_product")] = {
      llvm::orc::ExecutorAddr::fromPtr(product),
      llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  if (llvm::Error error =
          library.define(llvm::orc::absoluteSymbols(std::move(symbols))))
    return std::move(error);
  // What the libraries have goes before what this process has of that name, as
  // in an executable. libm and the like come from this process, products from
  // the caller.
  for (const KernelLibrary &file : program.libraries)
    if (llvm::Error error = addLibrary(file, *code->jit))
      return llvm::createStringError("cannot load '" + file.path +
                                     "': " + llvm::toString(std::move(error)));
  llvm::Expected<std::unique_ptr<llvm::orc::DynamicLibrarySearchGenerator>>
      process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
          code->jit->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  library.addGenerator(std::move(*process));
  for (const std::string &name : getCalledFunctions(**module))
    if (auto address = code->jit->lookup(name); !address) {
      std::string text = explainError(address.takeError());
      return llvm::createStringError(
          "cannot link: " +
          (code->firstError.empty() ? text : code->firstError));
    }
  if (llvm::Error error = code->jit->addIRModule(
          llvm::orc::ThreadSafeModule(std::move(*module), std::move(context))))
    return std::move(error);
  llvm::Expected<llvm::orc::ExecutorAddr> record =
      code->jit->lookup("weir_program");
  if (!record)
    return record.takeError();
  code->module = record->toPtr<const weir_module *>();
  return std::unique_ptr<HostJit>(new HostJit(std::move(code)));
}
