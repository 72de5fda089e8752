// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What has to be scheduled: stages on devices, and what each pass costs.

#ifndef WEIR_SCHEDULE_PROBLEM_H
#define WEIR_SCHEDULE_PROBLEM_H

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::schedule {

/// Beyond these sizes `Problem::check` refuses, so that a slip of the keyboard
/// ends in a message and not in exhausted memory.
inline constexpr int kMaxDevices = 1 << 16;
inline constexpr int kMaxMicrobatchStages = 1 << 22;

/// The passes of a stage. F, R, B and W exist once per microbatch, U once per
/// step. A `Backward` is B and W of one microbatch fused into one pass. R
/// computes again what F did not keep for B and W.
enum class PassKind {
  Forward,
  BackwardInput,
  BackwardWeight,
  Backward,
  Update,
  Recompute
};
inline constexpr int kNumPassKinds = 6;

/// "F", "B", "W", "BW", "U", "R".
std::string_view shortName(PassKind kind);
/// "forward", "backward_input", "backward_weight", "backward", "update",
/// "recompute".
std::string_view longName(PassKind kind);

/// Costs of one stage for one microbatch, and of its update once per step.
/// Durations are in seconds, memory in bytes.
///
/// What a microbatch keeps on the device of its stage, pass by pass:
///
///            F            B                         W
///   take     activation   takenByBackwardInput      -
///   give     -            releasedByBackwardInput   the rest
///
/// and where the stage recomputes
///
///            F                  R                       B, W
///   take     keptForRecompute   the rest of activation  as above
///   give     -                  -                       as above
///
/// Memory is taken when a pass starts and given back when it ends. The last of
/// F, B, W that the stage has gives back everything that is left, so a stage
/// without B and W keeps nothing after its F. A fused backward takes what B
/// takes and gives back everything.
struct Stage {
  double forward = 0;
  double backwardInput = 0;
  double backwardWeight = 0;
  /// Duration of a fused B+W; the sum of the two when not given.
  std::optional<double> backward = std::nullopt;
  double update = 0;

  /// Duration of R. Where it is given, the stage has one R per microbatch,
  /// between its F and its first backward pass.
  std::optional<double> recompute = std::nullopt;
  /// The part of `activationBytes` that F keeps where the stage recomputes.
  int64_t keptForRecompute = 0;

  /// G, once per step: the exchange of gradients with the replicas of the
  /// stage, from the end of its last backward pass. It is no entry of a
  /// schedule, for it follows from the order: a device exchanges one stage
  /// after the other, in the order in which they end, beside its passes; only
  /// the stage's U waits for it. 0: none.
  double gradientReduction = 0;

  /// A stage that needs no gradient of its input, such as one that begins with
  /// an embedding, may have no B. One without trainable parameters has no W.
  bool hasBackwardInput = true;
  bool hasBackwardWeight = true;

  /// Taken when F starts: all that B or W read, the stage's input included.
  int64_t activationBytes = 0;
  /// The part of `activationBytes` that W does not need.
  int64_t releasedByBackwardInput = 0;
  /// Taken when B starts, for W; may exceed what B gives back.
  int64_t takenByBackwardInput = 0;
  /// Held only while a pass runs, indexed by PassKind.
  std::array<int64_t, kNumPassKinds> workspaceBytes{};

  /// What F sends to the next stage, and B to the previous one. Counts only
  /// between different devices, where it also takes a buffer of that size: at
  /// the sender from the start of the pass to the end of the transfer, at the
  /// receiver from the start of the transfer to the start of the pass that
  /// reads it (from there on it is part of what that pass takes).
  int64_t forwardTransferBytes = 0;
  int64_t backwardTransferBytes = 0;

  int64_t workspace(PassKind kind) const {
    return workspaceBytes[static_cast<size_t>(kind)];
  }
  /// Seconds of one pass. A pass that the stage lacks takes none.
  double duration(PassKind kind) const;
  /// Activation bytes taken at the start and given back at the end of one pass
  /// that the stage has.
  int64_t taken(PassKind kind) const;
  int64_t released(PassKind kind) const;
  bool hasBackward() const { return hasBackwardInput || hasBackwardWeight; }

  bool operator==(const Stage &) const = default;
};

/// One direction between two devices: a queue that moves one transfer after the
/// other, in the order in which they were produced. A transfer occupies it for
/// bytes / bandwidth and arrives `latency` later.
struct Link {
  double latency = 0;                                         // seconds
  double bandwidth = std::numeric_limits<double>::infinity(); // bytes/second

  bool operator==(const Link &) const = default;
};

/// Stages 0, 1, ... in the order of the forward pass. Data dependences:
///   F(s,m) needs F(s-1,m)
///   B(s,m) needs F(s,m) and B(s+1,m)
///   W(s,m) needs B(s,m), or what B would need where the stage has no B
/// and a fused backward stands for its B and its W.
struct Problem {
  int numDevices = 1;
  int numMicrobatches = 1;
  std::vector<Stage> stages;
  /// The device of each stage.
  std::vector<int> placement;

  /// The link between two devices where `links` has no (from, to).
  Link defaultLink;
  std::map<std::pair<int, int>, Link> links;

  /// Parameters, gradients, optimizer state of each device; empty: none.
  std::vector<int64_t> fixedBytes;
  /// Limit on all bytes of each device, fixed ones included; empty: none.
  std::vector<int64_t> memoryLimits;

  int numStages() const { return static_cast<int>(stages.size()); }
  const Link &link(int from, int to) const;
  int64_t fixed(int device) const;
  /// The memory limit of a device; nullopt: none.
  std::optional<int64_t> limit(int device) const;
  /// Sets one memory limit for all `numDevices` devices.
  void limitMemory(int64_t bytes);
  /// The stages of each device, ascending.
  std::vector<std::vector<int>> stagesOfDevices() const;

  /// One line that says what is wrong with the problem, or nullopt. All other
  /// functions of the library require a problem that passes.
  std::optional<std::string> check() const;

  bool operator==(const Problem &) const = default;
};

/// How stages are laid over devices.
///   Linear: 0 0 1 1 2 2 3 3   runs of consecutive stages
///   Loop:   0 1 2 3 0 1 2 3   round robin
///   V:      0 1 2 3 3 2 1 0   forth and back; further chunks repeat the zigzag
enum class Placement { Linear, Loop, V };

std::vector<int> linearPlacement(int numStages, int numDevices);
std::vector<int> loopPlacement(int numStages, int numDevices);
std::vector<int> vPlacement(int numStages, int numDevices);
std::vector<int> makePlacement(Placement placement, int numStages,
                               int numDevices);
/// "linear", "loop", "v"; nullopt for anything else.
std::optional<Placement> parsePlacement(std::string_view name);
std::string_view placementName(Placement placement);

/// A problem in abstract units, as schedules are compared in the literature: F,
/// B and W take 1, fused B+W takes 2, a stage keeps `activation` bytes per
/// microbatch from F to the end of W, transfers are free.
Problem unitProblem(int numDevices, int numMicrobatches,
                    std::vector<int> placement, int64_t activation = 1);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_PROBLEM_H
