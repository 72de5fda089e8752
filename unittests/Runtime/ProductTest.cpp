//===- ProductTest.cpp - products against the definition ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Product.h"
#include "weir/Runtime/Random.h"

#include <cmath>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

using namespace weir::runtime;

namespace {

struct Case {
  const char *name;
  int64_t m, n, k;
  int64_t a[2], b[2], c[2]; /* strides by row and column */
  std::vector<int64_t> batch;
  std::vector<int64_t> batchA, batchB, batchC;
};

} // namespace

/// Elements that an operand spans.
static int64_t extent(std::vector<int64_t> sizes,
                      std::vector<int64_t> strides) {
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i)
    last += (sizes[i] - 1) * strides[i];
  return last + 1;
}

static std::vector<int64_t> joined(std::vector<int64_t> first, int64_t second,
                                   int64_t third) {
  first.push_back(second);
  first.push_back(third);
  return first;
}

static weir_product makeProduct(const Case &test, int64_t elementType,
                                bool accumulate) {
  weir_product product = {};
  product.element_type = elementType;
  product.m = test.m;
  product.n = test.n;
  product.k = test.k;
  product.a_stride_m = test.a[0];
  product.a_stride_k = test.a[1];
  product.b_stride_k = test.b[0];
  product.b_stride_n = test.b[1];
  product.c_stride_m = test.c[0];
  product.c_stride_n = test.c[1];
  product.accumulate = accumulate;
  product.batch_rank = test.batch.size();
  for (size_t i = 0; i < test.batch.size(); ++i) {
    product.batch_size[i] = test.batch[i];
    product.a_stride_batch[i] = test.batchA[i];
    product.b_stride_batch[i] = test.batchB[i];
    product.c_stride_batch[i] = test.batchC[i];
  }
  return product;
}

/// Heads inside [batch, time, heads, dim], of three tensors side by side.
static constexpr int64_t heads = 3, time_ = 10, dim = 8, row = 3 * heads * dim;

static const std::vector<Case> &cases() {
  static const std::vector<Case> list = {
      {"plain", 7, 9, 5, {5, 1}, {9, 1}, {9, 1}, {}, {}, {}, {}},
      {"transposed A", 7, 9, 5, {1, 7}, {9, 1}, {9, 1}, {}, {}, {}, {}},
      {"transposed B", 7, 9, 5, {5, 1}, {1, 5}, {9, 1}, {}, {}, {}, {}},
      {"transposed both", 7, 9, 5, {1, 7}, {1, 5}, {9, 1}, {}, {}, {}, {}},
      {"transposed C", 7, 9, 5, {5, 1}, {9, 1}, {1, 7}, {}, {}, {}, {}},
      {"transposed all", 7, 9, 5, {1, 7}, {1, 5}, {1, 7}, {}, {}, {}, {}},
      {"rows apart", 7, 9, 5, {11, 1}, {13, 1}, {17, 1}, {}, {}, {}, {}},
      {"no unit stride", 7, 9, 5, {12, 2}, {9, 1}, {20, 2}, {}, {}, {}, {}},
      {"larger", 130, 150, 140, {140, 1}, {1, 140}, {150, 1}, {}, {}, {}, {}},
      {"column", 50, 1, 30, {30, 1}, {1, 1}, {1, 1}, {}, {}, {}, {}},
      {"column apart", 50, 1, 30, {30, 1}, {4, 9}, {3, 7}, {}, {}, {}, {}},
      {"row", 1, 50, 30, {30, 1}, {50, 1}, {50, 1}, {}, {}, {}, {}},
      {"inner", 1, 1, 300, {300, 1}, {1, 1}, {1, 1}, {}, {}, {}, {}},
      {"outer", 40, 50, 1, {1, 1}, {50, 1}, {50, 1}, {}, {}, {}, {}},
      {"repeated row of A", 7, 9, 5, {0, 1}, {9, 1}, {9, 1}, {}, {}, {}, {}},
      {"batch", 7, 9, 5, {5, 1}, {9, 1}, {9, 1}, {4}, {35}, {45}, {63}},
      {"batch of two ranks, other order in C",
       7,
       9,
       5,
       {5, 1},
       {9, 1},
       {9, 1},
       {2, 3},
       {105, 35},
       {45, 90},
       {63, 126}},
      {"repeated weights",
       7,
       9,
       5,
       {5, 1},
       {9, 1},
       {9, 1},
       {4},
       {35},
       {0},
       {63}},
      {"repeated weights, rows apart",
       7,
       9,
       5,
       {6, 1},
       {9, 1},
       {10, 1},
       {2, 4},
       {200, 42},
       {0, 0},
       {300, 70}},
      {"repeated A", 7, 9, 5, {5, 1}, {1, 5}, {1, 7}, {4}, {0}, {45}, {63}},
      {"scores of heads",
       time_,
       time_,
       dim,
       {row, 1},
       {1, row},
       {time_, 1},
       {2, heads},
       {time_ * row, dim},
       {time_ * row, dim},
       {heads * time_ * time_, time_ * time_}},
      {"values of heads",
       time_,
       dim,
       time_,
       {time_, 1},
       {row, 1},
       {heads * dim, 1},
       {2, heads},
       {heads * time_ * time_, time_ * time_},
       {time_ * row, dim},
       {time_ * heads * dim, dim}},
      {"gradient of keys",
       time_,
       dim,
       time_,
       {1, time_},
       {row, 1},
       {row, 1},
       {2, heads},
       {heads * time_ * time_, time_ * time_},
       {time_ * row, dim},
       {time_ * row, dim}},
      {"four batch ranks",
       3,
       4,
       5,
       {5, 1},
       {4, 1},
       {4, 1},
       {2, 1, 2, 2},
       {60, 7, 30, 15},
       {80, 7, 40, 20},
       {48, 7, 24, 12}},
  };
  return list;
}

template <typename Element>
static void checkAgainstDefinition(const Case &test, bool accumulate,
                                   double tolerance) {
  SCOPED_TRACE(std::string(test.name) + (accumulate ? ", accumulated" : ""));
  weir_product product =
      makeProduct(test, sizeof(Element) == 4 ? WEIR_F32 : WEIR_F64, accumulate);
  ASSERT_FALSE(checkProduct(product).failed());

  auto joinedSizes = [&](int64_t x, int64_t y) {
    return joined(test.batch, x, y);
  };
  std::vector<Element> a(extent(joinedSizes(test.m, test.k),
                                joined(test.batchA, test.a[0], test.a[1])));
  std::vector<Element> b(extent(joinedSizes(test.k, test.n),
                                joined(test.batchB, test.b[0], test.b[1])));
  std::vector<Element> c(extent(joinedSizes(test.m, test.n),
                                joined(test.batchC, test.c[0], test.c[1])));
  RandomStream(0, "a").normal(1, std::span(a));
  RandomStream(0, "b").normal(1, std::span(b));
  RandomStream(0, "c").normal(1, std::span(c));

  // What is overwritten may hold anything; what lies between stays as it is.
  std::vector<double> expected(c.begin(), c.end());
  std::vector<bool> written(c.size(), false);
  std::vector<int64_t> index(test.batch.size(), 0);
  while (true) {
    int64_t atA = 0, atB = 0, atC = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      atA += index[i] * test.batchA[i];
      atB += index[i] * test.batchB[i];
      atC += index[i] * test.batchC[i];
    }
    for (int64_t i = 0; i < test.m; ++i)
      for (int64_t j = 0; j < test.n; ++j) {
        int64_t at = atC + i * test.c[0] + j * test.c[1];
        double sum = accumulate ? expected[at] : 0;
        for (int64_t k = 0; k < test.k; ++k)
          sum += double(a[atA + i * test.a[0] + k * test.a[1]]) *
                 double(b[atB + k * test.b[0] + j * test.b[1]]);
        expected[at] = sum;
        written[at] = true;
      }
    int64_t d = index.size() - 1;
    while (d >= 0 && ++index[d] == test.batch[d])
      index[d--] = 0;
    if (d < 0)
      break;
  }
  if (!accumulate)
    for (size_t i = 0; i < c.size(); ++i)
      if (written[i])
        c[i] = NAN;

  weir_context context;
  weir_host_product(&context, &product, a.data(), b.data(), c.data());
  ASSERT_EQ(context.failure, nullptr);
  double scale = std::sqrt(double(test.k));
  for (size_t i = 0; i < c.size(); ++i)
    ASSERT_NEAR(c[i], expected[i], written[i] ? tolerance * scale : 0)
        << "element " << i;
}

TEST(ProductTest, SinglePrecisionFollowsTheDefinition) {
  for (const Case &test : cases())
    for (bool accumulate : {false, true})
      checkAgainstDefinition<float>(test, accumulate, 4e-6);
}

TEST(ProductTest, DoublePrecisionFollowsTheDefinition) {
  for (const Case &test : cases())
    for (bool accumulate : {false, true})
      checkAgainstDefinition<double>(test, accumulate, 1e-14);
}

TEST(ProductTest, RepeatedOutputAddsOverTheBatch) {
  Case test = {"", 2, 2, 1, {1, 1}, {2, 1}, {2, 1}, {3}, {2}, {2}, {0}};
  weir_product product = makeProduct(test, WEIR_F32, true);
  ASSERT_FALSE(checkProduct(product).failed());
  float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 10, 1, 10, 1, 10}, c[4] = {};
  weir_context context;
  weir_host_product(&context, &product, a, b, c);
  EXPECT_EQ(c[0], 9);
  EXPECT_EQ(c[1], 90);
  EXPECT_EQ(c[2], 12);
  EXPECT_EQ(c[3], 120);
}

/// The bits of a product, computed on a thread of its own among others.
static std::vector<std::vector<float>> onThreads(const weir_product &product,
                                                 int numThreads, int threads) {
  std::vector<std::vector<float>> results(numThreads);
  std::vector<std::thread> ranks;
  for (int i = 0; i < numThreads; ++i)
    ranks.emplace_back([&, i] {
      ASSERT_FALSE(setProductThreads(threads).failed());
      std::vector<float> a(product.m * product.k), b(product.k * product.n);
      RandomStream(0, "a").normal(1, std::span(a));
      RandomStream(0, "b").normal(1, std::span(b));
      results[i].resize(product.m * product.n);
      RandomStream(0, "c").normal(1, std::span(results[i]));
      weir_context context;
      weir_host_product(&context, &product, a.data(), b.data(),
                        results[i].data());
    });
  for (std::thread &rank : ranks)
    rank.join();
  return results;
}

TEST(ProductTest, BitsDoNotDependOnTheRank) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{64, 48, 512},
                         std::array<int64_t, 3>{5, 3, 700}}) {
    Case test = {"", m, n, k, {k, 1}, {n, 1}, {n, 1}, {}, {}, {}, {}};
    weir_product product = makeProduct(test, WEIR_F32, true);
    for (int threads : {1, 2}) {
      auto alone = onThreads(product, 1, threads);
      for (const auto &result : onThreads(product, 4, threads))
        EXPECT_EQ(result, alone[0]);
    }
  }
}

TEST(ProductTest, RefusesBadProducts) {
  Case plain = {"", 7, 9, 5, {5, 1}, {9, 1}, {9, 1}, {}, {}, {}, {}};
  weir_product product = makeProduct(plain, WEIR_I32, false);
  EXPECT_TRUE(checkProduct(product).failed());
  product = makeProduct(plain, WEIR_F32, false);
  product.k = 0;
  EXPECT_TRUE(checkProduct(product).failed());
  product = makeProduct(plain, WEIR_F32, false);
  product.batch_rank = 5;
  EXPECT_TRUE(checkProduct(product).failed());
  product = makeProduct(plain, WEIR_F32, false);
  product.c_stride_m = 0;
  EXPECT_TRUE(checkProduct(product).failed());
  product = makeProduct(plain, WEIR_F32, false);
  product.a_stride_m = INT64_MAX;
  EXPECT_TRUE(checkProduct(product).failed());
}
