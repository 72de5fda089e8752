//===- Graphs.h - passes and steps as CUDA graphs ----------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_GRAPHS_H
#define WEIR_RUNTIME_CUDA_GRAPHS_H

#include "Device.h"
#include "Store.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace weir::runtime::cuda {

/// What a rank launches in a step: every operation; a graph per distinct pass;
/// one graph for all of the step.
enum class GraphMode { None, Pass, Step };

/// As --graph says; Auto measures Pass and Step and takes the faster.
enum class GraphChoice { None, Pass, Step, Auto };

/// Captures what `enqueue` puts on a stream, and on others that are joined with
/// it, as a graph that can be launched. `what` is for errors.
Status capture(cudaStream_t stream, const std::function<Status()> &enqueue,
               const std::string &what, GraphExec &graph);

/// Which mode each step of a rank takes, and why.
///
/// Step 1 always puts every operation on its stream: it loads code and sees
/// errors where they are. With Auto, steps 2 to 4 take Pass and 5 to 7 take
/// Step; the ranks then tell each other their best times, and all take what is
/// faster for the slowest of them. Ranks could choose apart, for a graph is a
/// rank's own, but a step takes as long as its slowest rank; and the choice
/// does not change any result.
class GraphSchedule {
public:
  GraphSchedule(GraphChoice choice, int64_t device, int64_t numDevices)
      : choice(choice), device(device), numDevices(numDevices) {}

  /// The mode of a step; after note() of the one before.
  GraphMode modeOf(int64_t step) const;
  /// Tells how long a step took, in seconds, without any capture. Step 7
  /// settles the choice through the store.
  Status note(int64_t step, double seconds, Store &store, double timeout,
              const std::function<bool()> &isNeeded);

private:
  Status settle(Store &store, double timeout,
                const std::function<bool()> &isNeeded);

  GraphChoice choice;
  int64_t device, numDevices;
  double best[2] = {0, 0}; /* Pass, Step; 0: not measured */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_GRAPHS_H
