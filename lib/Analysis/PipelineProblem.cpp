//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/PipelineProblem.h"

#include "weir/Schedule/BlockJson.h"

#include "mlir/IR/BuiltinOps.h"

#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace weir;

StagePassOpInterface StagePasses::get(PassKind kind) const {
  switch (kind) {
  case PassKind::Forward:
    return forward;
  case PassKind::BackwardInput:
    return backwardInput;
  case PassKind::BackwardWeight:
    return backwardWeight;
  default:
    return {};
  }
}

SmallVector<StagePasses> weir::getStagePasses(PipelineOp pipeline) {
  SmallVector<StagePasses> stages(pipeline.getStages());
  for (auto pass : pipeline.getBody().getOps<StagePassOpInterface>()) {
    if (pass.getStageNumber() < 0)
      continue;
    StagePasses &stage = stages[pass.getStageNumber()];
    if (pass.getPassKind() == PassKind::Forward)
      stage.forward = pass;
    else if (pass.getPassKind() == PassKind::BackwardInput)
      stage.backwardInput = pass;
    else
      stage.backwardWeight = pass;
  }
  return stages;
}

RunSignature weir::getRunSignature(const StagePasses &passes, PassKind kind) {
  RunSignature signature;
  if (kind != PassKind::Backward) {
    StagePassOpInterface pass = passes.get(kind);
    signature.operands.insert(pass->operand_begin(), pass->operand_end());
    signature.outputs.append(pass->result_begin(), pass->result_end());
    return signature;
  }
  Operation *input = passes.backwardInput, *weight = passes.backwardWeight;
  signature.operands.insert(input->operand_begin(), input->operand_end());
  for (Value operand : weight->getOperands())
    if (operand.getDefiningOp() != input)
      signature.operands.insert(operand);
  for (Value result : input->getResults()) {
    bool inside = llvm::all_of(result.getUsers(),
                               [&](Operation *user) { return user == weight; });
    (inside && !result.use_empty() ? signature.between : signature.outputs)
        .push_back(result);
  }
  signature.outputs.append(weight->result_begin(), weight->result_end());
  return signature;
}

llvm::SetVector<StringRef> weir::getVariablesOfDevice(PipelineOp pipeline,
                                                      ArrayRef<int> placement,
                                                      int device) {
  llvm::SetVector<StringRef> variables, others;
  bool holdsUnused = !placement.empty() && placement.front() == device;
  for (auto pass : pipeline.getBody().getOps<StagePassOpInterface>()) {
    if (pass.getStageNumber() < 0)
      continue;
    bool isHere = placement[pass.getStageNumber()] == device;
    if (!isHere && !holdsUnused)
      continue;
    llvm::SetVector<StringRef> &used = isHere ? variables : others;
    pass->walk([&](Operation *op) {
      if (auto read = dyn_cast<ReadOp>(op))
        used.insert(read.getVariable());
      else if (auto accumulate = dyn_cast<AccumulateOp>(op))
        used.insert(accumulate.getVariable());
    });
  }
  if (holdsUnused)
    for (auto variable :
         pipeline->getParentOfType<ModuleOp>().getOps<VariableOp>())
      if (!others.contains(variable.getSymName()))
        variables.insert(variable.getSymName());
  return variables;
}

ResidentBytes weir::getResidentBytes(PipelineOp pipeline,
                                     ArrayRef<int> placement, int device) {
  ResidentBytes bytes;
  llvm::SetVector<StringRef> variables =
      getVariablesOfDevice(pipeline, placement, device);
  auto module = pipeline->getParentOfType<ModuleOp>();
  for (StringRef name : variables)
    if (auto variable = module.lookupSymbol<VariableOp>(name))
      bytes.parameters += alignBuffer(getValueBytes(variable.getType()));
  for (auto update : pipeline.getBody().getOps<UpdateOp>())
    if (variables.contains(update.getVariable()))
      bytes.states +=
          update.getStates().size() *
          alignBuffer(getValueBytes(update.getBody().getArgument(0).getType()));
  llvm::DenseSet<std::pair<StringRef, int64_t>> uses;
  for (auto pass : pipeline.getBody().getOps<StagePassOpInterface>()) {
    if (pass.getStageNumber() < 0 || placement[pass.getStageNumber()] != device)
      continue;
    pass->walk([&](AccumulateOp accumulate) {
      if (uses.insert({accumulate.getVariable(),
                       static_cast<int64_t>(accumulate.getUse())})
              .second)
        bytes.gradients +=
            alignBuffer(getValueBytes(accumulate.getGradient().getType()));
    });
  }
  return bytes;
}

LogicalResult weir::checkHasForwards(PipelineOp pipeline) {
  for (auto [number, passes] : llvm::enumerate(getStagePasses(pipeline)))
    if (!passes.forward)
      return pipeline.emitOpError("has no forward pass of stage ") << number;
  return success();
}

schedule::Problem weir::buildProblem(PipelineOp pipeline,
                                     ArrayRef<int> placement, int numDevices,
                                     int microbatches) {
  // A pass without an estimate still takes time, so that time orders events.
  constexpr double shortest = 1e-9;
  schedule::Problem problem;
  problem.numDevices = numDevices;
  problem.numMicrobatches = microbatches;
  problem.placement.assign(placement.begin(), placement.end());
  SmallVector<StagePasses> stages = getStagePasses(pipeline);
  for (const StagePasses &passes : stages) {
    schedule::Stage &stage = problem.stages.emplace_back();
    auto seconds = [&](StagePassOpInterface pass) {
      return pass ? std::max(shortest, pass.getEstimatedSeconds()) : 0.0;
    };
    stage.forward = seconds(passes.forward);
    stage.backwardInput = seconds(passes.backwardInput);
    stage.backwardWeight = seconds(passes.backwardWeight);
    stage.hasBackwardInput = bool(passes.backwardInput);
    stage.hasBackwardWeight = bool(passes.backwardWeight);
    for (PassKind kind :
         {PassKind::Forward, PassKind::BackwardInput, PassKind::BackwardWeight})
      if (StagePassOpInterface pass = passes.get(kind))
        stage.workspaceBytes[static_cast<size_t>(toSchedule(kind))] =
            pass.getWorkspaceBytes();
    stage.workspaceBytes[static_cast<size_t>(schedule::PassKind::Backward)] =
        std::max(stage.workspace(schedule::PassKind::BackwardInput),
                 stage.workspace(schedule::PassKind::BackwardWeight));

    // What forward takes in or makes for B and W: operands and results that one
    // of them reads.
    auto reads = [](StagePassOpInterface pass, Value value) {
      return pass && llvm::is_contained(pass->getOperands(), value);
    };
    llvm::SetVector<Value> kept;
    if (passes.forward) {
      kept.insert(passes.forward->operand_begin(),
                  passes.forward->operand_end());
      kept.insert(passes.forward->result_begin(), passes.forward->result_end());
    }
    for (Value value : kept) {
      bool forInput = reads(passes.backwardInput, value);
      bool forWeight = reads(passes.backwardWeight, value);
      int64_t bytes = alignBuffer(getValueBytes(value.getType()));
      if (forInput || forWeight)
        stage.activationBytes += bytes;
      if (forInput && !forWeight)
        stage.releasedByBackwardInput += bytes;
    }
    if (passes.backwardInput)
      for (Value result : passes.backwardInput->getResults())
        if (reads(passes.backwardWeight, result))
          stage.takenByBackwardInput +=
              alignBuffer(getValueBytes(result.getType()));
    auto transferBytes = [](StagePassOpInterface pass) {
      int64_t bytes = 0;
      if (pass)
        for (Value result : pass->getResults())
          if (isa<RankedTensorType>(result.getType()))
            bytes += getValueBytes(result.getType());
      return bytes;
    };
    stage.forwardTransferBytes = transferBytes(passes.forward);
    stage.backwardTransferBytes = transferBytes(passes.backwardInput);
  }
  for (int device = 0; device < numDevices; ++device)
    problem.fixedBytes.push_back(
        getResidentBytes(pipeline, placement, device).total());
  return problem;
}

/// The devices that `text` lists; nullopt where it is no list of whole numbers.
static std::optional<SmallVector<int64_t>> readDevices(StringRef text) {
  SmallVector<StringRef> items;
  text.split(items, ',');
  SmallVector<int64_t> devices;
  for (StringRef item : items) {
    int device = 0;
    if (item.trim().getAsInteger(10, device))
      return std::nullopt;
    devices.push_back(device);
  }
  return devices;
}

std::optional<ListedPlacement> weir::getListedPlacement(StringRef placement) {
  std::optional<SmallVector<int64_t>> devices = readDevices(placement);
  if (!devices)
    return std::nullopt;
  return ListedPlacement{static_cast<int64_t>(devices->size()),
                         *llvm::max_element(*devices) + 1};
}

std::string weir::listPlacement(ArrayRef<int> placement) {
  std::string text;
  for (int device : placement)
    text += (text.empty() ? "" : ",") + std::to_string(device);
  return text;
}

std::optional<std::vector<int>> weir::readPlacement(StringRef placement,
                                                    int64_t stages,
                                                    int64_t devices,
                                                    std::string &error) {
  auto refuse = [&](const Twine &text) {
    error = text.str();
    return std::nullopt;
  };
  if (auto kind = schedule::parsePlacement(placement)) {
    if (devices <= 0)
      devices = stages;
    if (stages < 1 || devices > stages || stages % devices != 0)
      return refuse("cannot place " + Twine(stages) + " stages on " +
                    Twine(devices) +
                    " devices: the number of stages must be a multiple");
    return schedule::makePlacement(*kind, stages, devices);
  }
  std::optional<SmallVector<int64_t>> list = readDevices(placement);
  if (!list)
    return refuse("unknown placement '" + placement +
                  "'; known are linear, loop, v and a list of devices such as "
                  "0,1,1,0");
  if (static_cast<int64_t>(list->size()) != stages)
    return refuse("placement " + placement + " is for " + Twine(list->size()) +
                  " stages, but there are " + Twine(stages));
  int64_t needed = *llvm::max_element(*list) + 1;
  if (devices <= 0)
    devices = needed;
  std::vector<bool> used(std::max<int64_t>(0, std::min(devices, stages)));
  for (int64_t device : *list) {
    if (device < 0 || device >= devices)
      return refuse("placement " + placement + " names device " +
                    Twine(device) + ", but there are " + Twine(devices) +
                    " devices");
    if (device < static_cast<int64_t>(used.size()))
      used[device] = true;
  }
  for (int64_t device = 0; device < devices; ++device)
    if (device >= static_cast<int64_t>(used.size()) || !used[device])
      return refuse("placement " + placement + " leaves device " +
                    Twine(device) + " without a stage");
  return std::vector<int>(list->begin(), list->end());
}

static constexpr StringLiteral blockPrefix = "block:";

bool weir::isBlockFile(StringRef schedule) {
  return schedule.starts_with(blockPrefix);
}

std::optional<schedule::PlacedBlock> weir::readBlockFile(StringRef schedule,
                                                         std::string &error) {
  StringRef path = schedule.drop_front(blockPrefix.size());
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file) {
    error =
        ("cannot open block file '" + path + "': " + file.getError().message())
            .str();
    return std::nullopt;
  }
  std::optional<schedule::PlacedBlock> block =
      schedule::readBlock(std::string_view((*file)->getBuffer()), &error);
  if (!block)
    error = (path + ": " + error).str();
  return block;
}
