//===- SoloTransport.cpp - a rank without the others ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SoloTransport.h"

#include <algorithm>
#include <cstring>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

template <typename Element> static void fill(std::vector<std::byte> &bytes) {
  // The generator of Numerical Recipes (Press et al., 3rd edition, chapter
  // 7.1.7): any one will do, so that products see numbers of all kinds.
  uint32_t state = 1;
  for (size_t at = 0; at + sizeof(Element) <= bytes.size();
       at += sizeof(Element)) {
    state = state * 1664525u + 1013904223u;
    auto value = static_cast<Element>(
        at == 0 ? 1.0 : (static_cast<double>(state) / 0x1p31 - 1.0) / 16);
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
}

Status SoloTransport::connect() {
  int64_t longest = 0;
  for (const PlannedTransfer &transfer : resources.plan->transfers)
    if (!transfer.isSend)
      longest = std::max(longest, transfer.bytes);
  if (longest == 0)
    return {};
  std::vector<std::byte> values(longest);
  bool isF64 = std::ranges::any_of(table.variables(), [](const auto &variable) {
    return variable.element_type == WEIR_F64;
  });
  isF64 ? fill<double>(values) : fill<float>(values);
  Status status = makeMemory(received, longest);
  if (!status.failed())
    status = check(cudaMemcpyAsync(received.get(), values.data(), longest,
                                   cudaMemcpyHostToDevice, resources.compute()),
                   "cudaMemcpyAsync");
  if (!status.failed())
    status = check(cudaStreamSynchronize(resources.compute()),
                   "cudaStreamSynchronize");
  return status;
}

Status SoloTransport::start(int64_t number) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  if (transfer.isSend)
    return {};
  return check(cudaMemcpyAsync(resources.arena + transfer.offset,
                               received.get(), transfer.bytes,
                               cudaMemcpyDeviceToDevice,
                               resources.streams[transfer.stream].get()),
               "cudaMemcpyAsync");
}
