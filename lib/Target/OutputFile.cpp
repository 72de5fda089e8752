//===- OutputFile.cpp - files that tools write ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Target/OutputFile.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

using namespace weir;
namespace fs = llvm::sys::fs;

static llvm::Error cannotWrite(llvm::StringRef path,
                               const llvm::Twine &reason) {
  return llvm::createStringError("cannot write '" + path + "': " + reason);
}

/// Whether something other than a file or a directory is at `path`.
static bool isSpecial(llvm::StringRef path) {
  fs::file_status status;
  return !fs::status(path, status) && fs::exists(status) &&
         !fs::is_regular_file(status) && !fs::is_directory(status);
}

/// What keeps the file at `path` from being replaced.
static llvm::Error checkReplaceable(llvm::StringRef path) {
  fs::file_status status;
  if (fs::status(path, status) || !fs::exists(status))
    return llvm::Error::success();
  if (fs::is_directory(status))
    return cannotWrite(path, "Is a directory");
  if (!fs::is_regular_file(status))
    return cannotWrite(path, "not a regular file");
  if (std::error_code code = fs::access(path, fs::AccessMode::Write))
    return cannotWrite(path, code.message());
  return llvm::Error::success();
}

/// A link keeps pointing at the file: what it points at is replaced.
static llvm::SmallString<128> followLinks(llvm::StringRef path) {
  llvm::SmallString<128> target;
  if (fs::real_path(path, target))
    target = path;
  return target;
}

llvm::Error weir::checkOutputPath(llvm::StringRef path) {
  if (path.empty() || path == "-" || isSpecial(path))
    return llvm::Error::success();
  if (llvm::Error error = checkReplaceable(path))
    return error;
  llvm::SmallString<128> temporary;
  if (std::error_code code =
          fs::createUniqueFile(followLinks(path) + ".%%%%%%.tmp", temporary))
    return cannotWrite(path, code.message());
  fs::remove(temporary);
  return llvm::Error::success();
}

llvm::Error weir::writeFile(
    llvm::StringRef path,
    llvm::function_ref<llvm::Error(llvm::StringRef temporary)> write) {
  if (llvm::Error error = checkReplaceable(path))
    return error;
  llvm::SmallString<128> target = followLinks(path), temporary;
  if (std::error_code code =
          fs::createUniqueFile(target + ".%%%%%%.tmp", temporary))
    return cannotWrite(path, code.message());
  llvm::sys::RemoveFileOnSignal(temporary);
  auto forget = llvm::make_scope_exit(
      [&] { llvm::sys::DontRemoveFileOnSignal(temporary); });
  if (llvm::Error error = write(temporary)) {
    fs::remove(temporary);
    return error;
  }
  if (std::error_code code = fs::rename(temporary, target)) {
    fs::remove(temporary);
    return cannotWrite(path, code.message());
  }
  return llvm::Error::success();
}

llvm::Error weir::writeText(llvm::StringRef path, llvm::StringRef text) {
  bool isStandard = path.empty() || path == "-";
  auto writeTo = [&](llvm::StringRef file) -> llvm::Error {
    std::error_code code;
    llvm::raw_fd_ostream os(file, code, fs::OF_Text);
    if (!code) {
      os << text;
      os.flush();
      code = os.error();
      // Reported here; the destructor would end the process.
      os.clear_error();
    }
    if (!code)
      return llvm::Error::success();
    if (isStandard)
      return llvm::createStringError("cannot write to standard output: " +
                                     code.message());
    return cannotWrite(path, code.message());
  };
  if (isStandard)
    return writeTo("-");
  return isSpecial(path) ? writeTo(path) : writeFile(path, writeTo);
}
