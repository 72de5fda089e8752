//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From an order of passes to programs. Every action gets a place between the
// passes of its device such that the time the simulation gives to the passes
// orders all actions: a receive starts before the pass ahead of its reader, a
// send ends at the first pass that starts after both its sides have started. At
// one place the order is: starts of receives, waits for sends, waits for
// receives, loads, the pass, starts of sends. Starts wait for nothing, so no
// cycle of waits can close.
//
//===----------------------------------------------------------------------===//

#include "ScheduleRequest.h"

#include "weir/Analysis/ArenaPlan.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Dialect/Transforms/WritePrograms.h"
#include "weir/Schedule/AllOrders.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/SmallestLimit.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/Format.h"

namespace weir {
#define GEN_PASS_DEF_WEIRSCHEDULE
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

/// A value of the pipeline for one microbatch on its way to another device.
struct Message {
  Value value;
  int64_t microbatch;
  int from, to;
  int64_t produced; ///< place of the producer on `from`
  int64_t needed;   ///< place of the first reader on `to`
  int64_t made;     ///< number of the message in the order of the pipeline
  int64_t recvAt = 0, sendWaitAt = 0;
  int64_t number = 0;
  Value token; ///< of the side that is being written
};

/// What a device holds at its end for others, or needs from them: a gradient of
/// a variable that both have, or the count (no variable).
struct StepMessage {
  StringRef variable;
  int64_t use;
  int from, to;
  int64_t number = 0;
  RankedTensorType type;
};

class ProgramWriter {
public:
  ProgramWriter(PipelineOp pipeline, const schedule::Problem &problem,
                const schedule::Schedule &order,
                const schedule::Simulation &times)
      : pipeline(pipeline), problem(problem), order(order), times(times),
        stages(getStagePasses(pipeline)), builder(pipeline.getContext()) {}

  void write(int64_t limit);

private:
  void placePasses();
  void collectMessages();
  void collectStepMessages();
  void writeProgram(int device, int64_t limit);
  void writeResidents(int device);
  void writeRun(const schedule::Pass &pass);
  void writeEnd(int device);
  Value load(BlockArgument input, int64_t microbatch);

  PassKind runKind(const schedule::Pass &pass) const;
  int deviceOf(Value value) const {
    auto pass = cast<StagePassOpInterface>(value.getDefiningOp());
    return problem.placement[pass.getStageNumber()];
  }
  int64_t placeOf(Operation *pass, int64_t microbatch) const {
    return places.lookup({pass, microbatch});
  }

  PipelineOp pipeline;
  const schedule::Problem &problem;
  const schedule::Schedule &order;
  const schedule::Simulation &times;
  SmallVector<StagePasses> stages;
  OpBuilder builder;

  DenseMap<std::pair<Operation *, int64_t>, int64_t> places;
  std::vector<Message> messages;
  std::vector<StepMessage> stepMessages;
  int lossDevice = 0;

  // Of the program that is being written.
  DenseMap<std::pair<Value, int64_t>, Value> values;
  DenseMap<std::pair<StringRef, int64_t>, Value> gradients;
  Value count;
};

struct Schedule : weir::impl::WeirScheduleBase<Schedule> {
  using WeirScheduleBase::WeirScheduleBase;

  void runOnOperation() override {
    auto pipelines = llvm::to_vector(getOperation().getOps<PipelineOp>());
    if (pipelines.empty()) {
      getOperation().emitError("no weir.pipeline to schedule; run "
                               "weir-outline-stages and weir-add-optimizer "
                               "first");
      return signalPassFailure();
    }
    for (PipelineOp pipeline : pipelines)
      if (failed(scheduleOne(pipeline)))
        return signalPassFailure();
  }
  LogicalResult scheduleOne(PipelineOp pipeline);
  LogicalResult checkOptions(PipelineOp pipeline);
  ScheduleRequest getRequest() {
    return {schedule, objective, timeBudget, seed};
  }
  FailureOr<std::vector<int>> placeStages(PipelineOp pipeline);
  /// Writes the programs of `order`; returns the times that they are made from.
  FailureOr<schedule::Simulation>
  writePrograms(PipelineOp pipeline, const schedule::Problem &problem,
                const schedule::Schedule &order);
  /// Writes the programs of the best order that is found whose buffers fit the
  /// limit as they will be planned. The problem only counts bytes; programs lay
  /// buffers out, and receive at other moments than the simulation. `order` is
  /// the best by the count; without one, `error` says why.
  LogicalResult fitArenas(PipelineOp pipeline, schedule::Problem problem,
                          std::optional<schedule::Schedule> order,
                          StringRef error);
  /// `arenas` are the bytes of each device if they were held against a limit.
  void remarkOn(PipelineOp pipeline, const schedule::Problem &problem,
                const schedule::Schedule &order,
                const schedule::Simulation &times, ArrayRef<int64_t> arenas);
};

} // namespace

PassKind ProgramWriter::runKind(const schedule::Pass &pass) const {
  PassKind kind = fromSchedule(pass.kind);
  if (kind != PassKind::Backward)
    return kind;
  const StagePasses &passes = stages[pass.stage];
  if (!passes.backwardWeight)
    return PassKind::BackwardInput;
  return passes.backwardInput ? PassKind::Backward : PassKind::BackwardWeight;
}

void ProgramWriter::placePasses() {
  for (const std::vector<schedule::Pass> &device : order.order)
    for (auto [place, pass] : llvm::enumerate(device)) {
      const StagePasses &passes = stages[pass.stage];
      PassKind kind = runKind(pass);
      if (kind == PassKind::Backward) {
        places[{passes.backwardInput, pass.microbatch}] = place;
        places[{passes.backwardWeight, pass.microbatch}] = place;
      } else {
        places[{passes.get(kind), pass.microbatch}] = place;
      }
    }
}

void ProgramWriter::collectMessages() {
  constexpr int64_t never = std::numeric_limits<int64_t>::max();
  for (int64_t m = 0; m < problem.numMicrobatches; ++m)
    for (Operation &op : pipeline.getBody().front())
      for (Value value : op.getResults()) {
        if (isa<BundleType>(value.getType()))
          continue;
        int from = deviceOf(value);
        llvm::MapVector<int, int64_t> firstReader;
        for (Operation *user : value.getUsers()) {
          int stage = cast<StagePassOpInterface>(user).getStageNumber();
          int to = problem.placement[stage];
          if (to == from)
            continue;
          auto it = firstReader.try_emplace(to, never).first;
          it->second = std::min(it->second, placeOf(user, m));
        }
        for (auto [to, needed] : firstReader)
          messages.push_back({value, m, from, to, placeOf(&op, m), needed,
                              static_cast<int64_t>(messages.size())});
      }

  // In each queue, messages go in the order in which they are made.
  llvm::sort(messages, [](const Message &a, const Message &b) {
    return std::tie(a.from, a.to, a.produced, a.made) <
           std::tie(b.from, b.to, b.produced, b.made);
  });
  for (auto [number, message] : llvm::enumerate(messages))
    message.number = number;
  // A receive cannot start after the one behind it in its queue.
  for (size_t i = messages.size(); i-- > 0;) {
    Message &message = messages[i];
    message.recvAt = std::max<int64_t>(0, message.needed - 1);
    if (i + 1 < messages.size() && messages[i + 1].from == message.from &&
        messages[i + 1].to == message.to)
      message.recvAt = std::min(message.recvAt, messages[i + 1].recvAt);
  }
  for (Message &message : messages) {
    const auto &sender = times.passes[message.from];
    double bothStarted =
        std::max(sender[message.produced].end,
                 times.passes[message.to][message.recvAt].start);
    message.sendWaitAt = message.produced + 1;
    while (message.sendWaitAt < static_cast<int64_t>(sender.size()) &&
           sender[message.sendWaitAt].start < bothStarted)
      ++message.sendWaitAt;
  }
}

void ProgramWriter::collectStepMessages() {
  // The device that gathers each gradient, and those that update with it.
  DenseMap<std::pair<StringRef, int64_t>, int> gatheredBy;
  for (StagePasses &passes : stages) {
    if (passes.forward)
      passes.forward->walk([&](ReportOp) {
        lossDevice = problem.placement[passes.forward.getStageNumber()];
      });
    if (passes.backwardWeight)
      passes.backwardWeight->walk([&](AccumulateOp op) {
        gatheredBy[{op.getVariable(), static_cast<int64_t>(op.getUse())}] =
            problem.placement[passes.backwardWeight.getStageNumber()];
      });
  }
  auto scalar = RankedTensorType::get({}, builder.getF32Type());
  SmallVector<llvm::SetVector<StringRef>> held;
  for (int device = 0; device < problem.numDevices; ++device)
    held.push_back(getVariablesOfDevice(pipeline, problem.placement, device));
  SmallVector<bool> updates(problem.numDevices, false);
  int64_t number = messages.size();
  for (auto update : pipeline.getBody().getOps<UpdateOp>()) {
    StringRef variable = update.getVariable();
    auto type =
        cast<RankedTensorType>(update.getBody().getArgument(0).getType());
    for (int to = 0; to < problem.numDevices; ++to) {
      if (!held[to].contains(variable))
        continue;
      updates[to] = true;
      for (int64_t use = 0, e = update.getUses(); use < e; ++use) {
        int from = gatheredBy.lookup({variable, use});
        if (from != to)
          stepMessages.push_back({variable, use, from, to, number++, type});
      }
    }
  }
  for (int to = 0; to < problem.numDevices; ++to)
    if (updates[to] && to != lossDevice)
      stepMessages.push_back(
          {StringRef(), 0, lossDevice, to, number++, scalar});
}

void ProgramWriter::writeResidents(int device) {
  Location loc = pipeline.getLoc();
  MLIRContext *context = builder.getContext();
  llvm::SetVector<StringRef> held =
      getVariablesOfDevice(pipeline, problem.placement, device);
  auto module = pipeline->getParentOfType<ModuleOp>();
  auto resident = [&](ResidentKind kind, StringRef variable,
                      std::optional<int64_t> index, Type type) {
    return ResidentOp::create(
        builder, loc, type, ResidentKindAttr::get(context, kind),
        variable.empty() ? FlatSymbolRefAttr()
                         : FlatSymbolRefAttr::get(context, variable),
        index ? builder.getI64IntegerAttr(*index) : IntegerAttr(),
        DenseI64ArrayAttr());
  };
  for (StringRef variable : held)
    if (auto op = module.lookupSymbol<VariableOp>(variable))
      resident(ResidentKind::Parameter, variable, {}, op.getType());
  for (StagePasses &passes : stages) {
    if (!passes.backwardWeight ||
        problem.placement[passes.backwardWeight.getStageNumber()] != device)
      continue;
    passes.backwardWeight->walk([&](AccumulateOp op) {
      int64_t use = op.getUse();
      Value &gradient = gradients[{op.getVariable(), use}];
      if (!gradient)
        gradient = resident(ResidentKind::Gradient, op.getVariable(), use,
                            op.getGradient().getType());
    });
  }
  bool updates = false;
  for (auto update : pipeline.getBody().getOps<UpdateOp>()) {
    if (!held.contains(update.getVariable()))
      continue;
    updates = true;
    for (int64_t state = 0, e = update.getStates().size(); state < e; ++state)
      resident(ResidentKind::State, update.getVariable(), state,
               update.getBody().getArgument(0).getType());
  }
  auto scalar = RankedTensorType::get({}, builder.getF32Type());
  if (device == lossDevice) {
    resident(ResidentKind::Loss, {}, {}, scalar);
    count = resident(ResidentKind::Count, {}, {}, scalar);
  }
  if (updates) {
    resident(ResidentKind::LearningRate, {}, {}, scalar);
    resident(ResidentKind::Step, {}, {}, scalar);
  }
}

Value ProgramWriter::load(BlockArgument input, int64_t microbatch) {
  return LoadOp::create(
      builder, pipeline.getLoc(), input.getType(),
      cast<StringAttr>(pipeline.getInputs()[input.getArgNumber()]),
      builder.getI64IntegerAttr(microbatch), DenseI64ArrayAttr());
}

void ProgramWriter::writeRun(const schedule::Pass &pass) {
  PassKind kind = runKind(pass);
  RunSignature signature = getRunSignature(stages[pass.stage], kind);
  SmallVector<Value> operands;
  for (Value value : signature.operands) {
    Value &local = values[{value, pass.microbatch}];
    if (!local)
      local = load(cast<BlockArgument>(value), pass.microbatch);
    operands.push_back(local);
  }
  auto run = RunOp::create(
      builder, pipeline.getLoc(), TypeRange(ValueRange(signature.outputs)),
      TypeRange(ValueRange(signature.between)),
      PassKindAttr::get(builder.getContext(), kind),
      builder.getI64IntegerAttr(pass.stage), FlatSymbolRefAttr(),
      builder.getI64IntegerAttr(pass.microbatch), operands, DenseI64ArrayAttr(),
      IntegerAttr());
  for (auto [value, local] : llvm::zip(signature.outputs, run.getOutputs()))
    values[{value, pass.microbatch}] = local;
}

void ProgramWriter::writeEnd(int device) {
  Location loc = pipeline.getLoc();
  SmallVector<std::pair<const StepMessage *, Value>> receives;
  SmallVector<Value> sends;
  for (const StepMessage &message : stepMessages)
    if (message.to == device)
      receives.push_back(
          {&message, RecvStartOp::create(
                         builder, loc,
                         ReceivingType::get(builder.getContext(), message.type),
                         builder.getI64IntegerAttr(message.from),
                         builder.getI64IntegerAttr(message.number),
                         IntegerAttr(), DenseI64ArrayAttr())});
  for (const StepMessage &message : stepMessages)
    if (message.from == device)
      sends.push_back(SendStartOp::create(
          builder, loc, SendingType::get(builder.getContext()),
          message.variable.empty()
              ? count
              : gradients.lookup({message.variable, message.use}),
          builder.getI64IntegerAttr(message.to),
          builder.getI64IntegerAttr(message.number), IntegerAttr()));
  for (auto [message, token] : receives) {
    Value value =
        WaitOp::create(builder, loc, message->type, token).getResult();
    if (message->variable.empty())
      count = value;
    else
      gradients[{message->variable, message->use}] = value;
  }
  for (Value token : sends)
    WaitOp::create(builder, loc, Type(), token);

  llvm::SetVector<StringRef> held =
      getVariablesOfDevice(pipeline, problem.placement, device);
  for (auto update : pipeline.getBody().getOps<UpdateOp>()) {
    if (!held.contains(update.getVariable()))
      continue;
    SmallVector<Value> operands;
    for (int64_t use = 0, e = update.getUses(); use < e; ++use)
      operands.push_back(gradients.lookup({update.getVariable(), use}));
    operands.push_back(count);
    RunOp::create(builder, loc, TypeRange(), TypeRange(),
                  PassKindAttr::get(builder.getContext(), PassKind::Update),
                  IntegerAttr(), update.getVariableAttr(), IntegerAttr(),
                  operands, DenseI64ArrayAttr(), IntegerAttr());
  }
}

void ProgramWriter::writeProgram(int device, int64_t limit) {
  Location loc = pipeline.getLoc();
  OpBuilder::InsertionGuard guard(builder);
  auto program = ProgramOp::create(
      builder, loc,
      builder.getStringAttr(pipeline.getSymName() + "_device" + Twine(device)),
      StringAttr(), FlatSymbolRefAttr::get(pipeline.getSymNameAttr()),
      builder.getI64IntegerAttr(device),
      builder.getI64IntegerAttr(problem.numMicrobatches),
      builder.getStringAttr(order.name), IntegerAttr(),
      limit ? builder.getI64IntegerAttr(limit) : IntegerAttr());
  builder.createBlock(&program.getBody());
  values.clear();
  gradients.clear();
  count = {};
  writeResidents(device);

  const std::vector<schedule::Pass> &passes = order.order[device];
  int64_t end = passes.size();
  std::vector<SmallVector<Message *>> recvAt(end + 1), readAt(end + 1),
      sendAt(end + 1), sendWaitAt(end + 1);
  for (Message &message : messages) {
    if (message.to == device) {
      recvAt[message.recvAt].push_back(&message);
      readAt[message.needed].push_back(&message);
    }
    if (message.from == device) {
      sendAt[message.produced].push_back(&message);
      sendWaitAt[message.sendWaitAt].push_back(&message);
    }
  }
  auto tensorOf = [](Message *message) {
    return cast<RankedTensorType>(message->value.getType());
  };
  for (int64_t place = 0; place <= end; ++place) {
    for (Message *message : recvAt[place])
      message->token = RecvStartOp::create(
          builder, loc,
          ReceivingType::get(builder.getContext(), tensorOf(message)),
          builder.getI64IntegerAttr(message->from),
          builder.getI64IntegerAttr(message->number),
          builder.getI64IntegerAttr(message->microbatch), DenseI64ArrayAttr());
    for (Message *message : sendWaitAt[place])
      WaitOp::create(builder, loc, Type(), message->token);
    for (Message *message : readAt[place])
      values[{message->value, message->microbatch}] =
          WaitOp::create(builder, loc, tensorOf(message), message->token)
              .getResult();
    if (place == end)
      break;
    writeRun(passes[place]);
    for (Message *message : sendAt[place])
      message->token = SendStartOp::create(
          builder, loc, SendingType::get(builder.getContext()),
          values.lookup({message->value, message->microbatch}),
          builder.getI64IntegerAttr(message->to),
          builder.getI64IntegerAttr(message->number),
          builder.getI64IntegerAttr(message->microbatch));
  }
  writeEnd(device);
}

void ProgramWriter::write(int64_t limit) {
  placePasses();
  collectMessages();
  collectStepMessages();
  builder.setInsertionPointAfter(pipeline);
  for (int device = 0; device < problem.numDevices; ++device)
    writeProgram(device, limit);
}

/// Checks that passes gather every gradient that an update takes.
static LogicalResult checkGradients(PipelineOp pipeline) {
  DenseSet<std::pair<Attribute, int64_t>> gathered;
  pipeline.walk([&](AccumulateOp op) {
    gathered.insert({op.getVariableAttr(), static_cast<int64_t>(op.getUse())});
  });
  for (auto update : pipeline.getBody().getOps<UpdateOp>())
    for (int64_t use = 0, e = update.getUses(); use < e; ++use)
      if (!gathered.contains({update.getVariableAttr(), use}))
        return update.emitError("no pass gathers the gradient of use ")
               << use << " of " << update.getVariableAttr();
  return success();
}

FailureOr<std::vector<int>> Schedule::placeStages(PipelineOp pipeline) {
  int64_t numStages = pipeline.getStages();
  const schedule::NamedSchedule *named = schedule::findNamed(schedule);
  std::string kind = placement;
  int64_t numDevices = devices;
  std::string error;
  if (kind.empty() && isBlockFile(schedule)) {
    std::optional<schedule::PlacedBlock> block = readBlockFile(schedule, error);
    if (!block)
      return pipeline.emitError() << error;
    kind = listPlacement(block->placement);
  } else if (kind.empty()) {
    // Two stages per device, forth and back, are what most schedules under a
    // memory limit build on.
    kind = schedule::placementName(named ? named->placement
                                         : schedule::Placement::V);
    int64_t stagesPerDevice = named ? named->stagesPerDevice : 2;
    if (numDevices == 0)
      numDevices = numStages % stagesPerDevice == 0
                       ? numStages / stagesPerDevice
                       : numStages;
  }
  std::optional<std::vector<int>> placed =
      readPlacement(kind, numStages, numDevices, error);
  if (!placed)
    return pipeline.emitError("schedule ") << schedule << ": " << error;
  return *placed;
}

/// Runs of an order that the passes of a pipeline do not have.
static LogicalResult checkKinds(PipelineOp pipeline,
                                const schedule::Schedule &order) {
  for (const std::vector<schedule::Pass> &device : order.order)
    for (const schedule::Pass &pass : device)
      if (pass.kind == schedule::PassKind::Recompute ||
          pass.kind == schedule::PassKind::Update)
        return pipeline.emitError("schedule ")
               << order.name << " runs " << schedule::toString(pass)
               << ", but programs have no such pass of a stage";
  return success();
}

/// Writes the programs of `order`; returns the times that they are made from.
static FailureOr<schedule::Simulation>
writeTimedPrograms(PipelineOp pipeline, const schedule::Problem &problem,
                   const schedule::Schedule &order, int64_t limit) {
  std::string error;
  std::optional<schedule::Simulation> times =
      schedule::simulate(problem, order, &error);
  if (!times)
    return pipeline.emitError() << error;
  if (failed(checkKinds(pipeline, order)))
    return failure();
  ProgramWriter(pipeline, problem, order, *times).write(limit);
  return std::move(*times);
}

LogicalResult weir::writePrograms(PipelineOp pipeline,
                                  const schedule::Problem &problem,
                                  const schedule::Schedule &order) {
  return writeTimedPrograms(pipeline, problem, order, /*limit=*/0);
}

/// Bytes of the arenas of the pipeline's programs, by device.
static std::vector<int64_t> getArenas(PipelineOp pipeline) {
  std::vector<int64_t> arenas;
  for (ProgramOp program : getPrograms(pipeline))
    arenas.push_back(planArena(program).bytes);
  return arenas;
}

static void erasePrograms(PipelineOp pipeline) {
  for (ProgramOp program : getPrograms(pipeline))
    program.erase();
}

static int64_t getLargestArena(PipelineOp pipeline) {
  std::vector<int64_t> arenas = getArenas(pipeline);
  return *llvm::max_element(arenas);
}

LogicalResult Schedule::scheduleOne(PipelineOp pipeline) {
  if (failed(checkOptions(pipeline)) || failed(checkHasForwards(pipeline)) ||
      failed(checkGradients(pipeline)))
    return failure();
  FailureOr<std::vector<int>> placed = placeStages(pipeline);
  if (failed(placed))
    return failure();
  schedule::Problem problem = buildProblem(
      pipeline, *placed, *llvm::max_element(*placed) + 1, microbatches);
  if (memoryLimit)
    problem.limitMemory(memoryLimit);
  if (auto error = problem.check())
    return pipeline.emitError() << *error;

  ScheduleRequest request = getRequest();
  std::string error;
  std::optional<schedule::Schedule> order = request.make(problem, error);
  if (memoryLimit && request.isAuto())
    return fitArenas(pipeline, std::move(problem), std::move(order), error);
  if (!order)
    return pipeline.emitError() << error;
  FailureOr<schedule::Simulation> times =
      writePrograms(pipeline, problem, *order);
  if (failed(times))
    return failure();
  if (memoryLimit && getLargestArena(pipeline) > memoryLimit) {
    // What was changed to hold less by the count may take more as planned.
    schedule::Problem unlimited = problem;
    unlimited.memoryLimits.clear();
    schedule::Schedule first =
        std::exchange(*order, request.make(unlimited, error).value_or(*order));
    erasePrograms(pipeline);
    times = writePrograms(pipeline, problem, *order);
    if (succeeded(times) && getLargestArena(pipeline) > memoryLimit) {
      erasePrograms(pipeline);
      times = writePrograms(pipeline, problem, *order = std::move(first));
    }
    if (failed(times))
      return failure();
  }
  remarkOn(pipeline, problem, *order, *times, {});
  return success();
}

namespace {

/// An order with its times, and how much it has of what should be small.
struct TimedOrder {
  schedule::Schedule order;
  schedule::Simulation times;
  double value;
};

} // namespace

static double getValue(const schedule::Simulation &times,
                       schedule::Objective objective) {
  return objective == schedule::Objective::Span ? times.span : times.makespan;
}

/// The named schedules that `problem` admits, whether they fit its limits or
/// not, the best first. Some put weight passes off as far as the limits let
/// them.
static std::vector<TimedOrder> buildAllNamed(const schedule::Problem &problem,
                                             schedule::Objective objective) {
  schedule::Problem unlimited = problem;
  unlimited.memoryLimits.clear();
  std::vector<TimedOrder> all;
  for (const schedule::NamedSchedule &named : schedule::listNamed())
    for (const schedule::Problem *variant :
         {&problem, &std::as_const(unlimited)}) {
      std::optional<schedule::Schedule> order =
          schedule::buildNamed(named.name, *variant, nullptr);
      if (!order || schedule::verify(unlimited, *order))
        continue;
      std::optional<schedule::Simulation> times =
          schedule::simulate(problem, *order);
      double value = getValue(*times, objective);
      all.push_back({std::move(*order), std::move(*times), value});
      if (problem.memoryLimits.empty())
        break;
    }
  llvm::stable_sort(all, [](const TimedOrder &a, const TimedOrder &b) {
    return a.value < b.value;
  });
  return all;
}

/// The named schedules in the order given: "rejected zb-v with 0.2 s and 512
/// bytes on device 0; ...". One that exceeds the limit by the count says so.
static std::string describeRejected(const schedule::Problem &problem,
                                    ArrayRef<TimedOrder> named) {
  std::string text = "rejected ";
  llvm::raw_string_ostream os(text);
  StringRef separator;
  for (auto [index, other] : llvm::enumerate(named)) {
    // One that does not use the limit is there once for it and once without.
    if (index > 0 && named[index - 1].order.name == other.order.name &&
        named[index - 1].value == other.value)
      continue;
    const std::vector<int64_t> &peaks = other.times.peakBytes;
    auto largest = llvm::max_element(peaks);
    os << std::exchange(separator, "; ") << other.order.name << " with "
       << llvm::format("%.6g", other.value) << " s and " << *largest
       << " bytes on device " << largest - peaks.begin();
    if (schedule::verify(problem, other.order))
      os << ", above the limit";
  }
  return text;
}

LogicalResult Schedule::fitArenas(PipelineOp pipeline,
                                  schedule::Problem problem,
                                  std::optional<schedule::Schedule> order,
                                  StringRef error) {
  ScheduleRequest request = getRequest();
  schedule::Objective kind = request.getObjective();
  std::vector<int64_t> arenas, leastArenas;
  std::optional<TimedOrder> best;
  // Whether an order fits, of which the best is kept.
  auto tryOrder = [&](const schedule::Schedule &next) -> FailureOr<bool> {
    erasePrograms(pipeline);
    FailureOr<schedule::Simulation> times =
        writePrograms(pipeline, problem, next);
    if (failed(times))
      return failure();
    arenas = getArenas(pipeline);
    int64_t largest = *llvm::max_element(arenas);
    if (leastArenas.empty() || largest < *llvm::max_element(leastArenas))
      leastArenas = arenas;
    if (largest > memoryLimit)
      return false;
    double value = getValue(*times, kind);
    if (!best || value < best->value)
      best = {next, std::move(*times), value};
    return true;
  };

  bool isEnough = false;
  if (order) {
    FailureOr<bool> fits = tryOrder(*order);
    if (failed(fits))
      return failure();
    isEnough = *fits;
  }
  // Without time to search, what follows says whether anything fits.
  if (order && !isEnough && timeBudget > 0) {
    // The search gets `factor` times less memory than the limit leaves beyond
    // what the first programs take more than their order. Halving finds a small
    // factor that will do; of all orders that fit the best is taken.
    std::vector<int64_t> beyond;
    std::optional<schedule::Simulation> times =
        schedule::simulate(problem, *order);
    for (auto [arena, peak] : llvm::zip(arenas, times->peakBytes))
      beyond.push_back(std::max<int64_t>(0, arena - peak));
    constexpr int maxAttempts = 7;
    double tooSmall = 0, factor = 1;
    std::optional<double> enough;
    schedule::Problem tighter = problem;
    request.timeBudget /= 4;
    for (int attempt = 0; attempt < maxAttempts; ++attempt) {
      for (auto [limit, bytes] : llvm::zip(tighter.memoryLimits, beyond))
        limit = std::max<int64_t>(0, memoryLimit -
                                         static_cast<int64_t>(factor * bytes));
      std::string ignored;
      isEnough = true;
      if (std::optional<schedule::Schedule> next =
              request.make(tighter, ignored)) {
        FailureOr<bool> fits = tryOrder(*next);
        if (failed(fits))
          return failure();
        isEnough = *fits;
      }
      (isEnough ? enough.emplace() : tooSmall) = factor;
      factor = enough ? (tooSmall + *enough) / 2 : 2 * factor;
    }
  }
  // What has a name may fit where what was searched for by the count does not,
  // and the count may be too large. A tenth is more than they differ by.
  for (const TimedOrder &named : buildAllNamed(problem, kind)) {
    if (best && named.value >= best->value)
      break;
    if (*llvm::max_element(named.times.peakBytes) > 1.1 * memoryLimit)
      continue;
    FailureOr<bool> fits = tryOrder(named.order);
    if (failed(fits))
      return failure();
    if (*fits)
      break;
  }
  // Where nothing else fits, what holds least might.
  if (!best)
    if (auto last = schedule::oneMicrobatchAtATime(problem))
      if (failed(tryOrder(*last)))
        return failure();
  // What less search finds as well: more time is to meet no fewer limits.
  if (!best && timeBudget > 0) {
    request.timeBudget = 0;
    std::string ignored;
    if (std::optional<schedule::Schedule> first =
            request.make(problem, ignored))
      if (failed(tryOrder(*first)))
        return failure();
  }
  // Or, where there are few orders, any of them.
  constexpr size_t mostOrders = 400;
  if (!best)
    if (auto all = schedule::listAllOrders(problem, mostOrders))
      for (const schedule::Schedule &one : *all)
        if (failed(tryOrder(one)))
          return failure();
  if (!best) {
    if (!order)
      return pipeline.emitError() << error;
    auto largest = llvm::max_element(leastArenas);
    return pipeline.emitError("no order was found whose buffers fit ")
           << int64_t(memoryLimit)
           << " bytes on every device; that which holds least takes "
           << *largest << " bytes on device " << largest - leastArenas.begin();
  }
  best->order.name = schedule;
  if (failed(tryOrder(best->order)))
    return failure();
  remarkOn(pipeline, problem, best->order, best->times, arenas);
  return success();
}

FailureOr<schedule::Simulation>
Schedule::writePrograms(PipelineOp pipeline, const schedule::Problem &problem,
                        const schedule::Schedule &order) {
  return writeTimedPrograms(pipeline, problem, order, memoryLimit);
}

LogicalResult Schedule::checkOptions(PipelineOp pipeline) {
  if (auto error = getRequest().check())
    return pipeline.emitError() << *error;
  for (auto program : getOperation().getOps<ProgramOp>())
    if (program.getPipeline() == pipeline.getSymName())
      return program.emitError("the pipeline has programs already");
  constexpr int64_t maxMicrobatches = std::numeric_limits<int>::max();
  if (microbatches < 1)
    return pipeline.emitError("needs at least one microbatch, got ")
           << int64_t(microbatches);
  if (microbatches > maxMicrobatches)
    return pipeline.emitError("cannot schedule ")
           << int64_t(microbatches) << " microbatches";
  if (memoryLimit < 0)
    return pipeline.emitError("the memory limit must not be negative, got ")
           << int64_t(memoryLimit);
  return success();
}

void Schedule::remarkOn(PipelineOp pipeline, const schedule::Problem &problem,
                        const schedule::Schedule &order,
                        const schedule::Simulation &times,
                        ArrayRef<int64_t> arenas) {
  auto toText = [](double value, const char *format = "%.6g") {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format(format, value);
    return text;
  };
  bool isSpan = objective == "span";
  schedule::Objective kind = getRequest().getObjective();
  double value = getValue(times, kind);
  schedule::Bound bound = schedule::lowerBound(problem, kind);
  // Not a rounding error below the bound.
  double gap = bound.seconds > 0 ? std::max(0.0, value / bound.seconds - 1) : 0;
  // In one piece: a remark does not keep the order of its arguments.
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "scheduled by " << order.name << " with stages on devices "
     << listPlacement(problem.placement) << "; predicted makespan "
     << toText(times.makespan) << " s, ";
  if (isSpan)
    os << "span " << toText(times.span) << " s, ";
  os << "bubble " << toText(times.bubbleRatio, "%.4f") << ", lower bound "
     << toText(bound.seconds) << " s, gap " << toText(100 * gap, "%.2f")
     << " %; ";
  if (!arenas.empty()) {
    auto largest = llvm::max_element(arenas);
    os << "largest arena " << *largest << " of " << int64_t(memoryLimit)
       << " bytes on device " << largest - arenas.begin();
  } else {
    auto largest = llvm::max_element(times.peakBytes);
    os << "largest peak " << *largest << " bytes on device "
       << largest - times.peakBytes.begin();
  }
  std::vector<TimedOrder> named;
  if (getRequest().isAuto()) {
    named = buildAllNamed(problem, kind);
    // A shorter one that fits by the count does not fit as it would be planned.
    auto fits = llvm::find_if(named, [&](const TimedOrder &other) {
      return (arenas.empty() || other.value >= value) &&
             !schedule::verify(problem, other.order);
    });
    if (fits != named.end())
      os << "; best named schedule " << fits->order.name << " with "
         << toText(fits->value) << " s";
    else
      os << "; no named schedule fits";
  }
  remark::passed(pipeline.getLoc(),
                 remark::RemarkOpts::name("schedule").category("weir-schedule"))
      << text;
  if (!named.empty())
    remark::analysis(
        pipeline.getLoc(),
        remark::RemarkOpts::name("rejected").category("weir-schedule"))
        << describeRejected(problem, named);
}
