//===- weir/Runtime/Trace.h - when each action ran --------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_TRACE_H
#define WEIR_RUNTIME_TRACE_H

#include "weir/Runtime/Status.h"
#include "weir/Runtime/Table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace weir::runtime {

/// The times of all actions of the last steps. All memory is taken at the
/// start, so that recording allocates nothing.
class Trace {
public:
  /// Keeps the last `keptSteps` steps.
  Trace(const Table &table, int64_t keptSteps);

  /// Nanoseconds of a clock that all ranks share.
  static int64_t now();

  /// Called by the rank's own thread.
  void record(int64_t device, int64_t step, int64_t action, int64_t begin,
              int64_t end) {
    Slot &slot = slots[device * keptSteps + step % keptSteps];
    slot.step = step;
    slot.events[action] = {begin, end};
  }

  /// Memory held, in bytes.
  int64_t bytes() const;

  /// Writes the Trace Event Format of Chrome and Perfetto: one thread per
  /// device, a slice per action, an arrow per transfer. Call it when the ranks
  /// have ended.
  Status write(const std::string &path, const Table &table) const;

private:
  struct Event {
    int64_t begin = 0, end = 0;
  };
  struct Slot {
    int64_t step = 0; /* 0: not used yet */
    std::vector<Event> events;
  };

  int64_t keptSteps;
  std::vector<Slot> slots; /* device by device */
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_TRACE_H
