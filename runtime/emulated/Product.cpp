//===- Product.cpp - cuBLASLt, emulated -----------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products and epilogues as cuBLASLt defines them, on the host runtime's
// products. What cuBLASLt is known to refuse is refused, and more: attributes
// and types that Weir has no use for.
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Product.h"
#include "Stream.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <cublasLt.h>

using namespace weir::emulated;

//===----------------------------------------------------------------------===//
// Descriptions
//===----------------------------------------------------------------------===//

struct cublasLtContext {};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  if (callError())
    return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() { return 130100; }

const char *cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_SUCCESS:
    return "CUBLAS_STATUS_SUCCESS";
  case CUBLAS_STATUS_NOT_INITIALIZED:
    return "CUBLAS_STATUS_NOT_INITIALIZED";
  case CUBLAS_STATUS_ALLOC_FAILED:
    return "CUBLAS_STATUS_ALLOC_FAILED";
  case CUBLAS_STATUS_INVALID_VALUE:
    return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_ARCH_MISMATCH:
    return "CUBLAS_STATUS_ARCH_MISMATCH";
  case CUBLAS_STATUS_MAPPING_ERROR:
    return "CUBLAS_STATUS_MAPPING_ERROR";
  case CUBLAS_STATUS_EXECUTION_FAILED:
    return "CUBLAS_STATUS_EXECUTION_FAILED";
  case CUBLAS_STATUS_INTERNAL_ERROR:
    return "CUBLAS_STATUS_INTERNAL_ERROR";
  case CUBLAS_STATUS_NOT_SUPPORTED:
    return "CUBLAS_STATUS_NOT_SUPPORTED";
  case CUBLAS_STATUS_LICENSE_ERROR:
    return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown status";
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
  return cublasLtGetStatusName(status);
}

/// Keeps an attribute of 4 or 8 bytes in the word of its number.
template <typename Opaque>
static cublasStatus_t setAttribute(Opaque *opaque, size_t attribute,
                                   const void *value, size_t bytes,
                                   size_t expected) {
  if (!opaque || !value || bytes != expected ||
      attribute >= std::size(opaque->data))
    return CUBLAS_STATUS_INVALID_VALUE;
  opaque->data[attribute] = 0;
  memcpy(&opaque->data[attribute], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description,
                                        cublasComputeType_t compute,
                                        cudaDataType scale) {
  *description = new cublasLtMatmulDescOpaque_t{};
  (*description)->data[CUBLASLT_MATMUL_DESC_COMPUTE_TYPE] = compute;
  (*description)->data[CUBLASLT_MATMUL_DESC_SCALE_TYPE] = scale;
  (*description)->data[CUBLASLT_MATMUL_DESC_EPILOGUE] =
      CUBLASLT_EPILOGUE_DEFAULT;
  const auto unset = uint64_t(-1);
  (*description)->data[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE] = unset;
  (*description)->data[CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE] = unset;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                               cublasLtMatmulDescAttributes_t attribute,
                               const void *value, size_t bytes) {
  bool isWord = attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER ||
                attribute == CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE ||
                attribute == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER ||
                attribute == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD ||
                attribute == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE;
  return setAttribute(description, attribute, value, bytes, isWord ? 8 : 4);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                          cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t{};
  (*layout)->data[CUBLASLT_MATRIX_LAYOUT_TYPE] = type;
  (*layout)->data[CUBLASLT_MATRIX_LAYOUT_ROWS] = rows;
  (*layout)->data[CUBLASLT_MATRIX_LAYOUT_COLS] = columns;
  (*layout)->data[CUBLASLT_MATRIX_LAYOUT_LD] = leading;
  (*layout)->data[CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT] = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                 cublasLtMatrixLayoutAttribute_t attribute,
                                 const void *value, size_t bytes) {
  bool isWord = attribute == CUBLASLT_MATRIX_LAYOUT_ROWS ||
                attribute == CUBLASLT_MATRIX_LAYOUT_COLS ||
                attribute == CUBLASLT_MATRIX_LAYOUT_LD ||
                attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
  return setAttribute(layout, attribute, value, bytes, isWord ? 8 : 4);
}

cublasStatus_t
cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t{};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
    size_t bytes) {
  // The others change the choice among algorithms, and here is only one.
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return preference && value ? CUBLAS_STATUS_SUCCESS
                               : CUBLAS_STATUS_INVALID_VALUE;
  return setAttribute(preference, attribute, value, bytes, 8);
}

//===----------------------------------------------------------------------===//
// What is supported
//===----------------------------------------------------------------------===//

namespace {

/// A matrix in memory; strides in elements.
struct Matrix {
  explicit Matrix(const cublasLtMatrixLayoutOpaque_t &layout)
      : type(cudaDataType(layout.data[CUBLASLT_MATRIX_LAYOUT_TYPE])),
        rows(int64_t(layout.data[CUBLASLT_MATRIX_LAYOUT_ROWS])),
        columns(int64_t(layout.data[CUBLASLT_MATRIX_LAYOUT_COLS])),
        leading(int64_t(layout.data[CUBLASLT_MATRIX_LAYOUT_LD])),
        batch(int64_t(layout.data[CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT])),
        batchStride(
            int64_t(layout.data[CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET])),
        rowMajor(layout.data[CUBLASLT_MATRIX_LAYOUT_ORDER] ==
                 CUBLASLT_ORDER_ROW) {}

  cudaDataType type;
  int64_t rows, columns, leading, batch, batchStride;
  bool rowMajor;

  int64_t rowStride() const { return rowMajor ? leading : 1; }
  int64_t columnStride() const { return rowMajor ? 1 : leading; }
  size_t elementBytes() const { return type == CUDA_R_64F ? 8 : 4; }
  bool valid() const {
    return rows > 0 && columns > 0 && batch > 0 && batchStride >= 0 &&
           leading >= (rowMajor ? columns : rows);
  }
  /// Bytes from the first element to behind the last.
  size_t bytes() const {
    return elementBytes() *
           size_t((batch - 1) * batchStride + (rows - 1) * rowStride() +
                  (columns - 1) * columnStride() + 1);
  }
  Matrix transposed() const {
    Matrix other = *this;
    std::swap(other.rows, other.columns);
    other.rowMajor = !rowMajor;
    return other;
  }
};

struct Epilogue {
  uint64_t kind;
  char *bias, *aux;
  int64_t biasStride, auxLeading, auxStride;

  bool addsBias() const { return kind & CUBLASLT_EPILOGUE_BIAS; }
  bool isGelu() const { return kind & CUBLASLT_EPILOGUE_GELU; }
  bool isGeluGradient() const {
    return (kind & CUBLASLT_EPILOGUE_DGELU) == CUBLASLT_EPILOGUE_DGELU;
  }
  bool hasAux() const { return kind & 128; }
  bool sumsBias() const {
    return kind == CUBLASLT_EPILOGUE_DGELU_BGRAD ||
           kind == CUBLASLT_EPILOGUE_BGRADA || kind == CUBLASLT_EPILOGUE_BGRADB;
  }
};

struct Product {
  /// op(A), op(B), C and D.
  Matrix a, b, c, d;
  uint64_t compute;
  Epilogue epilogue;
};

} // namespace

/// The bytes of workspace that the algorithm needs at least, so that those who
/// forget it notice. It takes all that it may have, as real ones do, so that
/// races for any byte of it are seen.
static const size_t workspaceNeeded = 1024;

static bool isKnown(uint64_t epilogue) {
  switch (epilogue) {
  case CUBLASLT_EPILOGUE_DEFAULT:
  case CUBLASLT_EPILOGUE_BIAS:
  case CUBLASLT_EPILOGUE_GELU:
  case CUBLASLT_EPILOGUE_GELU_BIAS:
  case CUBLASLT_EPILOGUE_GELU_AUX:
  case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
  case CUBLASLT_EPILOGUE_DGELU:
  case CUBLASLT_EPILOGUE_DGELU_BGRAD:
  case CUBLASLT_EPILOGUE_BGRADA:
  case CUBLASLT_EPILOGUE_BGRADB:
    return true;
  }
  return false;
}

static Product describe(const cublasLtMatmulDescOpaque_t &description,
                        const cublasLtMatrixLayoutOpaque_t &a,
                        const cublasLtMatrixLayoutOpaque_t &b,
                        const cublasLtMatrixLayoutOpaque_t &c,
                        const cublasLtMatrixLayoutOpaque_t &d) {
  const uint64_t *words = description.data;
  auto operand = [&](const cublasLtMatrixLayoutOpaque_t &layout,
                     size_t transpose) {
    Matrix matrix(layout);
    return words[transpose] == CUBLAS_OP_N ? matrix : matrix.transposed();
  };
  Epilogue epilogue = {
      words[CUBLASLT_MATMUL_DESC_EPILOGUE],
      reinterpret_cast<char *>(words[CUBLASLT_MATMUL_DESC_BIAS_POINTER]),
      reinterpret_cast<char *>(
          words[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER]),
      int64_t(words[CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE]),
      int64_t(words[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD]),
      int64_t(words[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE])};
  return {operand(a, CUBLASLT_MATMUL_DESC_TRANSA),
          operand(b, CUBLASLT_MATMUL_DESC_TRANSB),
          Matrix(c),
          Matrix(d),
          words[CUBLASLT_MATMUL_DESC_COMPUTE_TYPE],
          epilogue};
}

static cublasStatus_t check(const Product &product,
                            const cublasLtMatmulDescOpaque_t &description) {
  const Matrix &a = product.a, &b = product.b, &c = product.c, &d = product.d;
  const Epilogue &epilogue = product.epilogue;
  if (!a.valid() || !b.valid() || !c.valid() || !d.valid() ||
      a.rows != d.rows || b.columns != d.columns || a.columns != b.rows ||
      c.rows != d.rows || c.columns != d.columns || a.batch != d.batch ||
      b.batch != d.batch || c.batch != d.batch)
    return CUBLAS_STATUS_INVALID_VALUE;

  uint64_t compute = product.compute;
  bool isDouble = compute == CUBLAS_COMPUTE_64F;
  bool isFloat = compute == CUBLAS_COMPUTE_32F ||
                 compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
                 compute == CUBLAS_COMPUTE_32F_FAST_16BF ||
                 compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  cudaDataType type = isDouble ? CUDA_R_64F : CUDA_R_32F;
  if ((!isDouble && !isFloat) || a.type != type || b.type != type ||
      c.type != type || d.type != type ||
      description.data[CUBLASLT_MATMUL_DESC_SCALE_TYPE] != uint64_t(type) ||
      description.data[CUBLASLT_MATMUL_DESC_POINTER_MODE] != 0 ||
      description.data[CUBLASLT_MATMUL_DESC_TRANSC] != 0)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  for (size_t attribute : {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE,
                           CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE})
    if (int32_t given = int32_t(description.data[attribute]);
        given != -1 && given != int32_t(type))
      return CUBLAS_STATUS_NOT_SUPPORTED;

  if (epilogue.kind == CUBLASLT_EPILOGUE_DEFAULT)
    return CUBLAS_STATUS_SUCCESS;
  // Epilogues exist for f32 and column-major results.
  if (!isKnown(epilogue.kind) || isDouble || d.rowMajor)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (epilogue.hasAux() &&
      (epilogue.auxLeading < d.rows || epilogue.auxLeading % 8))
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
    cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
    cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int requested,
    cublasLtMatmulHeuristicResult_t results[], int *returned) {
  if (!handle || !description || !a || !b || !c || !d || !preference ||
      requested < 1 || !results || !returned)
    return CUBLAS_STATUS_INVALID_VALUE;
  *returned = 0;
  Product product = describe(*description, *a, *b, *c, *d);
  if (cublasStatus_t status = check(product, *description))
    return status;
  uint64_t most = preference->data[CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES];
  results[0] = {};
  results[0].workspaceSize = most >= workspaceNeeded ? most : 0;
  results[0].algo.data[0] = results[0].workspaceSize;
  results[0].algo.data[1] = 1;
  results[0].wavesCount = 1;
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Rounds to `bits` fewer bits of mantissa, to nearest, ties to even.
static float roundTo(float value, int bits) {
  auto word = std::bit_cast<uint32_t>(value);
  if (!std::isfinite(value))
    return value;
  uint32_t half = (uint32_t(1) << (bits - 1)) - 1 + ((word >> bits) & 1);
  return std::bit_cast<float>((word + half) >> bits << bits);
}

/// The same matrices with fewer bits, at the same offsets.
static std::vector<float> rounded(const Matrix &matrix, const void *data,
                                  uint64_t compute) {
  std::vector<float> copy(matrix.bytes() / sizeof(float));
  memcpy(copy.data(), data, matrix.bytes());
  int bits = compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? 13 : 16;
  for (float &value : copy)
    value = roundTo(value, bits);
  return copy;
}

/// D = A B, or D = D + A B.
static void multiply(const Product &product, const void *a, const void *b,
                     void *d, bool accumulate) {
  weir_product host = {};
  host.element_type = product.d.type == CUDA_R_64F ? WEIR_F64 : WEIR_F32;
  host.m = product.d.rows;
  host.n = product.d.columns;
  host.k = product.a.columns;
  host.a_stride_m = product.a.rowStride();
  host.a_stride_k = product.a.columnStride();
  host.b_stride_k = product.b.rowStride();
  host.b_stride_n = product.b.columnStride();
  host.c_stride_m = product.d.rowStride();
  host.c_stride_n = product.d.columnStride();
  host.accumulate = accumulate;
  host.batch_rank = 1;
  host.batch_size[0] = product.d.batch;
  host.a_stride_batch[0] = product.a.batchStride;
  host.b_stride_batch[0] = product.b.batchStride;
  host.c_stride_batch[0] = product.d.batchStride;
  weir_context context;
  weir_host_product(&context, &host, a, b, d);
}

/// Calls `visit` with the offsets of each element in `first` and `second`.
template <typename Visit>
static void forEachElement(const Matrix &first, const Matrix &second,
                           Visit visit) {
  for (int64_t batch = 0; batch < first.batch; ++batch)
    for (int64_t j = 0; j < first.columns; ++j)
      for (int64_t i = 0; i < first.rows; ++i)
        visit(batch * first.batchStride + i * first.rowStride() +
                  j * first.columnStride(),
              batch * second.batchStride + i * second.rowStride() +
                  j * second.columnStride());
}

template <typename Element>
static void combine(const Product &product, Element alpha, const void *a,
                    const void *b, Element beta, const void *c, void *d) {
  auto *to = static_cast<Element *>(d);
  auto *from = static_cast<const Element *>(c);
  if (beta != 0 && c != d)
    forEachElement(product.d, product.c,
                   [&](int64_t atD, int64_t atC) { to[atD] = from[atC]; });
  if (alpha == 1 && (beta == 0 || beta == 1))
    return multiply(product, a, b, d, beta == 1);
  std::vector<Element> sum(product.d.bytes() / sizeof(Element));
  multiply(product, a, b, sum.data(), false);
  forEachElement(product.d, product.d, [&](int64_t at, int64_t) {
    to[at] = alpha * sum[at] + (beta == 0 ? 0 : beta * to[at]);
  });
}

// gelu(x) = x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
static float gelu(float x) {
  float u = 0.7978845608f * (x + 0.044715f * x * x * x);
  return 0.5f * x * (1 + std::tanh(u));
}

static float geluGradient(float x) {
  float u = 0.7978845608f * (x + 0.044715f * x * x * x);
  float t = std::tanh(u);
  return 0.5f * (1 + t) +
         0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
}

/// What follows the product, on column-major matrices of f32.
static void finish(const Product &product, const void *a, const void *b,
                   void *d) {
  const Epilogue &epilogue = product.epilogue;
  const Matrix &matrix = product.d;
  for (int64_t batch = 0; batch < matrix.batch; ++batch) {
    auto *result = static_cast<float *>(d) + batch * matrix.batchStride;
    auto *bias =
        reinterpret_cast<float *>(epilogue.bias) + batch * epilogue.biasStride;
    auto *aux =
        reinterpret_cast<float *>(epilogue.aux) + batch * epilogue.auxStride;
    for (int64_t j = 0; j < matrix.columns; ++j)
      for (int64_t i = 0; i < matrix.rows; ++i) {
        float &value = result[i + j * matrix.leading];
        if (epilogue.addsBias())
          value += bias[i];
        if (epilogue.isGelu() && epilogue.hasAux())
          aux[i + j * epilogue.auxLeading] = value;
        if (epilogue.isGelu())
          value = gelu(value);
        if (epilogue.isGeluGradient())
          value *= geluGradient(aux[i + j * epilogue.auxLeading]);
      }

    // Sums along a row of `from`, whose rows are the elements of the bias.
    auto sumInto = [&](const Matrix &from, const void *data) {
      auto *first = static_cast<const float *>(data) + batch * from.batchStride;
      for (int64_t i = 0; i < from.rows; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < from.columns; ++j)
          sum += first[i * from.rowStride() + j * from.columnStride()];
        bias[i] = float(sum);
      }
    };
    if (epilogue.kind == CUBLASLT_EPILOGUE_DGELU_BGRAD)
      sumInto(matrix, d);
    if (epilogue.kind == CUBLASLT_EPILOGUE_BGRADA)
      sumInto(product.a, a);
    if (epilogue.kind == CUBLASLT_EPILOGUE_BGRADB)
      sumInto(product.b.transposed(), b);
  }
}

template <typename Element>
static void run(const Product &product, Element alpha, const void *a,
                const void *b, Element beta, const void *c, void *d) {
  // Fails only where no other number is possible.
  (void)weir::runtime::setProductThreads(1);
  std::vector<float> roundedA, roundedB;
  const void *factorA = a, *factorB = b;
  if (product.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
      product.compute == CUBLAS_COMPUTE_32F_FAST_16BF) {
    roundedA = rounded(product.a, a, product.compute);
    roundedB = rounded(product.b, b, product.compute);
    factorA = roundedA.data();
    factorB = roundedB.data();
  }
  combine<Element>(product, alpha, factorA, factorB, beta, c, d);
  if (product.epilogue.kind != CUBLASLT_EPILOGUE_DEFAULT)
    finish(product, a, b, d);
}

/// All that a product reads and writes.
static std::vector<Access> accessesOf(const Product &product, const void *a,
                                      const void *b, bool readsC, const void *c,
                                      void *d, void *workspace,
                                      size_t workspaceBytes) {
  std::vector<Access> accesses = {{a, product.a.bytes(), false},
                                  {b, product.b.bytes(), false},
                                  {d, product.d.bytes(), true}};
  if (readsC)
    accesses.push_back({c, product.c.bytes(), false});
  if (workspaceBytes)
    accesses.push_back({workspace, workspaceBytes, true});
  const Epilogue &epilogue = product.epilogue;
  const Matrix &d0 = product.d;
  int64_t vector =
      epilogue.kind == CUBLASLT_EPILOGUE_BGRADB ? d0.columns : d0.rows;
  if (epilogue.addsBias() || epilogue.sumsBias())
    accesses.push_back(
        {epilogue.bias,
         4 * size_t((d0.batch - 1) * epilogue.biasStride + vector),
         epilogue.sumsBias()});
  if (epilogue.hasAux())
    accesses.push_back(
        {epilogue.aux,
         4 * size_t((d0.batch - 1) * epilogue.auxStride +
                    (d0.columns - 1) * epilogue.auxLeading + d0.rows),
         epilogue.isGelu()});
  return accesses;
}

cublasStatus_t
cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
               const void *alpha, const void *a, cublasLtMatrixLayout_t aLayout,
               const void *b, cublasLtMatrixLayout_t bLayout, const void *beta,
               const void *c, cublasLtMatrixLayout_t cLayout, void *d,
               cublasLtMatrixLayout_t dLayout,
               const cublasLtMatmulAlgo_t *algorithm, void *workspace,
               size_t workspaceBytes, cudaStream_t stream) {
  if (callError())
    return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!handle || !description || !alpha || !beta || !a || !b || !d ||
      !aLayout || !bLayout || !cLayout || !dLayout)
    return CUBLAS_STATUS_INVALID_VALUE;
  Product product =
      describe(*description, *aLayout, *bLayout, *cLayout, *dLayout);
  if (cublasStatus_t status = check(product, *description))
    return status;
  const Epilogue &epilogue = product.epilogue;
  size_t needed = algorithm ? algorithm->data[0] : 0;
  if ((algorithm && algorithm->data[1] != 1) || needed > workspaceBytes ||
      (needed && (!workspace || uintptr_t(workspace) % 16)) ||
      ((epilogue.addsBias() || epilogue.sumsBias()) && !epilogue.bias) ||
      (epilogue.hasAux() && !epilogue.aux))
    return CUBLAS_STATUS_INVALID_VALUE;

  double scaleA, scaleC;
  bool isDouble = product.d.type == CUDA_R_64F;
  scaleA = isDouble ? *static_cast<const double *>(alpha)
                    : *static_cast<const float *>(alpha);
  scaleC = isDouble ? *static_cast<const double *>(beta)
                    : *static_cast<const float *>(beta);
  if (scaleC != 0 && !c)
    return CUBLAS_STATUS_INVALID_VALUE;

  Operation operation;
  operation.name = "a product of " + std::to_string(product.d.rows) + " x " +
                   std::to_string(product.d.columns) + " x " +
                   std::to_string(product.a.columns);
  operation.accesses =
      accessesOf(product, a, b, scaleC != 0, c, d, workspace, needed);
  operation.run = [=, accesses = operation.accesses,
                   name = operation.name](Line &line) {
    for (const Access &access : accesses)
      if (!line.device.contains(access.address, access.bytes))
        return line.device.fail(cudaErrorIllegalAddress,
                                name + " outside of memory of the device");
    // Anybody else's bytes there are lost, as on a device.
    if (needed)
      memset(workspace, 0xff, needed);
    if (isDouble)
      run<double>(product, scaleA, a, b, scaleC, c, d);
    else
      run<float>(product, float(scaleA), a, b, float(scaleC), c, d);
  };
  return enqueue(stream, std::move(operation)) ? CUBLAS_STATUS_EXECUTION_FAILED
                                               : CUBLAS_STATUS_SUCCESS;
}
