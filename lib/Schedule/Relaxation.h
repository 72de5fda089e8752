// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What every schedule of a placement has to wait for, whatever its order.

#ifndef WEIR_LIB_SCHEDULE_RELAXATION_H
#define WEIR_LIB_SCHEDULE_RELAXATION_H

#include "MemoryWindows.h"

namespace weir::schedule {

/// A pass as one machine sees it.
struct Job {
  double head;     // earliest start
  double duration; // on the machine
  double tail;     // least time from its end to the end of everything
};

/// Jackson's rule: of the passes that may run, run the one with the longest
/// tail, and interrupt it for a longer one. Optimal with preemption, so a bound
/// without.
double oneMachineBound(std::vector<Job> jobs);

/// The relaxed problem. Devices are not limited here; only the passes of one
/// kind of one stage follow each other, in the order of microbatches, and F's
/// wait for memory.
class Relaxation {
public:
  explicit Relaxation(const Problem &problem);

  /// Earliest starts, counted from the start of F(firstStage, 0). Stages below
  /// are left out, and what they send is taken to be there.
  void computeHeads(int firstStage);

  /// Least times from the end of each pass to the end of everything, or with
  /// `device` >= 0 to the end of that device's passes (kNever: none follow).
  /// Stages below `firstStage` are left out.
  void computeTails(int firstStage, int device);

  bool hasBackward(int s) const { return problem.stages[s].hasBackward(); }
  const std::vector<RelaxedStage> &allStages() const { return stages; }
  const RelaxedStage &stage(int s) const { return stages[s]; }
  double headOfF(int s, int m) const { return headF[at(s, m)]; }
  double headOfG(int s, int m) const { return headG[at(s, m)]; }
  double tailOfF(int s, int m) const { return tailF[at(s, m)]; }
  double tailOfR(int s, int m) const { return tailR[at(s, m)]; }
  double tailOfG(int s, int m) const { return tailG[at(s, m)]; }
  double tailOfW(int s, int m) const { return tailW[at(s, m)]; }

  /// Between F's, and between G's, of `s` and the stage that reads them.
  double secondsToNext(int s) const { return activationSeconds[s]; }
  double secondsToPrevious(int s) const { return gradientSeconds[s]; }
  /// Under a memory limit F(t, i + gap) starts `seconds[i]` after G(stage, i)
  /// at least.
  struct Wait {
    int stage; // of the same device
    int gap;
    std::vector<double> seconds;
  };
  const std::vector<Wait> &waitsOfF(int t) const { return waits[t]; }
  /// And F(s, i) waits for the end of W(s, i - room); the number of
  /// microbatches where it does not.
  int roomOfWeights(int s) const { return weightRoom[s]; }

  void addJobs(int s, std::vector<Job> &jobs) const;

  /// The transfers of every link that has a finite bandwidth.
  std::map<std::pair<int, int>, std::vector<Job>> linkJobs() const;

private:
  void computeWaits();

  size_t at(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * problem.numMicrobatches + microbatch;
  }
  double ends(int stage, int device) const {
    constexpr double kNever = -std::numeric_limits<double>::infinity();
    return device < 0 || problem.placement[stage] == device ? 0 : kNever;
  }
  double transfer(int fromStage, int toStage, int64_t bytes) const;

  const Problem &problem;
  std::vector<RelaxedStage> stages;
  std::vector<double> activationSeconds; // from each stage to the next
  std::vector<double> gradientSeconds;   // from each stage to the previous
  std::vector<std::vector<Wait>> waits;
  /// For each stage the stages whose F's wait for it, with the wait's index.
  std::vector<std::vector<std::pair<int, size_t>>> waiting;
  std::vector<int> weightRoom;
  std::vector<double> headF, headR, headG, headW, tailF, tailR, tailG, tailW;
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_RELAXATION_H
