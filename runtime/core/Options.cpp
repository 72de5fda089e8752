//===- Options.cpp - options of a training program ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

using namespace weir::runtime;

namespace {

struct Option {
  std::string_view name;  /* "--steps" */
  std::string_view value; /* "N"; empty for a flag */
  std::string_view help;
  /// Returns what the value must be, or nothing if it is that.
  std::function<std::string(Options &, std::string_view)> set;
};

template <typename Number>
std::function<std::string(Options &, std::string_view)>
number(Number Options::*field, Number least, Number most,
       std::string expected) {
  return [=](Options &options, std::string_view text) -> std::string {
    Number value;
    auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
    // Written so that a NaN is out of range.
    if (error != std::errc() || end != text.data() + text.size() ||
        !(value >= least && value <= most))
      return expected;
    options.*field = value;
    return "";
  };
}

std::function<std::string(Options &, std::string_view)>
file(std::string Options::*field) {
  return [=](Options &options, std::string_view text) -> std::string {
    if (text.empty())
      return "a file";
    options.*field = text;
    return "";
  };
}

std::function<std::string(Options &, std::string_view)>
flag(bool Options::*field) {
  return [=](Options &options, std::string_view) -> std::string {
    options.*field = true;
    return "";
  };
}

} // namespace

static const std::vector<Option> &optionTable() {
  static const std::vector<Option> table = {
      {"--steps", "N", "train for N steps (100)",
       number(&Options::steps, int64_t(1), int64_t(1) << 31,
              "a number of steps, at least 1")},
      {"--data", "FILE",
       "a text: bytes, or 16-bit tokens if *.bin; or images as in CIFAR-10",
       file(&Options::data)},
      {"--seed", "N", "seed of parameters and sampling (0)",
       number(&Options::seed, uint64_t(0), UINT64_MAX,
              "a natural number below 2^64")},
      {"--lr", "X", "learning rate (1e-3)",
       number(&Options::learningRate, 0.0, 1e6, "a number from 0 to 1e6")},
      {"--warmup-steps", "N", "reach the learning rate linearly in N steps (0)",
       number(&Options::warmupSteps, int64_t(0), int64_t(1) << 31,
              "a number of steps")},
      {"--threads", "N", "threads per rank in matrix products (1)",
       number(&Options::threads, int64_t(1), int64_t(4096),
              "a number from 1 to 4096")},
      {"--timeout", "SECONDS", "give up waiting for another rank (300)",
       number(&Options::timeout, 1e-3, 1e9, "a number of seconds above 0")},
      {"--load", "FILE", "start from these parameters (safetensors)",
       file(&Options::load)},
      {"--save", "FILE", "write the parameters at the end (safetensors)",
       file(&Options::save)},
      {"--save-gradients", "FILE",
       "write the gradients of step 1, summed over its labels (safetensors)",
       file(&Options::saveGradients)},
      {"--metrics", "FILE", "write a line of JSON per step",
       file(&Options::metrics)},
      {"--trace", "FILE", "write the last steps for Perfetto (JSON)",
       file(&Options::trace)},
      {"--poison", "", "fill fresh and freed memory with NaN",
       flag(&Options::poison)},
      {"--quiet", "", "print nothing but errors", flag(&Options::quiet)},
      {"--help", "", "print this", flag(&Options::help)},
  };
  return table;
}

static const Option *findOption(std::string_view name) {
  const std::vector<Option> &table = optionTable();
  auto found = std::find_if(table.begin(), table.end(),
                            [&](const Option &o) { return o.name == name; });
  return found == table.end() ? nullptr : &*found;
}

double Options::learningRateOf(int64_t step) const {
  if (step >= warmupSteps)
    return learningRate;
  return learningRate * static_cast<double>(step) /
         static_cast<double>(warmupSteps);
}

bool weir::runtime::isRuntimeOption(std::string_view argument) {
  return findOption(argument.substr(0, argument.find('='))) != nullptr;
}

std::string weir::runtime::runtimeOptionsHelp() {
  std::string help;
  for (const Option &option : optionTable()) {
    std::string line = "  " + std::string(option.name);
    if (!option.value.empty())
      line += "=" + std::string(option.value);
    line.resize(std::max<size_t>(line.size() + 2, 26), ' ');
    help += line + std::string(option.help) + '\n';
  }
  return help;
}

Status weir::runtime::parseOptions(int argc, const char *const *argv,
                                   Options &options) {
  std::set<std::string_view> given;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    size_t equals = argument.find('=');
    std::string_view name = argument.substr(0, equals);
    const Option *option = findOption(name);
    if (!option)
      return fail(argument.starts_with('-') ? "unknown option '"
                                            : "unexpected argument '",
                  argument, "'; --help lists the options");
    if (!given.insert(option->name).second)
      return fail("option ", name, " is given twice");
    bool hasValue = equals != argument.npos;
    if (hasValue && option->value.empty())
      return fail("option ", name, " takes no value");
    if (!hasValue && !option->value.empty())
      return fail("option ", name, " needs a value: ", name, "=",
                  option->value);
    std::string_view value = hasValue ? argument.substr(equals + 1) : "";
    std::string expected = option->set(options, value);
    if (!expected.empty())
      return fail("option ", name, ": '", value, "' is not ", expected);
  }
  return {};
}
