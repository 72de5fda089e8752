//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where to cut a row of operations into stages.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_CUTSEARCH_H
#define WEIR_ANALYSIS_CUTSEARCH_H

#include "weir/Analysis/RangeBytes.h"
#include "weir/Schedule/HeldMicrobatches.h"

#include "llvm/ADT/DenseMap.h"

#include <functional>
#include <optional>
#include <vector>

namespace weir {

/// What the operations 0 to n - 1 of a row cost: seconds and bytes.
struct RowCosts {
  explicit RowCosts(int64_t size)
      : secondsBefore(size + 1), forwardBefore(size + 1),
        weightBefore(size + 1), gradientsBefore(size + 1), received(size),
        kept(size), variables(size) {}

  int64_t size() const { return received.size(); }
  double seconds(int64_t begin, int64_t end) const {
    return secondsBefore[end] - secondsBefore[begin];
  }

  /// Seconds of a microbatch, forward and backward, of the operations [0, i).
  std::vector<double> secondsBefore;
  /// The part of these in the forward, and in what only variables wait for.
  std::vector<double> forwardBefore, weightBefore;
  /// Bytes of the gradients of the variables that [0, i) use, one per use.
  std::vector<int64_t> gradientsBefore;
  /// What a stage takes from those before it per microbatch.
  RangeBytes received;
  /// What a stage keeps for its backward per microbatch.
  RangeBytes kept;
  /// The variables that a stage uses, with their optimizer states.
  RangeBytes variables;
  /// Variables that are used more than once: stages of one device share them.
  struct SharedVariable {
    int64_t bytes;
    llvm::SmallVector<int64_t, 2> positions;
  };
  std::vector<SharedVariable> shared;
};

/// A stage must begin at `position`: stage `stage`, or any if that is negative.
struct StageMark {
  int64_t position;
  int64_t stage = -1;
};

struct CutProblem {
  const RowCosts &costs;
  /// The device of each stage.
  std::vector<int> deviceOfStage;
  /// For each device what it holds at most, see `countHeldMicrobatches`.
  std::vector<std::vector<schedule::HeldMicrobatches>> held;
  /// Bytes per device; 0: no limit.
  int64_t memoryLimit = 0;
  /// By ascending position, none of them 0.
  std::vector<StageMark> marks;
  /// Seconds of a step under a cut, as far as the schedule is known; empty: the
  /// slowest device tells.
  std::function<double(llvm::ArrayRef<int64_t> cuts)> predict;
  /// How often `predict` may be asked about moves of cuts.
  int64_t predictions = 0;

  int64_t numStages() const { return deviceOfStage.size(); }
  int64_t numDevices() const { return held.size(); }
};

/// What a device needs under a cut.
struct DeviceCost {
  double seconds = 0.0; ///< of one microbatch, forward and backward
  int64_t resident = 0; ///< bytes of variables, gradients, optimizer states
  int64_t kept = 0;     ///< bytes that microbatches keep at the peak
  int64_t bytes() const { return resident + kept; }
};
DeviceCost getDeviceCost(const CutProblem &problem,
                         llvm::ArrayRef<int64_t> cuts, int64_t device);

/// Bytes of a microbatch that go from device to device in the forward. A value
/// that several stages read counts once for each row of consecutive stages on
/// one device that reads it.
int64_t getSentBytes(const CutProblem &problem, llvm::ArrayRef<int64_t> cuts);

/// The cuts that were found: stage s is the operations [cuts[s], cuts[s + 1]),
/// none of them empty.
struct FoundCuts {
  llvm::SmallVector<int64_t> cuts;
  /// Seconds of the slowest device, and bytes sent, of the fastest cut that was
  /// found; `cuts` may have a slower one.
  double fastestSeconds = 0.0;
  int64_t fastestBytes = 0;
};

/// Looks for cuts that fit the memory limit, or exceed it least, and then
///   - have the fastest slowest device,
///   - send the fewest bytes where the slowest device takes at most a tenth
///   more,
///     and then have a small peak of memory and even stages,
/// and takes those for which `predict` tells the shortest steps. These are
/// then moved while that makes the step shorter by a thousandth or more, at
/// most `predictions` times tried. Of all whose steps are at most a hundredth
/// longer than the shortest it is the cut with the smallest peak of memory, and
/// then the one that sends least. Without `predict` it is the cut that sends
/// least.
///
/// The cuts are exact, by dynamic programming, where every device holds one
/// stage. Else no recurrence over positions sees a device as a whole, and cuts
/// are moved, one or two at a time, until no move helps.
///
/// Returns nullopt where there are fewer operations than stages, or no cut has
/// a stage begin at every mark.
std::optional<FoundCuts> searchCuts(const CutProblem &problem);

} // namespace weir

#endif // WEIR_ANALYSIS_CUTSEARCH_H
