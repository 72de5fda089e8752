//===- OptionsTest.cpp - options of training on CUDA devices
//-----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include <gtest/gtest.h>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

static Status parse(std::vector<const char *> arguments, Options &options,
                    CudaOptions &cudaOptions) {
  arguments.insert(arguments.begin(), "train");
  return parseOptions(arguments.size(), arguments.data(), options,
                      cudaTargetOptions(cudaOptions));
}

TEST(CudaOptionsTest, AddsToThoseOfAllTargets) {
  Options options;
  CudaOptions cudaOptions;
  ASSERT_FALSE(parse({"--steps=3", "--graph=step", "--products=bf16",
                      "--transfers=copies", "--transfers-in-flight=2",
                      "--ranks-in-process=4", "--bootstrap=tcp:h:7"},
                     options, cudaOptions)
                   .failed());
  EXPECT_EQ(options.steps, 3);
  EXPECT_EQ(cudaOptions.graphs, GraphChoice::Step);
  EXPECT_EQ(cudaOptions.products, ProductPrecision::BF16);
  EXPECT_EQ(cudaOptions.transport, TransportChoice::Copies);
  EXPECT_EQ(cudaOptions.transfersInFlight, 2);
  EXPECT_EQ(cudaOptions.ranksInProcess, 4);
  EXPECT_EQ(cudaOptions.bootstrap, "tcp:h:7");
}

TEST(CudaOptionsTest, SaysWhatValuesThereAre) {
  Options options;
  CudaOptions cudaOptions;
  EXPECT_EQ(parse({"--graph=all"}, options, cudaOptions).message(),
            "option --graph: 'all' is not one of none, pass, step, auto");
  EXPECT_EQ(parse({"--ranks-in-process=0"}, options, cudaOptions).message(),
            "option --ranks-in-process: '0' is not a number, at least 1");
  EXPECT_EQ(parse({"--bootstrap=udp:h:1"}, options, cudaOptions).message(),
            "option --bootstrap: 'udp:h:1' is not one of auto, mpi, file:PATH, "
            "tcp:HOST:PORT");
  // Threads per rank are of the host's products alone.
  EXPECT_EQ(parse({"--threads=2"}, options, cudaOptions).message(),
            "unknown option '--threads=2'; --help lists the options");
}

// Auto measures passes, then steps, and takes what the slowest rank likes.
TEST(GraphScheduleTest, RanksAgreeOnTheFasterMode) {
  std::unique_ptr<Store> store = makeLocalStore();
  auto isNeeded = [] { return true; };
  for (bool stepIsFaster : {false, true}) {
    store = makeLocalStore();
    GraphSchedule ranks[2] = {{GraphChoice::Auto, 0, 2},
                              {GraphChoice::Auto, 1, 2}};
    // Rank 1 is the slowest; rank 0 would choose otherwise.
    double pass[2] = {1, 4}, whole[2] = {2, stepIsFaster ? 3.0 : 5.0};
    if (!stepIsFaster)
      std::swap(pass[0], whole[0]);
    std::vector<std::thread> threads;
    for (int rank : {0, 1})
      threads.emplace_back([&, rank] {
        GraphSchedule &schedule = ranks[rank];
        EXPECT_EQ(schedule.modeOf(1), GraphMode::None);
        for (int64_t step = 1; step <= 7; ++step) {
          GraphMode mode = schedule.modeOf(step);
          if (step > 1)
            EXPECT_EQ(mode, step < 5 ? GraphMode::Pass : GraphMode::Step);
          double seconds = mode == GraphMode::Step ? whole[rank] : pass[rank];
          EXPECT_FALSE(
              schedule.note(step, seconds, *store, 20, isNeeded).failed());
        }
      });
    for (std::thread &thread : threads)
      thread.join();
    for (const GraphSchedule &schedule : ranks)
      EXPECT_EQ(schedule.modeOf(8),
                stepIsFaster ? GraphMode::Step : GraphMode::Pass);
  }
}
