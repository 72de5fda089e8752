//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The way of a model through all passes, as the tools weirc and weir-run take
// it.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DRIVER_COMPILER_H
#define WEIR_DRIVER_COMPILER_H

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Target/ProgramTable.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>
#include <vector>

namespace weir {

/// What a user chooses. Bytes and counts; 0 or empty means the default.
struct CompilerOptions {
  int64_t devices = 1;
  std::optional<int64_t> microbatches; ///< default: two per device
  std::string schedule = "1f1b"; ///< a name, block:FILE or auto
  /// linear, loop, v or the device of each stage, separated by commas; default:
  /// the schedule's own. Where neither this nor the stages are given, auto tries
  /// several on the way to a plan; on shorter ways it takes v with two chunks.
  std::string placement;
  int64_t chunks = 0; ///< stages per device; default: as the schedule wants
  int64_t stages = 0; ///< default: devices times chunks
  int64_t memoryLimit = 0; ///< per device; 0: none
  std::optional<int64_t> cutLimit; ///< of the cut alone; default: memoryLimit
  std::string objective = "makespan"; ///< of auto: makespan or span
  /// How long auto searches, in seconds of two cores of the year 2020: a number
  /// of trials that is the same on every machine.
  double timeBudget = 2;
  int64_t searchSeed = 1; ///< of auto
  std::vector<int64_t> cuts;
  std::vector<int64_t> layersPerStage; ///< empty: where it balances best
  std::string optimizer = "adamw";
  double weightDecay = 0.1, momentum = 0.9, beta1 = 0.9, beta2 = 0.95;
  std::string cudaArch; ///< such as sm_90a; empty: code for the host
};

/// The levels of the IR, in order.
enum class Level { Model, Joint, Stages, Programs, Plan };

/// The level that `module` is at, by what it holds.
Level getLevel(mlir::ModuleOp module);

/// Whether the ops of a joint graph have their stages, or are past that.
bool isCut(mlir::ModuleOp module);

/// Checks the options that no pass checks: one line to the user, or nothing.
std::optional<std::string> checkOptions(const CompilerOptions &options);

/// Brings `module` from whatever level it is at to `target`, with the proofs of
/// `weir-verify-programs` after scheduling and after planning. Compiled kernels
/// (`module @weir_kernels`) are there from level Plan on, or with
/// `withKernels`. Levels that are behind the module are left as they are.
/// Errors are emitted at the ops at fault; a memory limit that cannot be met is
/// refused with the smallest that can.
mlir::LogicalResult compileTo(mlir::ModuleOp module, Level target,
                              const CompilerOptions &options);

/// Checks, at any level, that the runtime can feed all inputs of the model;
/// emits an error at one that it cannot. For what is to become code.
mlir::LogicalResult checkInputs(mlir::ModuleOp module);

/// Removes the compiled kernels and the names of them, which belong to no
/// level.
void removeKernels(mlir::ModuleOp module);

/// A handler of diagnostics that swallows remarks and leaves the rest to
/// others: for what is compiled only to be compared with.
mlir::LogicalResult ignoreRemark(mlir::Diagnostic &diagnostic);

/// The one pipeline of `module`; emits an error if there is none or more.
PipelineOp getOnlyPipeline(mlir::ModuleOp module);

/// Prints what each device of a planned module holds and does, and what 1f1b on
/// as many devices would need. `joint` is the same model as a joint graph
/// before it was cut, or null where the input was past that level.
mlir::LogicalResult printReport(mlir::ModuleOp module, mlir::ModuleOp joint,
                                const CompilerOptions &options,
                                llvm::raw_ostream &os);

/// Writes the timeline of a module that has programs as SVG.
mlir::LogicalResult writeTimeline(mlir::ModuleOp module, llvm::StringRef path);

} // namespace weir

#endif // WEIR_DRIVER_COMPILER_H
