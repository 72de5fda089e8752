//===- BodyInterpreter.h - what a pass must compute -------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A reference for compiled passes: interprets a body element by element and
// follows the contract of weir-fix-rounding to the letter. It shares no code
// with the lowering.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_CONVERSION_BODYINTERPRETER_H
#define WEIR_UNITTESTS_CONVERSION_BODYINTERPRETER_H

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Program.h"

#include <cstdint>
#include <vector>

/// One buffer of a pass, as it is in memory.
using Bytes = std::vector<char>;

/// Runs the body of `pass` on its buffers, which are in the order of
/// getPassBuffers, without a workspace. Throws std::runtime_error at an op that
/// it does not know.
void interpretPass(weir::StagePassOpInterface pass,
                   std::vector<Bytes> &buffers);

/// A product that adds in the order of k, then adds the sum to C if it
/// accumulates.
void multiplyNaively(weir_context *, const weir_product *product, const void *a,
                     const void *b, void *c);

#endif // WEIR_UNITTESTS_CONVERSION_BODYINTERPRETER_H
