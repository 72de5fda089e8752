// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a schedule runs each pass, and what each pass waits for.

#ifndef WEIR_LIB_SCHEDULE_PASSPOSITIONS_H
#define WEIR_LIB_SCHEDULE_PASSPOSITIONS_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

struct Position {
  int device = -1;
  int index = -1; // in the order of that device
  explicit operator bool() const { return device >= 0; }
};

/// The passes whose ends a pass waits for: at most two, besides its predecessor
/// on the device.
struct Dependences {
  std::array<Pass, 2> items;
  int size = 0;
  void add(Pass pass) { items[size++] = pass; }
  const Pass *begin() const { return items.data(); }
  const Pass *end() const { return items.data() + size; }
};

/// An index over a schedule whose passes are each there once.
class PassPositions {
public:
  /// Leaves `error` unset if every pass of the problem is there exactly once
  /// and on its device, and updates at most once.
  PassPositions(const Problem &problem, const Schedule &schedule,
                std::optional<std::string> &error);

  Position of(const Pass &pass) const { return positions[slot(pass)]; }
  bool isFused(int stage, int microbatch) const {
    return static_cast<bool>(of({PassKind::Backward, stage, microbatch}));
  }

  /// What `pass` waits for. Updates wait for nothing but the device (and the
  /// exchange of gradients, which follows from the order).
  Dependences dependences(const Pass &pass) const;

private:
  std::optional<std::string> insertAll(const Schedule &schedule);
  std::optional<std::string> findMissing() const;

  size_t slot(const Pass &pass) const {
    // Updates are stored behind the microbatches of their stage.
    int microbatch = pass.kind == PassKind::Update ? problem.numMicrobatches
                                                   : pass.microbatch;
    size_t row = pass.kind == PassKind::Update
                     ? 0
                     : static_cast<size_t>(pass.kind) * problem.numStages();
    return (row + pass.stage) * (problem.numMicrobatches + 1) + microbatch;
  }
  /// The pass of `stage` that turns the gradient of its output into that of
  /// its input.
  Pass gradientPass(int stage, int microbatch) const;

  const Problem &problem;
  std::vector<Position> positions;
};

/// The checks of `verify`, for callers that need the index too: microbatches
/// and updates in order, and no deadlock.
std::optional<std::string> verifyMicrobatchOrder(const Problem &problem,
                                                 const Schedule &schedule);
std::optional<std::string> verifyProgress(const Problem &problem,
                                          const Schedule &schedule,
                                          const PassPositions &positions);

/// "F s3 mb 7 on device 1".
std::string atDevice(const Pass &pass, int device);

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_PASSPOSITIONS_H
