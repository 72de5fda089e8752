//===- AffineScatter.h - add to where an affine map leads -------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_AFFINESCATTER_H
#define WEIR_AUTODIFF_AFFINESCATTER_H

#include "weir/Autodiff/AdjointBuilder.h"

#include "mlir/IR/AffineMap.h"

#include <optional>

namespace weir {

/// The adjoint of reading a tensor at `map(loops)`, for a map that is linear
/// with constants but no projected permutation, such as that of an image under
/// a convolution, (n, h, w, c, i, j) -> (n, 2 * h + i, 2 * w + j, c): what
/// every position of the loops contributes is added to the element that it
/// read.
///
/// The contributions are a tensor with one dimension for every loop that the
/// map has; they are put where they belong by ops that any later pass knows.
/// Two loops of K and P iterations and the expression d * k + s * p + c, which
/// is below L, become one dimension of L by a skew:
///
///   insert into zeros, K x (L + d), row k at columns c, c + s, c + 2 s, ...
///   take the first K * L elements as K x L: row k has moved right by d * k
///   sum over K
///
/// So the number of ops depends neither on sizes nor on strides, and whatever
/// the body of the op is, a product or a maximum, it has been dealt with
/// before. The price is a buffer K times as large as the operand.
class AffineScatter {
public:
  /// `shape` is that of the operand, `loopSizes` holds the iterations of every
  /// loop. Null if the map is not linear (floordiv, mod).
  static std::optional<AffineScatter> get(mlir::AffineMap map,
                                          llvm::ArrayRef<int64_t> shape,
                                          llvm::ArrayRef<int64_t> loopSizes);

  /// From the loops to the dimensions of the contributions: a projected
  /// permutation.
  mlir::AffineMap getContributionMap() const;
  llvm::SmallVector<int64_t> getContributionShape() const;

  /// The sum, of the operand's shape. `contributions` has the shape above.
  mlir::Value build(AdjointBuilder &builder, mlir::Value contributions) const;

private:
  /// A loop and how far one iteration of it moves, which is more than 0.
  struct Step {
    unsigned loop;
    int64_t size, stride;
    bool reversed = false;
  };
  /// A dimension of the operand, of `size` elements: position 0 of the loops
  /// reads element `offset`.
  struct Line {
    int64_t size, offset = 0;
    llvm::SmallVector<Step> steps;
  };

  static void arrange(Line &line);
  mlir::Value unreverse(AdjointBuilder &builder, mlir::Value value) const;

  llvm::SmallVector<Line> lines;
  llvm::SmallVector<int64_t> shape;
  mlir::MLIRContext *context = nullptr;
  unsigned numLoops = 0;
};

} // namespace weir

#endif // WEIR_AUTODIFF_AFFINESCATTER_H
