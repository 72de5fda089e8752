//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What one op computes and moves.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_OPCOSTS_H
#define WEIR_ANALYSIS_OPCOSTS_H

#include "mlir/IR/Operation.h"

#include <optional>

namespace weir {

/// Floating-point operations of `op`: 2 m n k for a matrix product, iterations
/// times scalar operations for other structured ops, where a math function
/// counts as a dozen, and what its kernel says for `weir.custom`. 0 for ops
/// that only move data.
int64_t getFlops(mlir::Operation *op);

/// Bytes that `op` reads and writes at least once, or what its kernel says.
int64_t getTrafficBytes(mlir::Operation *op);

/// The seconds that the user says a call of a kernel takes, if `op` is one.
std::optional<double> getGivenSeconds(mlir::Operation *op);

/// Whether `op` is a matrix product.
bool isProduct(mlir::Operation *op);

} // namespace weir

#endif // WEIR_ANALYSIS_OPCOSTS_H
