//===- PipelineOps.cpp - pipelines, their passes, bundles -----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// Assembly that passes share: `(%a = %x : type, ...)`
//===----------------------------------------------------------------------===//

/// Parses `(%a = %x : type, ...)` into region arguments and operands.
static ParseResult
parseBindings(OpAsmParser &parser,
              SmallVectorImpl<OpAsmParser::Argument> &arguments,
              SmallVectorImpl<OpAsmParser::UnresolvedOperand> &operands,
              SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList(
      OpAsmParser::Delimiter::Paren, [&]() -> ParseResult {
        OpAsmParser::Argument &argument = arguments.emplace_back();
        if (parser.parseArgument(argument) || parser.parseEqual() ||
            parser.parseOperand(operands.emplace_back()) ||
            parser.parseColonType(argument.type))
          return failure();
        types.push_back(argument.type);
        return success();
      });
}

template <typename PassOp>
static ParseResult parseStagePass(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  int64_t stage = 0;
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Type> types, resultTypes;
  SMLoc loc;
  if (parser.parseInteger(stage) || parser.getCurrentLocation(&loc) ||
      parseBindings(parser, arguments, operands, types) ||
      parser.parseOptionalArrowTypeList(resultTypes) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes) ||
      parser.resolveOperands(operands, types, loc, result.operands))
    return failure();
  result.getOrAddProperties<typename PassOp::Properties>().stage =
      builder.getI64IntegerAttr(stage);
  result.addTypes(resultTypes);
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  PassOp::ensureTerminator(*body, builder, result.location);
  return success();
}

template <typename PassOp>
static void printStagePass(PassOp op, OpAsmPrinter &printer) {
  printer << ' ' << op.getStage() << " (";
  llvm::interleaveComma(llvm::zip(op.getBody().getArguments(), op.getInputs()),
                        printer, [&](auto pair) {
                          printer << std::get<0>(pair) << " = "
                                  << std::get<1>(pair) << " : "
                                  << std::get<1>(pair).getType();
                        });
  printer << ")";
  printer.printOptionalArrowTypeList(op.getResultTypes());
  printer.printOptionalAttrDictWithKeyword(op->getAttrs(), {"stage"});
  printer << ' ';
  printer.printRegion(op.getBody(), /*printEntryBlockArgs=*/false,
                      /*printBlockTerminators=*/true);
}

/// Checks what the lowering of a pass has set.
static LogicalResult verifyWorkspace(StagePassOpInterface pass) {
  constexpr int64_t maxBytes = int64_t(1) << 48;
  int64_t bytes = pass.getWorkspaceBytes();
  if (bytes <= maxBytes)
    return success();
  return pass->emitOpError("has a workspace of ") << bytes << " bytes";
}

template <typename PassOp> static LogicalResult verifyStagePass(PassOp op) {
  if (failed(verifyWorkspace(op)))
    return failure();
  Block &body = op.getBody().front();
  if (body.getArgumentTypes() != TypeRange(op.getInputs()))
    return op.emitOpError("has a body whose arguments differ from its inputs");
  auto yield = cast<YieldOp>(body.getTerminator());
  if (yield.getOperandTypes() != op.getResultTypes())
    return yield.emitOpError("gives other types than the pass it ends: ")
           << yield.getOperandTypes() << " against " << op.getResultTypes();
  WalkResult walk = op.getBody().walk([&](Operation *inner) {
    if (isa<AccumulateOp>(inner) && !isa<BackwardWeightOp>(op)) {
      inner->emitOpError("belongs in a backward_weight pass")
              .attachNote(op.getLoc())
          << "the pass it is in";
      return WalkResult::interrupt();
    }
    if (isa<ReportOp>(inner) && !isa<ForwardOp>(op)) {
      inner->emitOpError("belongs in a forward pass").attachNote(op.getLoc())
          << "the pass it is in";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

#define WEIR_STAGE_PASS(OP)                                                    \
  ParseResult OP::parse(OpAsmParser &parser, OperationState &result) {         \
    return parseStagePass<OP>(parser, result);                                 \
  }                                                                            \
  void OP::print(OpAsmPrinter &printer) { printStagePass(*this, printer); }    \
  LogicalResult OP::verifyRegions() { return verifyStagePass(*this); }

WEIR_STAGE_PASS(ForwardOp)
WEIR_STAGE_PASS(BackwardInputOp)
WEIR_STAGE_PASS(BackwardWeightOp)
#undef WEIR_STAGE_PASS

//===----------------------------------------------------------------------===//
// PipelineOp
//===----------------------------------------------------------------------===//

ParseResult PipelineOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  StringAttr name;
  int64_t stages = 0;
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<Attribute> inputs;
  auto parseInput = [&]() -> ParseResult {
    OpAsmParser::Argument &argument = arguments.emplace_back();
    std::string input;
    if (parser.parseArgument(argument) || parser.parseEqual() ||
        parser.parseString(&input) || parser.parseColonType(argument.type))
      return failure();
    inputs.push_back(builder.getStringAttr(input));
    return success();
  };
  if (parser.parseSymbolName(name) || parser.parseKeyword("stages") ||
      parser.parseInteger(stages) ||
      parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren,
                                     parseInput) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  auto &properties = result.getOrAddProperties<Properties>();
  properties.sym_name = name;
  properties.stages = builder.getI64IntegerAttr(stages);
  properties.inputs = builder.getArrayAttr(inputs);
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  if (body->empty())
    body->emplaceBlock();
  return success();
}

void PipelineOp::print(OpAsmPrinter &printer) {
  printer << ' ';
  printer.printSymbolName(getSymName());
  printer << " stages " << getStages() << " (";
  llvm::interleaveComma(llvm::zip(getBody().getArguments(), getInputs()),
                        printer, [&](auto pair) {
                          printer << std::get<0>(pair) << " = "
                                  << std::get<1>(pair) << " : "
                                  << std::get<0>(pair).getType();
                        });
  printer << ")";
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                           {"sym_name", "stages", "inputs"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

/// Checks that data inputs are tensors and told apart by their names.
static LogicalResult verifyInputs(PipelineOp pipeline) {
  if (pipeline.getInputs().size() != pipeline.getBody().getNumArguments())
    return pipeline.emitOpError("names ")
           << pipeline.getInputs().size() << " inputs but has "
           << pipeline.getBody().getNumArguments();
  llvm::StringSet<> names;
  for (auto [name, argument] :
       llvm::zip(pipeline.getInputs(), pipeline.getBody().getArguments())) {
    if (!isa<BundleType>(argument.getType()) &&
        !isBufferTensor(argument.getType()))
      return pipeline.emitOpError("has input ")
             << name << ", which no buffer can hold: " << argument.getType();
    if (!names.insert(cast<StringAttr>(name).getValue()).second)
      return pipeline.emitOpError("has two inputs of the name ") << name;
  }
  return success();
}

/// Checks that one pass gathers each gradient, for an update that takes it, and
/// that one pass reports.
static LogicalResult verifyAccumulators(PipelineOp pipeline) {
  llvm::StringMap<UpdateOp> updates;
  for (auto update : pipeline.getBody().getOps<UpdateOp>())
    updates[update.getVariable()] = update;
  DenseMap<std::pair<Attribute, Attribute>, Operation *> gathered;
  Operation *reported = nullptr;
  auto refuse = [](Operation *op, const Twine &what, Operation *other,
                   const Twine &which) {
    InFlightDiagnostic diag = op->emitOpError(what);
    diag.attachNote(other->getLoc()) << which;
    return WalkResult::interrupt();
  };
  WalkResult walk = pipeline.getBody().walk([&](Operation *op) {
    if (isa<ReportOp>(op)) {
      if (reported)
        return refuse(op, "is the second of the pipeline", reported,
                      "first one here");
      reported = op;
      return WalkResult::advance();
    }
    auto accumulate = dyn_cast<AccumulateOp>(op);
    if (!accumulate)
      return WalkResult::advance();
    auto [it, isNew] = gathered.try_emplace(
        {accumulate.getVariableAttr(), accumulate.getUseAttr()}, op);
    if (!isNew)
      return refuse(op, "adds to a gradient that is gathered already",
                    it->second, "gathered here");
    if (UpdateOp update = updates.lookup(accumulate.getVariable()))
      if (accumulate.getUse() >= update.getUses())
        return refuse(op, "is of a use that the update does not take", update,
                      "update here");
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

/// Whether `producer` has run before `pass` in every schedule. A microbatch
/// goes through F of stage 0, 1, ..., then through B of the last stage, ..., of
/// stage 0; W of a stage comes at any time after its B, and nothing waits for
/// it.
static bool runsBefore(StagePassOpInterface producer,
                       StagePassOpInterface pass) {
  int64_t from = producer.getStageNumber(), to = pass.getStageNumber();
  PassKind kind = pass.getPassKind();
  switch (producer.getPassKind()) {
  case PassKind::Forward:
    return kind != PassKind::Forward || from < to;
  case PassKind::BackwardInput:
    return kind == PassKind::BackwardInput    ? from > to
           : kind == PassKind::BackwardWeight ? from >= to
                                              : false;
  default:
    return false;
  }
}

/// Checks that a pass takes only what is there when it runs, and bundles only
/// of its own stage.
static LogicalResult verifyOperands(StagePassOpInterface pass) {
  for (Value operand : pass->getOperands()) {
    auto producer =
        dyn_cast_or_null<StagePassOpInterface>(operand.getDefiningOp());
    bool isBundle = isa<BundleType>(operand.getType());
    StringRef fault;
    if (isBundle &&
        (!producer || producer.getStageNumber() != pass.getStageNumber()))
      fault = "takes a bundle that another stage made";
    else if (producer && !runsBefore(producer, pass))
      fault = "takes a value of a pass that need not have run yet";
    if (fault.empty())
      continue;
    InFlightDiagnostic diag = pass->emitOpError(fault);
    if (producer)
      diag.attachNote(producer.getLoc()) << "value produced here";
    return diag;
  }
  return success();
}

LogicalResult PipelineOp::verifyRegions() {
  int64_t numStages = getStages();
  if (numStages < 1)
    return emitOpError("needs at least one stage");
  if (numStages > maxStages)
    return emitOpError("has ")
           << numStages << " stages, more than " << maxStages;
  if (failed(verifyInputs(*this)))
    return failure();
  // At most one pass of each kind per stage, F before B before W in every
  // stage, updates at the end.
  DenseMap<std::pair<int64_t, int>, Operation *> seen;
  llvm::StringMap<Operation *> updated;
  Operation *firstUpdate = nullptr;
  for (Operation &op : getBody().front()) {
    auto pass = dyn_cast<StagePassOpInterface>(op);
    if (!pass)
      return op.emitOpError("does not belong in a pipeline");
    if (auto update = dyn_cast<UpdateOp>(op)) {
      auto [it, isNew] = updated.try_emplace(update.getVariable(), update);
      if (!isNew) {
        InFlightDiagnostic diag =
            op.emitOpError("updates a variable that has an update already");
        diag.attachNote(it->second->getLoc()) << "first update here";
        return diag;
      }
      firstUpdate = firstUpdate ? firstUpdate : &op;
      continue;
    }
    if (firstUpdate) {
      InFlightDiagnostic diag = op.emitOpError("comes after an update");
      diag.attachNote(firstUpdate->getLoc()) << "first update here";
      return diag;
    }
    int64_t stage = pass.getStageNumber();
    int kind = static_cast<int>(pass.getPassKind());
    if (stage >= numStages)
      return op.emitOpError("is of stage ")
             << stage << ", but the pipeline has " << numStages << " stages";
    for (int later = kind; later <= static_cast<int>(PassKind::BackwardWeight);
         ++later) {
      auto it = seen.find({stage, later});
      if (it == seen.end())
        continue;
      InFlightDiagnostic diag = op.emitOpError()
                                << "of stage " << stage << " comes after "
                                << it->second->getName().getStringRef()
                                << " of the same stage";
      diag.attachNote(it->second->getLoc()) << "which is here";
      return diag;
    }
    seen[{stage, kind}] = &op;
  }
  for (auto pass : getBody().getOps<StagePassOpInterface>())
    if (failed(verifyOperands(pass)))
      return failure();
  return verifyAccumulators(*this);
}

//===----------------------------------------------------------------------===//
// UpdateOp
//===----------------------------------------------------------------------===//

ParseResult UpdateOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  FlatSymbolRefAttr variable;
  int64_t uses = 0;
  ArrayAttr states;
  SmallVector<OpAsmParser::Argument> arguments;
  if (parser.parseAttribute(variable) || parser.parseKeyword("uses") ||
      parser.parseInteger(uses) || parser.parseKeyword("states") ||
      parser.parseAttribute(states) ||
      parser.parseArgumentList(arguments, OpAsmParser::Delimiter::Paren,
                               /*allowType=*/true) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  auto &properties = result.getOrAddProperties<Properties>();
  properties.variable = variable;
  properties.uses = builder.getI64IntegerAttr(uses);
  properties.states = states;
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  ensureTerminator(*body, builder, result.location);
  return success();
}

void UpdateOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getVariableAttr() << " uses " << getUses() << " states "
          << getStates() << " (";
  llvm::interleaveComma(
      getBody().getArguments(), printer,
      [&](BlockArgument argument) { printer.printRegionArgument(argument); });
  printer << ")";
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                           {"variable", "uses", "states"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false,
                      /*printBlockTerminators=*/true);
}

LogicalResult UpdateOp::verifyRegions() {
  if (failed(verifyWorkspace(*this)))
    return failure();
  if (static_cast<int64_t>(getUses()) < 1)
    return emitOpError("needs at least one use of the variable");
  Block &body = getBody().front();
  size_t expected = 1 + getUses() + getStates().size() + 3;
  if (body.getNumArguments() != expected)
    return emitOpError("needs ")
           << expected << " arguments: the variable, " << getUses()
           << " gradients, " << getStates().size()
           << " states, count, learning rate and step; got "
           << body.getNumArguments();
  auto scalar = RankedTensorType::get({}, Float32Type::get(getContext()));
  for (BlockArgument argument : body.getArguments().take_back(3))
    if (argument.getType() != scalar)
      return emitOpError("needs count, learning rate and step of type ")
             << scalar << ", got " << argument.getType();
  Type type = body.getArgument(0).getType();
  for (BlockArgument argument : body.getArguments().drop_back(3))
    if (argument.getType() != type)
      return emitOpError("needs gradients and states of the variable's type ")
             << type << ", got " << argument.getType();
  auto yield = cast<YieldOp>(body.getTerminator());
  if (yield.getNumOperands() != 1 + getStates().size() ||
      !llvm::all_equal(yield.getOperandTypes()) ||
      yield.getOperand(0).getType() != type)
    return yield.emitOpError("must give the new variable and ")
           << getStates().size() << " states, each " << type;
  WalkResult walk = getBody().walk([&](Operation *inner) {
    if (!isa<ReadOp, AccumulateOp, ReportOp>(inner))
      return WalkResult::advance();
    inner->emitOpError("does not belong in an update, which has all it needs "
                       "as arguments");
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

LogicalResult UpdateOp::verifySymbolUses(SymbolTableCollection &tables) {
  return VariableOp::verifyUse(*this, getVariableAttr(),
                               getBody().getArgument(0).getType(), tables);
}

//===----------------------------------------------------------------------===//
// Bundles
//===----------------------------------------------------------------------===//

/// Checks that the members' types are those of the bundle.
static LogicalResult verifyMembers(Operation *op, TypeRange members,
                                   BundleType bundle) {
  if (members.size() == bundle.getMembers().size() &&
      llvm::equal(members, bundle.getMembers()))
    return success();
  return op->emitOpError("has members ")
         << members << " but the bundle is " << bundle;
}

LogicalResult PackOp::verify() {
  return verifyMembers(*this, getMembers().getTypes(), getBundle().getType());
}

LogicalResult UnpackOp::verify() {
  return verifyMembers(*this, getMembers().getTypes(), getBundle().getType());
}
