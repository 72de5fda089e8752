//===- HostCode.h - parts that objects, programs and JIT share --*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_TARGET_HOSTCODE_H
#define WEIR_LIB_TARGET_HOSTCODE_H

#include "weir/Target/HostTarget.h"

#include "llvm/IR/GlobalVariable.h"
#include "llvm/Target/TargetMachine.h"

namespace weir {

/// The code generator for the CPU that this runs on. Never fuses a product and
/// a sum.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createHostTargetMachine();

/// The kernels, of the LLVM dialect only, as LLVM IR for `machine`; all
/// functions that they define are internal.
llvm::Expected<std::unique_ptr<llvm::Module>>
translateKernels(mlir::ModuleOp kernels, llvm::LLVMContext &context,
                 const llvm::TargetMachine &machine);

/// Adds an internal constant, aligned for vectors.
llvm::GlobalVariable *addConstant(llvm::Module &module, llvm::Constant *value,
                                  const llvm::Twine &name);
/// The address of an array of bytes, or of pointers, that is added.
llvm::Constant *addBytes(llvm::Module &module, llvm::ArrayRef<char> bytes,
                         const llvm::Twine &name);
llvm::Constant *addPointers(llvm::Module &module,
                            llvm::ArrayRef<llvm::Constant *> pointers,
                            const llvm::Twine &name);

/// The weir_module of a program whose kernels are in `module`.
llvm::Expected<llvm::Constant *> buildModuleRecord(const HostProgram &program,
                                                   llvm::Module &module);

/// int main(int argc, char **argv) { return runtimeMain(argc, argv, &record); }
void addMain(llvm::Module &module, llvm::StringRef runtimeMain,
             llvm::GlobalVariable *record);

/// Optimises without a change of rounding.
void optimize(llvm::Module &module, llvm::TargetMachine &machine);

/// Writes the object file of a module.
llvm::Error writeObject(llvm::Module &module, llvm::StringRef path);

/// The path of a library of the runtime, such as libweir_runtime.a: beside the
/// running tool (../lib) or in the directory of WEIR_LIBDIR.
llvm::Expected<std::string> findRuntime(llvm::StringRef name);

/// Writes an executable of the object of `module`, the libraries and the
/// further arguments for the linker, by the C++ compiler driver; see
/// `emitExecutable`.
llvm::Error linkExecutable(llvm::Module &module,
                           llvm::ArrayRef<KernelLibrary> libraries,
                           llvm::ArrayRef<std::string> arguments,
                           llvm::StringRef path);

/// The error that a function is called and defined nowhere.
inline std::string explainMissingFunction(llvm::StringRef name) {
  return "function '" + name.str() +
         "' is defined nowhere; --link=FILE names the file that defines it";
}

} // namespace weir

#endif // WEIR_LIB_TARGET_HOSTCODE_H
