//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"
#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Driver/ToolMains.h"
#include "weir/InitAll.h"

#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

static llvm::cl::opt<bool> showDerivativeRules(
    "show-derivative-rules",
    llvm::cl::desc("Print the names of the ops with a derivative rule"));

static void printDerivativeRules(const mlir::DialectRegistry &registry) {
  mlir::MLIRContext context(registry);
  context.loadAllAvailableDialects();
  for (mlir::RegisteredOperationName op : context.getRegisteredOperations())
    if (op.hasInterface<weir::DifferentiableOpInterface>() ||
        op.hasInterface<weir::DifferentiableScalarOpInterface>())
      llvm::outs() << op.getStringRef() << "\n";
}

int weir::weirOptMain(int argc, char **argv, mlir::DialectRegistry &registry) {
  introduceTool();
  mlir::registerAllPasses();
  weir::registerAllPasses();
  auto [input, output] = mlir::registerAndParseCLIOptions(
      argc, argv, "Weir optimizer driver\n", registry);
  if (showDerivativeRules) {
    printDerivativeRules(registry);
    return 0;
  }
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, input, output, registry));
}
