//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The parts that a module can be made smaller by.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_REDUCER_REDUCTION_H
#define WEIR_LIB_REDUCER_REDUCTION_H

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/IR/BuiltinOps.h"

namespace weir {

/// A kind of parts that can be left out. Parts are numbered; leaving some out
/// does not change the numbers of those before them, though some of these may
/// be gone too.
struct Reduction {
  llvm::StringLiteral name;
  size_t (*count)(mlir::ModuleOp module);
  /// Leaves out parts `begin` to `end`, or those of them that can be. Fails if
  /// nothing can be left out; the module is then in no defined state.
  llvm::LogicalResult (*remove)(mlir::ModuleOp module, size_t begin,
                                size_t end);
};

/// All of them, the coarsest first.
llvm::ArrayRef<Reduction> getReductions();

/// The numbers of things after some of them are gone. There may be any number
/// of things: programs that are wrong are what is reduced.
class Renumbering {
public:
  /// Things 0 to `count` - 1, all there.
  explicit Renumbering(int64_t count) : count(count) {}

  void drop(int64_t begin, int64_t end);
  bool isDropped(int64_t number) const {
    return numDroppedBefore(number) != numDroppedBefore(number + 1);
  }
  int64_t getNumDropped() const { return numDroppedBefore(count); }
  int64_t getNumLeft() const { return count - getNumDropped(); }
  int64_t operator()(int64_t number) const {
    return number - numDroppedBefore(number);
  }
  /// Sets an attribute that holds such a number, if it is there.
  void apply(mlir::Operation *op, llvm::StringRef attribute) const;

private:
  int64_t numDroppedBefore(int64_t number) const;

  int64_t count;
  /// Disjoint ranges from the first to behind the last.
  llvm::SmallVector<std::pair<int64_t, int64_t>> dropped;
};

/// The integer attribute of that name, or nothing.
std::optional<int64_t> getNumber(mlir::Operation *op, llvm::StringRef name);

/// Leaves passes and runs of stages out. Fails where no stage would be left or
/// a bundle crosses stages.
llvm::LogicalResult dropStages(PipelineOp pipeline, const Renumbering &stages);
/// Leaves devices out, with their stages.
llvm::LogicalResult dropDevices(PipelineOp pipeline,
                                const Renumbering &devices);
/// Erases ops of programs with all that cannot be without them: users of their
/// results, and the other sides of their transfers.
void eraseWithDependents(mlir::ModuleOp module,
                         llvm::ArrayRef<mlir::Operation *> roots);
/// Leaves a variable out with all that belongs to it: its gradients, states and
/// updates. What reads it gets zeros.
void dropVariable(VariableOp variable);
/// Takes a message out of two programs, if the receiver needs none.
llvm::LogicalResult dropTransfer(SendStartOp send);

/// The same for problems and their solutions.
llvm::LogicalResult dropStages(ScheduleProblemOp problem,
                               const Renumbering &stages);
llvm::LogicalResult dropDevices(ScheduleProblemOp problem,
                                const Renumbering &devices);

/// Ops in models and bodies of passes whose results other values can replace.
size_t countValues(mlir::ModuleOp module);
llvm::LogicalResult shortcutValues(mlir::ModuleOp module, size_t begin,
                                   size_t end);
llvm::LogicalResult zeroValues(mlir::ModuleOp module, size_t begin, size_t end);

} // namespace weir

#endif // WEIR_LIB_REDUCER_REDUCTION_H
