//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_PROGRAMS_SMALLPIPELINES_H
#define WEIR_UNITTESTS_PROGRAMS_SMALLPIPELINES_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace weir {

/// A schedule for a chain of stages.
struct SmallCase {
  std::string schedule;
  int stages, devices, microbatches;
};

/// Loads what the tests use.
void loadDialects(mlir::MLIRContext &context);

/// A chain of stages, each with a parameter of its own, the first and the last
/// also with one in common, and its programs. Null if a pass fails.
mlir::OwningOpRef<mlir::ModuleOp> makePrograms(mlir::MLIRContext &context,
                                               const SmallCase &parameters);

/// Whether the pass of that name (`weir-plan-memory`, `weir-verify-programs`)
/// accepts the module; what it says is kept in `errors`.
bool runPass(mlir::ModuleOp module, llvm::StringRef pass, std::string &errors);

/// The programs of the one pipeline.
llvm::SmallVector<ProgramOp> getPrograms(mlir::ModuleOp module);

} // namespace weir

#endif // WEIR_UNITTESTS_PROGRAMS_SMALLPIPELINES_H
