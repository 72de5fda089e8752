//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/ProgramTable.h"

#include "weir/Analysis/JointGraph.h"
#include "weir/Analysis/PassBuffers.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/IR/Classes.h"
#include "weir/Program.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cstring>
#include <map>

using namespace mlir;
using namespace weir;

namespace {

class TableBuilder {
public:
  explicit TableBuilder(PipelineOp pipeline)
      : pipeline(pipeline), stages(getStagePasses(pipeline)),
        programs(getPrograms(pipeline)) {}

  FailureOr<ProgramTable> build();

private:
  int64_t addString(StringRef text);
  int64_t addDims(RankedTensorType type);
  FailureOr<int64_t> getElementType(Location loc, Type type);
  FailureOr<int64_t> addKernel(StagePassOpInterface pass);
  LogicalResult addInputs();
  LogicalResult addVariables();
  LogicalResult addProgram(ProgramOp program);
  LogicalResult addRun(RunOp run);
  LogicalResult addPass(RunOp run, StagePassOpInterface pass,
                        function_ref<Value(Value)> localOf);
  int64_t getVocabulary();
  template <typename Record>
  weir_section append(ArrayRef<Record> records, SmallVectorImpl<char> &bytes);

  PipelineOp pipeline;
  SmallVector<StagePasses> stages;
  SmallVector<ProgramOp> programs;

  SmallVector<char> strings;
  llvm::StringMap<int64_t> stringOffsets;
  SmallVector<int64_t> dims;
  SmallVector<weir_kernel_record> kernels;
  SmallVector<weir_input> inputs;
  SmallVector<weir_variable> variables;
  SmallVector<weir_device> devices;
  SmallVector<weir_resident> residents;
  SmallVector<weir_action> actions;
  SmallVector<weir_buffer> buffers;
  llvm::StringMap<int64_t> kernelNumbers, variableNumbers, inputNumbers;
  SmallVector<std::string> kernelOrder;
  int64_t lossDevice = 0;

  // Of the program that is being written.
  std::map<std::tuple<ResidentKind, StringRef, int64_t>, int64_t>
      residentOffsets;
};

} // namespace

int64_t TableBuilder::addString(StringRef text) {
  auto [it, isNew] = stringOffsets.try_emplace(text, strings.size());
  if (isNew) {
    strings.append(text.begin(), text.end());
    strings.push_back('\0');
  }
  return it->second;
}

int64_t TableBuilder::addDims(RankedTensorType type) {
  int64_t first = dims.size();
  dims.append(type.getShape().begin(), type.getShape().end());
  return first;
}

FailureOr<int64_t> TableBuilder::getElementType(Location loc, Type type) {
  Type element = cast<RankedTensorType>(type).getElementType();
  if (element.isF32())
    return WEIR_F32;
  if (element.isF64())
    return WEIR_F64;
  if (element.isInteger(32))
    return WEIR_I32;
  if (element.isInteger(64))
    return WEIR_I64;
  return emitError(loc, "the runtime has no elements of type ") << element;
}

FailureOr<int64_t> TableBuilder::addKernel(StagePassOpInterface pass) {
  FlatSymbolRefAttr name = pass.getKernelAttr();
  if (!name)
    return pass->emitOpError("has no kernel; run convert-weir-to-host first");
  auto [it, isNew] = kernelNumbers.try_emplace(name.getValue(), kernels.size());
  if (isNew) {
    kernels.push_back(
        {addString(name.getValue()), pass.getEstimatedSeconds()});
    kernelOrder.push_back(name.getValue().str());
  }
  return it->second;
}

LogicalResult TableBuilder::addInputs() {
  for (auto [name, argument] :
       llvm::zip(pipeline.getInputs(), pipeline.getBody().getArguments())) {
    auto type = cast<RankedTensorType>(argument.getType());
    FailureOr<int64_t> element = getElementType(argument.getLoc(), type);
    if (failed(element))
      return failure();
    StringRef text = cast<StringAttr>(name).getValue();
    inputNumbers[text] = inputs.size();
    inputs.push_back(
        {addString(text), *element, type.getRank(), addDims(type)});
  }
  return success();
}

LogicalResult TableBuilder::addVariables() {
  for (auto variable :
       pipeline->getParentOfType<ModuleOp>().getOps<VariableOp>()) {
    auto type = cast<RankedTensorType>(variable.getType());
    FailureOr<int64_t> element = getElementType(variable.getLoc(), type);
    if (failed(element))
      return failure();
    variableNumbers[variable.getSymName()] = variables.size();
    variables.push_back({addString(variable.getSymName()), *element,
                         type.getRank(), addDims(type),
                         variable.getInit().getKind() == InitKind::Normal
                             ? WEIR_INIT_NORMAL
                             : WEIR_INIT_CONSTANT,
                         variable.getInit().getValue().getValueAsDouble()});
  }
  return success();
}

/// How many classes there are, or the size of the smallest table that tokens
/// are looked up in; 0 if there is neither.
int64_t TableBuilder::getVocabulary() {
  if (std::optional<int64_t> classes = getInteger(pipeline, attr::classes))
    return *classes;
  int64_t vocabulary = 0;
  auto add = [&](Value table) {
    int64_t rows = cast<RankedTensorType>(table.getType()).getDimSize(0);
    vocabulary = vocabulary ? std::min(vocabulary, rows) : rows;
  };
  pipeline.walk([&](tensor::GatherOp gather) { add(gather.getSource()); });
  pipeline.walk([&](ScatterAddOp scatter) { add(scatter.getInit()); });
  return vocabulary;
}

LogicalResult TableBuilder::addPass(RunOp run, StagePassOpInterface pass,
                                    function_ref<Value(Value)> localOf) {
  FailureOr<int64_t> kernel = addKernel(pass);
  if (failed(kernel))
    return failure();
  bool isUpdate = run.getVariable().has_value();
  int64_t first = buffers.size();
  auto getPlanned = [&](std::optional<int64_t> offset) -> FailureOr<int64_t> {
    if (offset)
      return *offset;
    return run.emitOpError("has a buffer without an offset; run "
                           "weir-plan-memory first");
  };
  auto getResidentOffset = [&](const PassBuffer &buffer) -> FailureOr<int64_t> {
    ResidentKind kind = *buffer.getResidentKind();
    auto it = residentOffsets.find({kind, buffer.variable, buffer.index});
    if (it != residentOffsets.end())
      return it->second;
    return run.emitOpError("needs a resident ")
           << stringifyResidentKind(kind) << " @" << buffer.variable;
  };
  auto getBufferOffset = [&](const PassBuffer &buffer) -> FailureOr<int64_t> {
    switch (buffer.kind) {
    case PassBuffer::Kind::Operand:
      return getPlanned(getOffset(localOf(pass->getOperand(buffer.index))));
    case PassBuffer::Kind::Result:
      return getPlanned(getOffset(localOf(pass->getResult(buffer.index))));
    case PassBuffer::Kind::Workspace:
      return getPlanned(run.getScratch());
    // Another device may have gathered these for an update.
    case PassBuffer::Kind::Gradient:
      return isUpdate ? getPlanned(getOffset(run.getInputs()[buffer.index]))
                      : getResidentOffset(buffer);
    case PassBuffer::Kind::Count:
      return isUpdate ? getPlanned(getOffset(run.getInputs().back()))
                      : getResidentOffset(buffer);
    default:
      return getResidentOffset(buffer);
    }
  };
  for (const PassBuffer &buffer : getPassBuffers(pass)) {
    FailureOr<int64_t> offset = getBufferOffset(buffer);
    if (failed(offset))
      return failure();
    buffers.push_back(
        {*offset, buffer.getBytes(pass),
         buffer.isWritten(pass) ? WEIR_ACCESS_WRITE : WEIR_ACCESS_READ});
  }

  weir_action action;
  std::memset(&action, -1, sizeof action);
  action.kind = WEIR_ACTION_RUN;
  action.pass = static_cast<int64_t>(pass.getPassKind());
  action.kernel = *kernel;
  action.first_buffer = first;
  action.num_buffers = buffers.size() - first;
  if (isUpdate) {
    action.label = addString(("U " + *run.getVariable()).str());
  } else {
    action.stage = *run.getStage();
    action.microbatch = *run.getMicrobatch();
    StringRef letter = pass.getPassKind() == PassKind::Forward         ? "F"
                       : pass.getPassKind() == PassKind::BackwardInput ? "B"
                                                                       : "W";
    action.label = addString((letter + " s" + Twine(action.stage)).str());
  }
  actions.push_back(action);
  return success();
}

LogicalResult TableBuilder::addRun(RunOp run) {
  if (run.getVariable()) {
    for (auto update : pipeline.getBody().getOps<UpdateOp>())
      if (update.getVariable() == *run.getVariable())
        return addPass(run, cast<StagePassOpInterface>(update.getOperation()),
                       [](Value) { return Value(); });
    return run.emitError("the pipeline has no such update");
  }
  StagePasses &passes = stages[*run.getStage()];
  RunSignature signature = getRunSignature(passes, run.getPass());
  DenseMap<Value, Value> local;
  for (auto [value, operand] : llvm::zip(signature.operands, run.getInputs()))
    local[value] = operand;
  for (auto [value, result] : llvm::zip(signature.outputs, run.getOutputs()))
    local[value] = result;
  for (auto [value, result] : llvm::zip(signature.between, run.getBetween()))
    local[value] = result;
  auto localOf = [&](Value value) { return local.lookup(value); };
  if (run.getPass() != PassKind::Backward)
    return addPass(run, passes.get(run.getPass()), localOf);
  return success(succeeded(addPass(run, passes.backwardInput, localOf)) &&
                 succeeded(addPass(run, passes.backwardWeight, localOf)));
}

LogicalResult TableBuilder::addProgram(ProgramOp program) {
  if (!program.getArena())
    return program.emitOpError("has no plan; run weir-plan-memory first");
  weir_device device{};
  device.arena_bytes = *program.getArena();
  device.peak_activation_bytes = getMemoryPeaks(program).activations;
  device.first_resident = residents.size();
  device.first_action = actions.size();
  residentOffsets.clear();

  DenseMap<Value, int64_t> tokens;
  auto transfer = [&](weir_action_kind kind, Value token, int64_t peer,
                      int64_t message, std::optional<uint64_t> microbatch,
                      Value buffer, RankedTensorType type) {
    weir_action action;
    std::memset(&action, -1, sizeof action);
    action.kind = kind;
    action.microbatch = microbatch ? int64_t(*microbatch) : -1;
    action.label = addString(("message " + Twine(message)).str());
    action.peer = peer;
    action.message = message;
    action.token = tokens[token] = tokens.size();
    action.offset = getOffset(buffer).value_or(-1);
    action.bytes = getTensorBytes(type);
    actions.push_back(action);
  };
  // Buffers by the place after which they are free.
  std::multimap<int64_t, const LiveBuffer *> ends;
  SmallVector<LiveBuffer> live = getLiveBuffers(program);
  for (const LiveBuffer &buffer : live)
    if (!buffer.isResident() && buffer.bytes > 0)
      ends.insert({buffer.end, &buffer});

  int64_t place = 0;
  for (Operation &op : program.getBody().front()) {
    if (auto resident = dyn_cast<ResidentOp>(op)) {
      StringRef variable = resident.getVariable().value_or("");
      int64_t index = resident.getIndex().value_or(0);
      int64_t offset = getOffset(resident.getResult()).value_or(-1);
      residentOffsets[{resident.getKind(), variable, index}] = offset;
      if (resident.getKind() == ResidentKind::Loss)
        lossDevice = program.getDevice();
      residents.push_back({static_cast<int64_t>(resident.getKind()),
                           variable.empty() ? -1 : variableNumbers[variable],
                           index, offset, getValueBytes(resident.getType())});
    } else if (auto load = dyn_cast<LoadOp>(op)) {
      weir_action action;
      std::memset(&action, -1, sizeof action);
      action.kind = WEIR_ACTION_LOAD;
      action.microbatch = load.getMicrobatch();
      action.label = addString(("load " + load.getInput()).str());
      if (!inputNumbers.contains(load.getInput()))
        return load.emitError("the pipeline has no such input");
      action.input = inputNumbers[load.getInput()];
      action.offset = getOffset(load.getResult()).value_or(-1);
      action.bytes = getValueBytes(load.getType());
      actions.push_back(action);
    } else if (auto run = dyn_cast<RunOp>(op)) {
      if (failed(addRun(run)))
        return failure();
    } else if (auto send = dyn_cast<SendStartOp>(op)) {
      transfer(WEIR_ACTION_SEND_START, send.getToken(), send.getPeer(),
               send.getMessage(), send.getMicrobatch(), send.getValue(),
               cast<RankedTensorType>(send.getValue().getType()));
    } else if (auto receive = dyn_cast<RecvStartOp>(op)) {
      transfer(WEIR_ACTION_RECV_START, receive.getToken(), receive.getPeer(),
               receive.getMessage(), receive.getMicrobatch(),
               receive.getToken(), receive.getToken().getType().getTensor());
    } else if (auto wait = dyn_cast<WaitOp>(op)) {
      weir_action action;
      std::memset(&action, -1, sizeof action);
      action.kind = WEIR_ACTION_WAIT;
      action.label = addString("wait");
      action.token = tokens.lookup(wait.getToken());
      actions.push_back(action);
    }
    auto [first, last] = ends.equal_range(place);
    for (const auto &[end, buffer] : llvm::make_range(first, last)) {
      weir_action action;
      std::memset(&action, -1, sizeof action);
      action.kind = WEIR_ACTION_RELEASE;
      action.label = addString("release");
      action.offset = buffer->getOffset().value_or(-1);
      action.bytes = buffer->bytes;
      actions.push_back(action);
    }
    ++place;
  }
  device.num_residents = residents.size() - device.first_resident;
  device.num_actions = actions.size() - device.first_action;
  devices.push_back(device);
  return success();
}

template <typename Record>
weir_section TableBuilder::append(ArrayRef<Record> records,
                                  SmallVectorImpl<char> &bytes) {
  bytes.resize((bytes.size() + 7) / 8 * 8);
  weir_section section{static_cast<int64_t>(bytes.size()),
                       static_cast<int64_t>(records.size())};
  const char *data = reinterpret_cast<const char *>(records.data());
  bytes.append(data, data + records.size() * sizeof(Record));
  return section;
}

FailureOr<ProgramTable> TableBuilder::build() {
  if (programs.empty())
    return pipeline.emitOpError("has no programs; run weir-schedule first");
  if (failed(addInputs()) || failed(addVariables()))
    return failure();
  for (ProgramOp program : programs)
    if (failed(addProgram(program)))
      return failure();

  weir_table_header header{};
  header.magic = WEIR_TABLE_MAGIC;
  header.version = WEIR_TABLE_VERSION;
  header.num_devices = programs.size();
  header.num_stages = pipeline.getStages();
  header.num_microbatches = programs.front().getMicrobatches();
  header.loss_device = lossDevice;
  header.model_name = addString(pipeline.getSymName());
  header.schedule_name =
      addString(programs.front().getSchedule().value_or("given"));
  header.vocab = getVocabulary();

  ProgramTable table;
  table.kernelOrder = kernelOrder;
  table.bytes.resize(sizeof header);
  header.strings = append(ArrayRef<char>(strings), table.bytes);
  header.dims = append(ArrayRef<int64_t>(dims), table.bytes);
  header.kernels = append(ArrayRef<weir_kernel_record>(kernels), table.bytes);
  header.inputs = append(ArrayRef<weir_input>(inputs), table.bytes);
  header.variables = append(ArrayRef<weir_variable>(variables), table.bytes);
  header.devices = append(ArrayRef<weir_device>(devices), table.bytes);
  header.residents = append(ArrayRef<weir_resident>(residents), table.bytes);
  header.actions = append(ArrayRef<weir_action>(actions), table.bytes);
  header.buffers = append(ArrayRef<weir_buffer>(buffers), table.bytes);
  header.total_bytes = table.bytes.size();
  std::memcpy(table.bytes.data(), &header, sizeof header);
  return table;
}

FailureOr<ProgramTable> weir::buildProgramTable(PipelineOp pipeline) {
  return TableBuilder(pipeline).build();
}
