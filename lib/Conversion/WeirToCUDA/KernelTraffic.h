//===- KernelTraffic.h - bytes that kernels move ----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_WEIRTOCUDA_KERNELTRAFFIC_H
#define WEIR_LIB_CONVERSION_WEIRTOCUDA_KERNELTRAFFIC_H

#include "mlir/IR/Operation.h"

namespace weir {

/// Bytes of buffers: what is only read; and what is written, or read and
/// written, which counts twice.
struct KernelTraffic {
  int64_t operands = 0, results = 0;

  int64_t getTotal() const { return operands + results; }
};

/// What an op of a bufferized body reads and writes at least once, if nothing is
/// read or written twice: every element that its iterations reach of the buffers
/// of a generic op or a copy; the same for every iteration of a loop of them.
/// Other ops move single elements, which do not count.
KernelTraffic getKernelTraffic(mlir::Operation &op);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_WEIRTOCUDA_KERNELTRAFFIC_H
