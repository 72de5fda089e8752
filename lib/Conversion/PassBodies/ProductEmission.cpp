//===- ProductEmission.cpp - matrix products as calls of the library ------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BufferizeBody.h"
#include "KernelEmission.h"

#include "weir/Program.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace weir;

static constexpr int64_t numProductFields =
    sizeof(weir_product) / sizeof(int64_t);

//===----------------------------------------------------------------------===//
// Dimensions
//===----------------------------------------------------------------------===//

using Dim = ProductDim;

namespace {

/// The dimensions of a product by the operands that they index.
struct Dims {
  SmallVector<Dim> batch, m, n, k;
};

} // namespace

/// Joins neighbours that are one dimension in memory for every operand.
static void mergeDims(SmallVectorImpl<Dim> &dims) {
  SmallVector<Dim> merged;
  for (const Dim &dim : dims) {
    if (dim.size == 1)
      continue;
    if (!merged.empty()) {
      Dim &outer = merged.back();
      if (outer.a == dim.a * dim.size && outer.b == dim.b * dim.size &&
          outer.c == dim.c * dim.size) {
        outer = {outer.size * dim.size, dim.a, dim.b, dim.c};
        continue;
      }
    }
    merged.push_back(dim);
  }
  dims.assign(merged);
}

/// Takes the dimension that becomes a matrix's own out of `dims`: the largest,
/// the last of equals. A matrix always has one.
static Dim takeLargest(SmallVectorImpl<Dim> &dims) {
  if (dims.empty())
    return {1};
  auto *best = dims.begin();
  for (auto *it = dims.begin(); it != dims.end(); ++it)
    if (it->size >= best->size)
      best = it;
  Dim dim = *best;
  dims.erase(best);
  return dim;
}

static bool usesDim(AffineMap map, unsigned dim) {
  return map.isFunctionOfDim(dim);
}

bool weir::isProduct(linalg::ContractOp op) {
  Type element = getElementTypeOrSelf(op.getDpsInits()[0].getType());
  if (!element.isF32() && !element.isF64())
    return false;
  return llvm::all_of(op->getOperandTypes(), [&](Type type) {
    return getElementTypeOrSelf(type) == element;
  });
}

/// Strides of a buffer by the dimensions of the op.
static SmallVector<int64_t> getStrides(AffineMap map, Value memref) {
  SmallVector<int64_t> strides(map.getNumDims(), 0);
  auto type = cast<MemRefType>(memref.getType());
  for (auto [expr, stride] :
       llvm::zip(map.getResults(), type.getStridesAndOffset().first))
    strides[cast<AffineDimExpr>(expr).getPosition()] = stride;
  return strides;
}

static Dims getDims(linalg::ContractOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<int64_t> aStrides = getStrides(maps[0], op->getOperand(0)),
                       bStrides = getStrides(maps[1], op->getOperand(1)),
                       cStrides = getStrides(maps[2], op->getOperand(2));
  Dims dims;
  for (auto [index, size] : llvm::enumerate(op.getStaticLoopRanges())) {
    Dim dim{size, aStrides[index], bStrides[index], cStrides[index]};
    bool inA = usesDim(maps[0], index), inB = usesDim(maps[1], index),
         inC = usesDim(maps[2], index);
    SmallVector<Dim> &group = !inC   ? dims.k
                              : !inB ? dims.m
                              : !inA ? dims.n
                                     : dims.batch;
    group.push_back(dim);
  }
  for (SmallVector<Dim> *group : {&dims.batch, &dims.m, &dims.n, &dims.k})
    mergeDims(*group);
  return dims;
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

/// Emits the product over the loops `outer`; the operands move with them.
static void emitCalls(linalg::ContractOp op, KernelEmitter &kernel,
                      ArrayRef<Dim> outer, ArrayRef<int64_t> fields, Value a,
                      Value b, Value c) {
  if (outer.empty()) {
    kernel.emitProduct(op, fields, a, b, c);
    return;
  }
  Dim dim = outer.front();
  ImplicitLocOpBuilder &builder = kernel.getBuilder();
  Type element = getElementTypeOrSelf(op.getDpsInits()[0].getType());
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIntOp::create(builder, value, 64);
  };
  auto loop =
      scf::ForOp::create(builder, constant(0), constant(dim.size), constant(1));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  auto move = [&](Value base, int64_t stride) -> Value {
    if (stride == 0)
      return base;
    Value shift = arith::MulIOp::create(builder, loop.getInductionVar(),
                                        constant(stride));
    return movePointer(builder, base, element, shift, 0);
  };
  emitCalls(op, kernel, outer.drop_front(), fields, move(a, dim.a),
            move(b, dim.b), move(c, dim.c));
}

ProductPlan weir::planProduct(linalg::ContractOp op) {
  Dims dims = getDims(op);
  ProductPlan plan;
  plan.m = takeLargest(dims.m);
  plan.n = takeLargest(dims.n);
  plan.k = takeLargest(dims.k);
  plan.reduced = dims.k;
  // What is left of M and N repeats the other operand, as a batch does.
  plan.batch = dims.batch;
  llvm::append_range(plan.batch, dims.m);
  llvm::append_range(plan.batch, dims.n);
  // Large batches go to the library, the rest becomes loops here.
  llvm::stable_sort(plan.batch,
                    [](const Dim &x, const Dim &y) { return x.size > y.size; });
  while (plan.batch.size() > WEIR_PRODUCT_MAX_BATCH)
    plan.outer.push_back(plan.batch.pop_back_val());
  return plan;
}

LogicalResult weir::emitContract(linalg::ContractOp op, KernelEmitter &kernel) {
  if (!isProduct(op))
    return op.emitOpError("is no product of the library");
  const Buffer &a = kernel.getBuffer(op.getDpsInputs()[0]);
  const Buffer &b = kernel.getBuffer(op.getDpsInputs()[1]);
  const Buffer &c = kernel.getBuffer(op.getDpsInits()[0]);
  ProductPlan plan = planProduct(op);
  const Dim &m = plan.m, &n = plan.n, &k = plan.k;
  ArrayRef<Dim> batch = plan.batch, reduced = plan.reduced;
  SmallVector<Dim> outer = plan.outer;

  auto getFields = [&](bool accumulate) {
    weir_product product = {};
    product.element_type = a.element.isF32() ? WEIR_F32 : WEIR_F64;
    product.m = m.size;
    product.n = n.size;
    product.k = k.size;
    product.a_stride_m = m.a;
    product.a_stride_k = k.a;
    product.b_stride_k = k.b;
    product.b_stride_n = n.b;
    product.c_stride_m = m.c;
    product.c_stride_n = n.c;
    product.accumulate = accumulate;
    product.batch_rank = batch.size();
    for (auto [index, dim] : llvm::enumerate(batch)) {
      product.batch_size[index] = dim.size;
      product.a_stride_batch[index] = dim.a;
      product.b_stride_batch[index] = dim.b;
      product.c_stride_batch[index] = dim.c;
    }
    SmallVector<int64_t> fields(numProductFields);
    memcpy(fields.data(), &product, sizeof(product));
    return fields;
  };
  bool overwrites = op->hasAttr(overwriteName);
  if (reduced.empty() || !overwrites) {
    llvm::append_range(outer, reduced);
    emitCalls(op, kernel, outer, getFields(!overwrites), a.base, b.base,
              c.base);
    return success();
  }
  // Several reduced dimensions that are not one in memory: the first position
  // of the outer ones overwrites, all others add. Peeling dimension by
  // dimension keeps the order.
  SmallVector<int64_t> add = getFields(true);
  Value aBase = a.base, bBase = b.base;
  emitCalls(op, kernel, outer, getFields(false), aBase, bBase, c.base);
  ImplicitLocOpBuilder &builder = kernel.getBuilder();
  for (int64_t i = reduced.size() - 1; i >= 0; --i) {
    // Positions 1.. of dimension i with the outer ones still at 0.
    Dim rest = reduced[i];
    --rest.size;
    SmallVector<Dim> loops(outer);
    loops.push_back(rest);
    llvm::append_range(loops, reduced.drop_front(i + 1));
    emitCalls(op, kernel, loops, add,
              movePointer(builder, aBase, a.element, Value(), rest.a),
              movePointer(builder, bBase, b.element, Value(), rest.b), c.base);
  }
  return success();
}
