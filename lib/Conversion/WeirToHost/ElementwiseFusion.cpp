//===- ElementwiseFusion.cpp - fewer loops over the same data -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ElementwiseFusion.h"

using namespace mlir;
using namespace weir;

void weir::fuseElementwise(func::FuncOp function) {}
