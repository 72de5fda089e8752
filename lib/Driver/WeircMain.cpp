//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// weirc: from a model, or any later level of it, to a program that trains it.
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/CommandLine.h"
#include "weir/Driver/ToolMains.h"
#include "weir/Target/CudaTarget.h"
#include "weir/Target/HostTarget.h"
#include "weir/Target/OutputFile.h"

#include "llvm/Support/InitLLVM.h"

namespace cl = llvm::cl;
using namespace mlir;
using namespace weir;

namespace {

enum class Emission {
  Joint,
  Stages,
  Programs,
  Plan,
  LLVM,
  Object,
  Executable,
  Report
};

/// The value of --emit as given.
std::string emissionName = "exe";

/// Tells of an unknown value in the words of the other errors.
class EmissionParser : public cl::parser<Emission> {
public:
  using cl::parser<Emission>::parser;

  bool parse(cl::Option &, StringRef, StringRef text, Emission &value) {
    std::string known;
    for (const OptionInfo &info : Values) {
      if (info.Name == text) {
        value = info.V.getValue();
        emissionName = text.str();
        return false;
      }
      known += (known.empty() ? "" : ", ") + info.Name.str();
    }
    reportError("option --emit: unknown '" + text + "'; known are " + known);
    return true;
  }
};

} // namespace

static cl::opt<Emission, false, EmissionParser> emission(
    "emit", cl::desc("What to write"), cl::init(Emission::Executable),
    cl::values(
        clEnumValN(
            Emission::Joint, "joint",
            "the model with its backward, every op in its stage and pass"),
        clEnumValN(Emission::Stages, "stages", "the passes of the stages"),
        clEnumValN(Emission::Programs, "programs",
                   "the programs of the devices"),
        clEnumValN(Emission::Plan, "plan", "the programs with planned memory"),
        clEnumValN(Emission::LLVM, "llvm", "LLVM IR"),
        clEnumValN(Emission::Object, "obj",
                   "an object file with main, to link with libweir_runtime.a"),
        clEnumValN(Emission::Executable, "exe", "an executable (default)"),
        clEnumValN(Emission::Report, "report",
                   "what each device holds and does, for people")),
    cl::cat(getToolCategory()));

static cl::opt<std::string> output(
    "o",
    cl::desc("Output file (default: standard output; obj and exe need one)"),
    cl::value_desc("FILE"), cl::cat(getToolCategory()));

/// Writes text to the output file or, without one, to standard output.
static LogicalResult
writeOutput(llvm::function_ref<LogicalResult(llvm::raw_ostream &)> write) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (failed(write(os)))
    return failure();
  if (llvm::Error error = writeText(output, text)) {
    reportError(llvm::toString(std::move(error)));
    return failure();
  }
  return success();
}

static LogicalResult printModule(ModuleOp module) {
  removeKernels(module);
  return writeOutput([&](llvm::raw_ostream &os) {
    module.print(os);
    os << "\n";
    return success();
  });
}

static LogicalResult emitCode(ModuleOp module, StringRef cudaArch,
                              ArrayRef<KernelLibrary> libraries) {
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  FailureOr<ProgramTable> table = buildProgramTable(pipeline);
  if (failed(table))
    return failure();
  SmallVector<StringRef> names(table->kernelOrder.begin(),
                               table->kernelOrder.end());
  HostProgram program{getKernelsModule(module), table->bytes, names, libraries};
  auto check = [](llvm::Error error) -> LogicalResult {
    if (!error)
      return success();
    reportError(llvm::toString(std::move(error)));
    return failure();
  };
  bool isHost = cudaArch.empty();
  if (emission == Emission::LLVM)
    return writeOutput([&](llvm::raw_ostream &os) {
      return check(isHost ? emitLLVM(program, os)
                          : emitCudaLLVM(program, cudaArch, os));
    });
  if (emission == Emission::Object)
    return check(isHost ? emitObject(program, output)
                        : emitCudaObject(program, cudaArch, output));
  return check(isHost ? emitExecutable(program, output)
                      : emitCudaExecutable(program, cudaArch, output));
}

/// The level that the module must come to, to be written as asked.
static Level getTarget() {
  switch (emission) {
  case Emission::Joint:
    return Level::Joint;
  case Emission::Stages:
    return Level::Stages;
  case Emission::Programs:
    return Level::Programs;
  default:
    return Level::Plan;
  }
}

/// Whether what is written is there to be run, and not to be read.
static bool makesCode() {
  return emission == Emission::LLVM || emission == Emission::Object ||
         emission == Emission::Executable;
}

static LogicalResult compile(ModuleOp module, const CompilerOptions &options,
                             ArrayRef<KernelLibrary> libraries) {
  Level target = getTarget();
  if (getLevel(module) > target) {
    reportError("cannot write what --emit=" + emissionName +
                " says: the input is past that level");
    return failure();
  }
  if (makesCode() && failed(checkInputs(module)))
    return failure();
  OwningOpRef<ModuleOp> joint;
  if (emission == Emission::Report && getLevel(module) < Level::Stages) {
    // Cut anew for the comparison, and so in no way that could fail here.
    joint = module.clone();
    ScopedDiagnosticHandler withoutRemarks(module.getContext(), ignoreRemark);
    if (failed(compileTo(*joint, Level::Joint, CompilerOptions())))
      return failure();
    joint->walk([](Operation *op) {
      op->removeAttr(attr::stage);
      op->removeAttr(attr::pass);
    });
  }
  if (failed(compileTo(module, target, options)))
    return failure();
  if (emission == Emission::Report) {
    if (failed(writeOutput([&](llvm::raw_ostream &os) {
          return printReport(module, joint ? *joint : ModuleOp(), options, os);
        })))
      return failure();
  } else if (target < Level::Plan || emission == Emission::Plan) {
    if (failed(printModule(module)))
      return failure();
  } else if (failed(emitCode(module, options.cudaArch, libraries))) {
    return failure();
  }
  if (getTimelinePath().empty())
    return success();
  return writeTimeline(module, getTimelinePath());
}

/// What can be told to be wrong before the input is read.
static std::optional<std::string>
checkCommandLine(const CompilerOptions &options,
                 ArrayRef<KernelLibrary> libraries) {
  if (auto error = checkOptions(options))
    return error;
  if (emission != Emission::Executable && !libraries.empty())
    return "option --link has no effect: --emit=" + emissionName +
           " links nothing";
  bool isBinary =
      emission == Emission::Object || emission == Emission::Executable;
  if (isBinary && (output.empty() || output == "-"))
    return "needs an output file: -o FILE";
  if (getTarget() < Level::Programs && !getTimelinePath().empty())
    return "there is no schedule yet for --timeline with --emit=" +
           emissionName;
  SmallVector<NamedFile> inputs = {{"the input", getInputPath()}};
  for (const KernelLibrary &library : libraries)
    inputs.push_back({"--link", library.path});
  return checkFiles({{"-o", output}, {"--timeline", getTimelinePath()}},
                    inputs);
}

int weir::weircMain(int argc, char **argv, const DialectRegistry &registry) {
  llvm::InitLLVM init(argc, argv);
  registerCompilerCommandLine();
  std::optional<CompilerOptions> options = parseCommandLine(
      ArrayRef(argv, argc),
      "Weir compiler: one training step of a model as a pipelined program for "
      "many devices.\nThe input is a model or what --emit=joint, stages, "
      "programs or plan wrote.\n");
  if (!options)
    return 1;
  SmallVector<KernelLibrary> libraries;
  if (auto error = findKernelLibraries(libraries))
    return reportError(*error);
  if (auto error = checkCommandLine(*options, libraries))
    return reportError(*error);
  MLIRContext context;
  prepareContext(context, registry);
  std::unique_ptr<InputFile> input = InputFile::open(getInputPath(), context);
  if (!input)
    return 1;
  if (auto error = checkOptionsMatter(input->getModule()))
    return reportError(*error);
  return failed(compile(input->getModule(), *options, libraries));
}
