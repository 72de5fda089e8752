//===- StreamTest.cpp - streams and events --------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"

#include <atomic>
#include <thread>

// What the host enqueues has not happened when the call returns, and has when
// the stream was waited for.
TEST(Stream, CallsReturnBeforeTheirWork) {
  DeviceVector<int> memory(4, 1);
  cudaStream_t stream = newStream();
  weir_emulated_hold(stream);
  ASSERT_EQ(cudaMemsetAsync(memory.data, 0, memory.bytes(), stream),
            cudaSuccess);
  EXPECT_EQ(memory.values(), std::vector<int>(4, 1));
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  weir_emulated_let_go(stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(memory.values(), std::vector<int>(4, 0));
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  cudaStreamDestroy(stream);
}

// Without an event between them, a stream reads what the other has yet to
// write; with one it waits.
TEST(Stream, OnlyEventsOrderStreams) {
  for (bool ordered : {false, true}) {
    DeviceVector<int> from(1, 1), to(1, 2);
    cudaStream_t writer = newStream(), reader = newStream();
    cudaEvent_t written = newEvent();
    weir_emulated_hold(writer);
    cudaMemsetAsync(from.data, 0, from.bytes(), writer);
    cudaEventRecord(written, writer);
    if (ordered)
      cudaStreamWaitEvent(reader, written, 0);
    cudaMemcpyAsync(to.data, from.data, to.bytes(), cudaMemcpyDeviceToDevice,
                    reader);
    if (!ordered)
      cudaStreamSynchronize(reader);
    weir_emulated_let_go(writer);
    cudaStreamSynchronize(reader);
    cudaStreamSynchronize(writer);
    EXPECT_EQ(to.values(), std::vector<int>{ordered ? 0 : 1});
    cudaEventDestroy(written);
    cudaStreamDestroy(writer);
    cudaStreamDestroy(reader);
  }
}

// A stream waits for the record that was the last when it was told to wait, not
// for later ones; an event that was never recorded is nothing to wait for.
TEST(Stream, WaitsForTheRecordOfThatTime) {
  cudaStream_t first = newStream(), second = newStream();
  cudaEvent_t event = newEvent();
  ASSERT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  cudaEventRecord(event, first);
  cudaStreamSynchronize(first);
  cudaStreamWaitEvent(second, event, 0);
  weir_emulated_hold(first);
  cudaEventRecord(event, first);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  weir_emulated_let_go(first);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
}

// Host functions run in their place in the stream, and may call nothing.
TEST(Stream, HostFunctions) {
  struct Seen {
    int *memory, value;
    cudaError_t error;
  };
  DeviceVector<int> memory(1, 5);
  Seen seen = {memory.data, -1, cudaSuccess};
  cudaStream_t stream = newStream();
  cudaMemsetAsync(memory.data, 0, memory.bytes(), stream);
  cudaLaunchHostFunc(
      stream,
      [](void *data) {
        auto *seen = static_cast<Seen *>(data);
        seen->value = *seen->memory;
        void *address;
        seen->error = cudaMalloc(&address, 16);
      },
      &seen);
  cudaMemsetAsync(memory.data, 0xff, memory.bytes(), stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(seen.value, 0);
  EXPECT_EQ(seen.error, cudaErrorNotPermitted);
  cudaStreamDestroy(stream);
}

// Time between events is that between their records.
TEST(Stream, ElapsedTime) {
  cudaStream_t stream = newStream();
  cudaEvent_t start, end;
  cudaEventCreateWithFlags(&start, cudaEventDefault);
  cudaEventCreateWithFlags(&end, cudaEventDefault);
  cudaEventRecord(start, stream);
  cudaLaunchHostFunc(
      stream,
      [](void *) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); },
      nullptr);
  cudaEventRecord(end, stream);
  cudaStreamSynchronize(stream);
  float milliseconds = 0;
  ASSERT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 5);
  cudaEvent_t untimed = newEvent();
  cudaEventRecord(untimed, stream);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed),
            cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {start, end, untimed})
    cudaEventDestroy(event);
  cudaStreamDestroy(stream);
}

// Memory is limited, fresh memory is NaN, and copies know host from device.
TEST(Memory, LimitsAndKinds) {
  size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total, size_t(1) << 20);
  void *address;
  EXPECT_EQ(cudaMalloc(&address, free + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&address, free), cudaSuccess);
  EXPECT_NE(*static_cast<float *>(address), *static_cast<float *>(address));
  cudaStream_t stream = newStream();
  int host = 0;
  EXPECT_EQ(cudaMemcpyAsync(&host, address, 4, cudaMemcpyHostToDevice, stream),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(static_cast<char *>(address) + free - 2, &host, 4,
                            cudaMemcpyHostToDevice, stream),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(static_cast<char *>(address) + 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(address), cudaSuccess);
  cudaStreamDestroy(stream);
}

// A write past the end of an allocation is found when the device is waited for,
// and from then on every call fails.
TEST(Memory, WritesPastTheEnd) {
  void *address;
  ASSERT_EQ(cudaMalloc(&address, 10), cudaSuccess);
  static_cast<char *>(address)[10] = 0;
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  void *other;
  EXPECT_EQ(cudaMalloc(&other, 10), cudaErrorIllegalAddress);
  EXPECT_NE(std::string(weir_emulated_message(0)).find("past the end"),
            std::string::npos);
  weir_emulated_reset_device(0);
  static_cast<unsigned char *>(address)[10] = 0xa5;
  EXPECT_EQ(cudaFree(address), cudaSuccess);
}

// Devices have streams, events and errors of their own.
TEST(Device, AreSeparate) {
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  cudaEvent_t event = newEvent();
  cudaSetDevice(0);
  cudaStream_t stream = newStream();
  EXPECT_EQ(cudaEventRecord(event, stream), cudaErrorInvalidResourceHandle);
  cudaEventDestroy(event);
  cudaStreamDestroy(stream);
  char id[16];
  EXPECT_EQ(cudaDeviceGetPCIBusId(id, sizeof(id), 1), cudaSuccess);
  EXPECT_STREQ(id, "0000:02:00.0");
}
