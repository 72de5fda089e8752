//===- TestMain.cpp - settings of the emulated device
//------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The test executable is also a training program, so that tests can start
// processes of it: with --train-chain before the options.

#include "ChainModel.h"
#include "DevicePasses.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string_view>
#include <unistd.h>

using namespace weir::runtime::testing;

static int trainChain(int argc, char **argv) {
  TableBuilder builder = makeChain(4, 4);
  std::vector<std::byte> table = builder.build();
  DevicePasses passes(builder);
  weir_cuda_module module = passes.module(table);
  return weir_cuda_main(argc, argv, &module);
}

int main(int argc, char **argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--train-chain") {
    argv[1] = argv[0];
    return trainChain(argc - 1, argv + 1);
  }
  // The device reads its settings once, before any test.
  setenv("WEIR_EMULATED_DEVICES", "4", 1);
  setenv("WEIR_EMULATED_MEMORY", "16777216", 1);
  setenv("WEIR_EMULATED_SEED", "11", 1);
  // For what fails without an end.
  alarm(280);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
