//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Assembly of the parts of `weir.kernel`.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_DIALECT_IR_KERNELASSEMBLY_H
#define WEIR_LIB_DIALECT_IR_KERNELASSEMBLY_H

#include "weir/Dialect/IR/WeirDialect.h"

namespace weir {

/// `(types) -> (types) keeps (types)`, the last part only if something is kept.
mlir::ParseResult parseKernelType(mlir::OpAsmParser &parser,
                                  mlir::TypeAttr &type,
                                  mlir::IntegerAttr &kept);
void printKernelType(mlir::OpAsmPrinter &printer, mlir::Operation *,
                     mlir::TypeAttr type, mlir::IntegerAttr kept);

/// `derivative (%x: type, ...) { ... }`, or nothing if the region is empty.
mlir::ParseResult parseDerivative(mlir::OpAsmParser &parser,
                                  mlir::Region &derivative);
void printDerivative(mlir::OpAsmPrinter &printer, mlir::Operation *,
                     mlir::Region &derivative);

} // namespace weir

#endif // WEIR_LIB_DIALECT_IR_KERNELASSEMBLY_H
