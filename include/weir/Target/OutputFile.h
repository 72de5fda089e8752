//===- weir/Target/OutputFile.h - files that tools write --------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A file appears complete or not at all, and what lay at its path before stays
// until then. Every error is one line that names the path.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TARGET_OUTPUTFILE_H
#define WEIR_TARGET_OUTPUTFILE_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace weir {

/// Says what would keep a file from being written at `path`, before work is
/// done for it. Leaves nothing behind.
llvm::Error checkOutputPath(llvm::StringRef path);

/// Lets `write` make a file under a temporary name beside `path` and renames it
/// to `path`, or removes it on failure. Fails if something other than a regular
/// file is at `path`: renaming would replace a device or a pipe.
llvm::Error
writeFile(llvm::StringRef path,
          llvm::function_ref<llvm::Error(llvm::StringRef temporary)> write);

/// Writes `text` to a file; if `path` is empty or "-", to standard output. A
/// device or a pipe at `path` takes the text as it comes.
llvm::Error writeText(llvm::StringRef path, llvm::StringRef text);

} // namespace weir

#endif // WEIR_TARGET_OUTPUTFILE_H
