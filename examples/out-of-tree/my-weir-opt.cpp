// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weir-opt with a schedule and a derivative rule more.

#include "AsinhRule.h"
#include "Waves.h"

#include "weir/Driver/ToolMains.h"

#include "mlir/IR/DialectRegistry.h"

int main(int argc, char **argv) {
  registerWaves();
  mlir::DialectRegistry registry;
  weir::registerCompilerDialects(registry);
  registerAsinhRule(registry);
  return weir::weirOptMain(argc, argv, registry);
}
