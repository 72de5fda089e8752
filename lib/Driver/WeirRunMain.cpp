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
#include "weir/Target/CudaTarget.h"
#include "weir/Target/HostTarget.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"

using namespace mlir;
using namespace weir;

namespace {

/// The input, compiled.
struct Compiled {
  ModuleOp module;
  ProgramTable table;
};

} // namespace

/// Compiles the input up to its kernels.
static FailureOr<Compiled> compile(ModuleOp module,
                                   const CompilerOptions &options) {
  if (auto error = checkOptionsMatter(module)) {
    reportError(*error);
    return failure();
  }
  if (failed(checkInputs(module)) ||
      failed(compileTo(module, Level::Plan, options)))
    return failure();
  if (!getTimelinePath().empty() &&
      failed(writeTimeline(module, getTimelinePath())))
    return failure();
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  FailureOr<ProgramTable> table = buildProgramTable(pipeline);
  if (failed(table))
    return failure();
  return Compiled{module, std::move(*table)};
}

/// Writes a temporary executable, runs it with the arguments and returns its
/// exit status.
static int runExecutable(const HostProgram &program, StringRef cudaArch,
                         ArrayRef<char *> arguments) {
  llvm::SmallString<128> path;
  if (std::error_code code =
          llvm::sys::fs::createTemporaryFile("weir-run", "", path))
    return reportError("cannot make a temporary file: " + code.message());
  llvm::FileRemover remover(path);
  llvm::sys::RemoveFileOnSignal(path);
  auto cleanUp = llvm::make_scope_exit(
      [&] { llvm::sys::DontRemoveFileOnSignal(path); });
  if (llvm::Error error = emitCudaExecutable(program, cudaArch, path))
    return reportError(llvm::toString(std::move(error)));
  SmallVector<StringRef> words(arguments.begin(), arguments.end());
  std::string message;
  int status = llvm::sys::ExecuteAndWait(path, words, std::nullopt, {}, 0, 0,
                                         &message);
  return message.empty() ? status
                         : reportError("cannot run the program: " + message);
}

/// Compiles the input and trains; the exit status. Warnings of the compiler are
/// not printed if it `isQuiet`.
static int compileAndTrain(const CompilerOptions &options, bool isQuiet,
                           ArrayRef<KernelLibrary> libraries,
                           const DialectRegistry &registry,
                           SmallVectorImpl<char *> &arguments) {
  std::unique_ptr<HostJit> jit;
  {
    MLIRContext context;
    prepareContext(context, registry);
    std::unique_ptr<InputFile> input = InputFile::open(getInputPath(), context);
    if (!input)
      return 1;
    ScopedDiagnosticHandler quiet(&context, [&](Diagnostic &diagnostic) {
      return success(isQuiet &&
                     diagnostic.getSeverity() == DiagnosticSeverity::Warning);
    });
    FailureOr<Compiled> compiled = compile(input->getModule(), options);
    if (failed(compiled))
      return 1;
    SmallVector<StringRef> names(compiled->table.kernelOrder.begin(),
                                 compiled->table.kernelOrder.end());
    HostProgram program{getKernelsModule(compiled->module),
                        compiled->table.bytes, names, libraries};
    if (!options.cudaArch.empty())
      return runExecutable(program, options.cudaArch, arguments);
    llvm::Expected<std::unique_ptr<HostJit>> made =
        HostJit::create(program, &weir_host_product);
    if (!made)
      return reportError(llvm::toString(made.takeError()));
    jit = std::move(*made);
  }
  // The compiler's memory is free by now.
  arguments.push_back(nullptr);
  return weir_main(arguments.size() - 1, arguments.data(), &jit->getModule());
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
  return compileAndTrain(*options, program.quiet, libraries, registry,
                         programArgs);
}
