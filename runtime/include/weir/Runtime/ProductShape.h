//===- weir/Runtime/ProductShape.h - shapes of products ---------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes and strides of a weir_product in the terms of BLAS: what the products
// of all targets share.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_PRODUCTSHAPE_H
#define WEIR_RUNTIME_PRODUCTSHAPE_H

#include "weir/Program.h"
#include "weir/Runtime/Status.h"

namespace weir::runtime {

/// One operand as a matrix of rows and columns.
struct Strides {
  int64_t row, column;
};

/// A product without its batch.
struct Matrices {
  int64_t m, n, k;
  Strides a, b, c;

  /// C' = B' A', with A and B in each other's place.
  Matrices transposed() const {
    return {n, m, k, {b.column, b.row}, {a.column, a.row}, {c.column, c.row}};
  }
};

Matrices matricesOf(const weir_product &product);

/// How BLAS sees an operand of `rows` x `columns`: row-major with a leading
/// dimension ('N'), or the transpose of that ('T').
struct Layout {
  bool representable;
  char transposed;
  int64_t leading;
};

Layout layoutOf(Strides strides, int64_t rows, int64_t columns);

/// Merges batch dimensions into m or n where the other operand is repeated and
/// the rest is contiguous: one large product instead of many small ones.
/// Returns the product with the batch that remains.
weir_product mergeBatch(const weir_product &product);

/// Calls `multiply` with the element offsets of A, B and C for each member of
/// the batch, in order.
template <typename Multiply>
void forEachInBatch(const weir_product &product, Multiply multiply) {
  int64_t index[WEIR_PRODUCT_MAX_BATCH] = {};
  int64_t a = 0, b = 0, c = 0;
  while (true) {
    multiply(a, b, c);
    int64_t dim = product.batch_rank - 1;
    for (; dim >= 0; --dim) {
      a += product.a_stride_batch[dim];
      b += product.b_stride_batch[dim];
      c += product.c_stride_batch[dim];
      if (++index[dim] < product.batch_size[dim])
        break;
      a -= product.a_stride_batch[dim] * product.batch_size[dim];
      b -= product.b_stride_batch[dim] * product.batch_size[dim];
      c -= product.c_stride_batch[dim] * product.batch_size[dim];
      index[dim] = 0;
    }
    if (dim < 0)
      return;
  }
}

/// Checks that a product is one that a runtime can run: known element type,
/// sizes of at least 1, a C that is not written twice.
Status checkProduct(const weir_product &product);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_PRODUCTSHAPE_H
