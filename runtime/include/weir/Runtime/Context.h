//===- weir/Runtime/Context.h - what compiled passes are given --*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CONTEXT_H
#define WEIR_RUNTIME_CONTEXT_H

/// One per rank, used by the rank's thread alone.
struct weir_context {
  /// Set by a runtime function that failed inside a compiled pass, which cannot
  /// return it; lives as long as the context.
  const char *failure = nullptr;
};

#endif // WEIR_RUNTIME_CONTEXT_H
