//===- ScheduleOps.cpp - scheduling problems and their solutions ----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rules of problems and schedules are those of the scheduling library; here
// they only find the op at fault. Whether an order can run is for a pass to
// say.
//
//===----------------------------------------------------------------------===//

#include "ScheduleAssembly.h"

#include "weir/Schedule/Simulation.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringExtras.h"

#include <charconv>
#include <cmath>
#include <map>

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// Assembly
//===----------------------------------------------------------------------===//

ParseResult weir::parseNumbers(OpAsmParser &parser, ArrayRef<StringRef> words,
                               ArrayRef<FloatAttr *> numbers) {
  for (auto [word, number] : llvm::zip(words, numbers)) {
    if (failed(parser.parseOptionalKeyword(word)))
      continue;
    double value = 0;
    if (parser.parseFloat(value))
      return failure();
    *number = parser.getBuilder().getF64FloatAttr(value);
  }
  return success();
}

void weir::printNumbers(OpAsmPrinter &printer, ArrayRef<StringRef> words,
                        ArrayRef<FloatAttr> numbers) {
  for (auto [word, number] : llvm::zip(words, numbers)) {
    if (!number)
      continue;
    printer << ' ' << word << ' ';
    double value = number.getValueAsDouble();
    if (!std::isfinite(value)) {
      printer << "0x"
              << llvm::utohexstr(
                     number.getValue().bitcastToAPInt().getZExtValue());
      continue;
    }
    char digits[64];
    char *end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    StringRef text(digits, end - digits);
    // A number of the assembly has a point.
    if (text.contains('.')) {
      printer << text;
    } else {
      auto [mantissa, exponent] = text.split('e');
      printer << mantissa << ".0";
      if (!exponent.empty())
        printer << 'e' << exponent;
    }
  }
}

static constexpr StringRef durationWords[] = {
    "forward",  "recompute", "backward_input",    "backward_weight",
    "backward", "update",    "gradient_reduction"};

ParseResult weir::parseInteger(OpAsmParser &parser, IntegerAttr &integer) {
  int64_t value = 0;
  if (parser.parseInteger(value))
    return failure();
  integer = parser.getBuilder().getI64IntegerAttr(value);
  return success();
}

ParseResult weir::parseDeviceAndDurations(
    OpAsmParser &parser, IntegerAttr &device, FloatAttr &forward,
    FloatAttr &recompute, FloatAttr &backwardInput, FloatAttr &backwardWeight,
    FloatAttr &backward, FloatAttr &update, FloatAttr &gradientReduction) {
  if (parseInteger(parser, device))
    return failure();
  SMLoc loc = parser.getCurrentLocation();
  if (parseNumbers(parser, durationWords,
                   {&forward, &recompute, &backwardInput, &backwardWeight,
                    &backward, &update, &gradientReduction}))
    return failure();
  if (!forward)
    return parser.emitError(loc, "expected 'forward' and its duration");
  return success();
}

void weir::printDeviceAndDurations(OpAsmPrinter &printer, Operation *,
                                   IntegerAttr device, FloatAttr forward,
                                   FloatAttr recompute, FloatAttr backwardInput,
                                   FloatAttr backwardWeight, FloatAttr backward,
                                   FloatAttr update,
                                   FloatAttr gradientReduction) {
  printer << device.getInt();
  printNumbers(printer, durationWords,
               {forward, recompute, backwardInput, backwardWeight, backward,
                update, gradientReduction});
}

ParseResult weir::parseStageAndTimes(OpAsmParser &parser, IntegerAttr &stage,
                                     IntegerAttr &microbatch, FloatAttr &start,
                                     FloatAttr &end) {
  if (parseInteger(parser, stage))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("microbatch")) &&
      parseInteger(parser, microbatch))
    return failure();
  return parseNumbers(parser, {"at", "to"}, {&start, &end});
}

void weir::printStageAndTimes(OpAsmPrinter &printer, Operation *,
                              IntegerAttr stage, IntegerAttr microbatch,
                              FloatAttr start, FloatAttr end) {
  printer << stage.getInt();
  if (microbatch)
    printer << " microbatch " << microbatch.getInt();
  printNumbers(printer, {"at", "to"}, {start, end});
}

ParseResult weir::parsePassName(OpAsmParser &parser, PassKindAttr &kind) {
  StringRef keyword;
  SMLoc loc;
  if (parser.getCurrentLocation(&loc) || parser.parseKeyword(&keyword))
    return failure();
  std::optional<PassKind> value = symbolizePassKind(keyword);
  if (!value)
    return parser.emitError(loc, "unknown pass '") << keyword << "'";
  kind = PassKindAttr::get(parser.getContext(), *value);
  return success();
}

void weir::printPassName(OpAsmPrinter &printer, Operation *,
                         PassKindAttr kind) {
  printer << stringifyPassKind(kind.getValue());
}

//===----------------------------------------------------------------------===//
// The parts of a problem
//===----------------------------------------------------------------------===//

schedule::PassKind weir::toSchedule(PassKind kind) {
  return static_cast<schedule::PassKind>(static_cast<int>(kind));
}

PassKind weir::fromSchedule(schedule::PassKind kind) {
  return static_cast<PassKind>(static_cast<int>(kind));
}

// Both enumerations list forward, backward_input, backward_weight, backward,
// update, recompute in this order.
static_assert(static_cast<int>(PassKind::BackwardWeight) ==
                  static_cast<int>(schedule::PassKind::BackwardWeight) &&
              static_cast<int>(PassKind::Backward) ==
                  static_cast<int>(schedule::PassKind::Backward) &&
              static_cast<int>(PassKind::Update) ==
                  static_cast<int>(schedule::PassKind::Update) &&
              static_cast<int>(PassKind::Recompute) ==
                  static_cast<int>(schedule::PassKind::Recompute));

static std::optional<double> toNumber(std::optional<APFloat> value) {
  if (!value)
    return std::nullopt;
  return value->convertToDouble();
}

/// An int that no device, stage or microbatch of a problem that checks has,
/// where `value` is out of range.
static int toIndex(int64_t value) {
  return value < 0 || value > std::numeric_limits<int>::max()
             ? std::numeric_limits<int>::max()
             : static_cast<int>(value);
}

static schedule::Link makeLink(std::optional<APFloat> latency,
                               std::optional<APFloat> bandwidth) {
  schedule::Link link;
  link.latency = toNumber(latency).value_or(link.latency);
  link.bandwidth = toNumber(bandwidth).value_or(link.bandwidth);
  return link;
}

schedule::Link ScheduleLinkOp::getLink() {
  return makeLink(getLatency(), getBandwidth());
}

schedule::Stage ScheduleStageOp::getStage() {
  schedule::Stage stage;
  stage.forward = getForward().convertToDouble();
  stage.recompute = toNumber(getRecompute());
  stage.hasBackwardInput = getBackwardInput().has_value();
  stage.backwardInput = toNumber(getBackwardInput()).value_or(0);
  stage.hasBackwardWeight = getBackwardWeight().has_value();
  stage.backwardWeight = toNumber(getBackwardWeight()).value_or(0);
  stage.backward = toNumber(getBackward());
  stage.update = toNumber(getUpdate()).value_or(0);
  stage.gradientReduction = toNumber(getGradientReduction()).value_or(0);
  stage.activationBytes = getActivation().value_or(0);
  stage.keptForRecompute = getKept().value_or(0);
  stage.releasedByBackwardInput = getReleased().value_or(0);
  stage.takenByBackwardInput = getTaken().value_or(0);
  stage.forwardTransferBytes = getForwardTransfer().value_or(0);
  stage.backwardTransferBytes = getBackwardTransfer().value_or(0);
  if (DictionaryAttr workspace = getWorkspaceAttr())
    for (NamedAttribute entry : workspace)
      stage.workspaceBytes[static_cast<size_t>(*symbolizePassKind(
          entry.getName()))] = cast<IntegerAttr>(entry.getValue()).getInt();
  return stage;
}

/// A problem of nothing but `stage`.
static schedule::Problem makeProblem(schedule::Stage stage) {
  schedule::Problem problem;
  problem.stages = {std::move(stage)};
  problem.placement = {0};
  return problem;
}

LogicalResult ScheduleStageOp::verify() {
  if (DictionaryAttr workspace = getWorkspaceAttr())
    for (NamedAttribute entry : workspace)
      if (!symbolizePassKind(entry.getName()) ||
          !isa<IntegerAttr>(entry.getValue()) ||
          !cast<IntegerAttr>(entry.getValue()).getType().isSignlessInteger(64))
        return emitOpError(
                   "has a workspace that is not the i64 bytes of a pass: ")
               << entry.getName() << " = " << entry.getValue();
  if (auto error = makeProblem(getStage()).check()) {
    StringRef text(*error);
    text.consume_front("stage 0 ");
    return emitOpError() << text;
  }
  return success();
}

LogicalResult ScheduleLinkOp::verify() {
  schedule::Problem problem = makeProblem({});
  int from = toIndex(getFrom()), to = toIndex(getTo());
  problem.numDevices =
      std::clamp(std::max(from, to), 0, schedule::kMaxDevices - 1) + 1;
  problem.links[{from, to}] = getLink();
  if (auto error = problem.check())
    return emitOpError() << "is wrong: " << *error;
  return success();
}

//===----------------------------------------------------------------------===//
// ScheduleProblemOp
//===----------------------------------------------------------------------===//

/// The first `numStages` stages of `op`, with everything else.
static schedule::Problem
readProblem(ScheduleProblemOp op,
            int64_t numStages = std::numeric_limits<int64_t>::max()) {
  schedule::Problem problem;
  problem.numDevices = toIndex(op.getDevices());
  problem.numMicrobatches = toIndex(op.getMicrobatches());
  problem.defaultLink = makeLink(op.getLatency(), op.getBandwidth());
  Block &body = op.getBody().front();
  for (auto stage : body.getOps<ScheduleStageOp>()) {
    if (problem.numStages() >= numStages)
      break;
    problem.stages.push_back(stage.getStage());
    problem.placement.push_back(toIndex(stage.getDevice()));
  }
  for (auto link : body.getOps<ScheduleLinkOp>())
    problem.links[{toIndex(link.getFrom()), toIndex(link.getTo())}] =
        link.getLink();
  bool isLimited = op.getLimit().has_value();
  for (auto device : body.getOps<ScheduleDeviceOp>()) {
    isLimited |= device.getLimit().has_value();
    if (device.getFixed())
      problem.fixedBytes.resize(problem.numDevices, 0);
  }
  if (isLimited)
    problem.memoryLimits.assign(
        problem.numDevices,
        op.getLimit().value_or(std::numeric_limits<int64_t>::max()));
  for (auto device : body.getOps<ScheduleDeviceOp>()) {
    if (device.getFixed())
      problem.fixedBytes[device.getNumber()] = *device.getFixed();
    if (device.getLimit())
      problem.memoryLimits[device.getNumber()] = *device.getLimit();
  }
  return problem;
}

schedule::Problem ScheduleProblemOp::getProblem() { return readProblem(*this); }

/// Emits what the library finds wrong with the problem, at the first stage that
/// brings it about if it is one's fault.
static LogicalResult checkProblem(ScheduleProblemOp op) {
  std::optional<std::string> error = readProblem(op).check();
  if (!error)
    return success();
  int64_t count = 0;
  for (auto stage : op.getBody().getOps<ScheduleStageOp>())
    if (auto found = readProblem(op, ++count).check();
        found && StringRef(*found).starts_with("stage "))
      return stage.emitOpError() << "is wrong: " << *found;
  return op.emitOpError() << "is wrong: " << *error;
}

LogicalResult ScheduleProblemOp::verifyRegions() {
  if (int64_t(getDevices()) < 1 ||
      int64_t(getDevices()) > schedule::kMaxDevices)
    return emitOpError("needs 1 to ")
           << schedule::kMaxDevices << " devices, has "
           << int64_t(getDevices());
  int64_t numStages = 0;
  DenseMap<int64_t, Operation *> devices;
  DenseMap<std::pair<int64_t, int64_t>, Operation *> links;
  auto refuseSecond = [](Operation *op, Operation *first) {
    InFlightDiagnostic diag = op->emitOpError("is there already");
    diag.attachNote(first->getLoc()) << "first one here";
    return diag;
  };
  auto checkDevice = [&](Operation *op, int64_t device) -> LogicalResult {
    if (device >= 0 && device < int64_t(getDevices()))
      return success();
    return op->emitOpError("names device ")
           << device << ", but there are " << getDevices();
  };
  for (Operation &op : getBody().front()) {
    if (auto stage = dyn_cast<ScheduleStageOp>(op)) {
      if (int64_t(stage.getNumber()) != numStages++)
        return op.emitOpError("has number ") << stage.getNumber() << ", but "
                                             << numStages - 1 << " comes next";
      if (failed(checkDevice(&op, stage.getDevice())))
        return failure();
    } else if (auto device = dyn_cast<ScheduleDeviceOp>(op)) {
      if (failed(checkDevice(&op, device.getNumber())))
        return failure();
      auto [it, isNew] = devices.try_emplace(device.getNumber(), &op);
      if (!isNew)
        return refuseSecond(&op, it->second);
    } else if (auto link = dyn_cast<ScheduleLinkOp>(op)) {
      if (failed(checkDevice(&op, link.getFrom())) ||
          failed(checkDevice(&op, link.getTo())))
        return failure();
      auto [it, isNew] = links.try_emplace({link.getFrom(), link.getTo()}, &op);
      if (!isNew)
        return refuseSecond(&op, it->second);
    } else {
      return op.emitOpError("does not belong in a scheduling problem");
    }
  }
  return checkProblem(*this);
}

ScheduleProblemOp
ScheduleProblemOp::fromProblem(OpBuilder &builder, Location loc, StringRef name,
                               const schedule::Problem &problem) {
  auto number = [&](std::optional<double> value) {
    return value ? builder.getF64FloatAttr(*value) : FloatAttr();
  };
  auto nonZero = [&](double value) {
    return value != 0 ? builder.getF64FloatAttr(value) : FloatAttr();
  };
  auto bytes = [&](int64_t value) {
    return value != 0 ? builder.getI64IntegerAttr(value) : IntegerAttr();
  };
  auto bandwidth = [&](const schedule::Link &link) {
    return std::isfinite(link.bandwidth)
               ? builder.getF64FloatAttr(link.bandwidth)
               : FloatAttr();
  };
  // One limit for all, where it is one.
  const std::vector<int64_t> &limits = problem.memoryLimits;
  bool sameLimit = !limits.empty() && llvm::all_equal(limits);
  auto op = ScheduleProblemOp::create(
      builder, loc, builder.getStringAttr(name), StringAttr(),
      builder.getI64IntegerAttr(problem.numDevices),
      builder.getI64IntegerAttr(problem.numMicrobatches),
      nonZero(problem.defaultLink.latency), bandwidth(problem.defaultLink),
      sameLimit ? builder.getI64IntegerAttr(limits.front()) : IntegerAttr());
  OpBuilder::InsertionGuard guard(builder);
  builder.createBlock(&op.getBody());
  for (int device = 0; device < problem.numDevices; ++device) {
    bool isLimited = !sameLimit && !limits.empty();
    if (problem.fixed(device) != 0 || isLimited)
      ScheduleDeviceOp::create(builder, loc, builder.getI64IntegerAttr(device),
                               bytes(problem.fixed(device)),
                               isLimited
                                   ? builder.getI64IntegerAttr(limits[device])
                                   : IntegerAttr());
  }
  for (const auto &[devices, link] : problem.links)
    ScheduleLinkOp::create(builder, loc,
                           builder.getI64IntegerAttr(devices.first),
                           builder.getI64IntegerAttr(devices.second),
                           nonZero(link.latency), bandwidth(link));
  for (int s = 0; s < problem.numStages(); ++s) {
    const schedule::Stage &stage = problem.stages[s];
    SmallVector<NamedAttribute> workspace;
    for (int kind = 0; kind < schedule::kNumPassKinds; ++kind)
      if (int64_t size = stage.workspaceBytes[kind])
        workspace.emplace_back(stringifyPassKind(static_cast<PassKind>(kind)),
                               builder.getI64IntegerAttr(size));
    ScheduleStageOp::create(
        builder, loc, builder.getI64IntegerAttr(s),
        builder.getI64IntegerAttr(problem.placement[s]), number(stage.forward),
        number(stage.recompute),
        stage.hasBackwardInput ? number(stage.backwardInput) : FloatAttr(),
        stage.hasBackwardWeight ? number(stage.backwardWeight) : FloatAttr(),
        number(stage.backward), nonZero(stage.update),
        nonZero(stage.gradientReduction), bytes(stage.activationBytes),
        bytes(stage.keptForRecompute), bytes(stage.releasedByBackwardInput),
        bytes(stage.takenByBackwardInput), bytes(stage.forwardTransferBytes),
        bytes(stage.backwardTransferBytes),
        workspace.empty() ? DictionaryAttr()
                          : builder.getDictionaryAttr(workspace));
  }
  return op;
}

//===----------------------------------------------------------------------===//
// Solutions
//===----------------------------------------------------------------------===//

schedule::Pass SchedulePassOp::getPass() {
  schedule::Pass pass;
  pass.kind = toSchedule(getKind());
  pass.stage = toIndex(getStage());
  pass.microbatch = getMicrobatch() ? toIndex(*getMicrobatch()) : -1;
  return pass;
}

LogicalResult SchedulePassOp::verify() {
  bool needsMicrobatch = getKind() != PassKind::Update;
  if (needsMicrobatch != getMicrobatch().has_value())
    return emitOpError() << stringifyPassKind(getKind())
                         << (needsMicrobatch ? " needs a microbatch"
                                             : " takes no microbatch");
  if (getStart().has_value() != getEnd().has_value())
    return emitOpError("needs both its start and its end, or neither");
  return success();
}

LogicalResult ScheduleOrderOp::verifyRegions() {
  for (Operation &op : getBody().front())
    if (!isa<SchedulePassOp>(op))
      return op.emitOpError("does not belong in the order of a device");
  return success();
}

LogicalResult ScheduleSolutionOp::verifyRegions() {
  // Any number may stand here; no DenseMap takes all.
  std::map<int64_t, Operation *> orders;
  for (Operation &op : getBody().front()) {
    auto order = dyn_cast<ScheduleOrderOp>(op);
    if (!order)
      return op.emitOpError("does not belong in a solution");
    auto [it, isNew] = orders.try_emplace(order.getDevice(), &op);
    if (isNew)
      continue;
    InFlightDiagnostic diag = op.emitOpError("is the second of device ")
                              << order.getDevice();
    diag.attachNote(it->second->getLoc()) << "first one here";
    return diag;
  }
  return success();
}

LogicalResult
ScheduleSolutionOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto problem = tables.lookupNearestSymbolFrom<ScheduleProblemOp>(
      *this, getProblemAttr());
  if (!problem)
    return emitOpError("names no scheduling problem: ") << getProblemAttr();
  int64_t numStages =
      llvm::range_size(problem.getBody().getOps<ScheduleStageOp>());
  // Each error is about a number that the problem does not have.
  auto refuse = [&](Operation *op, StringRef what, int64_t number,
                    int64_t count) -> LogicalResult {
    InFlightDiagnostic diag = op->emitOpError("is of ")
                              << what << ' ' << number << ", but there are "
                              << count;
    diag.attachNote(problem.getLoc()) << "the problem is here";
    return diag;
  };
  auto isIn = [](int64_t number, int64_t count) {
    return number >= 0 && number < count;
  };
  for (auto order : getBody().getOps<ScheduleOrderOp>()) {
    if (!isIn(order.getDevice(), problem.getDevices()))
      return refuse(order, "device", order.getDevice(), problem.getDevices());
    for (auto pass : order.getBody().getOps<SchedulePassOp>()) {
      if (!isIn(pass.getStage(), numStages))
        return refuse(pass, "stage", pass.getStage(), numStages);
      if (pass.getMicrobatch() &&
          !isIn(*pass.getMicrobatch(), problem.getMicrobatches()))
        return refuse(pass, "microbatch", *pass.getMicrobatch(),
                      problem.getMicrobatches());
    }
  }
  return success();
}

schedule::Schedule ScheduleSolutionOp::getOrder(int numDevices) {
  schedule::Schedule schedule;
  schedule.name = getSchedule().str();
  schedule.order.resize(numDevices);
  for (auto order : getBody().getOps<ScheduleOrderOp>())
    for (auto pass : order.getBody().getOps<SchedulePassOp>())
      schedule.order[order.getDevice()].push_back(pass.getPass());
  return schedule;
}

void ScheduleSolutionOp::setTimes(const schedule::Simulation &simulation,
                                  double bound) {
  Builder builder(getContext());
  setMakespanAttr(builder.getF64FloatAttr(simulation.makespan));
  setSpanAttr(builder.getF64FloatAttr(simulation.span));
  setBoundAttr(builder.getF64FloatAttr(bound));
  setPeaksAttr(builder.getDenseI64ArrayAttr(simulation.peakBytes));
  for (auto order : getBody().getOps<ScheduleOrderOp>())
    for (auto [pass, timed] :
         llvm::zip_equal(order.getBody().getOps<SchedulePassOp>(),
                         simulation.passes[order.getDevice()])) {
      pass.setStartAttr(builder.getF64FloatAttr(timed.start));
      pass.setEndAttr(builder.getF64FloatAttr(timed.end));
    }
}

ScheduleSolutionOp
ScheduleSolutionOp::fromSchedule(OpBuilder &builder, Location loc,
                                 StringRef problem,
                                 const schedule::Schedule &schedule) {
  auto op = ScheduleSolutionOp::create(
      builder, loc, FlatSymbolRefAttr::get(builder.getContext(), problem),
      builder.getStringAttr(schedule.name), FloatAttr(), FloatAttr(),
      FloatAttr(), DenseI64ArrayAttr());
  OpBuilder::InsertionGuard guard(builder);
  builder.createBlock(&op.getBody());
  for (auto [device, passes] : llvm::enumerate(schedule.order)) {
    auto order = ScheduleOrderOp::create(builder, loc,
                                         builder.getI64IntegerAttr(device));
    OpBuilder::InsertionGuard guard(builder);
    builder.createBlock(&order.getBody());
    for (const schedule::Pass &pass : passes)
      SchedulePassOp::create(builder, loc,
                             PassKindAttr::get(builder.getContext(),
                                               weir::fromSchedule(pass.kind)),
                             builder.getI64IntegerAttr(pass.stage),
                             pass.microbatch < 0
                                 ? IntegerAttr()
                                 : builder.getI64IntegerAttr(pass.microbatch),
                             FloatAttr(), FloatAttr());
  }
  return op;
}
