//===- ChainModel.h - a pipeline of any length -------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_CUDA_CHAINMODEL_H
#define WEIR_UNITTESTS_CUDA_CHAINMODEL_H

#include "TableBuilder.h"

namespace weir::runtime::testing {

/// Stage s on device s multiplies what it gets by its parameter "w<s>", element
/// by element; the loss is the mean of what comes out. All forward passes, then
/// all backward passes; at least two devices.
TableBuilder makeChain(int64_t numDevices, int64_t microbatches);

} // namespace weir::runtime::testing

#endif // WEIR_UNITTESTS_CUDA_CHAINMODEL_H
