//===- KernelLibrary.cpp - files with kernels -----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/KernelLibrary.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Object/Archive.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace weir;

/// Whether this machine can run what is in `object`.
static llvm::Error checkMachine(const llvm::object::ObjectFile &object) {
  llvm::Triple host(llvm::sys::getDefaultTargetTriple());
  if (object.getArch() == host.getArch() &&
      object.getTripleObjectFormat() == host.getObjectFormat())
    return llvm::Error::success();
  return llvm::createStringError(
      "is for another machine: " + object.getFileFormatName() + ", not " +
      host.getTriple());
}

static llvm::Error explainDamage(llvm::Error error) {
  return llvm::createStringError("is damaged: " +
                                 llvm::toString(std::move(error)));
}

/// The kind of a library by its contents; checks that they are whole, because
/// the loader of shared libraries does not.
static llvm::Expected<KernelLibrary::Kind>
readKind(llvm::MemoryBufferRef buffer) {
  llvm::file_magic magic = llvm::identify_magic(buffer.getBuffer());
  if (magic == llvm::file_magic::archive) {
    auto archive = llvm::object::Archive::create(buffer);
    if (!archive)
      return explainDamage(archive.takeError());
    llvm::Error error = llvm::Error::success();
    for (const auto &child : (*archive)->children(error))
      (void)child;
    if (error)
      return explainDamage(std::move(error));
    return KernelLibrary::Kind::Archive;
  }
  if (magic != llvm::file_magic::elf_relocatable &&
      magic != llvm::file_magic::elf_shared_object)
    return llvm::createStringError(
        "is no object file, archive or shared library");
  auto object = llvm::object::ObjectFile::createObjectFile(buffer);
  if (!object)
    return explainDamage(object.takeError());
  if (llvm::Error error = checkMachine(**object))
    return std::move(error);
  return magic == llvm::file_magic::elf_relocatable
             ? KernelLibrary::Kind::Object
             : KernelLibrary::Kind::Shared;
}

llvm::Expected<KernelLibrary> weir::findKernelLibrary(llvm::StringRef path) {
  llvm::sys::fs::file_status status;
  llvm::SmallString<128> absolute(path);
  std::error_code code = llvm::sys::fs::status(path, status);
  if (!code && !llvm::sys::fs::is_regular_file(status))
    return llvm::createStringError("'" + path + "' is no file");
  if (!code)
    code = llvm::sys::fs::make_absolute(absolute);
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> buffer = code;
  if (!code)
    buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return llvm::createStringError("cannot read '" + path +
                                   "': " + buffer.getError().message());
  llvm::Expected<KernelLibrary::Kind> kind =
      readKind((*buffer)->getMemBufferRef());
  if (!kind)
    return llvm::createStringError("'" + path + "' " +
                                   llvm::toString(kind.takeError()));
  return KernelLibrary{*kind, absolute.str().str()};
}
