//===- PassBuffers.cpp - the buffers of a compiled pass -------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/PassBuffers.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace weir;

std::optional<ResidentKind> PassBuffer::getResidentKind() const {
  switch (kind) {
  case Kind::Parameter:
    return ResidentKind::Parameter;
  case Kind::Gradient:
    return ResidentKind::Gradient;
  case Kind::State:
    return ResidentKind::State;
  case Kind::Loss:
    return ResidentKind::Loss;
  case Kind::Count:
    return ResidentKind::Count;
  case Kind::LearningRate:
    return ResidentKind::LearningRate;
  case Kind::Step:
    return ResidentKind::Step;
  default:
    return std::nullopt;
  }
}

bool PassBuffer::isWritten(StagePassOpInterface pass) const {
  const bool isUpdate = isa<UpdateOp>(pass.getOperation());
  switch (kind) {
  case Kind::Operand:
  case Kind::LearningRate:
  case Kind::Step:
    return false;
  case Kind::Parameter:
    return isUpdate;
  case Kind::Gradient:
  case Kind::Count:
    return !isUpdate;
  case Kind::Result:
  case Kind::State:
  case Kind::Loss:
  case Kind::Workspace:
    return true;
  }
  llvm_unreachable("a kind of buffer");
}

int64_t PassBuffer::getBytes(StagePassOpInterface pass) const {
  return kind == Kind::Workspace ? pass.getWorkspaceBytes()
                                 : getValueBytes(type);
}

static void addUpdateBuffers(UpdateOp update,
                             SmallVectorImpl<PassBuffer> &buffers) {
  using Kind = PassBuffer::Kind;
  Block &body = update.getBodyBlock();
  unsigned argument = 0;
  auto add = [&](Kind kind, int64_t index, StringRef variable) {
    buffers.push_back(
        {kind, index, variable, body.getArgument(argument++).getType()});
  };
  add(Kind::Parameter, 0, update.getVariable());
  for (int64_t use = 0; use < static_cast<int64_t>(update.getUses()); ++use)
    add(Kind::Gradient, use, update.getVariable());
  for (int64_t state = 0, e = update.getStates().size(); state < e; ++state)
    add(Kind::State, state, update.getVariable());
  add(Kind::Count, 0, {});
  add(Kind::LearningRate, 0, {});
  add(Kind::Step, 0, {});
}

SmallVector<PassBuffer> weir::getPassBuffers(StagePassOpInterface pass) {
  using Kind = PassBuffer::Kind;
  SmallVector<PassBuffer> buffers;
  if (auto update = dyn_cast<UpdateOp>(pass.getOperation())) {
    addUpdateBuffers(update, buffers);
  } else {
    for (auto [index, type] : llvm::enumerate(pass->getOperandTypes()))
      buffers.push_back({Kind::Operand, int64_t(index), {}, type});
    for (auto [index, type] : llvm::enumerate(pass->getResultTypes()))
      buffers.push_back({Kind::Result, int64_t(index), {}, type});
    llvm::SetVector<StringRef> parameters;
    llvm::SetVector<std::pair<StringRef, int64_t>> gradients;
    llvm::DenseMap<StringRef, Type> types;
    ReportOp report;
    pass->walk([&](Operation *op) {
      if (auto read = dyn_cast<ReadOp>(op)) {
        parameters.insert(read.getVariable());
        types[read.getVariable()] = read.getType();
      } else if (auto accumulate = dyn_cast<AccumulateOp>(op)) {
        gradients.insert({accumulate.getVariable(),
                          static_cast<int64_t>(accumulate.getUse())});
        types[accumulate.getVariable()] = accumulate.getGradient().getType();
      } else if (auto op2 = dyn_cast<ReportOp>(op)) {
        report = op2;
      }
    });
    for (StringRef variable : parameters)
      buffers.push_back({Kind::Parameter, 0, variable, types[variable]});
    for (auto [variable, use] : gradients)
      buffers.push_back({Kind::Gradient, use, variable, types[variable]});
    if (report) {
      auto scalar =
          RankedTensorType::get({}, Float32Type::get(pass->getContext()));
      buffers.push_back({Kind::Loss, 0, {}, scalar});
      buffers.push_back({Kind::Count, 0, {}, scalar});
    }
  }
  if (pass.getWorkspaceBytes() > 0)
    buffers.push_back({Kind::Workspace, 0, {}, Type()});
  return buffers;
}
