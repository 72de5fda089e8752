//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/CommandLine.h"

#include "weir/InitAll.h"
#include "weir/Target/HostTarget.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/WithColor.h"

namespace cl = llvm::cl;
using namespace mlir;
using namespace weir;

cl::OptionCategory &weir::getToolCategory() {
  static cl::OptionCategory category("Weir options");
  return category;
}

namespace {
struct Options {
  cl::opt<std::string> input{cl::Positional, cl::desc("<model.mlir>"),
                             cl::Required, cl::cat(getToolCategory())};
  cl::opt<int64_t> devices{"devices", cl::desc("Number of devices"),
                           cl::init(1), cl::cat(getToolCategory())};
  cl::opt<int64_t> microbatches{
      "microbatches", cl::desc("Microbatches per step (default: 2 per device)"),
      cl::init(0), cl::cat(getToolCategory())};
  cl::opt<std::string> schedule{
      "schedule", cl::desc("gpipe, 1f1b, zb-h1 or v-half (default: 1f1b)"),
      cl::init("1f1b"), cl::cat(getToolCategory())};
  cl::opt<int64_t> stages{
      "stages",
      cl::desc("Number of stages, a multiple of the devices (default: what the "
               "schedule wants)"),
      cl::init(0), cl::cat(getToolCategory())};
  cl::list<int64_t> cuts{
      "cuts",
      cl::desc("Cut before the ops of these numbers (weir.op in --emit=joint) "
               "instead of where it balances best"),
      cl::CommaSeparated, cl::cat(getToolCategory())};
  cl::opt<int64_t> memoryLimit{
      "memory-limit", cl::desc("Bytes per device (default: no limit)"),
      cl::init(0), cl::cat(getToolCategory())};
  cl::opt<std::string> optimizer{"optimizer",
                                 cl::desc("adamw or sgd (default: adamw)"),
                                 cl::init("adamw"), cl::cat(getToolCategory())};
  cl::opt<double> weightDecay{"weight-decay",
                              cl::desc("Weight decay (default: 0.1)"),
                              cl::init(0.1), cl::cat(getToolCategory())};
  cl::opt<double> momentum{"momentum", cl::desc("Momentum of sgd (default: 0.9)"),
                           cl::init(0.9), cl::cat(getToolCategory())};
  cl::opt<double> beta1{"beta1", cl::desc("beta1 of adamw (default: 0.9)"),
                        cl::init(0.9), cl::cat(getToolCategory())};
  cl::opt<double> beta2{"beta2", cl::desc("beta2 of adamw (default: 0.95)"),
                        cl::init(0.95), cl::cat(getToolCategory())};
  cl::opt<std::string> timeline{
      "timeline", cl::desc("Write a picture of the schedule (SVG) to this file"),
      cl::cat(getToolCategory())};
};
} // namespace

static Options &getOptions() {
  static Options options;
  return options;
}

void weir::registerCompilerCommandLine() {
  getOptions();
  registerPassManagerCLOptions();
}

bool weir::isCompilerArgument(StringRef argument) {
  if (!argument.starts_with("-") || argument == "-")
    return true;
  StringRef name = argument.ltrim('-').split('=').first;
  return cl::getRegisteredOptions().contains(name);
}

CompilerOptions weir::getCompilerOptions() {
  Options &given = getOptions();
  CompilerOptions options;
  options.devices = given.devices;
  if (given.microbatches.getNumOccurrences())
    options.microbatches = given.microbatches;
  options.schedule = given.schedule;
  options.stages = given.stages;
  options.memoryLimit = given.memoryLimit;
  options.cuts.assign(given.cuts.begin(), given.cuts.end());
  if (!options.cuts.empty() && options.stages == 0)
    options.stages = options.cuts.size() + 1;
  options.optimizer = given.optimizer;
  options.weightDecay = given.weightDecay;
  options.momentum = given.momentum;
  options.beta1 = given.beta1;
  options.beta2 = given.beta2;
  return options;
}

StringRef weir::getInputPath() { return getOptions().input.getValue(); }

StringRef weir::getTimelinePath() { return getOptions().timeline.getValue(); }

void weir::prepareContext(MLIRContext &context) {
  DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  weir::registerAllDialects(registry);
  registerHostTargetDialects(registry);
  context.appendDialectRegistry(registry);
  // A person reads the line of the input, not the op's assembly.
  context.printOpOnDiagnostic(false);
}

int weir::reportError(const Twine &message) {
  llvm::WithColor::error() << message << "\n";
  return 1;
}

struct InputFile::Content {
  llvm::SourceMgr sources;
  std::unique_ptr<SourceMgrDiagnosticHandler> handler;
  OwningOpRef<ModuleOp> module;
};

InputFile::InputFile() : content(std::make_unique<Content>()) {}
InputFile::~InputFile() = default;

std::unique_ptr<InputFile> InputFile::open(StringRef path,
                                           MLIRContext &context) {
  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInputFile(path, &message);
  if (!buffer) {
    reportError(message);
    return nullptr;
  }
  std::unique_ptr<InputFile> file(new InputFile());
  Content &content = *file->content;
  content.sources.AddNewSourceBuffer(std::move(buffer), SMLoc());
  content.handler =
      std::make_unique<SourceMgrDiagnosticHandler>(content.sources, &context);
  content.module = parseSourceFile<ModuleOp>(content.sources, &context);
  if (!content.module)
    return nullptr;
  return file;
}

ModuleOp InputFile::getModule() { return *content->module; }
