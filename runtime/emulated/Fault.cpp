//===- Fault.cpp - faults on request --------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Fault.h"

#include "EmulatedControl.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

using namespace weir::emulated;

namespace {

struct Fault {
  std::string kind;
  int rank;
  int64_t occasion;
};

struct Faults {
  std::mutex mutex;
  std::vector<Fault> faults;
  /// By kind and rank.
  std::map<std::pair<std::string, int>, int64_t> occasions;
};

} // namespace

static const char *const kinds[] = {"memory",      "library", "launch",
                                    "kernel",      "hang",    "late-event",
                                    "async-error", "exit"};

static Faults &faults() {
  static Faults &all = *[] {
    auto *all = new Faults;
    return all;
  }();
  return all;
}

static bool parseNumber(std::string_view text, int64_t &number) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

static bool parseFault(std::string_view text, Fault &fault) {
  size_t first = text.find(':');
  size_t second = text.find(':', first + 1);
  if (first == text.npos || second == text.npos)
    return false;
  int64_t rank;
  if (!parseNumber(text.substr(first + 1, second - first - 1), rank) ||
      !parseNumber(text.substr(second + 1), fault.occasion))
    return false;
  fault.kind = text.substr(0, first);
  fault.rank = int(rank);
  for (const char *kind : kinds)
    if (fault.kind == kind)
      return rank >= 0 && fault.occasion >= 1;
  return false;
}

bool weir::emulated::setFaults(std::string_view list) {
  std::vector<Fault> parsed;
  while (!list.empty()) {
    size_t comma = list.find(',');
    if (!parseFault(list.substr(0, comma), parsed.emplace_back()))
      return false;
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  std::lock_guard lock(faults().mutex);
  faults().faults = std::move(parsed);
  faults().occasions.clear();
  return true;
}

extern "C" int weir_emulated_set_faults(const char *list) {
  return setFaults(list) ? 1 : 0;
}

static void readEnvironment() {
  const char *list = getenv("WEIR_EMULATED_FAULT");
  if (!list || setFaults(list))
    return;
  fprintf(stderr, "error: WEIR_EMULATED_FAULT=%s is no list of faults\n", list);
  exit(1);
}

/// The rank of this process, or -1 without a launcher.
static int processRank() {
  for (const char *name : {"WEIR_EMULATED_RANK", "OMPI_COMM_WORLD_RANK",
                           "PMI_RANK", "PMIX_RANK", "SLURM_PROCID", "RANK"})
    if (const char *rank = getenv(name))
      return atoi(rank);
  return -1;
}

bool weir::emulated::faultNow(std::string_view kind, int device) {
  static std::once_flag once;
  std::call_once(once, readEnvironment);
  static const int rankOfProcess = processRank();
  int rank = rankOfProcess >= 0 ? rankOfProcess : device;

  std::lock_guard lock(faults().mutex);
  if (faults().faults.empty())
    return false;
  int64_t occasion = ++faults().occasions[{std::string(kind), rank}];
  for (const Fault &fault : faults().faults)
    if (fault.kind == kind && fault.rank == rank && fault.occasion == occasion)
      return true;
  return false;
}
