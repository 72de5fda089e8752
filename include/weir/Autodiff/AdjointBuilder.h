//===- AdjointBuilder.h - build the backward of a model ---------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_ADJOINTBUILDER_H
#define WEIR_AUTODIFF_ADJOINTBUILDER_H

#include "weir/Autodiff/Activity.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace weir {

/// Holds the adjoints of a model's values while its ops are visited last to
/// first. The adjoint of a value is the sum of what its uses contribute, added
/// in the order in which the contributions come: from the last use to the
/// first, by one addition each, which belongs to the op of the contribution. So
/// what a stage hands to an earlier one is one partial sum.
class AdjointBuilder : private mlir::OpBuilder::Listener {
public:
  /// Builds at the end of `body`, whose ops are numbered and all of the
  /// forward.
  AdjointBuilder(mlir::Block &body, const Activity &activity);

  /// Starts the adjoint of `op`: ops that are built from now on are tagged with
  /// its number (`weir.adjoint_of`) and have its location.
  void startAdjointOf(mlir::Operation *op);

  mlir::OpBuilder &getBuilder() { return builder; }
  mlir::Location getLoc() const { return loc; }

  /// The adjoint of a value as summed so far, or null if nothing contributed.
  mlir::Value getAdjoint(mlir::Value value) const;

  /// Whether an adjoint of this operand is wanted.
  bool isActive(mlir::OpOperand &operand) const;

  /// Adds to the adjoint of an operand, unless none is wanted. `contribution`
  /// has the operand's type.
  void addAdjoint(mlir::OpOperand &operand, mlir::Value contribution);

  /// Adds `contribution` to a slice of the adjoint of an operand, which is zero
  /// elsewhere. Disjoint slices that follow one another share one tensor.
  void addSliceAdjoint(mlir::OpOperand &operand, mlir::Value contribution,
                       llvm::ArrayRef<int64_t> offsets,
                       llvm::ArrayRef<int64_t> sizes,
                       llvm::ArrayRef<int64_t> strides);

  /// Sets the adjoint of the loss to 1.
  void seed(mlir::Value loss);

  /// Cleans up when all ops have been visited.
  void finish();

  /// A fresh tensor without values; never shared, since bufferization takes
  /// long to find out that sharing means nothing.
  mlir::Value createEmpty(mlir::RankedTensorType type);
  /// A fresh tensor of zeros.
  mlir::Value createZeros(mlir::RankedTensorType type);
  /// The elements of `value` in row-major order as a tensor of `type`. One of
  /// the two types joins dimensions of the other.
  mlir::Value reshape(mlir::Value value, mlir::RankedTensorType type);
  /// A tensor of `type` whose elements `body` computes from those of `inputs`,
  /// which have its shape.
  mlir::Value createElementwise(
      mlir::RankedTensorType type, mlir::ValueRange inputs,
      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                     mlir::ValueRange)>
          body);

private:
  struct Slice {
    llvm::SmallVector<int64_t> offsets, sizes, strides;
  };
  /// The sum so far; `slices` is what it consists of if it was made by
  /// inserting disjoint slices into `zeros`.
  struct Sum {
    mlir::Value value;
    mlir::Value zeros;
    llvm::SmallVector<Slice> slices;
  };

  void notifyOperationInserted(mlir::Operation *op,
                               mlir::OpBuilder::InsertPoint previous) override;

  const Activity &activity;
  mlir::Block &body;
  mlir::OpBuilder builder;
  mlir::Location loc;
  mlir::IntegerAttr number;
  llvm::DenseMap<mlir::Operation *, mlir::IntegerAttr> numbers;
  llvm::DenseMap<mlir::Value, Sum> sums;
};

} // namespace weir

#endif // WEIR_AUTODIFF_ADJOINTBUILDER_H
