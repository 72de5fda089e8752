//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Facts about the ops of a joint graph that several passes ask for.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_JOINTGRAPH_H
#define WEIR_ANALYSIS_JOINTGRAPH_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "llvm/ADT/DenseSet.h"

#include <optional>

namespace weir {

/// The joint graph of a module, the function marked `weir.joint`. Emits an
/// error and returns null if there is none or more than one, or if its body is
/// not one block.
mlir::func::FuncOp findJointGraph(mlir::ModuleOp module);

/// Whether `op` belongs to no stage because every pass that uses it has its own
/// copy: constants, reads of variables, empty tensors, fills with constants,
/// and views (reshapes, slices) of such values or of the data inputs.
bool isRepeated(mlir::Operation *op);

/// Whether `op` only gives its operand another shape.
bool isReshape(mlir::Operation *op);

/// The value that `value` is a reshape of, through any number of reshapes.
mlir::Value lookThroughReshapes(mlir::Value value);

/// Gives the bodies of ops copies of the constants that they use from outside,
/// so that operands tell all that an op needs. Emits an error at an op whose
/// body uses anything else from outside.
llvm::LogicalResult isolateBodies(mlir::func::FuncOp graph);

/// An i64 attribute, if `op` has it.
std::optional<int64_t> getInteger(mlir::Operation *op, llvm::StringRef name);

/// An f64 attribute, or 0.
double getDouble(mlir::Operation *op, llvm::StringRef name);

/// Whether `op` is part of the forward (carries a number of its own or reports
/// the loss).
bool isForwardOp(mlir::Operation *op);

/// The backward ops that `roots`, which are backward ops, depend on, themselves
/// included; without what is repeated.
llvm::DenseSet<mlir::Operation *>
sliceBackward(llvm::ArrayRef<mlir::Operation *> roots);

} // namespace weir

#endif // WEIR_ANALYSIS_JOINTGRAPH_H
