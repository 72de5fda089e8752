//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Dialect/IR/Classes.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"

namespace weir {
#define GEN_PASS_DEF_WEIROUTLINESTAGES
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

/// Checks that no gradient of a use is gathered twice, nor a loss reported.
static LogicalResult checkOnce(Block &body) {
  std::map<std::pair<StringRef, int64_t>, Operation *> first;
  for (Operation &op : body) {
    std::pair<StringRef, int64_t> key{"", 0};
    if (auto accumulate = dyn_cast<AccumulateOp>(op))
      key = {accumulate.getVariable(), accumulate.getUse()};
    else if (!isa<ReportOp>(op))
      continue;
    auto [it, isNew] = first.try_emplace(key, &op);
    if (isNew)
      continue;
    InFlightDiagnostic diag = op.emitOpError("is there twice");
    diag.attachNote(it->second->getLoc()) << "first here";
    return diag;
  }
  return success();
}

namespace {

/// A pass while it is being gathered.
struct PassBody {
  int64_t stage;
  PassKind kind;
  SmallVector<Operation *> ops;
  /// Values that this pass does not make itself: data inputs and values of
  /// other passes, reshapes looked through.
  llvm::SetVector<Value> needs;
  /// Values it makes that other passes take as they are.
  llvm::SetVector<Value> outputs;
  /// Values it makes for backward_input alone, and for backward_weight.
  llvm::SetVector<Value> keptForInput, keptForWeight;
  double seconds = 0.0;

  /// The pass in the pipeline, once it is built.
  Operation *op = nullptr;
};

struct OutlineStages : weir::impl::WeirOutlineStagesBase<OutlineStages> {
  using WeirOutlineStagesBase::WeirOutlineStagesBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint || failed(isolateBodies(joint)) ||
        failed(checkOnce(joint.getBody().front())) || failed(gather(joint)))
      return signalPassFailure();
    classify();
    for (const PassBody &pass : passes)
      remarkOn(pass);
    build(joint);
    joint.erase();
  }

  LogicalResult gather(func::FuncOp joint);
  void classify();
  void build(func::FuncOp joint);
  void buildPass(PassBody &pass, OpBuilder &builder, Location loc);
  /// Says what `pass` keeps for later passes of its stage.
  void remarkOn(const PassBody &pass) const;

  /// In the order in which one microbatch runs them: F of stage 0, 1, ..., then
  /// B and W of the last stage, ..., of stage 0.
  std::vector<PassBody> passes;
  DenseMap<Operation *, unsigned> passOf;
  /// What a value of the joint graph is in the pipeline: a block argument, a
  /// result of a pass, or a bundle's member (bundle and number).
  DenseMap<Value, Value> plain;
  DenseMap<std::pair<unsigned, unsigned>, Value> bundles; // (pass, for weight)
  int64_t numStages = 0;
};

} // namespace

/// Calls `callback` with every value that `op` needs from outside of its own
/// pass, looking through what passes repeat: repeated ops and reshapes.
static void forEachNeed(Operation *op, function_ref<bool(Operation *)> isOwnOp,
                        function_ref<void(Value)> callback) {
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    if (producer && isOwnOp(producer))
      continue;
    if (producer && (isRepeated(producer) || isReshape(producer)))
      forEachNeed(producer, isOwnOp, callback);
    else
      callback(operand);
  }
}

LogicalResult OutlineStages::gather(func::FuncOp joint) {
  Block &body = joint.getBody().front();
  std::map<std::pair<int64_t, int>, SmallVector<Operation *>> opsOf;
  for (Operation &op : body) {
    if (isRepeated(&op) || op.hasTrait<OpTrait::IsTerminator>())
      continue;
    std::optional<int64_t> stage = getInteger(&op, attr::stage);
    auto kind = op.getAttrOfType<PassKindAttr>(attr::pass);
    if (!stage || !kind)
      return op.emitOpError("has no stage and pass; run weir-partition and "
                            "weir-split-backward first");
    if (*stage < 0 || *stage >= maxStages)
      return op.emitOpError("is of stage ")
             << *stage << ", but stages are 0 to " << maxStages - 1;
    if (kind.getValue() == PassKind::Backward ||
        kind.getValue() == PassKind::Update)
      return op.emitOpError("is of pass ")
             << stringifyPassKind(kind.getValue())
             << "; an op is forward, backward_input or backward_weight";
    opsOf[{*stage, static_cast<int>(kind.getValue())}].push_back(&op);
    numStages = std::max(numStages, *stage + 1);
  }
  if (opsOf.empty())
    return joint.emitOpError("has no op that belongs to a stage");
  auto opsOfPass = [&](int64_t stage, PassKind kind) {
    auto it = opsOf.find({stage, static_cast<int>(kind)});
    return it == opsOf.end() ? SmallVector<Operation *>() : it->second;
  };
  for (int64_t s = 0; s < numStages; ++s)
    if (opsOfPass(s, PassKind::Forward).empty())
      return joint.emitOpError("has no forward op of stage ")
             << s << ", but ops of stage " << numStages - 1;
  int64_t firstBackward = numStages;
  for (int64_t s = numStages - 1; s >= 0; --s)
    if (!opsOfPass(s, PassKind::BackwardInput).empty() ||
        !opsOfPass(s, PassKind::BackwardWeight).empty())
      firstBackward = s;
  auto add = [&](int64_t stage, PassKind kind) {
    SmallVector<Operation *> ops = opsOfPass(stage, kind);
    // A stage may have nothing to do on the way back, as one that only adds
    // has: the gradient of a sum is that of its result. An empty pass keeps the
    // chain of passes that schedules are made of.
    bool isLink = kind == PassKind::BackwardInput && stage > firstBackward;
    if (!ops.empty() || isLink)
      passes.push_back({stage, kind, ops, {}, {}, {}, {}});
  };
  for (int64_t s = 0; s < numStages; ++s)
    add(s, PassKind::Forward);
  for (int64_t s = numStages - 1; s >= 0; --s) {
    add(s, PassKind::BackwardInput);
    add(s, PassKind::BackwardWeight);
  }
  for (auto [index, pass] : llvm::enumerate(passes))
    for (Operation *op : pass.ops)
      passOf[op] = index;

  for (auto [index, pass] : llvm::enumerate(passes))
    for (Operation *op : pass.ops) {
      pass.seconds += getDouble(op, attr::seconds);
      unsigned own = index;
      LogicalResult ordered = success();
      // The body is in the order of one microbatch too, so a pass that needs
      // something of a later one means that the colours are wrong.
      auto isOwnOp = [&](Operation *producer) {
        auto it = passOf.find(producer);
        return it != passOf.end() && it->second == own;
      };
      forEachNeed(op, isOwnOp, [&](Value value) {
        pass.needs.insert(value);
        Operation *producer = value.getDefiningOp();
        if (producer && !isBufferTensor(value.getType())) {
          InFlightDiagnostic diag = op->emitOpError("needs a value of another "
                                                    "pass that no buffer can "
                                                    "hold: ")
                                    << value.getType();
          diag.attachNote(producer->getLoc()) << "value produced here";
          ordered = failure();
          return;
        }
        if (!producer || passOf.lookup(producer) < own)
          return;
        InFlightDiagnostic diag =
            op->emitOpError("needs a value that a later pass makes");
        diag.attachNote(producer->getLoc()) << "value produced here";
        ordered = failure();
      });
      if (failed(ordered))
        return failure();
    }
  return success();
}

void OutlineStages::classify() {
  // What another stage takes is passed as it is, to the passes of its own stage
  // too; the rest is kept in bundles.
  for (PassBody &pass : passes)
    for (Value value : pass.needs)
      if (Operation *producer = value.getDefiningOp()) {
        PassBody &from = passes[passOf.lookup(producer)];
        if (from.stage != pass.stage)
          from.outputs.insert(value);
      }
  for (PassBody &pass : passes)
    for (Value value : pass.needs) {
      Operation *producer = value.getDefiningOp();
      if (!producer)
        continue;
      PassBody &from = passes[passOf.lookup(producer)];
      if (from.stage != pass.stage || from.outputs.contains(value))
        continue;
      if (pass.kind == PassKind::BackwardWeight) {
        from.keptForInput.remove(value);
        from.keptForWeight.insert(value);
      } else if (!from.keptForWeight.contains(value)) {
        from.keptForInput.insert(value);
      }
    }
}

/// "3 values of 1024 bytes for backward_input"
static std::string describeKept(const llvm::SetVector<Value> &values,
                                PassKind reader) {
  int64_t bytes = 0;
  for (Value value : values)
    bytes += getTensorBytes(cast<RankedTensorType>(value.getType()));
  return (Twine(values.size()) + (values.size() == 1 ? " value" : " values") +
          " of " + Twine(bytes) + " bytes for " + stringifyPassKind(reader))
      .str();
}

void OutlineStages::remarkOn(const PassBody &pass) const {
  SmallVector<std::string> kept;
  if (!pass.keptForInput.empty())
    kept.push_back(describeKept(pass.keptForInput, PassKind::BackwardInput));
  if (!pass.keptForWeight.empty())
    kept.push_back(describeKept(pass.keptForWeight, PassKind::BackwardWeight));
  if (kept.empty())
    return;
  SmallVector<Value> values(pass.keptForInput.begin(), pass.keptForInput.end());
  llvm::append_range(values, pass.keptForWeight);
  // Of values of one size the first one: it does not depend on addresses.
  auto bytesOf = [](Value value) {
    return getTensorBytes(cast<RankedTensorType>(value.getType()));
  };
  Value largest = values.front();
  for (Value value : values)
    if (bytesOf(value) > bytesOf(largest))
      largest = value;
  Operation *maker = largest.getDefiningOp();
  std::optional<int64_t> number = getInteger(maker, attr::op);
  std::string name = maker->getName().getStringRef().str();
  if (number)
    name = "op " + std::to_string(*number) + " (" + name + ")";
  remark::analysis(maker->getLoc(), remark::RemarkOpts::name("kept").category(
                                        "weir-outline-stages"))
      << (stringifyPassKind(pass.kind) + " of stage " + Twine(pass.stage) +
          " keeps " + llvm::join(kept, ", ") +
          " per microbatch; the largest, " + Twine(bytesOf(largest)) +
          " bytes, is made by " + name)
             .str();
}

void OutlineStages::buildPass(PassBody &pass, OpBuilder &builder,
                              Location loc) {
  MLIRContext *context = builder.getContext();
  // Operands: every plain value, and every bundle that has a member it needs.
  llvm::SetVector<Value> operands;
  for (Value value : pass.needs) {
    if (Value outer = plain.lookup(value)) {
      operands.insert(outer);
      continue;
    }
    unsigned from = passOf.lookup(value.getDefiningOp());
    bool forWeight = passes[from].keptForWeight.contains(value);
    operands.insert(bundles.lookup({from, forWeight}));
  }

  auto bundleType = [&](const llvm::SetVector<Value> &members) {
    SmallVector<RankedTensorType> types;
    for (Value member : members)
      types.push_back(cast<RankedTensorType>(member.getType()));
    return BundleType::get(context, types);
  };
  SmallVector<Type> resultTypes;
  for (Value output : pass.outputs)
    resultTypes.push_back(output.getType());
  if (!pass.keptForInput.empty())
    resultTypes.push_back(bundleType(pass.keptForInput));
  if (!pass.keptForWeight.empty())
    resultTypes.push_back(bundleType(pass.keptForWeight));

  StringRef name = pass.kind == PassKind::Forward
                       ? ForwardOp::getOperationName()
                   : pass.kind == PassKind::BackwardInput
                       ? BackwardInputOp::getOperationName()
                       : BackwardWeightOp::getOperationName();
  OperationState state(loc, name);
  state.addOperands(operands.getArrayRef());
  state.addTypes(resultTypes);
  state.addAttribute("stage", builder.getI64IntegerAttr(pass.stage));
  if (pass.seconds > 0)
    state.addAttribute("seconds", builder.getF64FloatAttr(pass.seconds));
  Region *region = state.addRegion();
  Block *block = new Block();
  region->push_back(block);
  for (Value operand : operands)
    block->addArgument(operand.getType(), operand.getLoc());
  pass.op = builder.create(state);

  OpBuilder inner = OpBuilder::atBlockBegin(block);
  IRMapping mapping;
  DenseMap<Value, BlockArgument> argumentOf;
  for (auto [operand, argument] : llvm::zip(operands, block->getArguments()))
    argumentOf[operand] = argument;
  // Unpack each bundle once; give every needed value its name inside.
  DenseMap<Value, UnpackOp> unpacked;
  for (Value value : pass.needs) {
    if (Value outer = plain.lookup(value)) {
      mapping.map(value, argumentOf.lookup(outer));
      continue;
    }
    unsigned from = passOf.lookup(value.getDefiningOp());
    bool forWeight = passes[from].keptForWeight.contains(value);
    const llvm::SetVector<Value> &members =
        forWeight ? passes[from].keptForWeight : passes[from].keptForInput;
    Value bundle = bundles.lookup({from, forWeight});
    UnpackOp &unpack = unpacked[bundle];
    if (!unpack)
      unpack = UnpackOp::create(inner, loc, TypeRange(members.getArrayRef()),
                                argumentOf.lookup(bundle));
    mapping.map(value,
                unpack.getResult(llvm::find(members, value) - members.begin()));
  }

  auto clone = [&](Operation *op, auto &&clone) -> void {
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (!producer || mapping.contains(operand))
        continue;
      clone(producer, clone);
    }
    Operation *copy = inner.clone(*op, mapping);
    for (StringRef name :
         {StringRef(attr::op), StringRef(attr::adjointOf),
          StringRef(attr::activationGradient), StringRef(attr::stage),
          StringRef(attr::pass), StringRef(attr::flops), StringRef(attr::bytes),
          StringRef(attr::seconds), StringRef(attr::layer),
          StringRef(attr::stageBegin)})
      copy->removeDiscardableAttr(name);
  };
  for (Operation *op : pass.ops)
    if (op->getNumResults() == 0 || !mapping.contains(op->getResult(0)))
      clone(op, clone);

  SmallVector<Value> yielded;
  for (Value output : pass.outputs)
    yielded.push_back(mapping.lookup(output));
  auto pack = [&](const llvm::SetVector<Value> &members) {
    if (members.empty())
      return;
    SmallVector<Value> values;
    for (Value member : members)
      values.push_back(mapping.lookup(member));
    yielded.push_back(PackOp::create(inner, loc, bundleType(members), values));
  };
  pack(pass.keptForInput);
  pack(pass.keptForWeight);
  YieldOp::create(inner, loc, yielded);
}

void OutlineStages::build(func::FuncOp joint) {
  OpBuilder builder(joint);
  Location loc = joint.getLoc();
  SmallVector<Attribute> inputs;
  for (BlockArgument argument : joint.getArguments()) {
    auto input = joint.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                    attr::input);
    inputs.push_back(
        input ? input
              : builder.getStringAttr("arg" + Twine(argument.getArgNumber())));
  }
  auto pipeline = PipelineOp::create(
      builder, loc, joint.getSymNameAttr(), StringAttr(),
      builder.getI64IntegerAttr(numStages), builder.getArrayAttr(inputs));
  if (Attribute classes = joint->getAttr(attr::classes))
    pipeline->setAttr(attr::classes, classes);
  Block *body = new Block();
  pipeline.getBody().push_back(body);
  for (BlockArgument argument : joint.getArguments())
    plain[argument] = body->addArgument(argument.getType(), argument.getLoc());
  builder.setInsertionPointToStart(body);
  for (auto [index, pass] : llvm::enumerate(passes)) {
    buildPass(pass, builder, loc);
    unsigned result = 0;
    for (Value output : pass.outputs)
      plain[output] = pass.op->getResult(result++);
    if (!pass.keptForInput.empty())
      bundles[{unsigned(index), 0}] = pass.op->getResult(result++);
    if (!pass.keptForWeight.empty())
      bundles[{unsigned(index), 1}] = pass.op->getResult(result++);
  }
}
