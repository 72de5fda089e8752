//===- LoopEmission.cpp - vector loops for elementwise and reducing ops ---===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One linalg.generic becomes one loop nest:
//
//   for outer parallel dims
//     for strips of the vector dim, if it is parallel
//       for reduced dims, if any                    (vector dim last, if
//       reduced)
//         body on vectors
//
// A body op is emitted in the outermost loop that its operands allow, as a
// scalar unless it depends on the vector dim.
//
// Reductions keep the order that weir-fix-rounding states: element i of the
// reduced dims goes to lane i mod L. There are three ways to hold the lanes:
//
//   rows      the vector dim is reduced: one vector holds the L lanes of one
//             result
//   columns   L vectors, each the same lane of neighbouring results; the
//             innermost reduced loop is unrolled L times
//   memory    as columns, but on the stack and with the lane computed, where
//   the
//             lane is not the same in every round of the innermost loop
//
// Lanes start from the neutral element (-0.0 for a sum), which changes no bit.
//
//===----------------------------------------------------------------------===//

#include "LoopEmission.h"

#include "../PassBodies/BufferizeBody.h"
#include "../PassBodies/LoopNest.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weir;

/// Bytes of a vector register that loops are made for. Only speed depends on
/// it.
static constexpr int64_t vectorBytes = 64;
/// A body with more ops than this is not unrolled over several vectors.
static constexpr int64_t maxUnrolledOps = 24;
static constexpr int64_t defaultLanes = 16;

namespace {

/// What is known on the way into the loops. Copied at every loop.
struct Scope {
  SmallVector<Value> pointers; ///< per access
  DenseMap<Value, Value> values;
  DenseMap<Value, Value> splats;
  SmallVector<Value> positions; ///< i64 per dim; null if not entered
  llvm::SmallBitVector entered;
  int64_t width = 1; ///< of the vector dim, once entered
  Value mask;        ///< null if all elements of the vector exist
};

class LoopEmitter : private LoopNest {
public:
  LoopEmitter(ImplicitLocOpBuilder &builder, linalg::GenericOp op,
              KernelEmitter &kernel)
      : LoopNest(op), b(builder), kernel(kernel) {}

  LogicalResult analyse();
  void emit();

private:
  using LoopBody =
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange carried)>;

  // Analysis.
  void chooseVectorDim();
  double getCost(int64_t dim) const;
  bool areLanesAligned(bool rows) const;

  // Scopes.
  Value constantI64(int64_t value) {
    return arith::ConstantIntOp::create(b, value, 64);
  }
  void enter(Scope &scope, unsigned dim, Value position, int64_t constant);
  void enterVector(Scope &scope, Value position, int64_t constant,
                   int64_t width, int64_t numValid);
  void evaluate(Scope &scope);
  bool isVector(const Scope &scope, Value value) const;
  Value getIndex(Scope &scope, linalg::IndexOp index);
  Value getVector(Scope &scope, Value value);
  Value load(Scope &scope, const Access &access, Value pointer);
  void store(Scope &scope, const Access &access, Value pointer, Value value);
  Value loadFromBuffer(Scope &scope, BodyLoad load);
  void evaluateOp(Scope &scope, Operation &inner);
  void storeElementwise(Scope &scope);

  // Loops.
  SmallVector<Value> emitLoop(int64_t from, int64_t to, int64_t step,
                              ValueRange carried, LoopBody emitBody);
  void emitParallel(Scope &scope, size_t depth);
  void emitStrips(Scope &scope);
  void emitPoint(Scope &scope);

  // Reductions.
  Value getNeutral(const Reduction &reduction, int64_t width);
  Value combine(const Reduction &reduction, Value lhs, Value rhs);
  Value getElement(Scope &scope, const Reduction &reduction, int64_t width);
  SmallVector<Value> combineAll(Scope &scope, ValueRange accumulators,
                                int64_t width);
  SmallVector<Value> reduceRows(Scope &scope, size_t depth,
                                ValueRange accumulators);
  SmallVector<Value> reduceColumns(Scope &scope, size_t depth,
                                   ValueRange accumulators);
  Value reduceInMemory(Scope &scope, size_t depth, Value counter,
                       ValueRange memory);
  SmallVector<Value> foldLanes(const Reduction &reduction,
                               SmallVector<Value> lanes);
  void finish(Scope &scope, const Reduction &reduction, Value total);

  ImplicitLocOpBuilder &b;
  KernelEmitter &kernel;
  int64_t vectorDim = -1;
  bool vectorIsReduced = false;
  bool lanesInMemory = false;
  int64_t lanes = defaultLanes;
  int64_t width = 1;
};

} // namespace

//===----------------------------------------------------------------------===//
// Analysis
//===----------------------------------------------------------------------===//

/// Whether a chunk of L elements of the innermost reduced loop always starts at
/// lane 0.
bool LoopEmitter::areLanesAligned(bool rows) const {
  return reducedDims.size() == 1 || sizes[reducedDims.back()] % lanes == 0;
}

/// Memory operations per element if `dim` is the vector dim.
double LoopEmitter::getCost(int64_t dim) const {
  double cost = 0.1 * numBodyOps;
  for (const Access &access : accesses) {
    int64_t stride = access.strides[dim];
    cost += stride == 0 ? 0.0 : stride == 1 ? 1.0 : 2.0 * width;
  }
  for (BodyLoad load : bodyLoads)
    if (dims.lookup(load.op.getResult()).test(dim))
      cost += load.contiguousDim == dim ? 1.0 : 2.0 * width;
  bool isReduced = llvm::is_contained(reducedDims, static_cast<unsigned>(dim));
  if (isReduced)
    cost += 0.5;
  else if (!reductions.empty() && !areLanesAligned(false))
    cost *= 4.0;
  return cost / std::min(sizes[dim], isReduced ? lanes : width);
}

void LoopEmitter::chooseVectorDim() {
  int64_t bytes = 1;
  for (const Access &access : accesses)
    if (access.element.isIntOrFloat())
      bytes = std::max(bytes, getElementBytes(access.element));
  width = vectorBytes / bytes;
  SmallVector<unsigned> candidates(parallelDims);
  if (!reductions.empty() && areLanesAligned(true) && lanes > 1)
    candidates.push_back(reducedDims.back());
  double best = std::numeric_limits<double>::infinity();
  for (unsigned dim : candidates) {
    double cost = getCost(dim);
    if (cost < best || (cost == best && int64_t(dim) > vectorDim)) {
      best = cost;
      vectorDim = dim;
    }
  }
  vectorIsReduced =
      vectorDim >= 0 && llvm::is_contained(reducedDims, unsigned(vectorDim));
  lanesInMemory =
      !reductions.empty() && !vectorIsReduced && !areLanesAligned(false);
  llvm::erase(parallelDims, static_cast<unsigned>(vectorDim));
}

LogicalResult LoopEmitter::analyse() {
  if (auto attribute = op->getAttrOfType<IntegerAttr>(attr::lanes))
    lanes = attribute.getInt();
  if (!isNumberOfLanes(lanes))
    return op.emitOpError("has ") << attr::lanes << " = " << lanes
                                  << ", not a power of two up to "
                                  << largestLanes;
  if (failed(LoopNest::analyse("the host")))
    return failure();
  chooseVectorDim();
  return success();
}

//===----------------------------------------------------------------------===//
// Scopes
//===----------------------------------------------------------------------===//

/// Moves into position `position` + `constant` of a loop.
void LoopEmitter::enter(Scope &scope, unsigned dim, Value position,
                        int64_t constant) {
  for (auto [access, pointer] : llvm::zip(accesses, scope.pointers)) {
    int64_t stride = access.strides[dim];
    if (stride == 0)
      continue;
    Value shift = position;
    if (position && stride != 1)
      shift = arith::MulIOp::create(b, position, constantI64(stride));
    pointer = movePointer(b, pointer, access.element, shift, constant * stride);
  }
  if (indexed.test(dim)) {
    Value sum = constantI64(constant);
    if (position)
      sum = constant == 0 ? position
                          : arith::AddIOp::create(b, position, sum).getResult();
    scope.positions[dim] = sum;
  }
  scope.entered.set(dim);
}

/// Enters the vector dim; only the first `numValid` elements exist.
void LoopEmitter::enterVector(Scope &scope, Value position, int64_t constant,
                              int64_t width, int64_t numValid) {
  enter(scope, vectorDim, position, constant);
  scope.width = width;
  if (numValid == width)
    return;
  SmallVector<bool> bits(width, false);
  std::fill(bits.begin(), bits.begin() + numValid, true);
  auto type = VectorType::get({width}, b.getI1Type());
  scope.mask =
      arith::ConstantOp::create(b, type, DenseElementsAttr::get(type, bits));
}

bool LoopEmitter::isVector(const Scope &scope, Value value) const {
  auto it = dims.find(value);
  return scope.width > 1 && it != dims.end() && vectorDim >= 0 &&
         it->second.test(vectorDim);
}

/// The constant `value` in all elements of a vector, or the scalar if `width`
/// is 1.
static Value createSplat(ImplicitLocOpBuilder &b, TypedAttr value,
                         int64_t width) {
  if (width == 1)
    return arith::ConstantOp::create(b, value);
  auto type = VectorType::get({width}, value.getType());
  return arith::ConstantOp::create(
      b, type, DenseElementsAttr::get(type, ArrayRef<Attribute>{value}));
}

/// A value of the kernel as a vector of the scope's width.
Value LoopEmitter::getVector(Scope &scope, Value value) {
  if (scope.width == 1 || isa<VectorType>(value.getType()))
    return value;
  Value &splat = scope.splats[value];
  if (splat)
    return splat;
  if (auto constant = value.getDefiningOp<arith::ConstantOp>())
    splat = createSplat(b, constant.getValue(), scope.width);
  else
    splat = vector::BroadcastOp::create(
        b, VectorType::get({scope.width}, value.getType()), value);
  return splat;
}

Value LoopEmitter::getIndex(Scope &scope, linalg::IndexOp index) {
  Type type = b.getIndexType();
  unsigned dim = index.getDim();
  if (!scope.positions[dim])
    return arith::ConstantIndexOp::create(b, 0);
  Value position = arith::IndexCastOp::create(b, type, scope.positions[dim]);
  if (!isVector(scope, index.getResult()))
    return position;
  SmallVector<Attribute> steps;
  for (int64_t i = 0; i < scope.width; ++i)
    steps.push_back(b.getIndexAttr(i));
  auto vectorType = VectorType::get({scope.width}, type);
  Value step = arith::ConstantOp::create(
      b, vectorType, DenseElementsAttr::get(vectorType, steps));
  return arith::AddIOp::create(b, getVector(scope, position), step);
}

/// Integer types of memory to those of the body, and back.
static Value fromStorage(ImplicitLocOpBuilder &b, Value value, Type element) {
  Type type = element;
  if (auto vectorType = dyn_cast<VectorType>(value.getType()))
    type = vectorType.clone(element);
  if (element.isIndex())
    return arith::IndexCastOp::create(b, type, value);
  if (element.isInteger(1))
    return arith::TruncIOp::create(b, type, value);
  return value;
}

static Value toStorage(ImplicitLocOpBuilder &b, Value value) {
  Type element = getElementTypeOrSelf(value.getType());
  Type type = getStorageType(element);
  if (auto vectorType = dyn_cast<VectorType>(value.getType()))
    type = vectorType.clone(type);
  if (element.isIndex())
    return arith::IndexCastOp::create(b, type, value);
  if (element.isInteger(1))
    return arith::ExtUIOp::create(b, type, value);
  return value;
}

/// The number of elements of the scope's vector that exist.
static int64_t getNumValid(const Scope &scope) {
  if (!scope.mask)
    return scope.width;
  DenseElementsAttr bits;
  matchPattern(scope.mask, m_Constant(&bits));
  return llvm::count(bits.getValues<bool>(), true);
}

/// Loads `width` neighbours at `pointer`.
static Value loadVector(ImplicitLocOpBuilder &b, const Scope &scope,
                        Value pointer, Type element) {
  Type storage = getStorageType(element);
  auto type = VectorType::get({scope.width}, storage);
  int64_t alignment = getElementBytes(element);
  Value value;
  if (!scope.mask) {
    value = LLVM::LoadOp::create(b, type, pointer, alignment);
  } else {
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
    value = LLVM::MaskedLoadOp::create(b, type, pointer, scope.mask, zero,
                                       alignment);
  }
  return fromStorage(b, value, element);
}

Value LoopEmitter::load(Scope &scope, const Access &access, Value pointer) {
  if (!isVector(scope, access.argument))
    return loadScalar(b, pointer, access.element);
  int64_t stride = access.strides[vectorDim];
  if (stride == 1)
    return loadVector(b, scope, pointer, access.element);
  auto type = VectorType::get({scope.width}, access.element);
  Value value = arith::ConstantOp::create(b, b.getZeroAttr(type));
  for (int64_t i = 0, e = getNumValid(scope); i < e; ++i) {
    Value address =
        movePointer(b, pointer, access.element, Value(), i * stride);
    value = vector::InsertOp::create(b, loadScalar(b, address, access.element),
                                     value, i);
  }
  return value;
}

void LoopEmitter::store(Scope &scope, const Access &access, Value pointer,
                        Value value) {
  if (scope.width == 1 || access.strides[vectorDim] == 0) {
    storeScalar(b, value, pointer);
    return;
  }
  value = getVector(scope, value);
  int64_t stride = access.strides[vectorDim];
  if (stride != 1) {
    for (int64_t i = 0, e = getNumValid(scope); i < e; ++i)
      storeScalar(b, vector::ExtractOp::create(b, value, i),
                  movePointer(b, pointer, access.element, Value(), i * stride));
    return;
  }
  value = toStorage(b, value);
  int64_t alignment = getElementBytes(access.element);
  if (scope.mask)
    LLVM::MaskedStoreOp::create(b, value, pointer, scope.mask, alignment);
  else
    LLVM::StoreOp::create(b, value, pointer, alignment);
}

Value LoopEmitter::loadFromBuffer(Scope &scope, BodyLoad load) {
  const Buffer &buffer = kernel.getBuffer(load.op.getMemRef());
  bool isVectorLoad = isVector(scope, load.op.getResult());
  bool isContiguous = isVectorLoad && load.contiguousDim == vectorDim;
  // The position in the kernel of element `i` of index `index`.
  auto getPosition = [&](Value index, int64_t i) -> Value {
    Value value = scope.values.lookup(index);
    if (!value)
      value = kernel.getScalar(index);
    if (isa<VectorType>(value.getType()))
      value = vector::ExtractOp::create(b, value, i);
    return arith::IndexCastOp::create(b, b.getI64Type(), value);
  };
  auto getAddress = [&](int64_t i) {
    Value address = buffer.base;
    for (auto [index, stride] : llvm::zip(load.op.getIndices(), buffer.strides))
      address = movePointer(
          b, address, buffer.element,
          arith::MulIOp::create(b, getPosition(index, i), constantI64(stride)),
          0);
    return address;
  };
  if (!isVectorLoad)
    return loadScalar(b, getAddress(0), buffer.element);
  if (isContiguous)
    return loadVector(b, scope, getAddress(0), buffer.element);
  auto type = VectorType::get({scope.width}, buffer.element);
  Value value = arith::ConstantOp::create(b, b.getZeroAttr(type));
  for (int64_t i = 0, e = getNumValid(scope); i < e; ++i)
    value = vector::InsertOp::create(
        b, loadScalar(b, getAddress(i), buffer.element), value, i);
  return value;
}

void LoopEmitter::evaluateOp(Scope &scope, Operation &inner) {
  Value result = inner.getResult(0);
  if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
    scope.values[result] = getIndex(scope, index);
    return;
  }
  if (isa<memref::LoadOp>(inner)) {
    const BodyLoad *load = llvm::find_if(
        bodyLoads, [&](const BodyLoad &l) { return l.op == &inner; });
    scope.values[result] = loadFromBuffer(scope, *load);
    return;
  }
  bool makesVector = isVector(scope, result);
  IRMapping mapping;
  for (Value operand : inner.getOperands()) {
    Value value = scope.values.lookup(operand);
    if (!value)
      value = kernel.getScalar(operand);
    mapping.map(operand, makesVector ? getVector(scope, value) : value);
  }
  // Elements that do not exist are 0 and must not be divided by.
  if (scope.mask && makesVector &&
      isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp,
          arith::CeilDivSIOp, arith::CeilDivUIOp, arith::FloorDivSIOp>(inner)) {
    Value divisor = mapping.lookup(inner.getOperand(1));
    Value one = createSplat(b, b.getOneAttr(result.getType()), scope.width);
    mapping.map(inner.getOperand(1),
                arith::SelectOp::create(b, scope.mask, divisor, one));
  }
  Operation *clone = b.clone(inner, mapping);
  if (auto fast = dyn_cast<arith::ArithFastMathInterface>(clone))
    clone->setAttr(fast.getFastMathAttrName(),
                   arith::FastMathFlagsAttr::get(b.getContext(),
                                                 arith::FastMathFlags::none));
  if (makesVector)
    clone->getResult(0).setType(
        VectorType::get({scope.width}, result.getType()));
  scope.values[result] = clone->getResult(0);
}

/// Emits what can be computed now and was not yet: everything whose dims have
/// been entered.
void LoopEmitter::evaluate(Scope &scope) {
  auto isReady = [&](Value value) {
    return !scope.values.contains(value) &&
           !dims.lookup(value).test(scope.entered);
  };
  auto isCombined = [&](Value value) {
    return llvm::any_of(reductions, [&](const Reduction &reduction) {
      return reduction.combiner->getResult(0) == value ||
             accesses[outputAccess[reduction.output]].argument == value;
    });
  };
  for (auto [access, pointer] : llvm::zip(accesses, scope.pointers))
    if (access.isLoaded && isReady(access.argument) &&
        !isCombined(access.argument))
      scope.values[access.argument] = load(scope, access, pointer);
  for (Operation &inner : body.without_terminator())
    if (isReady(inner.getResult(0)) && !isCombined(inner.getResult(0)))
      evaluateOp(scope, inner);
}

/// Stores the outputs that are not folded.
void LoopEmitter::storeElementwise(Scope &scope) {
  auto yield = cast<linalg::YieldOp>(body.getTerminator());
  for (auto [output, index] : llvm::enumerate(outputAccess)) {
    if (llvm::any_of(reductions, [&](const Reduction &reduction) {
          return reduction.output == output;
        }))
      continue;
    Value value = scope.values.lookup(yield.getOperand(output));
    if (!value)
      value = kernel.getScalar(yield.getOperand(output));
    store(scope, accesses[index], scope.pointers[index], value);
  }
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// Emits a loop; one that runs once or never is none.
SmallVector<Value> LoopEmitter::emitLoop(int64_t from, int64_t to, int64_t step,
                                         ValueRange carried,
                                         LoopBody emitBody) {
  if (from >= to)
    return SmallVector<Value>(carried);
  if (from + step >= to)
    return emitBody(constantI64(from), carried);
  auto loop = scf::ForOp::create(b, constantI64(from), constantI64(to),
                                 constantI64(step), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> results =
      emitBody(loop.getInductionVar(), loop.getRegionIterArgs());
  b.setInsertionPointToEnd(loop.getBody());
  if (!carried.empty())
    scf::YieldOp::create(b, results);
  return SmallVector<Value>(loop.getResults());
}

void LoopEmitter::emit() {
  Scope scope;
  for (const Access &access : accesses) {
    OpOperand *operand = op.getMatchingOpOperand(access.argument);
    const Buffer &buffer = kernel.getBuffer(operand->get());
    scope.pointers.push_back(
        movePointer(b, buffer.base, buffer.element, Value(), access.offset));
  }
  scope.positions.resize(sizes.size());
  scope.entered.resize(sizes.size());
  for (OpOperand *input : op.getDpsInputOperands())
    if (!isa<MemRefType>(input->get().getType()))
      scope.values[op.getMatchingBlockArgument(input)] =
          kernel.getScalar(input->get());
  auto initial = op->getAttrOfType<ArrayAttr>(initialValuesName);
  for (auto [output, index] : llvm::enumerate(outputAccess))
    if (initial && !isa<UnitAttr>(initial[output]))
      scope.values[accesses[index].argument] =
          arith::ConstantOp::create(b, cast<TypedAttr>(initial[output]));
  evaluate(scope);
  emitParallel(scope, 0);
}

void LoopEmitter::emitParallel(Scope &scope, size_t depth) {
  if (depth == parallelDims.size()) {
    emitStrips(scope);
    return;
  }
  unsigned dim = parallelDims[depth];
  emitLoop(0, sizes[dim], 1, {}, [&](Value iv, ValueRange) {
    Scope inner = scope;
    enter(inner, dim, iv, 0);
    evaluate(inner);
    emitParallel(inner, depth + 1);
    return SmallVector<Value>();
  });
}

/// Loops over the vector dim, if it is parallel: as many wide vectors as fit,
/// then single ones, then the rest.
void LoopEmitter::emitStrips(Scope &scope) {
  if (vectorDim < 0 || vectorIsReduced) {
    emitPoint(scope);
    return;
  }
  int64_t size = sizes[vectorDim];
  SmallVector<int64_t> widths;
  if (!reductions.empty() && !lanesInMemory && numBodyOps <= maxUnrolledOps) {
    int64_t wide = 16 / std::max<int64_t>(lanes * reductions.size(), 1);
    if (wide > 1)
      widths.push_back(wide * width);
  }
  widths.push_back(width);
  int64_t from = 0;
  for (int64_t vectorWidth : widths) {
    int64_t to = from + (size - from) / vectorWidth * vectorWidth;
    emitLoop(from, to, vectorWidth, {}, [&](Value iv, ValueRange) {
      Scope inner = scope;
      enterVector(inner, iv, 0, vectorWidth, vectorWidth);
      emitPoint(inner);
      return SmallVector<Value>();
    });
    from = to;
  }
  if (from < size) {
    Scope inner = scope;
    // A single element needs no vector.
    int64_t rest = size - from;
    enterVector(inner, Value(), from, rest == 1 ? 1 : width,
                rest == 1 ? 1 : rest);
    emitPoint(inner);
  }
}

/// Emits what is inside all parallel loops.
void LoopEmitter::emitPoint(Scope &scope) {
  evaluate(scope);
  if (reductions.empty()) {
    storeElementwise(scope);
    return;
  }
  if (vectorIsReduced) {
    SmallVector<Value> accumulators;
    for (const Reduction &reduction : reductions)
      accumulators.push_back(getNeutral(reduction, lanes));
    accumulators = reduceRows(scope, 0, accumulators);
    for (auto [reduction, accumulator] : llvm::zip(reductions, accumulators)) {
      // Halve the vector until one element is left.
      Value vector = accumulator;
      for (int64_t half = lanes / 2; half >= 1; half /= 2) {
        SmallVector<int64_t> low, high;
        for (int64_t i = 0; i < half; ++i) {
          low.push_back(i);
          high.push_back(i + half);
        }
        vector = combine(reduction,
                         vector::ShuffleOp::create(b, vector, vector, low),
                         vector::ShuffleOp::create(b, vector, vector, high));
      }
      finish(scope, reduction, vector::ExtractOp::create(b, vector, 0));
    }
    return;
  }
  SmallVector<Value> accumulators;
  if (lanesInMemory) {
    SmallVector<Value> memory;
    for (const Reduction &reduction : reductions) {
      Type element = reduction.element.getType();
      memory.push_back(kernel.createStackBuffer(element, lanes * scope.width));
      Value neutral = getNeutral(reduction, scope.width);
      for (int64_t lane = 0; lane < lanes; ++lane)
        LLVM::StoreOp::create(
            b, toStorage(b, neutral),
            movePointer(b, memory.back(), element, Value(), lane * scope.width),
            getElementBytes(element));
    }
    reduceInMemory(scope, 0, constantI64(0), memory);
    for (auto [reduction, pointer] : llvm::zip(reductions, memory)) {
      Type element = reduction.element.getType();
      Type type = getStorageType(element);
      if (scope.width > 1)
        type = VectorType::get({scope.width}, type);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        Value value = LLVM::LoadOp::create(
            b, type,
            movePointer(b, pointer, element, Value(), lane * scope.width),
            getElementBytes(element));
        accumulators.push_back(fromStorage(b, value, element));
      }
    }
  } else {
    for (const Reduction &reduction : reductions)
      accumulators.append(lanes, getNeutral(reduction, scope.width));
    accumulators = reduceColumns(scope, 0, accumulators);
  }
  for (auto [index, reduction] : llvm::enumerate(reductions)) {
    ArrayRef<Value> all(accumulators);
    SmallVector<Value> values(all.slice(index * lanes, lanes));
    for (int64_t half = lanes / 2; half >= 1; half /= 2)
      for (int64_t lane = 0; lane < half; ++lane)
        values[lane] = combine(reduction, values[lane], values[lane + half]);
    finish(scope, reduction, values[0]);
  }
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value LoopEmitter::getNeutral(const Reduction &reduction, int64_t width) {
  return createSplat(b, reduction.neutral, width);
}

Value LoopEmitter::combine(const Reduction &reduction, Value lhs, Value rhs) {
  OperationState state(b.getLoc(), reduction.combiner->getName());
  state.addOperands({lhs, rhs});
  state.addTypes(lhs.getType());
  return b.create(state)->getResult(0);
}

/// The elements to fold, `width` of them; those that do not exist are neutral.
Value LoopEmitter::getElement(Scope &scope, const Reduction &reduction,
                              int64_t width) {
  Value value = scope.values.lookup(reduction.element);
  if (!value)
    value = kernel.getScalar(reduction.element);
  if (width == 1)
    return value;
  value = getVector(scope, value);
  if (scope.mask && vectorIsReduced)
    value = arith::SelectOp::create(b, scope.mask, value,
                                    getNeutral(reduction, width));
  return value;
}

SmallVector<Value>
LoopEmitter::combineAll(Scope &scope, ValueRange accumulators, int64_t width) {
  SmallVector<Value> results;
  for (auto [reduction, accumulator] : llvm::zip(reductions, accumulators))
    results.push_back(
        combine(reduction, accumulator, getElement(scope, reduction, width)));
  return results;
}

SmallVector<Value> LoopEmitter::reduceRows(Scope &scope, size_t depth,
                                           ValueRange accumulators) {
  unsigned dim = reducedDims[depth];
  if (depth + 1 < reducedDims.size())
    return emitLoop(0, sizes[dim], 1, accumulators,
                    [&](Value iv, ValueRange carried) {
                      Scope inner = scope;
                      enter(inner, dim, iv, 0);
                      evaluate(inner);
                      return reduceRows(inner, depth + 1, carried);
                    });
  int64_t whole = sizes[dim] / lanes * lanes;
  SmallVector<Value> results = emitLoop(
      0, whole, lanes, accumulators, [&](Value iv, ValueRange carried) {
        Scope inner = scope;
        enterVector(inner, iv, 0, lanes, lanes);
        evaluate(inner);
        storeElementwise(inner);
        return combineAll(inner, carried, lanes);
      });
  if (whole == sizes[dim])
    return results;
  Scope inner = scope;
  enterVector(inner, Value(), whole, lanes, sizes[dim] - whole);
  evaluate(inner);
  storeElementwise(inner);
  return combineAll(inner, results, lanes);
}

/// `accumulators` holds the lanes of the first reduction, then those of the
/// next.
SmallVector<Value> LoopEmitter::reduceColumns(Scope &scope, size_t depth,
                                              ValueRange accumulators) {
  unsigned dim = reducedDims[depth];
  if (depth + 1 < reducedDims.size())
    return emitLoop(0, sizes[dim], 1, accumulators,
                    [&](Value iv, ValueRange carried) {
                      Scope inner = scope;
                      enter(inner, dim, iv, 0);
                      evaluate(inner);
                      return reduceColumns(inner, depth + 1, carried);
                    });
  auto addLane = [&](int64_t lane, Value iv, int64_t constant,
                     SmallVector<Value> &values) {
    Scope inner = scope;
    enter(inner, dim, iv, constant);
    evaluate(inner);
    storeElementwise(inner);
    for (auto [index, reduction] : llvm::enumerate(reductions)) {
      Value &value = values[index * lanes + lane];
      value =
          combine(reduction, value, getElement(inner, reduction, scope.width));
    }
  };
  int64_t whole = sizes[dim] / lanes * lanes;
  SmallVector<Value> results = emitLoop(
      0, whole, lanes, accumulators, [&](Value iv, ValueRange carried) {
        SmallVector<Value> values(carried);
        for (int64_t lane = 0; lane < lanes; ++lane)
          addLane(lane, iv, lane, values);
        return values;
      });
  for (int64_t lane = 0; whole + lane < sizes[dim]; ++lane)
    addLane(lane, Value(), whole + lane, results);
  return results;
}

/// `counter` is the number of elements folded so far; returns the new one.
Value LoopEmitter::reduceInMemory(Scope &scope, size_t depth, Value counter,
                                  ValueRange memory) {
  unsigned dim = reducedDims[depth];
  return emitLoop(
             0, sizes[dim], 1, counter,
             [&](Value iv, ValueRange carried) -> SmallVector<Value> {
               Scope inner = scope;
               enter(inner, dim, iv, 0);
               evaluate(inner);
               if (depth + 1 < reducedDims.size())
                 return {reduceInMemory(inner, depth + 1, carried[0], memory)};
               storeElementwise(inner);
               Value lane =
                   arith::AndIOp::create(b, carried[0], constantI64(lanes - 1));
               Value shift =
                   arith::MulIOp::create(b, lane, constantI64(scope.width));
               for (auto [reduction, pointer] : llvm::zip(reductions, memory)) {
                 Type element = reduction.element.getType();
                 Value slot = movePointer(b, pointer, element, shift, 0);
                 Value value = getElement(inner, reduction, scope.width);
                 Type type = toStorage(b, value).getType();
                 Value sum =
                     fromStorage(b,
                                 LLVM::LoadOp::create(b, type, slot,
                                                      getElementBytes(element)),
                                 element);
                 LLVM::StoreOp::create(
                     b, toStorage(b, combine(reduction, sum, value)), slot,
                     getElementBytes(element));
               }
               return {arith::AddIOp::create(b, carried[0], constantI64(1))
                           .getResult()};
             })
      .front();
}

/// Combines the total with what the output starts from, and stores it.
void LoopEmitter::finish(Scope &scope, const Reduction &reduction,
                         Value total) {
  int64_t index = outputAccess[reduction.output];
  const Access &access = accesses[index];
  Value initial = scope.values.lookup(access.argument);
  if (!initial)
    initial = load(scope, access, scope.pointers[index]);
  if (isa<VectorType>(total.getType()))
    initial = getVector(scope, initial);
  store(scope, access, scope.pointers[index],
        combine(reduction, initial, total));
}

void weir::emitCopy(ImplicitLocOpBuilder &b, const Buffer &source,
                    const Buffer &target) {
  // A result that was computed in its destination.
  if (source.base == target.base && source.strides == target.strides)
    return;
  // Dims from the innermost outwards, joined where both buffers are dense.
  struct Dim {
    int64_t size, source, target;
  };
  SmallVector<Dim> dims;
  for (auto [size, from, to] :
       llvm::reverse(llvm::zip(source.shape, source.strides, target.strides))) {
    if (size == 1)
      continue;
    if (!dims.empty() && from == dims.back().source * dims.back().size &&
        to == dims.back().target * dims.back().size)
      dims.back().size *= size;
    else
      dims.push_back({size, from, to});
  }
  // What one round copies: a dense row, or one element.
  int64_t length = 1;
  if (!dims.empty() && dims.front().source == 1 && dims.front().target == 1) {
    length = dims.front().size;
    dims.erase(dims.begin());
  }
  OpBuilder::InsertionGuard guard(b);
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIntOp::create(b, value, 64);
  };
  Value from = source.base, to = target.base;
  for (const Dim &dim : llvm::reverse(dims)) {
    auto loop =
        scf::ForOp::create(b, constant(0), constant(dim.size), constant(1));
    b.setInsertionPointToStart(loop.getBody());
    auto move = [&](Value base, int64_t stride) {
      Value shift =
          arith::MulIOp::create(b, loop.getInductionVar(), constant(stride));
      return movePointer(b, base, source.element, shift, 0);
    };
    from = move(from, dim.source);
    to = move(to, dim.target);
  }
  if (length == 1)
    storeScalar(b, loadScalar(b, from, source.element), to);
  else
    LLVM::MemcpyOp::create(b, to, from,
                           constant(length * getElementBytes(source.element)),
                           /*isVolatile=*/false);
}

LogicalResult weir::emitGeneric(ImplicitLocOpBuilder &builder,
                                linalg::GenericOp op, KernelEmitter &kernel) {
  LoopEmitter emitter(builder, op, kernel);
  if (failed(emitter.analyse()))
    return failure();
  emitter.emit();
  return success();
}
