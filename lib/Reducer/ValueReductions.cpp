//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shortcuts in models and in the bodies of passes.
//
//===----------------------------------------------------------------------===//

#include "Reduction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace weir;

/// What shortcuts are made of is no part of its own.
static bool isPart(Operation &op) {
  return !op.hasTrait<OpTrait::IsTerminator>() &&
         !op.hasTrait<OpTrait::ConstantLike>() && !isa<tensor::EmptyOp>(op);
}

static SmallVector<Region *> getBodies(ModuleOp module) {
  SmallVector<Region *> bodies;
  module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<func::FuncOp, StagePassOpInterface>(op))
      bodies.push_back(&op->getRegion(0));
  });
  return bodies;
}

static SmallVector<Operation *> getParts(ModuleOp module) {
  SmallVector<Operation *> parts;
  for (Region *body : getBodies(module))
    for (Operation &op : body->getOps())
      if (isPart(op))
        parts.push_back(&op);
  return parts;
}

size_t weir::countValues(ModuleOp module) { return getParts(module).size(); }

/// Replaces the results of parts by what `find` gives for a result; an op of
/// which one result has no replacement stays.
static LogicalResult
replaceValues(ModuleOp module, size_t begin, size_t end,
              function_ref<Value(Value, const DenseSet<Operation *> &)> find) {
  SmallVector<Operation *> all = getParts(module);
  auto parts = ArrayRef(all).slice(begin, end - begin);
  DenseSet<Operation *> chosen(parts.begin(), parts.end());
  bool changed = false;
  for (Operation *op : llvm::reverse(parts)) {
    SmallVector<Value> replacements;
    for (Value result : op->getResults())
      replacements.push_back(result.use_empty() ? result
                                                : find(result, chosen));
    if (!llvm::all_of(replacements, [](Value value) { return bool(value); }))
      continue;
    op->replaceAllUsesWith(replacements);
    op->erase();
    changed = true;
  }
  IRRewriter rewriter(module.getContext());
  for (Region *body : getBodies(module))
    (void)runRegionDCE(rewriter, *body);
  return success(changed);
}

LogicalResult weir::shortcutValues(ModuleOp module, size_t begin, size_t end) {
  return replaceValues(
      module, begin, end,
      [](Value value, const DenseSet<Operation *> &chosen) -> Value {
        Operation *op = value.getDefiningOp();
        for (BlockArgument argument : op->getBlock()->getArguments())
          if (argument.getType() == value.getType())
            return argument;
        for (Operation &other : *op->getBlock()) {
          if (&other == op)
            break;
          if (isPart(other) && !chosen.contains(&other))
            for (Value result : other.getResults())
              if (result.getType() == value.getType())
                return result;
        }
        return {};
      });
}

LogicalResult weir::zeroValues(ModuleOp module, size_t begin, size_t end) {
  return replaceValues(
      module, begin, end, [](Value value, const DenseSet<Operation *> &) {
        OpBuilder builder(value.getDefiningOp());
        auto zero = builder.getZeroAttr(value.getType());
        return zero ? arith::ConstantOp::create(builder, value.getLoc(), zero)
                          .getResult()
                    : Value();
      });
}
