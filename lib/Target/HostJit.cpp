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
#include "llvm/Target/TargetMachine.h"

using namespace weir;

struct HostJit::Code {
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
  llvm::orc::JITDylib &library = code->jit->getMainJITDylib();
  // libm and the like come from this process, products from the caller.
  llvm::Expected<std::unique_ptr<llvm::orc::DynamicLibrarySearchGenerator>>
      process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
          code->jit->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  library.addGenerator(std::move(*process));
  llvm::orc::SymbolMap symbols;
  symbols[code->jit->mangleAndIntern("weir_host_product")] = {
      llvm::orc::ExecutorAddr::fromPtr(product),
      llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  if (llvm::Error error =
          library.define(llvm::orc::absoluteSymbols(std::move(symbols))))
    return std::move(error);
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
