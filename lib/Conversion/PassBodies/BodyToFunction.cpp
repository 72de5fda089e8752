//===- BodyToFunction.cpp - a pass body as a function of buffers ----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BodyToFunction.h"

#include "weir/Analysis/PassBuffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weir;

namespace {

using Kind = PassBuffer::Kind;

/// Builds one body function.
class BodyBuilder {
public:
  BodyBuilder(StagePassOpInterface pass, OpBuilder &builder)
      : pass(pass), builder(builder), entry(builder.getContext()),
        loc(pass.getLoc()) {}

  func::FuncOp build();

private:
  MemRefType getBufferType(Type type);
  Value getMember(Value bytes, int64_t offset, RankedTensorType type);
  Value readTensor(Value memref, bool writable);
  void bindArguments();
  void convert(Operation &op);
  void convertCustom(CustomOp custom);
  void convertYield(YieldOp yield);
  Value undoReshape(Operation *reshape, Value memref);
  void store(Value value, Value memref);
  void accumulate(Value gradient, Value memref);
  bool accumulateInPlace(Value gradient, Value memref);
  Value addElementwise(Value lhs, Value rhs);
  Value findBuffer(Kind kind, int64_t index, StringRef variable);

  StagePassOpInterface pass;
  /// At the end of the function.
  OpBuilder &builder;
  /// Before the first op of the body: views and tensors of buffers.
  OpBuilder entry;
  Location loc;
  SmallVector<PassBuffer> buffers;
  func::FuncOp function;
  IRMapping mapping;
  /// The bundle that each `weir.pack` makes, by its members.
  DenseMap<Value, SmallVector<Value>> bundles;
  /// Buffer of bytes that holds a bundle given to the pass.
  DenseMap<Value, Value> bundleBuffers;
  /// The tensor of each buffer that was read.
  DenseMap<Value, Value> tensors;
  /// How many ops add to each accumulator.
  DenseMap<Value, int64_t> accumulations;
  /// What an accumulator holds after the ops so far.
  llvm::MapVector<Value, Value> accumulators;
};

} // namespace

MemRefType BodyBuilder::getBufferType(Type type) {
  if (isa<BundleType>(type))
    return MemRefType::get({getValueBytes(type)}, builder.getI8Type());
  auto tensor = cast<RankedTensorType>(type);
  return MemRefType::get(tensor.getShape(), tensor.getElementType());
}

Value BodyBuilder::getMember(Value bytes, int64_t offset,
                             RankedTensorType type) {
  Value shift = arith::ConstantIndexOp::create(entry, loc, offset);
  return memref::ViewOp::create(entry, loc, getBufferType(type), bytes, shift,
                                ValueRange());
}

/// The tensor in `memref`. One per buffer: `restrict` promises that there is no
/// other.
Value BodyBuilder::readTensor(Value memref, bool writable) {
  Value &tensor = tensors[memref];
  if (!tensor) {
    auto type = cast<MemRefType>(memref.getType());
    tensor = bufferization::ToTensorOp::create(
        entry, loc,
        RankedTensorType::get(type.getShape(), type.getElementType()), memref,
        /*restrict=*/true, writable);
  }
  return tensor;
}

Value BodyBuilder::findBuffer(Kind kind, int64_t index, StringRef variable) {
  for (auto [buffer, argument] :
       llvm::zip(buffers, function.getBody().getArguments()))
    if (buffer.kind == kind && buffer.index == index &&
        buffer.variable == variable)
      return argument;
  llvm_unreachable("every buffer a body names is listed");
}

/// Gives every argument of the body its tensor.
void BodyBuilder::bindArguments() {
  Block &body = pass.getBodyBlock();
  if (isa<UpdateOp>(pass.getOperation())) {
    for (auto [buffer, inner, argument] : llvm::zip(
             buffers, body.getArguments(), function.getBody().getArguments()))
      mapping.map(inner, readTensor(argument, buffer.kind == Kind::Parameter ||
                                                  buffer.kind == Kind::State));
    return;
  }
  for (BlockArgument inner : body.getArguments()) {
    Value argument = function.getArgument(inner.getArgNumber());
    if (isa<BundleType>(inner.getType()))
      bundleBuffers[inner] = argument;
    else if (!inner.use_empty())
      mapping.map(inner, readTensor(argument, /*writable=*/false));
  }
}

func::FuncOp BodyBuilder::build() {
  buffers = getPassBuffers(pass);
  llvm::erase_if(buffers, [](const PassBuffer &buffer) {
    return buffer.kind == Kind::Workspace;
  });
  SmallVector<Type> types;
  for (const PassBuffer &buffer : buffers)
    types.push_back(getBufferType(buffer.type));
  function = func::FuncOp::create(builder, loc, "body",
                                  builder.getFunctionType(types, {}));
  function.setPrivate();
  OpBuilder::InsertionGuard guard(builder);
  Block *block = function.addEntryBlock();
  builder.setInsertionPointToEnd(block);
  auto end = func::ReturnOp::create(builder, loc);
  // Everything of the buffers goes before this mark, everything else after it.
  auto mark = arith::ConstantIndexOp::create(builder, loc, 0);
  mark->moveBefore(end);
  entry.setInsertionPoint(mark);
  builder.setInsertionPoint(end);
  bindArguments();
  for (Operation &op : pass.getBodyBlock())
    if (auto accumulateOp = dyn_cast<AccumulateOp>(op))
      ++accumulations[findBuffer(Kind::Gradient, accumulateOp.getUse(),
                                 accumulateOp.getVariable())];
  for (Operation &op : pass.getBodyBlock())
    convert(op);
  for (auto [memref, tensor] : accumulators)
    store(tensor, memref);
  mark.erase();
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*block)))
    if (isOpTriviallyDead(&op))
      op.erase();
  return function;
}

void BodyBuilder::convert(Operation &op) {
  if (auto read = dyn_cast<ReadOp>(op)) {
    Value buffer = findBuffer(Kind::Parameter, 0, read.getVariable());
    mapping.map(read.getResult(), readTensor(buffer, /*writable=*/false));
    return;
  }
  if (auto unpack = dyn_cast<UnpackOp>(op)) {
    Value bytes = bundleBuffers.lookup(unpack.getBundle());
    if (!bytes) {
      // A bundle that this very body packed.
      mapping.map(unpack.getMembers(), bundles.lookup(unpack.getBundle()));
      return;
    }
    SmallVector<int64_t> offsets =
        getMemberOffsets(unpack.getBundle().getType());
    for (auto [member, offset] : llvm::zip(unpack.getMembers(), offsets)) {
      if (member.use_empty())
        continue;
      Value view =
          getMember(bytes, offset, cast<RankedTensorType>(member.getType()));
      mapping.map(member, readTensor(view, /*writable=*/false));
    }
    return;
  }
  if (auto pack = dyn_cast<PackOp>(op)) {
    SmallVector<Value> &members = bundles[pack.getBundle()];
    for (Value member : pack.getMembers())
      members.push_back(mapping.lookup(member));
    return;
  }
  if (auto accumulateOp = dyn_cast<AccumulateOp>(op)) {
    accumulate(accumulateOp.getGradient(),
               findBuffer(Kind::Gradient, accumulateOp.getUse(),
                          accumulateOp.getVariable()));
    return;
  }
  if (auto report = dyn_cast<ReportOp>(op)) {
    accumulate(report.getLoss(), findBuffer(Kind::Loss, 0, {}));
    accumulate(report.getCount(), findBuffer(Kind::Count, 0, {}));
    return;
  }
  if (auto custom = dyn_cast<CustomOp>(op))
    return convertCustom(custom);
  if (auto yield = dyn_cast<YieldOp>(op))
    return convertYield(yield);
  Operation *clone = builder.clone(op, mapping);
  SmallVector<StringAttr> names;
  for (NamedAttribute attribute : clone->getDiscardableAttrs())
    if (attribute.getName().strref().starts_with("weir.") &&
        attribute.getName() != attr::lanes)
      names.push_back(attribute.getName());
  for (StringAttr name : names)
    clone->removeDiscardableAttr(name);
  return;
}

/// A call gets a destination for every result, and one more for its workspace.
void BodyBuilder::convertCustom(CustomOp custom) {
  KernelOp kernel = custom.lookupKernel();
  SmallVector<Type> types(custom.getOutputs().getTypes());
  if (int64_t bytes = kernel.getWorkspace().value_or(0))
    types.push_back(RankedTensorType::get({bytes}, builder.getI8Type()));
  SmallVector<Value> inputs, outs;
  for (Value input : custom.getInputs())
    inputs.push_back(mapping.lookup(input));
  for (Type type : types) {
    auto tensor = cast<RankedTensorType>(type);
    outs.push_back(tensor::EmptyOp::create(
        builder, custom.getLoc(), tensor.getShape(), tensor.getElementType()));
  }
  auto call = CallKernelOp::create(builder, custom.getLoc(), types,
                                   kernel.getFunctionName(), inputs, outs);
  mapping.map(custom.getOutputs(),
              call.getOutputs().take_front(custom.getNumResults()));
}

void BodyBuilder::convertYield(YieldOp yield) {
  bool isUpdate = isa<UpdateOp>(pass.getOperation());
  for (auto [index, value] : llvm::enumerate(yield.getValues())) {
    Value buffer;
    if (!isUpdate)
      buffer = findBuffer(Kind::Result, index, {});
    else if (index == 0)
      buffer = function.getArgument(0);
    else
      buffer = findBuffer(Kind::State, index - 1,
                          cast<UpdateOp>(pass.getOperation()).getVariable());
    if (!isa<BundleType>(value.getType())) {
      store(mapping.lookup(value), buffer);
      continue;
    }
    if (Value bytes = bundleBuffers.lookup(value)) {
      memref::CopyOp::create(builder, loc, bytes, buffer);
      continue;
    }
    auto bundle = cast<BundleType>(value.getType());
    for (auto [member, offset, type] :
         llvm::zip(bundles.lookup(value), getMemberOffsets(bundle),
                   bundle.getMembers()))
      store(member, getMember(buffer, offset, type));
  }
}

/// The view of `memref`, which holds the result of a reshape, that holds the
/// reshaped tensor.
Value BodyBuilder::undoReshape(Operation *reshape, Value memref) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(reshape))
    return memref::CollapseShapeOp::create(entry, loc, memref,
                                           expand.getReassociationIndices());
  auto collapse = cast<tensor::CollapseShapeOp>(reshape);
  return memref::ExpandShapeOp::create(entry, loc,
                                       collapse.getSrcType().getShape(), memref,
                                       collapse.getReassociationIndices());
}

/// Stores a tensor in a buffer. Where the tensor is a reshape of another, that
/// one is stored in a reshape of the buffer: a reshaped result would cost a
/// copy.
void BodyBuilder::store(Value value, Value memref) {
  while (isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
      value.getDefiningOp())) {
    memref = undoReshape(value.getDefiningOp(), memref);
    value = value.getDefiningOp()->getOperand(0);
  }
  bufferization::MaterializeInDestinationOp::create(
      builder, loc, /*result=*/Type(), value, memref, /*restrict=*/true,
      /*writable=*/true);
}

Value BodyBuilder::addElementwise(Value lhs, Value rhs) {
  auto type = cast<RankedTensorType>(lhs.getType());
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, type, rhs, lhs, ArrayRef{identity, identity},
             iterators,
             [&](OpBuilder &b, Location loc, ValueRange arguments) {
               Value term = arguments[0];
               if (term.getType() != type.getElementType())
                 term = arith::TruncFOp::create(b, loc, type.getElementType(),
                                                term);
               Value sum = arith::AddFOp::create(b, loc, arguments[1], term);
               linalg::YieldOp::create(b, loc, sum);
             })
      .getResult(0);
}

/// Adds `gradient`, a value of the body, to the accumulator `memref`.
void BodyBuilder::accumulate(Value gradient, Value memref) {
  if (accumulateInPlace(gradient, memref))
    return;
  Value &total = accumulators[memref];
  if (!total)
    total = readTensor(memref, /*writable=*/true);
  total = addElementwise(total, mapping.lookup(gradient));
}

/// Whether `value` is a tensor of zeros.
static bool isZero(Value value) {
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    value = fill.value();
  Attribute attribute;
  if (!matchPattern(value, m_Constant(&attribute)))
    return false;
  if (auto splat = dyn_cast<SplatElementsAttr>(attribute))
    attribute = splat.getSplatValue<Attribute>();
  auto number = dyn_cast<FloatAttr>(attribute);
  return number && number.getValue().isPosZero();
}

/// Makes a product or scattered rows start from the accumulator instead of from
/// zeros, if being accumulated is their only use. Reshapes in between are
/// undone on the accumulator.
bool BodyBuilder::accumulateInPlace(Value gradient, Value memref) {
  if (accumulations[memref] > 1)
    return false;
  SmallVector<Operation *> reshapes;
  Value value = gradient;
  while (value.hasOneUse() &&
         isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
             value.getDefiningOp())) {
    reshapes.push_back(value.getDefiningOp());
    value = reshapes.back()->getOperand(0);
  }
  if (!value.hasOneUse() ||
      !isa_and_nonnull<linalg::ContractOp, ScatterAddOp>(value.getDefiningOp()))
    return false;
  Operation *clone = mapping.lookup(value).getDefiningOp();
  OpOperand &init =
      isa<ScatterAddOp>(clone)
          ? cast<ScatterAddOp>(clone).getInitMutable()
          : cast<linalg::ContractOp>(clone).getDpsInitsMutable()[0];
  if (!isZero(init.get()))
    return false;
  for (Operation *reshape : reshapes)
    memref = undoReshape(reshape, memref);
  init.set(readTensor(memref, /*writable=*/true));
  store(clone->getResult(0), memref);
  return true;
}

llvm::hash_code weir::hashBodyFunction(func::FuncOp function) {
  llvm::hash_code hash = mlir::hash_value(Type(function.getFunctionType()));
  function.getBody().walk([&](Operation *op) {
    hash = llvm::hash_combine(hash, op->getName(), op->getAttrDictionary(),
                              llvm::hash_combine_range(op->getResultTypes()));
  });
  return hash;
}

bool weir::areBodyFunctionsEqual(func::FuncOp lhs, func::FuncOp rhs) {
  return lhs.getFunctionType() == rhs.getFunctionType() &&
         OperationEquivalence::isRegionEquivalentTo(
             &lhs.getBody(), &rhs.getBody(),
             OperationEquivalence::Flags::IgnoreLocations);
}

func::FuncOp weir::buildBodyFunction(StagePassOpInterface pass,
                                     OpBuilder &builder) {
  return BodyBuilder(pass, builder).build();
}
