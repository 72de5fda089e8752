//===- weir/Runtime/Metrics.h - what a step was like ------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_METRICS_H
#define WEIR_RUNTIME_METRICS_H

#include "weir/Runtime/Status.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace weir::runtime {

struct StepRecord {
  int64_t step;   /* from 1 */
  double lossSum; /* over the labels that are not ignored */
  double count;   /* of those labels */
  double seconds; /* since the end of the step before, on the loss device */
  double learningRate;
  double samples; /* that went in, ignored labels or not */
  const char *sampleName; /* "tokens" or "images" */

  double loss() const { return lossSum / count; }
  double samplesPerSecond() const { return samples / seconds; }
};

/// JSON lines, one per step: step, loss, count, tokens_per_second or
/// images_per_second, seconds, lr.
/// Each line is in the file when its step is over.
class MetricsFile {
public:
  MetricsFile() = default;
  MetricsFile(const MetricsFile &) = delete;
  MetricsFile &operator=(const MetricsFile &) = delete;
  ~MetricsFile();

  Status open(const std::string &path);
  bool isOpen() const { return descriptor >= 0; }
  Status write(const StepRecord &record);

private:
  std::string path;
  int descriptor = -1;
};

/// The progress of training, on stderr: one line that is overwritten on a
/// terminal; elsewhere a line about every second.
class Progress {
public:
  Progress(int64_t steps, bool quiet);

  void show(const StepRecord &record);
  /// Ends an overwritten line, so that other output can follow.
  void finish();

private:
  using Clock = std::chrono::steady_clock;

  const int64_t steps;
  const bool quiet;
  const bool isTerminal;
  bool lineIsOpen = false;
  Clock::time_point start, lastShown;
  /// Of the steps since the last line; steps may be reported late and together,
  /// so the time between lines would not do.
  double samplesSinceShown = 0, secondsSinceShown = 0;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_METRICS_H
