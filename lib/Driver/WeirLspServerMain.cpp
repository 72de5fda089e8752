//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"
#include "weir/Driver/ToolMains.h"

#include "mlir/Support/LLVM.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int weir::weirLspServerMain(int argc, char **argv,
                            mlir::DialectRegistry &registry) {
  introduceTool();
  return llvm::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
