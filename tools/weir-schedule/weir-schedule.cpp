//===- weir-schedule.cpp - build, compare and draw schedules --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/ToolMains.h"

int main(int argc, char **argv) { return weir::weirScheduleMain(argc, argv); }
