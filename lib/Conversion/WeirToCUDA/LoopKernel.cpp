//===- LoopKernel.cpp - kernels for generic ops ---------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The order of a reduction is part of what an op computes, so it follows from
// the sizes of the op's dimensions alone: which other operands fusion gave it,
// and how these lie in memory, only decides how elements are loaded. With
//
//   P        results            R   reduced elements of each
//   S        splits, which are blocks of their own
//
// there are two forms.
//
//   rows     The innermost dimension is reduced. T threads share a result: 1 to
//            32 neighbours of a warp, or a block. Of each split's elements,
//            chunk c of V neighbours goes to thread c mod T, element j of the
//            chunk to its accumulator j. These are added as a tree, then those
//            of the threads by halving: lanes of a warp by shuffles, warps of a
//            block in order.
//   columns  The innermost dimension is parallel. A block is TX columns, or
//            vectors of columns, times TY rows of threads: element i of a
//            split goes to row i mod TY. Rows are added by halving.
//
// If S > 1, split s of result p leaves its sum at [p][s] of the scratch memory,
// and a second kernel gives every result to a warp.
//
//===----------------------------------------------------------------------===//

#include "LoopKernel.h"

#include "../PassBodies/BufferizeBody.h"
#include "../PassBodies/LoopNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace weir;

static constexpr int64_t warpThreads = 32;
/// Blocks that fill any device.
static constexpr int64_t manyBlocks = 512;

namespace {

/// What is known at one element. Copied on the way into a loop.
struct Point {
  DenseMap<Value, Value> values; ///< of the body
  SmallVector<Value> positions;  ///< per dim; null if not entered
  llvm::SmallBitVector entered;
};

/// Neighbours along the vector dim, which one thread has.
using Points = SmallVector<Point>;

/// How a reduction is shared out; see the head of the file.
struct Shares {
  bool rows;
  int64_t numResults, numReduced; ///< P, R
  int64_t chunk = 1;              ///< V, of rows
  int64_t threads = 1;            ///< T or TY
  int64_t splits = 1;             ///< S

  /// Elements of a split; the last one may have fewer.
  int64_t getSplitSize() const {
    return llvm::divideCeil(llvm::divideCeil(numReduced, chunk), splits) *
           chunk;
  }
};

class LoopKernel : private LoopNest {
public:
  LoopKernel(linalg::GenericOp op) : LoopNest(op) {}

  LogicalResult analyse();
  FailureOr<SmallVector<Launch>> emit(DeviceModule &module, KernelEmitter &host,
                                      GetScratch getScratch);
  void emitInBlocks(DeviceKernel &inKernel, int64_t gridX);

private:
  using LoopBody =
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange carried)>;

  Shares getShares();
  int64_t getCost(unsigned dim);
  int64_t getVectorWidth(unsigned dim) const;
  bool isVectorAccess(const Access &access);

  void begin(DeviceKernel &inKernel);
  Type getNumberType();
  Value constant(int64_t value) {
    return arith::ConstantIntOp::create(*b, number, value);
  }
  Value add(Value lhs, Value rhs);
  Value multiply(Value lhs, int64_t rhs);
  Value divide(Value lhs, int64_t rhs);
  Value remainder(Value lhs, int64_t rhs);
  Value isBelow(Value lhs, int64_t rhs);

  Points start();
  void enter(Points &points, unsigned dim, Value position);
  void enterAll(Points &points, ArrayRef<unsigned> order, Value linear);
  void evaluate(Points &points);
  void evaluateOp(Point &point, Operation &inner);
  bool isCombined(Value value) const;
  Value lookup(Point &point, Value value);
  Value getAddress(const Access &access, const Point &point);
  Value loadFromBuffer(Point &point, memref::LoadOp op);
  void loadAccess(Points &points, const Access &access);
  void storeAccess(Points &points, const Access &access, ValueRange values);
  void storeElementwise(Points &points);

  SmallVector<Value> emitIf(Value condition, ArrayRef<Value> otherwise,
                            llvm::function_ref<SmallVector<Value>()> emitThen);
  SmallVector<Value> emitLoop(Value from, int64_t numRounds, int64_t step,
                              ValueRange carried, LoopBody emitBody);

  // Reductions.
  Value combine(const Reduction &reduction, Value lhs, Value rhs);
  SmallVector<Value> getNeutrals(int64_t width);
  SmallVector<Value> fold(Points &points, ValueRange accumulators);
  SmallVector<Value> foldSplit(const Points &parallel, const Shares &shares,
                               Value first, int64_t step, Value split,
                               ValueRange accumulators);
  Value shuffle(Value value, int64_t offset);
  Value addThreads(const Reduction &reduction, Value value, int64_t threads,
                   Value thread);
  Value toMemory(Value value);
  Value fromMemory(Value value, Type type);
  void finish(Points &points, const Reduction &reduction, ValueRange totals);
  void leave(Points &points, const Shares &shares, Value result, Value split,
             ArrayRef<SmallVector<Value>> totals);

  FailureOr<Launch> emitElementwise(DeviceKernel &inKernel);
  FailureOr<Launch> emitRows(DeviceKernel &inKernel, const Shares &shares);
  FailureOr<Launch> emitColumns(DeviceKernel &inKernel, const Shares &shares);
  FailureOr<Launch> emitSums(DeviceKernel &inKernel, const Shares &shares);

  DeviceKernel *kernel = nullptr;
  ImplicitLocOpBuilder *b = nullptr;
  /// The type of positions: i32 where they and the offsets fit in it.
  Type number;
  int64_t vectorDim = -1;
  int64_t width = 1; ///< neighbours along the vector dim that a thread has
  SmallVector<Value> scratch; ///< of the host, per reduction
};

} // namespace

//===----------------------------------------------------------------------===//
// Analysis
//===----------------------------------------------------------------------===//

LogicalResult LoopKernel::analyse() { return LoopNest::analyse("CUDA"); }

/// The largest power of two that is at most `value`, which is positive.
static int64_t floorPowerOf2(int64_t value) {
  return int64_t(1) << llvm::Log2_64(value);
}

Shares LoopKernel::getShares() {
  Shares shares;
  shares.rows =
      parallelDims.empty() || reducedDims.back() > parallelDims.back();
  shares.numResults = shares.numReduced = 1;
  for (unsigned dim : parallelDims)
    shares.numResults *= sizes[dim];
  for (unsigned dim : reducedDims)
    shares.numReduced *= sizes[dim];
  int64_t numBlocks, round;
  if (shares.rows) {
    int64_t innermost = op.getStaticLoopRanges()[reducedDims.back()];
    shares.chunk = innermost % 4 == 0 ? 4 : innermost % 2 == 0 ? 2 : 1;
    // A thread has some chunks, so that it waits for several loads at once.
    int64_t wanted = llvm::divideCeil(shares.numReduced, 4 * shares.chunk);
    shares.threads = shares.numReduced > 2048
                         ? blockThreads
                         : floorPowerOf2(std::clamp<int64_t>(wanted, 1, 32));
    numBlocks =
        llvm::divideCeil(shares.numResults, blockThreads / shares.threads);
    round = shares.threads * shares.chunk * 8;
  } else {
    int64_t columns = std::min<int64_t>(
        llvm::PowerOf2Ceil(llvm::divideCeil(shares.numResults, 4)), 32);
    int64_t wanted = std::max<int64_t>(shares.numReduced / 4, 1);
    shares.threads = floorPowerOf2(std::min(blockThreads / columns, wanted));
    numBlocks = llvm::divideCeil(llvm::divideCeil(shares.numResults, 4),
                                 blockThreads / shares.threads);
    round = shares.threads * 16;
  }
  int64_t most = std::min(manyBlocks / numBlocks, shares.numReduced / round);
  if (most > 1)
    shares.splits = floorPowerOf2(most);
  return shares;
}

/// Memory operations for an element if `dim` is the one along which threads are
/// neighbours.
int64_t LoopKernel::getCost(unsigned dim) {
  int64_t cost = 0;
  for (const Access &access : accesses)
    cost += access.strides[dim] == 0 ? 0 : access.strides[dim] == 1 ? 1 : 8;
  for (const BodyLoad &load : bodyLoads)
    if (dims.lookup(load.op->getResult(0)).test(dim))
      cost += load.contiguousDim == int64_t(dim) ? 1 : 8;
  return cost;
}

/// The alignment of the element at position 0 of a buffer of the body. Whole
/// buffers and temporaries are aligned to more than any vector.
static int64_t getAlignment(Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t bytes = getElementBytes(type.getElementType());
  int64_t offset = type.getStridesAndOffset().second;
  return ShapedType::isDynamic(offset)
             ? bytes
             : int64_t(llvm::MinAlign(offset * bytes, bufferAlignment));
}

/// Whether `width` neighbours along the vector dim can be loaded at once.
bool LoopKernel::isVectorAccess(const Access &access) {
  if (width == 1 || access.strides[vectorDim] != 1)
    return false;
  for (auto [dim, stride] : llvm::enumerate(access.strides))
    if (int64_t(dim) != vectorDim && stride % width != 0)
      return false;
  OpOperand *operand = op.getMatchingOpOperand(access.argument);
  int64_t bytes = getElementBytes(access.element);
  return access.offset % width == 0 &&
         getAlignment(operand->get()) % std::min<int64_t>(width * bytes, 16) ==
             0;
}

/// How many neighbours along `dim` a thread takes: 16 bytes of the largest
/// elements, if they divide the dim.
int64_t LoopKernel::getVectorWidth(unsigned dim) const {
  int64_t bytes = 4;
  for (const Access &access : accesses)
    bytes = std::max(bytes, getElementBytes(access.element));
  for (int64_t width = 16 / bytes; width > 1; width /= 2)
    if (sizes[dim] % width == 0)
      return width;
  return 1;
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

Type LoopKernel::getNumberType() {
  int64_t largest = 1;
  for (int64_t size : sizes)
    largest *= size;
  for (const Access &access : accesses) {
    int64_t last = access.offset;
    for (auto [size, stride] : llvm::zip(sizes, access.strides))
      last += (size - 1) * std::abs(stride);
    largest = std::max(largest, last);
  }
  // A round may end beyond the last element.
  return IntegerType::get(op.getContext(), largest < (1 << 30) ? 32 : 64);
}

void LoopKernel::begin(DeviceKernel &inKernel) {
  kernel = &inKernel;
  b = &inKernel.getBuilder();
  number = getNumberType();
}

static bool isConstant(Value value, int64_t number) {
  auto constant = value.getDefiningOp<arith::ConstantIntOp>();
  return constant && constant.value() == number;
}

Value LoopKernel::add(Value lhs, Value rhs) {
  if (isConstant(lhs, 0))
    return rhs;
  return isConstant(rhs, 0) ? lhs
                            : arith::AddIOp::create(*b, lhs, rhs).getResult();
}

Value LoopKernel::multiply(Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs
                  : arith::MulIOp::create(*b, lhs, constant(rhs)).getResult();
}

Value LoopKernel::divide(Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs
                  : arith::DivUIOp::create(*b, lhs, constant(rhs)).getResult();
}

Value LoopKernel::remainder(Value lhs, int64_t rhs) {
  if (rhs == 1)
    return constant(0);
  return arith::RemUIOp::create(*b, lhs, constant(rhs));
}

Value LoopKernel::isBelow(Value lhs, int64_t rhs) {
  return arith::CmpIOp::create(*b, arith::CmpIPredicate::ult, lhs,
                               constant(rhs));
}

//===----------------------------------------------------------------------===//
// Points
//===----------------------------------------------------------------------===//

/// The points before any dim is entered.
Points LoopKernel::start() {
  Point point;
  point.positions.resize(sizes.size());
  point.entered.resize(sizes.size());
  for (OpOperand *input : op.getDpsInputOperands())
    if (!isa<MemRefType>(input->get().getType()))
      point.values[op.getMatchingBlockArgument(input)] =
          kernel->getScalar(input->get());
  auto initial = op->getAttrOfType<ArrayAttr>(initialValuesName);
  for (auto [output, index] : llvm::enumerate(outputAccess))
    if (initial && !isa<UnitAttr>(initial[output]))
      point.values[accesses[index].argument] =
          arith::ConstantOp::create(*b, cast<TypedAttr>(initial[output]));
  Points points(width, point);
  evaluate(points);
  return points;
}

void LoopKernel::enter(Points &points, unsigned dim, Value position) {
  for (auto [index, point] : llvm::enumerate(points)) {
    point.positions[dim] =
        int64_t(dim) == vectorDim ? add(position, constant(index)) : position;
    point.entered.set(dim);
  }
}

/// Enters the dims `order`, the last one fastest, at number `linear` of their
/// points, or of their vectors if the vector dim is among them.
void LoopKernel::enterAll(Points &points, ArrayRef<unsigned> order,
                          Value linear) {
  for (auto [index, dim] : llvm::enumerate(llvm::reverse(order))) {
    int64_t step = int64_t(dim) == vectorDim ? width : 1;
    int64_t size = sizes[dim] / step;
    bool isLast = index + 1 == order.size();
    enter(points, dim,
          multiply(isLast ? linear : remainder(linear, size), step));
    if (!isLast)
      linear = divide(linear, size);
  }
  evaluate(points);
}

Value LoopKernel::lookup(Point &point, Value value) {
  if (Value known = point.values.lookup(value))
    return known;
  return kernel->getScalar(value);
}

/// The results of combiners and what they start from have no value at a point.
bool LoopKernel::isCombined(Value value) const {
  return llvm::any_of(reductions, [&](const Reduction &reduction) {
    return reduction.combiner->getResult(0) == value ||
           accesses[outputAccess[reduction.output]].argument == value;
  });
}

Value LoopKernel::getAddress(const Access &access, const Point &point) {
  Value offset = constant(access.offset);
  for (auto [position, stride] : llvm::zip(point.positions, access.strides))
    if (stride != 0)
      offset = add(offset, multiply(position, stride));
  OpOperand *operand = op.getMatchingOpOperand(access.argument);
  return movePointer(*b, kernel->getBuffer(operand->get()).base, access.element,
                     offset, 0);
}

/// Gives the argument of an access its values.
void LoopKernel::loadAccess(Points &points, const Access &access) {
  Value argument = access.argument;
  if (vectorDim < 0 || access.strides[vectorDim] == 0) {
    Value value =
        loadScalar(*b, getAddress(access, points.front()), access.element);
    for (Point &point : points)
      point.values[argument] = value;
    return;
  }
  if (!isVectorAccess(access)) {
    for (Point &point : points)
      point.values[argument] =
          loadScalar(*b, getAddress(access, point), access.element);
    return;
  }
  Type storage = getStorageType(access.element);
  int64_t bytes = width * getElementBytes(access.element);
  Value vector = LLVM::LoadOp::create(*b, VectorType::get({width}, storage),
                                      getAddress(access, points.front()),
                                      std::min<int64_t>(bytes, 16));
  for (auto [index, point] : llvm::enumerate(points)) {
    Value position = LLVM::ConstantOp::create(*b, b->getI32Type(), index);
    point.values[argument] = fromMemory(
        LLVM::ExtractElementOp::create(*b, vector, position), access.element);
  }
}

void LoopKernel::storeAccess(Points &points, const Access &access,
                             ValueRange values) {
  if (!isVectorAccess(access)) {
    for (auto [point, value] : llvm::zip(points, values))
      storeScalar(*b, value, getAddress(access, point));
    return;
  }
  auto type = VectorType::get({width}, getStorageType(access.element));
  Value vector = LLVM::UndefOp::create(*b, type);
  for (auto [index, value] : llvm::enumerate(values)) {
    Value position = LLVM::ConstantOp::create(*b, b->getI32Type(), index);
    vector =
        LLVM::InsertElementOp::create(*b, vector, toMemory(value), position);
  }
  int64_t bytes = width * getElementBytes(access.element);
  LLVM::StoreOp::create(*b, vector, getAddress(access, points.front()),
                        std::min<int64_t>(bytes, 16));
}

Value LoopKernel::loadFromBuffer(Point &point, memref::LoadOp load) {
  const Buffer buffer = kernel->getBuffer(load.getMemRef());
  Value address = buffer.base;
  for (auto [index, stride] : llvm::zip(load.getIndices(), buffer.strides)) {
    Value position =
        arith::IndexCastOp::create(*b, b->getI64Type(), lookup(point, index));
    Value factor = arith::ConstantIntOp::create(*b, stride, 64);
    address = movePointer(*b, address, buffer.element,
                          arith::MulIOp::create(*b, position, factor), 0);
  }
  return loadScalar(*b, address, buffer.element);
}

void LoopKernel::evaluateOp(Point &point, Operation &inner) {
  Value result = inner.getResult(0);
  if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
    Value position = point.positions[index.getDim()];
    point.values[result] = arith::IndexCastOp::create(
        *b, b->getIndexType(), position ? position : constant(0));
    return;
  }
  if (auto load = dyn_cast<memref::LoadOp>(inner)) {
    point.values[result] = loadFromBuffer(point, load);
    return;
  }
  IRMapping mapping;
  for (Value operand : inner.getOperands())
    mapping.map(operand, lookup(point, operand));
  Operation *clone = b->clone(inner, mapping);
  if (auto fast = dyn_cast<arith::ArithFastMathInterface>(clone))
    clone->setAttr(fast.getFastMathAttrName(),
                   arith::FastMathFlagsAttr::get(b->getContext(),
                                                 arith::FastMathFlags::none));
  point.values[result] = clone->getResult(0);
}

/// Emits what can be computed now and was not yet: everything whose dims have
/// been entered. What does not depend on the vector dim is computed once.
void LoopKernel::evaluate(Points &points) {
  auto isReady = [&](Value value) {
    return !points.front().values.contains(value) &&
           !dims.lookup(value).test(points.front().entered) &&
           !isCombined(value);
  };
  for (const Access &access : accesses)
    if (access.isLoaded && isReady(access.argument))
      loadAccess(points, access);
  for (Operation &inner : body.without_terminator()) {
    Value result = inner.getResult(0);
    if (!isReady(result))
      continue;
    bool isOne = vectorDim < 0 || !dims.lookup(result).test(vectorDim);
    for (Point &point : points)
      if (isOne && &point != &points.front())
        point.values[result] = points.front().values.lookup(result);
      else
        evaluateOp(point, inner);
  }
}

/// Stores the outputs that are not folded.
void LoopKernel::storeElementwise(Points &points) {
  auto yield = cast<linalg::YieldOp>(body.getTerminator());
  for (auto [output, index] : llvm::enumerate(outputAccess)) {
    if (llvm::any_of(reductions, [&, output = output](const Reduction &r) {
          return r.output == output;
        }))
      continue;
    SmallVector<Value> values;
    for (Point &point : points)
      values.push_back(lookup(point, yield.getOperand(output)));
    storeAccess(points, accesses[index], values);
  }
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

/// `emitThen` where `condition` holds, or always if it is null.
SmallVector<Value>
LoopKernel::emitIf(Value condition, ArrayRef<Value> otherwise,
                   llvm::function_ref<SmallVector<Value>()> emitThen) {
  if (!condition)
    return emitThen();
  auto branch = scf::IfOp::create(*b, ValueRange(otherwise).getTypes(),
                                  condition, !otherwise.empty());
  OpBuilder::InsertionGuard guard(*b);
  b->setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> values = emitThen();
  if (!otherwise.empty()) {
    scf::YieldOp::create(*b, values);
    b->setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(*b, otherwise);
  }
  return SmallVector<Value>(branch.getResults());
}

/// `emitBody` at from, from + step, ..., `numRounds` times.
SmallVector<Value> LoopKernel::emitLoop(Value from, int64_t numRounds,
                                        int64_t step, ValueRange carried,
                                        LoopBody emitBody) {
  if (numRounds == 0)
    return SmallVector<Value>(carried);
  if (numRounds == 1)
    return emitBody(from, carried);
  auto loop = scf::ForOp::create(*b, constant(0), constant(numRounds * step),
                                 constant(step), carried);
  OpBuilder::InsertionGuard guard(*b);
  b->setInsertionPointToStart(loop.getBody());
  SmallVector<Value> results =
      emitBody(add(from, loop.getInductionVar()), loop.getRegionIterArgs());
  if (!carried.empty()) {
    b->setInsertionPointToEnd(loop.getBody());
    scf::YieldOp::create(*b, results);
  }
  return SmallVector<Value>(loop.getResults());
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value LoopKernel::combine(const Reduction &reduction, Value lhs, Value rhs) {
  OperationState state(b->getLoc(), reduction.combiner->getName());
  state.addOperands({lhs, rhs});
  state.addTypes(lhs.getType());
  return b->create(state)->getResult(0);
}

/// `width` accumulators of the first reduction, then those of the next.
SmallVector<Value> LoopKernel::getNeutrals(int64_t width) {
  SmallVector<Value> values;
  for (const Reduction &reduction : reductions)
    values.append(width, arith::ConstantOp::create(*b, reduction.neutral));
  return values;
}

/// Adds the elements at `points` to the accumulators.
SmallVector<Value> LoopKernel::fold(Points &points, ValueRange accumulators) {
  SmallVector<Value> results;
  for (const Reduction &reduction : reductions)
    for (Point &point : points)
      results.push_back(combine(reduction, accumulators[results.size()],
                                lookup(point, reduction.element)));
  return results;
}

/// Folds the elements of a split that are at `first` + n `step`; `parallel` has
/// entered the parallel dims.
SmallVector<Value> LoopKernel::foldSplit(const Points &parallel,
                                         const Shares &shares, Value first,
                                         int64_t step, Value split,
                                         ValueRange accumulators) {
  int64_t size = shares.getSplitSize();
  int64_t unit = shares.rows ? shares.chunk : 1;
  auto foldAt = [&](Value position, ValueRange carried) {
    Points points = parallel;
    enterAll(points, reducedDims, divide(position, unit));
    storeElementwise(points);
    return fold(points, carried);
  };
  auto begin = first;
  if (split)
    begin = add(multiply(split, size), first);
  // All splits are whole, or the last one is checked round by round.
  bool isWhole = size * shares.splits == shares.numReduced;
  int64_t wholeRounds = isWhole ? size / step : 0;
  int64_t rounds = llvm::divideCeil(size, step);
  if (shares.splits == 1)
    wholeRounds = size / step;
  SmallVector<Value> results =
      emitLoop(begin, wholeRounds, step, accumulators, foldAt);
  if (wholeRounds == rounds)
    return results;
  return emitLoop(add(begin, constant(wholeRounds * step)),
                  rounds - wholeRounds, step, results,
                  [&](Value position, ValueRange carried) {
                    Value exists = isBelow(position, shares.numReduced);
                    if (split) {
                      // Neither beyond the end nor in the next split.
                      Value end = multiply(add(split, constant(1)), size);
                      exists = arith::AndIOp::create(
                          *b, exists,
                          arith::CmpIOp::create(*b, arith::CmpIPredicate::ult,
                                                position, end));
                    }
                    return emitIf(exists, SmallVector<Value>(carried),
                                  [&] { return foldAt(position, carried); });
                  });
}

/// Integer types of memory from those of the body, and back.
Value LoopKernel::toMemory(Value value) {
  Type storage = getStorageType(value.getType());
  if (value.getType().isIndex())
    return arith::IndexCastOp::create(*b, storage, value);
  if (value.getType().isInteger(1))
    return arith::ExtUIOp::create(*b, storage, value);
  return value;
}

Value LoopKernel::fromMemory(Value value, Type type) {
  if (type.isIndex())
    return arith::IndexCastOp::create(*b, type, value);
  if (type.isInteger(1))
    return arith::TruncIOp::create(*b, type, value);
  return value;
}

/// The value of the lane whose number differs by `offset`, a power of two.
Value LoopKernel::shuffle(Value value, int64_t offset) {
  Type type = value.getType();
  auto exchange = [&](Value word) -> Value {
    return gpu::ShuffleOp::create(*b, word, offset, warpThreads,
                                  gpu::ShuffleMode::XOR)
        .getShuffleResult();
  };
  Value memory = toMemory(value);
  Type storage = memory.getType();
  unsigned bits = storage.getIntOrFloatBitWidth();
  if (bits == 32)
    return fromMemory(exchange(memory), type);
  if (bits < 32) {
    Value word = arith::ExtUIOp::create(*b, b->getI32Type(), memory);
    return fromMemory(arith::TruncIOp::create(*b, storage, exchange(word)),
                      type);
  }
  Type i64 = b->getI64Type(), i32 = b->getI32Type();
  if (isa<FloatType>(storage))
    memory = arith::BitcastOp::create(*b, i64, memory);
  Value half = arith::ConstantIntOp::create(*b, 32, 64);
  Value low = exchange(arith::TruncIOp::create(*b, i32, memory));
  Value high = exchange(arith::TruncIOp::create(
      *b, i32, arith::ShRUIOp::create(*b, memory, half)));
  Value both = arith::OrIOp::create(
      *b, arith::ExtUIOp::create(*b, i64, low),
      arith::ShLIOp::create(*b, arith::ExtUIOp::create(*b, i64, high), half));
  if (isa<FloatType>(storage))
    both = arith::BitcastOp::create(*b, storage, both);
  return fromMemory(both, type);
}

/// Adds the values of `threads` neighbours, or of the block; the first of them
/// has the sum.
Value LoopKernel::addThreads(const Reduction &reduction, Value value,
                             int64_t threads, Value thread) {
  for (int64_t offset = std::min(threads, warpThreads) / 2; offset > 0;
       offset /= 2)
    value = combine(reduction, value, shuffle(value, offset));
  if (threads <= warpThreads)
    return value;
  // One value per warp.
  int64_t numWarps = threads / warpThreads;
  Type type = value.getType();
  Value shared = kernel->createShared(type, numWarps);
  auto getPosition = [&](Value position) -> Value {
    return arith::IndexCastOp::create(*b, b->getIndexType(), position);
  };
  Value isFirst =
      arith::CmpIOp::create(*b, arith::CmpIPredicate::eq,
                            remainder(thread, warpThreads), constant(0));
  emitIf(isFirst, {}, [&] {
    memref::StoreOp::create(*b, toMemory(value), shared,
                            getPosition(divide(thread, warpThreads)));
    return SmallVector<Value>();
  });
  kernel->emitBarrier();
  Value total;
  for (int64_t warp = 0; warp < numWarps; ++warp) {
    Value part = fromMemory(
        memref::LoadOp::create(*b, shared, getPosition(constant(warp))), type);
    total = total ? combine(reduction, total, part) : part;
  }
  return total;
}

/// Combines totals with what the output starts from, and stores them.
void LoopKernel::finish(Points &points, const Reduction &reduction,
                        ValueRange totals) {
  const Access &access = accesses[outputAccess[reduction.output]];
  if (!points.front().values.contains(access.argument))
    loadAccess(points, access);
  SmallVector<Value> results;
  for (auto [point, total] : llvm::zip(points, totals))
    results.push_back(
        combine(reduction, point.values.lookup(access.argument), total));
  storeAccess(points, access, results);
}

/// Finishes with `totals`, per reduction, or leaves them to the second kernel;
/// `result` is the number of the first point's result.
void LoopKernel::leave(Points &points, const Shares &shares, Value result,
                       Value split, ArrayRef<SmallVector<Value>> totals) {
  for (auto [index, reduction] : llvm::enumerate(reductions)) {
    if (shares.splits == 1) {
      finish(points, reduction, totals[index]);
      continue;
    }
    Value memory = kernel->getParameter(scratch[index]);
    Value offset = add(multiply(result, shares.splits), split);
    for (auto [j, total] : llvm::enumerate(totals[index]))
      storeScalar(*b, total,
                  movePointer(*b, memory, total.getType(), offset,
                              static_cast<int64_t>(j) * shares.splits));
  }
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

FailureOr<Launch> LoopKernel::emitElementwise(DeviceKernel &inKernel) {
  SmallVector<unsigned> order(parallelDims);
  if (!order.empty()) {
    unsigned *best = order.end() - 1;
    for (unsigned &dim : order)
      if (getCost(dim) < getCost(*best))
        best = &dim;
    std::rotate(best, best + 1, order.end());
    vectorDim = order.back();
    width = getVectorWidth(vectorDim);
    if (llvm::none_of(accesses, [&](const Access &access) {
          return isVectorAccess(access);
        }))
      width = 1;
  }
  begin(inKernel);
  int64_t total = 1;
  for (unsigned dim : order)
    total *= sizes[dim];
  total /= width;
  Value block = kernel->getBlock(gpu::Dimension::x, number);
  Value linear = add(multiply(block, blockThreads), kernel->getThread(number));
  emitIf(total % blockThreads == 0 ? Value() : isBelow(linear, total), {}, [&] {
    Points points = start();
    enterAll(points, order, linear);
    storeElementwise(points);
    return SmallVector<Value>();
  });
  return kernel->finish(llvm::divideCeil(total, blockThreads));
}

FailureOr<Launch> LoopKernel::emitRows(DeviceKernel &inKernel,
                                       const Shares &shares) {
  vectorDim = reducedDims.back();
  width = shares.chunk;
  begin(inKernel);
  int64_t threads = shares.threads, rows = blockThreads / threads;
  Value thread = kernel->getThread(number);
  Value row = add(multiply(kernel->getBlock(gpu::Dimension::x, number), rows),
                  divide(thread, threads));
  Value split;
  if (shares.splits > 1)
    split = kernel->getBlock(gpu::Dimension::y, number);
  Value exists;
  if (shares.numResults % rows != 0)
    exists = isBelow(row, shares.numResults);
  Value lane = remainder(thread, threads);
  SmallVector<Value> accumulators = getNeutrals(width);
  accumulators = emitIf(exists, accumulators, [&] {
    Points points = start();
    enterAll(points, parallelDims, row);
    return foldSplit(points, shares, multiply(lane, width), threads * width,
                     split, accumulators);
  });
  SmallVector<SmallVector<Value>> totals;
  for (auto [index, reduction] : llvm::enumerate(reductions)) {
    MutableArrayRef<Value> own =
        MutableArrayRef(accumulators).slice(index * width, width);
    for (int64_t half = width / 2; half > 0; half /= 2)
      for (int64_t j = 0; j < half; ++j)
        own[j] = combine(reduction, own[j], own[j + half]);
    totals.push_back({addThreads(reduction, own[0], threads, thread)});
  }
  Value isFirst = threads == 1
                      ? Value()
                      : arith::CmpIOp::create(*b, arith::CmpIPredicate::eq,
                                              lane, constant(0))
                            .getResult();
  if (exists && isFirst)
    isFirst = arith::AndIOp::create(*b, exists, isFirst);
  emitIf(isFirst ? isFirst : exists, {}, [&] {
    width = 1;
    Points points = start();
    enterAll(points, parallelDims, row);
    leave(points, shares, row, split, totals);
    return SmallVector<Value>();
  });
  return kernel->finish(llvm::divideCeil(shares.numResults, rows),
                        shares.splits);
}

FailureOr<Launch> LoopKernel::emitColumns(DeviceKernel &inKernel,
                                          const Shares &shares) {
  vectorDim = parallelDims.back();
  width = getVectorWidth(vectorDim);
  begin(inKernel);
  int64_t rows = shares.threads, columns = blockThreads / rows;
  int64_t numVectors = shares.numResults / width;
  Value thread = kernel->getThread(number);
  Value row = divide(thread, columns);
  Value vector =
      add(multiply(kernel->getBlock(gpu::Dimension::x, number), columns),
          remainder(thread, columns));
  Value split;
  if (shares.splits > 1)
    split = kernel->getBlock(gpu::Dimension::y, number);
  Value exists;
  if (numVectors % columns != 0)
    exists = isBelow(vector, numVectors);
  SmallVector<Value> accumulators = getNeutrals(width);
  accumulators = emitIf(exists, accumulators, [&] {
    Points points = start();
    enterAll(points, parallelDims, vector);
    return foldSplit(points, shares, row, rows, split, accumulators);
  });
  SmallVector<SmallVector<Value>> totals;
  for (auto [index, reduction] : llvm::enumerate(reductions)) {
    SmallVector<Value> own(ArrayRef(accumulators).slice(index * width, width));
    if (rows > 1) {
      Type type = own[0].getType();
      Value shared = kernel->createShared(type, blockThreads * width);
      auto getPosition = [&](int64_t moved, int64_t j) -> Value {
        Value position =
            add(multiply(thread, width), constant(moved * columns * width + j));
        return arith::IndexCastOp::create(*b, b->getIndexType(), position);
      };
      auto load = [&](int64_t moved, int64_t j) {
        return fromMemory(
            memref::LoadOp::create(*b, shared, getPosition(moved, j)), type);
      };
      for (int64_t j = 0; j < width; ++j)
        memref::StoreOp::create(*b, toMemory(own[j]), shared,
                                getPosition(0, j));
      for (int64_t half = rows / 2; half > 0; half /= 2) {
        kernel->emitBarrier();
        emitIf(isBelow(row, half), {}, [&] {
          for (int64_t j = 0; j < width; ++j)
            memref::StoreOp::create(
                *b, toMemory(combine(reduction, load(0, j), load(half, j))),
                shared, getPosition(0, j));
          return SmallVector<Value>();
        });
      }
      // The first row of threads reads what it wrote itself.
      for (int64_t j = 0; j < width; ++j)
        own[j] = load(0, j);
    }
    totals.push_back(own);
  }
  Value isFirst = rows == 1 ? Value() : isBelow(row, 1);
  if (exists && isFirst)
    isFirst = arith::AndIOp::create(*b, exists, isFirst);
  emitIf(isFirst ? isFirst : exists, {}, [&] {
    Points points = start();
    enterAll(points, parallelDims, vector);
    leave(points, shares, multiply(vector, width), split, totals);
    return SmallVector<Value>();
  });
  return kernel->finish(llvm::divideCeil(numVectors, columns), shares.splits);
}

/// The second kernel: adds what the splits have left.
FailureOr<Launch> LoopKernel::emitSums(DeviceKernel &inKernel,
                                       const Shares &shares) {
  vectorDim = -1;
  width = 1;
  begin(inKernel);
  int64_t rows = blockThreads / warpThreads;
  Value thread = kernel->getThread(number);
  Value row = add(multiply(kernel->getBlock(gpu::Dimension::x, number), rows),
                  divide(thread, warpThreads));
  Value lane = remainder(thread, warpThreads);
  Value exists;
  if (shares.numResults % rows != 0)
    exists = isBelow(row, shares.numResults);
  SmallVector<SmallVector<Value>> totals;
  for (auto [index, reduction] : llvm::enumerate(reductions)) {
    Type type = reduction.element.getType();
    Value memory = kernel->getParameter(scratch[index]);
    Value neutral = arith::ConstantOp::create(*b, reduction.neutral);
    Value sum = neutral;
    auto addAt = [&, reduction = &reduction](Value position,
                                             ValueRange carried) {
      Value offset = add(multiply(row, shares.splits), position);
      Value part =
          loadScalar(*b, movePointer(*b, memory, type, offset, 0), type);
      return SmallVector<Value>{combine(*reduction, carried[0], part)};
    };
    sum = emitIf(exists, {neutral}, [&] {
      if (shares.splits >= warpThreads)
        return emitLoop(lane, shares.splits / warpThreads, warpThreads,
                        {neutral}, addAt);
      return emitIf(isBelow(lane, shares.splits), {neutral},
                    [&] { return addAt(lane, {neutral}); });
    })[0];
    totals.push_back({addThreads(reduction, sum, warpThreads, thread)});
  }
  Value isFirst =
      arith::CmpIOp::create(*b, arith::CmpIPredicate::eq, lane, constant(0));
  if (exists)
    isFirst = arith::AndIOp::create(*b, exists, isFirst);
  emitIf(isFirst, {}, [&] {
    Points points = start();
    enterAll(points, parallelDims, row);
    for (auto [index, reduction] : llvm::enumerate(reductions))
      finish(points, reduction, totals[index]);
    return SmallVector<Value>();
  });
  return kernel->finish(llvm::divideCeil(shares.numResults, rows));
}

FailureOr<SmallVector<Launch>> LoopKernel::emit(DeviceModule &module,
                                                KernelEmitter &host,
                                                GetScratch getScratch) {
  SmallVector<Launch> launches;
  auto emitKernel =
      [&](StringRef kind,
          llvm::function_ref<FailureOr<Launch>(DeviceKernel &)> emitInto) {
        DeviceKernel inKernel(module, host, op.getLoc(), kind);
        FailureOr<Launch> launch = emitInto(inKernel);
        if (succeeded(launch))
          launches.push_back(*launch);
        return LogicalResult(launch);
      };
  if (reductions.empty()) {
    if (failed(emitKernel("elementwise", [&](DeviceKernel &inKernel) {
          return emitElementwise(inKernel);
        })))
      return failure();
    return launches;
  }
  Shares shares = getShares();
  int64_t partialBytes = 0;
  if (shares.splits > 1) {
    int64_t bytes = 0;
    SmallVector<int64_t> offsets;
    for (const Reduction &reduction : reductions) {
      offsets.push_back(bytes);
      int64_t parts = shares.numResults * shares.splits *
                      getElementBytes(reduction.element.getType());
      partialBytes += parts;
      bytes += llvm::alignTo(parts, bufferAlignment);
    }
    Value memory = getScratch(bytes);
    for (int64_t offset : offsets)
      scratch.push_back(movePointer(host.getBuilder(), memory,
                                    IntegerType::get(op.getContext(), 8),
                                    Value(), offset));
  }
  if (failed(emitKernel(shares.rows ? "rows" : "columns",
                        [&](DeviceKernel &inKernel) {
                          return shares.rows ? emitRows(inKernel, shares)
                                             : emitColumns(inKernel, shares);
                        })))
    return failure();
  if (shares.splits > 1 &&
      failed(emitKernel("sums", [&](DeviceKernel &inKernel) {
        return emitSums(inKernel, shares);
      })))
    return failure();
  for (Launch &launch : launches)
    launch.partialBytes = partialBytes;
  return launches;
}

/// Every thread takes a result after the other.
void LoopKernel::emitInBlocks(DeviceKernel &inKernel, int64_t gridX) {
  begin(inKernel);
  Shares shares;
  shares.rows = true;
  shares.numResults = shares.numReduced = 1;
  for (unsigned dim : parallelDims)
    shares.numResults *= sizes[dim];
  for (unsigned dim : reducedDims)
    shares.numReduced *= sizes[dim];
  Points whole = start();
  int64_t numThreads = gridX * blockThreads;
  Value thread = kernel->getThread(number);
  if (gridX > 1)
    thread =
        add(multiply(kernel->getBlock(gpu::Dimension::x, number), blockThreads),
            thread);
  emitLoop(thread, llvm::divideCeil(shares.numResults, numThreads), numThreads,
           {}, [&](Value result, ValueRange) {
             return emitIf(isBelow(result, shares.numResults), {}, [&] {
               Points points = whole;
               enterAll(points, parallelDims, result);
               if (reductions.empty()) {
                 storeElementwise(points);
                 return SmallVector<Value>();
               }
               SmallVector<Value> totals = foldSplit(
                   points, shares, constant(0), 1, Value(), getNeutrals(1));
               for (auto [reduction, total] : llvm::zip(reductions, totals))
                 finish(points, reduction, total);
               return SmallVector<Value>();
             });
           });
}

FailureOr<SmallVector<Launch>> weir::emitLoopKernels(linalg::GenericOp op,
                                                     DeviceModule &module,
                                                     KernelEmitter &host,
                                                     GetScratch getScratch) {
  LoopKernel loops(op);
  if (failed(loops.analyse()))
    return failure();
  return loops.emit(module, host, getScratch);
}

LogicalResult weir::emitLoopsInBlocks(linalg::GenericOp op,
                                      DeviceKernel &kernel, int64_t gridX) {
  LoopKernel loops(op);
  if (failed(loops.analyse()))
    return failure();
  loops.emitInBlocks(kernel, gridX);
  return success();
}

linalg::GenericOp weir::copyAsGeneric(memref::CopyOp copy) {
  OpBuilder builder(copy);
  auto type = cast<MemRefType>(copy.getTarget().getType());
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  return linalg::GenericOp::create(
      builder, copy.getLoc(), TypeRange(), copy.getSource(), copy.getTarget(),
      ArrayRef{identity, identity}, iterators,
      [](OpBuilder &b, Location loc, ValueRange arguments) {
        linalg::YieldOp::create(b, loc, arguments[0]);
      });
}
