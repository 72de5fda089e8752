//===- LoopNest.h - what the loops of a generic op do -----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_LOOPNEST_H
#define WEIR_LIB_CONVERSION_PASSBODIES_LOOPNEST_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/SmallBitVector.h"

namespace weir {

/// An operand in memory, by the loop dims.
struct Access {
  mlir::BlockArgument argument;
  mlir::Type element;
  llvm::SmallVector<int64_t> strides; ///< in elements, by the loop dims
  /// Of the element at position 0 from the buffer's base.
  int64_t offset;
  /// Loaded before the body: an input, or an output that the body reads.
  bool isLoaded;
};

/// A load from a captured buffer in the body.
struct BodyLoad {
  mlir::memref::LoadOp op;
  /// The vector dim for which the loaded elements are neighbours, or -1.
  int64_t contiguousDim;
};

/// An output that is folded over the reduced dims.
struct Reduction {
  unsigned output;
  mlir::Operation *combiner; ///< accumulator and element to accumulator
  mlir::Value element;       ///< of the body
  mlir::TypedAttr neutral;
};

/// The value x with combine(x, y) = y for every y, to the last bit; null if the
/// op is no combiner that is known.
mlir::TypedAttr getNeutralElement(mlir::Operation *combiner);

/// The loops of one `linalg.generic` on memrefs of static layout.
struct LoopNest {
  explicit LoopNest(mlir::linalg::GenericOp op) : op(op), body(*op.getBody()) {}

  /// Fills in what follows. Fails with an error at the op if it is none that
  /// can be compiled, for `target` or any other.
  mlir::LogicalResult analyse(llvm::StringRef target);

  mlir::linalg::GenericOp op;
  mlir::Block &body;
  /// Per dim of the op. Neighbours that are one dim in memory for every operand
  /// are joined: the inner one has the size of both, the outer one size 1.
  llvm::SmallVector<int64_t> sizes;
  llvm::SmallVector<Access> accesses;
  llvm::SmallVector<int64_t> outputAccess; ///< per output
  llvm::SmallVector<Reduction> reductions;
  llvm::SmallVector<BodyLoad> bodyLoads;
  /// Dims that a value of the body depends on.
  llvm::DenseMap<mlir::Value, llvm::SmallBitVector> dims;
  llvm::SmallBitVector indexed; ///< dims whose index the body uses
  /// The dims that are larger than 1, in order.
  llvm::SmallVector<unsigned> parallelDims, reducedDims;
  int64_t numBodyOps = 0;

private:
  mlir::LogicalResult addAccesses();
  mlir::LogicalResult findReductions();
  void findBodyDims();
  void mergeDims();
  bool canMerge(unsigned outer, unsigned inner) const;
};

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_LOOPNEST_H
