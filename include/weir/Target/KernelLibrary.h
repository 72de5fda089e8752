//===- weir/Target/KernelLibrary.h - files with kernels ---------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The files that define the functions of `weir.kernel`, told apart by what is
// in them.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_KERNELLIBRARY_H
#define WEIR_TARGET_KERNELLIBRARY_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace weir {

/// A file that a program is linked with.
struct KernelLibrary {
  enum class Kind { Object, Archive, Shared };
  Kind kind;
  std::string path; ///< absolute
};

/// Looks at the file at `path`, which may be relative. Fails with one line that
/// names the path if it cannot be read or is no object, archive or shared
/// library of this system.
llvm::Expected<KernelLibrary> findKernelLibrary(llvm::StringRef path);

} // namespace weir

#endif // WEIR_TARGET_KERNELLIBRARY_H
