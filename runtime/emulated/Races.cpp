//===- Races.cpp - operations without an order ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Races.h"

#include "Device.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unistd.h>
#include <utility>

using namespace weir::emulated;

void Clock::join(const Clock &other) {
  for (auto [line, time] : other.times) {
    uint64_t &known = times[line];
    known = std::max(known, time);
  }
}

uint64_t Clock::time(uint64_t line) const {
  auto found = times.find(line);
  return found == times.end() ? 0 : found->second;
}

std::vector<uint64_t> Clock::words() const {
  std::vector<uint64_t> words;
  for (auto [line, time] : times)
    words.insert(words.end(), {line, time});
  return words;
}

Clock Clock::fromWords(const std::vector<uint64_t> &words) {
  Clock clock;
  for (size_t i = 0; i + 1 < words.size(); i += 2)
    clock.times[words[i]] = words[i + 1];
  return clock;
}

void weir::emulated::mergeAccesses(std::vector<Access> &accesses) {
  auto begin = [](const Access &access) {
    return static_cast<const char *>(access.address);
  };
  std::sort(
      accesses.begin(), accesses.end(), [&](const Access &a, const Access &b) {
        return std::pair(a.write, begin(a)) < std::pair(b.write, begin(b));
      });
  std::vector<Access> merged;
  for (const Access &access : accesses) {
    if (merged.empty() || merged.back().write != access.write ||
        begin(access) > begin(merged.back()) + merged.back().bytes) {
      merged.push_back(access);
      continue;
    }
    size_t end = size_t(begin(access) - begin(merged.back())) + access.bytes;
    merged.back().bytes = std::max(merged.back().bytes, end);
  }
  accesses = std::move(merged);
}

uint64_t weir::emulated::newLine() {
  static std::atomic<uint64_t> lines{0};
  return (uint64_t(getpid()) << 32) + ++lines;
}

namespace {

/// One operation that touched a range.
struct Touch {
  uint64_t line, time;
  std::string name;
};

/// What last touched a range: the last write, and the reads since.
struct Touched {
  std::vector<Touch> writes, reads;
};

/// Disjoint ranges by their first byte, each with its end.
struct Range {
  uintptr_t end;
  Touched touched;
};
using Ranges = std::map<uintptr_t, Range>;

struct Memory {
  std::mutex mutex;
  Ranges ranges;
};

} // namespace

static Memory &memory() {
  static Memory &all = *new Memory;
  return all;
}

/// Makes `at` the border of a range if it is inside of one.
static void split(Ranges &ranges, uintptr_t at) {
  auto after = ranges.upper_bound(at);
  if (after == ranges.begin())
    return;
  auto &[begin, range] = *std::prev(after);
  if (begin == at || range.end <= at)
    return;
  ranges.emplace_hint(after, at, range);
  range.end = at;
}

/// Covers [begin, end) with ranges that do not reach beyond it, and calls
/// `visit` for each.
template <typename Visit>
static void forEachRange(Ranges &ranges, uintptr_t begin, uintptr_t end,
                         Visit visit) {
  split(ranges, begin);
  split(ranges, end);
  for (uintptr_t at = begin; at < end;) {
    auto next = ranges.lower_bound(at);
    if (next == ranges.end() || next->first != at) {
      uintptr_t to = next == ranges.end() ? end : std::min(end, next->first);
      next = ranges.emplace_hint(next, at, Range{to, {}});
    }
    visit(next->second.touched);
    at = next->second.end;
  }
}

void weir::emulated::checkAccesses(Line &line, const std::string &name,
                                   const std::vector<Access> &accesses) {
  std::string race;
  auto check = [&](const std::vector<Touch> &before, const char *did,
                   const Access &access) {
    for (const Touch &touch : before)
      if (touch.line != line.id && line.clock.time(touch.line) < touch.time)
        race = "race: " + name + (access.write ? " writes" : " reads") +
               " memory that " + touch.name + " " + did +
               ", and nothing orders the two";
  };
  Touch now = {line.id, line.clock.time(line.id), name};
  auto replace = [&](std::vector<Touch> &touches) {
    std::erase_if(touches, [&](const Touch &touch) {
      return touch.line == line.id || touch.time <= line.clock.time(touch.line);
    });
    touches.push_back(now);
  };
  {
    std::lock_guard lock(memory().mutex);
    for (const Access &access : accesses) {
      // Host memory has other users too, which are not seen here.
      if (!deviceOf(access.address, access.bytes))
        continue;
      auto begin = reinterpret_cast<uintptr_t>(access.address);
      forEachRange(memory().ranges, begin, begin + access.bytes,
                   [&](Touched &touched) {
                     check(touched.writes, "writes", access);
                     if (!access.write) {
                       replace(touched.reads);
                       return;
                     }
                     check(touched.reads, "reads", access);
                     touched.writes = {now};
                     touched.reads.clear();
                   });
    }
  }
  if (!race.empty())
    line.device.fail(cudaErrorIllegalAddress, race);
}

void weir::emulated::forgetAccesses(const void *address, size_t bytes) {
  if (!settings().checkRaces)
    return;
  auto begin = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(memory().mutex);
  Ranges &ranges = memory().ranges;
  split(ranges, begin);
  split(ranges, begin + bytes);
  ranges.erase(ranges.lower_bound(begin), ranges.lower_bound(begin + bytes));
}

namespace {

/// What calls that wait have told to any thread of the host.
struct ToldToAny {
  std::mutex mutex;
  Clock clock;
};

} // namespace

static ToldToAny &toldToAny() {
  static auto &told = *new ToldToAny;
  return told;
}

/// What the calling thread knows. A new one knows all, like the one that made
/// it.
static Clock &knownToThread() {
  static thread_local Clock clock = [] {
    std::lock_guard lock(toldToAny().mutex);
    return toldToAny().clock;
  }();
  return clock;
}

Clock weir::emulated::hostClock() {
  return settings().checkRaces ? knownToThread() : Clock();
}

void weir::emulated::actForHost(const Clock &clock) {
  if (settings().checkRaces)
    knownToThread() = clock;
}

void weir::emulated::tellHost(const Clock &clock) {
  if (!settings().checkRaces)
    return;
  knownToThread().join(clock);
  std::lock_guard lock(toldToAny().mutex);
  toldToAny().clock.join(clock);
}
