//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/Compiler.h"

#include "weir/Analysis/PipelineProblem.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Format.h"

#include <cmath>

using namespace mlir;
using namespace weir;

Level weir::getLevel(ModuleOp module) {
  for (auto program : module.getOps<ProgramOp>())
    return program.getArena() ? Level::Plan : Level::Programs;
  if (!module.getOps<PipelineOp>().empty())
    return Level::Stages;
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(attr::joint))
      return Level::Joint;
  return Level::Model;
}

static std::string toText(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

/// More devices, microbatches or stages are a typing mistake: the scheduling
/// library takes no longer programs.
static constexpr int64_t largestCount = int64_t(1) << 22;

namespace {

/// How many stages there are, and where.
struct Layout {
  int64_t stages;
  std::string placement;
};

} // namespace

/// What the user chose, or what the schedule is made for: for auto and blocks
/// two stages per device, forth and back.
static Layout getLayout(const CompilerOptions &options) {
  const schedule::NamedSchedule *named = schedule::findNamed(options.schedule);
  Layout layout{options.stages, options.placement};
  if (layout.stages == 0)
    layout.stages = options.devices * (options.chunks ? options.chunks
                                       : named        ? named->stagesPerDevice
                                                      : 2);
  if (layout.placement.empty())
    layout.placement = schedule::placementName(named ? named->placement
                                                     : schedule::Placement::V);
  return layout;
}

std::optional<std::string> weir::checkOptions(const CompilerOptions &options) {
  if (options.schedule != "auto" &&
      !StringRef(options.schedule).starts_with("block:") &&
      !schedule::findNamed(options.schedule)) {
    std::string known;
    for (const schedule::NamedSchedule &schedule : schedule::listNamed())
      known += std::string(schedule.name) + ", ";
    return "unknown schedule '" + options.schedule + "'; known are " + known +
           "block:FILE, auto";
  }
  if (options.objective != "makespan" && options.objective != "span")
    return "unknown objective '" + options.objective +
           "'; known are makespan and span";
  if (!(options.timeBudget >= 0 && std::isfinite(options.timeBudget)))
    return "the time budget must be at least 0 and finite, got " +
           toText(options.timeBudget);
  if (options.optimizer != "adamw" && options.optimizer != "sgd")
    return "unknown optimizer '" + options.optimizer +
           "'; known are adamw and sgd";
  auto isFraction = [](double x) { return x >= 0 && x < 1; };
  for (auto [name, value] :
       {std::pair("momentum", options.momentum),
        std::pair("beta1", options.beta1), std::pair("beta2", options.beta2)})
    if (!isFraction(value))
      return std::string(name) + " must be at least 0 and less than 1, got " +
             toText(value);
  if (!(options.weightDecay >= 0 && std::isfinite(options.weightDecay)))
    return "the weight decay must be at least 0 and finite, got " +
           toText(options.weightDecay);
  for (auto [name, value] :
       {std::pair("devices", options.devices),
        std::pair("microbatches", options.microbatches.value_or(1)),
        std::pair("stages", options.stages),
        std::pair("chunks", options.chunks)})
    if (value > largestCount)
      return std::to_string(value) + " " + name + " are more than " +
             std::to_string(largestCount);
  if (options.devices < 1)
    return "needs at least one device, got " + std::to_string(options.devices);
  if (options.microbatches && *options.microbatches < 1)
    return "needs at least one microbatch, got " +
           std::to_string(*options.microbatches);
  if (options.memoryLimit < 0)
    return "the memory limit must not be negative";
  if (options.chunks < 0)
    return "needs at least one chunk, got " + std::to_string(options.chunks);
  std::string error;
  Layout layout = getLayout(options);
  if (options.chunks && layout.stages != options.devices * options.chunks)
    return std::to_string(layout.stages) + " stages are not " +
           std::to_string(options.chunks) + " chunks on each of " +
           std::to_string(options.devices) + " devices";
  if (!readPlacement(layout.placement, layout.stages, options.devices, error))
    return error;
  return std::nullopt;
}

PipelineOp weir::getOnlyPipeline(ModuleOp module) {
  auto pipelines = llvm::to_vector(module.getOps<PipelineOp>());
  if (pipelines.size() == 1)
    return pipelines.front();
  module.emitError("needs one weir.pipeline, has ") << pipelines.size();
  return {};
}

void weir::removeKernels(ModuleOp module) {
  if (ModuleOp kernels = getKernelsModule(module))
    kernels.erase();
  module.walk([](StagePassOpInterface pass) { pass->removeAttr("kernel"); });
}

static void addCutPasses(PassManager &passes, const CompilerOptions &options) {
  Layout layout = getLayout(options);
  passes.addPass(createWeirEstimateCosts());
  WeirPartitionOptions partition;
  partition.stages = layout.stages;
  partition.devices = options.devices;
  partition.placement = layout.placement;
  partition.memoryLimit = options.memoryLimit;
  partition.stateTensors = options.optimizer == "adamw" ? 2 : 1;
  partition.cuts.assign(options.cuts.begin(), options.cuts.end());
  passes.addPass(createWeirPartition(partition));
  passes.addPass(createWeirSplitBackward());
}

bool weir::isCut(ModuleOp module) {
  return getLevel(module) > Level::Joint ||
         module
             .walk([](Operation *op) {
               return op->hasAttr(attr::pass) ? WalkResult::interrupt()
                                              : WalkResult::advance();
             })
             .wasInterrupted();
}

static LogicalResult runPasses(ModuleOp module, Level target,
                               const CompilerOptions &options);

namespace {

/// The device that needs most, and what it needs.
struct LargestArena {
  int64_t bytes = 0;
  int64_t device = 0;
};

} // namespace

/// The largest arena of a planned module.
static LargestArena getLargestArena(ModuleOp module) {
  LargestArena largest;
  for (auto program : module.getOps<ProgramOp>()) {
    int64_t bytes = program.getArena().value_or(0);
    if (bytes > largest.bytes)
      largest = {bytes, static_cast<int64_t>(program.getDevice())};
  }
  return largest;
}

/// Plans a copy of `module` under the limit of `options`. What the passes have
/// to say goes to `diagnostics`. Null if they fail.
static OwningOpRef<ModuleOp> tryPlan(ModuleOp module,
                                     const CompilerOptions &options,
                                     std::vector<Diagnostic> &diagnostics) {
  ScopedDiagnosticHandler collector(
      module.getContext(), [&](Diagnostic &diagnostic) {
        diagnostics.push_back(std::move(diagnostic));
        return success();
      });
  OwningOpRef<ModuleOp> copy = module.clone();
  if (failed(runPasses(*copy, Level::Plan, options)))
    return {};
  return copy;
}

/// Plans a copy of `module` under `limit` without a word. Returns what the
/// neediest device takes.
static FailureOr<LargestArena>
tryLimit(ModuleOp module, CompilerOptions options, int64_t limit) {
  options.memoryLimit = limit;
  // Whether any order fits is all that matters here.
  options.searchSteps = 1;
  options.timeBudget = 0;
  std::vector<Diagnostic> ignored;
  OwningOpRef<ModuleOp> copy = tryPlan(module, options, ignored);
  if (!copy)
    return failure();
  return getLargestArena(*copy);
}

/// The smallest limit that compilation meets, to a hundredth, by bisection. The
/// limit steers the cut and how long W's are put off, so no single plan tells.
static FailureOr<LargestArena>
findSmallestLimit(ModuleOp module, const CompilerOptions &options) {
  FailureOr<LargestArena> best = tryLimit(module, options, 0);
  if (failed(best))
    return failure();
  int64_t refused = options.memoryLimit;
  while (best->bytes - refused > best->bytes / 100) {
    int64_t middle = refused + (best->bytes - refused) / 2;
    FailureOr<LargestArena> arena = tryLimit(module, options, middle);
    if (failed(arena))
      refused = middle;
    else if (arena->bytes < best->bytes)
      best = arena;
  }
  return best;
}

LogicalResult weir::compileTo(ModuleOp module, Level target,
                              const CompilerOptions &options) {
  if (options.memoryLimit != 0 && target == Level::Plan &&
      getLevel(module) >= Level::Programs) {
    // Nothing is left to choose.
    if (failed(runPasses(module, target, options)))
      return failure();
    int64_t arena = getLargestArena(module).bytes;
    if (arena <= options.memoryLimit)
      return success();
    return emitError(UnknownLoc::get(module.getContext()),
                     "the programs of the input need ")
           << arena << " bytes on a device, more than the memory limit of "
           << options.memoryLimit << " bytes";
  }
  if (options.memoryLimit == 0 || target < Level::Plan)
    return runPasses(module, target, options);
  std::vector<Diagnostic> diagnostics;
  OwningOpRef<ModuleOp> planned = tryPlan(module, options, diagnostics);
  FailureOr<LargestArena> smallest;
  if (planned) {
    module->setAttrs(planned->getOperation()->getAttrDictionary());
    module.getBodyRegion().takeBody(planned->getBodyRegion());
  } else {
    smallest = findSmallestLimit(module, options);
  }
  if (planned || failed(smallest)) {
    // Where no limit can be met the passes say what is wrong.
    for (Diagnostic &diagnostic : diagnostics)
      module.getContext()->getDiagEngine().emit(std::move(diagnostic));
    return success(static_cast<bool>(planned));
  }
  return emitError(UnknownLoc::get(module.getContext()), "schedule ")
         << options.schedule << " on " << options.devices
         << " devices cannot meet a memory limit of " << options.memoryLimit
         << " bytes per device; the smallest limit it can meet is "
         << smallest->bytes << " bytes, which device " << smallest->device
         << " needs";
}

static LogicalResult runPasses(ModuleOp module, Level target,
                               const CompilerOptions &options) {
  Level level = getLevel(module);
  PassManager passes(module.getContext());
  if (failed(applyPassManagerCLOptions(passes)))
    return failure();
  if (level < Level::Joint) {
    passes.addPass(createWeirDifferentiate());
    passes.addPass(createWeirFixRounding());
  }
  if (target == Level::Joint) {
    if (!isCut(module))
      addCutPasses(passes, options);
    return passes.run(module);
  }
  if (level < Level::Stages) {
    if (!isCut(module))
      addCutPasses(passes, options);
    passes.addPass(createWeirOutlineStages());
    WeirAddOptimizerOptions optimizer;
    optimizer.optimizer = options.optimizer;
    optimizer.weightDecay = options.weightDecay;
    optimizer.momentum = options.momentum;
    optimizer.beta1 = options.beta1;
    optimizer.beta2 = options.beta2;
    passes.addPass(createWeirAddOptimizer(optimizer));
  }
  if (target >= Level::Plan && !getKernelsModule(module))
    passes.addPass(createConvertWeirToHost());
  if (level < Level::Programs && target >= Level::Programs) {
    WeirScheduleOptions schedule;
    schedule.schedule = options.schedule;
    schedule.devices = options.devices;
    schedule.microbatches = options.microbatches.value_or(2 * options.devices);
    schedule.memoryLimit = options.memoryLimit;
    schedule.placement = getLayout(options).placement;
    schedule.objective = options.objective;
    schedule.timeBudget = options.timeBudget;
    schedule.searchSteps = options.searchSteps;
    schedule.seed = options.searchSeed;
    passes.addPass(createWeirSchedule(schedule));
  }
  if (target >= Level::Programs)
    passes.addPass(createWeirVerifyPrograms());
  if (level < Level::Plan && target >= Level::Plan) {
    passes.addPass(createWeirPlanMemory());
    passes.addPass(createWeirVerifyPrograms());
  }
  return passes.run(module);
}
