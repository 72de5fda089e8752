//===- DeviceRank.h - a rank on a CUDA device --------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_DEVICERANK_H
#define WEIR_RUNTIME_CUDA_DEVICERANK_H

#include "DeviceTrace.h"
#include "DeviceTransport.h"
#include "Graphs.h"
#include "Kernels.h"
#include "PassTimes.h"
#include "StepPlan.h"
#include "weir/Runtime/RunLoop.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

namespace weir::runtime::cuda {

/// What the ranks of a process share.
struct RankSetting {
  const weir_cuda_module &module;
  ProductPrecision products;
  GraphChoice graphs;
  Kernels kernels;
  Store *store = nullptr;
  /// Whether to time passes, and to see how far into its arena a rank writes.
  bool measures = false;
  /// Whether to time every kernel, too.
  bool timesKernels = false;
  /// Whether a rank runs without the others, to be measured.
  bool isPlayed = false;
};

/// A rank: the resources that a plan needs, and the steps of it. The host puts
/// a step on the streams, draws the data of the next one, and waits for the
/// end.
///
/// Inputs come by a staging block in page-locked memory, which the host fills
/// between two steps: by then no copy out of it is under way, and it has the
/// same address in every step, as a graph needs.
class DeviceRank : public Rank {
public:
  DeviceRank(int64_t device, int ordinal, RunLoop &loop, RankSetting &setting,
             StepPlan plan);

  /// Takes all memory, streams and events; on the caller's thread.
  Status prepare();

  Status initialise() override;
  bool runStep(int64_t step) override;
  void finish() override;
  StepLoss loss() const override;
  int64_t currentAction() const override;

  /// Copies `bytes` at `offset` of the arena to the host; after the last step,
  /// on the caller's thread.
  Status read(int64_t offset, std::vector<std::byte> &bytes);
  /// The end of the highest byte of the arena that is a resident's or that has
  /// been written; if the setting measures, without poison. Likewise.
  Status findHighestTouched(int64_t &end);
  const PassTimes &passTimes() const { return times; }
  /// Null if kernels are not timed. The copy is measured on the caller's thread.
  const LaunchTimes *launchTimes() const { return context.times; }
  Status measureCopy();
  /// Whether work is left on the device that does not end: its memory must be
  /// left alone.
  bool isHung() const { return hung; }

  const int ordinal;
  StepPlan plan;
  PlanResources resources;
  std::unique_ptr<DeviceTransport> transport;

private:
  using Clock = std::chrono::steady_clock;

  Status fillArena();
  void initialise(int64_t variable, std::span<std::byte> values) const;
  bool isTimed() const { return loop.job->trace || setting.measures; }
  Status endTimedStep(int64_t step);
  Status waitForStreams();
  void drawInputs(int64_t step);
  void beginStep(int64_t step);
  Status issueStep(int64_t step, GraphMode mode);
  Status issueAll(int64_t step, GraphMode mode, bool isTraced);
  Status issue(int64_t step, GraphMode mode, const PlanOperation &operation);
  Status run(int64_t step, GraphMode mode, const PlanOperation &operation);
  Status callPass(int64_t action);
  Status wait(const PlanOperation &operation);
  Status capturePasses();
  Status captureStep(int64_t step);
  Status copyGradientsFor(int64_t action);
  Status copyRemainingGradients();
  Status waitForEnd();
  Status lookAtTransfers();
  bool hasReached(int64_t event, int64_t mark) const;
  int64_t passBefore(int64_t action) const;
  bool failHere(const Status &status);

  RunLoop &loop;
  RankSetting &setting;
  DeviceMemory arena, one;
  PinnedMemory staging, marks;
  Event end;
  std::vector<std::byte> inputs; /* what the staging block gets next */
  Products products;
  PassContext context;
  GraphSchedule schedule;
  /// By RUN action.
  std::vector<std::vector<void *>> buffers;
  std::vector<GraphExec *> passGraphs;
  std::map<std::vector<int64_t>, GraphExec> distinctPassGraphs;
  GraphExec stepGraph;
  DeviceTrace trace;
  PassTimes times;
  LaunchTimes launches;
  bool hung = false;

  /// Up to which action the host has put the step on its streams.
  std::atomic<int64_t> issued = 0;
  /// Where a failure is; -1 if it is not known otherwise.
  std::atomic<int64_t> culprit = -1;
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_DEVICERANK_H
