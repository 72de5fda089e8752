//===- ApiValues.h - what is compared of the emulated headers --*- C++ -*- ===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled twice, against the real and the emulated headers.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_EMULATED_APIVALUES_H
#define WEIR_UNITTESTS_EMULATED_APIVALUES_H

#include <string>
#include <utility>
#include <vector>

/// A name of the interface and its value, its size or its type.
using ApiValue = std::pair<std::string, std::string>;
using ApiValues = std::vector<ApiValue>;

namespace real {
ApiValues cudaValues(), cublasValues(), ncclValues();
}
namespace emulated {
ApiValues cudaValues(), cublasValues(), ncclValues();
}

#endif // WEIR_UNITTESTS_EMULATED_APIVALUES_H
