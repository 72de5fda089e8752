//===- PortStore.h - processes that meet at a port ---------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Process 0 listens and keeps the values; the others hold one connection each,
// on which requests and answers take turns. All numbers are 64-bit, in the byte
// order of the machine:
//
//   request   operation, length of name, name, length of value, value
//   answer    1 if the value is there, length of value, value
//
// A connection that ends before its process has said that it leaves is a
// failure of that process, and put as one; either way the process has left.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PORTSTORE_H
#define WEIR_RUNTIME_CUDA_PORTSTORE_H

#include "Store.h"

namespace weir::runtime::cuda {

/// See meet().
Status meetAtPort(const std::string &host, int64_t port, int64_t process,
                  int64_t numProcesses, double timeout,
                  std::unique_ptr<Store> &store);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PORTSTORE_H
