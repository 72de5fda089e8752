//===- TestMain.cpp - settings of the emulated device
//------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cstdlib>
#include <gtest/gtest.h>
#include <unistd.h>

int main(int argc, char **argv) {
  // The device reads its settings once, before any test.
  setenv("WEIR_EMULATED_DEVICES", "4", 1);
  setenv("WEIR_EMULATED_MEMORY", "16777216", 1);
  setenv("WEIR_EMULATED_SEED", "11", 1);
  // For what fails without an end.
  alarm(280);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
