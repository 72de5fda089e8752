//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reduction.h"

using namespace mlir;
using namespace weir;

std::optional<int64_t> weir::getNumber(Operation *op, StringRef name) {
  if (auto attribute = op->getAttrOfType<IntegerAttr>(name))
    return attribute.getInt();
  return std::nullopt;
}

void Renumbering::drop(int64_t begin, int64_t end) {
  end = std::min(end, count);
  if (begin >= end)
    return;
  auto touches = [&](std::pair<int64_t, int64_t> range) {
    return range.first <= end && begin <= range.second;
  };
  for (auto range : dropped)
    if (touches(range)) {
      begin = std::min(begin, range.first);
      end = std::max(end, range.second);
    }
  llvm::erase_if(dropped, touches);
  dropped.emplace_back(begin, end);
}

int64_t Renumbering::numDroppedBefore(int64_t number) const {
  int64_t sum = 0;
  for (auto [begin, end] : dropped)
    sum += std::clamp(number, begin, end) - begin;
  return sum;
}

void Renumbering::apply(Operation *op, StringRef attribute) const {
  if (std::optional<int64_t> number = getNumber(op, attribute))
    op->setAttr(attribute,
                Builder(op->getContext()).getI64IntegerAttr((*this)(*number)));
}

//===----------------------------------------------------------------------===//
// Ops of the module
//===----------------------------------------------------------------------===//

static size_t countOps(ModuleOp module) {
  return llvm::range_size(module.getOps());
}

static LogicalResult removeOps(ModuleOp module, size_t begin, size_t end) {
  SmallVector<Operation *> ops;
  for (Operation &op : module.getOps())
    ops.push_back(&op);
  bool changed = false;
  for (Operation *op : llvm::reverse(ArrayRef(ops).slice(begin, end - begin)))
    if (!isa<SymbolOpInterface>(op) ||
        SymbolTable::symbolKnownUseEmpty(op, module)) {
      op->erase();
      changed = true;
    }
  return success(changed);
}

//===----------------------------------------------------------------------===//
// Microbatches, stages and devices
//===----------------------------------------------------------------------===//

static int64_t getNumStages(ScheduleProblemOp problem) {
  return llvm::range_size(problem.getBody().getOps<ScheduleStageOp>());
}

/// The largest number of the devices of programs is the one before.
static int64_t getNumDevices(PipelineOp pipeline) {
  int64_t number = 0;
  for (auto program : pipeline->getParentOfType<ModuleOp>().getOps<ProgramOp>())
    if (program.getPipeline() == pipeline.getSymName())
      number = std::max(number, int64_t(program.getDevice()) + 1);
  return number;
}

static int64_t getNumMicrobatches(ModuleOp module) {
  int64_t number = 0;
  for (Operation &op : module.getOps())
    number = std::max(number, getNumber(&op, "microbatches").value_or(0));
  return number;
}

static size_t countMicrobatches(ModuleOp module) {
  return getNumMicrobatches(module);
}

static LogicalResult removeMicrobatches(ModuleOp module, size_t begin,
                                        size_t end) {
  Renumbering microbatches(getNumMicrobatches(module));
  microbatches.drop(begin, end);
  if (microbatches.getNumLeft() == 0)
    return failure();
  SmallVector<Operation *> dropped;
  for (Operation &op : module.getOps()) {
    if (std::optional<int64_t> number = getNumber(&op, "microbatches")) {
      Renumbering own(*number);
      own.drop(begin, end);
      if (own.getNumLeft() == 0)
        return failure();
      op.setAttr(
          "microbatches",
          Builder(module.getContext()).getI64IntegerAttr(own.getNumLeft()));
    }
    if (!isa<ProgramOp, ScheduleSolutionOp>(op))
      continue;
    op.walk([&](Operation *action) {
      std::optional<int64_t> number = getNumber(action, "microbatch");
      if (number && microbatches.isDropped(*number))
        dropped.push_back(action);
      else
        microbatches.apply(action, "microbatch");
    });
  }
  eraseWithDependents(module, dropped);
  return success();
}

/// Applies `drop` to all pipelines, and `dropOfProblem` to all problems, that
/// have some of the parts.
template <typename OpT>
static LogicalResult forEach(ModuleOp module, size_t begin, size_t end,
                             int64_t (*count)(OpT),
                             LogicalResult (*drop)(OpT, const Renumbering &)) {
  for (OpT op : llvm::to_vector(module.getOps<OpT>())) {
    Renumbering numbers(count(op));
    numbers.drop(begin, end);
    if (numbers.getNumDropped() > 0 && failed(drop(op, numbers)))
      return failure();
  }
  return success();
}

template <typename OpT>
static size_t countMost(ModuleOp module, int64_t (*count)(OpT)) {
  int64_t most = 0;
  for (OpT op : module.getOps<OpT>())
    most = std::max(most, count(op));
  return most;
}

static int64_t getNumStages(PipelineOp pipeline) {
  return pipeline.getStages();
}

static int64_t getNumDevices(ScheduleProblemOp problem) {
  return problem.getDevices();
}

static size_t countStages(ModuleOp module) {
  return std::max(countMost<PipelineOp>(module, getNumStages),
                  countMost<ScheduleProblemOp>(module, getNumStages));
}

static LogicalResult removeStages(ModuleOp module, size_t begin, size_t end) {
  return success(succeeded(forEach<PipelineOp>(module, begin, end, getNumStages,
                                               dropStages)) &&
                 succeeded(forEach<ScheduleProblemOp>(
                     module, begin, end, getNumStages, dropStages)));
}

static size_t countDevices(ModuleOp module) {
  return std::max(countMost<PipelineOp>(module, getNumDevices),
                  countMost<ScheduleProblemOp>(module, getNumDevices));
}

static LogicalResult removeDevices(ModuleOp module, size_t begin, size_t end) {
  return success(succeeded(forEach<PipelineOp>(module, begin, end,
                                               getNumDevices, dropDevices)) &&
                 succeeded(forEach<ScheduleProblemOp>(
                     module, begin, end, getNumDevices, dropDevices)));
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

static size_t countVariables(ModuleOp module) {
  return llvm::range_size(module.getOps<VariableOp>());
}

static LogicalResult removeVariables(ModuleOp module, size_t begin,
                                     size_t end) {
  auto variables = llvm::to_vector(module.getOps<VariableOp>());
  for (VariableOp variable : ArrayRef(variables).slice(begin, end - begin))
    dropVariable(variable);
  return success();
}

//===----------------------------------------------------------------------===//
// Transfers
//===----------------------------------------------------------------------===//

static SmallVector<SendStartOp> getSends(ModuleOp module) {
  SmallVector<SendStartOp> sends;
  for (auto program : module.getOps<ProgramOp>())
    llvm::append_range(sends, program.getBody().getOps<SendStartOp>());
  return sends;
}

static size_t countTransfers(ModuleOp module) {
  return getSends(module).size();
}

static LogicalResult removeTransfers(ModuleOp module, size_t begin,
                                     size_t end) {
  SmallVector<SendStartOp> sends = getSends(module);
  bool changed = false;
  for (SendStartOp send : ArrayRef(sends).slice(begin, end - begin))
    changed |= succeeded(dropTransfer(send));
  return success(changed);
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

/// Attributes of scheduling problems and solutions that can be left out.
static SmallVector<std::pair<Operation *, StringRef>>
getCosts(ModuleOp module) {
  static constexpr StringLiteral names[] = {
      "latency",    "bandwidth", "limit",    "fixed",
      "recompute",  "backward",  "update",   "gradient_reduction",
      "activation", "kept",      "released", "taken",
      "workspace",  "makespan",  "span",     "forward_transfer",
      "bound",      "peaks",     "start",    "backward_transfer",
      "end"};
  SmallVector<std::pair<Operation *, StringRef>> costs;
  for (Operation &top : module.getOps())
    if (isa<ScheduleProblemOp, ScheduleSolutionOp>(top))
      top.walk([&](Operation *op) {
        for (StringRef name : names)
          if (op->getAttr(name))
            costs.emplace_back(op, name);
      });
  return costs;
}

static size_t countCosts(ModuleOp module) { return getCosts(module).size(); }

static LogicalResult removeCosts(ModuleOp module, size_t begin, size_t end) {
  auto costs = getCosts(module);
  for (auto [op, name] : ArrayRef(costs).slice(begin, end - begin))
    op->removeAttr(name);
  return success();
}

ArrayRef<Reduction> weir::getReductions() {
  static constexpr Reduction reductions[] = {
      {"ops", countOps, removeOps},
      {"microbatches", countMicrobatches, removeMicrobatches},
      {"devices", countDevices, removeDevices},
      {"stages", countStages, removeStages},
      {"variables", countVariables, removeVariables},
      {"transfers", countTransfers, removeTransfers},
      {"values", countValues, shortcutValues},
      {"zeros", countValues, zeroValues},
      {"costs", countCosts, removeCosts},
  };
  return reductions;
}
