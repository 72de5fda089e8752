//===- Options.cpp - options of a training program ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Options.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

using namespace weir::runtime;

namespace {

template <typename Number>
std::function<std::string(Options &, std::string_view)>
number(Number Options::*field, Number least, Number most,
       std::string expected) {
  return [=](Options &options, std::string_view text) -> std::string {
    return readNumber(text, least, most, options.*field) ? "" : expected;
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

/// All options of a target.
static std::vector<const Option *> optionsOf(const TargetOptions &target) {
  std::vector<const Option *> options;
  for (const Option &option : optionTable())
    if (std::ranges::count(target.without, option.name) == 0)
      options.push_back(&option);
  // Before --quiet and --help, which are of all.
  for (const Option &option : target.more)
    options.insert(options.end() - 2, &option);
  return options;
}

static const Option *findOption(std::string_view name,
                                const TargetOptions &target = {}) {
  for (const Option *option : optionsOf(target))
    if (option->name == name)
      return option;
  return nullptr;
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

std::string weir::runtime::runtimeOptionsHelp(const TargetOptions &target) {
  std::string help;
  for (const Option *option : optionsOf(target)) {
    std::string line = "  " + std::string(option->name);
    if (!option->value.empty())
      line += "=" + std::string(option->value);
    line.resize(std::max<size_t>(line.size() + 2, 26), ' ');
    help += line + std::string(option->help) + '\n';
  }
  return help;
}

Status weir::runtime::parseOptions(int argc, const char *const *argv,
                                   Options &options,
                                   const TargetOptions &target) {
  std::set<std::string_view> given;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    size_t equals = argument.find('=');
    std::string_view name = argument.substr(0, equals);
    const Option *option = findOption(name, target);
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
