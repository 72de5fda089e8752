//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The forward as a row of costs (ForwardRow), the search for cuts (CutSearch),
// the colours of the ops, and what there is to say about the choice.
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/ForwardRow.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Schedule/Simulation.h"

#include "mlir/IR/Remarks.h"
#include "llvm/Support/Format.h"

#include <limits>

namespace weir {
#define GEN_PASS_DEF_WEIRPARTITION
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct Partition : weir::impl::WeirPartitionBase<Partition> {
  using WeirPartitionBase::WeirPartitionBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint || failed(partition(joint)))
      signalPassFailure();
  }

  LogicalResult partition(func::FuncOp joint);
  /// Tells the search about the schedule that is to come, as far as it is
  /// known: what devices hold at most, and how long a step takes. Without one,
  /// devices hold a microbatch of each stage.
  void setSchedule(CutProblem &problem) const;
  FailureOr<FoundCuts> chooseCuts(func::FuncOp joint, CutProblem &problem);
  /// Whether the user says where all cuts are.
  bool isGiven() const { return !cuts.empty() || !layersPerStage.empty(); }
  /// The cuts that `cuts` or `layers-per-stage` tell.
  FailureOr<SmallVector<int64_t>> readGivenCuts(func::FuncOp joint,
                                                const ForwardRow &row);
  FailureOr<SmallVector<int64_t>> readCutNumbers(func::FuncOp joint,
                                                 const ForwardRow &row);
  FailureOr<SmallVector<int64_t>> readLayerCounts(func::FuncOp joint,
                                                  const ForwardRow &row);
  LogicalResult checkMarks(const ForwardRow &row, ArrayRef<int64_t> positions,
                           ArrayRef<StageMark> marks);
  LogicalResult checkDevices(func::FuncOp joint, CutProblem problem,
                             ArrayRef<int64_t> positions) const;
  void colour(func::FuncOp joint, const ForwardRow &row,
              ArrayRef<int64_t> positions);
  void report(func::FuncOp joint, const ForwardRow &row,
              const CutProblem &problem, const FoundCuts &found) const;
};

} // namespace

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// One microbatch of every stage at a time: no order can do with less.
static void holdOneMicrobatch(CutProblem &problem) {
  int64_t devices = *llvm::max_element(problem.deviceOfStage) + 1;
  problem.held.assign(devices, {schedule::HeldMicrobatches()});
  for (int device : problem.deviceOfStage)
    problem.held[device].front().push_back(1);
}

void Partition::setSchedule(CutProblem &problem) const {
  holdOneMicrobatch(problem);
  int64_t devices = problem.numDevices();
  // Longer steps hold no more, but for gpipe, which is quickly built.
  int64_t count = microbatches > 0 ? int64_t(microbatches) : 2 * devices;
  if (schedule != "gpipe")
    count = std::min(count, 2 * problem.numStages());
  schedule::Problem unit =
      schedule::unitProblem(devices, count, problem.deviceOfStage);
  if (unit.check())
    return;
  std::string ignored;
  std::optional<schedule::Schedule> order;
  if (isBlockFile(schedule)) {
    if (auto block = readBlockFile(schedule, ignored))
      order = schedule::buildFromBlock(schedule, *block, unit, &ignored);
  } else if (schedule != "auto") {
    order = schedule::buildNamed(schedule, unit, &ignored);
  } else {
    // What a search finds is about as good as the best of these.
    for (StringRef name : {"1f1b", "v-half", "interleaved-1f1b", "gpipe"})
      if ((order = schedule::buildNamed(name, unit, &ignored)))
        break;
  }
  if (!order)
    return;
  problem.held = schedule::countHeldMicrobatches(unit, *order);
  // About a second for the moves of all cuts together.
  constexpr int64_t maxPasses = 5000000;
  problem.predictions = maxPasses / (3 * count * problem.numStages());
  unit.defaultLink.bandwidth = linkGigabytesPerSecond * 1e9;
  int64_t more = std::max<int64_t>(0, microbatches - count);
  problem.predict = [unit, order = *order, more,
                     &costs = problem.costs](ArrayRef<int64_t> cuts) mutable {
    for (int s = 0; s < unit.numStages(); ++s) {
      int64_t begin = cuts[s], end = cuts[s + 1];
      schedule::Stage &stage = unit.stages[s];
      stage.forward = costs.forwardBefore[end] - costs.forwardBefore[begin];
      stage.backwardWeight =
          costs.weightBefore[end] - costs.weightBefore[begin];
      stage.backwardInput =
          std::max(0.0, costs.seconds(begin, end) - stage.forward -
                            stage.backwardWeight);
      stage.backwardTransferBytes = costs.received.get(cuts[s], cuts[s + 1]);
      if (s > 0)
        unit.stages[s - 1].forwardTransferBytes = stage.backwardTransferBytes;
    }
    std::optional<schedule::Simulation> times = simulate(unit, order);
    if (!times)
      return std::numeric_limits<double>::infinity();
    // Each further microbatch takes what the slowest device takes for it.
    return times->makespan +
           more * *llvm::max_element(times->busy) / unit.numMicrobatches;
  };
}

/// The device that needs most, and what it needs.
static std::pair<int64_t, DeviceCost>
findFullestDevice(const CutProblem &problem, ArrayRef<int64_t> positions) {
  std::pair<int64_t, DeviceCost> fullest;
  for (int64_t device = 0; device < problem.numDevices(); ++device) {
    DeviceCost cost = getDeviceCost(problem, positions, device);
    if (device == 0 || cost.bytes() > fullest.second.bytes())
      fullest = {device, cost};
  }
  return fullest;
}

LogicalResult Partition::checkDevices(func::FuncOp joint, CutProblem problem,
                                      ArrayRef<int64_t> positions) const {
  holdOneMicrobatch(problem);
  auto [device, cost] = findFullestDevice(problem, positions);
  if (memoryLimit == 0 || cost.bytes() <= memoryLimit)
    return success();
  return joint.emitError("device ")
         << device << " needs at least " << cost.bytes()
         << " bytes for its parameters, gradients, optimizer state and one "
            "microbatch, but the limit is "
         << int64_t(memoryLimit);
}

//===----------------------------------------------------------------------===//
// Cuts
//===----------------------------------------------------------------------===//

FailureOr<FoundCuts> Partition::chooseCuts(func::FuncOp joint,
                                           CutProblem &problem) {
  const RowCosts &costs = problem.costs;
  int64_t least = 0;
  for (int64_t i = 0; memoryLimit != 0 && i < costs.size(); ++i)
    least = std::max(
        least, costs.kept.get(i, i + 1) + costs.variables.get(i, i + 1) +
                   costs.gradientsBefore[i + 1] - costs.gradientsBefore[i]);
  if (least > memoryLimit)
    return joint.emitError("no cut into ")
           << int64_t(stages) << " stages fits " << int64_t(memoryLimit)
           << " bytes per device; the largest op alone needs " << least;
  std::optional<FoundCuts> found = searchCuts(problem);
  if (!found)
    return joint.emitError("no cut into ")
           << int64_t(stages)
           << " stages has a stage begin at every op that is marked "
              "weir.stage_begin";
  if (schedule != "auto" || memoryLimit == 0 ||
      findFullestDevice(problem, found->cuts).second.bytes() <= memoryLimit)
    return *found;
  // A search may go as low as one microbatch at a time; the less a cut exceeds
  // the limit, the less it has to.
  holdOneMicrobatch(problem);
  if (findFullestDevice(problem, found->cuts).second.bytes() <= memoryLimit)
    return *found;
  return *searchCuts(problem);
}

FailureOr<SmallVector<int64_t>>
Partition::readCutNumbers(func::FuncOp joint, const ForwardRow &row) {
  if (static_cast<int64_t>(cuts.size()) != stages - 1)
    return joint.emitError("got ")
           << cuts.size() << " cuts for " << int64_t(stages)
           << " stages; needs one less than stages";
  SmallVector<int64_t> positions{0};
  for (int64_t number : cuts) {
    std::optional<int64_t> position = row.findNumber(number);
    if (!position)
      return joint.emitError("cannot cut at op ")
             << number << ": no op of the forward has that number";
    if (*position <= positions.back())
      return joint.emitError("cut at op ")
             << number << " leaves a stage without ops; cuts must ascend";
    positions.push_back(*position);
  }
  positions.push_back(row.costs.size());
  return positions;
}

FailureOr<SmallVector<int64_t>>
Partition::readLayerCounts(func::FuncOp joint, const ForwardRow &row) {
  FailureOr<SmallVector<int64_t>> layers = readLayers(joint, row);
  if (failed(layers))
    return failure();
  if (static_cast<int64_t>(layersPerStage.size()) != stages)
    return joint.emitError("got the layers of ")
           << layersPerStage.size() << " stages, but the model is cut into "
           << int64_t(stages);
  SmallVector<int64_t> positions;
  int64_t sum = 0, total = layers->size();
  for (int64_t count : layersPerStage) {
    if (count < 1)
      return joint.emitError("needs at least one layer in each stage, got ")
             << count;
    // What comes before the first layer goes with it.
    if (sum < total)
      positions.push_back(positions.empty() ? 0 : (*layers)[sum]);
    sum += std::min(count, total + 1);
  }
  if (sum != total)
    return joint.emitError("got ") << sum << " layers in " << int64_t(stages)
                                   << " stages, but the model has " << total;
  positions.push_back(row.costs.size());
  return positions;
}

FailureOr<SmallVector<int64_t>>
Partition::readGivenCuts(func::FuncOp joint, const ForwardRow &row) {
  if (layersPerStage.empty())
    return readCutNumbers(joint, row);
  if (!cuts.empty())
    return joint.emitError("cuts and layers-per-stage exclude each other");
  return readLayerCounts(joint, row);
}

LogicalResult Partition::checkMarks(const ForwardRow &row,
                                    ArrayRef<int64_t> positions,
                                    ArrayRef<StageMark> marks) {
  for (StageMark mark : marks) {
    auto cut = llvm::find(positions, mark.position);
    int64_t stage = cut - positions.begin();
    Operation *op = row.ops[mark.position];
    if (cut == positions.end())
      return op->emitOpError(
          "is marked as the beginning of a stage, but the given "
          "cuts have none begin here");
    if (mark.stage >= 0 && mark.stage != stage)
      return op->emitOpError("is marked as the beginning of stage ")
             << mark.stage << ", but the given cuts have stage " << stage
             << " begin here";
  }
  return success();
}

void Partition::colour(func::FuncOp joint, const ForwardRow &row,
                       ArrayRef<int64_t> positions) {
  Builder builder(joint.getContext());
  auto stageOf = [&](int64_t position) {
    return llvm::upper_bound(positions, position) - positions.begin() - 1;
  };
  for (Operation &op : joint.getBody().front()) {
    op.removeAttr(attr::stage);
    op.removeAttr(attr::pass);
    if (isRepeated(&op) || op.hasTrait<OpTrait::IsTerminator>())
      continue;
    std::optional<int64_t> stage;
    if (std::optional<int64_t> position = row.findPosition(&op))
      stage = stageOf(*position);
    // Reports, accumulations and sums go where their operands are; gradients
    // flow from later stages to earlier ones, so to the earliest.
    if (!stage)
      for (Value operand : op.getOperands())
        if (Operation *producer = operand.getDefiningOp())
          if (auto other = getInteger(producer, attr::stage))
            stage = isForwardOp(&op) ? std::max(stage.value_or(0), *other)
                                     : std::min(stage.value_or(*other), *other);
    op.setAttr(attr::stage, builder.getI64IntegerAttr(stage.value_or(0)));
  }
}

//===----------------------------------------------------------------------===//
// Remarks
//===----------------------------------------------------------------------===//

static std::string toText(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.3g", value);
  return text;
}

/// "op 7 (linalg.contract)"
static std::string describe(Operation *op) {
  return ("op " + Twine(*getInteger(op, attr::op)) + " (" +
          op->getName().getStringRef() + ")")
      .str();
}

static remark::RemarkOpts named(StringRef name) {
  return remark::RemarkOpts::name(name).category("weir-partition");
}

void Partition::report(func::FuncOp joint, const ForwardRow &row,
                       const CutProblem &problem,
                       const FoundCuts &found) const {
  const RowCosts &costs = row.costs;
  Location loc = joint.getLoc();
  for (int64_t s = 0; s < stages; ++s) {
    int64_t begin = found.cuts[s], end = found.cuts[s + 1];
    std::optional<int64_t> layer = getInteger(row.ops[begin], attr::layer);
    remark::analysis(row.ops[begin]->getLoc(), named("stage"))
        << ("stage " + Twine(s) + " begins at " + describe(row.ops[begin]) +
            (layer ? ", layer " + Twine(*layer) : Twine()) +
            ", estimated seconds " + toText(costs.seconds(begin, end)) +
            ", receives " + Twine(costs.received.get(begin, end)) +
            " bytes per microbatch")
               .str();
  }
  auto [fullest, most] = findFullestDevice(problem, found.cuts);
  remark::analysis(loc, named("memory"))
      << ("device " + Twine(fullest) +
          " holds most by estimate: " + Twine(most.resident) +
          " bytes of parameters, gradients and optimizer states and " +
          Twine(most.kept) + " bytes that microbatches keep")
             .str();

  double slowest = 0.0;
  for (int64_t device = 0; device < problem.numDevices(); ++device)
    slowest =
        std::max(slowest, getDeviceCost(problem, found.cuts, device).seconds);
  double mean = costs.seconds(0, costs.size()) / problem.numDevices();
  int64_t dearest = 0;
  auto seconds = [&](int64_t i) { return costs.seconds(i, i + 1); };
  for (int64_t i = 1; i < costs.size(); ++i)
    if (seconds(i) > seconds(dearest))
      dearest = i;
  bool isUneven = problem.numDevices() > 1 && slowest > mean * 1.05;
  std::string why;
  // A tenth is what the search gives away.
  if (isUneven && seconds(dearest) >= 0.9 * slowest)
    why = "; " + describe(row.ops[dearest]) + " alone takes " +
          toText(100.0 * seconds(dearest) / costs.seconds(0, costs.size())) +
          " % of all time, so that no cut can be more even than " +
          toText(seconds(dearest) / mean);
  else if (isUneven && isGiven())
    why = std::string("; all cuts are as ") +
          (cuts.empty() ? "layers-per-stage" : "cuts") + " has them";
  else if (isUneven && !problem.marks.empty())
    why = "; " + std::to_string(problem.marks.size()) + " of the " +
          std::to_string(stages - 1) + " cuts are at weir.stage_begin";
  else if (found.fastestSeconds > 0.0 && found.fastestSeconds < 0.995 * slowest)
    why = "; " + toText(found.fastestSeconds / mean) + " is possible where " +
          std::to_string(found.fastestBytes) + " bytes are sent";
  remark::passed(loc, named("cut"))
      << ("cut into " + Twine(int64_t(stages)) +
          " stages; the slowest device takes " + toText(slowest / mean) +
          " of the mean; " + Twine(getSentBytes(problem, found.cuts)) +
          " bytes per microbatch go from device to device" + why)
             .str();
}

LogicalResult Partition::partition(func::FuncOp joint) {
  if (stages < 1)
    return joint.emitError("needs at least one stage, got ") << int64_t(stages);
  std::unique_ptr<ForwardRow> row = readForwardRow(joint, stateTensors);
  if (!row)
    return failure();
  const RowCosts &costs = row->costs;
  if (costs.size() < stages)
    return joint.emitError("cannot cut the model into ")
           << int64_t(stages) << " stages: it has only " << costs.size()
           << " operations to cut between";
  if (costs.secondsBefore.back() <= 0.0)
    return joint.emitError(
        "no costs on the joint graph; run weir-estimate-costs first");
  std::string error;
  std::optional<std::vector<int>> placed =
      readPlacement(placement, stages, devices, error);
  if (!placed)
    return joint.emitError() << error;
  CutProblem problem{costs, *placed, {}, memoryLimit, {}, {}};
  setSchedule(problem);
  // One stage is no cut: nothing begins but the model.
  if (stages > 1) {
    FailureOr<SmallVector<StageMark>> marks =
        readStageMarks(joint, *row, stages);
    if (failed(marks))
      return failure();
    problem.marks.assign(marks->begin(), marks->end());
  }

  FoundCuts found;
  if (!isGiven()) {
    FailureOr<FoundCuts> chosen = chooseCuts(joint, problem);
    if (failed(chosen))
      return failure();
    found = *chosen;
  } else {
    FailureOr<SmallVector<int64_t>> given = readGivenCuts(joint, *row);
    if (failed(given) || failed(checkMarks(*row, *given, problem.marks)))
      return failure();
    found.cuts = *given;
  }
  if (failed(checkDevices(joint, problem, found.cuts)))
    return failure();
  colour(joint, *row, found.cuts);
  report(joint, *row, problem, found);
  return success();
}
