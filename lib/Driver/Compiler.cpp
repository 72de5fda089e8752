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
  partition.stages = options.stages ? options.stages
                                    : options.devices * named.stagesPerDevice;
  partition.devices = options.devices;
  partition.placement = schedule::placementName(named.placement);
  partition.memoryLimit = options.memoryLimit;
  partition.stateTensors = options.optimizer == "adamw" ? 2 : 1;
  partition.cuts.assign(options.cuts.begin(), options.cuts.end());
  passes.addPass(createWeirPartition(partition));
  passes.addPass(createWeirSplitBackward());
}

/// Whether the joint graph was cut already.
static bool isCut(ModuleOp module) {
  return module
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

/// Plans a copy of `module` under `limit` without a word. Returns the bytes that
/// the neediest device takes.
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
  if (options.memoryLimit == 0 || target < Level::Plan ||
      getLevel(module) >= Level::Programs ||
      succeeded(tryLimit(module, options, options.memoryLimit)))
    return runPasses(module, target, options);
  FailureOr<int64_t> smallest = findSmallestLimit(module, options);
  // Not the limit's fault: let the passes say what is wrong.
  if (failed(smallest))
    return runPasses(module, target, options);
  return module.emitError("schedule ")
         << options.schedule << " on " << options.devices
         << " devices cannot meet a memory limit of " << options.memoryLimit
         << " bytes per device; the smallest limit it can meet is "
         << *smallest << " bytes";
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
    if (level <= Level::Joint)
      addCutPasses(passes, options);
    return passes.run(module);
  }
  if (level < Level::Stages) {
    if (level < Level::Joint || !isCut(module))
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
