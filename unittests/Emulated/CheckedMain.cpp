//===- CheckedMain.cpp - the emulated device, checking races --------------===//
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
  setenv("WEIR_EMULATED_DEVICES", "2", 1);
  setenv("WEIR_EMULATED_CHECK", "races", 1);
  // For what fails without an end.
  alarm(120);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
