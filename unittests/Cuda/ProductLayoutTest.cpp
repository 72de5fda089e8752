//===- ProductLayoutTest.cpp - products as cuBLASLt sees them
//----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductLayout.h"

#include <gtest/gtest.h>
#include <vector>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

static weir_cuda_product makeProduct(int64_t m, int64_t n, int64_t k,
                                     bool transposedA, bool transposedB) {
  weir_cuda_product product = {};
  weir_product &p = product.product;
  p.element_type = WEIR_F64;
  p.m = m;
  p.n = n;
  p.k = k;
  p.a_stride_m = transposedA ? 1 : k;
  p.a_stride_k = transposedA ? m : 1;
  p.b_stride_k = transposedB ? 1 : n;
  p.b_stride_n = transposedB ? k : 1;
  p.c_stride_m = n;
  p.c_stride_n = 1;
  return product;
}

static void addBatch(weir_product &p, int64_t size, int64_t a, int64_t b,
                     int64_t c) {
  p.batch_size[p.batch_rank] = size;
  p.a_stride_batch[p.batch_rank] = a;
  p.b_stride_batch[p.batch_rank] = b;
  p.c_stride_batch[p.batch_rank] = c;
  ++p.batch_rank;
}

/// The product as its strides say.
static std::vector<double> multiplyByStrides(const weir_product &p,
                                             const std::vector<double> &a,
                                             const std::vector<double> &b,
                                             std::vector<double> c) {
  int64_t sizes[4] = {1, 1, 1, 1};
  for (int64_t i = 0; i < p.batch_rank; ++i)
    sizes[i] = p.batch_size[i];
  for (int64_t i = 0; i < sizes[0]; ++i)
    for (int64_t j = 0; j < sizes[1]; ++j) {
      int64_t atA = i * p.a_stride_batch[0] + j * p.a_stride_batch[1];
      int64_t atB = i * p.b_stride_batch[0] + j * p.b_stride_batch[1];
      int64_t atC = i * p.c_stride_batch[0] + j * p.c_stride_batch[1];
      for (int64_t m = 0; m < p.m; ++m)
        for (int64_t n = 0; n < p.n; ++n) {
          double sum = 0;
          for (int64_t k = 0; k < p.k; ++k)
            sum += a[atA + m * p.a_stride_m + k * p.a_stride_k] *
                   b[atB + k * p.b_stride_k + n * p.b_stride_n];
          c[atC + m * p.c_stride_m + n * p.c_stride_n] = sum;
        }
    }
  return c;
}

/// The product as cuBLASLt defines it for the layout.
static std::vector<double> multiplyByLayout(const ProductLayout &layout,
                                            const std::vector<double> &a,
                                            const std::vector<double> &b,
                                            std::vector<double> c) {
  auto at = [](const OperandLayout &operand, int64_t row, int64_t column) {
    if (operand.isTransposed)
      std::swap(row, column);
    EXPECT_LT(row, operand.rows);
    EXPECT_LT(column, operand.columns);
    EXPECT_GE(operand.leading, operand.rows);
    return row + column * operand.leading;
  };
  const std::vector<double> &left = layout.leftIsA ? a : b;
  const std::vector<double> &right = layout.leftIsA ? b : a;
  for (const ProductLayout::Offsets &call : layout.calls)
    for (int64_t batch = 0; batch < layout.batchSize; ++batch)
      for (int64_t row = 0; row < layout.rows; ++row)
        for (int64_t column = 0; column < layout.columns; ++column) {
          double sum = 0;
          for (int64_t k = 0; k < layout.depth; ++k)
            sum += left[call.left + batch * layout.left.batchStride +
                        at(layout.left, row, k)] *
                   right[call.right + batch * layout.right.batchStride +
                         at(layout.right, k, column)];
          c[call.result + batch * layout.result.batchStride +
            at(layout.result, row, column)] = sum;
        }
  return c;
}

/// Both on numbers that tell elements apart.
static void expectSameProduct(const weir_cuda_product &product) {
  ProductLayout layout;
  Status status = makeLayout(product, layout);
  ASSERT_FALSE(status.failed()) << status.message();
  std::vector<double> a(4096), b(4096), c(4096, -1);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = double(i * 37 % 101);
    b[i] = double(i * 53 % 103);
  }
  EXPECT_EQ(multiplyByLayout(layout, a, b, c),
            multiplyByStrides(product.product, a, b, c));
}

TEST(ProductLayoutTest, SwapsRowMajorOperands) {
  for (bool transposedA : {false, true})
    for (bool transposedB : {false, true}) {
      SCOPED_TRACE(transposedA * 2 + transposedB);
      expectSameProduct(makeProduct(3, 5, 7, transposedA, transposedB));
      expectSameProduct(makeProduct(1, 5, 7, transposedA, transposedB));
      expectSameProduct(makeProduct(3, 1, 7, transposedA, transposedB));
      expectSameProduct(makeProduct(3, 5, 1, transposedA, transposedB));
    }
}

TEST(ProductLayoutTest, TakesAResultThatIsDenseAlongM) {
  weir_cuda_product product = makeProduct(3, 5, 7, false, false);
  product.product.c_stride_m = 1;
  product.product.c_stride_n = 4;
  expectSameProduct(product);
}

// Heads inside [batch, time, heads, dim]: two dimensions that do not merge; one
// is in the descriptor, the other in a list of calls.
TEST(ProductLayoutTest, SplitsABatchOfTwoDimensions) {
  weir_cuda_product product = makeProduct(4, 4, 6, false, true);
  weir_product &p = product.product;
  p.a_stride_m = p.b_stride_n = 3 * 6;
  addBatch(p, 2, 4 * 18, 4 * 18, 3 * 16);
  addBatch(p, 3, 6, 6, 16);
  ProductLayout layout;
  ASSERT_FALSE(makeLayout(product, layout).failed());
  EXPECT_EQ(layout.batchSize, 3);
  EXPECT_EQ(layout.calls.size(), 2u);
  expectSameProduct(product);
}

// A batch that repeats B is one tall product.
TEST(ProductLayoutTest, MergesABatchIntoM) {
  weir_cuda_product product = makeProduct(4, 5, 6, false, false);
  addBatch(product.product, 3, 24, 0, 20);
  product.epilogue = WEIR_CUDA_EPILOGUE_BIAS;
  ProductLayout layout;
  ASSERT_FALSE(makeLayout(product, layout).failed());
  EXPECT_EQ(layout.columns, 12);
  EXPECT_EQ(layout.batchSize, 1);
  EXPECT_EQ(layout.calls.size(), 1u);
  expectSameProduct(product);
}

// A sum over the batch cannot run at once.
TEST(ProductLayoutTest, CallsInTurnWhereTheResultRepeats) {
  weir_cuda_product product = makeProduct(4, 5, 6, false, false);
  product.product.accumulate = 1;
  addBatch(product.product, 3, 24, 30, 0);
  ProductLayout layout;
  ASSERT_FALSE(makeLayout(product, layout).failed());
  EXPECT_EQ(layout.batchSize, 1);
  EXPECT_EQ(layout.calls.size(), 3u);
}

TEST(ProductLayoutTest, NamesProductsThatCublasCannotTake) {
  auto errorOf = [](const weir_cuda_product &product) {
    ProductLayout layout;
    return makeLayout(product, layout).message();
  };
  weir_cuda_product product = makeProduct(3, 5, 7, false, false);
  product.product.a_stride_k = 2;
  product.product.a_stride_m = 14;
  EXPECT_EQ(errorOf(product),
            "f64 product of 3 x 7 by 7 x 5: operand A has no dimension of "
            "stride 1 for cuBLASLt, or rows that overlap");
  product = makeProduct(3, 5, 7, false, false);
  product.product.c_stride_m = 1;
  product.product.c_stride_n = 4;
  product.product.b_stride_k = 3;
  product.product.b_stride_n = 30;
  EXPECT_EQ(errorOf(product),
            "f64 product of 3 x 7 by 7 x 5: operand B has no dimension of "
            "stride 1 for cuBLASLt, or rows that overlap");
  product = makeProduct(3, 5, 7, false, false);
  product.epilogue = WEIR_CUDA_EPILOGUE_GELU_AUX_BIAS;
  addBatch(product.product, 2, 21, 35, 15);
  EXPECT_EQ(errorOf(product),
            "f64 product of 3 x 7 by 7 x 5, batch 2, with bias and gelu: "
            "cuBLASLt has no epilogue over this batch");
  product = makeProduct(3, 5, 7, false, false);
  product.epilogue = 77;
  EXPECT_EQ(errorOf(product), "f64 product of 3 x 7 by 7 x 5, with an unknown "
                              "epilogue: unknown epilogue 77");
}
