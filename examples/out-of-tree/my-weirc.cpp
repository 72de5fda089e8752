// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weirc with a schedule and a derivative rule more.

#include "AsinhRule.h"
#include "Waves.h"

#include "weir/Driver/ToolMains.h"

#include "mlir/IR/DialectRegistry.h"

#include <cstdlib>

int main(int argc, char **argv) {
  // This compiler is not beside the runtime that its executables link.
  setenv("WEIR_LIBDIR", WEIR_LIBDIR, /*replace=*/0);
  registerWaves();
  mlir::DialectRegistry registry;
  weir::registerCompilerDialects(registry);
  registerAsinhRule(registry);
  return weir::weircMain(argc, argv, registry);
}
