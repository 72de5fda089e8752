//===- CompiledModel.h - run a model and its gradient -----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_AUTODIFF_COMPILEDMODEL_H
#define WEIR_UNITTESTS_AUTODIFF_COMPILEDMODEL_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <string>
#include <vector>

namespace weir::test {

/// A tensor of f64 or i32.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> floats;
  std::vector<int32_t> integers;

  static Tensor ofFloats(llvm::ArrayRef<int64_t> shape);
  static Tensor ofIntegers(llvm::ArrayRef<int64_t> shape);
};

/// A context with all dialects, rules and passes that the tests need.
mlir::MLIRContext &getContext();

/// Parses a model; a null reference, with errors on stderr, if it is wrong.
mlir::OwningOpRef<mlir::ModuleOp> parseModel(llvm::StringRef text);

/// The module's function.
mlir::func::FuncOp getFunction(mlir::ModuleOp module);

/// Runs a textual pass pipeline on the module.
llvm::LogicalResult runPasses(mlir::ModuleOp module, llvm::StringRef pipeline);

/// A model or joint graph of f64, compiled by the upstream passes. Its inputs
/// are the arguments of the function and then the variables in their order; its
/// outputs loss and count and, for a joint graph, the gradients of the
/// variables, each the sum over all uses.
class CompiledModel {
public:
  /// Consumes `module`; null, with errors on stderr, if it cannot be compiled.
  static std::unique_ptr<CompiledModel>
  compile(mlir::OwningOpRef<mlir::ModuleOp> module);

  /// Types of all inputs.
  llvm::ArrayRef<mlir::RankedTensorType> getInputTypes() const {
    return inputs;
  }

  std::vector<Tensor> run(std::vector<Tensor> &arguments);

private:
  std::vector<mlir::RankedTensorType> inputs, outputs;
  std::unique_ptr<mlir::ExecutionEngine> engine;
  std::string name;
};

} // namespace weir::test

#endif // WEIR_UNITTESTS_AUTODIFF_COMPILEDMODEL_H
