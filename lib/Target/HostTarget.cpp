//===- HostTarget.cpp - LLVM IR and objects for the host ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/HostTarget.h"

#include "HostCode.h"

#include "weir/Target/OutputFile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"

using namespace weir;

/// Name of the weir_module in the object.
static constexpr llvm::StringLiteral programName = "weir_program";

void weir::registerHostTargetDialects(mlir::DialectRegistry &registry) {
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
weir::createHostTargetMachine() {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return llvm::createStringError("no code generator for this machine: " +
                                   message);
  llvm::SubtargetFeatures features;
  for (const auto &feature : llvm::sys::getHostCPUFeatures())
    features.AddFeature(feature.first(), feature.second);
  llvm::TargetOptions options;
  // Every rounding is as written: a product and a sum stay two operations.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, llvm::sys::getHostCPUName(), features.getString(), options,
      llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Default));
  if (!machine)
    return llvm::createStringError("no code generator for this machine");
  return machine;
}

llvm::GlobalVariable *weir::addConstant(llvm::Module &module,
                                        llvm::Constant *value,
                                        const llvm::Twine &name) {
  auto *global =
      new llvm::GlobalVariable(module, value->getType(), /*isConstant=*/true,
                               llvm::GlobalValue::InternalLinkage, value, name);
  global->setAlignment(llvm::Align(64));
  return global;
}

llvm::Constant *weir::addBytes(llvm::Module &module, llvm::ArrayRef<char> bytes,
                               const llvm::Twine &name) {
  return addConstant(module,
                     llvm::ConstantDataArray::getRaw(
                         llvm::StringRef(bytes.data(), bytes.size()),
                         bytes.size(),
                         llvm::Type::getInt8Ty(module.getContext())),
                     name);
}

llvm::Constant *weir::addPointers(llvm::Module &module,
                                  llvm::ArrayRef<llvm::Constant *> pointers,
                                  const llvm::Twine &name) {
  auto *pointer = llvm::PointerType::getUnqual(module.getContext());
  return addConstant(
      module,
      llvm::ConstantArray::get(llvm::ArrayType::get(pointer, pointers.size()),
                               pointers),
      name);
}

llvm::Expected<llvm::Constant *>
weir::buildModuleRecord(const HostProgram &program, llvm::Module &module) {
  auto *pointer = llvm::PointerType::getUnqual(module.getContext());
  auto *i64 = llvm::Type::getInt64Ty(module.getContext());
  std::vector<llvm::Constant *> kernels;
  for (llvm::StringRef name : program.kernelOrder) {
    llvm::Function *kernel = module.getFunction(name);
    if (!kernel || kernel->isDeclaration())
      return llvm::createStringError("no compiled pass has the name '" + name +
                                     "'");
    kernels.push_back(kernel);
  }
  llvm::Constant *products = llvm::ConstantPointerNull::get(pointer);
  uint64_t numProducts = 0;
  if (llvm::GlobalVariable *global =
          module.getGlobalVariable(productsName, /*AllowInternal=*/true)) {
    products = global;
    numProducts =
        llvm::cast<llvm::ArrayType>(global->getValueType())->getNumElements();
  }
  return llvm::ConstantStruct::getAnon(
      {addBytes(module, program.table, "weir_table"),
       llvm::ConstantInt::get(i64, program.table.size()),
       addPointers(module, kernels, "weir_kernel_list"), products,
       llvm::ConstantInt::get(i64, numProducts)});
}

void weir::addMain(llvm::Module &module, llvm::StringRef runtimeMain,
                   llvm::GlobalVariable *record) {
  llvm::IRBuilder<> builder(module.getContext());
  auto *pointer = builder.getPtrTy();
  auto *i32 = builder.getInt32Ty();
  llvm::FunctionCallee run = module.getOrInsertFunction(
      runtimeMain,
      llvm::FunctionType::get(i32, {i32, pointer, pointer}, false));
  auto *main = llvm::Function::Create(
      llvm::FunctionType::get(i32, {i32, pointer}, false),
      llvm::GlobalValue::ExternalLinkage, "main", module);
  builder.SetInsertPoint(
      llvm::BasicBlock::Create(module.getContext(), "", main));
  builder.CreateRet(
      builder.CreateCall(run, {main->getArg(0), main->getArg(1), record}));
}

/// Keeps functions of libm from being folded or rewritten, as pow(x, 2) to x *
/// x: whether an argument is known to be constant depends on fusion and on the
/// cut, and the rewritten form has other bits. Exact operations may be folded.
static void keepMathCalls(llvm::Module &module) {
  for (llvm::Function &function : module) {
    if (!function.isDeclaration() || function.getName() == "weir_host_product")
      continue;
    switch (function.getIntrinsicID()) {
    case llvm::Intrinsic::not_intrinsic:
    case llvm::Intrinsic::acos:
    case llvm::Intrinsic::asin:
    case llvm::Intrinsic::atan:
    case llvm::Intrinsic::atan2:
    case llvm::Intrinsic::cos:
    case llvm::Intrinsic::cosh:
    case llvm::Intrinsic::exp:
    case llvm::Intrinsic::exp2:
    case llvm::Intrinsic::log:
    case llvm::Intrinsic::log10:
    case llvm::Intrinsic::log2:
    case llvm::Intrinsic::pow:
    case llvm::Intrinsic::sin:
    case llvm::Intrinsic::sinh:
    case llvm::Intrinsic::tan:
    case llvm::Intrinsic::tanh:
      break;
    default:
      continue;
    }
    for (llvm::User *user : function.users())
      if (auto *call = llvm::dyn_cast<llvm::CallBase>(user))
        call->addFnAttr(llvm::Attribute::NoBuiltin);
  }
}

// Loops are vectorised already, so the pipeline runs without its own
// vectorisers, which would only cost time.
void weir::optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("no-trapping-math", "true");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  keepMathCalls(module);
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  llvm::PassBuilder passes(&machine, tuning);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(components);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, components, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(module, modules);
}

llvm::Expected<std::unique_ptr<llvm::Module>>
weir::translateKernels(mlir::ModuleOp kernels, llvm::LLVMContext &context,
                       const llvm::TargetMachine &machine) {
  mlir::DialectRegistry registry;
  registerHostTargetDialects(registry);
  kernels->getContext()->appendDialectRegistry(registry);
  std::unique_ptr<llvm::Module> module =
      mlir::translateModuleToLLVMIR(kernels, context, "weir");
  if (!module)
    return llvm::createStringError(
        "the compiled passes are not all of the LLVM dialect");
  module->setTargetTriple(machine.getTargetTriple());
  module->setDataLayout(machine.createDataLayout());
  for (llvm::Function &function : *module)
    if (!function.isDeclaration())
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  return module;
}

llvm::Expected<std::unique_ptr<llvm::Module>>
weir::translateToLLVM(const HostProgram &program, llvm::LLVMContext &context,
                      bool withMain) {
  if (!program.kernels)
    return llvm::createStringError(
        "nothing was compiled: run convert-weir-to-host first");
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createHostTargetMachine();
  if (!machine)
    return machine.takeError();
  llvm::Expected<std::unique_ptr<llvm::Module>> translated =
      translateKernels(program.kernels, context, **machine);
  if (!translated)
    return translated.takeError();
  llvm::Module &module = **translated;
  llvm::Expected<llvm::Constant *> record = buildModuleRecord(program, module);
  if (!record)
    return record.takeError();
  llvm::GlobalVariable *global = addConstant(module, *record, programName);
  global->setLinkage(llvm::GlobalValue::ExternalLinkage);
  if (withMain)
    addMain(module, "weir_main", global);
  else
    // The JIT looks kernels up by name.
    for (llvm::StringRef name : program.kernelOrder)
      module.getFunction(name)->setLinkage(llvm::GlobalValue::ExternalLinkage);
  optimize(module, **machine);
  return translated;
}

llvm::Error weir::emitLLVM(const HostProgram &program, llvm::raw_ostream &os) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateToLLVM(program, context, /*withMain=*/true);
  if (!module)
    return module.takeError();
  (*module)->print(os, nullptr);
  return llvm::Error::success();
}

llvm::Error weir::writeObject(llvm::Module &module, llvm::StringRef path) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createHostTargetMachine();
  if (!machine)
    return machine.takeError();
  return writeFile(path, [&](llvm::StringRef temporary) -> llvm::Error {
    std::error_code code;
    llvm::raw_fd_ostream os(temporary, code);
    if (code)
      return llvm::createStringError("cannot write '" + path +
                                     "': " + code.message());
    llvm::legacy::PassManager passes;
    if ((*machine)->addPassesToEmitFile(passes, os, nullptr,
                                        llvm::CodeGenFileType::ObjectFile))
      return llvm::createStringError("this machine's code generator cannot "
                                     "write objects");
    passes.run(module);
    os.close();
    if (!os.has_error())
      return llvm::Error::success();
    code = os.error();
    os.clear_error();
    return llvm::createStringError("cannot write '" + path +
                                   "': " + code.message());
  });
}

llvm::Error weir::emitObject(const HostProgram &program, llvm::StringRef path) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateToLLVM(program, context, /*withMain=*/true);
  if (!module)
    return module.takeError();
  return writeObject(**module, path);
}
