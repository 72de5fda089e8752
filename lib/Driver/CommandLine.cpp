//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/CommandLine.h"

#include "Version.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/InitAll.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Target/OutputFile.h"

#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/WithColor.h"

namespace cl = llvm::cl;
using namespace mlir;
using namespace weir;

cl::OptionCategory &weir::getToolCategory() {
  static cl::OptionCategory category("Weir options");
  return category;
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

/// The help of --schedule. Options keep a reference to their help.
static StringRef getScheduleHelp() {
  static const std::string help = [] {
    std::string names;
    for (const schedule::NamedSchedule &named : schedule::listNamed())
      names += std::string(named.name) + ", ";
    return names + "block:FILE, or auto: the best one within the memory limit "
                   "(default: 1f1b)";
  }();
  return help;
}

namespace {
// Numbers are kept as given: llvm::cl would blame a "long argument" for a
// mistake.
struct Options {
  cl::opt<std::string> input{cl::Positional, cl::desc("<model.mlir>"),
                             cl::cat(getToolCategory())};
  // Takes what is too much, so that the error can name it.
  cl::list<std::string> surplus{cl::Positional};
  cl::opt<std::string> devices{"devices",
                               cl::desc("Number of devices (default: 1)"),
                               cl::value_desc("N"), cl::cat(getToolCategory())};
  cl::opt<std::string> microbatches{
      "microbatches", cl::desc("Microbatches per step (default: 2 per device)"),
      cl::value_desc("N"), cl::cat(getToolCategory())};
  cl::opt<std::string> schedule{"schedule", cl::desc(getScheduleHelp()),
                                cl::value_desc("NAME"), cl::init("1f1b"),
                                cl::cat(getToolCategory())};
  cl::opt<std::string> placement{
      "placement",
      cl::desc("Where the stages are: linear, loop, v, or the device of each, "
               "such as 0,1,2,2,1,0 (default: what the schedule wants; auto "
               "tries several)"),
      cl::value_desc("NAME"), cl::cat(getToolCategory())};
  cl::opt<std::string> chunks{
      "chunks",
      cl::desc("Stages per device (default: what the schedule wants)"),
      cl::value_desc("N"), cl::cat(getToolCategory())};
  cl::opt<std::string> stages{
      "stages", cl::desc("Number of stages (default: devices times chunks)"),
      cl::value_desc("N"), cl::cat(getToolCategory())};
  cl::opt<std::string> objective{
      "objective",
      cl::desc(
          "What auto makes small: makespan, from the first pass to the last, "
          "or span, the longest such time of one device (default: "
          "makespan)"),
      cl::value_desc("NAME"), cl::init("makespan"), cl::cat(getToolCategory())};
  cl::opt<std::string> timeBudget{
      "time-budget",
      cl::desc("How long auto searches, in seconds of two cores of the year "
               "2020, so that it finds the same on every machine (default: 2)"),
      cl::value_desc("S"), cl::cat(getToolCategory())};
  cl::opt<std::string> searchSeed{
      "search-seed", cl::desc("Seed of the search of auto (default: 1)"),
      cl::value_desc("N"), cl::cat(getToolCategory())};
  cl::opt<std::string> cuts{
      "cuts",
      cl::desc("Cut before the ops of these numbers (weir.op in --emit=joint) "
               "instead of where it balances best"),
      cl::value_desc("N,..."), cl::cat(getToolCategory())};
  cl::opt<std::string> layersPerStage{
      "layers-per-stage",
      cl::desc("How many layers (weir.layer in the model) each stage has, "
               "instead of what balances best"),
      cl::value_desc("N,..."), cl::cat(getToolCategory())};
  cl::opt<std::string> memoryLimit{
      "memory-limit", cl::desc("Bytes per device (default: no limit)"),
      cl::value_desc("BYTES"), cl::cat(getToolCategory())};
  cl::opt<std::string> optimizer{
      "optimizer", cl::desc("adamw or sgd (default: adamw)"),
      cl::value_desc("NAME"), cl::init("adamw"), cl::cat(getToolCategory())};
  cl::opt<std::string> weightDecay{
      "weight-decay", cl::desc("Weight decay (default: 0.1)"),
      cl::value_desc("X"), cl::cat(getToolCategory())};
  cl::opt<std::string> momentum{
      "momentum", cl::desc("Momentum of sgd (default: 0.9)"),
      cl::value_desc("X"), cl::cat(getToolCategory())};
  cl::opt<std::string> beta1{"beta1", cl::desc("beta1 of adamw (default: 0.9)"),
                             cl::value_desc("X"), cl::cat(getToolCategory())};
  cl::opt<std::string> beta2{"beta2",
                             cl::desc("beta2 of adamw (default: 0.95)"),
                             cl::value_desc("X"), cl::cat(getToolCategory())};
  cl::opt<std::string> target{
      "target", cl::desc("What code is made for: host or cuda (default: host)"),
      cl::value_desc("NAME"), cl::init("host"), cl::cat(getToolCategory())};
  cl::opt<std::string> arch{
      "arch",
      cl::desc("Architecture of the devices of cuda: sm_80, sm_90a, sm_100 "
               "and so on, or emulated, for tests (default: sm_90a)"),
      cl::value_desc("NAME"), cl::init("sm_90a"), cl::cat(getToolCategory())};
  cl::list<std::string> link{
      "link",
      cl::desc(
          "An object file, archive or shared library that defines functions "
          "of weir.kernel; may be given several times"),
      cl::value_desc("FILE"), cl::cat(getToolCategory())};
  cl::opt<bool> remarks{
      "remarks",
      cl::desc(
          "Say on standard error what was chosen, and why: where the model "
          "is cut, the schedule, and what the memory of each device is for"),
      cl::cat(getToolCategory())};
  cl::opt<std::string> remarksFilter{
      "remarks-filter",
      cl::desc("Say only what passes have chosen whose names match, such as "
               "weir-schedule or weir-(partition|layout)"),
      cl::value_desc("REGEX"), cl::cat(getToolCategory())};
  cl::opt<std::string> timeline{
      "timeline",
      cl::desc("Write a picture of the schedule (SVG) to this file"),
      cl::value_desc("FILE"), cl::cat(getToolCategory())};
};

} // namespace

static Options &getOptions() {
  static Options options;
  return options;
}

void weir::registerCompilerCommandLine() {
  getOptions();
  // --mlir-print-ir-after knows the passes that are there when it is made.
  registerAllPasses();
  registerAsmPrinterCLOptions();
  registerMLIRContextCLOptions();
  registerPassManagerCLOptions();
  cl::HideUnrelatedOptions(getToolCategory());
  introduceTool();
}

static bool convert(StringRef text, int64_t &value) {
  return !text.getAsInteger(10, value);
}

static bool convert(StringRef text, double &value) {
  return !text.getAsDouble(value);
}

/// False after an error, which was printed.
template <typename Number>
static bool readNumber(const cl::Option &option, StringRef text,
                       Number &value) {
  if (convert(text, value))
    return true;
  reportError("option --" + option.ArgStr + ": '" + text + "' is not a " +
              (std::is_integral_v<Number> ? "whole " : "") + "number");
  return false;
}

/// Leaves the default where the option was not given.
template <typename Number>
static bool readNumber(const cl::opt<std::string> &option, Number &value) {
  return !option.getNumOccurrences() ||
         readNumber(option, option.getValue(), value);
}

/// Numbers separated by commas; none where the option was not given.
static bool readNumbers(const cl::opt<std::string> &option,
                        std::vector<int64_t> &values) {
  SmallVector<StringRef> items;
  if (option.getNumOccurrences())
    StringRef(option.getValue()).split(items, ',');
  return llvm::all_of(items, [&](StringRef item) {
    return readNumber(option, item, values.emplace_back());
  });
}

static std::optional<CompilerOptions> readOptions() {
  Options &given = getOptions();
  CompilerOptions options;
  options.schedule = given.schedule;
  options.placement = given.placement;
  options.objective = given.objective;
  options.optimizer = given.optimizer;
  if (given.target != "host" && given.target != "cuda") {
    reportError("unknown target '" + given.target +
                "'; known are host and cuda");
    return std::nullopt;
  }
  if (given.target == "cuda")
    options.cudaArch = given.arch;
  if (given.microbatches.getNumOccurrences())
    options.microbatches = 0;
  if (!readNumber(given.devices, options.devices) ||
      (options.microbatches &&
       !readNumber(given.microbatches, *options.microbatches)) ||
      !readNumber(given.stages, options.stages) ||
      !readNumber(given.chunks, options.chunks) ||
      !readNumber(given.timeBudget, options.timeBudget) ||
      !readNumber(given.searchSeed, options.searchSeed) ||
      !readNumber(given.memoryLimit, options.memoryLimit) ||
      !readNumber(given.weightDecay, options.weightDecay) ||
      !readNumber(given.momentum, options.momentum) ||
      !readNumber(given.beta1, options.beta1) ||
      !readNumber(given.beta2, options.beta2))
    return std::nullopt;
  std::string reason;
  if (given.remarksFilter.getNumOccurrences() &&
      !llvm::Regex(given.remarksFilter).isValid(reason)) {
    reportError("option --remarks-filter: '" + given.remarksFilter +
                "' is no regular expression: " + reason);
    return std::nullopt;
  }
  if (!readNumbers(given.cuts, options.cuts) ||
      !readNumbers(given.layersPerStage, options.layersPerStage))
    return std::nullopt;
  if (options.stages == 0 && !options.cuts.empty())
    options.stages = options.cuts.size() + 1;
  if (options.stages == 0)
    options.stages = options.layersPerStage.size();
  std::string ignored;
  if (isBlockFile(options.schedule) && !given.devices.getNumOccurrences())
    if (auto block = readBlockFile(options.schedule, ignored))
      options.devices = block->numDevices;
  if (auto listed = getListedPlacement(options.placement)) {
    if (!given.devices.getNumOccurrences())
      options.devices = listed->devices;
    if (options.stages == 0)
      options.stages = listed->stages;
  }
  return options;
}

std::optional<CompilerOptions>
weir::parseCommandLine(ArrayRef<const char *> arguments, StringRef overview) {
  auto &known = cl::getRegisteredOptions();
  for (StringRef argument : arguments.drop_front()) {
    if (argument == "--")
      break;
    if (argument.starts_with("-") && argument != "-" &&
        !known.contains(argument.ltrim('-').split('=').first)) {
      reportError("unknown option '" + argument +
                  "'; --help lists the options");
      return std::nullopt;
    }
  }
  std::string errors;
  llvm::raw_string_ostream os(errors);
  if (!cl::ParseCommandLineOptions(arguments.size(), arguments.data(), overview,
                                   &os)) {
    // Without the name of the tool; what is empty was printed already.
    StringRef line = StringRef(errors).trim().split('\n').first;
    if (!line.empty())
      reportError(line.contains(": ") ? line.split(": ").second : line);
    return std::nullopt;
  }
  Options &given = getOptions();
  if (given.surplus.empty() && given.input.getNumOccurrences())
    return readOptions();
  if (given.surplus.empty())
    reportError("needs an input file; --help tells more");
  else
    reportError("unexpected argument '" + given.surplus.front() +
                "' after the input file '" + given.input.getValue() + "'");
  return std::nullopt;
}

std::optional<std::string> weir::checkOptionsMatter(ModuleOp module) {
  Options &given = getOptions();
  auto findGiven =
      [](std::initializer_list<const cl::Option *> options) -> std::string {
    for (const cl::Option *option : options)
      if (option->getNumOccurrences())
        return "option --" + option->ArgStr.str() + " has no effect: ";
    return "";
  };
  bool isAdamW = given.optimizer == "adamw";
  std::string text = isAdamW ? findGiven({&given.momentum})
                             : findGiven({&given.beta1, &given.beta2});
  if (!text.empty())
    return text + "the optimizer is " + given.optimizer;
  if (given.schedule != "auto")
    text = findGiven({&given.objective, &given.timeBudget, &given.searchSeed});
  if (!text.empty())
    return text + "the schedule is " + given.schedule;
  if (given.target != "cuda")
    text = findGiven({&given.arch});
  if (!text.empty())
    return text + "the target is " + given.target;
  if (module.getOps<KernelOp>().empty())
    text = findGiven({std::addressof(given.link)});
  if (!text.empty())
    return text + "the input declares no weir.kernel";
  Level level = getLevel(module);
  if (level >= Level::Programs)
    text = findGiven({&given.devices, &given.microbatches, &given.schedule,
                      &given.placement});
  if (!text.empty())
    return text + "the input has programs already";
  if (level >= Level::Stages)
    text = findGiven({&given.optimizer, &given.weightDecay, &given.momentum,
                      &given.beta1, &given.beta2});
  if (!text.empty())
    return text + "the input has its updates already";
  if (level >= Level::Joint && isCut(module))
    text = findGiven({&given.stages, &given.cuts, &given.layersPerStage,
                      &given.chunks});
  if (!text.empty())
    return text + "the input is cut already";
  return std::nullopt;
}

StringRef weir::getInputPath() { return getOptions().input.getValue(); }

std::optional<std::string>
weir::findKernelLibraries(SmallVectorImpl<KernelLibrary> &libraries) {
  for (const std::string &path : getOptions().link) {
    llvm::Expected<KernelLibrary> library = findKernelLibrary(path);
    if (!library)
      return "option --link: " + llvm::toString(library.takeError());
    libraries.push_back(std::move(*library));
  }
  return std::nullopt;
}

StringRef weir::getTimelinePath() { return getOptions().timeline.getValue(); }

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

bool weir::isSameFile(StringRef a, StringRef b) {
  if (a.empty() || b.empty() || a == "-" || b == "-")
    return false;
  // Any number of outputs may go to a device.
  llvm::sys::fs::file_status status;
  bool exists =
      !llvm::sys::fs::status(a, status) && llvm::sys::fs::exists(status);
  if (exists && !llvm::sys::fs::is_regular_file(status))
    return false;
  bool result = false;
  return a == b || (!llvm::sys::fs::equivalent(a, b, result) && result);
}

std::optional<std::string> weir::checkFiles(ArrayRef<NamedFile> outputs,
                                            ArrayRef<NamedFile> inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].path.empty())
      continue;
    SmallVector<NamedFile> others(inputs);
    llvm::append_range(others, outputs.take_front(i));
    for (const NamedFile &other : others)
      if (isSameFile(outputs[i].path, other.path))
        return (outputs[i].name + " and " + other.name +
                " name the same file '" + outputs[i].path + "'")
            .str();
    if (llvm::Error error = checkOutputPath(outputs[i].path))
      return llvm::toString(std::move(error));
  }
  return std::nullopt;
}

namespace {

/// Remarks as diagnostics, so that those about plans that are dropped can be
/// dropped with them.
class RemarksAsDiagnostics : public remark::detail::MLIRRemarkStreamerBase {
public:
  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    InFlightDiagnostic diag = emitRemark(remark.getLocation());
    for (const remark::detail::Remark::Arg &arg : remark.getArgs())
      diag << arg.val;
  }
};

} // namespace

/// Of what is left to others nothing is said, unless a filter asks for it.
static void enableRemarks(MLIRContext &context, StringRef filter) {
  remark::RemarkCategories categories;
  if (filter.empty())
    categories.passed = categories.analysis = "weir.*";
  else
    categories.passed = categories.missed = categories.analysis =
        categories.failed = filter.str();
  (void)remark::enableOptimizationRemarks(
      context, std::make_unique<RemarksAsDiagnostics>(),
      std::make_unique<remark::RemarkEmittingPolicyAll>(), categories);
}

void weir::prepareContext(MLIRContext &context,
                          const DialectRegistry &registry) {
  context.appendDialectRegistry(registry);
  // A person reads the line of the input, not the op's assembly.
  context.printOpOnDiagnostic(false);
  Options &given = getOptions();
  if (given.remarks || given.remarksFilter.getNumOccurrences())
    enableRemarks(context, given.remarksFilter);
}

int weir::reportError(const Twine &message) {
  llvm::WithColor::error() << message << "\n";
  return 1;
}

static void printLine(const Diagnostic &diagnostic) {
  if (auto place = diagnostic.getLocation()->findInstanceOf<FileLineColRange>())
    llvm::errs() << place.getFilename().getValue() << ":"
                 << place.getStartLine() << ":" << place.getStartColumn()
                 << ": ";
  switch (diagnostic.getSeverity()) {
  case DiagnosticSeverity::Error:
    llvm::WithColor::error();
    break;
  case DiagnosticSeverity::Warning:
    llvm::WithColor::warning();
    break;
  case DiagnosticSeverity::Note:
    llvm::WithColor::note();
    break;
  case DiagnosticSeverity::Remark:
    llvm::WithColor::remark();
    break;
  }
  llvm::errs() << diagnostic.str() << "\n";
}

void weir::printInLines(const Diagnostic &diagnostic) {
  printLine(diagnostic);
  for (const Diagnostic &note : diagnostic.getNotes())
    printLine(note);
}

struct InputFile::Content {
  llvm::SourceMgr sources;
  std::unique_ptr<SourceMgrDiagnosticHandler> handler;
  std::unique_ptr<ScopedDiagnosticHandler> plainHandler;
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
  if (!isBytecode(*buffer) && (buffer->getBuffer().contains('\0') ||
                               !llvm::json::isUTF8(buffer->getBuffer()))) {
    reportError("input file '" + path + "' is not MLIR text");
    return nullptr;
  }
  std::unique_ptr<InputFile> file(new InputFile());
  Content &content = *file->content;
  content.sources.AddNewSourceBuffer(std::move(buffer), SMLoc());
  content.handler =
      std::make_unique<SourceMgrDiagnosticHandler>(content.sources, &context);
  // What has no place in the input, as an error about an option, is one line,
  // and so is a remark.
  content.plainHandler = std::make_unique<ScopedDiagnosticHandler>(
      &context, [](Diagnostic &diagnostic) {
        if (!isa<UnknownLoc>(diagnostic.getLocation()) &&
            diagnostic.getSeverity() != DiagnosticSeverity::Remark)
          return failure();
        printInLines(diagnostic);
        return success();
      });
  content.module = parseSourceFile<ModuleOp>(content.sources, &context);
  if (!content.module)
    return nullptr;
  return file;
}

ModuleOp InputFile::getModule() { return *content->module; }
