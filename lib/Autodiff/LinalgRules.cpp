//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// linalg.generic is differentiated by reverse mode inside its body: each
// operand that wants an adjoint gets one generic over the same loops, which
// reads of the forward only what its slice of the scalar adjoint needs, and
// sums over the loops that the operand does not have. Where the operand's map
// is no projected permutation, AffineScatter adds what several positions read.
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Autodiff/AffineScatter.h"
#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// linalg.generic
//===----------------------------------------------------------------------===//

namespace {
/// A tensor that ops of the adjoint may read, and how.
struct Source {
  Value tensor;
  AffineMap map;
};

class GenericAdjoint {
public:
  GenericAdjoint(linalg::GenericOp op, AdjointBuilder &builder)
      : op(op), builder(builder), loops(op.getNumLoops()) {}

  LogicalResult build();

private:
  /// What a result is to the loops.
  enum class Kind { Elementwise, Sum, Product, Extremum };

  bool isReduced(int64_t result) {
    return op.getMatchingIndexingMap(op.getDpsInitOperand(result))
               .getNumResults() < loops;
  }
  void makeScratch();
  LogicalResult classify();
  LogicalResult refuseReduction();
  void seedExtremum(int64_t result, ScalarAdjointBuilder &scalars);
  void seedProduct(int64_t result, ScalarAdjointBuilder &scalars);
  AffineMap getRowMap(int64_t result);
  Value materialize(Value scalar, AffineMap map, RankedTensorType type);
  Value materializeAdjoint(Value scalar, const Source &source);

  /// The ops that compute `scalar`, in order, and the scratch arguments that
  /// they read. With `useResults`, values that the forward yields are read and
  /// not computed.
  struct Slice {
    SmallVector<Operation *> ops;
    SmallVector<BlockArgument> arguments;
    DenseMap<Value, BlockArgument> replaced;
  };
  Slice slice(Value scalar, bool useResults);
  int64_t getKeptBytes(const Slice &slice);

  linalg::GenericOp op;
  AdjointBuilder &builder;
  unsigned loops;

  /// A copy of the body that the scalar adjoint is appended to. Its arguments
  /// are those of the body, then per result its value, then per result its
  /// adjoint.
  OwningOpRef<ModuleOp> scratch;
  Block *block = nullptr;
  SmallVector<Source> sources;
  SmallVector<Value> yielded;
  SmallVector<Kind> kinds;
  /// The argument that holds what the forward yielded.
  DenseMap<Value, BlockArgument> resultOf;
  unsigned firstInit = 0, firstResult = 0, firstAdjoint = 0;
  /// Per result the adjoint of its initial value, where it is reduced.
  SmallVector<Value> initAdjoints;
};
} // namespace

void GenericAdjoint::makeScratch() {
  scratch = ModuleOp::create(op.getLoc());
  block = scratch->getBody();
  Block *body = op.getBlock();
  IRMapping mapping;
  auto addSource = [&](Value tensor, AffineMap map, Location loc) {
    sources.push_back({tensor, map});
    return block->addArgument(getElementTypeOrSelf(tensor.getType()), loc);
  };
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    mapping.map(argument,
                addSource(operand.get(), op.getMatchingIndexingMap(&operand),
                          argument.getLoc()));
  }
  firstInit = op.getNumDpsInputs();
  firstResult = block->getNumArguments();
  for (OpResult result : op->getResults())
    addSource(result, op.getIndexingMapMatchingResult(result), op.getLoc());
  firstAdjoint = block->getNumArguments();
  for (OpResult result : op->getResults()) {
    Value adjoint = builder.getAdjoint(result);
    addSource(adjoint ? adjoint : result,
              op.getIndexingMapMatchingResult(result), op.getLoc());
  }

  // Constants from outside become the body's own, so that the ops of the
  // adjoint can be moved freely.
  OpBuilder b(op.getContext());
  b.setInsertionPointToEnd(block);
  for (Value captured : getCapturedValues(op))
    if (Operation *constant = captured.getDefiningOp();
        constant && constant->hasTrait<OpTrait::ConstantLike>())
      mapping.map(captured, b.clone(*constant)->getResult(0));
  for (Operation &inner : body->without_terminator())
    b.clone(inner, mapping);
  for (Value value : body->getTerminator()->getOperands())
    yielded.push_back(mapping.lookupOrDefault(value));
}

/// The element of a tensor whose elements are one known constant, else null.
static TypedAttr getSplat(Value tensor) {
  Attribute constant;
  if (auto fill = tensor.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.value(), m_Constant(&constant))
               ? dyn_cast<TypedAttr>(constant)
               : TypedAttr();
  if (!matchPattern(tensor, m_Constant(&constant)))
    return {};
  auto splat = dyn_cast<SplatElementsAttr>(constant);
  return splat ? cast<TypedAttr>(splat.getSplatValue<Attribute>())
               : TypedAttr();
}

static Value multiply(AdjointBuilder &builder, Value a, Value b) {
  return builder.createElementwise(
      cast<RankedTensorType>(a.getType()), {a, b},
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return arith::MulFOp::create(b, loc, args[0], args[1]);
      });
}

/// The products of `rows` over all dimensions behind those of `type`.
static Value multiplyRows(AdjointBuilder &builder, RankedTensorType type,
                          Value rows, unsigned rank) {
  OpBuilder &b = builder.getBuilder();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), type.getRank(), utils::IteratorType::parallel);
  Value one = arith::ConstantOp::create(
      b, builder.getLoc(), b.getFloatAttr(type.getElementType(), 1.0));
  Value init = linalg::FillOp::create(b, builder.getLoc(), one,
                                      builder.createEmpty(type))
                   .getResult(0);
  AffineMap all = b.getMultiDimIdentityMap(rank);
  return linalg::GenericOp::create(
             b, builder.getLoc(), TypeRange{type}, rows, init,
             ArrayRef<AffineMap>{all, all.getMajorSubMap(type.getRank())},
             iterators,
             [](OpBuilder &b, Location loc, ValueRange args) {
               Value product = arith::MulFOp::create(b, loc, args[1], args[0]);
               linalg::YieldOp::create(b, loc, product);
             })
      .getResult(0);
}

/// `rows`, of two dimensions, with each row turned left by `distance`.
static Value turnRows(AdjointBuilder &builder, Value rows, int64_t distance) {
  auto type = cast<RankedTensorType>(rows.getType());
  int64_t count = type.getDimSize(0), length = type.getDimSize(1);
  distance %= length;
  if (distance == 0)
    return rows;
  OpBuilder &b = builder.getBuilder();
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  auto move = [&](Value target, int64_t from, int64_t to, int64_t width) {
    SmallVector<OpFoldResult> sizes{b.getIndexAttr(count),
                                    b.getIndexAttr(width)};
    Value part = tensor::ExtractSliceOp::create(
        b, builder.getLoc(), rows,
        ArrayRef<OpFoldResult>{b.getIndexAttr(0), b.getIndexAttr(from)}, sizes,
        strides);
    return tensor::InsertSliceOp::create(
               b, builder.getLoc(), part, target,
               ArrayRef<OpFoldResult>{b.getIndexAttr(0), b.getIndexAttr(to)},
               sizes, strides)
        .getResult();
  };
  Value turned =
      move(builder.createEmpty(type), distance, 0, length - distance);
  return move(turned, 0, length - distance, distance);
}

/// For every element the product of all others of its row, which is everything
/// behind the first `outer` dimensions. A row is taken as a ring: the others of
/// an element are the n - 1 that follow it. Products of 1, 2, 4, ... neighbours
/// come from one another by doubling, and make up n - 1 as its binary digits
/// do.
static Value productOfOthers(AdjointBuilder &builder, Value factors,
                             int64_t outer) {
  auto type = cast<RankedTensorType>(factors.getType());
  int64_t count = computeProduct(type.getShape().take_front(outer));
  int64_t length = computeProduct(type.getShape().drop_front(outer));
  auto rowsType = RankedTensorType::get({count, length}, type.getElementType());
  Value flat = builder.reshape(
      factors, RankedTensorType::get({count * length}, type.getElementType()));
  Value power = builder.reshape(flat, rowsType), product;
  int64_t covered = 0;
  for (int64_t width = 1; width < length; width *= 2) {
    if ((length - 1) & width) {
      Value next = turnRows(builder, power, covered + 1);
      product = product ? multiply(builder, product, next) : next;
      covered += width;
    }
    if (2 * width < length)
      power = multiply(builder, power, turnRows(builder, power, width));
  }
  if (!product)
    product = builder.createElementwise(
        rowsType, {}, [&](OpBuilder &b, Location loc, ValueRange) -> Value {
          return arith::ConstantOp::create(
              b, loc, b.getFloatAttr(type.getElementType(), 1.0));
        });
  return builder.reshape(
      builder.reshape(product, cast<RankedTensorType>(flat.getType())), type);
}

/// If `value` combines, by one of the ops `OpTs`, the running value
/// `accumulator` and something else, returns the something else.
template <typename... OpTs>
static Value matchCombiner(Value value, Value accumulator) {
  Operation *combiner = value.getDefiningOp();
  if (!isa_and_nonnull<OpTs...>(combiner) || !accumulator.hasOneUse())
    return {};
  Value lhs = combiner->getOperand(0), rhs = combiner->getOperand(1);
  return lhs == accumulator ? rhs : rhs == accumulator ? lhs : Value();
}

static Value matchExtremum(Value value, Value accumulator) {
  return matchCombiner<arith::MaximumFOp, arith::MaxNumFOp, arith::MinimumFOp,
                       arith::MinNumFOp>(value, accumulator);
}

static Value matchProduct(Value value, Value accumulator) {
  return matchCombiner<arith::MulFOp>(value, accumulator);
}

LogicalResult GenericAdjoint::refuseReduction() {
  return op.emitOpError("has no derivative rule for this reduction; known are "
                        "sums, products, maxima and minima");
}

LogicalResult GenericAdjoint::classify() {
  initAdjoints.resize(yielded.size());
  for (auto [i, value] : llvm::enumerate(yielded)) {
    Value accumulator = block->getArgument(firstInit + i);
    AffineMap map = sources[firstResult + i].map;
    if (!map.isProjectedPermutation() && builder.getAdjoint(op.getResult(i)))
      return op.emitOpError("has no derivative rule for result #")
             << i << ", whose map is not a projected permutation of the loops";
    if (!isReduced(i)) {
      kinds.push_back(Kind::Elementwise);
      if (value.getDefiningOp() &&
          !value.getDefiningOp()->hasTrait<OpTrait::ConstantLike>())
        resultOf.try_emplace(value, block->getArgument(firstResult + i));
    } else if (!accumulator.hasOneUse() &&
               builder.getAdjoint(op.getResult(i))) {
      return refuseReduction();
    } else if (matchExtremum(value, accumulator)) {
      kinds.push_back(Kind::Extremum);
    } else if (matchProduct(value, accumulator)) {
      kinds.push_back(Kind::Product);
    } else {
      kinds.push_back(Kind::Sum);
    }
  }
  return success();
}

/// The adjoint of a maximum goes to the elements that equal it, in equal parts
/// if there is more than one. An initial value that has a gradient is one of
/// the elements.
void GenericAdjoint::seedExtremum(int64_t result,
                                  ScalarAdjointBuilder &scalars) {
  Value element =
      matchExtremum(yielded[result], block->getArgument(firstInit + result));
  BlockArgument extremum = block->getArgument(firstResult + result);
  BlockArgument adjoint = block->getArgument(firstAdjoint + result);
  Type type = element.getType();
  Value zero = scalars.constant(type, 0.0);
  Value wins = scalars.compare(arith::CmpFPredicate::OEQ, element, extremum);
  Value one = scalars.select(wins, scalars.constant(type, 1.0), zero);

  Source &source = sources[adjoint.getArgNumber()];
  auto tensorType = cast<RankedTensorType>(source.tensor.getType());
  Value winners = materialize(one, source.map, tensorType);
  OpOperand *init = op.getDpsInitOperand(result);
  Value initWins;
  if (builder.isActive(*init)) {
    initWins = builder.createElementwise(
        tensorType, {init->get(), op.getResult(result)},
        [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          Value wins = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ,
                                             args[0], args[1]);
          return arith::UIToFPOp::create(b, loc, args[0].getType(), wins);
        });
    winners = builder.createElementwise(
        tensorType, {winners, initWins},
        [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          return arith::AddFOp::create(b, loc, args[0], args[1]);
        });
  }
  source.tensor = builder.createElementwise(
      tensorType, {source.tensor, winners},
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return arith::DivFOp::create(b, loc, args[0], args[1]);
      });
  if (initWins)
    initAdjoints[result] = multiply(builder, source.tensor, initWins);
  scalars.seed(element, scalars.select(wins, adjoint, zero));
}

/// From the loops to the dimensions of a result and then those that it is
/// reduced over.
AffineMap GenericAdjoint::getRowMap(int64_t result) {
  SmallVector<AffineExpr> exprs(sources[firstResult + result].map.getResults());
  for (unsigned loop = 0; loop < loops; ++loop) {
    AffineExpr dim = getAffineDimExpr(loop, op.getContext());
    if (!llvm::is_contained(exprs, dim))
      exprs.push_back(dim);
  }
  return AffineMap::get(loops, 0, exprs, op.getContext());
}

/// The adjoint of a product goes to each factor times the product of all other
/// factors, which is computed as such: a division by the factor would be wrong
/// where it is zero.
void GenericAdjoint::seedProduct(int64_t result,
                                 ScalarAdjointBuilder &scalars) {
  Value factor =
      matchProduct(yielded[result], block->getArgument(firstInit + result));
  BlockArgument adjoint = block->getArgument(firstAdjoint + result);
  Source &source = sources[adjoint.getArgNumber()];
  auto type = cast<RankedTensorType>(source.tensor.getType());
  AffineMap map = getRowMap(result);
  SmallVector<int64_t> shape =
      applyPermutationMap(map, ArrayRef(op.getStaticLoopRanges()));
  auto rowsType = RankedTensorType::get(shape, type.getElementType());
  Value rows = materialize(factor, map, rowsType);
  OpOperand *init = op.getDpsInitOperand(result);
  if (builder.isActive(*init))
    initAdjoints[result] =
        multiply(builder, source.tensor,
                 multiplyRows(builder, type, rows, map.getNumResults()));
  TypedAttr constant = getSplat(init->get());
  if (!constant || !matchPattern(constant, m_OneFloat()))
    source.tensor = multiply(builder, source.tensor, init->get());
  Value others = productOfOthers(builder, rows, type.getRank());
  sources.push_back({others, map});
  BlockArgument rest =
      block->addArgument(type.getElementType(), builder.getLoc());
  scalars.seed(factor, scalars.mul(adjoint, rest));
}

GenericAdjoint::Slice GenericAdjoint::slice(Value scalar, bool useResults) {
  Slice result;
  DenseSet<Operation *> needed;
  llvm::SmallSetVector<BlockArgument, 8> arguments;
  SmallVector<Value> worklist{scalar};
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (useResults)
      if (BlockArgument argument = resultOf.lookup(value)) {
        result.replaced[value] = argument;
        value = argument;
      }
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (argument.getOwner() == block)
        arguments.insert(argument);
      continue;
    }
    Operation *producer = value.getDefiningOp();
    if (producer->getBlock() != block || !needed.insert(producer).second)
      continue;
    llvm::append_range(worklist, producer->getOperands());
    llvm::append_range(worklist, getCapturedValues(producer));
  }
  for (Operation &inner : *block)
    if (needed.contains(&inner))
      result.ops.push_back(&inner);
  result.arguments = arguments.takeVector();
  llvm::sort(result.arguments, [](BlockArgument a, BlockArgument b) {
    return a.getArgNumber() < b.getArgNumber();
  });
  return result;
}

int64_t GenericAdjoint::getKeptBytes(const Slice &slice) {
  int64_t bytes = 0;
  for (BlockArgument argument : slice.arguments) {
    Value tensor = sources[argument.getArgNumber()].tensor;
    Operation *producer = tensor.getDefiningOp();
    auto type = dyn_cast<RankedTensorType>(tensor.getType());
    if (argument.getArgNumber() < firstAdjoint && type && producer &&
        !isRepeated(producer))
      bytes += getTensorBytes(type);
  }
  return bytes;
}

/// Whether an op costs so little that to compute it again is better than to
/// keep its result.
static bool isCheap(Operation *op) {
  return isa<arith::ArithDialect, linalg::LinalgDialect>(op->getDialect()) &&
         !isa<arith::DivFOp, arith::RemFOp>(op);
}

/// Clones `op`, or maps its results to what it folds to now that more of its
/// operands are constants.
static void cloneFolded(OpBuilder &b, Operation *op, IRMapping &mapping) {
  Operation *clone = b.clone(*op, mapping);
  SmallVector<Value> folded;
  if (op->hasTrait<OpTrait::ConstantLike>() ||
      failed(b.tryFold(clone, folded)) || folded.empty())
    return;
  mapping.map(op->getResults(), ValueRange(folded));
  clone->erase();
}

Value GenericAdjoint::materialize(Value scalar, AffineMap map,
                                  RankedTensorType type) {
  Slice chosen = slice(scalar, /*useResults=*/true);
  if (!chosen.replaced.empty()) {
    Slice recomputed = slice(scalar, /*useResults=*/false);
    if (llvm::all_of(recomputed.ops, isCheap) &&
        getKeptBytes(recomputed) < getKeptBytes(chosen))
      chosen = recomputed;
  }

  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<BlockArgument> read;
  for (BlockArgument argument : chosen.arguments) {
    const Source &source = sources[argument.getArgNumber()];
    if (getSplat(source.tensor))
      continue;
    read.push_back(argument);
    inputs.push_back(source.tensor);
    maps.push_back(source.map);
  }

  // Every loop needs an operand that tells how long it is.
  llvm::SmallBitVector covered(loops);
  auto cover = [&](AffineMap map) {
    bool more = false;
    for (AffineExpr expr : map.getResults())
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        more |= !covered.test(dim.getPosition());
        covered.set(dim.getPosition());
      }
    return more;
  };
  cover(map);
  llvm::for_each(maps, cover);
  for (const Source &source : sources) {
    auto sourceType = dyn_cast<RankedTensorType>(source.tensor.getType());
    if (covered.all() || !sourceType || !cover(source.map))
      continue;
    inputs.push_back(builder.createEmpty(sourceType));
    maps.push_back(source.map);
  }

  maps.push_back(map);
  SmallVector<utils::IteratorType> iterators(loops,
                                             utils::IteratorType::reduction);
  for (AffineExpr expr : map.getResults())
    iterators[cast<AffineDimExpr>(expr).getPosition()] =
        utils::IteratorType::parallel;
  bool reduces = map.getNumResults() < loops;
  Value init = reduces ? builder.createZeros(type) : builder.createEmpty(type);
  return linalg::GenericOp::create(
             builder.getBuilder(), builder.getLoc(), TypeRange{type}, inputs,
             ValueRange{init}, maps, iterators,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               IRMapping mapping;
               for (auto [argument, arg] : llvm::zip(read, args))
                 mapping.map(argument, arg);
               for (BlockArgument argument : chosen.arguments)
                 if (TypedAttr splat =
                         getSplat(sources[argument.getArgNumber()].tensor))
                   mapping.map(argument,
                               arith::ConstantOp::create(b, loc, splat));
               for (auto [value, argument] : chosen.replaced)
                 mapping.map(value, mapping.lookup(argument));
               for (Operation *inner : chosen.ops)
                 cloneFolded(b, inner, mapping);
               Value value = mapping.lookupOrDefault(scalar);
               if (reduces)
                 value = arith::AddFOp::create(b, loc, args.back(), value);
               linalg::YieldOp::create(b, loc, value);
               for (Operation &inner : llvm::make_early_inc_range(
                        llvm::reverse(*b.getInsertionBlock())))
                 if (isOpTriviallyDead(&inner))
                   inner.erase();
             })
      .getResult(0);
}

/// Null if the operand's map is not linear.
Value GenericAdjoint::materializeAdjoint(Value scalar, const Source &source) {
  auto type = cast<RankedTensorType>(source.tensor.getType());
  if (source.map.isProjectedPermutation())
    return materialize(scalar, source.map, type);
  std::optional<AffineScatter> scatter =
      AffineScatter::get(source.map, type.getShape(), op.getStaticLoopRanges());
  if (!scatter)
    return {};
  Value contributions =
      materialize(scalar, scatter->getContributionMap(),
                  RankedTensorType::get(scatter->getContributionShape(),
                                        type.getElementType()));
  return scatter->build(builder, contributions);
}

LogicalResult GenericAdjoint::build() {
  makeScratch();
  if (failed(classify()))
    return failure();

  ScalarAdjointBuilder scalars(*block, op.getContext());
  for (OpOperand &operand : op->getOpOperands())
    if (builder.isActive(operand))
      scalars.activate(block->getArgument(operand.getOperandNumber()));
  // Running values are asked for their adjoint to see that a sum is one, and
  // that nothing but its own reduction reads any of them.
  for (auto [i, kind] : llvm::enumerate(kinds))
    if (kind != Kind::Elementwise)
      scalars.activate(block->getArgument(firstInit + i));
  scalars.findActiveValues();

  for (OpResult result : op->getResults()) {
    unsigned i = result.getResultNumber();
    if (!builder.getAdjoint(result))
      continue;
    BlockArgument adjoint = block->getArgument(firstAdjoint + i);
    if (kinds[i] == Kind::Sum)
      initAdjoints[i] = sources[adjoint.getArgNumber()].tensor;
    if (kinds[i] == Kind::Extremum)
      seedExtremum(i, scalars);
    else if (kinds[i] == Kind::Product)
      seedProduct(i, scalars);
    else
      scalars.seed(yielded[i], adjoint);
  }
  if (failed(scalars.propagate()))
    return failure();

  for (OpResult result : op->getResults()) {
    unsigned i = result.getResultNumber();
    bool isSum = kinds[i] == Kind::Sum && builder.getAdjoint(result);
    Value expected = isSum ? block->getArgument(firstAdjoint + i) : Value();
    if (kinds[i] != Kind::Elementwise &&
        scalars.getAdjoint(block->getArgument(firstInit + i)) != expected)
      return refuseReduction();
  }

  for (OpOperand &operand : op->getOpOperands()) {
    if (!builder.isActive(operand))
      continue;
    BlockArgument argument = block->getArgument(operand.getOperandNumber());
    if (operand.getOperandNumber() >= firstInit &&
        kinds[operand.getOperandNumber() - firstInit] != Kind::Elementwise) {
      if (Value adjoint = initAdjoints[operand.getOperandNumber() - firstInit])
        builder.addAdjoint(operand, adjoint);
      continue;
    }
    Value adjoint = scalars.getAdjoint(argument);
    if (!adjoint)
      continue;
    const Source &source = sources[argument.getArgNumber()];
    if (auto passed = dyn_cast<BlockArgument>(adjoint))
      if (passed.getArgNumber() >= firstAdjoint && source.map.isPermutation() &&
          sources[passed.getArgNumber()].map == source.map) {
        builder.addAdjoint(operand, sources[passed.getArgNumber()].tensor);
        continue;
      }
    for (BlockArgument used : slice(adjoint, /*useResults=*/true).arguments)
      if (used.getArgNumber() >= firstInit &&
          used.getArgNumber() < firstResult &&
          kinds[used.getArgNumber() - firstInit] != Kind::Elementwise)
        return refuseReduction();
    Value sum = materializeAdjoint(adjoint, source);
    if (!sum)
      return op.emitOpError("has no derivative rule for operand #")
             << operand.getOperandNumber()
             << ", whose map is not linear in the loops";
    builder.addAdjoint(operand, sum);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Rules
//===----------------------------------------------------------------------===//

namespace {
template <typename Rule, typename OpT>
using OpRule = DifferentiableOpInterface::ExternalModel<Rule, OpT>;

struct GenericRule : OpRule<GenericRule, linalg::GenericOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &builder) const {
    return GenericAdjoint(cast<linalg::GenericOp>(op), builder).build();
  }
};

/// The adjoint of each factor is the product of the result's adjoint with the
/// other factor, with the maps exchanged.
struct ContractRule : OpRule<ContractRule, linalg::ContractOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &builder) const {
    auto contract = cast<linalg::ContractOp>(op);
    Value adjoint = builder.getAdjoint(op->getResult(0));
    SmallVector<AffineMap> maps = contract.getIndexingMapsArray();
    for (unsigned i : {0u, 1u}) {
      OpOperand &factor = op->getOpOperand(i);
      if (!builder.isActive(factor))
        continue;
      Value other = op->getOperand(1 - i);
      // The adjoint stands where the factor stood: what was left stays left.
      SmallVector<Value> factors{adjoint, other};
      SmallVector<AffineMap> newMaps{maps[2], maps[1 - i], maps[i]};
      if (i == 1) {
        std::swap(factors[0], factors[1]);
        std::swap(newMaps[0], newMaps[1]);
      }
      builder.addAdjoint(
          factor,
          createProduct(builder, cast<RankedTensorType>(factor.get().getType()),
                        factors, newMaps, contract.getCast()));
    }
    builder.addAdjoint(contract.getOutputsMutable()[0], adjoint);
    return success();
  }

private:
  /// A contract, or a generic that is one without the sum: a contract must have
  /// something to sum over, which the adjoint of a factor with all loops has
  /// not. Factors of mixed types are multiplied and summed in the wider of the
  /// type of the result's adjoint and that of the factor.
  static Value createProduct(AdjointBuilder &builder, RankedTensorType type,
                             ValueRange factors, ArrayRef<AffineMap> maps,
                             linalg::TypeFn cast) {
    OpBuilder &b = builder.getBuilder();
    Location loc = builder.getLoc();
    RankedTensorType wide = type;
    for (Value factor : factors)
      if (auto element =
              dyn_cast<FloatType>(getElementTypeOrSelf(factor.getType()));
          element && element.getWidth() > wide.getElementTypeBitWidth())
        wide = RankedTensorType::get(type.getShape(), element);
    bool sums = maps[2].getNumResults() < maps[2].getNumDims();
    Value init = sums ? builder.createZeros(wide) : builder.createEmpty(wide);
    Value product;
    if (sums) {
      auto contract = linalg::ContractOp::create(b, loc, TypeRange{wide},
                                                 factors, ValueRange{init},
                                                 b.getAffineMapArrayAttr(maps));
      if (cast != linalg::TypeFn::cast_signed)
        contract.setCast(cast);
      product = contract.getResult(0);
    } else {
      SmallVector<utils::IteratorType> iterators(maps[2].getNumDims(),
                                                 utils::IteratorType::parallel);
      product =
          linalg::GenericOp::create(
              b, loc, TypeRange{wide}, factors, ValueRange{init}, maps,
              iterators,
              [&](OpBuilder &b, Location loc, ValueRange args) {
                Type element = wide.getElementType();
                bool isUnsigned = cast == linalg::TypeFn::cast_unsigned;
                Value lhs =
                    convertScalarToDtype(b, loc, args[0], element, isUnsigned);
                Value rhs =
                    convertScalarToDtype(b, loc, args[1], element, isUnsigned);
                Value product = arith::MulFOp::create(b, loc, lhs, rhs);
                linalg::YieldOp::create(b, loc, product);
              })
              .getResult(0);
    }
    if (wide == type)
      return product;
    return builder.createElementwise(
        type, product, [&](OpBuilder &b, Location loc, ValueRange args) {
          return convertScalarToDtype(b, loc, args[0], type.getElementType(),
                                      /*isUnsignedCast=*/false);
        });
  }
};

/// Whatever the destination held is gone, and the scalar is no tensor.
struct FillRule : OpRule<FillRule, linalg::FillOp> {
  LogicalResult buildAdjoint(Operation *, AdjointBuilder &) const {
    return success();
  }
};
} // namespace

void weir::registerLinalgRules(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    linalg::ContractOp::attachInterface<ContractRule>(*context);
    linalg::FillOp::attachInterface<FillRule>(*context);
    linalg::GenericOp::attachInterface<GenericRule>(*context);
  });
}
