//===- MainTest.cpp - the whole program from options to files -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BigramModel.h"
#include "TemporaryDirectory.h"
#include "weir/Runtime/Checkpoint.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <sstream>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::testing;

namespace {

class MainTest : public ::testing::Test {
protected:
  MainTest() : text(writeText(directory.path(), 500)) {}
  ~MainTest() override { Bigram::beforeForward[0] = nullptr; }

  static int runMain(TableBuilder builder, std::vector<std::string> options) {
    std::vector<std::byte> table = builder.build();
    weir_module module = {table.data(), int64_t(table.size()),
                          builder.kernels.data(), Bigram::products,
                          Bigram::numProducts};
    options.insert(options.begin(), "train");
    std::vector<char *> argv;
    for (std::string &option : options)
      argv.push_back(option.data());
    return weir_main(argv.size(), argv.data(), &module);
  }

  /// Exit status; what was printed is in `out` and `err`.
  int train(TableBuilder builder, std::vector<std::string> options) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    int status = runMain(std::move(builder), std::move(options));
    out = ::testing::internal::GetCapturedStdout();
    err = ::testing::internal::GetCapturedStderr();
    return status;
  }

  /// The options that every run needs, and some more.
  std::vector<std::string> with(std::vector<std::string> more) {
    more.insert(more.begin(), {"--data=" + text, "--lr=2"});
    return more;
  }
  std::string option(const std::string &name, const std::string &file) {
    return "--" + name + "=" + directory.file(file);
  }

  TemporaryDirectory directory;
  std::string text, out, err;
};

} // namespace

TEST_F(MainTest, SavesTheSameBytesForOneAndTwoDevices) {
  ASSERT_EQ(
      train(Bigram::onOneDevice(), with({"--steps=7", option("save", "one")})),
      0)
      << err;
  ASSERT_EQ(train(Bigram::onTwoDevices(),
                  with({"--steps=7", option("save", "two"), "--poison"})),
            0)
      << err;
  EXPECT_FALSE(directory.read("one").empty());
  EXPECT_EQ(directory.read("one"), directory.read("two"));
  EXPECT_NE(err.find("bigram: 2 stages on 2 devices, 4 microbatches, schedule "
                     "by hand\nstep 1/7  loss 3."),
            std::string::npos)
      << err;
  EXPECT_NE(out.find("trained 7 steps in"), std::string::npos) << out;
  EXPECT_NE(out.find("memory: device 1 plans"), std::string::npos) << out;
  EXPECT_EQ(out.find("warning"), std::string::npos) << out;
}

TEST_F(MainTest, GoesOnFromSavedParameters) {
  ASSERT_EQ(train(Bigram::onOneDevice(),
                  with({"--steps=3", "--quiet", option("save", "f")})),
            0);
  EXPECT_EQ(out + err, "");
  std::string saved = directory.read("f");
  // A learning rate of zero leaves what was loaded.
  ASSERT_EQ(train(Bigram::onTwoDevices(),
                  {"--data=" + text, "--steps=1", "--lr=0", "--seed=9",
                   option("load", "f"), option("save", "g")}),
            0)
      << err;
  EXPECT_EQ(directory.read("g"), saved);
  ASSERT_EQ(
      train(Bigram::onTwoDevices(),
            with({"--steps=1", option("load", "f"), option("save", "f")})),
      0)
      << err;
  EXPECT_NE(directory.read("f"), saved);
}

TEST_F(MainTest, WritesMetrics) {
  ASSERT_EQ(train(Bigram::onTwoDevices(),
                  with({"--steps=3", option("metrics", "m")})),
            0)
      << err;
  std::istringstream lines(directory.read("m"));
  std::string line;
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(line.find("{\"step\":" + std::to_string(step) + ",\"loss\":"), 0u)
        << line;
    for (const char *part : {"\"count\":64,", "\"tokens_per_second\":",
                             "\"seconds\":", "\"lr\":2}"})
      EXPECT_NE(line.find(part), std::string::npos) << line;
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(MainTest, TracesTheLastSteps) {
  ASSERT_EQ(
      train(Bigram::onTwoDevices(), with({"--steps=10", option("trace", "t")})),
      0)
      << err;
  std::string trace = directory.read("t");
  auto count = [&](const std::string &part) {
    int found = 0;
    for (size_t at = trace.find(part); at != trace.npos;
         at = trace.find(part, at + 1))
      ++found;
    return found;
  };
  // Eight steps, each with so many passes and messages.
  EXPECT_EQ(count(R"("name":"F s0 mb 3")"), 8);
  EXPECT_EQ(count(R"("name":"W s1 mb 0")"), 8);
  EXPECT_EQ(count(R"("name":"update head")"), 8);
  EXPECT_EQ(count(R"("name":"wait for recv x mb 1 from device 0")"), 8);
  EXPECT_EQ(count(R"("ph":"s")"), 8 * 9);
  EXPECT_EQ(count(R"("ph":"f")"), 8 * 9);
  EXPECT_EQ(count(R"("name":"device 1")"), 1);
  EXPECT_EQ(count(R"("args":{"step":10})") > 0, true);
  EXPECT_EQ(count(R"("args":{"step":2})"), 0);
}

TEST_F(MainTest, SavesTheGradientsOfStepOne) {
  ASSERT_EQ(train(Bigram::onTwoDevices(),
                  with({"--steps=2", option("save-gradients", "g")})),
            0)
      << err;
  Safetensors file;
  Status status = Safetensors::open(directory.file("g"), file);
  ASSERT_FALSE(status.failed()) << status.message();
  ASSERT_EQ(file.tensors().size(), 4u);
  float count = 0;
  ASSERT_NE(file.find("__count"), nullptr);
  std::memcpy(&count, file.data(*file.find("__count")), 4);
  EXPECT_EQ(count, 64);
  EXPECT_NE(file.find("__loss_sum"), nullptr);
  EXPECT_EQ(file.find("head")->shape, (std::vector<int64_t>{16, 32}));
}

TEST_F(MainTest, AnInterruptEndsTheStepAndSaves) {
  // The second interrupt would kill.
  static bool first;
  first = true;
  Bigram::beforeForward[0] = [](weir_context *) {
    if (first)
      std::raise(SIGINT);
    first = false;
  };
  EXPECT_EQ(train(Bigram::onTwoDevices(),
                  with({"--steps=1000000", option("save", "f")})),
            130)
      << err;
  EXPECT_NE(out.find("interrupted after "), std::string::npos) << out;
  EXPECT_FALSE(directory.read("f").empty());
}

TEST_F(MainTest, AHungPassEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Bigram::beforeForward[0] = [](weir_context *) {
    while (true)
      std::this_thread::sleep_for(std::chrono::seconds(1));
  };
  std::vector<std::string> options = with({"--timeout=0.2", "--quiet"});
  EXPECT_EXIT(std::exit(10 + runMain(Bigram::onTwoDevices(), options)),
              ::testing::ExitedWithCode(1),
              "^error: rank 1 at 'wait for recv x mb 0 from device 0' of step "
              "1: no answer within 0.2 s; device 0 is at 'F s0 mb 0' of step "
              "1; .*\n$");
}

TEST_F(MainTest, HelpListsTheOptions) {
  EXPECT_EQ(train(Bigram::onOneDevice(), {"--help"}), 0);
  EXPECT_NE(out.find("--save-gradients=FILE"), std::string::npos);
  EXPECT_EQ(err, "");
}

TEST_F(MainTest, MistakesGiveOneLineAndNoFiles) {
  auto expectError = [&](TableBuilder table, std::vector<std::string> options,
                         const std::string &part) {
    size_t filesBefore = directory.size();
    EXPECT_EQ(train(std::move(table), std::move(options)), 1);
    EXPECT_EQ(err.find("error: "), 0u) << err;
    EXPECT_NE(err.find(part), std::string::npos) << err;
    EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
    EXPECT_EQ(out, "");
    EXPECT_EQ(directory.size(), filesBefore);
  };
  TableBuilder good = Bigram::onTwoDevices();
  expectError(good, {"--foo"}, "unknown option '--foo'");
  expectError(good, {}, "give a text with --data=FILE");
  expectError(good, {option("data", "none")}, "No such file");
  expectError(good, with({option("save", "no/f")}), "No such file");
  expectError(good, with({option("trace", "no/f")}), "No such file");
  expectError(good, with({option("metrics", "no/f")}), "No such file");
  expectError(good, with({option("save-gradients", "no/f")}), "No such file");
  expectError(good, with({option("load", "no/f")}), "No such file");
  expectError(good, with({option("save", "text")}),
              "--save and --data name the same file");
  expectError(good, with({option("save", "a"), option("metrics", "a")}),
              "--save and --metrics name the same file");
  directory.write("junk", "not a safetensors file");
  expectError(good, with({option("load", "junk")}),
              "is not a complete safetensors file");

  TableBuilder table = good;
  table.header.vocab = 16;
  expectError(table, with({}), "is not below the vocabulary of 16");
  table = good;
  table.kernels[2] = nullptr;
  expectError(table, with({}), "compiled pass 'backward_input1' is missing");
  table = good;
  table.devices[1].arenaBytes = 64;
  expectError(table, with({}), "program table: device 1");
}

TEST_F(MainTest, NothingIsSavedWithoutALoss) {
  EXPECT_EQ(train(Bigram::onTwoDevices(),
                  {"--data=" + text, "--lr=1e6", "--steps=1000", "--quiet",
                   option("save", "f"), option("trace", "t")}),
            1);
  // Either the loss overflows on the way, or the parameters have.
  EXPECT_NE(err.find("nothing is saved"), std::string::npos) << err;
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
  EXPECT_EQ(directory.size(), 1u) << "only the text";
}
