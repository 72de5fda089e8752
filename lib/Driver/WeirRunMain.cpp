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
#include "weir/Driver/ToolMains.h"
#include "weir/Runtime/Options.h"
#include "weir/Target/HostTarget.h"

#include "llvm/Support/InitLLVM.h"

using namespace mlir;
using namespace weir;

/// Compiles the input; null after an error, which was printed.
static std::unique_ptr<HostJit> compile(const CompilerOptions &options,
                                        ArrayRef<KernelLibrary> libraries,
                                        const DialectRegistry &registry) {
  MLIRContext context;
  prepareContext(context, registry);
  std::unique_ptr<InputFile> input = InputFile::open(getInputPath(), context);
  if (!input)
    return nullptr;
  ModuleOp module = input->getModule();
  if (auto error = checkOptionsMatter(module)) {
    reportError(*error);
    return nullptr;
  }
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
  HostProgram program{getKernelsModule(module), table->bytes, names, libraries};
  llvm::Expected<std::unique_ptr<HostJit>> jit =
      HostJit::create(program, &weir_host_product);
  if (jit)
    return std::move(*jit);
  reportError(llvm::toString(jit.takeError()));
  return nullptr;
}

/// What can be told to be wrong before the input is read.
static std::optional<std::string>
checkCommandLine(const CompilerOptions &options,
                 const runtime::Options &program,
                 ArrayRef<KernelLibrary> libraries) {
  if (auto error = checkOptions(options))
    return error;
  SmallVector<NamedFile> inputs = {{"the input", getInputPath()},
                                   {"--data", program.data}};
  for (const KernelLibrary &library : libraries)
    inputs.push_back({"--link", library.path});
  // A training may go on in the file that it was loaded from.
  if (!isSameFile(program.load, program.save))
    inputs.push_back({"--load", program.load});
  return checkFiles({{"--timeline", getTimelinePath()},
                     {"--save", program.save},
                     {"--save-gradients", program.saveGradients},
                     {"--metrics", program.metrics},
                     {"--trace", program.trace}},
                    inputs);
}

/// The help of the program's options, in the form of the compiler's.
static std::string getProgramHelp() {
  std::string help = "\nOptions of the training program:\n\n";
  SmallVector<StringRef> lines;
  std::string text = runtime::runtimeOptionsHelp();
  StringRef(text).split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (StringRef line : lines)
    if (!line.starts_with("  --help"))
      help += line.str() + "\n";
  return help;
}

int weir::weirRunMain(int argc, char **argv, const DialectRegistry &registry) {
  llvm::InitLLVM init(argc, argv);
  registerCompilerCommandLine();
  std::string programHelp = getProgramHelp();
  llvm::cl::extrahelp extraHelp(programHelp);
  SmallVector<const char *> compilerArgs{argv[0]};
  SmallVector<char *> programArgs{argv[0]};
  for (int i = 1; i < argc; ++i)
    if (runtime::isRuntimeOption(argv[i]) &&
        !StringRef(argv[i]).starts_with("--help"))
      programArgs.push_back(argv[i]);
    else
      compilerArgs.push_back(argv[i]);
  runtime::Options program;
  runtime::Status parsed =
      runtime::parseOptions(programArgs.size(), programArgs.data(), program);
  if (parsed.failed())
    return reportError(parsed.message());
  std::optional<CompilerOptions> options = parseCommandLine(
      compilerArgs, "Weir: compile a model and train it at once\n");
  if (!options)
    return 1;
  SmallVector<KernelLibrary> libraries;
  if (auto error = findKernelLibraries(libraries))
    return reportError(*error);
  if (auto error = checkCommandLine(*options, program, libraries))
    return reportError(*error);
  std::unique_ptr<HostJit> jit = compile(*options, libraries, registry);
  if (!jit)
    return 1;
  programArgs.push_back(nullptr);
  return weir_main(programArgs.size() - 1, programArgs.data(),
                   &jit->getModule());
}
