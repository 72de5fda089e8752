//===- Metrics.cpp - what a step was like ---------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Metrics.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace weir::runtime;

MetricsFile::~MetricsFile() {
  if (descriptor >= 0)
    close(descriptor);
}

Status MetricsFile::open(const std::string &target) {
  path = target;
  descriptor =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0)
    return fail("cannot write '", path, "': ", std::strerror(errno));
  return {};
}

Status MetricsFile::write(const StepRecord &record) {
  char line[256];
  int length = std::snprintf(
      line, sizeof(line),
      "{\"step\":%" PRId64 ",\"loss\":%.9g,\"count\":%.9g,"
      "\"%s_per_second\":%.6g,\"seconds\":%.6g,\"lr\":%.9g}\n",
      record.step, record.loss(), record.count, record.sampleName,
      record.samplesPerSecond(), record.seconds, record.learningRate);
  for (const char *next = line; length > 0;) {
    ssize_t written = ::write(descriptor, next, length);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail("cannot write '", path, "': ", std::strerror(errno));
    next += written;
    length -= static_cast<int>(written);
  }
  return {};
}

Progress::Progress(int64_t steps, bool quiet)
    : steps(steps), quiet(quiet), isTerminal(isatty(STDERR_FILENO)),
      start(Clock::now()), lastShown(start) {}

void Progress::show(const StepRecord &record) {
  if (quiet)
    return;
  samplesSinceShown += record.samples;
  secondsSinceShown += record.seconds;
  Clock::time_point now = Clock::now();
  auto seconds = [](Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
  };
  double sinceShown = seconds(now - lastShown);
  bool isEnd = record.step == 1 || record.step == steps;
  if (!isEnd && sinceShown < (isTerminal ? 0.1 : 1.0))
    return;

  int64_t left = static_cast<int64_t>(
      seconds(now - start) / static_cast<double>(record.step) *
          static_cast<double>(steps - record.step) +
      0.5);
  std::fprintf(stderr,
               "%sstep %" PRId64 "/%" PRId64 "  loss %.4f  %.0f %s/s  %" PRId64
               ":%02" PRId64 " left%s",
               isTerminal ? "\r" : "", record.step, steps, record.loss(),
               samplesSinceShown / secondsSinceShown, record.sampleName,
               left / 60, left % 60, isTerminal ? "\x1b[K" : "\n");
  lineIsOpen = isTerminal;
  lastShown = now;
  samplesSinceShown = secondsSinceShown = 0;
}

void Progress::finish() {
  if (lineIsOpen)
    std::fputc('\n', stderr);
  lineIsOpen = false;
}
