//===- ExecutorTest.cpp - programs run, fail and end ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Executor.h"
#include "BigramModel.h"
#include "TemporaryDirectory.h"
#include "weir/Runtime/Product.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <stdexcept>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::testing;

namespace {

using Bytes = std::vector<std::byte>;

/// All that a run leaves behind.
struct Outcome {
  std::string error;
  std::map<std::string, Bytes> parameters, gradients;
  std::vector<StepRecord> steps;
};

class ExecutorTest : public ::testing::Test {
protected:
  ExecutorTest() : text(writeText(directory.path(), 500)) {
    options.steps = 5;
    options.learningRate = 2;
    options.quiet = true;
  }
  ~ExecutorTest() override {
    Bigram::beforeForward[0] = Bigram::beforeForward[1] = nullptr;
  }

  std::shared_ptr<Job> makeJob(TableBuilder builder) {
    auto job = std::make_shared<Job>();
    Bytes bytes = builder.build();
    Status status = Table::parse(bytes.data(), bytes.size(), job->table);
    EXPECT_FALSE(status.failed()) << status.message();
    job->options = options;
    job->kernels = builder.kernels;
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

  Outcome run(TableBuilder builder) {
    Outcome outcome;
    Executor executor(makeJob(std::move(builder)));
    Status status = executor.prepare();
    EXPECT_FALSE(status.failed()) << status.message();
    RunEvents events;
    events.onStep = [&](const StepRecord &record) {
      outcome.steps.push_back(record);
      return Status();
    };
    events.onGradients = [&] {
      outcome.gradients = copy(executor.gradients());
      return Status();
    };
    outcome.error = executor.run(events).message();
    EXPECT_FALSE(executor.hasHungRank());
    outcome.parameters = copy(executor.parameters());
    return outcome;
  }

  TemporaryDirectory directory;
  std::string text;
  Options options;
};

} // namespace

TEST_F(ExecutorTest, TwoDevicesGiveTheBitsOfOne) {
  options.steps = 20;
  options.learningRate = 8;
  Outcome one = run(Bigram::onOneDevice());
  Outcome two = run(Bigram::onTwoDevices());
  EXPECT_EQ(one.error, "");
  EXPECT_EQ(two.error, "");
  EXPECT_EQ(one.parameters, two.parameters);
  ASSERT_EQ(one.steps.size(), 20u);
  ASSERT_EQ(two.steps.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(one.steps[i].step, i + 1);
    EXPECT_EQ(one.steps[i].lossSum, two.steps[i].lossSum);
    EXPECT_EQ(one.steps[i].count, Bigram::positions * Bigram::microbatches);
  }
  // It learns: the successor of each byte is fixed.
  EXPECT_NEAR(one.steps[0].loss(), std::log(32), 0.1);
  EXPECT_LT(one.steps[19].loss(), 0.8 * one.steps[0].loss());
}

TEST_F(ExecutorTest, SeedsGiveOtherParametersAndRows) {
  Outcome first = run(Bigram::onOneDevice());
  options.seed = 1;
  Outcome second = run(Bigram::onOneDevice());
  EXPECT_NE(first.parameters, second.parameters);
  EXPECT_NE(first.steps[0].lossSum, second.steps[0].lossSum);
}

TEST_F(ExecutorTest, PoisonDoesNotHarmCorrectPrograms) {
  Outcome clean = run(Bigram::onTwoDevices());
  options.poison = true;
  Outcome poisoned = run(Bigram::onTwoDevices());
  EXPECT_EQ(poisoned.error, "");
  EXPECT_EQ(clean.parameters, poisoned.parameters);
}

TEST_F(ExecutorTest, PoisonShowsAWrongLiveRange) {
  // The bytes are still there, so that the mistake goes unseen ...
  Outcome right = run(Bigram::onOneDevice());
  Outcome wrong = run(Bigram::withWrongLiveRange());
  EXPECT_EQ(wrong.error, "");
  EXPECT_EQ(wrong.parameters, right.parameters);
  // ... until they are poisoned.
  options.poison = true;
  wrong = run(Bigram::withWrongLiveRange());
  EXPECT_EQ(wrong.error,
            "step 2: the loss is nan; nothing is saved; a lower --lr= (now 2) "
            "or --warmup-steps= may help");
}

TEST_F(ExecutorTest, GradientsAreThoseBeforeTheUpdate) {
  options.saveGradients = "asked for";
  options.steps = 1;
  Outcome one = run(Bigram::onOneDevice());
  Outcome two = run(Bigram::onTwoDevices());
  EXPECT_EQ(one.gradients, two.gradients);
  ASSERT_EQ(one.gradients.size(), 4u);

  auto floats = [](const Bytes &bytes) {
    std::vector<float> values(bytes.size() / 4);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  };
  float count = floats(one.gradients["__count"])[0];
  EXPECT_EQ(count, Bigram::positions * Bigram::microbatches);
  EXPECT_EQ(floats(one.gradients["__loss_sum"])[0], one.steps[0].lossSum);

  // One step of plain descent from the parameters of a learning rate of zero
  // leads to the parameters after the step.
  options.learningRate = 0;
  Outcome start = run(Bigram::onOneDevice());
  for (const char *name : {"embedding", "head"}) {
    std::vector<float> gradient = floats(one.gradients[name]);
    std::vector<float> before = floats(start.parameters[name]);
    std::vector<float> after = floats(one.parameters[name]);
    bool anyChange = false;
    for (size_t i = 0; i < gradient.size(); ++i) {
      EXPECT_EQ(after[i], before[i] - 2.0f * (gradient[i] / count));
      anyChange |= after[i] != before[i];
    }
    EXPECT_TRUE(anyChange);
  }
}

// All ranks may end while the caller still looks at the loss of step 1.
TEST_F(ExecutorTest, GradientsOfTheLastStepAreReported) {
  options.steps = 1;
  options.saveGradients = "asked for";
  for (int trial = 0; trial < 10; ++trial) {
    Executor executor(makeJob(Bigram::onTwoDevices()));
    ASSERT_FALSE(executor.prepare().failed());
    RunEvents events;
    events.onStep = [&](const StepRecord &) {
      while (executor.hasHungRank())
        std::this_thread::yield();
      return Status();
    };
    int numReports = 0;
    events.onGradients = [&] {
      ++numReports;
      return Status();
    };
    EXPECT_EQ(executor.run(events).message(), "");
    EXPECT_EQ(numReports, 1);
  }
}

TEST_F(ExecutorTest, WarmupReachesTheKernels) {
  options.steps = 1;
  Outcome half = run(Bigram::onOneDevice());
  options.learningRate = 4;
  options.warmupSteps = 2;
  Outcome warm = run(Bigram::onOneDevice());
  EXPECT_EQ(half.parameters, warm.parameters);
  EXPECT_EQ(warm.steps[0].learningRate, 2);
}

TEST_F(ExecutorTest, NamesThePassThatHangs) {
  // Stage 0 never comes back from the forward pass of step 2; only the end of
  // the test lets it go.
  options.timeout = 0.2;
  std::atomic<bool> release = false;
  std::atomic<int> calls = 0;
  Bigram::beforeForward[0] = [&](weir_context *) {
    if (++calls > Bigram::microbatches)
      while (!release)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  Executor executor(makeJob(Bigram::onTwoDevices()));
  ASSERT_FALSE(executor.prepare().failed());
  Status status = executor.run({});
  EXPECT_EQ(status.message(),
            "rank 1 at 'wait for recv x mb 0 from device 0' of step 2: no "
            "answer within 0.2 s; device 0 is at 'F s0 mb 0' of step 2; if it "
            "is only slow, allow more with --timeout=SECONDS");
  EXPECT_TRUE(executor.hasHungRank());
  release = true;
  while (executor.hasHungRank())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(ExecutorTest, NamesThePassThatHangsAlone) {
  options.timeout = 0.2;
  std::atomic<bool> release = false;
  Bigram::beforeForward[1] = [&](weir_context *) {
    while (!release)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  Executor executor(makeJob(Bigram::onOneDevice()));
  ASSERT_FALSE(executor.prepare().failed());
  Status status = executor.run({});
  EXPECT_EQ(status.message(),
            "no rank got on for 0.2 s; rank 0 is at 'F s1 mb 0' of step 1; if "
            "this is only slow, allow more with --timeout=SECONDS");
  release = true;
  while (executor.hasHungRank())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(ExecutorTest, AFailingRankEndsTheOthers) {
  // The others would wait for long.
  options.timeout = 1e6;
  Bigram::beforeForward[1] = [](weir_context *) {
    throw std::runtime_error("the pass gave up");
  };
  Outcome outcome = run(Bigram::onTwoDevices());
  EXPECT_EQ(outcome.error, "rank 1 at 'F s1 mb 0' of step 1: the pass gave up");

  Bigram::beforeForward[1] = nullptr;
  std::atomic<int> calls = 0;
  Bigram::beforeForward[0] = [&](weir_context *context) {
    if (++calls == 7)
      context->failure = "a matrix product ran out of memory";
  };
  outcome = run(Bigram::onTwoDevices());
  EXPECT_EQ(outcome.error, "rank 0 at 'F s0 mb 2' of step 2: a matrix product "
                           "ran out of memory");
}

TEST_F(ExecutorTest, ALossThatIsNotFiniteEndsTraining) {
  options.steps = 1000;
  options.learningRate = 1e30;
  Outcome outcome = run(Bigram::onTwoDevices());
  EXPECT_NE(outcome.error.find("the loss is "), std::string::npos)
      << outcome.error;
  EXPECT_LT(outcome.steps.size(), 10u);
}

TEST_F(ExecutorTest, FailuresOfTheCallerEndTraining) {
  options.steps = 1000000;
  Executor executor(makeJob(Bigram::onTwoDevices()));
  ASSERT_FALSE(executor.prepare().failed());
  RunEvents events;
  events.onStep = [](const StepRecord &record) {
    return record.step == 3 ? fail("disk full") : Status();
  };
  EXPECT_EQ(executor.run(events).message(), "disk full");
  EXPECT_FALSE(executor.hasHungRank());
}

TEST_F(ExecutorTest, AStopEndsAllRanksAfterTheSameStep) {
  options.steps = 1000000;
  Executor executor(makeJob(Bigram::onTwoDevices()));
  ASSERT_FALSE(executor.prepare().failed());
  int64_t last = 0;
  RunEvents events;
  events.onStep = [&](const StepRecord &record) {
    last = record.step;
    return Status();
  };
  events.shouldStop = [&] { return last >= 3; };
  EXPECT_EQ(executor.run(events).message(), "");
  auto stopped = copy(executor.parameters());
  ASSERT_GE(last, 3);
  ASSERT_LT(last, 1000000);
  options.steps = last;
  EXPECT_EQ(run(Bigram::onOneDevice()).parameters, stopped);
}
