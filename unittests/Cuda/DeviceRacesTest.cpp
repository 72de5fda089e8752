//===- DeviceRacesTest.cpp - devices find the races of plans --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ChainModel.h"
#include "DevicePasses.h"
#include "EmulatedControl.h"
#include "Executor.h"
#include "PlanRaces.h"
#include "TemporaryDirectory.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;
using namespace weir::runtime::cuda;

namespace {

class DeviceRacesTest : public ::testing::Test {
protected:
  static constexpr int64_t numDevices = 3;

  DeviceRacesTest()
      : builder(makeChain(numDevices, 2)), bytes(builder.build()) {
    Status status = Table::parse(bytes.data(), bytes.size(), table);
    EXPECT_FALSE(status.failed()) << status.message();
    directory.write("text", std::string(100, 'x'));
  }

  std::vector<StepPlan> plansOf(const StepPlanOptions &options) const {
    std::vector<StepPlan> plans;
    for (int64_t device = 0; device < numDevices; ++device)
      plans.push_back(StepPlan::make(table, device, options));
    return plans;
  }

  /// What the emulated device says of a step without one operation of a device.
  std::string runWithout(int64_t device, size_t operation) {
    DevicePasses passes(builder);
    weir_cuda_module module = passes.module(bytes);
    auto job = std::make_shared<Job>();
    EXPECT_FALSE(Table::parse(bytes.data(), bytes.size(), job->table).failed());
    // What goes wrong behind the end of a step is seen in the next one.
    job->options.steps = 3;
    job->options.timeout = 10;
    job->options.learningRate = 0;
    job->kernels = passes.passes;
    EXPECT_FALSE(
        Data::open(directory.file("text"), job->table, 0, job->data).failed());
    CudaOptions options;
    options.graphs = GraphChoice::None;
    options.environment = [](const char *) { return nullptr; };
    options.editPlan = [&](StepPlan &plan) {
      if (plan.device == device)
        plan = plan.without(operation);
    };
    Status status;
    {
      CudaExecutor executor(job, module, options);
      status = executor.prepare();
      if (!status.failed())
        status = executor.run({});
    }
    for (int i = 0; i < numDevices; ++i)
      weir_emulated_reset_device(i);
    (void)cudaGetLastError();
    return status.message();
  }

  TemporaryDirectory directory;
  TableBuilder builder;
  std::vector<std::byte> bytes;
  Table table;
};

bool isOfEvent(const PlanOperation &operation) {
  return operation.kind == PlanKind::Record || operation.kind == PlanKind::Wait;
}

} // namespace

// Without an event or a wait there is a race, or the rest orders everything
// still; the device finds a race in the same cases.
TEST_F(DeviceRacesTest, TheDeviceFindsTheSame) {
  const std::vector<StepPlan> plans = plansOf({});
  int numRaces = 0, numRedundant = 0;
  for (int64_t device = 0; device < numDevices; ++device)
    for (size_t i = 0; i < plans[device].operations.size(); ++i) {
      if (!isOfEvent(plans[device].operations[i]))
        continue;
      std::vector<StepPlan> changed = plans;
      changed[device] = plans[device].without(i);
      Status expected = checkRaces(table, changed);
      std::string found = runWithout(device, i);
      EXPECT_EQ(expected.failed(), !found.empty())
          << "without " << plans[device].describe(table, i) << " of device "
          << device << ": '" << expected.message() << "', but '" << found
          << "'";
      ++(expected.failed() ? numRaces : numRedundant);
    }
  EXPECT_EQ(numRaces, 32);
  EXPECT_GT(numRedundant, 0);
}

int main(int argc, char **argv) {
  // The device reads its settings once, before any test.
  setenv("WEIR_EMULATED_DEVICES", "3", 1);
  setenv("WEIR_EMULATED_CHECK", "races", 1);
  alarm(280);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
