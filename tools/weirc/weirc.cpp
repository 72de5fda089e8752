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
#include "weir/Target/HostTarget.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/ToolOutputFile.h"

namespace cl = llvm::cl;
using namespace mlir;
using namespace weir;

namespace {
enum class Emission { Joint, Stages, Programs, Plan, LLVM, Object, Executable, Report };
} // namespace

static cl::opt<Emission> emission(
    "emit", cl::desc("What to write"), cl::init(Emission::Executable),
    cl::values(
        clEnumValN(Emission::Joint, "joint", "the joint graph, cut and coloured"),
        clEnumValN(Emission::Stages, "stages", "the passes of the stages"),
        clEnumValN(Emission::Programs, "programs", "the programs of the devices"),
        clEnumValN(Emission::Plan, "plan", "the programs with planned memory"),
        clEnumValN(Emission::LLVM, "llvm", "LLVM IR"),
        clEnumValN(Emission::Object, "obj", "an object file"),
        clEnumValN(Emission::Executable, "exe", "an executable (default)"),
        clEnumValN(Emission::Report, "report",
                   "what each device holds and does, for people")),
    cl::cat(getToolCategory()));

static cl::opt<std::string> output("o", cl::desc("Output file"),
                                   cl::value_desc("file"),
                                   cl::cat(getToolCategory()));

/// Writes text to the output file or, without one, to standard output.
static LogicalResult
writeText(llvm::function_ref<LogicalResult(llvm::raw_ostream &)> write) {
  // Into memory first: an error must not leave half a file.
  std::string text;
  llvm::raw_string_ostream os(text);
  if (failed(write(os)))
    return failure();
  std::error_code error;
  llvm::ToolOutputFile file(output.empty() ? "-" : output.getValue(), error,
                            llvm::sys::fs::OF_Text);
  if (error) {
    reportError("cannot write " + output.getValue() + ": " + error.message());
    return failure();
  }
  file.os() << text;
  file.os().flush();
  if (file.os().has_error()) {
    reportError("cannot write " + output.getValue() + ": " +
                file.os().error().message());
    file.os().clear_error();
    return failure();
  }
  file.keep();
  return success();
}

static LogicalResult printModule(ModuleOp module) {
  removeKernels(module);
  return writeText([&](llvm::raw_ostream &os) {
    module.print(os);
    os << "\n";
    return success();
  });
}

static LogicalResult emitCode(ModuleOp module) {
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  FailureOr<ProgramTable> table = buildProgramTable(pipeline);
  if (failed(table))
    return failure();
  SmallVector<StringRef> names(table->kernelOrder.begin(),
                               table->kernelOrder.end());
  HostProgram program{getKernelsModule(module), table->bytes, names};
  llvm::Error error = llvm::Error::success();
  if (emission == Emission::LLVM) {
    return writeText([&](llvm::raw_ostream &os) {
      if (llvm::Error error = emitLLVM(program, os)) {
        reportError(llvm::toString(std::move(error)));
        return failure();
      }
      return success();
    });
  }
  if (emission == Emission::Object)
    error = emitObject(program, output);
  else
    error = emitExecutable(program, output);
  if (!error)
    return success();
  reportError(llvm::toString(std::move(error)));
  return failure();
}

static LogicalResult compile(ModuleOp module, const CompilerOptions &options) {
  switch (emission) {
  case Emission::Joint:
    if (getLevel(module) > Level::Joint) {
      reportError("the input is past the joint graph already");
      return failure();
    }
    if (failed(compileTo(module, Level::Joint, options)))
      return failure();
    return printModule(module);
  case Emission::Stages:
    if (failed(compileTo(module, Level::Stages, options)))
      return failure();
    return printModule(module);
  case Emission::Programs:
    if (failed(compileTo(module, Level::Programs, options)))
      return failure();
    return printModule(module);
  default:
    break;
  }

  OwningOpRef<ModuleOp> joint;
  if (emission == Emission::Report && getLevel(module) < Level::Stages) {
    joint = module.clone();
    if (failed(compileTo(*joint, Level::Joint, options)))
      return failure();
    // The comparison is cut anew.
    joint->walk([](Operation *op) {
      op->removeAttr(attr::stage);
      op->removeAttr(attr::pass);
    });
  }
  if (failed(compileTo(module, Level::Plan, options)))
    return failure();
  if (!getTimelinePath().empty() &&
      failed(writeTimeline(module, getTimelinePath())))
    return failure();
  if (emission == Emission::Plan)
    return printModule(module);
  if (emission == Emission::Report)
    return writeText([&](llvm::raw_ostream &os) {
      return printReport(module, joint ? *joint : ModuleOp(), options, os);
    });
  return emitCode(module);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  registerCompilerCommandLine();
  cl::HideUnrelatedOptions(getToolCategory());
  cl::ParseCommandLineOptions(
      argc, argv,
      "Weir compiler: one training step as a pipelined program for many "
      "devices\n");
  CompilerOptions options = getCompilerOptions();
  if (auto error = checkOptions(options))
    return reportError(*error);
  if ((emission == Emission::Object || emission == Emission::Executable) &&
      output.empty())
    return reportError("needs an output file: -o FILE");
  MLIRContext context;
  prepareContext(context);
  std::unique_ptr<InputFile> input = InputFile::open(getInputPath(), context);
  if (!input || failed(compile(input->getModule(), options)))
    return 1;
  return 0;
}
