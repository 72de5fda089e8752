//===- SoloTransport.h - a rank without the others --------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For playing one rank of a program alone: it does all that it does among the
// others, on the same streams and in the same order, but what it sends goes
// nowhere, and what it receives is copied from a block of its own device.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_SOLOTRANSPORT_H
#define WEIR_RUNTIME_CUDA_SOLOTRANSPORT_H

#include "DeviceTransport.h"
#include "weir/Runtime/Table.h"

namespace weir::runtime::cuda {

class SoloTransport : public DeviceTransport {
public:
  SoloTransport(const Table &table, PlanResources &resources)
      : DeviceTransport(resources), table(table) {}

  /// Fills the block: the first element is 1, so that a count that is received
  /// can be divided by; the others are numbers between -1/16 and 1/16 that do
  /// not change from run to run. Every message is a beginning of it, whether
  /// its elements are f32 or f64.
  Status connect() override;
  Status start(int64_t transfer) override;
  bool canBeCaptured() const override { return true; }
  Status poll(int64_t &) override { return {}; }
  void abort() override {}
  void close() override {}

private:
  const Table &table;
  DeviceMemory received; /* as long as the longest message */
};

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_SOLOTRANSPORT_H
