//===- DirectoryStore.h - processes that meet in a directory -----*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   PATH/current      the name of the run under way, below
//   PATH/run-*/       one run; made anew by process 0
//     hello.P         by process P: a number drawn for this run
//     welcome         by process 0, once all have said hello: their numbers
//     NAME            a value
//
// A process that finds the leftovers of an earlier run says hello there, and
// sees that it is the wrong one: no welcome there has its number.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_DIRECTORYSTORE_H
#define WEIR_RUNTIME_CUDA_DIRECTORYSTORE_H

#include "Store.h"

namespace weir::runtime::cuda {

/// See meet(). Makes the directory if need be; process 0 removes what it made.
Status meetInDirectory(const std::string &path, int64_t process,
                       int64_t numProcesses, double timeout,
                       std::unique_ptr<Store> &store);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_DIRECTORYSTORE_H
