//===- HostPassTarget.cpp - passes compiled for the host ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "weir/Conversion/Passes.h"

const PassTarget &getTarget() {
  static const PassTarget target = {
      [](mlir::PassManager &passes) {
        passes.addPass(weir::createConvertWeirToHost());
      },
      [](mlir::ModuleOp, llvm::function_ref<void *(const std::string &)>) {
        return std::shared_ptr<void>();
      },
      [](int64_t bytes) { return new char[bytes]; },
      [](char *memory) { delete[] memory; },
      [] {},
      /*tolerance=*/0};
  return target;
}
