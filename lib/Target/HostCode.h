//===- HostCode.h - parts that objects, executables and JIT share -*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_TARGET_HOSTCODE_H
#define WEIR_LIB_TARGET_HOSTCODE_H

#include "weir/Target/HostTarget.h"

#include "llvm/Target/TargetMachine.h"

namespace weir {

/// The code generator for the CPU that this runs on. Never fuses a product and
/// a sum.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createHostTargetMachine();

/// Writes the object file of a program with its `main`.
llvm::Error writeObject(const HostProgram &program,
                        llvm::raw_pwrite_stream &os);

/// The error that a function is called and defined nowhere.
inline std::string explainMissingFunction(llvm::StringRef name) {
  return "function '" + name.str() +
         "' is defined nowhere; --link=FILE names the file that defines it";
}

} // namespace weir

#endif // WEIR_LIB_TARGET_HOSTCODE_H
