//===- Products.cpp - matrix products by cuBLASLt -------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Products.h"
#include "weir/Runtime/Table.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// What an operand's address is a multiple of: algorithms with vector loads and
/// those of the tensor memory accelerator need as much.
static constexpr uintptr_t vectorAlignment = 16;

namespace {

template <typename Handle, cublasStatus_t (*destroy)(Handle)>
struct Descriptor {
  Descriptor() = default;
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  ~Descriptor() {
    if (handle)
      (void)destroy(handle);
  }
  Handle handle = nullptr;
};

using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout =
    Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference =
    Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// An algorithm, or none.
struct Choice {
  bool isFound = false;
  cublasLtMatmulAlgo_t algorithm = {};
};

} // namespace

struct Products::Prepared {
  ProductLayout layout;
  int64_t elementBytes;
  bool hasBias = false, hasAux = false;
  Operation operation;
  MatrixLayout left, right, result;
  float scaleF32[2]; /* alpha, beta */
  double scaleF64[2];
  bool isF64;
  int64_t workspaceBytes;
  /// For operands at multiples of `vectorAlignment`, and for any others.
  Choice aligned, unaligned;

  const void *alpha() const {
    return isF64 ? static_cast<const void *>(&scaleF64[0]) : &scaleF32[0];
  }
  const void *beta() const {
    return isF64 ? static_cast<const void *>(&scaleF64[1]) : &scaleF32[1];
  }

  Status describeOperation(const weir_cuda_product &product,
                           ProductPrecision precision);
  Status describeEpilogue(const weir_cuda_product &product);
  Status describeMatrix(const OperandLayout &operand, MatrixLayout &matrix);
  Status setPointers(const void *bias, const void *aux);
  Status choose(cublasLtHandle_t handle, uintptr_t alignment, Choice &choice);
};

template <typename Value>
static Status setAttribute(cublasLtMatmulDesc_t operation,
                           cublasLtMatmulDescAttributes_t attribute,
                           Value value) {
  return check(cublasLtMatmulDescSetAttribute(operation, attribute, &value,
                                              sizeof(value)),
               "cublasLtMatmulDescSetAttribute");
}

template <typename Value>
static Status setAttribute(cublasLtMatrixLayout_t matrix,
                           cublasLtMatrixLayoutAttribute_t attribute,
                           Value value) {
  return check(cublasLtMatrixLayoutSetAttribute(matrix, attribute, &value,
                                                sizeof(value)),
               "cublasLtMatrixLayoutSetAttribute");
}

template <typename Value>
static Status setAttribute(cublasLtMatmulPreference_t preference,
                           cublasLtMatmulPreferenceAttributes_t attribute,
                           Value value) {
  return check(cublasLtMatmulPreferenceSetAttribute(preference, attribute,
                                                    &value, sizeof(value)),
               "cublasLtMatmulPreferenceSetAttribute");
}

//===----------------------------------------------------------------------===//
// Descriptors
//===----------------------------------------------------------------------===//

static cublasComputeType_t computeType(bool isF64, ProductPrecision precision) {
  if (isF64)
    return CUBLAS_COMPUTE_64F;
  switch (precision) {
  case ProductPrecision::F32:
    return CUBLAS_COMPUTE_32F;
  case ProductPrecision::TF32:
    return CUBLAS_COMPUTE_32F_FAST_TF32;
  case ProductPrecision::BF16:
    return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F;
}

Status Products::Prepared::describeOperation(const weir_cuda_product &product,
                                             ProductPrecision precision) {
  isF64 = product.product.element_type == WEIR_F64;
  elementBytes = runtime::elementBytes(product.product.element_type);
  workspaceBytes = product.workspace_bytes;
  scaleF32[0] = scaleF64[0] = 1;
  scaleF32[1] = static_cast<float>(product.product.accumulate);
  scaleF64[1] = static_cast<double>(product.product.accumulate);
  Status status = check(
      cublasLtMatmulDescCreate(&operation.handle, computeType(isF64, precision),
                               isF64 ? CUDA_R_64F : CUDA_R_32F),
      "cublasLtMatmulDescCreate");
  auto setTransposed = [&](cublasLtMatmulDescAttributes_t attribute,
                           const OperandLayout &operand) {
    if (!status.failed())
      status = setAttribute(operation.handle, attribute,
                            operand.isTransposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  };
  setTransposed(CUBLASLT_MATMUL_DESC_TRANSA, layout.left);
  setTransposed(CUBLASLT_MATMUL_DESC_TRANSB, layout.right);
  if (status.failed())
    return status;
  return describeEpilogue(product);
}

Status Products::Prepared::describeEpilogue(const weir_cuda_product &product) {
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  switch (product.epilogue) {
  case WEIR_CUDA_EPILOGUE_NONE:
    return {};
  case WEIR_CUDA_EPILOGUE_BIAS:
    epilogue = CUBLASLT_EPILOGUE_BIAS;
    hasBias = true;
    break;
  case WEIR_CUDA_EPILOGUE_GELU_AUX_BIAS:
    epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    hasBias = hasAux = true;
    break;
  case WEIR_CUDA_EPILOGUE_GELU_AUX:
    epilogue = CUBLASLT_EPILOGUE_GELU_AUX;
    hasAux = true;
    break;
  case WEIR_CUDA_EPILOGUE_DGELU:
    epilogue = CUBLASLT_EPILOGUE_DGELU;
    hasAux = true;
    break;
  case WEIR_CUDA_EPILOGUE_DGELU_BGRAD:
    epilogue = CUBLASLT_EPILOGUE_DGELU_BGRAD;
    hasBias = hasAux = true;
    break;
  // Our B is the left operand, which cuBLASLt calls A.
  case WEIR_CUDA_EPILOGUE_BGRADB:
    epilogue = CUBLASLT_EPILOGUE_BGRADA;
    hasBias = true;
    break;
  case WEIR_CUDA_EPILOGUE_BGRADA:
    epilogue = CUBLASLT_EPILOGUE_BGRADB;
    hasBias = true;
    break;
  }
  Status status =
      setAttribute(operation.handle, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (!status.failed() && hasAux)
    status = setAttribute(operation.handle,
                          CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, layout.rows);
  return status;
}

Status Products::Prepared::describeMatrix(const OperandLayout &operand,
                                          MatrixLayout &matrix) {
  Status status = check(cublasLtMatrixLayoutCreate(
                            &matrix.handle, isF64 ? CUDA_R_64F : CUDA_R_32F,
                            operand.rows, operand.columns, operand.leading),
                        "cublasLtMatrixLayoutCreate");
  if (status.failed() || layout.batchSize == 1)
    return status;
  status = setAttribute(matrix.handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                        static_cast<int32_t>(layout.batchSize));
  if (status.failed())
    return status;
  return setAttribute(matrix.handle,
                      CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                      operand.batchStride);
}

Status Products::Prepared::setPointers(const void *bias, const void *aux) {
  Status status;
  if (hasBias)
    status =
        setAttribute(operation.handle, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  if (!status.failed() && hasAux)
    status = setAttribute(operation.handle,
                          CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
  return status;
}

//===----------------------------------------------------------------------===//
// Algorithms
//===----------------------------------------------------------------------===//

Status Products::Prepared::choose(cublasLtHandle_t handle, uintptr_t alignment,
                                  Choice &choice) {
  Preference preference;
  Status status = check(cublasLtMatmulPreferenceCreate(&preference.handle),
                        "cublasLtMatmulPreferenceCreate");
  if (!status.failed())
    status = setAttribute(preference.handle,
                          CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                          static_cast<uint64_t>(workspaceBytes));
  for (auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    if (!status.failed())
      status = setAttribute(preference.handle, attribute,
                            static_cast<uint32_t>(alignment));
  // Addresses of epilogues count for their alignment alone here.
  if (!status.failed())
    status = setPointers(reinterpret_cast<const void *>(alignment),
                         reinterpret_cast<const void *>(alignment));
  if (status.failed())
    return status;
  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  cublasStatus_t error = cublasLtMatmulAlgoGetHeuristic(
      handle, operation.handle, left.handle, right.handle, result.handle,
      result.handle, preference.handle, 1, &best, &found);
  if (error == CUBLAS_STATUS_NOT_SUPPORTED ||
      (error == CUBLAS_STATUS_SUCCESS && found == 0))
    return {};
  if (status = check(error, "cublasLtMatmulAlgoGetHeuristic"); status.failed())
    return status;
  choice.isFound = best.state == CUBLAS_STATUS_SUCCESS;
  choice.algorithm = best.algo;
  return {};
}

Status Products::prepareOne(const weir_cuda_product &product,
                            ProductPrecision precision,
                            std::shared_ptr<Prepared> &prepared) {
  prepared = std::make_shared<Prepared>();
  if (Status status = makeLayout(product, prepared->layout); status.failed())
    return status;
  Status status = prepared->describeOperation(product, precision);
  if (!status.failed())
    status = prepared->describeMatrix(prepared->layout.left, prepared->left);
  if (!status.failed())
    status = prepared->describeMatrix(prepared->layout.right, prepared->right);
  if (!status.failed())
    status =
        prepared->describeMatrix(prepared->layout.result, prepared->result);
  if (!status.failed())
    status = prepared->choose(handle, vectorAlignment, prepared->aligned);
  if (!status.failed())
    status =
        prepared->choose(handle, prepared->elementBytes, prepared->unaligned);
  if (!status.failed() && !prepared->aligned.isFound &&
      !prepared->unaligned.isFound)
    status = fail("cuBLASLt has no algorithm for it with a workspace of ",
                  product.workspace_bytes, " bytes");
  if (status.failed())
    return fail(describe(product), ": ", status.message());
  return {};
}

Products::Products() = default;

Products::~Products() {
  byAddress.clear();
  if (handle)
    (void)cublasLtDestroy(handle);
}

Status Products::prepare(std::span<const weir_cuda_product *const> products,
                         ProductPrecision precision) {
  if (products.empty())
    return {};
  if (Status status = check(cublasLtCreate(&handle), "cublasLtCreate");
      status.failed())
    return status;
  std::map<std::string_view, std::shared_ptr<Prepared>> byContents;
  for (const weir_cuda_product *product : products) {
    std::string_view contents(reinterpret_cast<const char *>(product),
                              sizeof(*product));
    std::shared_ptr<Prepared> &prepared = byContents[contents];
    if (!prepared)
      if (Status status = prepareOne(*product, precision, prepared);
          status.failed())
        return status;
    byAddress[product] = prepared;
  }
  return {};
}

//===----------------------------------------------------------------------===//
// A step
//===----------------------------------------------------------------------===//

Status Products::multiply(cudaStream_t stream, const weir_cuda_product *product,
                          const void *a, const void *b, void *c, void *bias,
                          void *aux, void *workspace) {
  auto found = byAddress.find(product);
  if (found == byAddress.end())
    return fail(describe(*product), ": is not listed in the program");
  Prepared &prepared = *found->second;
  if (Status status = prepared.setPointers(bias, aux); status.failed())
    return status;
  auto at = [&](const void *base, int64_t elements) {
    return static_cast<const std::byte *>(base) +
           elements * prepared.elementBytes;
  };
  auto isAligned = [](const void *address) {
    return reinterpret_cast<uintptr_t>(address) % vectorAlignment == 0;
  };
  const void *leftBase = prepared.layout.leftIsA ? a : b;
  const void *rightBase = prepared.layout.leftIsA ? b : a;
  for (const ProductLayout::Offsets &offsets : prepared.layout.calls) {
    const void *left = at(leftBase, offsets.left);
    const void *right = at(rightBase, offsets.right);
    auto result = const_cast<std::byte *>(at(c, offsets.result));
    bool useAligned = prepared.aligned.isFound && isAligned(left) &&
                      isAligned(right) && isAligned(result) &&
                      isAligned(bias) && isAligned(aux);
    const Choice &choice = useAligned ? prepared.aligned : prepared.unaligned;
    if (!choice.isFound)
      return fail(describe(*product),
                  ": cuBLASLt has no algorithm for operands "
                  "that are not aligned to ",
                  vectorAlignment, " bytes");
    cublasStatus_t error = cublasLtMatmul(
        handle, prepared.operation.handle, prepared.alpha(), left,
        prepared.left.handle, right, prepared.right.handle, prepared.beta(),
        result, prepared.result.handle, result, prepared.result.handle,
        &choice.algorithm, workspace, prepared.workspaceBytes, stream);
    if (error != CUBLAS_STATUS_SUCCESS)
      return check(error, describe(*product));
  }
  return {};
}
