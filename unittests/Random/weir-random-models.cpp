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
      : seed(seed), random(seed + 0x5eed), checkRandom(seed), context(context),
        statistics(statistics), model(makeRandomModel(seed)) {}

  /// Returns false after a failure, which was printed.
  bool run();

private:
  struct Planned {
    int64_t arena = 0;
    std::vector<char> table;
    std::vector<weir_kernel> kernels;
    /// Of the kernels, where they are not those of the cut.
    std::unique_ptr<HostJit> jit;
  };

  bool prepare();
  bool runCut(size_t cut);
  bool runCase(const Case &one);
  using Plan = llvm::function_ref<std::optional<Planned>(
      const CompilerOptions &, std::string &)>;
  bool checkRefusal(const CompilerOptions &options, const std::string &error,
                    Plan plan);
  bool checkAllOrders(size_t cut);
  bool checkMismatch(size_t cut);
  bool runWholeWay();
  bool trainAndCompare(const CompilerOptions &options, const Planned &planned);
  std::optional<Planned> plan(OwningOpRef<ModuleOp> module,
                              const CompilerOptions &options,
                              std::string &error);
  std::optional<Planned> plan(size_t cut, const CompilerOptions &options,
                              std::string &error);
  const Trained *getReference(int64_t microbatches);
  bool fail(const CompilerOptions &options, const std::string &what);
  std::string dataPath();

  uint64_t seed;
  std::mt19937_64 random;
  /// Of what is checked beside the cases, so that one can be run alone.
  std::mt19937_64 checkRandom;
  MLIRContext &context;
  Statistics &statistics;
  RandomModel model;
  std::unique_ptr<CompiledCuts> compiled;
  std::vector<CompilerOptions> cuts;
  std::map<int64_t, Trained> references;
  std::vector<std::string> blockFiles;
  TrainingOptions training;
  int64_t caseNumber = 0, numFailures = 0;
  bool isInCase = false;
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
               << (isInCase ? " --case=" + std::to_string(caseNumber)
                            : " --cases=1")
               << "\n";
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

/// Brings `module` to its table; nothing, with the errors in `error`, if it is
/// refused. A module without code of its own runs that of the cuts.
std::optional<ModelRun::Planned> ModelRun::plan(OwningOpRef<ModuleOp> module,
                                                const CompilerOptions &options,
                                                std::string &error) {
  Collector collector(context);
  FailureOr<ProgramTable> table = failure();
  if (succeeded(compileTo(*module, Level::Plan, options)))
    table = buildProgramTable(getOnlyPipeline(*module));
  if (failed(table)) {
    error = collector.text();
    return std::nullopt;
  }
  Planned planned;
  for (auto program : module->getOps<ProgramOp>())
    planned.arena = std::max<int64_t>(planned.arena, *program.getArena());
  planned.table.assign(table->bytes.begin(), table->bytes.end());
  ModuleOp kernels = getKernelsModule(*module);
  if (!kernels.getBody()->empty()) {
    SmallVector<StringRef> names(table->kernelOrder.begin(),
                                 table->kernelOrder.end());
    planned.jit = llvm::cantFail(
        HostJit::create({kernels, table->bytes, names}, &weir_host_product));
  }
  for (const std::string &name : table->kernelOrder)
    planned.kernels.push_back(planned.jit
                                  ? llvm::cantFail(planned.jit->lookup(name))
                                  : compiled->lookup(name));
  return planned;
}

std::optional<ModelRun::Planned>
ModelRun::plan(size_t cut, const CompilerOptions &options, std::string &error) {
  return plan(compiled->getStages(cut).clone(), options, error);
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

/// A refusal names a limit that can be met: with it, the case compiles. For
/// schedules whose order no limit changes it is the smallest, to a hundredth.
bool ModelRun::checkRefusal(const CompilerOptions &refused,
                            const std::string &error, Plan plan) {
  CompilerOptions options = refused;
  int64_t smallest =
      numberAfter(error, "the smallest limit it is known to meet is ");
  if (smallest <= refused.memoryLimit)
    return fail(options,
                "refused without a word on what limit can be met: " + error);
  std::string ignored;
  options.memoryLimit = smallest;
  std::optional<Planned> planned = plan(options, ignored);
  if (!planned)
    return fail(options, "the limit that can be met is refused: " + ignored);
  if (planned->arena > smallest)
    return fail(options, "the plan is larger than its limit: " +
                             std::to_string(planned->arena));
  bool isOneOrder = llvm::is_contained(
      {"gpipe", "1f1b", "interleaved-1f1b", "1f1b-v"}, options.schedule);
  options.memoryLimit = smallest - smallest / 100 - 1;
  if (isOneOrder && options.memoryLimit > refused.memoryLimit &&
      plan(options, ignored))
    return fail(refused, "a limit of " + std::to_string(options.memoryLimit) +
                             " can be met, less than was said: " + error);
  ++statistics["refused limits"];
  return true;
}

/// Where a cut has few orders, all of them are planned: no less than the least
/// that one of them needs is ever met, and a limit that `auto` names when it
/// refuses one is that least, to a hundredth.
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
  options.timeBudget = checkRandom() % 2 ? 0 : 0.002;
  ++statistics["refusals by all orders"];
  for (int64_t limit : {*least, *least - 1}) {
    options.memoryLimit = limit;
    std::optional<Planned> planned = plan(cut, options, error);
    if (planned && planned->arena < *least)
      return fail(options, "no order needs less than " +
                               std::to_string(*least) +
                               " bytes, but auto plans " +
                               std::to_string(planned->arena));
    if (planned)
      continue;
    int64_t smallest =
        numberAfter(error, "the smallest limit it is known to meet is ");
    if (smallest < *least || smallest - smallest / 100 > *least)
      return fail(options, "some order needs " + std::to_string(*least) +
                               " bytes, but auto says: " + error);
    if (limit == *least)
      ++statistics["refusals by all orders, of which an order meets the limit"];
  }
  return true;
}

/// A named schedule takes the placements that it is made for. Others it may
/// refuse; what it takes has to be right.
bool ModelRun::checkMismatch(size_t cut) {
  std::string error;
  std::optional<std::vector<int>> placement = readPlacement(
      cuts[cut].placement, cuts[cut].stages, cuts[cut].devices, error);
  Mismatch mismatch = makeMismatch(checkRandom, cuts[cut], *placement);
  std::optional<Planned> planned = plan(cut, mismatch.options, error);
  if (planned)
    return trainAndCompare(mismatch.options, *planned);
  if (mismatch.isMadeFor || error.empty())
    return fail(mismatch.options, "the placement is refused: " + error);
  ++statistics["refused placements"];
  return true;
}

bool ModelRun::trainAndCompare(const CompilerOptions &options,
                               const Planned &planned) {
  if (options.memoryLimit && planned.arena > options.memoryLimit)
    return fail(options, "the plan is larger than its limit: " +
                             std::to_string(planned.arena));
  const Trained *reference = getReference(*options.microbatches);
  if (!reference)
    return false;
  Trained trained;
  std::string error = train(planned.table, planned.kernels, training, trained);
  if (error.empty())
    error = compare(trained, *reference);
  return error.empty() || fail(options, error);
}

bool ModelRun::runCase(const Case &one) {
  const CompilerOptions &options = one.options;
  std::string error;
  auto planHere = [&](const CompilerOptions &options, std::string &error) {
    return plan(one.cut, options, error);
  };
  std::optional<Planned> planned = planHere(options, error);
  if (!planned)
    return options.memoryLimit
               ? checkRefusal(options, error, planHere)
               : fail(options, "the schedule is refused: " + error);
  if (!trainAndCompare(options, *planned))
    return false;
  ++statistics["cases"];
  ++statistics["schedule " +
               StringRef(options.schedule).split(':').first.str()];
  ++statistics["placement " + (llvm::isDigit(options.placement.front())
                                   ? "listed"
                                   : options.placement)];
  ++statistics["devices " + std::to_string(options.devices)];
  ++statistics["stages " + std::to_string(options.stages)];
  ++statistics["microbatches " + std::to_string(*options.microbatches)];
  ++statistics[options.memoryLimit ? "limit met" : "limit none"];
  return true;
}

/// From the uncut model to a plan under a limit that decides the cut, too.
bool ModelRun::runWholeWay() {
  CompilerOptions options = makeWholeWay(checkRandom, cuts[0]);
  static constexpr int64_t mostStages = 3 * 4; // that auto tries on 3 devices
  if (static_cast<int64_t>(compiled->getOpNumbers().size()) < mostStages)
    return true;
  auto planAnew = [&](const CompilerOptions &options, std::string &error) {
    return plan(compiled->getJoint().clone(), options, error);
  };
  std::string error;
  std::optional<Planned> planned = planAnew(options, error);
  if (!planned)
    return fail(options, "refused without a limit: " + error);
  options.memoryLimit = planned->arena * (50 + checkRandom() % 60) / 100;
  planned = planAnew(options, error);
  if (!planned)
    return checkRefusal(options, error, planAnew);
  ++statistics["cut and scheduled under a limit"];
  return trainAndCompare(options, *planned);
}

bool ModelRun::runCut(size_t cut) {
  bool isRight = true;
  std::string error, blockSchedule;
  if (random() % 3 == 0) {
    std::optional<std::vector<int>> placement = readPlacement(
        cuts[cut].placement, cuts[cut].stages, cuts[cut].devices, error);
    std::string path = pathOf("block-" + std::to_string(seed) + "-" +
                              std::to_string(cut) + ".json");
    writeFile(path, makeBlock(random, *placement));
    blockSchedule = "block:" + path;
    blockFiles.push_back(path);
  }
  if (onlyCase < 0)
    isRight = checkAllOrders(cut) & checkMismatch(cut);
  static constexpr int64_t casesPerCut = 8;
  std::set<std::string> seen;
  std::map<std::string, int64_t> needs;
  for (int64_t i = 0; i < casesPerCut; ++i, ++caseNumber) {
    Case one = makeCase(random, cut, cuts[cut], blockSchedule);
    if (onlyCase >= 0 && caseNumber != onlyCase)
      continue;
    if (one.limitPercent) {
      auto [it, isNew] = needs.try_emplace(toScheduleOptions(one.options));
      if (isNew)
        if (std::optional<Planned> planned = plan(cut, one.options, error))
          it->second = planned->arena;
      one.options.memoryLimit = it->second * one.limitPercent / 100;
    }
    // The same tuple counts once.
    if (!seen.insert(toScheduleOptions(one.options)).second)
      continue;
    isInCase = true;
    isRight &= runCase(one);
    isInCase = false;
  }
  return isRight;
}

bool ModelRun::run() {
  training.data = dataPath();
  if (!prepare())
    return false;
  ++statistics["models"];
  for (const std::string &kind : model.kinds)
    ++statistics["models with " + kind];
  statistics["cuts"] += cuts.size() - 1;
  bool isRight = true;
  for (size_t cut = 1; cut < cuts.size(); ++cut)
    isRight &= runCut(cut);
  if (onlyCase < 0 && seed % 16 == 0)
    isRight &= runWholeWay();
  if (isRight)
    for (const std::string &path : blockFiles)
      llvm::sys::fs::remove(path);
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
    static constexpr int64_t mostFailures = 20;
    if (onlyCase >= 0 || statistics["cases"] >= numCases ||
        failures == mostFailures)
      break;
  }
  for (const auto &[name, count] : statistics)
    llvm::outs() << llvm::formatv("{0,10}  {1}\n", count, name);
  llvm::outs() << llvm::formatv("{0,10}  models with failures\n", failures);
  return failures != 0;
}
