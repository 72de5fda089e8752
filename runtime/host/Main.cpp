//===- Main.cpp - the training program of the host ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Arena.h"
#include "weir/Runtime/Executor.h"
#include "weir/Runtime/Product.h"
#include "weir/Runtime/Training.h"

#include <cstdio>

using namespace weir::runtime;

/// What training may take beyond the plan and the executor's own tables:
/// threads and their stacks, the code and packing buffers of oneDNN.
static constexpr int64_t overheadBytes = int64_t(16) << 20;
static constexpr int64_t overheadBytesPerThread = int64_t(8) << 20;

namespace {

class HostTrainer : public Trainer {
public:
  explicit HostTrainer(std::shared_ptr<Job> job)
      : job(job), residentBefore(residentBytes()), executor(job) {}

  Status prepare() override {
    Status status = executor.prepare();
    int64_t available = availableBytes();
    if (!status.failed() && !job->options.quiet && available > 0 &&
        executor.arenaBytes() > available)
      std::fprintf(stderr,
                   "warning: the plan needs %.0f MiB, and this machine has "
                   "%.0f MiB left\n",
                   mebibytes(executor.arenaBytes()), mebibytes(available));
    return status;
  }
  Status run(const RunEvents &events) override { return executor.run(events); }
  bool hasHungRank() const override { return executor.hasHungRank(); }
  Status collectParameters(std::vector<NamedTensor> &parameters) override {
    parameters = executor.parameters();
    return {};
  }
  std::vector<NamedTensor> gradients() const override {
    return executor.gradients();
  }
  void measureMemory() override { growth = residentBytes() - residentBefore; }
  void printMemory() const override;

private:
  const std::shared_ptr<Job> job;
  const int64_t residentBefore;
  int64_t growth = 0;
  Executor executor;
};

} // namespace

void HostTrainer::printMemory() const {
  for (int64_t device = 0; device < job->table.numDevices(); ++device) {
    const weir_device &record = job->table.devices()[device];
    std::printf("memory: device %lld plans %.2f MiB, of which activations %.2f "
                "MiB at their peak\n",
                static_cast<long long>(device), mebibytes(record.arena_bytes),
                mebibytes(record.peak_activation_bytes));
  }
  int64_t planned = executor.arenaBytes();
  int64_t threads = job->table.numDevices() * job->options.threads;
  int64_t allowed = planned + executor.ownBytes() + overheadBytes +
                    overheadBytesPerThread * threads;
  std::printf("memory: %.2f MiB planned in all, %.2f MiB more resident than "
              "before (at most %.2f MiB expected)\n",
              mebibytes(planned), mebibytes(growth), mebibytes(allowed));
  if (growth > allowed)
    std::printf("warning: more memory is in use than was planned\n");
}

extern "C" int weir_main(int argc, char **argv, const weir_module *module) {
  TrainingTarget target;
  target.checkProducts = [&]() -> Status {
    for (int64_t i = 0; i < module->num_products; ++i)
      if (Status status = checkProduct(*module->products[i]); status.failed())
        return fail("program: ", status.message());
    return {};
  };
  target.makeTrainer = [](std::shared_ptr<Job> job) {
    return std::make_unique<HostTrainer>(std::move(job));
  };
  return trainingMain(argc, argv, *module, target);
}
