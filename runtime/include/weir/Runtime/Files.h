//===- weir/Runtime/Files.h - files in and out ------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_FILES_H
#define WEIR_RUNTIME_FILES_H

#include "weir/Runtime/Status.h"

#include <cstddef>
#include <string>

namespace weir::runtime {

/// A file that appears under its name once it is complete: written beside it,
/// then renamed. A file that is not committed leaves nothing behind.
class OutputFile {
public:
  OutputFile() = default;
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile();

  /// Finds out, before hours of training, whether `path` could be written.
  static Status check(const std::string &path);

  Status open(const std::string &path);
  Status write(const void *bytes, size_t size);

  /// Makes the file durable and gives it its name.
  Status commit();

private:
  Status failHere(const char *what) const;

  std::string path, temporary;
  int descriptor = -1;
};

/// A file mapped for reading. Moves, does not copy.
class InputFile {
public:
  InputFile() = default;
  InputFile(InputFile &&other) noexcept { *this = std::move(other); }
  InputFile &operator=(InputFile &&other) noexcept {
    std::swap(address, other.address);
    std::swap(length, other.length);
    return *this;
  }
  ~InputFile();

  static Status open(const std::string &path, InputFile &file);

  const std::byte *data() const { return address; }
  size_t size() const { return length; }

private:
  std::byte *address = nullptr;
  size_t length = 0;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_FILES_H
