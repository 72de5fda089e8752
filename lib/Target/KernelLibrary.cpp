//===- KernelLibrary.cpp - files with kernels -----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/KernelLibrary.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Support/FileSystem.h"

using namespace weir;

llvm::Expected<KernelLibrary> weir::findKernelLibrary(llvm::StringRef path) {
  llvm::file_magic magic;
  std::error_code code = llvm::identify_magic(path, magic);
  llvm::SmallString<128> absolute(path);
  if (!code)
    code = llvm::sys::fs::make_absolute(absolute);
  if (code)
    return llvm::createStringError("cannot read '" + path +
                                   "': " + code.message());
  auto make = [&](KernelLibrary::Kind kind) {
    return KernelLibrary{kind, absolute.str().str()};
  };
  if (magic == llvm::file_magic::elf_relocatable)
    return make(KernelLibrary::Kind::Object);
  if (magic == llvm::file_magic::archive)
    return make(KernelLibrary::Kind::Archive);
  if (magic == llvm::file_magic::elf_shared_object)
    return make(KernelLibrary::Kind::Shared);
  return llvm::createStringError(
      "'" + path + "' is no object file, archive or shared library");
}
