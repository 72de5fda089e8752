//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/Compiler.h"

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

std::optional<std::string> weir::checkOptions(const CompilerOptions &options) {
  const schedule::NamedSchedule *named = schedule::findNamed(options.schedule);
  if (!named) {
    std::string known;
    for (const schedule::NamedSchedule &schedule : schedule::listNamed())
      known += (known.empty() ? "" : ", ") + std::string(schedule.name);
    return "unknown schedule '" + options.schedule + "'; known are " + known;
  }
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
        std::pair("stages", options.stages)})
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
  if (options.stages < 0 || options.stages % options.devices != 0)
    return "cannot place " + std::to_string(options.stages) + " stages on " +
           std::to_string(options.devices) +
           " devices: the number of stages must be a multiple";
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
  const schedule::NamedSchedule &named = *schedule::findNamed(options.schedule);
  passes.addPass(createWeirEstimateCosts());
  WeirPartitionOptions partition;
  partition.stages =
      options.stages ? options.stages : options.devices * named.stagesPerDevice;
  partition.devices = options.devices;
  partition.placement = schedule::placementName(named.placement);
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

/// The largest arena of a planned module.
static int64_t getLargestArena(ModuleOp module) {
  int64_t largest = 0;
  for (auto program : module.getOps<ProgramOp>())
    largest = std::max<int64_t>(largest, program.getArena().value_or(0));
  return largest;
}

/// Plans a copy of `module` under `limit` without a word. Returns the bytes
/// that the neediest device takes.
static FailureOr<int64_t> tryLimit(ModuleOp module, CompilerOptions options,
                                   int64_t limit) {
  ScopedDiagnosticHandler silent(module.getContext(),
                                 [](Diagnostic &) { return success(); });
  options.memoryLimit = limit;
  OwningOpRef<ModuleOp> copy = module.clone();
  if (failed(runPasses(*copy, Level::Plan, options)))
    return failure();
  return getLargestArena(*copy);
}

/// The smallest limit that compilation meets, to a hundredth, by bisection. The
/// limit steers the cut and how long W's are put off, so no single plan tells.
static FailureOr<int64_t> findSmallestLimit(ModuleOp module,
                                            const CompilerOptions &options) {
  FailureOr<int64_t> best = tryLimit(module, options, 0);
  if (failed(best))
    return failure();
  int64_t refused = options.memoryLimit;
  while (*best - refused > *best / 100) {
    int64_t middle = refused + (*best - refused) / 2;
    FailureOr<int64_t> arena = tryLimit(module, options, middle);
    if (succeeded(arena))
      best = std::min(*best, *arena);
    else
      refused = middle;
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
    int64_t arena = getLargestArena(module);
    if (arena <= options.memoryLimit)
      return success();
    return emitError(UnknownLoc::get(module.getContext()),
                     "the programs of the input need ")
           << arena << " bytes on a device, more than the memory limit of "
           << options.memoryLimit << " bytes";
  }
  if (options.memoryLimit == 0 || target < Level::Plan ||
      succeeded(tryLimit(module, options, options.memoryLimit)))
    return runPasses(module, target, options);
  FailureOr<int64_t> smallest = findSmallestLimit(module, options);
  // Not the limit's fault: let the passes say what is wrong.
  if (failed(smallest))
    return runPasses(module, target, options);
  return emitError(UnknownLoc::get(module.getContext()), "schedule ")
         << options.schedule << " on " << options.devices
         << " devices cannot meet a memory limit of " << options.memoryLimit
         << " bytes per device; the smallest limit it can meet is " << *smallest
         << " bytes";
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
