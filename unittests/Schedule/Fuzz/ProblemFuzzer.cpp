// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "../ReaderProperties.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bool isRead = false;
  std::string violated = weir::schedule::test::violatedByProblem(
      std::string_view(reinterpret_cast<const char *>(data), size), isRead);
  if (violated.empty())
    return 0;
  std::fprintf(stderr, "%s\n", violated.c_str());
  std::abort();
}
