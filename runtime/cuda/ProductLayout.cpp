//===- ProductLayout.cpp - products as cuBLASLt sees them -----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductLayout.h"
#include "weir/Runtime/ProductShape.h"

#include <algorithm>
#include <utility>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

static const char *epilogueName(int64_t epilogue) {
  switch (epilogue) {
  case WEIR_CUDA_EPILOGUE_NONE:
    return "";
  case WEIR_CUDA_EPILOGUE_BIAS:
    return ", with bias";
  case WEIR_CUDA_EPILOGUE_GELU_AUX_BIAS:
    return ", with bias and gelu";
  case WEIR_CUDA_EPILOGUE_GELU_AUX:
    return ", with gelu";
  case WEIR_CUDA_EPILOGUE_DGELU:
    return ", with the gradient of gelu";
  case WEIR_CUDA_EPILOGUE_DGELU_BGRAD:
    return ", with the gradients of gelu and bias";
  case WEIR_CUDA_EPILOGUE_BGRADB:
    return ", with the sum of B";
  case WEIR_CUDA_EPILOGUE_BGRADA:
    return ", with the sum of A";
  default:
    return nullptr;
  }
}

std::string weir::runtime::cuda::describe(const weir_cuda_product &original) {
  const weir_product &product = original.product;
  std::ostringstream text;
  text << (product.element_type == WEIR_F64 ? "f64" : "f32") << " product of "
       << product.m << " x " << product.k << " by " << product.k << " x "
       << product.n;
  for (int64_t i = 0; i < product.batch_rank; ++i)
    text << (i ? " x " : ", batch ") << product.batch_size[i];
  const char *epilogue = epilogueName(original.epilogue);
  text << (epilogue ? epilogue : ", with an unknown epilogue");
  return text.str();
}

/// An operand of `rows` x `columns` that is row-major ('N'), as the transpose
/// of which cuBLASLt reads it.
static OperandLayout operandOf(const Layout &layout, int64_t rows,
                               int64_t columns) {
  if (layout.transposed == 'N')
    return {columns, rows, layout.leading, false, 0};
  return {rows, columns, layout.leading, true, 0};
}

/// Gives one dimension of the batch to the descriptor and spells out the rest.
static void layOutBatch(weir_product product, ProductLayout &layout) {
  // The largest dimension that no sum runs over.
  int64_t chosen = -1;
  for (int64_t i = 0; i < product.batch_rank; ++i)
    if (product.c_stride_batch[i] != 0 &&
        (chosen < 0 || product.batch_size[i] > product.batch_size[chosen]))
      chosen = i;
  int64_t a = 0, b = 0;
  if (chosen >= 0) {
    layout.batchSize = product.batch_size[chosen];
    a = product.a_stride_batch[chosen];
    b = product.b_stride_batch[chosen];
    layout.result.batchStride = product.c_stride_batch[chosen];
    product.batch_size[chosen] = 1;
  }
  layout.left.batchStride = layout.leftIsA ? a : b;
  layout.right.batchStride = layout.leftIsA ? b : a;
  forEachInBatch(product, [&](int64_t atA, int64_t atB, int64_t atC) {
    if (layout.leftIsA)
      layout.calls.push_back({atA, atB, atC});
    else
      layout.calls.push_back({atB, atA, atC});
  });
}

Status weir::runtime::cuda::makeLayout(const weir_cuda_product &original,
                                       ProductLayout &layout) {
  if (Status status = checkProduct(original.product); status.failed())
    return status;
  auto failHere = [&](const auto &...parts) {
    return fail(describe(original), ": ", parts...);
  };
  if (!epilogueName(original.epilogue))
    return failHere("unknown epilogue ", original.epilogue);
  if (original.workspace_bytes < 0)
    return failHere("a workspace of ", original.workspace_bytes, " bytes");
  const bool hasEpilogue = original.epilogue != WEIR_CUDA_EPILOGUE_NONE;
  weir_product product = mergeBatch(original.product);
  if (hasEpilogue &&
      (product.batch_rank > 0 || product.n != original.product.n))
    return failHere("cuBLASLt has no epilogue over this batch");

  Matrices matrices = matricesOf(product);
  layout.leftIsA = false;
  if (layoutOf(matrices.c, matrices.m, matrices.n).transposed == 'T') {
    if (hasEpilogue)
      return failHere("an epilogue needs a C that is dense along n");
    matrices = matrices.transposed();
    layout.leftIsA = true;
  }
  Layout a = layoutOf(matrices.a, matrices.m, matrices.k);
  Layout b = layoutOf(matrices.b, matrices.k, matrices.n);
  Layout c = layoutOf(matrices.c, matrices.m, matrices.n);
  const char *wrong = nullptr;
  if (!c.representable)
    wrong = "C";
  else if (!a.representable)
    wrong = layout.leftIsA ? "B" : "A";
  else if (!b.representable)
    wrong = layout.leftIsA ? "A" : "B";
  if (wrong)
    return failHere("operand ", wrong,
                    " has no dimension of stride 1 for cuBLASLt, or rows that "
                    "overlap");
  layout.rows = matrices.n;
  layout.columns = matrices.m;
  layout.depth = matrices.k;
  layout.left = operandOf(b, matrices.k, matrices.n);
  layout.right = operandOf(a, matrices.m, matrices.k);
  layout.result = operandOf(c, matrices.m, matrices.n);
  layOutBatch(product, layout);
  return {};
}
