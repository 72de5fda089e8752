//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/Compiler.h"

#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Target/CudaTarget.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
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

/// What the user chose, or what the schedule is made for: for auto two stages
/// per device, forth and back.
static Layout getLayout(const CompilerOptions &options) {
  const schedule::NamedSchedule *named = schedule::findNamed(options.schedule);
  Layout layout{options.stages, options.placement};
  std::string error;
  if (isBlockFile(options.schedule) && layout.placement.empty())
    if (auto block = readBlockFile(options.schedule, error)) {
      layout.placement = listPlacement(block->placement);
      if (layout.stages == 0)
        layout.stages = block->placement.size();
    }
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
  if (options.schedule != "auto" && !isBlockFile(options.schedule) &&
      !schedule::findNamed(options.schedule)) {
    std::string known;
    for (const schedule::NamedSchedule &schedule : schedule::listNamed())
      known += std::string(schedule.name) + ", ";
    return "unknown schedule '" + options.schedule + "'; known are " + known +
           "block:FILE, auto";
  }
  std::string error;
  if (isBlockFile(options.schedule) && !readBlockFile(options.schedule, error))
    return error;
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
  if (!options.cudaArch.empty() && !isCudaArch(options.cudaArch))
    return "unknown architecture '" + options.cudaArch +
           "'; known are sm_80, sm_90a, sm_100 and so on, and emulated";
  if (options.devices < 1)
    return "needs at least one device, got " + std::to_string(options.devices);
  if (options.microbatches && *options.microbatches < 1)
    return "needs at least one microbatch, got " +
           std::to_string(*options.microbatches);
  if (options.memoryLimit < 0)
    return "the memory limit must not be negative";
  if (options.chunks < 0)
    return "needs at least one chunk, got " + std::to_string(options.chunks);
  if (!options.cuts.empty() && !options.layersPerStage.empty())
    return "give cuts or layers per stage, not both";
  Layout layout = getLayout(options);
  if (options.chunks && layout.stages != options.devices * options.chunks)
    return std::to_string(layout.stages) + " stages are not " +
           std::to_string(options.chunks) + " chunks on each of " +
           std::to_string(options.devices) + " devices";
  if (!readPlacement(layout.placement, layout.stages, options.devices, error)) {
    if (!options.cuts.empty())
      error += "; the given cuts make " + std::to_string(layout.stages);
    if (!options.layersPerStage.empty())
      error += "; layers are given for " + std::to_string(layout.stages);
    return error;
  }
  return std::nullopt;
}

LogicalResult weir::ignoreRemark(Diagnostic &diagnostic) {
  return success(diagnostic.getSeverity() == DiagnosticSeverity::Remark);
}

PipelineOp weir::getOnlyPipeline(ModuleOp module) {
  auto pipelines = llvm::to_vector(module.getOps<PipelineOp>());
  if (pipelines.size() == 1)
    return pipelines.front();
  module.emitError("needs one weir.pipeline, has ") << pipelines.size();
  return {};
}

static LogicalResult checkInput(BlockArgument input, StringAttr name) {
  constexpr StringLiteral known = "the runtime feeds 'tokens', 'images' and "
                                  "'labels'";
  if (!name)
    return emitError(input.getLoc(), "argument ")
           << input.getArgNumber() << " of the model has no weir.input; "
           << known;
  if (name != "tokens" && name != "images" && name != "labels")
    return emitError(input.getLoc(), "nothing can feed the input ")
           << name << " of the model; " << known;
  if (!getElementTypeOrSelf(input.getType()).isInteger(32))
    return emitError(input.getLoc(), "the input ")
           << name << " of the model must be of i32, got " << input.getType();
  return success();
}

LogicalResult weir::checkInputs(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(attr::model) || function->hasAttr(attr::joint))
      for (BlockArgument input : function.getArguments())
        if (failed(checkInput(input, function.getArgAttrOfType<StringAttr>(
                                         input.getArgNumber(), attr::input))))
          return failure();
  for (auto pipeline : module.getOps<PipelineOp>())
    for (auto [input, name] :
         llvm::zip(pipeline.getBody().getArguments(), pipeline.getInputs()))
      if (failed(checkInput(input, cast<StringAttr>(name))))
        return failure();
  return success();
}

void weir::removeKernels(ModuleOp module) {
  if (ModuleOp kernels = getKernelsModule(module))
    kernels.erase();
  module.walk([](StagePassOpInterface pass) { pass->removeAttr("kernel"); });
}

/// What ops cost on the devices that code is made for. GPUs are taken for
/// NVIDIA's H100 SXM, at 60 % of the 989 TFLOP/s of its dense products in bf16
/// and of its 67 TFLOP/s in f32, and at 85 % of its 3.35 TB/s (H100 data
/// sheet); on others all passes are faster or slower by about the same factor,
/// which changes no schedule.
static WeirEstimateCostsOptions getCosts(const CompilerOptions &options) {
  WeirEstimateCostsOptions costs;
  if (!llvm::StringRef(options.cudaArch).starts_with("sm_"))
    return costs;
  costs.gflops = 0.6 * 989e3;
  costs.scalarGflops = 0.6 * 67e3;
  costs.gigabytesPerSecond = 0.85 * 3350;
  costs.overhead = 3e-6; // from one kernel to the next
  return costs;
}

static void addCutPasses(PassManager &passes, const CompilerOptions &options) {
  Layout layout = getLayout(options);
  passes.addPass(createWeirEstimateCosts(getCosts(options)));
  WeirPartitionOptions partition;
  partition.stages = layout.stages;
  partition.devices = options.devices;
  partition.placement = layout.placement;
  partition.memoryLimit = options.cutLimit.value_or(options.memoryLimit);
  partition.stateTensors = options.optimizer == "adamw" ? 2 : 1;
  partition.cuts.assign(options.cuts.begin(), options.cuts.end());
  partition.layersPerStage.assign(options.layersPerStage.begin(),
                                  options.layersPerStage.end());
  partition.schedule = options.schedule;
  partition.microbatches = options.microbatches.value_or(0);
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
  options.timeBudget = 0;
  std::vector<Diagnostic> ignored;
  OwningOpRef<ModuleOp> copy = tryPlan(module, options, ignored);
  if (!copy)
    return failure();
  return getLargestArena(*copy);
}

namespace {

/// A limit that compilation meets, what it needs under that limit, and the
/// smallest limit that is known to be met: what it needs, or where that is
/// refused because it leads to another cut, the limit.
struct MetLimit {
  int64_t limit = 0;
  LargestArena arena;
  int64_t smallest = 0;
};

} // namespace

/// Whether the user left it to the compiler where the model is cut.
static bool isCutOpen(ModuleOp module, const CompilerOptions &options) {
  return getLayout(options).stages > 1 && options.cuts.empty() &&
         options.layersPerStage.empty() && !isCut(module);
}

/// The least that compilation needs under any limit, to a hundredth, by
/// bisection from the limit of `options`, which it did not meet. The limit
/// steers the cut and the order, so no single plan tells. Where that does not
/// meet the limit either, by the cuts of a few other limits.
static FailureOr<MetLimit> findSmallestLimit(ModuleOp module,
                                             const CompilerOptions &options) {
  FailureOr<LargestArena> unlimited = tryLimit(module, options, 0);
  if (failed(unlimited))
    return failure();
  MetLimit best{0, *unlimited, 0};
  int64_t refused = options.memoryLimit;
  while (best.arena.bytes - refused > best.arena.bytes / 100) {
    int64_t middle = refused + (best.arena.bytes - refused) / 2;
    FailureOr<LargestArena> arena = tryLimit(module, options, middle);
    if (failed(arena))
      refused = middle;
    else if (arena->bytes < best.arena.bytes)
      best = {middle, *arena, 0};
  }
  best.smallest = best.arena.bytes;
  if (best.limit > best.arena.bytes &&
      failed(tryLimit(module, options, best.arena.bytes)))
    best.smallest = best.limit;
  if (best.arena.bytes <= options.memoryLimit || !isCutOpen(module, options))
    return best;
  // The cut's estimate leaves out workspaces and transfer buffers, so that the
  // cut of a smaller limit may need less. Which are tried does not depend on
  // the limit that was refused: what one refusal names, the next call meets.
  for (int64_t eighths : {7, 6, 5, 4}) {
    CompilerOptions otherCut = options;
    otherCut.cutLimit = unlimited->bytes / 8 * eighths;
    FailureOr<LargestArena> arena = tryLimit(module, otherCut, 0);
    if (succeeded(arena) && arena->bytes < best.smallest &&
        succeeded(tryLimit(module, otherCut, arena->bytes)))
      best = {*otherCut.cutLimit, *arena, arena->bytes};
  }
  return best;
}

/// Whether the user left it to auto how the model is cut and placed.
static bool isLayoutOpen(ModuleOp module, const CompilerOptions &options) {
  return options.schedule == "auto" && options.devices > 1 &&
         options.placement.empty() && options.chunks == 0 &&
         options.stages == 0 && options.cuts.empty() &&
         options.layersPerStage.empty() && !isCut(module);
}

/// The ways to cut and place a model that auto tries, each for a part of its
/// time.
static std::vector<CompilerOptions> getLayouts(const CompilerOptions &options) {
  std::vector<CompilerOptions> layouts;
  for (auto [placement, chunks] : {std::pair(schedule::Placement::V, 2),
                                   std::pair(schedule::Placement::Linear, 1),
                                   std::pair(schedule::Placement::Loop, 2),
                                   std::pair(schedule::Placement::V, 4)}) {
    CompilerOptions &layout = layouts.emplace_back(options);
    layout.placement = schedule::placementName(placement);
    layout.chunks = chunks;
    layout.timeBudget /= 2;
  }
  return layouts;
}

/// Seconds of the objective that the programs of `module` take by estimate.
static FailureOr<double> predictValue(ModuleOp module,
                                      const CompilerOptions &options) {
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  SmallVector<ProgramOp> programs = getPrograms(pipeline);
  schedule::Problem problem =
      buildProblem(pipeline, getPlacement(pipeline, programs), programs.size(),
                   programs.front().getMicrobatches());
  auto times = schedule::simulate(problem, getOrder(programs));
  if (!times)
    return failure();
  return options.objective == "span" ? times->span : times->makespan;
}

/// Replaces what `module` holds by what `other` holds.
static void takeFrom(ModuleOp module, ModuleOp other) {
  module->setAttrs(other->getAttrDictionary());
  module.getBodyRegion().takeBody(other.getBodyRegion());
}

static void emitAll(ModuleOp module, std::vector<Diagnostic> &diagnostics) {
  for (Diagnostic &diagnostic : diagnostics)
    module.getContext()->getDiagEngine().emit(std::move(diagnostic));
}

/// Says what the smallest limit is that compilation is known to meet, or plans
/// `module` by another cut. A schedule whose order no limit changes meets none
/// that is a hundredth smaller; auto might, given more time, and so might
/// schedules that move weight gradients for a limit.
static LogicalResult planAtSmallestLimit(ModuleOp module,
                                         const CompilerOptions &options,
                                         const MetLimit &smallest) {
  if (smallest.arena.bytes <= options.memoryLimit) {
    // The cut knows what a device needs only roughly, and refused too early.
    CompilerOptions otherCut = options;
    otherCut.cutLimit = smallest.limit;
    std::vector<Diagnostic> said;
    if (OwningOpRef<ModuleOp> planned = tryPlan(module, otherCut, said)) {
      takeFrom(module, *planned);
      emitAll(module, said);
      return success();
    }
  }
  return emitError(UnknownLoc::get(module.getContext()), "schedule ")
         << options.schedule << " on " << options.devices
         << " devices cannot meet a memory limit of " << options.memoryLimit
         << " bytes per device; the smallest limit it is known to meet is "
         << smallest.smallest << " bytes, which device "
         << smallest.arena.device << " needs";
}

/// Plans `module` in the way of `layouts` that is fastest by estimate, or where
/// none meets the memory limit, in the way that needs least.
static LogicalResult planBest(ModuleOp module,
                              ArrayRef<CompilerOptions> layouts) {
  OwningOpRef<ModuleOp> best;
  double bestValue = std::numeric_limits<double>::infinity();
  std::string bestName, values;
  std::vector<Diagnostic> bestSaid, firstSaid;
  for (const CompilerOptions &layout : layouts) {
    std::string name =
        layout.placement + " with " + std::to_string(layout.chunks) + " chunks";
    std::vector<Diagnostic> said;
    OwningOpRef<ModuleOp> planned = tryPlan(module, layout, said);
    FailureOr<double> value = failure();
    if (planned)
      value = predictValue(*planned, layout);
    else if (firstSaid.empty())
      firstSaid = std::move(said);
    values += "; " + name + ": " +
              (succeeded(value) ? toText(*value) + " s" : "refused");
    if (failed(value) || *value >= bestValue)
      continue;
    bestValue = *value;
    bestName = std::move(name);
    best = std::move(planned);
    bestSaid = std::move(said);
  }
  if (best) {
    if (layouts.size() > 1)
      remark::passed(UnknownLoc::get(module.getContext()),
                     remark::RemarkOpts::name("layout").category("weir-layout"))
          << "placed by " + bestName + " by predicted " +
                 layouts.front().objective + values;
    takeFrom(module, *best);
    emitAll(module, bestSaid);
    return success();
  }
  const CompilerOptions *least = nullptr;
  MetLimit smallest;
  if (layouts.front().memoryLimit != 0)
    for (const CompilerOptions &layout : layouts) {
      FailureOr<MetLimit> met = findSmallestLimit(module, layout);
      if (failed(met))
        continue;
      // By another cut, the limit of the options is met after all.
      if (met->arena.bytes <= layout.memoryLimit)
        return planAtSmallestLimit(module, layout, *met);
      if (least && met->smallest >= smallest.smallest)
        continue;
      least = &layout;
      smallest = *met;
    }
  if (least)
    return planAtSmallestLimit(module, *least, smallest);
  // No limit can be met: the passes say what is wrong.
  emitAll(module, firstSaid);
  return failure();
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
  bool isOpen = isLayoutOpen(module, options);
  if (target < Level::Plan || (options.memoryLimit == 0 && !isOpen))
    return runPasses(module, target, options);
  return planBest(module, isOpen ? getLayouts(options)
                                 : std::vector<CompilerOptions>{options});
}

/// Bytes of scratch memory that each pass has by its attribute.
static DenseMap<Operation *, int64_t> getWorkspaces(ModuleOp module) {
  DenseMap<Operation *, int64_t> workspaces;
  module.walk([&](StagePassOpInterface pass) {
    auto bytes = pass->getAttrOfType<IntegerAttr>("workspace");
    workspaces[pass] = bytes ? bytes.getInt() : 0;
  });
  return workspaces;
}

/// A plan leaves room for the kernels that it was made with, which are those of
/// one target.
static LogicalResult
checkPlanFits(ModuleOp module,
              const DenseMap<Operation *, int64_t> &plannedWorkspaces) {
  DenseMap<Operation *, int64_t> workspaces = getWorkspaces(module);
  WalkResult walk = module.walk([&](StagePassOpInterface pass) {
    int64_t needed = workspaces.lookup(pass),
            planned = plannedWorkspaces.lookup(pass);
    if (needed <= planned)
      return WalkResult::advance();
    pass->emitOpError("needs ")
        << needed << " bytes of scratch memory and has " << planned
        << " in the plan, which was made for another target";
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

/// Compiles the passes of the stages for the target.
static void addCodePass(PassManager &passes, const CompilerOptions &options) {
  if (options.cudaArch.empty())
    passes.addPass(createConvertWeirToHost());
  else
    passes.addPass(createConvertWeirToCUDA({options.cudaArch}));
}

static LogicalResult runPasses(ModuleOp module, Level target,
                               const CompilerOptions &options) {
  Level level = getLevel(module);
  PassManager passes(module.getContext());
  if (failed(applyPassManagerCLOptions(passes)))
    return failure();
  if (level >= Level::Plan && !getKernelsModule(module)) {
    DenseMap<Operation *, int64_t> workspaces = getWorkspaces(module);
    addCodePass(passes, options);
    if (failed(passes.run(module)) || failed(checkPlanFits(module, workspaces)))
      return failure();
    passes.clear();
  }
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
    addCodePass(passes, options);
  if (level < Level::Programs && target >= Level::Programs) {
    WeirScheduleOptions schedule;
    schedule.schedule = options.schedule;
    schedule.devices = options.devices;
    schedule.microbatches = options.microbatches.value_or(2 * options.devices);
    schedule.memoryLimit = options.memoryLimit;
    schedule.placement = getLayout(options).placement;
    schedule.objective = options.objective;
    schedule.timeBudget = options.timeBudget;
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
