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
// sums over the loops that the operand does not have.
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
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
  enum class Kind { Elementwise, Sum, Extremum };

  bool isReduced(int64_t result) {
    return op.getMatchingIndexingMap(op.getDpsInitOperand(result))
               .getNumResults() < loops;
  }
  void makeScratch();
  LogicalResult classify();
  void seedExtremum(int64_t result, ScalarAdjointBuilder &scalars);
  Value materialize(Value scalar, AffineMap map, RankedTensorType type);

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
  Region scratch;
  Block *block = nullptr;
  SmallVector<Source> sources;
  SmallVector<Value> yielded;
  SmallVector<Kind> kinds;
  /// The argument that holds what the forward yielded.
  DenseMap<Value, BlockArgument> resultOf;
  unsigned firstInit = 0, firstResult = 0, firstAdjoint = 0;
};
} // namespace

void GenericAdjoint::makeScratch() {
  block = new Block();
  scratch.push_back(block);
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

/// If `value` is the larger or smaller of the running value `accumulator` and
/// something else, returns the something else.
static Value matchExtremum(Value value, Value accumulator) {
  Operation *extremum = value.getDefiningOp();
  if (!isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp, arith::MinimumFOp,
                       arith::MinNumFOp>(extremum) ||
      !accumulator.hasOneUse())
    return {};
  Value lhs = extremum->getOperand(0), rhs = extremum->getOperand(1);
  return lhs == accumulator ? rhs : rhs == accumulator ? lhs : Value();
}

LogicalResult GenericAdjoint::classify() {
  for (auto [i, value] : llvm::enumerate(yielded)) {
    Value accumulator = block->getArgument(firstInit + i);
    if (!isReduced(i)) {
      kinds.push_back(Kind::Elementwise);
      if (value.getDefiningOp() &&
          !value.getDefiningOp()->hasTrait<OpTrait::ConstantLike>())
        resultOf.try_emplace(value, block->getArgument(firstResult + i));
    } else {
      kinds.push_back(matchExtremum(value, accumulator) ? Kind::Extremum
                                                        : Kind::Sum);
    }
    if (kinds.back() == Kind::Extremum &&
        builder.isActive(*op.getDpsInitOperand(i)))
      return op.emitOpError("has no derivative rule for an initial value of a "
                            "maximum or minimum that depends on a variable");
  }
  return success();
}

/// The adjoint of a maximum goes to the elements that equal it, in equal parts
/// if there is more than one.
void GenericAdjoint::seedExtremum(int64_t result,
                                  ScalarAdjointBuilder &scalars) {
  Value element =
      matchExtremum(yielded[result], block->getArgument(firstInit + result));
  if (!scalars.isActive(element))
    return;
  BlockArgument extremum = block->getArgument(firstResult + result);
  BlockArgument adjoint = block->getArgument(firstAdjoint + result);
  Type type = element.getType();
  Value zero = scalars.constant(type, 0.0);
  Value wins = scalars.compare(arith::CmpFPredicate::OEQ, element, extremum);
  Value one = scalars.select(wins, scalars.constant(type, 1.0), zero);

  Source &source = sources[adjoint.getArgNumber()];
  auto tensorType = cast<RankedTensorType>(source.tensor.getType());
  Value winners = materialize(one, source.map, tensorType);
  OpBuilder &b = builder.getBuilder();
  AffineMap identity = b.getMultiDimIdentityMap(tensorType.getRank());
  SmallVector<utils::IteratorType> iterators(tensorType.getRank(),
                                             utils::IteratorType::parallel);
  source.tensor =
      linalg::GenericOp::create(
          b, builder.getLoc(), TypeRange{tensorType},
          ValueRange{source.tensor, winners},
          ValueRange{builder.createEmpty(tensorType)},
          ArrayRef<AffineMap>{identity, identity, identity}, iterators,
          [](OpBuilder &b, Location loc, ValueRange args) {
            Value share = arith::DivFOp::create(b, loc, args[0], args[1]);
            linalg::YieldOp::create(b, loc, share);
          })
          .getResult(0);
  scalars.seed(element, scalars.select(wins, adjoint, zero));
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

/// The element of a tensor whose elements are one known constant, else null.
static TypedAttr getSplat(Value tensor) {
  Attribute constant;
  if (!matchPattern(tensor, m_Constant(&constant)))
    return {};
  auto splat = dyn_cast<SplatElementsAttr>(constant);
  return splat ? cast<TypedAttr>(splat.getSplatValue<Attribute>())
               : TypedAttr();
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

LogicalResult GenericAdjoint::build() {
  makeScratch();
  if (failed(classify()))
    return failure();

  ScalarAdjointBuilder scalars(*block, op.getContext());
  for (OpOperand &operand : op->getOpOperands())
    if (builder.isActive(operand))
      scalars.activate(block->getArgument(operand.getOperandNumber()));
  // The running value of a sum is asked for its adjoint to see that it is a
  // sum.
  for (auto [i, kind] : llvm::enumerate(kinds))
    if (kind == Kind::Sum)
      scalars.activate(block->getArgument(firstInit + i));
  scalars.findActiveValues();

  for (OpResult result : op->getResults()) {
    unsigned i = result.getResultNumber();
    if (!builder.getAdjoint(result))
      continue;
    if (kinds[i] == Kind::Extremum)
      seedExtremum(i, scalars);
    else
      scalars.seed(yielded[i], block->getArgument(firstAdjoint + i));
  }
  if (failed(scalars.propagate()))
    return failure();

  auto unsupportedReduction = [&] {
    return op.emitOpError(
        "has no derivative rule for this reduction; known are "
        "sums, maxima and minima");
  };
  for (OpResult result : op->getResults()) {
    unsigned i = result.getResultNumber();
    if (kinds[i] == Kind::Sum && builder.getAdjoint(result) &&
        scalars.getAdjoint(block->getArgument(firstInit + i)) !=
            block->getArgument(firstAdjoint + i))
      return unsupportedReduction();
  }

  for (OpOperand &operand : op->getOpOperands()) {
    if (!builder.isActive(operand))
      continue;
    BlockArgument argument = block->getArgument(operand.getOperandNumber());
    if (operand.getOperandNumber() >= firstInit &&
        kinds[operand.getOperandNumber() - firstInit] != Kind::Elementwise) {
      if (Value adjoint = builder.getAdjoint(op.getTiedOpResult(&operand)))
        builder.addAdjoint(operand, adjoint);
      continue;
    }
    Value adjoint = scalars.getAdjoint(argument);
    if (!adjoint)
      continue;
    const Source &source = sources[argument.getArgNumber()];
    if (auto passed = dyn_cast<BlockArgument>(adjoint))
      if (passed.getArgNumber() >= firstAdjoint &&
          sources[passed.getArgNumber()].map == source.map) {
        builder.addAdjoint(operand, sources[passed.getArgNumber()].tensor);
        continue;
      }
    if (!source.map.isProjectedPermutation())
      return op.emitOpError("has no derivative rule for operand #")
             << operand.getOperandNumber()
             << ", whose map is not a projected permutation of the loops";
    for (BlockArgument used : slice(adjoint, /*useResults=*/true).arguments)
      if (used.getArgNumber() >= firstInit &&
          used.getArgNumber() < firstResult &&
          kinds[used.getArgNumber() - firstInit] != Kind::Elementwise)
        return unsupportedReduction();
    builder.addAdjoint(
        operand, materialize(adjoint, source.map,
                             cast<RankedTensorType>(source.tensor.getType())));
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
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    Value adjoint = builder.getAdjoint(op->getResult(0));
    for (Value input : contract.getInputs())
      if (getElementTypeOrSelf(input.getType()) != type.getElementType())
        return op->emitOpError("has no derivative rule for factors and results "
                               "of different element types");

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
                        factors, newMaps));
    }
    builder.addAdjoint(contract.getOutputsMutable()[0], adjoint);
    return success();
  }

private:
  /// A contract, or an elementwise generic if there is nothing to sum over,
  /// which a contract must have: the adjoint of a factor that has all loops.
  static Value createProduct(AdjointBuilder &builder, RankedTensorType type,
                             ValueRange factors, ArrayRef<AffineMap> maps) {
    OpBuilder &b = builder.getBuilder();
    Location loc = builder.getLoc();
    if (maps[2].getNumResults() < maps[2].getNumDims())
      return linalg::ContractOp::create(b, loc, TypeRange{type}, factors,
                                        ValueRange{builder.createZeros(type)},
                                        b.getAffineMapArrayAttr(maps))
          .getResult(0);
    SmallVector<utils::IteratorType> iterators(maps[2].getNumDims(),
                                               utils::IteratorType::parallel);
    return linalg::GenericOp::create(
               b, loc, TypeRange{type}, factors,
               ValueRange{builder.createEmpty(type)}, maps, iterators,
               [](OpBuilder &b, Location loc, ValueRange args) {
                 Value product =
                     arith::MulFOp::create(b, loc, args[0], args[1]);
                 linalg::YieldOp::create(b, loc, product);
               })
        .getResult(0);
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
