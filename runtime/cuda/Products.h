//===- Products.h - matrix products by cuBLASLt ------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PRODUCTS_H
#define WEIR_RUNTIME_CUDA_PRODUCTS_H

#include "Device.h"
#include "ProductLayout.h"

#include <memory>
#include <span>
#include <unordered_map>

namespace weir::runtime::cuda {

/// In what f32 products are computed; operands and results are f32 in memory,
/// and sums are f32.
enum class ProductPrecision { F32, TF32, BF16 };

/// The products of one rank, on the device that is current when they are
/// prepared. Every algorithm is chosen before the first step and kept.
class Products {
public:
  Products();
  ~Products();

  /// Fails for a product that cuBLASLt cannot run, and names it.
  Status prepare(std::span<const weir_cuda_product *const> products,
                 ProductPrecision precision);

  /// Enqueues a product that has been prepared, by its address. Allocates
  /// nothing.
  Status multiply(cudaStream_t stream, const weir_cuda_product *product,
                  const void *a, const void *b, void *c, void *bias, void *aux,
                  void *workspace);

private:
  struct Prepared;

  Status prepareOne(const weir_cuda_product &product,
                    ProductPrecision precision,
                    std::shared_ptr<Prepared> &prepared);

  cublasLtHandle_t handle = nullptr;
  /// Equal products share what has been prepared.
  std::unordered_map<const weir_cuda_product *, std::shared_ptr<Prepared>>
      byAddress;
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PRODUCTS_H
