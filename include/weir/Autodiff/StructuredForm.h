//===- StructuredForm.h - fewer forms of the same op ------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_STRUCTUREDFORM_H
#define WEIR_AUTODIFF_STRUCTUREDFORM_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// Rewrites a model into the few forms that have derivative rules: named
/// products become `linalg.contract`, other named structured ops, softmax and
/// elementwise ops on tensors become `linalg.generic`, `tensor.pad` becomes a
/// fill and an insertion, `total - x` in a reduction becomes `total + (-x)`.
/// `weir.stop_gradient` is carried over.
llvm::LogicalResult raiseToStructuredForm(mlir::func::FuncOp model);

} // namespace weir

#endif // WEIR_AUTODIFF_STRUCTUREDFORM_H
