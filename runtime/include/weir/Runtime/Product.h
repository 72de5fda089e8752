//===- weir/Runtime/Product.h - matrix products on the host -----*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// f32 products go to one entry point of oneDNN, sgemm, because its bits depend
// on the entry point: it takes every stride that has a unit in one dimension,
// so transposed operands, rows apart and heads inside [batch, time, heads, dim]
// all run at full speed. What it cannot take, and f64, runs in plain loops.
//
// sgemm allocates and frees a buffer for packed operands inside most calls, of
// a size that the shape alone decides. The runtime itself allocates nothing.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_PRODUCT_H
#define WEIR_RUNTIME_PRODUCT_H

#include "weir/Program.h"
#include "weir/Runtime/Context.h"
#include "weir/Runtime/ProductShape.h"
#include "weir/Runtime/Status.h"

namespace weir::runtime {

/// Makes products of the calling thread use `threads` threads. Fails if this
/// oneDNN cannot be told.
Status setProductThreads(int threads);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_PRODUCT_H
