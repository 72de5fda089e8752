//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_REDUCER_PASSES_H
#define WEIR_REDUCER_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace weir {

#define GEN_PASS_DECL
#include "weir/Reducer/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "weir/Reducer/Passes.h.inc"

} // namespace weir

#endif // WEIR_REDUCER_PASSES_H
