//===- weir-opt.cpp - run any part of the compiler on IR ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/ToolMains.h"

#include "mlir/IR/DialectRegistry.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  weir::registerCompilerDialects(registry);
  return weir::weirOptMain(argc, argv, registry);
}
