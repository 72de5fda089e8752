//===- WorkspacePlan.h - offsets for the temporaries of a kernel --*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_WORKSPACEPLAN_H
#define WEIR_LIB_CONVERSION_PASSBODIES_WORKSPACEPLAN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// On a `memref.alloc`: its offset in bytes in the workspace.
inline constexpr llvm::StringLiteral workspaceOffsetName = "weir.offset";

/// Gives every `memref.alloc` of a bufferized body an offset in one workspace
/// such that buffers that live at the same time do not overlap. Returns the
/// bytes of the workspace, 0 if there are no temporaries.
int64_t planWorkspace(mlir::func::FuncOp function);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_WORKSPACEPLAN_H
