//===- BufferizeBody.h - a body function on buffers ---------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_BUFFERIZEBODY_H
#define WEIR_LIB_CONVERSION_PASSBODIES_BUFFERIZEBODY_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributeInterfaces.h"

namespace weir {

/// On a `linalg.generic`: for every output the constant that its reduction
/// starts from, or unit where it starts from what the buffer holds.
inline constexpr llvm::StringLiteral initialValuesName = "weir.initial";
/// On a `linalg.contract`: writes its output instead of adding to it.
inline constexpr llvm::StringLiteral overwriteName = "weir.overwrite";
/// On the outermost loop that `weir.scatter_add` becomes: in the innermost one,
/// one generic op adds a row of the updates to a row of the table.
inline constexpr llvm::StringLiteral scatterName = "weir.scatter";

/// Adds what bufferization needs to know of the ops in bodies.
void registerBodyBufferization(mlir::DialectRegistry &registry);

/// Turns every structured op that is no product of the library, every op that
/// computes elementwise and every gather into a `linalg.generic`. An op for
/// which there is none is an error that names `target`.
mlir::LogicalResult generalizeBody(mlir::func::FuncOp function,
                                   llvm::StringRef target);

/// The scalar constant that every element of the tensor `value` is, or null.
mlir::TypedAttr getFillConstant(mlir::Value value);

/// Bufferizes a body function. Afterwards it holds linalg ops on memrefs,
/// views, copies, loads, stores and loops; results are computed in their
/// destinations where that is possible, all other temporaries are
/// `memref.alloc`. An op without a form on buffers is an error that names
/// `target`.
mlir::LogicalResult bufferizeBody(mlir::func::FuncOp function,
                                  llvm::StringRef target);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_BUFFERIZEBODY_H
