//===- RandomCases.cpp - cuts and schedules made at random ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RandomCases.h"

#include "weir/Schedule/NamedSchedules.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>
#include <set>

using namespace weir;
using namespace weir::test;

static int64_t below(std::mt19937_64 &random, int64_t bound) {
  return random() % bound;
}

CompilerOptions weir::test::makeReferenceCut(std::mt19937_64 &random) {
  CompilerOptions options;
  options.stages = 1;
  options.placement = "linear";
  options.optimizer = below(random, 3) == 0 ? "sgd" : "adamw";
  options.momentum = below(random, 2) == 0 ? 0.9 : 0.0;
  options.weightDecay = below(random, 2) == 0 ? 0.1 : 0.0;
  return options;
}

/// Stages on devices in any order; every device has at least one.
static std::string listDevices(std::mt19937_64 &random, int64_t stages,
                               int64_t devices) {
  std::vector<int64_t> placement;
  for (int64_t stage = 0; stage < stages; ++stage)
    placement.push_back(stage < devices ? stage : below(random, devices));
  std::shuffle(placement.begin(), placement.end(), random);
  std::string text;
  for (int64_t device : placement)
    text += (text.empty() ? "" : ",") + std::to_string(device);
  return text;
}

CompilerOptions weir::test::makeCut(std::mt19937_64 &random,
                                    llvm::ArrayRef<int64_t> ops,
                                    const CompilerOptions &reference) {
  CompilerOptions options = reference;
  int64_t numOps = ops.size();
  int64_t most = std::min<int64_t>(numOps, 12);
  options.devices = 1 + below(random, std::min<int64_t>(most, 6));
  int64_t chunks =
      1 + below(random, std::max<int64_t>(
                            1, std::min<int64_t>(4, most / options.devices)));
  options.stages = options.devices * chunks;
  switch (below(random, 4)) {
  case 0:
    options.placement = "linear";
    break;
  case 1:
    options.placement = "loop";
    break;
  case 2:
    options.placement = "v";
    // Forth and back: an even number of times.
    if (chunks % 2 == 1 && options.devices * (chunks + 1) <= most)
      options.stages = options.devices * (chunks + 1);
    else if (chunks % 2 == 1)
      options.placement = "loop";
    break;
  default:
    options.stages =
        options.devices + below(random, most - options.devices + 1);
    options.placement = listDevices(random, options.stages, options.devices);
  }
  if (below(random, 2) == 0 && options.stages > 1) {
    std::vector<int64_t> positions(ops.begin() + 1, ops.end());
    std::shuffle(positions.begin(), positions.end(), random);
    positions.resize(options.stages - 1);
    llvm::sort(positions);
    options.cuts = positions;
  }
  return options;
}

std::string weir::test::makeBlock(std::mt19937_64 &random,
                                  llvm::ArrayRef<int> placement) {
  int64_t stages = placement.size(),
          devices = 1 + *llvm::max_element(placement);
  // Each pass takes a slot; W's are put where there is room.
  std::vector<int64_t> forward, backward(stages);
  int64_t time = 0;
  auto advance = [&] { return time += 1 + (below(random, 4) == 0); };
  for (int64_t stage = 0; stage < stages; ++stage)
    forward.push_back(advance());
  for (int64_t stage = stages - 1; stage >= 0; --stage)
    backward[stage] = advance();
  auto isFree = [&](int64_t interval) {
    std::vector<std::set<int64_t>> slots(devices);
    for (int64_t stage = 0; stage < stages; ++stage)
      for (int64_t offset : {forward[stage], backward[stage]})
        if (!slots[placement[stage]].insert(offset % interval).second)
          return false;
    return true;
  };
  int64_t interval = 0;
  for (int64_t device = 0; device < devices; ++device)
    interval = std::max<int64_t>(interval, 3 * llvm::count(placement, device));
  interval += below(random, 3);
  while (!isFree(interval))
    ++interval;
  std::string list, rows;
  for (int64_t stage = 0; stage < stages; ++stage) {
    std::string comma = stage ? ", " : "";
    list += comma + std::to_string(placement[stage]);
    rows +=
        comma + llvm::formatv("{{\"forward\": {0}, \"backward_input\": {1}}",
                              forward[stage], backward[stage])
                    .str();
  }
  return llvm::formatv("{{\"devices\": {0}, \"interval\": {1}, "
                       "\"placement\": [{2}], \"stages\": [{3}]}\n",
                       devices, interval, list, rows)
      .str();
}

Mismatch weir::test::makeMismatch(std::mt19937_64 &random,
                                  const CompilerOptions &cut,
                                  llvm::ArrayRef<int> placement) {
  Mismatch result{cut, false};
  auto all = schedule::listNamed();
  const schedule::NamedSchedule &named = all[below(random, all.size())];
  result.options.schedule = std::string(named.name);
  result.options.microbatches = 1 + below(random, 4);
  bool anyChunks = named.placement != schedule::Placement::V;
  result.isMadeFor =
      named.name == "gpipe" ||
      (cut.stages % cut.devices == 0 &&
       placement.vec() ==
           schedule::makePlacement(named.placement, cut.stages, cut.devices) &&
       (anyChunks || cut.stages == 2 * cut.devices));
  return result;
}

CompilerOptions weir::test::makeWholeWay(std::mt19937_64 &random,
                                         const CompilerOptions &reference) {
  CompilerOptions options = reference;
  options.stages = 0;
  options.placement.clear();
  options.devices = 1 + below(random, 3);
  static constexpr const char *schedules[] = {
      "auto", "auto", "1f1b", "zb-h1", "interleaved-1f1b", "zb-v", "gpipe"};
  options.schedule = schedules[below(random, std::size(schedules))];
  options.microbatches = 1 + below(random, 4);
  options.timeBudget = 0.002;
  return options;
}

Case weir::test::makeCase(std::mt19937_64 &random, size_t index,
                          const CompilerOptions &cut,
                          llvm::StringRef blockSchedule) {
  Case result{index, cut, 0};
  CompilerOptions &options = result.options;
  std::vector<std::string> schedules = {"gpipe", "auto"};
  bool isV = options.placement == "v" && options.stages == 2 * options.devices;
  if (options.placement == "linear")
    schedules.insert(schedules.end(), {"1f1b", "zb-h1", "zb-h2"});
  else if (options.placement == "loop")
    schedules.insert(schedules.end(), {"interleaved-1f1b", "interleaved-zb",
                                       "gis", "gis:group=2", "gis:group=1"});
  else if (isV)
    schedules.insert(schedules.end(), {"zb-v", "v-min", "v-half", "v-zb",
                                       "1f1b-v", "dualpipe-v"});
  if (!blockSchedule.empty())
    schedules.push_back(blockSchedule.str());
  options.schedule = schedules[below(random, schedules.size())];
  static constexpr int64_t counts[] = {1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 11};
  options.microbatches = counts[below(random, std::size(counts))];
  if (options.schedule == "auto") {
    options.objective = below(random, 2) == 0 ? "makespan" : "span";
    options.timeBudget = below(random, 3) == 0 ? 0.0 : 0.002;
    options.searchSeed = 1 + below(random, 1000);
  }
  if (below(random, 5) == 0)
    result.limitPercent = 50 + below(random, 80);
  return result;
}

static std::string toText(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

std::string weir::test::toCutOptions(const CompilerOptions &options) {
  std::string text =
      llvm::formatv("--devices={0} --stages={1} --placement={2} "
                    "--optimizer={3} --weight-decay={4}",
                    options.devices, options.stages, options.placement,
                    options.optimizer, toText(options.weightDecay))
          .str();
  if (options.optimizer == "sgd")
    text += " --momentum=" + toText(options.momentum);
  for (auto [i, cut] : llvm::enumerate(options.cuts))
    text += (i ? "," : " --cuts=") + std::to_string(cut);
  return text;
}

std::string weir::test::toScheduleOptions(const CompilerOptions &options) {
  std::string text =
      llvm::formatv("--devices={0} --schedule={1} --microbatches={2}",
                    options.devices, options.schedule,
                    options.microbatches.value_or(1))
          .str();
  if (!options.placement.empty())
    text += " --placement=" + options.placement;
  if (options.schedule == "auto")
    text += " --objective=" + options.objective +
            " --time-budget=" + toText(options.timeBudget) +
            " --search-seed=" + std::to_string(options.searchSeed);
  if (options.memoryLimit)
    text += " --memory-limit=" + std::to_string(options.memoryLimit);
  return text;
}
