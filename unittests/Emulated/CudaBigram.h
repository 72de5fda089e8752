//===- CudaBigram.h - the bigram model on emulated devices ------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The passes of the host, each as a kernel of one thread: what they compute is
// the same to the bit, so that everything else can be compared.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_EMULATED_CUDABIGRAM_H
#define WEIR_UNITTESTS_EMULATED_CUDABIGRAM_H

#include "../Runtime/BigramModel.h"
#include "weir/Cuda.h"

#include <cstddef>
#include <vector>

namespace weir::runtime::testing {

/// A program of Bigram for the CUDA runtime. One exists at a time.
class CudaBigram {
public:
  explicit CudaBigram(TableBuilder builder);

  const weir_cuda_module &getModule() const { return module; }
  const std::vector<weir_kernel> &getPasses() const { return passes; }

private:
  std::vector<std::byte> table;
  std::vector<weir_kernel> passes;
  weir_cuda_module module = {};
};

} // namespace weir::runtime::testing

#endif // WEIR_UNITTESTS_EMULATED_CUDABIGRAM_H
