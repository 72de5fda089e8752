//===- WorkspacePlan.cpp - offsets for the temporaries of a kernel --------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WorkspacePlan.h"

#include "weir/Dialect/IR/WeirDialect.h"

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
    int64_t number = numbers.lookup(body->findAncestorOpInBlock(*user));
    temporary.first = std::min(temporary.first, number);
    temporary.last = std::max(temporary.last, number);
    if (isa<ViewLikeOpInterface>(user))
      for (Value view : user->getResults())
        addUses(view, body, numbers, temporary);
  }
}

int64_t weir::planWorkspace(func::FuncOp function) {
  Block &body = function.getBody().front();
  DenseMap<Operation *, int64_t> numbers;
  for (auto [number, op] : llvm::enumerate(body))
    numbers[&op] = number;
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
