//===- weir-random-models.cpp - pipelined equals unpipelined --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Random models are cut at random, scheduled at random under random memory
// limits, compiled, planned, proved and run with unused memory poisoned. All
// that a training leaves behind has the bytes that it has on one device. What
// is refused is checked, too: see `checkRefusal`.
//
//===----------------------------------------------------------------------===//

#include "CompiledCuts.h"
#include "ExhaustiveSearch.h"
#include "RandomCases.h"
#include "RandomModel.h"
#include "Training.h"

#include "weir/Analysis/PipelineProblem.h"
#include "weir/Driver/CommandLine.h"
#include "weir/Driver/ToolMains.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <map>

namespace cl = llvm::cl;
using namespace mlir;
using namespace weir;
using namespace weir::test;

static cl::opt<int64_t> numCases("cases", cl::init(100),
                                 cl::desc("How many cases to run at least"));
static cl::opt<uint64_t> firstSeed("seed", cl::init(0),
                                   cl::desc("Seed of the first model"));
static cl::opt<int64_t>
    onlyCase("case", cl::init(-1),
             cl::desc("Run only this case of the model that --seed makes"));
static cl::opt<std::string>
    directory("out", cl::init("."),
              cl::desc("Where data and failing models are written"));
static cl::opt<int64_t>
    progress("progress", cl::init(0),
             cl::desc("Print the state after each so many models"));

namespace {

/// What has been seen, by name.
using Statistics = std::map<std::string, int64_t>;

/// Diagnostics of the compiler while it lives.
class Collector {
public:
  explicit Collector(MLIRContext &context)
      : handler(&context, [&](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
            errors.push_back(diagnostic.str());
          return success();
        }) {}

  std::string text() const { return llvm::join(errors, "; "); }

  std::vector<std::string> errors;

private:
  ScopedDiagnosticHandler handler;
};

/// All cases of one model.
class ModelRun {
public:
  ModelRun(uint64_t seed, MLIRContext &context, Statistics &statistics)
      : seed(seed), random(seed + 0x5eed), context(context),
        statistics(statistics), model(makeRandomModel(seed)) {}

  /// Returns false after a failure, which was printed.
  bool run();

private:
  struct Planned {
    int64_t arena = 0;
    std::vector<char> table;
    std::vector<weir_kernel> kernels;
  };

  bool prepare();
  bool runCase(const Case &one);
  bool checkRefusal(const Case &one, const std::string &error);
  bool checkAllOrders(size_t cut);
  /// Compiles a cut to a table; nothing, with the errors in `error`, if it is
  /// refused.
  std::optional<Planned> plan(size_t cut, const CompilerOptions &options,
                              std::string &error);
  const Trained *getReference(int64_t microbatches);
  bool fail(const CompilerOptions &options, const std::string &what);
  std::string dataPath();

  uint64_t seed;
  std::mt19937_64 random;
  MLIRContext &context;
  Statistics &statistics;
  RandomModel model;
  std::unique_ptr<CompiledCuts> compiled;
  std::vector<CompilerOptions> cuts;
  std::map<int64_t, Trained> references;
  TrainingOptions training;
  int64_t caseNumber = 0, numFailures = 0;
};

} // namespace

static std::string pathOf(const std::string &name) {
  llvm::SmallString<128> path(directory.getValue());
  llvm::sys::path::append(path, name);
  return path.str().str();
}

static void writeFile(const std::string &path, StringRef text) {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (code)
    llvm::report_fatal_error("cannot write " + llvm::Twine(path));
  os << text;
}

std::string ModelRun::dataPath() {
  std::string path = pathOf("tokens-below-" + std::to_string(model.vocab));
  if (!llvm::sys::fs::exists(path)) {
    std::string text;
    std::mt19937_64 tokens(model.vocab);
    for (int i = 0; i < 300; ++i)
      text.push_back(static_cast<char>(tokens() % model.vocab));
    writeFile(path, text);
  }
  return path;
}

bool ModelRun::fail(const CompilerOptions &options, const std::string &what) {
  // One reproducer for each model is enough.
  if (++numFailures > 1)
    return false;
  std::string path = pathOf("random-" + std::to_string(seed));
  writeFile(path + ".mlir", model.text);
  llvm::errs() << "FAILED: " << what << "\n  weir-random-models --seed=" << seed
               << " --case=" << caseNumber << "\n";
  auto print = [&](const CompilerOptions &options, const std::string &stages) {
    llvm::errs() << "  weirc " << path << ".mlir " << toCutOptions(options)
                 << " --emit=stages -o " << path << stages << ".mlir\n"
                 << "  weir-run " << path << stages << ".mlir "
                 << toScheduleOptions(options) << " --data=" << dataPath()
                 << " --steps=" << training.steps
                 << " --lr=" << training.learningRate
                 << " --poison --save=" << path << stages << ".safetensors\n";
  };
  print(options, "-pipelined");
  if (!cuts.empty()) {
    CompilerOptions reference = cuts[0];
    reference.microbatches = options.microbatches;
    print(reference, "-unpipelined");
  }
  return false;
}

bool ModelRun::prepare() {
  Collector collector(context);
  compiled = CompiledCuts::create(model.text, context);
  CompilerOptions reference = makeReferenceCut(random);
  if (!compiled)
    return fail(reference, "the model is refused: " + collector.text());
  cuts.push_back(reference);
  static constexpr int64_t numCuts = 6;
  for (int64_t i = 0; i < numCuts; ++i)
    cuts.push_back(makeCut(random, compiled->getOpNumbers(), reference));
  for (const CompilerOptions &cut : cuts) {
    if (auto error = checkOptions(cut))
      return fail(cut, "the cut is refused: " + *error);
    if (failed(compiled->add(cut)))
      return fail(cut, "the cut is refused: " + collector.text());
  }
  if (failed(compiled->compile()))
    return fail(reference, "the passes are refused: " + collector.text());
  return true;
}

std::optional<ModelRun::Planned>
ModelRun::plan(size_t cut, const CompilerOptions &options, std::string &error) {
  Collector collector(context);
  OwningOpRef<ModuleOp> module = compiled->getStages(cut).clone();
  if (failed(compileTo(*module, Level::Plan, options))) {
    error = collector.text();
    return std::nullopt;
  }
  FailureOr<ProgramTable> table = buildProgramTable(getOnlyPipeline(*module));
  if (failed(table)) {
    error = collector.text();
    return std::nullopt;
  }
  Planned planned;
  for (auto program : module->getOps<ProgramOp>())
    planned.arena = std::max<int64_t>(planned.arena, *program.getArena());
  planned.table.assign(table->bytes.begin(), table->bytes.end());
  for (const std::string &name : table->kernelOrder)
    planned.kernels.push_back(compiled->lookup(name));
  return planned;
}

const Trained *ModelRun::getReference(int64_t microbatches) {
  auto [it, isNew] = references.try_emplace(microbatches);
  if (!isNew)
    return &it->second;
  CompilerOptions options = cuts[0];
  options.microbatches = microbatches;
  std::string error;
  std::optional<Planned> planned = plan(0, options, error);
  if (planned)
    error = train(planned->table, planned->kernels, training, it->second);
  if (error.empty())
    return &it->second;
  fail(options, "the unpipelined model: " + error);
  return nullptr;
}

/// The number after `text` in `message`, or -1.
static int64_t numberAfter(StringRef message, StringRef text) {
  size_t at = message.find(text);
  if (at == StringRef::npos)
    return -1;
  int64_t number;
  StringRef rest = message.drop_front(at + text.size());
  return rest.consumeInteger(10, number) ? -1 : number;
}

/// A refusal names the smallest limit that can be met, to a hundredth: with it
/// the case compiles, with less it does not.
bool ModelRun::checkRefusal(const Case &one, const std::string &error) {
  CompilerOptions options = one.options;
  int64_t smallest = numberAfter(error, "the smallest limit it can meet is ");
  if (smallest <= options.memoryLimit)
    return fail(options,
                "refused without a word on what limit can be met: " + error);
  std::string ignored;
  options.memoryLimit = smallest;
  std::optional<Planned> planned = plan(one.cut, options, ignored);
  if (!planned)
    return fail(options, "the limit that can be met is refused: " + ignored);
  if (planned->arena > smallest)
    return fail(options, "the plan is larger than its limit: " +
                             std::to_string(planned->arena));
  options.memoryLimit = smallest - smallest / 100 - 1;
  if (options.memoryLimit > one.options.memoryLimit &&
      plan(one.cut, options, ignored))
    return fail(one.options, "a limit of " +
                                 std::to_string(options.memoryLimit) +
                                 " can be met, less than was said: " + error);
  ++statistics["refused limits"];
  return true;
}

/// Where a cut has few orders, all of them are planned: `auto` meets the least
/// that one of them needs, refuses a byte less, and then names that least, to a
/// hundredth.
bool ModelRun::checkAllOrders(size_t cut) {
  static constexpr int64_t mostOrders = 400, mostMicrobatches = 4;
  CompilerOptions options = cuts[cut];
  std::string error;
  std::optional<std::vector<int>> placement =
      readPlacement(options.placement, options.stages, options.devices, error);
  std::optional<int64_t> least;
  for (int64_t count = mostMicrobatches; count > 0 && !least; --count) {
    options.microbatches = count;
    least =
        findLeastArena(compiled->getStages(cut), *placement, count, mostOrders);
  }
  if (!least)
    return true;
  options.schedule = "auto";
  options.timeBudget = random() % 2 ? 0 : 0.002;
  options.memoryLimit = *least;
  std::optional<Planned> planned = plan(cut, options, error);
  if (!planned)
    return fail(options, "an order fits, but auto says: " + error);
  options.memoryLimit = *least - 1;
  planned = plan(cut, options, error);
  if (planned)
    return fail(options, "no order fits, but auto plans " +
                             std::to_string(planned->arena) + " bytes");
  int64_t smallest = numberAfter(error, "the smallest limit it can meet is ");
  if (smallest < *least || smallest - smallest / 100 > *least)
    return fail(options, "some order needs " + std::to_string(*least) +
                             " bytes, but auto says: " + error);
  ++statistics["refusals by all orders"];
  return true;
}

bool ModelRun::runCase(const Case &one) {
  const CompilerOptions &options = one.options;
  std::string error;
  std::optional<Planned> planned = plan(one.cut, options, error);
  if (!planned)
    return options.memoryLimit
               ? checkRefusal(one, error)
               : fail(options, "the schedule is refused: " + error);
  if (options.memoryLimit && planned->arena > options.memoryLimit)
    return fail(options, "the plan is larger than its limit: " +
                             std::to_string(planned->arena));
  const Trained *reference = getReference(*options.microbatches);
  if (!reference)
    return false;
  Trained trained;
  error = train(planned->table, planned->kernels, training, trained);
  if (error.empty())
    error = compare(trained, *reference);
  if (!error.empty())
    return fail(options, error);
  ++statistics["cases"];
  ++statistics["schedule " + options.schedule];
  ++statistics["placement " + (llvm::isDigit(options.placement.front())
                                   ? "listed"
                                   : options.placement)];
  ++statistics["devices " + std::to_string(options.devices)];
  ++statistics["microbatches " + std::to_string(*options.microbatches)];
  ++statistics[options.memoryLimit ? "limit met" : "limit none"];
  return true;
}

bool ModelRun::run() {
  if (model.vocab)
    training.data = dataPath();
  if (!prepare())
    return false;
  ++statistics["models"];
  for (const std::string &kind : model.kinds)
    ++statistics["models with " + kind];
  statistics["cuts"] += cuts.size() - 1;
  static constexpr int64_t casesPerCut = 8;
  std::set<std::string> seen;
  std::map<std::string, int64_t> needs;
  bool isRight = true;
  for (size_t cut = 1; cut < cuts.size(); ++cut) {
    isRight &= checkAllOrders(cut);
    for (int64_t i = 0; i < casesPerCut; ++i, ++caseNumber) {
      Case one = makeCase(random, cut, cuts[cut]);
      if (onlyCase >= 0 && caseNumber != onlyCase)
        continue;
      if (one.limitPercent) {
        std::string error;
        CompilerOptions options = one.options;
        auto [it, isNew] = needs.try_emplace(std::to_string(cut) + " " +
                                             toScheduleOptions(options));
        if (isNew)
          if (std::optional<Planned> planned = plan(cut, options, error))
            it->second = planned->arena;
        one.options.memoryLimit = it->second * one.limitPercent / 100;
      }
      // The same tuple counts once.
      if (seen.insert(std::to_string(cut) + " " +
                      toScheduleOptions(one.options))
              .second)
        isRight &= runCase(one);
    }
  }
  return isRight;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  registerPassManagerCLOptions();
  cl::ParseCommandLineOptions(
      argc, argv,
      "Random models: pipelined equals unpipelined, byte by byte\n");
  auto start = std::chrono::steady_clock::now();
  Statistics statistics;
  DialectRegistry registry;
  registerCompilerDialects(registry);
  std::unique_ptr<MLIRContext> context;
  int64_t failures = 0;
  for (uint64_t seed = firstSeed;; ++seed) {
    // What a context has interned is freed with it.
    if ((seed - firstSeed) % 50 == 0) {
      context = std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED);
      prepareContext(*context, registry);
    }
    failures += !ModelRun(seed, *context, statistics).run();
    if (progress && (seed - firstSeed + 1) % progress == 0) {
      std::chrono::duration<double> seconds =
          std::chrono::steady_clock::now() - start;
      llvm::outs() << llvm::formatv("{0} models, {1} cases, {2} models with "
                                    "failures, {3:f1} s\n",
                                    seed - firstSeed + 1, statistics["cases"],
                                    failures, seconds.count());
      llvm::outs().flush();
    }
    if (onlyCase >= 0 || statistics["cases"] >= numCases)
      break;
  }
  for (const auto &[name, count] : statistics)
    llvm::outs() << llvm::formatv("{0,10}  {1}\n", count, name);
  llvm::outs() << llvm::formatv("{0,10}  models with failures\n", failures);
  return failures != 0;
}
