//===- ProductsTest.cpp - products on the emulated device -----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Products.h"

#include <cmath>
#include <gtest/gtest.h>
#include <vector>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace {

using Values = std::vector<float>;

/// Numbers of both signs that tell elements apart.
Values makeValues(size_t size, int seed) {
  Values values(size);
  for (size_t i = 0; i < size; ++i)
    values[i] = float(int(i * 37 + seed * 11) % 19 - 9) / 8;
  return values;
}

class ProductsTest : public ::testing::Test {
protected:
  static constexpr int64_t m = 8, n = 16, k = 24;

  ProductsTest() {
    product.product.element_type = WEIR_F32;
    product.product.m = m;
    product.product.n = n;
    product.product.k = k;
    product.product.a_stride_m = k;
    product.product.a_stride_k = 1;
    product.product.b_stride_k = n;
    product.product.b_stride_n = 1;
    product.product.c_stride_m = n;
    product.product.c_stride_n = 1;
  }

  static DeviceMemory toDevice(const Values &values, cudaStream_t stream) {
    DeviceMemory memory;
    if (values.empty())
      return memory;
    EXPECT_FALSE(makeMemory(memory, values.size() * 4).failed());
    EXPECT_EQ(cudaMemcpyAsync(memory.get(), values.data(), values.size() * 4,
                              cudaMemcpyHostToDevice, stream),
              cudaSuccess);
    return memory;
  }

  /// Runs the product; C, bias and aux come back changed.
  void run() {
    ASSERT_FALSE(useDevice(0).failed());
    Stream stream;
    ASSERT_FALSE(makeStream(stream).failed());
    Products products;
    const weir_cuda_product *list[] = {&product};
    Status status = products.prepare(list, ProductPrecision::F32);
    ASSERT_FALSE(status.failed()) << status.message();
    Values *operands[] = {&a, &b, &c, &bias, &aux};
    DeviceMemory memory[5];
    for (int i = 0; i < 5; ++i)
      memory[i] = toDevice(*operands[i], stream.get());
    status = products.multiply(stream.get(), &product, memory[0].get(),
                               memory[1].get(), memory[2].get(),
                               memory[3].get(), memory[4].get(), nullptr);
    ASSERT_FALSE(status.failed()) << status.message();
    for (int i = 2; i < 5; ++i)
      if (!operands[i]->empty())
        ASSERT_EQ(cudaMemcpyAsync(operands[i]->data(), memory[i].get(),
                                  operands[i]->size() * 4,
                                  cudaMemcpyDeviceToHost, stream.get()),
                  cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  }

  /// A B of the row-major operands.
  double sumAt(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t p = 0; p < k; ++p)
      sum += double(a[i * k + p]) * b[p * n + j];
    return sum;
  }
  template <typename Expected>
  static void expectNear(const Values &values, Expected expected) {
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected(i / n, i % n), 1e-4) << i;
  }

  weir_cuda_product product = {};
  Values a = makeValues(m * k, 1), b = makeValues(k * n, 2),
         c = makeValues(m * n, 3), bias, aux;
};

double gelu(double x) {
  return 0.5 * x *
         (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double geluGradient(double x) {
  const double h = 1e-6;
  return (gelu(x + h) - gelu(x - h)) / (2 * h);
}

} // namespace

TEST_F(ProductsTest, ReplacesOrAccumulates) {
  Values before = c;
  run();
  expectNear(c, [&](int64_t i, int64_t j) { return sumAt(i, j); });
  c = before;
  product.product.accumulate = 1;
  run();
  expectNear(
      c, [&](int64_t i, int64_t j) { return before[i * n + j] + sumAt(i, j); });
}

TEST_F(ProductsTest, AddsABiasAlongN) {
  product.epilogue = WEIR_CUDA_EPILOGUE_BIAS;
  bias = makeValues(n, 4);
  run();
  expectNear(c, [&](int64_t i, int64_t j) { return sumAt(i, j) + bias[j]; });
}

TEST_F(ProductsTest, SavesTheInputOfGelu) {
  for (bool hasBias : {true, false}) {
    product.epilogue = hasBias ? WEIR_CUDA_EPILOGUE_GELU_AUX_BIAS
                               : WEIR_CUDA_EPILOGUE_GELU_AUX;
    bias = hasBias ? makeValues(n, 4) : Values();
    aux.assign(m * n, -77);
    run();
    auto input = [&](int64_t i, int64_t j) {
      return sumAt(i, j) + (hasBias ? bias[j] : 0);
    };
    expectNear(aux, input);
    expectNear(c, [&](int64_t i, int64_t j) { return gelu(input(i, j)); });
  }
}

TEST_F(ProductsTest, MultipliesByTheGradientOfGelu) {
  aux = makeValues(m * n, 5);
  auto expected = [&](int64_t i, int64_t j) {
    return sumAt(i, j) * geluGradient(aux[i * n + j]);
  };
  product.epilogue = WEIR_CUDA_EPILOGUE_DGELU;
  run();
  expectNear(c, expected);
  product.epilogue = WEIR_CUDA_EPILOGUE_DGELU_BGRAD;
  bias.assign(n, -77);
  run();
  expectNear(c, expected);
  expectNear(bias, [&](int64_t, int64_t j) {
    double sum = 0;
    for (int64_t i = 0; i < m; ++i)
      sum += expected(i, j);
    return sum;
  });
}

// In our terms, which are not those of cuBLASLt: A is m x k, B is k x n.
TEST_F(ProductsTest, SumsOperandsOverK) {
  product.epilogue = WEIR_CUDA_EPILOGUE_BGRADB;
  bias.assign(n, -77);
  run();
  expectNear(bias, [&](int64_t, int64_t j) {
    double sum = 0;
    for (int64_t p = 0; p < k; ++p)
      sum += b[p * n + j];
    return sum;
  });
  product.epilogue = WEIR_CUDA_EPILOGUE_BGRADA;
  bias.assign(m, -77);
  run();
  for (int64_t i = 0; i < m; ++i) {
    double sum = 0;
    for (int64_t p = 0; p < k; ++p)
      sum += a[i * k + p];
    EXPECT_NEAR(bias[i], sum, 1e-4);
  }
  expectNear(c, [&](int64_t i, int64_t j) { return sumAt(i, j); });
}

TEST_F(ProductsTest, RefusesProductsThatAreNotListed) {
  Products products;
  EXPECT_EQ(products
                .multiply(nullptr, &product, nullptr, nullptr, nullptr, nullptr,
                          nullptr, nullptr)
                .message(),
            "f32 product of 8 x 24 by 24 x 16: is not listed in the program");
}
