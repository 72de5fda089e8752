//===- Executor.h - trains on CUDA devices -----------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_EXECUTOR_H
#define WEIR_RUNTIME_CUDA_EXECUTOR_H

#include "CopyTransport.h"
#include "DeviceRank.h"
#include "Launch.h"
#include "Measurements.h"
#include "ProcessGroup.h"
#include "weir/Cuda.h"
#include "weir/Runtime/Training.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::runtime::cuda {

enum class TransportChoice { Auto, Nccl, Copies };

struct CudaOptions {
  GraphChoice graphs = GraphChoice::Auto;
  ProductPrecision products = ProductPrecision::F32;
  TransportChoice transport = TransportChoice::Auto;
  int64_t ranksInProcess = 0;    /* 0: as many as fit */
  int64_t transfersInFlight = 0; /* per rank; 0: as many as the device holds */
  std::string bootstrap = "auto";
  /// The rank to play without the others; -1: train them all.
  int64_t playedRank = -1;
  /// Whether to time passes; so it is where a rank is played.
  bool measures = false;
  /// Whether to time kernels, too.
  bool timesKernels = false;

  /// For tests: changes the plan of a rank before it is used, and takes the
  /// place of the environment.
  std::function<void(StepPlan &)> editPlan;
  Environment environment;
};

/// The options of a training program beside those of all targets, which it may
/// lack some of; they are set in `options`.
TargetOptions cudaTargetOptions(CudaOptions &options);

/// Trains the ranks of this process; see Trainer.
class CudaExecutor : public Trainer {
public:
  CudaExecutor(std::shared_ptr<Job> job, const weir_cuda_module &module,
               const CudaOptions &options);
  CudaExecutor(const CudaExecutor &) = delete;
  CudaExecutor &operator=(const CudaExecutor &) = delete;
  ~CudaExecutor() override;

  /// Finds the devices, meets the other processes, takes all memory.
  Status prepare() override;
  Status run(const RunEvents &events) override;
  bool trains() const override;
  bool hasHungRank() const override;
  void leaveHungRanks() override;
  bool writesFiles() const override { return group().isRoot(); }
  std::string ownFile(const std::string &path) const override;
  Status collectParameters(std::vector<NamedTensor> &parameters) override;
  std::vector<NamedTensor> gradients() const override;
  void measureMemory() override;
  void printMemory() const override;
  void printMeasurements() const override;
  Status writeMeasurements() override;

private:
  struct State;

  ProcessGroup &group() const;
  Status checkPlaying() const;
  Status meetOthers();
  Status chooseTransport(int numDevices);
  Status planTransfersInFlight(std::vector<int64_t> &limits);
  Status settleGraphs();
  Status settleKernelTiming();
  std::vector<int64_t> ranksHere() const;
  Status makeRanks(int numDevices);
  Status makeTransport(DeviceRank &rank);
  DeviceRank &rank(size_t i) const;
  RankMeasurement measurementOf(size_t i) const;

  /// Shared with the threads of the ranks.
  std::shared_ptr<State> state;
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_EXECUTOR_H
