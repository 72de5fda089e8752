//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Fewer stages, devices, variables and transfers of pipelines and their
// programs.
//
//===----------------------------------------------------------------------===//

#include "Reduction.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/MapVector.h"

#include <map>

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// Transfers
//===----------------------------------------------------------------------===//

static std::optional<int64_t> getMessage(Operation *op) {
  if (isa<SendStartOp, RecvStartOp>(op))
    return getNumber(op, "message");
  return std::nullopt;
}

void weir::eraseWithDependents(ModuleOp module, ArrayRef<Operation *> roots) {
  std::map<int64_t, SmallVector<Operation *, 2>> sides; // by message
  for (auto program : module.getOps<ProgramOp>())
    for (Operation &op : program.getBody().getOps())
      if (std::optional<int64_t> message = getMessage(&op))
        sides[*message].push_back(&op);
  llvm::SetVector<Operation *> doomed(roots.begin(), roots.end());
  for (size_t i = 0; i < doomed.size(); ++i) {
    doomed.insert_range(doomed[i]->getUsers());
    if (std::optional<int64_t> message = getMessage(doomed[i]))
      doomed.insert_range(sides[*message]);
  }
  for (Operation *op : doomed)
    op->dropAllDefinedValueUses();
  for (Operation *op : doomed)
    op->erase();
}

static RecvStartOp findReceive(SendStartOp send) {
  RecvStartOp found;
  send->getParentOfType<ModuleOp>().walk([&](RecvStartOp receive) {
    if (receive.getMessage() == send.getMessage())
      found = receive;
  });
  return found;
}

/// Erases a start of a transfer and its waits; nothing uses what was received.
static void eraseTransfer(Operation *start) {
  for (Operation *wait : llvm::make_early_inc_range(start->getUsers()))
    wait->erase();
  start->erase();
}

/// What the receiver has by itself in the place of `sent`, or null.
static Value makeLocally(Value sent, RecvStartOp receive) {
  OpBuilder builder(receive);
  if (auto load = sent.getDefiningOp<LoadOp>())
    return LoadOp::create(builder, load.getLoc(), sent.getType(),
                          load.getInputAttr(), load.getMicrobatchAttr(),
                          receive.getOffsetsAttr());
  auto resident = sent.getDefiningOp<ResidentOp>();
  if (!resident || resident.getKind() != ResidentKind::Count)
    return {};
  auto program = receive->getParentOfType<ProgramOp>();
  for (auto own : program.getBody().getOps<ResidentOp>())
    if (own.getKind() == ResidentKind::Count)
      return own.getResult();
  // It lives through the whole step, where other buffers may be for a while.
  DenseI64ArrayAttr offset;
  if (std::optional<uint64_t> arena = program.getArena()) {
    offset = builder.getDenseI64ArrayAttr(alignBuffer(*arena));
    program.setArena(alignBuffer(*arena) + bufferAlignment);
  }
  builder.setInsertionPointToStart(&program.getBody().front());
  return ResidentOp::create(builder, resident.getLoc(), sent.getType(),
                            resident.getKindAttr(), nullptr, nullptr, offset);
}

LogicalResult weir::dropTransfer(SendStartOp send) {
  if (RecvStartOp receive = findReceive(send)) {
    auto isRead = [](Operation *wait) { return !wait->use_empty(); };
    if (llvm::any_of(receive->getUsers(), isRead)) {
      Value local = makeLocally(send.getValue(), receive);
      if (!local)
        return failure();
      for (Operation *wait : receive->getUsers())
        wait->replaceAllUsesWith(ValueRange(local));
    }
    eraseTransfer(receive);
  }
  Operation *load = send.getValue().getDefiningOp<LoadOp>();
  eraseTransfer(send);
  if (load && load->use_empty())
    load->erase();
  return success();
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

/// Takes a variable that the pipeline no longer updates out of the programs;
/// where passes read it, it stays as a parameter.
static void dropFromPrograms(PipelineOp pipeline, StringRef variable) {
  bool isRead = pipeline
                    .walk([&](ReadOp read) {
                      return read.getVariable() == variable
                                 ? WalkResult::interrupt()
                                 : WalkResult::advance();
                    })
                    .wasInterrupted();
  SmallVector<Operation *> dropped;
  for (ProgramOp program : getPrograms(pipeline))
    for (Operation &op : program.getBody().getOps()) {
      auto resident = dyn_cast<ResidentOp>(op);
      auto run = dyn_cast<RunOp>(op);
      if ((resident && resident.getVariable() == variable &&
           !(isRead && resident.getKind() == ResidentKind::Parameter)) ||
          (run && run.getVariable() == variable))
        dropped.push_back(&op);
    }
  eraseWithDependents(pipeline->getParentOfType<ModuleOp>(), dropped);
}

void weir::dropVariable(VariableOp variable) {
  auto module = variable->getParentOfType<ModuleOp>();
  StringRef name = variable.getSymName();
  module.walk([&](ReadOp read) {
    if (read.getVariable() != name)
      return;
    OpBuilder builder(read);
    auto zero = arith::ConstantOp::create(builder, read.getLoc(),
                                          builder.getZeroAttr(read.getType()));
    read.replaceAllUsesWith(zero.getResult());
    read.erase();
  });
  module.walk([&](AccumulateOp accumulate) {
    if (accumulate.getVariable() == name)
      accumulate.erase();
  });
  module.walk([&](UpdateOp update) {
    if (update.getVariable() == name)
      update.erase();
  });
  for (auto pipeline : module.getOps<PipelineOp>())
    dropFromPrograms(pipeline, name);
  variable.erase();
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

namespace {

/// Takes stages out of one pipeline and its programs.
class StageRemover {
public:
  StageRemover(PipelineOp pipeline, const Renumbering &stages)
      : pipeline(pipeline), stages(stages), programs(getPrograms(pipeline)),
        passes(getStagePasses(pipeline)) {}

  LogicalResult run();

private:
  bool isDropped(StagePassOpInterface pass) {
    return !isa<UpdateOp>(pass) && stages.isDropped(pass.getStageNumber());
  }

  ModuleOp getModule() { return pipeline->getParentOfType<ModuleOp>(); }

  LogicalResult makeInputs();
  void replaceRuns();
  void dropGradients();
  void dropUses(UpdateOp update, const llvm::BitVector &uses);
  void renewRuns();
  void dropUnusedInputs();

  PipelineOp pipeline;
  const Renumbering &stages;
  SmallVector<ProgramOp> programs;
  SmallVector<StagePasses> passes;
  /// What other stages take of those that are dropped, as an input now.
  DenseMap<Value, StringAttr> inputs;
  /// What runs of other stages gave before.
  DenseMap<Operation *, RunSignature> signatures;
};

} // namespace

LogicalResult StageRemover::makeInputs() {
  Builder builder(pipeline.getContext());
  SmallVector<Attribute> names(pipeline.getInputs().getValue());
  for (auto pass :
       llvm::to_vector(pipeline.getBody().getOps<StagePassOpInterface>())) {
    if (!isDropped(pass))
      continue;
    for (OpResult result : pass->getResults()) {
      auto isOutside = [&](OpOperand &use) {
        return !isDropped(cast<StagePassOpInterface>(use.getOwner()));
      };
      if (llvm::none_of(result.getUses(), isOutside))
        continue;
      if (isa<BundleType>(result.getType()))
        return failure();
      std::string name;
      for (size_t i = names.size();; ++i) {
        name = "input" + std::to_string(i);
        if (!llvm::is_contained(names, builder.getStringAttr(name)))
          break;
      }
      names.push_back(inputs[result] = builder.getStringAttr(name));
      Value argument =
          pipeline.getBody().addArgument(result.getType(), result.getLoc());
      result.replaceUsesWithIf(argument, isOutside);
    }
  }
  pipeline.setInputsAttr(builder.getArrayAttr(names));
  return success();
}

/// Whether the stage has what a run names; a program that is wrong may not
/// care.
static bool hasPasses(const StagePasses &stage, PassKind kind) {
  if (kind == PassKind::Backward)
    return stage.backwardInput && stage.backwardWeight;
  return bool(stage.get(kind));
}

/// Loads in the place of the runs of dropped stages what others take of them.
void StageRemover::replaceRuns() {
  SmallVector<Operation *> dropped;
  for (ProgramOp program : programs)
    for (auto run : program.getBody().getOps<RunOp>()) {
      if (!run.getStage() || *run.getStage() >= passes.size() ||
          !hasPasses(passes[*run.getStage()], run.getPass()))
        continue;
      RunSignature signature =
          getRunSignature(passes[*run.getStage()], run.getPass());
      if (!stages.isDropped(*run.getStage())) {
        signatures[run] = std::move(signature);
        continue;
      }
      dropped.push_back(run);
      OpBuilder builder(run);
      for (auto [index, value] : llvm::enumerate(signature.outputs)) {
        auto name = inputs.find(value);
        if (name == inputs.end() || index >= run.getOutputs().size())
          continue;
        DenseI64ArrayAttr offset;
        if (run.getOffsets() && index < run.getOffsets()->size())
          offset = builder.getDenseI64ArrayAttr((*run.getOffsets())[index]);
        Value result = run.getOutputs()[index];
        result.replaceAllUsesWith(
            LoadOp::create(builder, run.getLoc(), result.getType(),
                           name->second, run.getMicrobatchAttr(), offset));
      }
    }
  eraseWithDependents(getModule(), dropped);
}

void StageRemover::dropUses(UpdateOp update, const llvm::BitVector &uses) {
  StringRef variable = update.getVariable();
  Renumbering numbers(uses.size());
  for (unsigned use : uses.set_bits())
    numbers.drop(use, use + 1);
  if (numbers.getNumLeft() == 0) {
    dropFromPrograms(pipeline, variable);
    update.erase();
    return;
  }
  Block &body = update.getBodyBlock();
  Value left = body.getArgument(1 + uses.find_first_unset());
  for (unsigned use = uses.size(); use-- > 0;)
    if (uses[use]) {
      body.getArgument(1 + use).replaceAllUsesWith(left);
      body.eraseArgument(1 + use);
    }
  update.setUses(numbers.getNumLeft());
  pipeline.walk([&](AccumulateOp accumulate) {
    if (accumulate.getVariable() == variable)
      numbers.apply(accumulate, "use");
  });
  SmallVector<Operation *> dropped;
  for (ProgramOp program : programs)
    for (Operation &op : program.getBody().getOps()) {
      if (auto run = dyn_cast<RunOp>(op); run && run.getVariable() == variable)
        for (unsigned use = uses.size(); use-- > 0;)
          if (uses[use] && use < run->getNumOperands())
            run->eraseOperand(use);
      auto resident = dyn_cast<ResidentOp>(op);
      if (!resident || resident.getVariable() != variable ||
          resident.getKind() != ResidentKind::Gradient)
        continue;
      if (numbers.isDropped(*resident.getIndex()))
        dropped.push_back(resident);
      else
        numbers.apply(resident, "index");
    }
  eraseWithDependents(getModule(), dropped);
}

void StageRemover::dropGradients() {
  llvm::MapVector<StringRef, llvm::BitVector> uses;
  llvm::StringMap<UpdateOp> updates;
  for (auto update : pipeline.getBody().getOps<UpdateOp>()) {
    updates[update.getVariable()] = update;
    uses[update.getVariable()].resize(update.getUses());
  }
  SmallVector<Operation *> dropped;
  for (auto pass : pipeline.getBody().getOps<StagePassOpInterface>()) {
    if (!isDropped(pass))
      continue;
    dropped.push_back(pass);
    pass.walk([&](AccumulateOp accumulate) {
      auto it = uses.find(accumulate.getVariable());
      if (it != uses.end() && accumulate.getUse() < it->second.size())
        it->second.set(accumulate.getUse());
    });
  }
  for (Operation *pass : llvm::reverse(dropped))
    pass->erase();
  for (auto &[variable, which] : uses)
    if (which.any())
      dropUses(updates[variable], which);
}

/// A fused backward gives only what others take, which may be less now.
void StageRemover::renewRuns() {
  passes = getStagePasses(pipeline);
  SmallVector<RunOp> runs;
  for (ProgramOp program : programs)
    llvm::append_range(runs, program.getBody().getOps<RunOp>());
  for (RunOp run : runs) {
    auto found = signatures.find(run);
    if (found == signatures.end())
      continue;
    const RunSignature &before = found->second;
    RunSignature after =
        getRunSignature(passes[*run.getStage()], run.getPass());
    if (after.outputs == before.outputs && after.between == before.between)
      continue;
    SmallVector<Value> given(before.outputs);
    llvm::append_range(given, before.between);
    if (given.size() != run->getNumResults())
      continue;
    SmallVector<Type> outputs, between;
    SmallVector<int64_t> offsets, kept;
    auto keep = [&](ArrayRef<Value> values, SmallVector<Type> &types) {
      for (Value value : values)
        if (auto it = llvm::find(given, value); it != given.end()) {
          kept.push_back(it - given.begin());
          types.push_back(value.getType());
          if (run.getOffsets())
            offsets.push_back((*run.getOffsets())[kept.back()]);
        }
    };
    keep(after.outputs, outputs);
    keep(after.between, between);
    auto isUnusedOrKept = [&](OpResult result) {
      return result.use_empty() ||
             llvm::is_contained(kept, result.getResultNumber());
    };
    if (!llvm::all_of(run->getResults(), isUnusedOrKept))
      continue;
    OpBuilder builder(run);
    auto renewed = RunOp::create(
        builder, run.getLoc(), outputs, between, run.getPassAttr(),
        run.getStageAttr(), run.getVariableAttr(), run.getMicrobatchAttr(),
        run.getInputs(),
        run.getOffsets() ? builder.getDenseI64ArrayAttr(offsets)
                         : DenseI64ArrayAttr(),
        run.getScratchAttr());
    for (auto [index, old] : llvm::enumerate(kept))
      run->getResult(old).replaceAllUsesWith(renewed->getResult(index));
    run.erase();
  }
}

void StageRemover::dropUnusedInputs() {
  SmallVector<Attribute> names(pipeline.getInputs().getValue());
  for (size_t i = names.size(); i-- > 0;) {
    if (!pipeline.getBody().getArgument(i).use_empty())
      continue;
    SmallVector<Operation *> loads;
    bool isUsed = false;
    for (ProgramOp program : programs)
      for (auto load : program.getBody().getOps<LoadOp>())
        if (load.getInputAttr() == names[i]) {
          loads.push_back(load);
          isUsed |= !load->use_empty();
        }
    if (isUsed)
      continue;
    for (Operation *load : loads)
      load->erase();
    pipeline.getBody().eraseArgument(i);
    names.erase(names.begin() + i);
  }
  pipeline.setInputsAttr(Builder(pipeline.getContext()).getArrayAttr(names));
}

LogicalResult StageRemover::run() {
  if (stages.getNumLeft() == 0 || failed(makeInputs()))
    return failure();
  replaceRuns();
  dropGradients();
  for (auto pass : pipeline.getBody().getOps<StagePassOpInterface>())
    stages.apply(pass, "stage");
  for (ProgramOp program : programs)
    for (auto run : program.getBody().getOps<RunOp>())
      stages.apply(run, "stage");
  pipeline.setStages(stages.getNumLeft());
  renewRuns();
  dropUnusedInputs();
  return success();
}

LogicalResult weir::dropStages(PipelineOp pipeline, const Renumbering &stages) {
  return StageRemover(pipeline, stages).run();
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

LogicalResult weir::dropDevices(PipelineOp pipeline,
                                const Renumbering &devices) {
  SmallVector<ProgramOp> programs = getPrograms(pipeline), left, dropped;
  Renumbering stages(pipeline.getStages());
  for (ProgramOp program : programs) {
    bool isDropped = devices.isDropped(program.getDevice());
    (isDropped ? dropped : left).push_back(program);
    if (isDropped)
      for (auto run : program.getBody().getOps<RunOp>())
        if (run.getStage())
          stages.drop(*run.getStage(), *run.getStage() + 1);
  }
  if (left.empty() ||
      (stages.getNumDropped() > 0 && failed(dropStages(pipeline, stages))))
    return failure();
  for (ProgramOp program : dropped) {
    for (auto send : llvm::to_vector(program.getBody().getOps<SendStartOp>()))
      if (failed(dropTransfer(send)))
        return failure();
    program.getBody().front().dropAllDefinedValueUses();
  }
  for (ProgramOp program : left) {
    for (auto send : llvm::to_vector(program.getBody().getOps<SendStartOp>()))
      if (devices.isDropped(send.getPeer()))
        eraseTransfer(send);
    for (Operation &op : program.getBody().getOps())
      devices.apply(&op, "peer");
    devices.apply(program, "device");
  }
  for (ProgramOp program : dropped)
    program.erase();
  return success();
}
