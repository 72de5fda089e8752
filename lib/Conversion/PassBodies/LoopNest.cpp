//===- LoopNest.cpp - what the loops of a generic op do -------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoopNest.h"

#include "BufferizeBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace weir;

static SmallVector<int64_t> getStrides(Value memref) {
  return cast<MemRefType>(memref.getType()).getStridesAndOffset().first;
}

/// Adds `factor` times the expression, which must be linear, to `strides`.
static bool addStrides(AffineExpr expr, int64_t factor,
                       MutableArrayRef<int64_t> strides, int64_t &offset) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    strides[dim.getPosition()] += factor;
    return true;
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    offset += factor * constant.getValue();
    return true;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return false;
  if (expr.getKind() == AffineExprKind::Add)
    return addStrides(binary.getLHS(), factor, strides, offset) &&
           addStrides(binary.getRHS(), factor, strides, offset);
  auto constant = dyn_cast<AffineConstantExpr>(binary.getRHS());
  return expr.getKind() == AffineExprKind::Mul && constant &&
         addStrides(binary.getLHS(), factor * constant.getValue(), strides,
                    offset);
}

LogicalResult LoopNest::addAccesses() {
  auto initial = op->getAttrOfType<ArrayAttr>(initialValuesName);
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    bool isOutput = op.isDpsInit(&operand);
    unsigned output = operand.getOperandNumber() - op.getNumDpsInputs();
    if (isOutput)
      outputAccess.push_back(accesses.size());
    else if (argument.use_empty() || !isa<MemRefType>(operand.get().getType()))
      continue;
    Access access{argument, getElementTypeOrSelf(operand.get().getType()),
                  SmallVector<int64_t>(sizes.size(), 0), /*offset=*/0,
                  !argument.use_empty() && !(isOutput && initial &&
                                             !isa<UnitAttr>(initial[output]))};
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [expr, stride] :
         llvm::zip(map.getResults(), getStrides(operand.get())))
      if (!addStrides(expr, stride, access.strides, access.offset))
        return op.emitOpError("has an indexing map that is not linear: ")
               << AffineMapAttr::get(map);
    accesses.push_back(access);
  }
  return success();
}

TypedAttr weir::getNeutralElement(Operation *combiner) {
  Type type = combiner->getResult(0).getType();
  OpBuilder builder(combiner->getContext());
  if (auto floatType = dyn_cast<FloatType>(type)) {
    const llvm::fltSemantics &semantics = floatType.getFloatSemantics();
    auto get = [&](const APFloat &value) {
      return builder.getFloatAttr(type, value);
    };
    if (isa<arith::AddFOp>(combiner))
      return get(APFloat::getZero(semantics, /*Negative=*/true));
    if (isa<arith::MulFOp>(combiner))
      return get(APFloat::getOne(semantics));
    if (isa<arith::MaximumFOp>(combiner))
      return get(APFloat::getInf(semantics, /*Negative=*/true));
    if (isa<arith::MinimumFOp>(combiner))
      return get(APFloat::getInf(semantics));
    if (isa<arith::MaxNumFOp, arith::MinNumFOp>(combiner))
      return get(APFloat::getNaN(semantics));
    return {};
  }
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer)
    return {};
  unsigned bits = integer.getWidth();
  auto get = [&](const APInt &value) {
    return builder.getIntegerAttr(type, value);
  };
  if (isa<arith::AddIOp, arith::OrIOp, arith::XOrIOp, arith::MaxUIOp>(combiner))
    return get(APInt::getZero(bits));
  if (isa<arith::MulIOp>(combiner))
    return get(APInt(bits, 1));
  if (isa<arith::AndIOp, arith::MinUIOp>(combiner))
    return get(APInt::getAllOnes(bits));
  if (isa<arith::MaxSIOp>(combiner))
    return get(APInt::getSignedMinValue(bits));
  if (isa<arith::MinSIOp>(combiner))
    return get(APInt::getSignedMaxValue(bits));
  return {};
}

LogicalResult LoopNest::findReductions() {
  if (reducedDims.empty())
    return success();
  auto yield = cast<linalg::YieldOp>(body.getTerminator());
  for (auto [output, index] : llvm::enumerate(outputAccess)) {
    const Access &access = accesses[index];
    bool coversAll = llvm::all_of(
        reducedDims, [&](unsigned dim) { return access.strides[dim] != 0; });
    if (coversAll)
      continue;
    Operation *combiner = yield.getOperand(output).getDefiningOp();
    Value accumulator = access.argument;
    bool isFold =
        combiner && combiner->getBlock() == &body &&
        combiner->getNumOperands() == 2 && combiner->getResult(0).hasOneUse() &&
        accumulator.hasOneUse() && *accumulator.user_begin() == combiner &&
        llvm::none_of(reducedDims,
                      [&](unsigned dim) { return access.strides[dim] != 0; });
    TypedAttr neutral = isFold ? getNeutralElement(combiner) : TypedAttr();
    if (!neutral)
      return op.emitOpError(
          "reduces in a way that is not known: an output must "
          "be the fold of elements by one commutative op");
    Value element = combiner->getOperand(0) == accumulator
                        ? combiner->getOperand(1)
                        : combiner->getOperand(0);
    reductions.push_back(
        {static_cast<unsigned>(output), combiner, element, neutral});
  }
  return success();
}

/// Which loop dims each value of the body depends on.
void LoopNest::findBodyDims() {
  llvm::SmallBitVector none(sizes.size());
  for (BlockArgument argument : body.getArguments())
    dims[argument] = none;
  for (const Access &access : accesses)
    for (auto [dim, stride] : llvm::enumerate(access.strides))
      if (stride != 0)
        dims[access.argument].set(dim);
  indexed = none;
  for (Operation &inner : body.without_terminator()) {
    ++numBodyOps;
    llvm::SmallBitVector uses = none;
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      if (sizes[index.getDim()] != 1)
        uses.set(index.getDim());
      indexed |= uses;
    }
    for (Value operand : inner.getOperands()) {
      auto it = dims.find(operand);
      if (it != dims.end())
        uses |= it->second;
    }
    for (Value result : inner.getResults())
      dims[result] = uses;
    if (auto load = dyn_cast<memref::LoadOp>(inner)) {
      int64_t contiguous = -1;
      if (!load.getIndices().empty() &&
          getStrides(load.getMemRef()).back() == 1) {
        auto last = load.getIndices().back().getDefiningOp<linalg::IndexOp>();
        if (last && llvm::none_of(load.getIndices().drop_back(), [&](Value v) {
              auto it = dims.find(v);
              return it != dims.end() && it->second.test(last.getDim());
            }))
          contiguous = last.getDim();
      }
      bodyLoads.push_back({load, contiguous});
    }
  }
}

/// Whether two dims are one for every operand.
bool LoopNest::canMerge(unsigned outer, unsigned inner) const {
  if (indexed.test(outer) || indexed.test(inner))
    return false;
  return llvm::all_of(accesses, [&](const Access &access) {
    return access.strides[outer] == access.strides[inner] * sizes[inner];
  });
}

/// Joins neighbouring dims, drops those of size 1.
void LoopNest::mergeDims() {
  for (SmallVector<unsigned> *group : {&parallelDims, &reducedDims}) {
    SmallVector<unsigned> merged;
    for (unsigned dim : *group) {
      if (sizes[dim] == 1)
        continue;
      if (!merged.empty() && canMerge(merged.back(), dim)) {
        unsigned outer = merged.pop_back_val();
        sizes[dim] *= sizes[outer];
        sizes[outer] = 1;
        for (Access &access : accesses)
          access.strides[outer] = 0;
        for (auto &[value, uses] : dims)
          uses.reset(outer);
      }
      merged.push_back(dim);
    }
    *group = merged;
  }
}

LogicalResult LoopNest::analyse(StringRef target) {
  sizes = op.getStaticLoopRanges();
  for (int64_t size : sizes)
    if (size <= 0)
      return op.emitOpError("has an empty or dynamic iteration space");
  for (auto [dim, type] : llvm::enumerate(op.getIteratorTypesArray()))
    (type == utils::IteratorType::parallel ? parallelDims : reducedDims)
        .push_back(dim);
  for (Operation &inner : body.without_terminator())
    if (!isa<linalg::IndexOp, memref::LoadOp, arith::ConstantOp>(inner) &&
        !OpTrait::hasElementwiseMappableTraits(&inner))
      return inner.emitOpError("cannot be compiled for ") << target;
  if (failed(addAccesses()))
    return failure();
  // Dims of size 1 are no dims.
  for (auto [dim, size] : llvm::enumerate(sizes))
    if (size == 1)
      for (Access &access : accesses)
        access.strides[dim] = 0;
  llvm::erase_if(reducedDims, [&](unsigned dim) { return sizes[dim] == 1; });
  for (int64_t output : outputAccess)
    for (unsigned dim : parallelDims)
      if (sizes[dim] != 1 && accesses[output].strides[dim] == 0)
        return op.emitOpError("writes an element more than once");
  if (failed(findReductions()))
    return failure();
  findBodyDims();
  if (reductions.empty()) {
    // What is called reduced but is not: every output covers all dims.
    llvm::append_range(parallelDims, reducedDims);
    llvm::sort(parallelDims);
    reducedDims.clear();
  }
  mergeDims();
  return success();
}
