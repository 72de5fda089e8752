// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "IRMutation.h"
#include "IRProperty.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace weir::test;

/// The allocator of LLVM that is shared with libraries without sanitizers would
/// hand out memory that only code with them knows to be in use.
extern "C" const char *__asan_default_options() {
  return "allow_user_poisoning=0";
}

static size_t write(const std::string &text, uint8_t *data, size_t maxSize) {
  // What does not fit is cut off, which is another kind of text to read.
  size_t size = text.size() < maxSize ? text.size() : maxSize;
  std::memcpy(data, text.data(), size);
  return size;
}

static std::string_view view(const uint8_t *data, size_t size) {
  return {reinterpret_cast<const char *>(data), size};
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
                                          size_t maxSize, unsigned seed) {
  Random random(seed);
  return write(mutate(view(data, size), random), data, maxSize);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t sizeOfA,
                                            const uint8_t *b, size_t sizeOfB,
                                            uint8_t *out, size_t maxSize,
                                            unsigned seed) {
  Random random(seed);
  return write(splice(view(a, sizeOfA), view(b, sizeOfB), random), out,
               maxSize);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Progress progress = Progress::Refused;
  std::string violated = violatedByModule(view(data, size), progress);
  if (violated.empty())
    return 0;
  std::fprintf(stderr, "%s\n", violated.c_str());
  std::abort();
}
