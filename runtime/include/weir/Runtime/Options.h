//===- weir/Runtime/Options.h - options of a training program ---*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_OPTIONS_H
#define WEIR_RUNTIME_OPTIONS_H

#include "weir/Runtime/Status.h"

#include <charconv>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::runtime {

struct Options {
  int64_t steps = 100;
  int64_t warmupSteps = 0;
  int64_t threads = 1; /* per rank, in matrix products */
  uint64_t seed = 0;
  double learningRate = 1e-3;
  double timeout = 300; /* seconds */
  std::string data, load, save, saveGradients, metrics, trace;
  std::string measurements; /* of targets that measure */
  bool poison = false, quiet = false, help = false;

  /// The learning rate of a step, counted from 1: it grows linearly over the
  /// warm-up and is constant from its last step on.
  double learningRateOf(int64_t step) const;
};

struct Option {
  std::string_view name;  /* "--steps" */
  std::string_view value; /* "N"; empty for a flag */
  std::string_view help;
  /// Returns what the value must be, or nothing if it is that.
  std::function<std::string(Options &, std::string_view)> set;
};

/// What the options of a target are beside and without those of all.
struct TargetOptions {
  std::vector<Option> more;
  std::vector<std::string_view> without; /* names */
};

/// Reads the whole of a text as a number from `least` to `most`; false if it is
/// none.
template <typename Number>
bool readNumber(std::string_view text, Number least, Number most,
                Number &number) {
  Number value;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  // Written so that a NaN is out of range.
  if (error != std::errc() || end != text.data() + text.size() ||
      !(value >= least && value <= most))
    return false;
  number = value;
  return true;
}

/// Whether an argument is an option of the training program, by its name: for
/// tools that have options of their own beside these.
bool isRuntimeOption(std::string_view argument);

/// The options, one per line, for --help.
std::string runtimeOptionsHelp(const TargetOptions &target = {});

/// Strict: an unknown or repeated option, a missing or malformed value is a
/// failure. `argv[0]` is the program.
Status parseOptions(int argc, const char *const *argv, Options &options,
                    const TargetOptions &target = {});

} // namespace weir::runtime

#endif // WEIR_RUNTIME_OPTIONS_H
