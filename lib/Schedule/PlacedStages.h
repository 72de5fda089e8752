// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stages of a device in the order of a placement, and its passes as a
// schedule's definition counts them.

#ifndef WEIR_LIB_SCHEDULE_PLACEDSTAGES_H
#define WEIR_LIB_SCHEDULE_PLACEDSTAGES_H

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {

/// Whether device k of the pipeline holds the stages k, p+k, 2p+k, ... for any
/// numbering of the devices; false and one line in `error` if not.
bool checkLoopPlacement(std::string_view name, const Problem &problem,
                        std::string *error);

/// Whether device k of the pipeline holds the stages k and 2p-1-k, for any
/// numbering of the devices; false and one line in `error` if not.
bool checkVPlacement(std::string_view name, const Problem &problem,
                     std::string *error);

/// Writes down what one device runs: each call adds the next microbatch of a
/// stage. Passes that the stage lacks, and microbatches beyond those that the
/// problem has, leave no trace. So a definition for many microbatches also
/// serves fewer: what is left out is in nobody's way.
class DeviceOrder {
public:
  DeviceOrder(const Problem &problem, std::vector<Pass> &order)
      : problem(problem), order(order), next(problem.numStages()) {}

  void forward(int stage) {
    add(PassKind::Forward, stage, next[stage].forward++);
  }
  void backwardInput(int stage) {
    add(PassKind::BackwardInput, stage, next[stage].backwardInput++);
  }
  void backwardWeight(int stage) {
    add(PassKind::BackwardWeight, stage, next[stage].backwardWeight++);
  }
  void backward(int stage) {
    ++next[stage].backwardInput;
    add(PassKind::Backward, stage, next[stage].backwardWeight++);
  }
  /// How many W's of the stage are due: their B's have run.
  int pendingWeights(int stage) const {
    return next[stage].backwardInput - next[stage].backwardWeight;
  }

private:
  struct Next {
    int forward = 0, backwardInput = 0, backwardWeight = 0;
  };
  void add(PassKind kind, int stage, int microbatch);

  const Problem &problem;
  std::vector<Pass> &order;
  std::vector<Next> next;
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_PLACEDSTAGES_H
