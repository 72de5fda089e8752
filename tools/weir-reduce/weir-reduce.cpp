//===- weir-reduce.cpp - make IR smaller that shows a fault ---------------===//
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
  return weir::weirReduceMain(argc, argv, registry);
}
