//===- ExecutorRacesTest.cpp - what the events of programs are for --------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../Runtime/TemporaryDirectory.h"
#include "CudaBigram.h"
#include "EmulatedControl.h"
#include "Executor.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <set>

using namespace weir::runtime;
using namespace weir::runtime::testing;
namespace cuda = weir::runtime::cuda;

namespace {

class ExecutorRaces : public ::testing::Test {
protected:
  ExecutorRaces() : text(writeText(directory.path(), 500)) {
    job.options.steps = 2;
    job.options.learningRate = 1;
    job.options.quiet = true;
    job.options.timeout = 20;
    options.environment = [](const char *) { return nullptr; };
  }

  /// Trains; returns the first race that was found, or "".
  std::string findRace(TableBuilder builder) {
    CudaBigram program(std::move(builder));
    const weir_module &module = program.getModule().module;
    auto copy = std::make_shared<Job>();
    copy->options = job.options;
    EXPECT_FALSE(
        Table::parse(module.table, module.table_bytes, copy->table).failed());
    copy->kernels = program.getPasses();
    EXPECT_FALSE(
        Data::open(text, copy->table, copy->options.seed, copy->data).failed());
    Status status;
    {
      cuda::CudaExecutor executor(copy, program.getModule(), options);
      status = executor.prepare();
      if (!status.failed())
        status = executor.run({});
    }
    std::string race;
    for (int device : {0, 1}) {
      std::string message = weir_emulated_message(device);
      if (race.empty())
        race = message;
      weir_emulated_reset_device(device);
    }
    (void)cudaGetLastError();
    // Nothing but a race may end the program.
    EXPECT_TRUE(!status.failed() || !race.empty()) << status.message();
    return race;
  }

  TemporaryDirectory directory;
  std::string text;
  Job job;
  cuda::CudaOptions options;
};

} // namespace

// Nothing that a program does is left to chance, in every graph mode and with
// both kinds of transfers.
TEST_F(ExecutorRaces, ProgramsHaveNone) {
  using Graph = cuda::GraphChoice;
  for (Graph graphs : {Graph::None, Graph::Pass, Graph::Step}) {
    options.graphs = graphs;
    options.transport = cuda::TransportChoice::Nccl;
    EXPECT_EQ(findRace(Bigram::onOneDevice()), "");
    EXPECT_EQ(findRace(Bigram::onTwoDevices()), "");
    if (graphs == Graph::Step)
      continue;
    options.transport = cuda::TransportChoice::Copies;
    EXPECT_EQ(findRace(Bigram::onTwoDevices()), "");
  }
}

// Without the record or the wait of an event there is a race, or else another
// path orders the same operations: then all of a run has none.
TEST_F(ExecutorRaces, EveryEventIsMissedOrImplied) {
  options.graphs = cuda::GraphChoice::None;
  // Device 0: the ends of sends, because a gradient comes back only after the
  // peer has received (1, 5, 9, 13); the starts of receives into buffers that
  // nothing has used before in the step (2, 6, 16). Device 1: the same (15; 0,
  // 2, 16).
  const std::set<int64_t> implied[] = {{1, 2, 5, 6, 9, 13, 16}, {0, 2, 15, 16}};
  for (int64_t device : {0, 1}) {
    cuda::StepPlan plan;
    options.editPlan = [&](cuda::StepPlan &made) {
      if (made.device == device)
        plan = made;
    };
    ASSERT_EQ(findRace(Bigram::onTwoDevices()), "");
    ASSERT_GT(plan.numEvents, 0);
    for (size_t i = 0; i < plan.operations.size(); ++i) {
      cuda::PlanKind kind = plan.operations[i].kind;
      if (kind != cuda::PlanKind::Record && kind != cuda::PlanKind::Wait)
        continue;
      options.editPlan = [&](cuda::StepPlan &made) {
        if (made.device == device)
          made = made.without(i);
      };
      std::string race = findRace(Bigram::onTwoDevices());
      EXPECT_EQ(race.empty(),
                implied[device].count(plan.operations[i].event) != 0)
          << "device " << device << ", event " << plan.operations[i].event
          << ": " << race;
    }
  }
}
