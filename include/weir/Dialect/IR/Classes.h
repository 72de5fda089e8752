//===- Classes.h - how many classes labels have -----------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A text says by its tables of embeddings what tokens and labels there are.
// Images have no tables, so a model of images says it by an attribute.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_IR_CLASSES_H
#define WEIR_DIALECT_IR_CLASSES_H

#include "llvm/ADT/StringRef.h"

namespace weir::attr {

/// On a model and on the pipeline that it becomes, i64, at least 1: labels are
/// below this number, and a program refuses data with others.
inline constexpr llvm::StringLiteral classes = "weir.classes";

} // namespace weir::attr

#endif // WEIR_DIALECT_IR_CLASSES_H
