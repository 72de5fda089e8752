//===- Races.h - operations without an order --------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every stream, and every branch of a graph, is a line of operations with a
// vector clock; events, calls that wait, and transfers carry clocks between
// lines (Mattern, Virtual time and global states of distributed systems, 1989).
// Two operations that touch the same bytes, one of them writing, must be
// ordered by their clocks, however the run happened to order them.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_RACES_H
#define WEIR_RUNTIME_EMULATED_RACES_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir::emulated {

class Device;

/// How many operations of every line are known to have happened.
class Clock {
public:
  void join(const Clock &other);
  void tick(uint64_t line) { ++times[line]; }
  uint64_t time(uint64_t line) const;

  /// For transfers between processes: pairs of line and time.
  std::vector<uint64_t> words() const;
  static Clock fromWords(const std::vector<uint64_t> &words);

private:
  std::map<uint64_t, uint64_t> times;
};

/// Bytes that an operation reads or writes.
struct Access {
  const void *address;
  size_t bytes;
  bool write;
};

/// Sorts accesses and makes one of those that touch or follow each other.
void mergeAccesses(std::vector<Access> &accesses);

/// What runs operations one after the other.
struct Line {
  Device &device;
  uint64_t id;
  uint64_t operations = 0;
  Clock clock;
};

/// A number that no other line of any process has.
uint64_t newLine();

/// Checks accesses of an operation called `name` that happen now on `line`
/// against all before, those to memory of devices. Fails the device at the
/// first pair without an order.
void checkAccesses(Line &line, const std::string &name,
                   const std::vector<Access> &accesses);

/// Forgets what touched freed memory.
void forgetAccesses(const void *address, size_t bytes);

/// What calls that wait have told the calling thread of the host; and tell it.
/// That threads wait for each other is not seen.
Clock hostClock();
void tellHost(const Clock &clock);

/// Lets the calling thread, which works for another one, know what that one
/// knows and nothing else.
void actForHost(const Clock &clock);

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_RACES_H
