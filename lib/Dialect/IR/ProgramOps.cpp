//===- ProgramOps.cpp - programs of devices -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace weir;

LogicalResult ProgramOp::verify() {
  if (getMicrobatches() < 1)
    return emitOpError("needs at least one microbatch");
  bool actions = false;
  for (Operation &op : getBody().front()) {
    if (!isa<ResidentOp, LoadOp, RunOp, SendStartOp, RecvStartOp, WaitOp>(op))
      return op.emitOpError("does not belong in a program");
    if (!isa<ResidentOp>(op))
      actions = true;
    else if (actions)
      return op.emitOpError("must come before all actions of the program");
  }
  return success();
}

LogicalResult ProgramOp::verifySymbolUses(SymbolTableCollection &tables) {
  if (!tables.lookupNearestSymbolFrom<PipelineOp>(*this, getPipelineAttr()))
    return emitOpError("names no pipeline: ") << getPipelineAttr();
  return success();
}

/// Checks that a planned op has an offset for its one buffer.
static LogicalResult verifyOffset(Operation *op,
                                  std::optional<ArrayRef<int64_t>> offsets) {
  if (!offsets || offsets->size() == 1)
    return success();
  return op->emitOpError("has ")
         << offsets->size() << " offsets for one buffer";
}

LogicalResult ResidentOp::verify() {
  bool needsVariable = getKind() == ResidentKind::Parameter ||
                       getKind() == ResidentKind::Gradient ||
                       getKind() == ResidentKind::State;
  if (needsVariable != getVariable().has_value())
    return emitOpError() << stringifyResidentKind(getKind())
                         << (needsVariable ? " needs a variable"
                                           : " takes no variable");
  bool needsIndex =
      getKind() == ResidentKind::Gradient || getKind() == ResidentKind::State;
  if (needsIndex != getIndex().has_value())
    return emitOpError() << stringifyResidentKind(getKind())
                         << (needsIndex ? " needs an index"
                                        : " takes no index");
  auto scalar = RankedTensorType::get({}, Float32Type::get(getContext()));
  if (!needsVariable && getType() != scalar)
    return emitOpError() << stringifyResidentKind(getKind()) << " is a "
                         << scalar << ", got " << getType();
  return verifyOffset(*this, getOffsets());
}

LogicalResult ResidentOp::verifySymbolUses(SymbolTableCollection &tables) {
  if (!getVariable())
    return success();
  return VariableOp::verifyUse(*this, getVariableAttr(), getType(), tables);
}

LogicalResult LoadOp::verify() { return verifyOffset(*this, getOffsets()); }

LogicalResult RecvStartOp::verify() {
  return verifyOffset(*this, getOffsets());
}

LogicalResult WaitOp::verify() {
  auto receiving = dyn_cast<ReceivingType>(getToken().getType());
  if (!receiving)
    return getResult() ? emitOpError("for a send gives no tensor") : success();
  if (!getResult() || getResult().getType() != receiving.getTensor())
    return emitOpError("for a receive gives a ") << receiving.getTensor();
  return success();
}

//===----------------------------------------------------------------------===//
// RunOp
//
//   weir.run forward 0 microbatch 3 (%x) : (T) -> (T, B)
//   weir.run backward 0 microbatch 3 (%g, %k) : (T, B) -> (T) between (B)
//   weir.run update @w (%g, %n) : (T, T) -> ()
//===----------------------------------------------------------------------===//

ParseResult RunOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  auto &properties = result.getOrAddProperties<Properties>();
  StringRef keyword;
  SMLoc loc;
  if (parser.getCurrentLocation(&loc) || parser.parseKeyword(&keyword))
    return failure();
  std::optional<PassKind> kind = symbolizePassKind(keyword);
  if (!kind)
    return parser.emitError(loc, "unknown pass '") << keyword << "'";
  properties.pass = PassKindAttr::get(parser.getContext(), *kind);
  FlatSymbolRefAttr variable;
  OptionalParseResult hasVariable =
      parser.parseOptionalAttribute(variable, Type());
  if (hasVariable.has_value()) {
    if (failed(*hasVariable))
      return failure();
    properties.variable = variable;
  } else {
    int64_t stage = 0, microbatch = 0;
    if (parser.parseInteger(stage) || parser.parseKeyword("microbatch") ||
        parser.parseInteger(microbatch))
      return failure();
    properties.stage = builder.getI64IntegerAttr(stage);
    properties.microbatch = builder.getI64IntegerAttr(microbatch);
  }
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  FunctionType type;
  SmallVector<Type> between;
  if (parser.getCurrentLocation(&loc) ||
      parser.parseOperandList(operands, OpAsmParser::Delimiter::Paren))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("at"))) {
    SmallVector<int64_t> offsets;
    auto parseOffset = [&] {
      return parser.parseInteger(offsets.emplace_back());
    };
    if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square,
                                       parseOffset))
      return failure();
    properties.offsets = builder.getDenseI64ArrayAttr(offsets);
  }
  if (succeeded(parser.parseOptionalKeyword("scratch"))) {
    int64_t scratch = 0;
    if (parser.parseInteger(scratch))
      return failure();
    properties.scratch = builder.getI64IntegerAttr(scratch);
  }
  if (parser.parseOptionalAttrDict(result.attributes) ||
      parser.parseColonType(type))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("between"))) {
    auto parseBetween = [&] {
      return parser.parseType(between.emplace_back());
    };
    if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren,
                                       parseBetween))
      return failure();
  }
  if (parser.resolveOperands(operands, type.getInputs(), loc, result.operands))
    return failure();
  result.addTypes(type.getResults());
  result.addTypes(between);
  properties.resultSegmentSizes = {static_cast<int32_t>(type.getNumResults()),
                                   static_cast<int32_t>(between.size())};
  return success();
}

void RunOp::print(OpAsmPrinter &printer) {
  printer << ' ' << stringifyPassKind(getPass()) << ' ';
  if (getVariable())
    printer << getVariableAttr() << ' ';
  else
    printer << getStage().value_or(0) << " microbatch "
            << getMicrobatch().value_or(0) << ' ';
  printer << '(' << getInputs() << ')';
  if (getOffsets()) {
    printer << " at [";
    llvm::interleaveComma(*getOffsets(), printer);
    printer << ']';
  }
  if (getScratch())
    printer << " scratch " << *getScratch();
  printer.printOptionalAttrDict((*this)->getAttrs(),
                                {"pass", "stage", "variable", "microbatch",
                                 "offsets", "scratch", "resultSegmentSizes"});
  printer << " : ";
  printer.printFunctionalType(getInputs().getTypes(), getOutputs().getTypes());
  if (!getBetween().empty())
    printer << " between (" << getBetween().getTypes() << ')';
}

LogicalResult RunOp::verify() {
  if (getPass() == PassKind::Recompute)
    return emitOpError("of recompute has no pass in a pipeline");
  bool update = getPass() == PassKind::Update;
  if (update != getVariable().has_value())
    return emitOpError(update ? "of an update needs a variable"
                              : "of a stage's pass takes no variable");
  if (!update && (!getStage() || !getMicrobatch()))
    return emitOpError("of a stage's pass needs a stage and a microbatch");
  if (update && (getStage() || getMicrobatch()))
    return emitOpError("of an update takes no stage and no microbatch");
  if (update && getNumResults() != 0)
    return emitOpError("of an update gives no values");
  if (!getBetween().empty() && getPass() != PassKind::Backward)
    return emitOpError("has values between passes but is no fused backward");
  if (getOffsets() && getOffsets()->size() != getNumResults())
    return emitOpError("has ") << getOffsets()->size() << " offsets for "
                               << getNumResults() << " results";
  return success();
}
