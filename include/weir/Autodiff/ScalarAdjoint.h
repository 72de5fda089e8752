//===- ScalarAdjoint.h - differentiate scalar code --------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_SCALARADJOINT_H
#define WEIR_AUTODIFF_SCALARADJOINT_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace weir {

/// Reverse-mode differentiation of straight-line scalar code in one block. The
/// ops of the adjoint are appended to the block.
class ScalarAdjointBuilder {
public:
  ScalarAdjointBuilder(mlir::Block &block, mlir::MLIRContext *context);

  /// Asks for the adjoint of a block argument. Call before `propagate`.
  void activate(mlir::Value argument) { active.insert(argument); }

  /// Gives a value of the block an adjoint to start from.
  void seed(mlir::Value value, mlir::Value adjoint);

  /// Finds out which of the block's float values depend on activated arguments.
  /// Call before the first `seed`.
  void findActiveValues();

  /// Visits the ops that were in the block at construction, last to first.
  /// Emits an error at an op without a rule and fails.
  llvm::LogicalResult propagate();

  /// The adjoint of a value, or null if it is zero everywhere.
  mlir::Value getAdjoint(mlir::Value value) const {
    return adjoints.lookup(value);
  }

  bool isActive(mlir::Value value) const { return active.contains(value); }

  /// Adds to the adjoint of a value, unless it is not active.
  void addAdjoint(mlir::Value value, mlir::Value contribution);

  /// Scalar arithmetic, folded where possible.
  mlir::Value constant(mlir::Type type, double value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b);
  mlir::Value neg(mlir::Value a);
  mlir::Value compare(mlir::arith::CmpFPredicate predicate, mlir::Value a,
                      mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// Any other op of one result of the type of its first operand.
  template <typename OpT, typename... Args> mlir::Value create(Args &&...args) {
    return builder.createOrFold<OpT>(loc, std::forward<Args>(args)...);
  }

private:
  mlir::OpBuilder builder;
  mlir::Location loc;
  llvm::SmallVector<mlir::Operation *> primal;
  llvm::DenseSet<mlir::Value> active;
  llvm::DenseMap<mlir::Value, mlir::Value> adjoints;
};

} // namespace weir

#endif // WEIR_AUTODIFF_SCALARADJOINT_H
