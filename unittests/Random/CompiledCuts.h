//===- CompiledCuts.h - one model, cut in several ways ----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The schedule is data: what is compiled depends on the cut alone. So a model
// is differentiated once, all its cuts are compiled to kernels together, equal
// passes of different cuts once, and every schedule of a cut runs the same
// code.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RANDOM_COMPILEDCUTS_H
#define WEIR_UNITTESTS_RANDOM_COMPILEDCUTS_H

#include "weir/Driver/Compiler.h"
#include "weir/Target/HostTarget.h"

#include "mlir/IR/MLIRContext.h"

#include <memory>

namespace weir::test {

class CompiledCuts {
public:
  /// Differentiates `text`; null after errors, which go to the handlers of
  /// `context`.
  static std::unique_ptr<CompiledCuts> create(llvm::StringRef text,
                                              mlir::MLIRContext &context);

  /// The numbers of the forward ops, between which cuts can lie.
  llvm::ArrayRef<int64_t> getOpNumbers() const { return opNumbers; }

  /// The model with its backward, not cut.
  mlir::ModuleOp getJoint() { return *joint; }

  /// Cuts the model as `options` say, and adds the cut to those to compile.
  llvm::LogicalResult add(const CompilerOptions &options);

  /// Compiles the passes of all cuts; call it once, after all were added.
  llvm::LogicalResult compile();

  /// A cut with its passes compiled, to be cloned: stages, with the names of
  /// their kernels.
  mlir::ModuleOp getStages(size_t cut) { return *cuts[cut]; }
  size_t size() const { return cuts.size(); }

  /// The address of a kernel.
  weir_kernel lookup(llvm::StringRef name) const;

private:
  CompiledCuts() = default;

  mlir::OwningOpRef<mlir::ModuleOp> joint;
  std::vector<int64_t> opNumbers;
  std::vector<mlir::OwningOpRef<mlir::ModuleOp>> cuts;
  std::unique_ptr<HostJit> jit;
};

} // namespace weir::test

#endif // WEIR_UNITTESTS_RANDOM_COMPILEDCUTS_H
