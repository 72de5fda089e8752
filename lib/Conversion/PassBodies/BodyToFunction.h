//===- BodyToFunction.h - a pass body as a function of buffers ----*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_BODYTOFUNCTION_H
#define WEIR_LIB_CONVERSION_PASSBODIES_BODYTOFUNCTION_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// Builds a function with the body of `pass`, on tensors, at the insertion
/// point of `builder`. Its arguments are the pass's buffers, in the order of
/// getPassBuffers and without the workspace, as memrefs; a bundle is a memref
/// of bytes. Outputs are `bufferization.materialize_in_destination` at the end;
/// a gradient that may be added to its accumulator in place has the accumulator
/// as its destination operand. Names of variables are gone, so equal functions
/// mean equal kernels.
mlir::func::FuncOp buildBodyFunction(StagePassOpInterface pass,
                                     mlir::OpBuilder &builder);

/// Hash of the ops, types, attributes and constants of a body function.
llvm::hash_code hashBodyFunction(mlir::func::FuncOp function);

/// Whether two body functions do the same, names and locations apart.
bool areBodyFunctionsEqual(mlir::func::FuncOp lhs, mlir::func::FuncOp rhs);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_BODYTOFUNCTION_H
