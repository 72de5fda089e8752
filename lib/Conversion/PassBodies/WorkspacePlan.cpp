//===- WorkspacePlan.cpp - offsets for the temporaries of a kernel --------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WorkspacePlan.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace weir;

namespace {

/// A temporary: [first, last] are the numbers of the ops of the function that
/// use it first and last.
struct Temporary {
  memref::AllocOp alloc;
  int64_t bytes;
  int64_t first, last;
  int64_t offset = 0;
};

} // namespace

/// Widens the live range of `temporary` by the uses of `value` and its views.
static void addUses(Value value, Block *body,
                    const DenseMap<Operation *, int64_t> &numbers,
                    Temporary &temporary) {
  for (Operation *user : value.getUsers()) {
    if (isa<ViewLikeOpInterface>(user)) {
      for (Value view : user->getResults())
        addUses(view, body, numbers, temporary);
      continue;
    }
    int64_t number = numbers.lookup(body->findAncestorOpInBlock(*user));
    temporary.first = std::min(temporary.first, number);
    temporary.last = std::max(temporary.last, number);
  }
}

/// What a memref is a reshape or a slice of. Members of a bundle, which do not
/// overlap, are buffers of their own.
static Value getRoot(Value memref) {
  while (isa_and_nonnull<memref::ExpandShapeOp, memref::CollapseShapeOp,
                         memref::SubViewOp, memref::CastOp>(
      memref.getDefiningOp()))
    memref = memref.getDefiningOp()->getOperand(0);
  return memref;
}

/// What a memref is a view of, whole or in part.
static Value getViewed(Value memref) {
  while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
    memref = view.getViewSource();
  return memref;
}

/// Whether the generic op visits every element of both buffers once and at the
/// same time, so that one may be written over the other.
static bool canShare(OpOperand &input, OpOperand &output) {
  auto op = cast<linalg::GenericOp>(input.getOwner());
  AffineMap map = op.getMatchingIndexingMap(&input);
  if (input.get().getType() != output.get().getType() ||
      map != op.getMatchingIndexingMap(&output) || !map.isPermutation())
    return false;
  // Read nowhere else: neither as another operand, nor by a load in the body,
  // nor as a part by either.
  int64_t numReads = 0;
  op->walk([&](Operation *inner) {
    numReads += llvm::count_if(inner->getOperands(), [&](Value operand) {
      return getViewed(operand) == input.get();
    });
  });
  return numReads == 1;
}

/// Lets an elementwise op write over a temporary that it is the last to read:
/// the temporary is made in the op's output from the start.
static void shareInPlace(Block &body,
                         const DenseMap<Operation *, int64_t> &numbers) {
  auto getRange = [&](Value buffer) {
    Temporary range{{}, 0, std::numeric_limits<int64_t>::max(), -1};
    addUses(buffer, &body, numbers, range);
    return range;
  };
  // From the back, so that a chain ends up in its last buffer.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body))) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic)
      continue;
    int64_t here = numbers.lookup(generic);
    for (OpOperand &output : generic.getDpsInitsMutable()) {
      // What the output holds before must not be needed, here or earlier.
      Value root = getRoot(output.get());
      if (generic.payloadUsesValueFromOperand(&output) ||
          getRange(root).first != here ||
          llvm::any_of(generic.getDpsInputOperands(),
                       [&](OpOperand *input) {
                         return getRoot(input->get()) == root;
                       }) ||
          llvm::any_of(root.getUsers(), [&](Operation *user) {
            return user->getBlock() != &body;
          }))
        continue;
      for (OpOperand *input : generic.getDpsInputOperands()) {
        auto alloc = input->get().getDefiningOp<memref::AllocOp>();
        if (!alloc || !canShare(*input, output) || getRange(alloc).last != here)
          continue;
        // The output must be there when the temporary is.
        Value buffer = output.get();
        if (Operation *definition = buffer.getDefiningOp()) {
          if (isa<memref::AllocOp>(definition))
            definition->moveBefore(alloc);
          else if (!definition->isBeforeInBlock(alloc))
            continue;
        }
        alloc.getResult().replaceAllUsesWith(buffer);
        alloc.erase();
        break;
      }
    }
  }
}

int64_t weir::planWorkspace(func::FuncOp function) {
  Block &body = function.getBody().front();
  DenseMap<Operation *, int64_t> numbers;
  for (auto [number, op] : llvm::enumerate(body))
    numbers[&op] = number;
  shareInPlace(body, numbers);
  SmallVector<Temporary> temporaries;
  function.walk([&](memref::AllocOp alloc) {
    MemRefType type = alloc.getType();
    Temporary temporary{alloc,
                        alignBuffer(getTensorBytes(RankedTensorType::get(
                            type.getShape(), type.getElementType()))),
                        std::numeric_limits<int64_t>::max(), -1};
    addUses(alloc, &body, numbers, temporary);
    if (temporary.last >= 0)
      temporaries.push_back(temporary);
  });
  // Large ones first, each at the lowest offset that is free while it lives.
  llvm::stable_sort(temporaries, [](const Temporary &a, const Temporary &b) {
    return a.bytes > b.bytes;
  });
  int64_t total = 0;
  SmallVector<const Temporary *> placed; // by offset
  for (Temporary &temporary : temporaries) {
    for (const Temporary *other : placed) {
      if (other->last < temporary.first || temporary.last < other->first)
        continue;
      if (temporary.offset + temporary.bytes <= other->offset)
        break;
      temporary.offset =
          std::max(temporary.offset, other->offset + other->bytes);
    }
    total = std::max(total, temporary.offset + temporary.bytes);
    auto it = llvm::upper_bound(
        placed, temporary.offset,
        [](int64_t offset, const Temporary *t) { return offset < t->offset; });
    placed.insert(it, &temporary);
    temporary.alloc->setAttr(
        workspaceOffsetName,
        IntegerAttr::get(IntegerType::get(function.getContext(), 64),
                         temporary.offset));
  }
  return total;
}
