//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The forward of a joint graph as a row of operations that can be cut.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_FORWARDROW_H
#define WEIR_ANALYSIS_FORWARDROW_H

#include "weir/Analysis/CutSearch.h"
#include "weir/Analysis/JointGraph.h"

#include <map>
#include <memory>

namespace weir {

/// The operations of the forward that have a stage, in their order, with the
/// costs of each and of its adjoint.
struct ForwardRow {
  explicit ForwardRow(int64_t size) : costs(size) {}

  llvm::SmallVector<mlir::Operation *> ops;
  RowCosts costs;

  /// The position of the operation that has the number `weir.op`, if there is
  /// one.
  std::optional<int64_t> findNumber(int64_t number) const;

  /// The position of the operation that `op` is, or is part of the adjoint of.
  std::optional<int64_t> findPosition(mlir::Operation *op) const;

  std::map<int64_t, int64_t> positionOf; ///< by number
};

/// Reads the costs that `weir-estimate-costs` has set. A value is received by a
/// stage that reads it, or whose backward does, and kept by one whose backward
/// does; a reshape counts as what it is a view of. A variable counts with
/// `stateTensors` optimizer states. Emits an error and returns null where two
/// operations have one number or a duration is none.
std::unique_ptr<ForwardRow> readForwardRow(mlir::func::FuncOp joint,
                                           int64_t stateTensors);

/// The operations that are marked `weir.stage_begin`, by position. Emits an
/// error at a mark that cannot be met by `stages` stages.
llvm::FailureOr<llvm::SmallVector<StageMark>>
readStageMarks(mlir::func::FuncOp joint, const ForwardRow &row, int64_t stages);

/// The positions at which the layers 0, 1, ... begin, by `weir.layer`. Emits an
/// error where there are none, one is missing or they are not in order.
llvm::FailureOr<llvm::SmallVector<int64_t>> readLayers(mlir::func::FuncOp joint,
                                                       const ForwardRow &row);

} // namespace weir

#endif // WEIR_ANALYSIS_FORWARDROW_H
