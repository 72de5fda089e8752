//===- ProductTest.cpp - products and epilogues ---------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"

#include <cmath>
#include <cublasLt.h>

namespace {

/// A column-major or row-major matrix on the device, of numbers that differ.
struct Matrix {
  Matrix(int rows, int columns, int batch, cublasLtOrder_t order, int seed)
      : rows(rows), columns(columns), order(order),
        leading((order == CUBLASLT_ORDER_COL ? rows : columns) + 8),
        stride(int64_t(leading) *
               (order == CUBLASLT_ORDER_COL ? columns : rows)),
        memory(stride * batch) {
    for (size_t i = 0; i < memory.size; ++i)
      memory.data[i] = float(int(i * 7 + seed * 5) % 11 - 5) / 4;
    cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, rows, columns, leading);
    int32_t orderValue = order, count = batch;
    cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER,
                                     &orderValue, sizeof(orderValue));
    cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                     &count, sizeof(count));
    cublasLtMatrixLayoutSetAttribute(
        layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
        sizeof(stride));
  }
  ~Matrix() { cublasLtMatrixLayoutDestroy(layout); }

  float &at(int batch, int row, int column) {
    return memory.data[batch * stride + (order == CUBLASLT_ORDER_COL
                                             ? row + column * leading
                                             : row * leading + column)];
  }

  int rows, columns;
  cublasLtOrder_t order;
  int leading;
  int64_t stride;
  DeviceVector<float> memory;
  cublasLtMatrixLayout_t layout;
};

class Product : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulPreferenceCreate(&preference);
    uint64_t most = workspace.bytes();
    cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
        sizeof(most));
    describe(CUBLAS_COMPUTE_32F);
  }
  void TearDown() override {
    cublasLtMatmulDescDestroy(description);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtDestroy(handle);
    cudaStreamDestroy(stream);
  }

  void describe(cublasComputeType_t compute) {
    cublasLtMatmulDescDestroy(description);
    cublasLtMatmulDescCreate(&description, compute, CUDA_R_32F);
  }
  template <typename Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(description, attribute, &value,
                                             sizeof(value)),
              CUBLAS_STATUS_SUCCESS);
  }

  /// D = A B + beta D.
  cublasStatus_t multiply(Matrix &a, Matrix &b, Matrix &d, float beta) {
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, description, a.layout, b.layout, d.layout, d.layout, preference,
        1, &result, &found);
    if (status)
      return status;
    EXPECT_EQ(found, 1);
    float alpha = 1;
    status = cublasLtMatmul(
        handle, description, &alpha, a.memory.data, a.layout, b.memory.data,
        b.layout, &beta, d.memory.data, d.layout, d.memory.data, d.layout,
        &result.algo, workspace.data, workspace.bytes(), stream);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    return status;
  }

  cublasLtHandle_t handle;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulDesc_t description = nullptr;
  cudaStream_t stream = newStream();
  DeviceVector<float> workspace{1024};
};

const cublasLtOrder_t orders[] = {CUBLASLT_ORDER_COL, CUBLASLT_ORDER_ROW};

} // namespace

// Every order and transpose of every operand, with a batch and beta.
TEST_F(Product, LayoutsAndBatches) {
  const int m = 5, n = 7, k = 6, batch = 2;
  for (int form = 0; form < 32; ++form) {
    bool transA = form & 1, transB = form & 2;
    Matrix a(transA ? k : m, transA ? m : k, batch, orders[form >> 2 & 1], 1);
    Matrix b(transB ? n : k, transB ? k : n, batch, orders[form >> 3 & 1], 2);
    Matrix d(m, n, batch, orders[form >> 4], 3),
        before(m, n, batch, d.order, 3);
    set(CUBLASLT_MATMUL_DESC_TRANSA,
        int32_t(transA ? CUBLAS_OP_T : CUBLAS_OP_N));
    set(CUBLASLT_MATMUL_DESC_TRANSB,
        int32_t(transB ? CUBLAS_OP_T : CUBLAS_OP_N));
    float beta = form % 3 ? 1 : 0.5f;
    ASSERT_EQ(multiply(a, b, d, beta), CUBLAS_STATUS_SUCCESS);
    for (int s = 0; s < batch; ++s)
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
          float sum = beta * before.at(s, i, j);
          for (int l = 0; l < k; ++l)
            sum += (transA ? a.at(s, l, i) : a.at(s, i, l)) *
                   (transB ? b.at(s, j, l) : b.at(s, l, j));
          ASSERT_FLOAT_EQ(d.at(s, i, j), sum) << "form " << form;
        }
  }
}

static float gelu(float x) {
  return 0.5f * x * (1 + std::tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}

// Each epilogue against its definition, of the product with no epilogue.
TEST_F(Product, Epilogues) {
  const int m = 8, n = 3, k = 4;
  Matrix a(m, k, 1, CUBLASLT_ORDER_COL, 1), b(k, n, 1, CUBLASLT_ORDER_COL, 2);
  Matrix plain(m, n, 1, CUBLASLT_ORDER_COL, 3),
      d(m, n, 1, CUBLASLT_ORDER_COL, 3);
  ASSERT_EQ(multiply(a, b, plain, 0), CUBLAS_STATUS_SUCCESS);
  DeviceVector<float> bias(8), aux(m * n);
  auto run = [&](cublasLtEpilogue_t epilogue) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, int32_t(epilogue));
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux.data);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t(m));
    for (int i = 0; i < m; ++i)
      bias.data[i] = float(i) - 2;
    for (int i = 0; i < m * n; ++i)
      aux.data[i] = float(i % 5) - 2;
    ASSERT_EQ(multiply(a, b, d, 0), CUBLAS_STATUS_SUCCESS);
  };
  auto forAll = [&](auto check) {
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j)
        check(i, j, plain.at(0, i, j), d.at(0, i, j));
  };

  run(CUBLASLT_EPILOGUE_BIAS);
  forAll([&](int i, int, float x, float y) {
    EXPECT_FLOAT_EQ(y, x + float(i) - 2);
  });
  run(CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
  forAll([&](int i, int j, float x, float y) {
    EXPECT_FLOAT_EQ(aux.data[i + j * m], x + float(i) - 2);
    EXPECT_FLOAT_EQ(y, gelu(x + float(i) - 2));
  });
  run(CUBLASLT_EPILOGUE_GELU_AUX);
  forAll([&](int i, int j, float x, float y) {
    EXPECT_FLOAT_EQ(aux.data[i + j * m], x);
    EXPECT_FLOAT_EQ(y, gelu(x));
  });
  run(CUBLASLT_EPILOGUE_DGELU_BGRAD);
  std::vector<float> rowSums(m);
  forAll([&](int i, int j, float x, float y) {
    float at = float((i + j * m) % 5) - 2, step = 1e-2f;
    float slope = (gelu(at + step) - gelu(at - step)) / (2 * step);
    EXPECT_NEAR(y, x * slope, 1e-3f * std::abs(x) + 1e-6f);
    rowSums[i] += y;
  });
  for (int i = 0; i < m; ++i)
    EXPECT_NEAR(bias.data[i], rowSums[i], 1e-5);
  run(CUBLASLT_EPILOGUE_BGRADA);
  for (int i = 0; i < m; ++i)
    EXPECT_FLOAT_EQ(bias.data[i], a.at(0, i, 0) + a.at(0, i, 1) +
                                      a.at(0, i, 2) + a.at(0, i, 3));
  run(CUBLASLT_EPILOGUE_BGRADB);
  for (int j = 0; j < n; ++j)
    EXPECT_FLOAT_EQ(bias.data[j], b.at(0, 0, j) + b.at(0, 1, j) +
                                      b.at(0, 2, j) + b.at(0, 3, j));
}

// Products in tf32 and bf16 see factors of 10 and 7 bits of mantissa.
TEST_F(Product, RoundedFactors) {
  Matrix a(1, 1, 1, CUBLASLT_ORDER_COL, 1), b(1, 1, 1, CUBLASLT_ORDER_COL, 1),
      d(1, 1, 1, CUBLASLT_ORDER_COL, 1);
  a.at(0, 0, 0) = 1 + 0x1p-10f + 0x1p-12f;
  b.at(0, 0, 0) = 1;
  describe(CUBLAS_COMPUTE_32F_FAST_TF32);
  ASSERT_EQ(multiply(a, b, d, 0), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.at(0, 0, 0), 1 + 0x1p-10f);
  describe(CUBLAS_COMPUTE_32F_FAST_16BF);
  ASSERT_EQ(multiply(a, b, d, 0), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.at(0, 0, 0), 1);
}

// What cuBLASLt does not take is refused: sizes that do not fit, an epilogue on
// row-major results, saved input whose rows are not a multiple of 8.
TEST_F(Product, Refused) {
  Matrix a(4, 4, 1, CUBLASLT_ORDER_COL, 1), b(3, 4, 1, CUBLASLT_ORDER_COL, 1),
      row(4, 4, 1, CUBLASLT_ORDER_ROW, 1), d(4, 4, 1, CUBLASLT_ORDER_COL, 1);
  EXPECT_EQ(multiply(a, b, d, 0), CUBLAS_STATUS_INVALID_VALUE);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, int32_t(CUBLASLT_EPILOGUE_BIAS));
  EXPECT_EQ(multiply(a, a, row, 0), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(multiply(a, a, d, 0), CUBLAS_STATUS_INVALID_VALUE);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, int32_t(CUBLASLT_EPILOGUE_GELU_AUX));
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, d.memory.data);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t(4));
  EXPECT_EQ(multiply(a, a, d, 0), CUBLAS_STATUS_INVALID_VALUE);
}
