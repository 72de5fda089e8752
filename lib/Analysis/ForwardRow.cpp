//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/ForwardRow.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

#include <map>
#include <numeric>

using namespace mlir;
using namespace weir;

/// No op takes longer than this, so sums and squares stay finite.
static constexpr double maxSeconds = 1e100;

std::optional<int64_t> ForwardRow::findNumber(int64_t number) const {
  auto it = positionOf.find(number);
  return it == positionOf.end() ? std::nullopt : std::optional(it->second);
}

std::optional<int64_t> ForwardRow::findPosition(Operation *op) const {
  std::optional<int64_t> number = getInteger(op, attr::op);
  if (!number)
    number = getInteger(op, attr::adjointOf);
  return number ? findNumber(*number) : std::nullopt;
}

static LogicalResult readSeconds(Block &body, ForwardRow &row) {
  // Passes are told apart as `weir-split-backward` does it once there are
  // stages; that a few gradients only cross from stage to stage is not known.
  SmallVector<Operation *> gradients;
  for (Operation &op : body)
    if (op.hasAttr(attr::activationGradient))
      gradients.push_back(&op);
  DenseSet<Operation *> backwardInput = sliceBackward(gradients);
  RowCosts &costs = row.costs;
  for (Operation &op : body) {
    double time = getDouble(&op, attr::seconds);
    if (!(time >= 0.0 && time <= maxSeconds))
      return op.emitOpError("takes ")
             << time << " seconds; a duration is 0 to " << maxSeconds;
    std::optional<int64_t> position = row.findPosition(&op);
    if (!position)
      continue;
    costs.secondsBefore[*position + 1] += time;
    if (isForwardOp(&op))
      costs.forwardBefore[*position + 1] += time;
    else if (!backwardInput.contains(&op))
      costs.weightBefore[*position + 1] += time;
  }
  for (std::vector<double> *sums :
       {&costs.secondsBefore, &costs.forwardBefore, &costs.weightBefore})
    std::partial_sum(sums->begin(), sums->end(), sums->begin());
  return success();
}

/// Who needs what the operation at `position` makes.
static void readUses(ForwardRow &row, int64_t position) {
  for (Value result : row.ops[position]->getResults()) {
    auto type = dyn_cast<RankedTensorType>(result.getType());
    if (!type || isReshape(row.ops[position]))
      continue;
    SmallVector<int64_t> readers, keepers;
    SmallVector<Value> views{result};
    while (!views.empty())
      for (Operation *user : views.pop_back_val().getUsers()) {
        if (isReshape(user)) {
          views.push_back(user->getResult(0));
          continue;
        }
        std::optional<int64_t> reader = row.findPosition(user);
        if (!reader)
          continue;
        readers.push_back(*reader);
        if (!isForwardOp(user))
          keepers.push_back(*reader);
      }
    int64_t bytes = getTensorBytes(type);
    llvm::sort(readers);
    llvm::sort(keepers);
    row.costs.received.add(readers, bytes, position);
    row.costs.kept.add(keepers, bytes);
  }
}

static void readVariables(ForwardRow &row, int64_t stateTensors) {
  struct Variable {
    int64_t bytes = 0;
    SmallVector<int64_t, 2> positions;
  };
  llvm::MapVector<StringRef, Variable> variables;
  for (auto [position, op] : llvm::enumerate(row.ops)) {
    int64_t gradients = 0;
    SmallVector<Operation *> users{op};
    while (!users.empty())
      for (Value operand : users.pop_back_val()->getOperands()) {
        Operation *producer = operand.getDefiningOp();
        if (!producer || !isRepeated(producer))
          continue;
        users.push_back(producer);
        auto read = dyn_cast<ReadOp>(producer);
        if (!read)
          continue;
        Variable &variable = variables[read.getVariable()];
        variable.bytes = getTensorBytes(cast<RankedTensorType>(read.getType()));
        variable.positions.push_back(position);
        gradients += variable.bytes;
      }
    row.costs.gradientsBefore[position + 1] =
        row.costs.gradientsBefore[position] + gradients;
  }
  for (auto &[name, variable] : variables) {
    int64_t bytes = variable.bytes * (1 + stateTensors);
    row.costs.variables.add(variable.positions, bytes);
    if (variable.positions.size() > 1)
      row.costs.shared.push_back({bytes, variable.positions});
  }
}

std::unique_ptr<ForwardRow> weir::readForwardRow(func::FuncOp joint,
                                                 int64_t stateTensors) {
  Block &body = joint.getBody().front();
  SmallVector<Operation *> ops;
  for (Operation &op : body)
    if (getInteger(&op, attr::op) && !isRepeated(&op))
      ops.push_back(&op);
  auto row = std::make_unique<ForwardRow>(ops.size());
  row->ops = std::move(ops);
  for (auto [position, op] : llvm::enumerate(row->ops)) {
    int64_t number = *getInteger(op, attr::op);
    auto [it, isNew] = row->positionOf.try_emplace(number, position);
    if (isNew)
      continue;
    InFlightDiagnostic diag = op->emitOpError("has the number ")
                              << number << " of another op";
    diag.attachNote(row->ops[it->second]->getLoc()) << "the other op is here";
    return nullptr;
  }
  if (failed(readSeconds(body, *row)))
    return nullptr;
  for (int64_t i = 0; i < row->costs.size(); ++i)
    readUses(*row, i);
  readVariables(*row, stateTensors);
  return row;
}

//===----------------------------------------------------------------------===//
// Marks
//===----------------------------------------------------------------------===//

namespace {

/// A mark of the user: where, and the number that it has, if it has one.
struct Mark {
  Operation *op;
  int64_t position;
  std::optional<int64_t> number;
};

} // namespace

static FailureOr<SmallVector<Mark>>
readMarks(func::FuncOp joint, const ForwardRow &row, StringRef name) {
  SmallVector<Mark> marks;
  std::map<int64_t, Operation *> marked; // any number may be given
  for (Operation &op : joint.getBody().front()) {
    Attribute mark = op.getAttr(name);
    if (!mark)
      continue;
    std::optional<int64_t> position = row.findPosition(&op);
    if (!position || !isForwardOp(&op))
      return op.emitOpError("is marked ")
             << name
             << ", but every stage that needs it has its own copy; mark "
                "the first op that computes";
    std::optional<int64_t> number = getInteger(&op, name);
    if (number) {
      auto [it, isNew] = marked.try_emplace(*number, &op);
      if (!isNew) {
        InFlightDiagnostic diag = op.emitOpError("is marked ")
                                  << name << " = " << *number
                                  << ", as another op is";
        diag.attachNote(it->second->getLoc()) << "the other op is here";
        return diag;
      }
    }
    marks.push_back({&op, *position, number});
  }
  return marks;
}

/// Refuses a mark whose number is not above that of the one before it.
static LogicalResult checkOrder(ArrayRef<Mark> marks, StringRef name) {
  const Mark *last = nullptr;
  for (const Mark &mark : marks) {
    if (!mark.number)
      continue;
    if (last && *mark.number < *last->number) {
      InFlightDiagnostic diag = mark.op->emitOpError("is marked ")
                                << name << " = " << *mark.number
                                << ", behind a larger number";
      diag.attachNote(last->op->getLoc())
          << "marked " << *last->number << " here";
      return diag;
    }
    last = &mark;
  }
  return success();
}

FailureOr<SmallVector<StageMark>> weir::readStageMarks(func::FuncOp joint,
                                                       const ForwardRow &row,
                                                       int64_t stages) {
  FailureOr<SmallVector<Mark>> marks = readMarks(joint, row, attr::stageBegin);
  if (failed(marks) || failed(checkOrder(*marks, attr::stageBegin)))
    return failure();
  SmallVector<StageMark> result;
  int64_t stage = 0;
  for (const Mark &mark : *marks) {
    // Stage 0 begins at the first op, marked or not.
    if (mark.position == 0 && mark.number.value_or(0) == 0)
      continue;
    if (mark.number && (mark.position == 0 || *mark.number == 0))
      return mark.op->emitOpError("is marked as the beginning of stage ")
             << *mark.number
             << ", but stage 0 begins at the first op of the model and the "
                "stages after it at marks 1, 2, ...";
    ++stage;
    if (mark.number && *mark.number < stage)
      return mark.op->emitOpError("is marked as the beginning of stage ")
             << *mark.number << ", but the marks before it count up to stage "
             << stage - 1;
    stage = mark.number.value_or(stage);
    if (stage >= stages)
      return mark.op->emitOpError("is marked as the beginning of stage ")
             << stage
             << (mark.number ? "" : ", by the number of the marks before it")
             << ", but the model is cut into " << stages << " stages";
    result.push_back({mark.position, mark.number.value_or(-1)});
  }
  return result;
}

FailureOr<SmallVector<int64_t>> weir::readLayers(func::FuncOp joint,
                                                 const ForwardRow &row) {
  FailureOr<SmallVector<Mark>> marks = readMarks(joint, row, attr::layer);
  if (failed(marks) || failed(checkOrder(*marks, attr::layer)))
    return failure();
  if (marks->empty())
    return joint.emitError("cannot count layers: no op is marked weir.layer");
  SmallVector<int64_t> layers;
  for (const Mark &mark : *marks) {
    if (*mark.number != static_cast<int64_t>(layers.size()))
      return mark.op->emitOpError("is marked weir.layer = ")
             << *mark.number
             << ", but no op is marked weir.layer = " << layers.size();
    layers.push_back(mark.position);
  }
  return layers;
}
