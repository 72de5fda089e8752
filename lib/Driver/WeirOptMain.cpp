//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"
#include "weir/Driver/ToolMains.h"
#include "weir/InitAll.h"

#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int weir::weirOptMain(int argc, char **argv, mlir::DialectRegistry &registry) {
  introduceTool();
  mlir::registerAllPasses();
  weir::registerAllPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Weir optimizer driver\n", registry));
}
