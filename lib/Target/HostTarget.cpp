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

/// Adds the table, the kernels and the products as one constant weir_module.
static llvm::Error addProgram(const HostProgram &program,
                              llvm::Module &module) {
  llvm::LLVMContext &context = module.getContext();
  auto *pointer = llvm::PointerType::getUnqual(context);
  auto *i64 = llvm::Type::getInt64Ty(context);
  auto addConstant = [&](llvm::Constant *value, const llvm::Twine &name) {
    auto *global = new llvm::GlobalVariable(
        module, value->getType(), /*isConstant=*/true,
        llvm::GlobalValue::InternalLinkage, value, name);
    global->setAlignment(llvm::Align(64));
    return global;
  };
  std::vector<llvm::Constant *> kernels;
  for (llvm::StringRef name : program.kernelOrder) {
    llvm::Function *kernel = module.getFunction(name);
    if (!kernel || kernel->isDeclaration())
      return llvm::createStringError("no compiled pass has the name '" + name +
                                     "'");
    kernels.push_back(kernel);
  }
  llvm::GlobalVariable *table = addConstant(
      llvm::ConstantDataArray::getRaw(
          llvm::StringRef(program.table.data(), program.table.size()),
          program.table.size(), llvm::Type::getInt8Ty(context)),
      "weir_table");
  llvm::GlobalVariable *list =
      addConstant(llvm::ConstantArray::get(
                      llvm::ArrayType::get(pointer, kernels.size()), kernels),
                  "weir_kernel_list");
  llvm::Constant *products = llvm::ConstantPointerNull::get(pointer);
  uint64_t numProducts = 0;
  if (llvm::GlobalVariable *global =
          module.getGlobalVariable(productsName, /*AllowInternal=*/true)) {
    products = global;
    numProducts =
        llvm::cast<llvm::ArrayType>(global->getValueType())->getNumElements();
  }
  llvm::Constant *fields[] = {
      table, llvm::ConstantInt::get(i64, program.table.size()), list, products,
      llvm::ConstantInt::get(i64, numProducts)};
  llvm::GlobalVariable *record =
      addConstant(llvm::ConstantStruct::getAnon(fields), programName);
  record->setLinkage(llvm::GlobalValue::ExternalLinkage);
  return llvm::Error::success();
}

/// int main(int argc, char **argv) { return weir_main(argc, argv, &program); }
static void addMain(llvm::Module &module) {
  llvm::LLVMContext &context = module.getContext();
  llvm::IRBuilder<> builder(context);
  auto *pointer = builder.getPtrTy();
  auto *i32 = builder.getInt32Ty();
  llvm::FunctionCallee run = module.getOrInsertFunction(
      "weir_main",
      llvm::FunctionType::get(i32, {i32, pointer, pointer}, false));
  auto *main = llvm::Function::Create(
      llvm::FunctionType::get(i32, {i32, pointer}, false),
      llvm::GlobalValue::ExternalLinkage, "main", module);
  builder.SetInsertPoint(llvm::BasicBlock::Create(context, "", main));
  builder.CreateRet(
      builder.CreateCall(run, {main->getArg(0), main->getArg(1),
                               module.getGlobalVariable(programName)}));
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

/// Loops are vectorised already, so the pipeline runs without its own
/// vectorisers, which would only cost time.
static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
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
weir::translateToLLVM(const HostProgram &program, llvm::LLVMContext &context,
                      bool withMain) {
  if (!program.kernels)
    return llvm::createStringError(
        "nothing was compiled: run convert-weir-to-host first");
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createHostTargetMachine();
  if (!machine)
    return machine.takeError();
  mlir::DialectRegistry registry;
  registerHostTargetDialects(registry);
  program.kernels->getContext()->appendDialectRegistry(registry);
  std::unique_ptr<llvm::Module> module =
      mlir::translateModuleToLLVMIR(program.kernels, context, "weir");
  if (!module)
    return llvm::createStringError(
        "the compiled passes are not all of the LLVM dialect");
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  for (llvm::Function &function : *module)
    if (!function.isDeclaration())
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  if (llvm::Error error = addProgram(program, *module))
    return std::move(error);
  if (withMain)
    addMain(*module);
  else
    // The JIT looks kernels up by name.
    for (llvm::StringRef name : program.kernelOrder)
      module->getFunction(name)->setLinkage(llvm::GlobalValue::ExternalLinkage);
  optimize(*module, **machine);
  return module;
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

llvm::Error weir::writeObject(const HostProgram &program,
                              llvm::raw_pwrite_stream &os) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateToLLVM(program, context, /*withMain=*/true);
  if (!module)
    return module.takeError();
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createHostTargetMachine();
  if (!machine)
    return machine.takeError();
  llvm::legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr,
                                      llvm::CodeGenFileType::ObjectFile))
    return llvm::createStringError("this machine's code generator cannot write "
                                   "objects");
  passes.run(**module);
  return llvm::Error::success();
}

llvm::Error weir::emitObject(const HostProgram &program, llvm::StringRef path) {
  return writeFile(path, [&](llvm::StringRef temporary) -> llvm::Error {
    std::error_code code;
    llvm::raw_fd_ostream os(temporary, code);
    if (code)
      return llvm::createStringError("cannot write '" + path +
                                     "': " + code.message());
    if (llvm::Error error = writeObject(program, os))
      return error;
    os.close();
    if (!os.has_error())
      return llvm::Error::success();
    code = os.error();
    os.clear_error();
    return llvm::createStringError("cannot write '" + path +
                                   "': " + code.message());
  });
}
