//===- HostTarget.h - objects, executables and JIT for the host -*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From the kernels that `convert-weir-to-host` leaves in `module @weir_kernels`
// and a program table to LLVM IR, an object, an executable, or code in this
// process. No function here changes the rounding of a kernel: floating-point
// operations are neither contracted nor reassociated.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_HOSTTARGET_H
#define WEIR_TARGET_HOSTTARGET_H

#include "weir/Program.h"
#include "weir/Target/KernelLibrary.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <memory>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace weir {

/// Name of the nested module that holds the compiled passes.
inline constexpr llvm::StringLiteral kernelsModuleName = "weir_kernels";
/// Name of the array in that module that holds the address of every product.
inline constexpr llvm::StringLiteral productsName = "weir_products";

/// The module `@weir_kernels` of `module`, or null if it has none.
inline mlir::ModuleOp getKernelsModule(mlir::ModuleOp module) {
  return module.lookupSymbol<mlir::ModuleOp>(kernelsModuleName);
}

/// What a compiled program is made of. The parts stay with the caller.
struct HostProgram {
  /// `module @weir_kernels`: the LLVM dialect only.
  mlir::ModuleOp kernels;
  /// The program table of weir/Program.h.
  llvm::ArrayRef<char> table;
  /// Names of functions in `kernels`, in the order of the table's kernels.
  llvm::ArrayRef<llvm::StringRef> kernelOrder;
  /// The files that define what `kernels` calls of the user's.
  llvm::ArrayRef<KernelLibrary> libraries;
};

/// Adds what the functions below need to translate the LLVM dialect.
void registerHostTargetDialects(mlir::DialectRegistry &registry);

/// The optimised LLVM module for the CPU that this runs on: the kernels, the
/// table and `const weir_module weir_program`; with `withMain` also a `main`
/// that hands it to weir_main. Fails if the kernels are not all of the LLVM
/// dialect or `kernelOrder` names a function that they lack.
llvm::Expected<std::unique_ptr<llvm::Module>>
translateToLLVM(const HostProgram &program, llvm::LLVMContext &context,
                bool withMain);

/// Writes the module of `translateToLLVM` (with `main`) as text.
llvm::Error emitLLVM(const HostProgram &program, llvm::raw_ostream &os);

/// Writes an object file (with `main`) to `path`. The file appears complete or
/// not at all, here and below.
llvm::Error emitObject(const HostProgram &program, llvm::StringRef path);

/// Writes an executable to `path`: the object linked with the libraries, of
/// which shared ones are found at run time where they are now, and with the
/// runtime, which is looked for beside the running tool
/// (`../lib/libweir_runtime.a`) or, if it is not there, in the directory of the
/// environment variable WEIR_LIBDIR. The C++ compiler driver is that of the
/// environment variable CXX, else the first of clang++-22, clang++, c++ on the
/// path. Fails with one line that says what is missing, or with what the linker
/// said first.
llvm::Error emitExecutable(const HostProgram &program, llvm::StringRef path);

/// A program compiled into this process.
class HostJit {
public:
  /// The type of weir_host_product.
  using ProductFunction = void (*)(weir_context *, const weir_product *,
                                   const void *, const void *, void *);

  /// Compiles `program`; its products call `product`. Loads the libraries and
  /// copies the table. Fails with one line that names the file or the function
  /// if a library cannot be loaded or a function is defined nowhere.
  static llvm::Expected<std::unique_ptr<HostJit>>
  create(const HostProgram &program, ProductFunction product);

  ~HostJit();

  /// The program as the runtime takes it; lives as long as this object.
  const weir_module &getModule() const;

  /// The kernel of that name in `kernels`, or an error if there is none.
  llvm::Expected<weir_kernel> lookup(llvm::StringRef name) const;

private:
  struct Code;
  explicit HostJit(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code;
};

} // namespace weir

#endif // WEIR_TARGET_HOSTTARGET_H
