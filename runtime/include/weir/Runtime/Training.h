//===- weir/Runtime/Training.h - a training program -------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The training program from options to exit status, for every target: options,
// data, parameters in and out, progress, metrics, interrupts.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_TRAINING_H
#define WEIR_RUNTIME_TRAINING_H

#include "weir/Runtime/Job.h"
#include "weir/Runtime/Options.h"
#include "weir/Runtime/RunLoop.h"
#include "weir/Runtime/Status.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace weir::runtime {

/// What the program drives: the executor of a target.
class Trainer {
public:
  virtual ~Trainer() = default;

  /// Takes all that training needs.
  virtual Status prepare() = 0;
  /// Trains; see RunLoop.
  virtual Status run(const RunEvents &events) = 0;
  virtual bool hasHungRank() const = 0;
  /// Before the process ends in spite of a rank that hangs.
  virtual void leaveHungRanks() {}

  /// Whether this process, of those that train together, reports and writes.
  virtual bool writesFiles() const { return true; }
  /// The name of a file that each process writes for itself.
  virtual std::string ownFile(const std::string &path) const { return path; }

  /// Whether the steps train the model, so that losses and what is saved mean
  /// something. If not, they are not reported.
  virtual bool trains() const { return true; }

  /// After run(): the parameters, in the process that writes files; every
  /// process calls it. The bytes are borrowed.
  virtual Status collectParameters(std::vector<NamedTensor> &parameters) = 0;
  /// From onGradients on, in the process that writes files; borrowed.
  virtual std::vector<NamedTensor> gradients() const = 0;

  /// After run(), while all memory is in use, and then: planned against used
  /// memory on standard output.
  virtual void measureMemory() = 0;
  virtual void printMemory() const = 0;

  /// After run(), if the options ask for them: measurements, to standard output
  /// and to a file.
  virtual void printMeasurements() const {}
  virtual Status writeMeasurements() { return {}; }
};

struct TrainingTarget {
  TargetOptions options;
  /// After the options have been read and the table has been verified.
  std::function<Status()> checkProducts;
  std::function<std::unique_ptr<Trainer>(std::shared_ptr<Job>)> makeTrainer;
};

inline double mebibytes(int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

/// A training program; returns its exit status.
int trainingMain(int argc, char **argv, const weir_module &module,
                 const TrainingTarget &target);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_TRAINING_H
