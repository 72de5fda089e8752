//===- Product.cpp - matrix products on the host --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Product.h"

#include <algorithm>
#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <utility>

using namespace weir::runtime;

namespace {

/// One operand as a matrix of rows and columns.
struct Strides {
  int64_t row, column;
};

/// A product without its batch.
struct Matrices {
  int64_t m, n, k;
  Strides a, b, c;
};

/// How sgemm sees an operand of `rows` x `columns`: row-major with a leading
/// dimension, or the transpose of that.
struct Layout {
  bool representable;
  char transposed;
  int64_t leading;
};

} // namespace

static Layout layoutOf(Strides strides, int64_t rows, int64_t columns) {
  // The stride of a dimension of size 1 is never used.
  bool unitColumn = columns == 1 || strides.column == 1;
  bool unitRow = rows == 1 || strides.row == 1;
  if (unitColumn && (rows == 1 || strides.row >= columns))
    return {true, 'N', rows == 1 ? columns : strides.row};
  if (unitRow && (columns == 1 || strides.column >= rows))
    return {true, 'T', columns == 1 ? rows : strides.column};
  return {false, 'N', 0};
}

/// Merges batch dimensions into m or n where the other operand is repeated and
/// the rest is contiguous: one large product instead of many small ones.
/// Returns the batch that remains.
static weir_product mergeBatch(const weir_product &product) {
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

/// The plain form: each element of C adds its k terms in order.
template <typename Element>
static void multiplyInLoops(const Matrices &p, bool accumulate,
                            const Element *a, const Element *b, Element *c) {
  // Tiles of B that stay in the first level of cache.
  const int64_t tileK = 32, tileN = 128;
  if (!accumulate)
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.n; ++j)
        c[i * p.c.row + j * p.c.column] = 0;
  for (int64_t j0 = 0; j0 < p.n; j0 += tileN)
    for (int64_t k0 = 0; k0 < p.k; k0 += tileK) {
      int64_t jEnd = std::min(p.n, j0 + tileN),
              kEnd = std::min(p.k, k0 + tileK);
      for (int64_t i = 0; i < p.m; ++i)
        for (int64_t k = k0; k < kEnd; ++k) {
          Element factor = a[i * p.a.row + k * p.a.column];
          const Element *rowB = b + k * p.b.row;
          Element *rowC = c + i * p.c.row;
          if (p.b.column == 1 && p.c.column == 1)
            for (int64_t j = j0; j < jEnd; ++j)
              rowC[j] += factor * rowB[j];
          else
            for (int64_t j = j0; j < jEnd; ++j)
              rowC[j * p.c.column] += factor * rowB[j * p.b.column];
        }
    }
}

/// Calls `multiply` with the element offsets of A, B and C for each member of
/// the batch, in order.
template <typename Multiply>
static void forEachInBatch(const weir_product &product, Multiply multiply) {
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

template <typename Element>
static void runInLoops(const weir_product &product, const Matrices &matrices,
                       const void *a, const void *b, void *c) {
  forEachInBatch(product, [&](int64_t atA, int64_t atB, int64_t atC) {
    multiplyInLoops(matrices, product.accumulate != 0,
                    static_cast<const Element *>(a) + atA,
                    static_cast<const Element *>(b) + atB,
                    static_cast<Element *>(c) + atC);
  });
}

extern "C" void weir_host_product(weir_context *context,
                                  const weir_product *original, const void *a,
                                  const void *b, void *c) {
  weir_product product = mergeBatch(*original);
  Matrices matrices = {product.m,
                       product.n,
                       product.k,
                       {product.a_stride_m, product.a_stride_k},
                       {product.b_stride_k, product.b_stride_n},
                       {product.c_stride_m, product.c_stride_n}};

  // A C whose rows are the unit: compute its transpose, C' = B' A'.
  Layout layoutC = layoutOf(matrices.c, matrices.m, matrices.n);
  if (layoutC.transposed == 'T') {
    matrices = {matrices.n,
                matrices.m,
                matrices.k,
                {matrices.b.column, matrices.b.row},
                {matrices.a.column, matrices.a.row},
                {matrices.c.column, matrices.c.row}};
    std::swap(a, b);
    std::swap(product.a_stride_batch, product.b_stride_batch);
  }
  if (product.element_type == WEIR_F64)
    return runInLoops<double>(product, matrices, a, b, c);

  Layout layoutA = layoutOf(matrices.a, matrices.m, matrices.k);
  Layout layoutB = layoutOf(matrices.b, matrices.k, matrices.n);
  if (!layoutA.representable || !layoutB.representable ||
      !layoutC.representable)
    return runInLoops<float>(product, matrices, a, b, c);

  forEachInBatch(product, [&](int64_t atA, int64_t atB, int64_t atC) {
    dnnl_status_t status = dnnl_sgemm(
        layoutA.transposed, layoutB.transposed, matrices.m, matrices.n,
        matrices.k, 1.0f, static_cast<const float *>(a) + atA, layoutA.leading,
        static_cast<const float *>(b) + atB, layoutB.leading,
        product.accumulate ? 1.0f : 0.0f, static_cast<float *>(c) + atC,
        layoutC.leading);
    if (status != dnnl_success)
      context->failure = status == dnnl_out_of_memory
                             ? "a matrix product ran out of memory"
                             : "oneDNN refused a matrix product";
  });
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

Status weir::runtime::setProductThreads(int threads) {
  // OpenMP counts threads per calling thread. The symbol is looked up because
  // only oneDNN is linked, and which OpenMP it brings is its own affair.
  using SetThreads = void (*)(int);
  static auto setThreads =
      reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (setThreads) {
    setThreads(threads);
    return {};
  }
  if (threads == 1)
    return {};
  return fail(
      "--threads=", threads,
      ": this oneDNN does not use OpenMP, so its threads cannot be set");
}
