//===- ProcessGroup.h - the processes of a training --------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_PROCESSGROUP_H
#define WEIR_RUNTIME_CUDA_PROCESSGROUP_H

#include "Store.h"
#include "weir/Runtime/RunLoop.h"

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace weir::runtime::cuda {

/// Who trains: ranks are dealt to processes in order, the same number to each.
struct Placement {
  int64_t process = 0, numProcesses = 1;
  int64_t ranksPerProcess = 1;

  int64_t processOf(int64_t rank) const { return rank / ranksPerProcess; }
  bool isHere(int64_t rank) const { return processOf(rank) == process; }
};

/// Deals `numRanks` ranks; `ranksPerProcess` 0 takes what fits.
Status place(int64_t numRanks, const Launch &launch, int64_t ranksPerProcess,
             Placement &placement);

/// The processes of a run loop, by a store. Files are written by the process of
/// the loss device, the root.
class ProcessGroup : public Processes {
public:
  ProcessGroup(const Table &table, const Placement &placement, Store &store,
               double timeout);

  std::string announceFailure(const std::string &message) override;
  std::optional<std::string> failure() override;
  bool isStopRequested(bool here) override;
  std::optional<int64_t> lastStep(int64_t highestHere) override;
  Status gatherGradients(GradientMap &copies, StepLoss &loss,
                         bool &isHere) override;

  bool isRoot() const { return placement.process == root; }
  /// Brings the values of all variables to the root: of those that `values`
  /// lacks, from the process that has the first copy of the table.
  Status gatherParameters(std::vector<std::vector<std::byte>> &values);
  /// Process 0 waits until the others need it no more, at most so many seconds.
  void leave(double patience);

private:
  bool isTime();
  Status fetch(const std::string &name, int64_t rank, int64_t bytes,
               std::vector<std::byte> &value);

  const Table &table;
  const Placement placement;
  Store &store;
  const double timeout;
  const int64_t root;

  std::chrono::steady_clock::time_point lastLook;
  bool stop = false, hasStop = false, hasHighest = false;
  std::optional<int64_t> last;
  /// What has been fetched, for as long as it is borrowed.
  std::map<std::pair<int64_t, int64_t>, std::vector<std::byte>> gradients;
};

/// The first device of the table that holds a variable.
int64_t ownerOf(const Table &table, int64_t variable);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_PROCESSGROUP_H
