//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"
#include "weir/Driver/ToolMains.h"
#include "weir/InitAll.h"
#include "weir/Reducer/Passes.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-reduce/MlirReduceMain.h"

int weir::weirReduceMain(int argc, char **argv,
                         const mlir::DialectRegistry &registry) {
  introduceTool();
  // For opt-reduction-pass.
  mlir::registerAllPasses();
  weir::registerAllPasses();
  registerWeirReducerPasses();
  mlir::MLIRContext context(registry);
  return mlir::failed(mlir::mlirReduceMain(argc, argv, context));
}
