//===- NoDeviceTest.cpp - the real libraries without a GPU
//-------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Links the libraries that trained programs link, hides all GPUs, and expects
// one line and the exit status 1.

#include "TableBuilder.h"
#include "weir/Cuda.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

using namespace weir::runtime::testing;

static void pass(weir_context *, void *const *) {}

/// Runs the program with its errors in a pipe; returns its exit status.
static int train(std::string &errors) {
  TableBuilder builder(1);
  builder.header.num_stages = builder.header.num_microbatches = 1;
  builder.addResident(0, WEIR_RESIDENT_LOSS, -1, 0, 4);
  builder.addResident(0, WEIR_RESIDENT_COUNT, -1, 0, 4);
  builder.run(0, builder.addKernel("pass", pass), WEIR_PASS_FORWARD, 0, 0, {});
  std::vector<std::byte> table = builder.build();
  weir_cuda_module module = {};
  module.module = {table.data(), int64_t(table.size()), builder.kernels.data(),
                   nullptr, 0};
  module.arch = "sm_90a";

  int ends[2];
  if (pipe(ends) != 0)
    return -1;
  int errorOutput = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  char name[] = "train";
  char *argv[] = {name};
  int status = weir_cuda_main(1, argv, &module);
  dup2(errorOutput, STDERR_FILENO);
  close(ends[1]);
  char buffer[4096];
  ssize_t size = read(ends[0], buffer, sizeof(buffer));
  errors.assign(buffer, size > 0 ? size : 0);
  return status;
}

int main() {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  std::string errors;
  int status = train(errors);
  std::fputs(errors.c_str(), stdout);
  bool isOneLine = errors.find('\n') + 1 == errors.size();
  bool isExpected = errors.starts_with("error: no CUDA device was found (cuda");
  return status == 1 && isOneLine && isExpected ? 0 : 1;
}
