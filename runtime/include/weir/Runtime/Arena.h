//===- weir/Runtime/Arena.h - the memory of one device ----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_ARENA_H
#define WEIR_RUNTIME_ARENA_H

#include "weir/Runtime/Status.h"

#include <cstddef>
#include <cstdint>

namespace weir::runtime {

/// One block of zeroed memory, aligned to pages; pages become resident when
/// they are first touched.
class Arena {
public:
  Arena() = default;
  Arena(const Arena &) = delete;
  Arena &operator=(const Arena &) = delete;
  ~Arena();

  Status reserve(int64_t bytes);

  std::byte *at(int64_t offset) const { return base + offset; }
  int64_t bytes() const { return size; }

private:
  std::byte *base = nullptr;
  int64_t size = 0;
};

/// Bytes of memory of this process that are resident and not shared with a
/// file: what it has allocated and touched. 0 if the system does not tell.
int64_t residentBytes();

/// Bytes that this machine could still give; 0 if it does not tell.
int64_t availableBytes();

} // namespace weir::runtime

#endif // WEIR_RUNTIME_ARENA_H
