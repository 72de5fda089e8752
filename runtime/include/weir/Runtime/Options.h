//===- weir/Runtime/Options.h - options of a training program ---*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_OPTIONS_H
#define WEIR_RUNTIME_OPTIONS_H

#include "weir/Runtime/Status.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::runtime {

struct Options {
  int64_t steps = 100;
  int64_t warmupSteps = 0;
  int64_t threads = 1; /* per rank, in matrix products */
  uint64_t seed = 0;
  double learningRate = 1e-3;
  double timeout = 300; /* seconds */
  std::string data, load, save, saveGradients, metrics, trace;
  bool poison = false, quiet = false, help = false;

  /// The learning rate of a step, counted from 1: it grows linearly over the
  /// warm-up and is constant from its last step on.
  double learningRateOf(int64_t step) const;
};

/// Whether an argument is an option of the training program, by its name: for
/// tools that have options of their own beside these.
bool isRuntimeOption(std::string_view argument);

/// The options, one per line, for --help.
std::string runtimeOptionsHelp();

/// Strict: an unknown or repeated option, a missing or malformed value is a
/// failure. `argv[0]` is the program.
Status parseOptions(int argc, const char *const *argv, Options &options);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_OPTIONS_H
