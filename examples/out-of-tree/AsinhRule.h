// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A derivative rule for an op that Weir has none for: math.asinh.

#ifndef ASINHRULE_H
#define ASINHRULE_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

/// Gives math.asinh its rule in every context that `registry` is for.
void registerAsinhRule(mlir::DialectRegistry &registry);

#endif // ASINHRULE_H
