//===- DeviceMemory.h - buffers of tests ------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_EMULATED_DEVICEMEMORY_H
#define WEIR_UNITTESTS_EMULATED_DEVICEMEMORY_H

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <vector>

/// A vector in memory of the current device. Tests read and write it only while
/// nothing on the device uses it: it is memory of the host after all.
template <typename Element> class DeviceVector {
public:
  explicit DeviceVector(size_t size, Element value = Element()) : size(size) {
    EXPECT_EQ(
        cudaMalloc(reinterpret_cast<void **>(&data), size * sizeof(Element)),
        cudaSuccess);
    std::fill(data, data + size, value);
  }
  explicit DeviceVector(const std::vector<Element> &values)
      : DeviceVector(values.size()) {
    std::copy(values.begin(), values.end(), data);
  }
  DeviceVector(const DeviceVector &) = delete;
  ~DeviceVector() { cudaFree(data); }

  std::vector<Element> values() const { return {data, data + size}; }
  size_t bytes() const { return size * sizeof(Element); }

  Element *data = nullptr;
  const size_t size;
};

inline cudaStream_t newStream() {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
            cudaSuccess);
  return stream;
}

inline cudaEvent_t newEvent() {
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
            cudaSuccess);
  return event;
}

#endif // WEIR_UNITTESTS_EMULATED_DEVICEMEMORY_H
