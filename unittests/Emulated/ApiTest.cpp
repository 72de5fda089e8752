//===- ApiTest.cpp - the emulated headers against the real ones ---------- ===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ApiValues.h"

#include <gtest/gtest.h>

// What is compiled against the emulated headers means the same with the real
// ones: every value, size and type of a function agrees.

TEST(Api, CudaRuntime) {
  EXPECT_EQ(emulated::cudaValues(), real::cudaValues());
}

TEST(Api, CublasLt) {
  EXPECT_EQ(emulated::cublasValues(), real::cublasValues());
}

TEST(Api, Nccl) { EXPECT_EQ(emulated::ncclValues(), real::ncclValues()); }
