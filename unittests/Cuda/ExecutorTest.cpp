//===- ExecutorTest.cpp - programs on emulated devices
//-----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"
#include "BigramModel.h"
#include "ChainModel.h"
#include "DevicePasses.h"
#include "EmulatedControl.h"
#include "TemporaryDirectory.h"
#include "weir/Runtime/Executor.h"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::testing;
namespace cuda = weir::runtime::cuda;

namespace {

using Bytes = std::vector<std::byte>;

/// All that a run leaves behind.
struct Outcome {
  std::string error;
  std::map<std::string, Bytes> parameters, gradients;
  std::vector<double> losses;
  double seconds = 0;
};

class CudaExecutorTest : public ::testing::Test {
protected:
  CudaExecutorTest() : text(writeText(directory.path(), 500)) {
    options.steps = 9;
    options.learningRate = 0.01;
    options.quiet = true;
    options.timeout = 20;
    options.saveGradients = directory.file("gradients");
    cudaOptions.environment = [](const char *) { return nullptr; };
  }
  ~CudaExecutorTest() override {
    Bigram::beforeForward[0] = Bigram::beforeForward[1] = nullptr;
    weir_emulated_set_faults("");
    for (int device = 0; device < 4; ++device)
      weir_emulated_reset_device(device);
    (void)cudaGetLastError();
  }

  std::shared_ptr<Job> makeJob(const Bytes &bytes,
                               std::vector<weir_kernel> kernels) {
    auto job = std::make_shared<Job>();
    Status status = Table::parse(bytes.data(), bytes.size(), job->table);
    EXPECT_FALSE(status.failed()) << status.message();
    job->options = options;
    job->kernels = std::move(kernels);
    status = Data::open(text, job->table, options.seed, job->data);
    EXPECT_FALSE(status.failed()) << status.message();
    return job;
  }

  static std::map<std::string, Bytes>
  copy(const std::vector<NamedTensor> &tensors) {
    std::map<std::string, Bytes> copies;
    for (const NamedTensor &tensor : tensors) {
      auto data = static_cast<const std::byte *>(tensor.data);
      copies[tensor.name] = Bytes(data, data + tensor.bytes);
    }
    return copies;
  }

  template <typename AnyExecutor>
  static RunEvents eventsOf(AnyExecutor &executor, Outcome &outcome) {
    RunEvents events;
    events.onStep = [&](const StepRecord &record) {
      outcome.losses.push_back(record.loss());
      return Status();
    };
    events.onGradients = [&] {
      outcome.gradients = copy(executor.gradients());
      return Status();
    };
    return events;
  }

  /// What the host's runtime makes of the same passes.
  Outcome runOnHost(TableBuilder builder) {
    Outcome outcome;
    Executor executor(makeJob(builder.build(), builder.kernels));
    EXPECT_FALSE(executor.prepare().failed());
    outcome.error = executor.run(eventsOf(executor, outcome)).message();
    outcome.parameters = copy(executor.parameters());
    return outcome;
  }

  Outcome run(TableBuilder builder) {
    Outcome outcome;
    Bytes table = builder.build();
    DevicePasses passes(builder);
    weir_cuda_module module = passes.module(table);
    cuda::CudaExecutor executor(makeJob(table, passes.passes), module,
                                cudaOptions);
    auto begin = std::chrono::steady_clock::now();
    Status status = executor.prepare();
    if (!status.failed())
      status = executor.run(eventsOf(executor, outcome));
    outcome.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count();
    outcome.error = status.message();
    if (status.failed())
      return outcome;
    std::vector<NamedTensor> parameters;
    status = executor.collectParameters(parameters);
    EXPECT_FALSE(status.failed()) << status.message();
    outcome.parameters = copy(parameters);
    return outcome;
  }

  static void expectEqual(const Outcome &outcome, const Outcome &expected) {
    ASSERT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.losses, expected.losses);
    EXPECT_EQ(outcome.parameters, expected.parameters);
    EXPECT_EQ(outcome.gradients, expected.gradients);
    EXPECT_FALSE(outcome.parameters.empty());
  }

  TemporaryDirectory directory;
  std::string text;
  Options options;
  cuda::CudaOptions cudaOptions;
};

} // namespace

// All ways to launch a step give the bits of the host, on one device and two.
TEST_F(CudaExecutorTest, EveryGraphModeGivesTheBitsOfTheHost) {
  options.learningRate = 2;
  Outcome expected = runOnHost(Bigram::onOneDevice());
  ASSERT_EQ(expected.losses.size(), 9u);
  for (cuda::GraphChoice choice :
       {cuda::GraphChoice::None, cuda::GraphChoice::Pass,
        cuda::GraphChoice::Step, cuda::GraphChoice::Auto}) {
    SCOPED_TRACE(int(choice));
    cudaOptions.graphs = choice;
    expectEqual(run(Bigram::onOneDevice()), expected);
    expectEqual(run(Bigram::onTwoDevices()), expected);
  }
}

TEST_F(CudaExecutorTest, FourDevicesGiveTheBitsOfTheHost) {
  Outcome expected = runOnHost(makeChain(4, 5));
  for (cuda::GraphChoice choice :
       {cuda::GraphChoice::None, cuda::GraphChoice::Step}) {
    SCOPED_TRACE(int(choice));
    cudaOptions.graphs = choice;
    expectEqual(run(makeChain(4, 5)), expected);
  }
}

// Ranks of one process may share devices.
TEST_F(CudaExecutorTest, RanksThatShareDevicesCopy) {
  Outcome expected = runOnHost(makeChain(6, 4));
  expectEqual(run(makeChain(6, 4)), expected);
  cudaOptions.transport = cuda::TransportChoice::Copies;
  expectEqual(run(Bigram::onTwoDevices()), runOnHost(Bigram::onTwoDevices()));
  cudaOptions.graphs = cuda::GraphChoice::Step;
  EXPECT_EQ(run(makeChain(6, 4)).error,
            "option --graph: 'step' is not possible: ranks of one device "
            "transfer by copies, which the graph of a rank's step cannot hold; "
            "take --graph=pass");
  cudaOptions.transport = cuda::TransportChoice::Nccl;
  EXPECT_EQ(run(makeChain(6, 4)).error,
            "NCCL needs a device for each rank: 6 ranks of this process share "
            "4 devices; --transfers=copies can share them");
}

// Poison and a limit of transfers change no result.
TEST_F(CudaExecutorTest, PoisonAndLimitsChangeNothing) {
  Outcome expected = runOnHost(makeChain(4, 4));
  options.poison = true;
  for (int64_t limit : {2, 3}) {
    cudaOptions.transfersInFlight = limit;
    expectEqual(run(makeChain(4, 4)), expected);
  }
}

// What is freed too early is NaN in poison mode.
TEST_F(CudaExecutorTest, PoisonShowsAWrongLiveRange) {
  options.poison = true;
  EXPECT_NE(run(Bigram::withWrongLiveRange()).error.find("the loss is nan"),
            std::string::npos);
}

TEST_F(CudaExecutorTest, TracesEveryAction) {
  TableBuilder builder = makeChain(3, 2);
  Bytes table = builder.build();
  DevicePasses passes(builder);
  weir_cuda_module module = passes.module(table);
  std::shared_ptr<Job> job = makeJob(table, passes.passes);
  job->trace = std::make_unique<Trace>(job->table, 2);
  cuda::CudaExecutor executor(job, module, cudaOptions);
  Status status = executor.prepare();
  ASSERT_FALSE(status.failed()) << status.message();
  status = executor.run({});
  ASSERT_FALSE(status.failed()) << status.message();
  ASSERT_FALSE(job->trace->write(directory.file("t"), job->table).failed());
  std::string trace = directory.read("t");
  for (const char *part :
       {R"("name":"F s1 mb 1")", R"("name":"send x mb 0 to device 1")",
        R"("name":"wait for recv dx mb 1 from device 2")",
        R"("name":"update w2")", R"("step":9)"})
    EXPECT_NE(trace.find(part), std::string::npos) << part;
}

//===----------------------------------------------------------------------===//
// Failures
//===----------------------------------------------------------------------===//

// A transfer that never happens ends all ranks; the error names rank, action
// and peer, in every mode.
TEST_F(CudaExecutorTest, HungTransfersEndAllRanks) {
  options.timeout = 0.6;
  for (cuda::GraphChoice choice :
       {cuda::GraphChoice::None, cuda::GraphChoice::Pass,
        cuda::GraphChoice::Step}) {
    SCOPED_TRACE(int(choice));
    cudaOptions.graphs = choice;
    // The first transfer of a queue connects it; so this one is in step 2.
    weir_emulated_set_faults("hang:1:40");
    Outcome outcome = run(makeChain(3, 4));
    EXPECT_NE(outcome.error.find("rank "), std::string::npos) << outcome.error;
    EXPECT_NE(outcome.error.find(" at 'wait for "), std::string::npos)
        << outcome.error;
    EXPECT_NE(outcome.error.find("no answer within 0.6 s; device "),
              std::string::npos)
        << outcome.error;
    EXPECT_LT(outcome.seconds, 15);
  }
}

// The rank sees it when it looks, or in its next call for the communicator.
TEST_F(CudaExecutorTest, AsynchronousErrorsNameTheTransfer) {
  weir_emulated_set_faults("async-error:1:40");
  Outcome outcome = run(makeChain(3, 4));
  EXPECT_TRUE(outcome.error.find("transfers ") != std::string::npos ||
              outcome.error.find("ncclSend: ") != std::string::npos ||
              outcome.error.find("ncclRecv: ") != std::string::npos)
      << outcome.error;
  EXPECT_NE(outcome.error.find(" device "), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find("of step "), std::string::npos) << outcome.error;
  EXPECT_LT(outcome.seconds, 15);
}

TEST_F(CudaExecutorTest, FailedKernelsNameThePass) {
  cudaOptions.graphs = cuda::GraphChoice::None;
  weir_emulated_set_faults("launch:1:3");
  Outcome outcome = run(makeChain(2, 2));
  EXPECT_NE(outcome.error.find("rank 1 at 'F s1 mb 1' of step 1: launch of "
                               "kernel 1: "),
            std::string::npos)
      << outcome.error;
  EXPECT_NE(outcome.error.find("(cudaErrorLaunchOutOfResources)"),
            std::string::npos)
      << outcome.error;
}

// A step of rank 1 has seven launches, so the eighth is in the first capture.
TEST_F(CudaExecutorTest, FailedCapturesSayOfWhat) {
  for (auto [choice, what] :
       {std::pair(cuda::GraphChoice::Pass,
                  "rank 1 at 'F s1 mb 0' of step 2: capturing 'F s1 mb 0': "
                  "launch of kernel 1: "),
        std::pair(cuda::GraphChoice::Step,
                  "rank 1 at 'F s1 mb 0' of step 2: capturing the step: launch "
                  "of kernel 1: ")}) {
    cudaOptions.graphs = choice;
    weir_emulated_set_faults("launch:1:8");
    std::string error = run(makeChain(2, 2)).error;
    EXPECT_NE(error.find(what), std::string::npos) << error;
  }
}

TEST_F(CudaExecutorTest, KernelsThatFailLaterEndTheRank) {
  cudaOptions.graphs = cuda::GraphChoice::None;
  weir_emulated_set_faults("kernel:1:30");
  Outcome outcome = run(makeChain(2, 2));
  EXPECT_NE(outcome.error.find("rank 1 at '"), std::string::npos)
      << outcome.error;
  EXPECT_NE(outcome.error.find("(cudaErrorIllegalAddress)"), std::string::npos)
      << outcome.error;
}

TEST_F(CudaExecutorTest, MemoryErrorsSayHowMuch) {
  weir_emulated_set_faults("memory:0:1");
  std::string error = run(makeChain(2, 2)).error;
  EXPECT_TRUE(error.starts_with("rank 0 on device 0: cannot allocate "))
      << error;
  EXPECT_NE(error.find("(cudaErrorMemoryAllocation); "), std::string::npos)
      << error;
  EXPECT_NE(error.find(" bytes are free"), std::string::npos) << error;
}

// A late event is late; nothing else changes.
TEST_F(CudaExecutorTest, WaitsForLateEvents) {
  Outcome expected = runOnHost(makeChain(2, 2));
  weir_emulated_set_faults("late-event:0:7,late-event:1:9");
  expectEqual(run(makeChain(2, 2)), expected);
}
