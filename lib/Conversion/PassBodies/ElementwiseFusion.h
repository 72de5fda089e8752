//===- ElementwiseFusion.h - fewer loops over the same data -------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_CONVERSION_PASSBODIES_ELEMENTWISEFUSION_H
#define WEIR_LIB_CONVERSION_PASSBODIES_ELEMENTWISEFUSION_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// Fuses elementwise producers into the generic ops that read them, where that
/// saves memory traffic. Changes no bit of any value.
void fuseElementwise(mlir::func::FuncOp function);

} // namespace weir

#endif // WEIR_LIB_CONVERSION_PASSBODIES_ELEMENTWISEFUSION_H
