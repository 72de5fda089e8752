//===- BodyChecks.h - what passes may be made of ----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_BODYCHECKS_H
#define WEIR_LIB_CONVERSION_PASSBODIES_BODYCHECKS_H

#include "weir/Dialect/IR/WeirDialect.h"

namespace weir {

/// Checks that every op of the body of `pass`, and every op inside them, is one
/// that the lowerings know, on types that they know: tensors of static shape,
/// at least one element and at most 2^48 bytes, of f32, f64, i1, i8, i16, i32,
/// i64 or index. Else emits one error, at the first op that is not, which says
/// that it cannot be compiled for `target`.
llvm::LogicalResult checkBody(StagePassOpInterface pass,
                              llvm::StringRef target);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_BODYCHECKS_H
