//===- Files.cpp - files in and out ---------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace weir::runtime;

OutputFile::~OutputFile() {
  if (descriptor < 0)
    return;
  close(descriptor);
  unlink(temporary.c_str());
}

Status OutputFile::failHere(const char *what) const {
  return fail("cannot ", what, " '", path, "': ", std::strerror(errno));
}

Status OutputFile::check(const std::string &path) {
  // The destructor takes the temporary file away again.
  OutputFile file;
  return file.open(path);
}

Status OutputFile::open(const std::string &target) {
  path = target;
  struct stat info;
  if (stat(path.c_str(), &info) == 0) {
    // Renaming over a device or a pipe would replace it.
    if (!S_ISREG(info.st_mode))
      return fail("cannot write '", path, "': not a regular file");
    if (access(path.c_str(), W_OK) != 0)
      return failHere("write");
  }
  temporary = path + ".part" + std::to_string(getpid());
  descriptor =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return descriptor < 0 ? failHere("write") : Status();
}

Status OutputFile::write(const void *bytes, size_t size) {
  const char *next = static_cast<const char *>(bytes);
  while (size > 0) {
    ssize_t written = ::write(descriptor, next, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return failHere("write");
    next += written;
    size -= written;
  }
  return {};
}

Status OutputFile::commit() {
  if (fsync(descriptor) != 0 && errno != EINVAL)
    return failHere("write");
  if (rename(temporary.c_str(), path.c_str()) != 0)
    return failHere("write");
  close(descriptor);
  descriptor = -1;
  return {};
}

InputFile::~InputFile() {
  if (address)
    munmap(address, length);
}

Status InputFile::open(const std::string &path, InputFile &file) {
  auto failHere = [&] {
    return fail("cannot read '", path, "': ", std::strerror(errno));
  };
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return failHere();
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    return fail("cannot read '", path, "': not a regular file");
  }
  InputFile opened;
  opened.length = info.st_size;
  if (opened.length > 0) {
    void *mapping =
        mmap(nullptr, opened.length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED) {
      Status status = failHere();
      close(descriptor);
      return status;
    }
    opened.address = static_cast<std::byte *>(mapping);
  }
  close(descriptor);
  file = std::move(opened);
  return {};
}
