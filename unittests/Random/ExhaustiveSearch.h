//===- ExhaustiveSearch.h - the least memory of all orders ------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RANDOM_EXHAUSTIVESEARCH_H
#define WEIR_UNITTESTS_RANDOM_EXHAUSTIVESEARCH_H

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>

namespace weir::test {

/// Plans the programs of every order of the passes of the pipeline in `stages`,
/// stage s on device placement[s], and returns the bytes of the largest arena
/// of the order that needs least: in an order, every stage runs each kind of
/// pass for microbatch 0, 1, ..., and a backward pass is fused for all
/// microbatches of a stage or for none. Nothing if there are more than
/// `mostOrders` orders. Programs are written into `stages`, and erased again.
std::optional<int64_t> findLeastArena(mlir::ModuleOp stages,
                                      llvm::ArrayRef<int> placement,
                                      int64_t microbatches, int64_t mostOrders);

} // namespace weir::test

#endif // WEIR_UNITTESTS_RANDOM_EXHAUSTIVESEARCH_H
