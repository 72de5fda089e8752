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
  Matrices matrices = matricesOf(product);

  // A C whose rows are the unit: compute its transpose, C' = B' A'.
  Layout layoutC = layoutOf(matrices.c, matrices.m, matrices.n);
  if (layoutC.transposed == 'T') {
    matrices = matrices.transposed();
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
