//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From planned programs to the program table of weir/Program.h.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_PROGRAMTABLE_H
#define WEIR_TARGET_PROGRAMTABLE_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/BuiltinOps.h"

namespace weir {

struct ProgramTable {
  llvm::SmallVector<char> bytes;
  /// Names of the kernels that the table's records of kernels stand for.
  llvm::SmallVector<std::string> kernelOrder;
};

/// The table of the programs of `pipeline`. They must be planned and verified,
/// and every pass must have its kernel; otherwise emits an error at the op that
/// lacks something.
mlir::FailureOr<ProgramTable> buildProgramTable(PipelineOp pipeline);

} // namespace weir

#endif // WEIR_TARGET_PROGRAMTABLE_H
