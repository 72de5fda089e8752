//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"
#include "weir/Driver/CommandLine.h"
#include "weir/Driver/ToolMains.h"
#include "weir/InitAll.h"
#include "weir/Reducer/Passes.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-reduce/MlirReduceMain.h"

int weir::weirReduceMain(int argc, char **argv,
                         const mlir::DialectRegistry &registry) {
  introduceTool();
  if (argc == 1)
    return reportError("needs a pass and an input file, such as "
                       "--weir-reduction=test=PROGRAM FILE; --help tells more");
  // For opt-reduction-pass.
  mlir::registerAllPasses();
  weir::registerAllPasses();
  registerWeirReducerPasses();
  mlir::MLIRContext context(registry);
  context.getDiagEngine().registerHandler(
      [](mlir::Diagnostic &diagnostic) { printInLines(diagnostic); });
  return mlir::failed(mlir::mlirReduceMain(argc, argv, context));
}
