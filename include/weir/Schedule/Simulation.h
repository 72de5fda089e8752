// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// When each pass of a schedule starts and ends, and what memory it needs.

#ifndef WEIR_SCHEDULE_SIMULATION_H
#define WEIR_SCHEDULE_SIMULATION_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

struct TimedPass {
  Pass pass;
  double start = 0; // seconds
  double end = 0;
};

/// What `producer` sends from its device to another one.
struct TimedTransfer {
  Pass producer;
  int fromDevice = 0;
  int toDevice = 0;
  double start = 0;   // the link begins to move it
  double arrival = 0; // the receiver may use it
  int64_t bytes = 0;
};

/// The exchange of a stage's gradients with its replicas (G).
struct TimedReduction {
  int stage = 0;
  double start = 0; // seconds
  double end = 0;
};

/// From `time` on the device holds `bytes`.
struct MemorySample {
  double time = 0;
  int64_t bytes = 0;
};

struct Simulation {
  /// Per device, in the order of the schedule.
  std::vector<std::vector<TimedPass>> passes;
  std::vector<TimedTransfer> transfers;
  /// Per device, in order. Stages whose exchange takes no time have none.
  std::vector<std::vector<TimedReduction>> reductions;

  /// Per device, all bytes: fixed, activations, workspace, transfer buffers.
  std::vector<int64_t> peakBytes;
  /// Per device, what passes keep for later passes.
  std::vector<int64_t> peakActivationBytes;
  /// Per device, all bytes over time.
  std::vector<std::vector<MemorySample>> memory;

  /// Per device, the sum of the durations of its passes.
  std::vector<double> busy;
  /// First start to last end over all devices, exchanges of gradients included.
  double makespan = 0;
  /// The longest first-start-to-last-end of one device, its exchanges of
  /// gradients included.
  double span = 0;
  /// 1 - largest busy / makespan; 0 where the makespan is 0.
  double bubbleRatio = 0;

  int64_t largestPeakBytes() const;
  int64_t largestPeakActivationBytes() const;
};

/// Runs every device's passes in order, each as soon as the device is free and
/// its inputs have arrived; an update also waits for the exchange of its
/// stage's gradients. Transfers and exchanges never block their sender. Linear
/// in the number of passes (times the logarithm of a device's transfers).
///
/// Returns nullopt and sets `error` where the schedule is no schedule of the
/// problem (the memory limit apart), with the message of `verify`.
std::optional<Simulation> simulate(const Problem &problem,
                                   const Schedule &schedule,
                                   std::string *error = nullptr);

/// Makespans and spans of one order of passes whose durations vary. Seconds.
struct JitterResult {
  double mean = 0; // of the makespan
  double worst = 0;
  double meanSpan = 0;
  double worstSpan = 0;
};

/// Keeps the order and lets the duration of every pass, transfer (occupation of
/// the link and latency alike) and exchange of gradients vary by a factor of
/// its own, uniform in 1 +- percent / 100, `draws` times. The same seed gives
/// the same factors. Memory is not tracked.
///
/// Returns nullopt and sets `error` as `simulate` does. Requires percent in
/// [0, 100] and at least one draw.
std::optional<JitterResult> jitter(const Problem &problem,
                                   const Schedule &schedule, double percent,
                                   int draws, uint64_t seed,
                                   std::string *error = nullptr);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_SIMULATION_H
