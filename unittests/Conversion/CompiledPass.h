//===- CompiledPass.h - compile passes and compare their bytes --*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_CONVERSION_COMPILEDPASS_H
#define WEIR_UNITTESTS_CONVERSION_COMPILEDPASS_H

#include "BodyInterpreter.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <memory>
#include <string>

/// How buffers are filled before a pass runs.
struct Filling {
  enum Floats { Uniform, SmallIntegers } floats = Uniform;
  /// Integers are in [0, below).
  int64_t below = 4;
  uint64_t seed = 1;
};

/// A target as the tests see it. The programs of tests differ in which one they
/// are linked with.
struct PassTarget {
  /// Adds the conversion of the passes to a pipeline.
  void (*addConversion)(mlir::PassManager &passes);
  /// The context that passes of what was compiled are called with; `lookup`
  /// finds a symbol of it.
  std::shared_ptr<void> (*load)(
      mlir::ModuleOp kernels,
      llvm::function_ref<void *(const std::string &name)> lookup);
  /// Memory for buffers, which the test can read and write.
  char *(*allocate)(int64_t bytes);
  void (*release)(char *memory);
  /// Waits until a pass is done; throws what went wrong.
  void (*wait)();
  /// How far a number may be from the interpreter's, relative to the larger of
  /// it and 1.
  double tolerance;
};
const PassTarget &getTarget();

/// multiplyNaively, counted for CompiledPasses::numProducts().
void countProduct(weir_context *context, const weir_product *product,
                  const void *a, const void *b, void *c);

/// Passes written as text, compiled into this process.
class CompiledPasses {
public:
  /// Adds `weir-fix-rounding`, then converts and compiles. Throws
  /// std::runtime_error with the diagnostics if that fails.
  explicit CompiledPasses(const std::string &text);
  ~CompiledPasses();

  size_t size() const { return passes.size(); }
  weir::StagePassOpInterface getPass(size_t index) { return passes[index]; }
  mlir::ModuleOp getModule();
  /// What the runtime would get.
  const weir_module &getProgram();

  /// Random contents for the buffers of a pass; what is only written has NaNs.
  std::vector<Bytes> makeBuffers(size_t index, Filling filling);

  /// Runs a compiled pass. Throws if it writes outside its buffers.
  void run(size_t index, std::vector<Bytes> &buffers);

  /// Calls of the product library so far.
  static int64_t numProducts();

private:
  struct Parts;
  std::unique_ptr<Parts> parts;
  std::vector<weir::StagePassOpInterface> passes;
};

/// Compiles `text` and compares every pass with the interpreter, byte by byte,
/// or within the tolerance of the target. Returns what differs, or an empty
/// string.
std::string compareWithInterpreter(const std::string &text,
                                   Filling filling = {});

/// The text of a pipeline with one forward pass: `inputs` are the types of %a0,
/// %a1, ...; `body` ends with a yield of values of the types `results`.
std::string makeForward(const std::vector<std::string> &inputs,
                        const std::string &results, const std::string &body);

#endif // WEIR_UNITTESTS_CONVERSION_COMPILEDPASS_H
