//===- BufferizeBody.cpp - a body function on buffers ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BufferizeBody.h"
#include "KernelEmission.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace weir;
using namespace mlir::bufferization;

//===----------------------------------------------------------------------===//
// Bufferization of weir.scatter_add
//===----------------------------------------------------------------------===//

namespace {

/// Rows are added in place, one after another.
struct ScatterAddBufferization
    : public BufferizableOpInterface::ExternalModel<ScatterAddBufferization,
                                                    ScatterAddOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return true;
  }

  bool bufferizesToMemoryWrite(Operation *op, OpOperand &operand,
                               const AnalysisState &) const {
    return operand == cast<ScatterAddOp>(op).getInitMutable();
  }

  AliasingValueList getAliasingValues(Operation *op, OpOperand &operand,
                                      const AnalysisState &state) const {
    if (bufferizesToMemoryWrite(op, operand, state))
      return {{op->getResult(0), BufferRelation::Equivalent}};
    return {};
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto scatter = cast<ScatterAddOp>(op);
    FailureOr<Value> updates =
        getBuffer(rewriter, scatter.getUpdates(), options, state);
    FailureOr<Value> table =
        getBuffer(rewriter, scatter.getInit(), options, state);
    FailureOr<Value> indices =
        getBuffer(rewriter, scatter.getIndices(), options, state);
    if (failed(updates) || failed(table) || failed(indices))
      return failure();
    Location loc = op->getLoc();
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(op);
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0);
    Value one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    SmallVector<Value> position;
    for (int64_t size : cast<MemRefType>(indices->getType()).getShape()) {
      Value bound = arith::ConstantIndexOp::create(rewriter, loc, size);
      auto loop = scf::ForOp::create(rewriter, loc, zero, bound, one);
      if (position.empty())
        loop->setAttr(scatterName, rewriter.getUnitAttr());
      position.push_back(loop.getInductionVar());
      rewriter.setInsertionPointToStart(loop.getBody());
    }
    Value row = memref::LoadOp::create(rewriter, loc, *indices, position);
    if (!row.getType().isIndex())
      row = arith::IndexCastOp::create(rewriter, loc, rewriter.getIndexType(),
                                       row);
    SmallVector<OpFoldResult> from(position.begin(), position.end());
    Value update = getRow(rewriter, loc, *updates, from);
    Value target = getRow(rewriter, loc, *table, OpFoldResult(row));
    AffineMap identity = rewriter.getMultiDimIdentityMap(1);
    linalg::GenericOp::create(
        rewriter, loc, TypeRange(), update, target,
        ArrayRef{identity, identity}, ArrayRef{utils::IteratorType::parallel},
        [](OpBuilder &b, Location loc, ValueRange arguments) {
          Value sum = arith::AddFOp::create(b, loc, arguments[1], arguments[0]);
          linalg::YieldOp::create(b, loc, sum);
        });
    replaceOpWithBufferizedValues(rewriter, op, *table);
    return success();
  }

  /// The innermost row of `buffer` at the outer positions `at`.
  static Value getRow(OpBuilder &b, Location loc, Value buffer,
                      ArrayRef<OpFoldResult> at) {
    auto type = cast<MemRefType>(buffer.getType());
    int64_t length = type.getShape().back();
    SmallVector<OpFoldResult> offsets(at), sizes, strides;
    offsets.push_back(b.getIndexAttr(0));
    sizes.assign(type.getRank(), b.getIndexAttr(1));
    sizes.back() = b.getIndexAttr(length);
    strides.assign(type.getRank(), b.getIndexAttr(1));
    MemRefType rowType = memref::SubViewOp::inferRankReducedResultType(
        {length}, type, offsets, sizes, strides);
    return memref::SubViewOp::create(b, loc, rowType, buffer, offsets, sizes,
                                     strides);
  }
};

/// Destinations are written and not read. A kernel knows dense tensors only, so
/// a slice becomes one.
struct CallKernelBufferization
    : public DstBufferizableOpInterfaceExternalModel<CallKernelBufferization,
                                                     CallKernelOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return cast<CallKernelOp>(op).isDpsInput(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto call = cast<CallKernelOp>(op);
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(op);
    SmallVector<Value> inputs, outs;
    for (Value input : call.getInputs()) {
      FailureOr<Value> buffer = getBuffer(rewriter, input, options, state);
      if (failed(buffer))
        return failure();
      auto type = cast<MemRefType>(buffer->getType());
      if (!type.getLayout().isIdentity()) {
        Value dense = memref::AllocOp::create(
            rewriter, op->getLoc(),
            MemRefType::get(type.getShape(), type.getElementType()));
        memref::CopyOp::create(rewriter, op->getLoc(), *buffer, dense);
        buffer = dense;
      }
      inputs.push_back(*buffer);
    }
    for (Value out : call.getOuts()) {
      FailureOr<Value> buffer = getBuffer(rewriter, out, options, state);
      if (failed(buffer))
        return failure();
      outs.push_back(*buffer);
    }
    CallKernelOp::create(rewriter, op->getLoc(), TypeRange(),
                         call.getFunctionAttr(), inputs, outs);
    replaceOpWithBufferizedValues(rewriter, op, outs);
    return success();
  }
};

} // namespace

void weir::registerBodyBufferization(DialectRegistry &registry) {
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerBufferizableOpInterfaceExternalModels(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  registry.addExtension(+[](MLIRContext *context, WeirDialect *) {
    CallKernelOp::attachInterface<CallKernelBufferization>(*context);
    ScatterAddOp::attachInterface<ScatterAddBufferization>(*context);
  });
}

//===----------------------------------------------------------------------===//
// Everything elementwise as linalg.generic
//===----------------------------------------------------------------------===//

/// Rewrites a gather of slices as a generic op that loads from the table.
static LogicalResult generalizeGather(RewriterBase &rewriter,
                                      tensor::GatherOp gather) {
  auto source = cast<RankedTensorType>(gather.getSource().getType());
  auto indices = cast<RankedTensorType>(gather.getIndices().getType());
  auto result = cast<RankedTensorType>(gather.getType());
  ArrayRef<int64_t> gathered = gather.getGatherDims();
  int64_t outer = indices.getRank() - 1;
  bool keepsUnitDims = result.getRank() == outer + source.getRank();
  rewriter.setInsertionPoint(gather);
  Location loc = gather.getLoc();
  // One operand per gathered coordinate: the indices with the last dimension
  // fixed.
  SmallVector<AffineMap> maps;
  SmallVector<Value> inputs;
  for (int64_t i = 0, e = gathered.size(); i < e; ++i) {
    SmallVector<AffineExpr> exprs;
    for (int64_t d = 0; d < outer; ++d)
      exprs.push_back(rewriter.getAffineDimExpr(d));
    exprs.push_back(rewriter.getAffineConstantExpr(i));
    maps.push_back(
        AffineMap::get(result.getRank(), 0, exprs, rewriter.getContext()));
    inputs.push_back(gather.getIndices());
  }
  maps.push_back(rewriter.getMultiDimIdentityMap(result.getRank()));
  Value empty = tensor::EmptyOp::create(rewriter, loc, result.getShape(),
                                        result.getElementType());
  SmallVector<utils::IteratorType> iterators(result.getRank(),
                                             utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      rewriter, loc, result, inputs, empty, maps, iterators,
      [&](OpBuilder &b, Location loc, ValueRange arguments) {
        SmallVector<Value> position;
        int64_t next = outer;
        for (int64_t d = 0; d < source.getRank(); ++d) {
          const int64_t *it = llvm::find(gathered, d);
          if (it == gathered.end()) {
            position.push_back(linalg::IndexOp::create(b, loc, next++));
            continue;
          }
          if (keepsUnitDims)
            ++next;
          Value index = arguments[it - gathered.begin()];
          if (!index.getType().isIndex())
            index = arith::IndexCastOp::create(b, loc, b.getIndexType(), index);
          position.push_back(index);
        }
        Value element =
            tensor::ExtractOp::create(b, loc, gather.getSource(), position);
        linalg::YieldOp::create(b, loc, element);
      });
  rewriter.replaceOp(gather, generic);
  return success();
}

/// Rewrites a bitcast of a tensor as one of its elements.
static void generalizeBitcast(RewriterBase &rewriter, tensor::BitcastOp cast) {
  auto type = llvm::cast<RankedTensorType>(cast.getType());
  rewriter.setInsertionPoint(cast);
  Value empty = tensor::EmptyOp::create(rewriter, cast.getLoc(),
                                        type.getShape(), type.getElementType());
  AffineMap identity = rewriter.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  rewriter.replaceOpWithNewOp<linalg::GenericOp>(
      cast, type, cast.getSource(), empty, ArrayRef{identity, identity},
      iterators, [&](OpBuilder &b, Location loc, ValueRange arguments) {
        Value value = arith::BitcastOp::create(b, loc, type.getElementType(),
                                               arguments[0]);
        linalg::YieldOp::create(b, loc, value);
      });
}

LogicalResult weir::generalizeBody(func::FuncOp function, StringRef target) {
  IRRewriter rewriter(function.getContext());
  RewritePatternSet patterns(function.getContext());
  linalg::populateElementwiseToLinalgConversionPatterns(patterns);
  SmallVector<Operation *> elementwise;
  for (Operation &op : function.getBody().getOps())
    if (OpTrait::hasElementwiseMappableTraits(&op))
      elementwise.push_back(&op);
  if (!elementwise.empty() &&
      failed(applyOpPatternsGreedily(elementwise, std::move(patterns))))
    return failure();
  WalkResult walk = function.walk([&](Operation *op) {
    if (auto gather = dyn_cast<tensor::GatherOp>(op))
      return WalkResult(generalizeGather(rewriter, gather));
    if (auto pad = dyn_cast<tensor::PadOp>(op)) {
      rewriter.setInsertionPoint(pad);
      if (succeeded(linalg::rewriteInDestinationPassingStyle(rewriter, pad)))
        return WalkResult::skip();
      pad.emitOpError("cannot be compiled for ") << target;
      return WalkResult::interrupt();
    }
    if (auto cast = dyn_cast<tensor::BitcastOp>(op)) {
      generalizeBitcast(rewriter, cast);
      return WalkResult::skip();
    }
    auto structured = dyn_cast<linalg::LinalgOp>(op);
    auto contract = dyn_cast<linalg::ContractOp>(op);
    if (!structured || isa<linalg::GenericOp, linalg::FillOp>(op) ||
        (contract && isProduct(contract)))
      return WalkResult::advance();
    DictionaryAttr discardable = op->getDiscardableAttrDictionary();
    rewriter.setInsertionPoint(op);
    FailureOr<linalg::GenericOp> generic =
        linalg::generalizeNamedOp(rewriter, structured);
    if (failed(generic)) {
      op->emitOpError("cannot be compiled for ") << target;
      return WalkResult::interrupt();
    }
    (*generic)->setDiscardableAttrs(discardable);
    return WalkResult::skip();
  });
  return failure(walk.wasInterrupted());
}

//===----------------------------------------------------------------------===//
// Destinations
//===----------------------------------------------------------------------===//

TypedAttr weir::getFillConstant(Value value) {
  Attribute attribute;
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    value = fill.value();
  if (!matchPattern(value, m_Constant(&attribute)))
    return {};
  if (auto splat = dyn_cast<SplatElementsAttr>(attribute))
    attribute = splat.getSplatValue<Attribute>();
  return isa<DenseElementsAttr>(attribute) ? TypedAttr()
                                           : dyn_cast<TypedAttr>(attribute);
}

/// A destination of its own for every output: sharing one makes bufferization
/// cubic in the number of ops and costs copies. What a reduction starts from
/// goes into an attribute if it is a constant.
static void separateDestinations(func::FuncOp function) {
  OpBuilder builder(function.getContext());
  auto setEmpty = [&](OpOperand &init) {
    auto type = cast<RankedTensorType>(init.get().getType());
    builder.setInsertionPoint(init.getOwner());
    init.set(tensor::EmptyOp::create(builder, function.getLoc(),
                                     type.getShape(), type.getElementType()));
  };
  function.walk([&](Operation *op) {
    if (auto contract = dyn_cast<linalg::ContractOp>(op)) {
      OpOperand &init = contract.getDpsInitsMutable()[0];
      auto value = dyn_cast_or_null<FloatAttr>(getFillConstant(init.get()));
      if (value && value.getValue().isZero()) {
        contract->setAttr(overwriteName, builder.getUnitAttr());
        setEmpty(init);
      }
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      SmallVector<Attribute> initial;
      for (OpOperand &init : generic.getDpsInitsMutable()) {
        bool isRead = generic.payloadUsesValueFromOperand(&init);
        TypedAttr constant = isRead ? getFillConstant(init.get()) : TypedAttr();
        initial.push_back(constant ? Attribute(constant)
                                   : builder.getUnitAttr());
        if (constant || (!isRead && !init.get().getDefiningOp<ToTensorOp>()))
          setEmpty(init);
      }
      generic->setAttr(initialValuesName, builder.getArrayAttr(initial));
    }
  });
  // A fill, a constant or an empty tensor that is still shared, or is not made
  // by an op that can be given a destination.
  SmallVector<Operation *> shared;
  function.walk([&](Operation *op) {
    if (isa<tensor::EmptyOp>(op) ||
        (isa<linalg::FillOp, arith::ConstantOp>(op) &&
         isa<RankedTensorType>(op->getResult(0).getType())))
      shared.push_back(op);
  });
  for (Operation *op : shared) {
    TypedAttr constant = getFillConstant(op->getResult(0));
    if (isa<arith::ConstantOp>(op) && !constant)
      continue;
    for (OpOperand &use :
         llvm::make_early_inc_range(op->getResult(0).getUses())) {
      if (!constant) {
        setEmpty(use);
        continue;
      }
      setEmpty(use);
      builder.setInsertionPoint(use.getOwner());
      Value scalar = arith::ConstantOp::create(builder, op->getLoc(), constant);
      use.set(linalg::FillOp::create(builder, op->getLoc(), scalar, use.get())
                  .getResult(0));
    }
    op->erase();
  }
}

/// The tensor in `memref`. Where the body has the tensor of the buffer that it
/// is a reshape of, it is a reshape of that: no two tensors may hide that they
/// share a buffer.
static Value getTensor(Value memref, DenseMap<Value, Value> &tensors) {
  if (Value tensor = tensors.lookup(memref))
    return tensor;
  auto type = cast<MemRefType>(memref.getType());
  auto tensorType =
      RankedTensorType::get(type.getShape(), type.getElementType());
  OpBuilder builder(memref.getContext());
  builder.setInsertionPointAfterValue(memref);
  Value tensor, source;
  Operation *view = memref.getDefiningOp();
  if (isa_and_nonnull<memref::CollapseShapeOp, memref::ExpandShapeOp>(view)) {
    source = tensors.lookup(view->getOperand(0));
    if (!source && view->getOperand(0).getDefiningOp())
      source = getTensor(view->getOperand(0), tensors);
  }
  if (!source)
    tensor = ToTensorOp::create(builder, memref.getLoc(), tensorType, memref,
                                /*restrict=*/true, /*writable=*/true);
  else if (auto collapse = dyn_cast<memref::CollapseShapeOp>(view))
    tensor = tensor::CollapseShapeOp::create(
        builder, memref.getLoc(), tensorType, source,
        collapse.getReassociationIndices());
  else
    tensor = tensor::ExpandShapeOp::create(
        builder, memref.getLoc(), tensorType, source,
        cast<memref::ExpandShapeOp>(view).getReassociationIndices());
  tensors[memref] = tensor;
  return tensor;
}

/// Makes every op that produces an output write it to its buffer.
static void assignDestinations(func::FuncOp function) {
  DenseMap<Value, Value> tensors;
  for (ToTensorOp op : function.getBody().getOps<ToTensorOp>())
    tensors[op.getBuffer()] = op.getResult();
  for (auto store : llvm::make_early_inc_range(
           function.getBody().getOps<MaterializeInDestinationOp>())) {
    auto result = dyn_cast<OpResult>(store.getSource());
    if (!result)
      continue;
    auto producer = dyn_cast<DestinationStyleOpInterface>(result.getOwner());
    if (!producer)
      continue;
    OpOperand *init = producer.getTiedOpOperand(result);
    // A fill takes its destination from below.
    if (!init->get().getDefiningOp<tensor::EmptyOp>())
      continue;
    init->set(getTensor(store.getDest(), tensors));
  }
}

/// The argument or allocation that a memref is a view of.
static Value getRoot(Value memref) {
  while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
    memref = view.getViewSource();
  return memref;
}

/// The last `count` copies of a body, which store its outputs, happen at once,
/// as it were: an update may yield the old variable as a state. Where an output
/// that is overwritten is also copied from, it is saved first.
static void separateCopies(func::FuncOp function, int64_t count) {
  SmallVector<memref::CopyOp> copies;
  for (Operation &op :
       llvm::drop_begin(llvm::reverse(function.getBody().front()))) {
    auto copy = dyn_cast<memref::CopyOp>(op);
    if (!copy || count-- == 0)
      break;
    if (copy.getSource() != copy.getTarget())
      copies.push_back(copy);
  }
  if (copies.empty())
    return;
  OpBuilder builder(copies.back());
  for (memref::CopyOp copy : copies) {
    Value root = getRoot(copy.getSource());
    if (!isa<BlockArgument>(root) ||
        llvm::none_of(copies, [&](memref::CopyOp other) {
          return getRoot(other.getTarget()) == root;
        }))
      continue;
    auto type = cast<MemRefType>(copy.getSource().getType());
    Value saved = memref::AllocOp::create(
        builder, copy.getLoc(),
        MemRefType::get(type.getShape(), type.getElementType()));
    memref::CopyOp::create(builder, copy.getLoc(), copy.getSource(), saved);
    copy.getSourceMutable().set(saved);
  }
}

/// Whether the elements of a buffer follow one another in row-major order.
static bool isDense(MemRefType type) {
  auto [strides, offset] = type.getStridesAndOffset();
  int64_t expected = 1;
  for (auto [size, stride] :
       llvm::reverse(llvm::zip(type.getShape(), strides))) {
    if (size != 1 && stride != expected)
      return false;
    expected *= size;
  }
  return true;
}

/// Copies the operands of a product that are spread over something larger. How
/// they lie decides the order in which the library adds, and whether a value is
/// a slice of another or has a buffer of its own depends on the cut.
static void makeOperandsDense(linalg::ContractOp contract) {
  OpBuilder builder(contract);
  Location loc = contract.getLoc();
  for (OpOperand &operand : contract->getOpOperands()) {
    Value buffer = operand.get();
    auto type = cast<MemRefType>(buffer.getType());
    if (isDense(type))
      continue;
    builder.setInsertionPoint(contract);
    Value dense = memref::AllocOp::create(
        builder, loc, MemRefType::get(type.getShape(), type.getElementType()));
    bool isInit = contract.isDpsInit(&operand);
    if (!isInit || !contract->hasAttr(overwriteName))
      memref::CopyOp::create(builder, loc, buffer, dense);
    operand.set(dense);
    if (!isInit)
      continue;
    builder.setInsertionPointAfter(contract);
    memref::CopyOp::create(builder, loc, dense, buffer);
  }
}

LogicalResult weir::bufferizeBody(func::FuncOp function, StringRef target) {
  separateDestinations(function);
  assignDestinations(function);
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
  OneShotBufferizationOptions options;
  options.bufferAlignment = bufferAlignment;
  BufferizationState state;
  // The outputs are stored last, one after another.
  auto stores = llvm::drop_begin(llvm::reverse(function.getBody().front()));
  auto firstOther = llvm::find_if(stores, [](Operation &op) {
    return !isa<MaterializeInDestinationOp>(op);
  });
  int64_t numStores = std::distance(stores.begin(), firstOther);
  if (failed(runOneShotBufferize(function, options, state)))
    return failure();
  separateCopies(function, numStores);
  function.walk(makeOperandsDense);
  // Fills, and what else bufferization made, are loops like all others.
  SmallVector<linalg::LinalgOp> named;
  function.walk([&](linalg::LinalgOp op) {
    if (!isa<linalg::GenericOp, linalg::ContractOp>(op.getOperation()))
      named.push_back(op);
  });
  IRRewriter rewriter(function.getContext());
  for (linalg::LinalgOp op : named) {
    rewriter.setInsertionPoint(op);
    if (failed(linalg::generalizeNamedOp(rewriter, op)))
      return op->emitOpError("cannot be compiled for ") << target;
  }
  return success();
}
