//===- Arena.cpp - the memory of one device -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Arena.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace weir::runtime;

Arena::~Arena() {
  if (base)
    munmap(base, size);
}

Status Arena::reserve(int64_t bytes) {
  if (bytes == 0)
    return {};
  void *address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    return fail("cannot reserve ", bytes, " bytes: ", std::strerror(errno));
  base = static_cast<std::byte *>(address);
  size = bytes;
  return {};
}

int64_t weir::runtime::residentBytes() {
  // proc(5): size, resident, shared, in pages.
  int64_t size = 0, resident = 0, shared = 0;
  std::FILE *file = std::fopen("/proc/self/statm", "r");
  if (!file)
    return 0;
  int fields = std::fscanf(file, "%" SCNd64 " %" SCNd64 " %" SCNd64, &size,
                           &resident, &shared);
  std::fclose(file);
  return fields == 3 ? (resident - shared) * sysconf(_SC_PAGESIZE) : 0;
}

int64_t weir::runtime::availableBytes() {
  std::FILE *file = std::fopen("/proc/meminfo", "r");
  if (!file)
    return 0;
  char line[256];
  int64_t kibibytes = 0;
  while (std::fgets(line, sizeof(line), file))
    if (std::sscanf(line, "MemAvailable: %" SCNd64, &kibibytes) == 1)
      break;
  std::fclose(file);
  return kibibytes * 1024;
}
