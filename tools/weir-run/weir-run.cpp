//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// weir-run: compile a model into this process and train it.
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/CommandLine.h"
#include "weir/Target/HostTarget.h"

#include "llvm/Support/InitLLVM.h"

using namespace mlir;
using namespace weir;

/// Compiles the input; null after an error, which was printed.
static std::unique_ptr<HostJit> compile(const CompilerOptions &options) {
  MLIRContext context;
  prepareContext(context);
  std::unique_ptr<InputFile> input = InputFile::open(getInputPath(), context);
  if (!input)
    return nullptr;
  ModuleOp module = input->getModule();
  if (failed(compileTo(module, Level::Plan, options)))
    return nullptr;
  if (!getTimelinePath().empty() &&
      failed(writeTimeline(module, getTimelinePath())))
    return nullptr;
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return nullptr;
  FailureOr<ProgramTable> table = buildProgramTable(pipeline);
  if (failed(table))
    return nullptr;
  SmallVector<StringRef> names(table->kernelOrder.begin(),
                               table->kernelOrder.end());
  HostProgram program{getKernelsModule(module), table->bytes, names};
  llvm::Expected<std::unique_ptr<HostJit>> jit =
      HostJit::create(program, &weir_host_product);
  if (jit)
    return std::move(*jit);
  reportError(llvm::toString(jit.takeError()));
  return nullptr;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  registerCompilerCommandLine();
  llvm::cl::HideUnrelatedOptions(getToolCategory());
  // Options that are not the compiler's are the program's.
  SmallVector<const char *> compilerArgs{argv[0]};
  SmallVector<char *> programArgs{argv[0]};
  for (int i = 1; i < argc; ++i)
    if (isCompilerArgument(argv[i]))
      compilerArgs.push_back(argv[i]);
    else
      programArgs.push_back(argv[i]);
  llvm::cl::ParseCommandLineOptions(
      compilerArgs.size(), compilerArgs.data(),
      "Weir: compile a model and train it at once. Takes the options below and "
      "those of a compiled program (--steps=, --data=, --seed=, --lr=, ...), "
      "each as --name=value\n");
  CompilerOptions options = getCompilerOptions();
  if (auto error = checkOptions(options))
    return reportError(*error);
  std::unique_ptr<HostJit> jit = compile(options);
  if (!jit)
    return 1;
  programArgs.push_back(nullptr);
  return weir_main(programArgs.size() - 1, programArgs.data(),
                   &jit->getModule());
}
