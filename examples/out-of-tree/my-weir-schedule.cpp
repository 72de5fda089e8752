// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weir-schedule with a schedule more.

#include "Waves.h"

#include "weir/Driver/ToolMains.h"

int main(int argc, char **argv) {
  registerWaves();
  return weir::weirScheduleMain(argc, argv);
}
