//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/OpCosts.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Driver/Compiler.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Rendering.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Target/OutputFile.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Format.h"

#include <sstream>

using namespace mlir;
using namespace weir;

namespace {

/// The schedule of a module's programs, simulated with the estimated times.
struct Prediction {
  schedule::Problem problem;
  schedule::Schedule order;
  schedule::Simulation times;
};

/// Work of the passes of one kind.
struct Work {
  int64_t flops = 0, products = 0, customs = 0;
};

} // namespace

static FailureOr<Prediction> predict(PipelineOp pipeline) {
  SmallVector<ProgramOp> programs = getPrograms(pipeline);
  if (programs.empty())
    return pipeline.emitError("has no programs");
  Prediction prediction;
  prediction.order = getOrder(programs);
  prediction.problem =
      buildProblem(pipeline, getPlacement(pipeline, programs), programs.size(),
                   programs.front().getMicrobatches());
  std::string error;
  auto times = schedule::simulate(prediction.problem, prediction.order, &error);
  if (!times)
    return pipeline.emitError() << error;
  prediction.times = std::move(*times);
  return prediction;
}

static Work getWork(StagePassOpInterface pass) {
  Work work;
  if (pass)
    pass->walk([&](Operation *op) {
      work.flops += getFlops(op);
      work.products += isProduct(op);
      work.customs += isa<CustomOp>(op);
    });
  return work;
}

/// Bytes with thousands in groups of three.
static std::string formatBytes(int64_t bytes) {
  std::string digits = std::to_string(bytes), text;
  for (auto [index, digit] : llvm::enumerate(digits)) {
    if (index > 0 && (digits.size() - index) % 3 == 0)
      text += ' ';
    text += digit;
  }
  return text;
}

static int64_t getParameterCount(PipelineOp pipeline,
                                 const Prediction &prediction, int device) {
  int64_t count = 0;
  auto module = pipeline->getParentOfType<ModuleOp>();
  for (StringRef name :
       getVariablesOfDevice(pipeline, prediction.problem.placement, device))
    if (auto variable = module.lookupSymbol<VariableOp>(name))
      count += cast<RankedTensorType>(variable.getType()).getNumElements();
  return count;
}

static void printDevice(ProgramOp program, PipelineOp pipeline,
                        const Prediction &prediction, raw_ostream &os) {
  int device = program.getDevice();
  SmallVector<StagePasses> stages = getStagePasses(pipeline);
  MemoryPeaks peaks = getMemoryPeaks(program);
  Work forward, input, weight;
  std::string stageList;
  for (auto [stage, passes] : llvm::enumerate(stages)) {
    if (prediction.problem.placement[stage] != device)
      continue;
    stageList += (stageList.empty() ? "" : ", ") + std::to_string(stage);
    auto add = [](Work &sum, Work work) {
      sum.flops += work.flops;
      sum.products += work.products;
      sum.customs += work.customs;
    };
    add(forward, getWork(passes.forward));
    add(input, getWork(passes.backwardInput));
    add(weight, getWork(passes.backwardWeight));
  }
  int64_t microbatches = program.getMicrobatches();
  auto line = [&](StringRef name, const std::string &text) {
    os << "  " << llvm::left_justify(name, 24) << text << "\n";
  };
  auto bytes = [&](StringRef name, int64_t value) {
    os << "  " << llvm::left_justify(name, 24)
       << llvm::right_justify(formatBytes(value), 16) << " bytes\n";
  };
  auto work = [&](const Work &work) {
    std::ostringstream text;
    text << double(work.flops) << " flops, " << work.products << " products";
    if (work.customs > 0)
      text << ", " << work.customs << " custom kernels";
    return text.str();
  };
  os << "device " << device << "\n";
  line("stages", stageList);
  line("parameters",
       std::to_string(getParameterCount(pipeline, prediction, device)));
  line("forward", work(forward) + " per microbatch");
  line("backward_input", work(input) + " per microbatch");
  line("backward_weight", work(weight) + " per microbatch");
  std::ostringstream flops;
  flops << double(forward.flops + input.flops + weight.flops) * microbatches;
  line("step", flops.str() + " flops");
  bytes("parameters", peaks.parameters);
  bytes("gradients", peaks.gradients);
  bytes("optimizer", peaks.states);
  bytes("activations (peak)", peaks.activations);
  bytes("workspace (peak)", peaks.workspace);
  bytes("transfer buffers (peak)", peaks.transfers);
  bytes("arena", program.getArena().value_or(peaks.total));
}

static int64_t getLargestActivations(ArrayRef<ProgramOp> programs) {
  int64_t largest = 0;
  for (ProgramOp program : programs)
    largest = std::max(largest, getMemoryPeaks(program).activations);
  return largest;
}

static void printPrediction(const Prediction &prediction,
                            ArrayRef<ProgramOp> programs, raw_ostream &os) {
  schedule::Bound bound =
      schedule::lowerBound(prediction.problem, schedule::Objective::Makespan);
  int64_t largestArena = 0;
  for (ProgramOp program : programs)
    largestArena =
        std::max<int64_t>(largestArena, program.getArena().value_or(0));
  double gap = bound.seconds > 0
                   ? prediction.times.makespan / bound.seconds - 1.0
                   : 0.0;
  os << "  predicted makespan      "
     << llvm::format("%.6f s (lower bound %.6f s, gap %.1f %%)\n",
                     prediction.times.makespan, bound.seconds, 100.0 * gap)
     << "  predicted bubble        "
     << llvm::format("%.1f %% of the busiest device\n",
                     100.0 * prediction.times.bubbleRatio)
     << "  largest activation peak "
     << formatBytes(getLargestActivations(programs)) << " bytes\n"
     << "  largest arena           " << formatBytes(largestArena) << " bytes\n";
}

LogicalResult weir::printReport(ModuleOp module, ModuleOp joint,
                                const CompilerOptions &options,
                                raw_ostream &os) {
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  FailureOr<Prediction> prediction = predict(pipeline);
  if (failed(prediction))
    return failure();
  SmallVector<ProgramOp> programs = getPrograms(pipeline);
  os << "model @" << pipeline.getSymName() << ": " << pipeline.getStages()
     << " stages on " << programs.size() << " devices, "
     << programs.front().getMicrobatches() << " microbatches, schedule "
     << prediction->order.name << "\n\n";
  for (ProgramOp program : programs) {
    printDevice(program, pipeline, *prediction, os);
    int device = program.getDevice();
    os << "  predicted busy          "
       << llvm::format("%.6f s\n\n", prediction->times.busy[device]);
  }
  os << "schedule " << prediction->order.name << "\n";
  printPrediction(*prediction, programs, os);

  if (!joint) {
    os << "\n1f1b for comparison: not known, the input was cut already\n";
    return success();
  }
  CompilerOptions reference = options;
  reference.schedule = "1f1b";
  reference.placement.clear();
  reference.chunks = 0;
  reference.stages = reference.devices;
  reference.memoryLimit = 0;
  reference.cuts.clear();
  OwningOpRef<ModuleOp> other = joint.clone();
  ScopedDiagnosticHandler withoutRemarks(module.getContext(), ignoreRemark);
  if (failed(compileTo(*other, Level::Plan, reference)))
    return failure();
  PipelineOp otherPipeline = getOnlyPipeline(*other);
  if (!otherPipeline)
    return failure();
  FailureOr<Prediction> otherPrediction = predict(otherPipeline);
  if (failed(otherPrediction))
    return failure();
  SmallVector<ProgramOp> otherPrograms = getPrograms(otherPipeline);
  os << "\n1f1b for comparison, " << otherPipeline.getStages() << " stages on "
     << otherPrograms.size() << " devices\n";
  printPrediction(*otherPrediction, otherPrograms, os);
  os << "  activation peak per device";
  for (ProgramOp program : otherPrograms)
    os << "  " << formatBytes(getMemoryPeaks(program).activations);
  os << "\n\nactivation peak of " << prediction->order.name << " over 1f1b: "
     << llvm::format("%.3f\n", double(getLargestActivations(programs)) /
                                   std::max<int64_t>(1, getLargestActivations(
                                                            otherPrograms)));
  return success();
}

LogicalResult weir::writeTimeline(ModuleOp module, StringRef path) {
  PipelineOp pipeline = getOnlyPipeline(module);
  if (!pipeline)
    return failure();
  FailureOr<Prediction> prediction = predict(pipeline);
  if (failed(prediction))
    return failure();
  std::ostringstream text;
  schedule::writeSvg(text, prediction->problem, prediction->order,
                     prediction->times);
  if (llvm::Error error = writeText(path, text.str()))
    return emitError(UnknownLoc::get(module.getContext()),
                     llvm::toString(std::move(error)));
  return success();
}
