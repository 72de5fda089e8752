//===- OptionsTest.cpp - options are strict -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Options.h"

#include <gtest/gtest.h>
#include <vector>

using namespace weir::runtime;

static Status parse(std::vector<const char *> arguments, Options &options) {
  arguments.insert(arguments.begin(), "train");
  return parseOptions(arguments.size(), arguments.data(), options);
}

static std::string parseError(std::vector<const char *> arguments) {
  Options options;
  return parse(std::move(arguments), options).message();
}

TEST(OptionsTest, SetsWhatIsGivenAndKeepsTheRest) {
  Options options;
  ASSERT_FALSE(parse({"--steps=20", "--data=a=b.txt", "--lr=3e-4",
                      "--seed=18446744073709551615", "--poison"},
                     options)
                   .failed());
  EXPECT_EQ(options.steps, 20);
  EXPECT_EQ(options.data, "a=b.txt");
  EXPECT_EQ(options.learningRate, 3e-4);
  EXPECT_EQ(options.seed, UINT64_MAX);
  EXPECT_TRUE(options.poison);
  EXPECT_EQ(options.timeout, 300);
  EXPECT_EQ(options.threads, 1);
  EXPECT_FALSE(options.quiet);
}

TEST(OptionsTest, RefusesInOneLine) {
  EXPECT_EQ(parseError({"--step=1"}),
            "unknown option '--step=1'; --help lists the options");
  EXPECT_EQ(parseError({"text.txt"}),
            "unexpected argument 'text.txt'; --help lists the options");
  EXPECT_EQ(parseError({"--steps"}), "option --steps needs a value: --steps=N");
  EXPECT_EQ(parseError({"--steps="}),
            "option --steps: '' is not a number of steps, at least 1");
  EXPECT_EQ(parseError({"--data="}), "option --data: '' is not a file");
  EXPECT_EQ(parseError({"--poison=1"}), "option --poison takes no value");
  EXPECT_EQ(parseError({"--lr=1", "--lr=2"}), "option --lr is given twice");
  for (const char *bad :
       {"--steps=0", "--steps=-1", "--steps=1e3", "--steps=5x", "--steps= 5",
        "--steps=99999999999999999999", "--seed=-1", "--lr=nan", "--lr=inf",
        "--lr=-1", "--lr=fast", "--threads=0", "--timeout=0", "--timeout=-5",
        "--warmup-steps=-1"})
    EXPECT_NE(parseError({bad}).find("is not a n"), std::string::npos) << bad;
}

TEST(OptionsTest, WarmsUpLinearly) {
  Options options;
  EXPECT_EQ(options.learningRateOf(1), 1e-3);
  options.learningRate = 0.5;
  options.warmupSteps = 4;
  EXPECT_EQ(options.learningRateOf(1), 0.125);
  EXPECT_EQ(options.learningRateOf(3), 0.375);
  EXPECT_EQ(options.learningRateOf(4), 0.5);
  EXPECT_EQ(options.learningRateOf(100), 0.5);
}

TEST(OptionsTest, KnowsItsOwnOptions) {
  EXPECT_TRUE(isRuntimeOption("--steps=3"));
  EXPECT_TRUE(isRuntimeOption("--poison"));
  EXPECT_FALSE(isRuntimeOption("--devices=3"));
  EXPECT_FALSE(isRuntimeOption("model.mlir"));
  EXPECT_NE(runtimeOptionsHelp().find("--warmup-steps=N"), std::string::npos);
}
