//===- ProductLayout.h - products as cuBLASLt sees them ----------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// cuBLASLt has column-major matrices. A row-major C = A B is the column-major
// C' = B' A', where C' is C itself, read by columns: n x m. So B is the left
// operand, A the right one, and a bias along n is one along the rows of C', as
// cuBLASLt has it; what it calls the bias gradient of A is that of our B.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PRODUCTLAYOUT_H
#define WEIR_RUNTIME_CUDA_PRODUCTLAYOUT_H

#include "weir/Cuda.h"
#include "weir/Runtime/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace weir::runtime::cuda {

/// A column-major matrix in memory, and whether the product takes its
/// transpose.
struct OperandLayout {
  int64_t rows, columns, leading;
  bool isTransposed;
  int64_t batchStride; /* in elements; 0 repeats the matrix */
};

struct ProductLayout {
  /// D = left * right, D is rows x columns.
  OperandLayout left, right, result;
  int64_t rows, columns, depth;
  /// Whether the left operand is A of the product, and not B.
  bool leftIsA;
  /// The dimension of the batch that one call covers.
  int64_t batchSize = 1;
  /// The rest of the batch: a call at each of these offsets, in elements.
  struct Offsets {
    int64_t left, right, result;
  };
  std::vector<Offsets> calls;
};

/// Fails with a line that names the product where cuBLASLt has no such layout:
/// an operand without a unit stride, an epilogue over a batch.
Status makeLayout(const weir_cuda_product &product, ProductLayout &layout);

/// "f32 product of 64 x 128 by 128 x 32, with bias"
std::string describe(const weir_cuda_product &product);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PRODUCTLAYOUT_H
