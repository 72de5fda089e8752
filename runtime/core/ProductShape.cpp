//===- ProductShape.cpp - sizes and strides of matrix products ------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/ProductShape.h"

#include <algorithm>

using namespace weir::runtime;

Matrices weir::runtime::matricesOf(const weir_product &product) {
  return {product.m,
          product.n,
          product.k,
          {product.a_stride_m, product.a_stride_k},
          {product.b_stride_k, product.b_stride_n},
          {product.c_stride_m, product.c_stride_n}};
}

Layout weir::runtime::layoutOf(Strides strides, int64_t rows, int64_t columns) {
  // The stride of a dimension of size 1 is never used.
  bool unitColumn = columns == 1 || strides.column == 1;
  bool unitRow = rows == 1 || strides.row == 1;
  if (unitColumn && (rows == 1 || strides.row >= columns))
    return {true, 'N', rows == 1 ? columns : strides.row};
  if (unitRow && (columns == 1 || strides.column >= rows))
    return {true, 'T', columns == 1 ? rows : strides.column};
  return {false, 'N', 0};
}

weir_product weir::runtime::mergeBatch(const weir_product &product) {
  weir_product merged = product;
  merged.batch_rank = 0;
  for (int64_t i = product.batch_rank - 1; i >= 0; --i) {
    int64_t size = product.batch_size[i];
    int64_t a = product.a_stride_batch[i];
    int64_t b = product.b_stride_batch[i];
    int64_t c = product.c_stride_batch[i];
    if (size == 1)
      continue;
    if (b == 0 && a == merged.m * merged.a_stride_m &&
        c == merged.m * merged.c_stride_m) {
      merged.m *= size;
      continue;
    }
    if (a == 0 && b == merged.n * merged.b_stride_n &&
        c == merged.n * merged.c_stride_n) {
      merged.n *= size;
      continue;
    }
    merged.batch_size[merged.batch_rank] = size;
    merged.a_stride_batch[merged.batch_rank] = a;
    merged.b_stride_batch[merged.batch_rank] = b;
    merged.c_stride_batch[merged.batch_rank] = c;
    ++merged.batch_rank;
  }
  // Collected from the innermost; the order of the batch is the caller's.
  std::reverse(merged.batch_size, merged.batch_size + merged.batch_rank);
  std::reverse(merged.a_stride_batch,
               merged.a_stride_batch + merged.batch_rank);
  std::reverse(merged.b_stride_batch,
               merged.b_stride_batch + merged.batch_rank);
  std::reverse(merged.c_stride_batch,
               merged.c_stride_batch + merged.batch_rank);
  return merged;
}

Status weir::runtime::checkProduct(const weir_product &product) {
  // Large enough for any tensor, small enough that offsets cannot overflow.
  const int64_t limit = int64_t(1) << 48;
  if (product.element_type != WEIR_F32 && product.element_type != WEIR_F64)
    return fail("matrix product of element type ", product.element_type);
  if (product.accumulate != 0 && product.accumulate != 1)
    return fail("matrix product with accumulate = ", product.accumulate);
  if (product.batch_rank < 0 || product.batch_rank > WEIR_PRODUCT_MAX_BATCH)
    return fail("matrix product with ", product.batch_rank,
                " batch dimensions");

  __int128 extentA = 0, extentB = 0, extentC = 0;
  bool valid = true, distinctC = true;
  auto addDim = [&](int64_t size, int64_t a, int64_t b, int64_t c) {
    valid &= size >= 1 && size < limit && a >= 0 && b >= 0 && c >= 0;
    extentA += __int128(size - 1) * a;
    extentB += __int128(size - 1) * b;
    extentC += __int128(size - 1) * c;
  };
  addDim(product.m, product.a_stride_m, 0, product.c_stride_m);
  addDim(product.n, 0, product.b_stride_n, product.c_stride_n);
  addDim(product.k, product.a_stride_k, product.b_stride_k, 0);
  distinctC &= product.m == 1 || product.c_stride_m != 0;
  distinctC &= product.n == 1 || product.c_stride_n != 0;
  for (int64_t i = 0; i < product.batch_rank; ++i) {
    addDim(product.batch_size[i], product.a_stride_batch[i],
           product.b_stride_batch[i], product.c_stride_batch[i]);
    // With accumulation, a repeated C is a sum over that batch dimension.
    distinctC &= product.batch_size[i] == 1 || product.c_stride_batch[i] != 0 ||
                 product.accumulate == 1;
  }
  if (!valid || extentA >= limit || extentB >= limit || extentC >= limit)
    return fail("matrix product with a size or stride out of range (m ",
                product.m, ", n ", product.n, ", k ", product.k, ")");
  if (!distinctC)
    return fail("matrix product that writes an element of C twice (m ",
                product.m, ", n ", product.n, ", k ", product.k, ")");
  return {};
}
