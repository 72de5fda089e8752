//===- RacesTest.cpp - operations without an order ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each case is a pair: with everything in its place nothing is found; with one
// order left out, the race is, although the run itself goes well.
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"
#include "weir/Emulated.h"

#include <latch>
#include <nccl.h>
#include <thread>

namespace {

class Races : public testing::TestWithParam<bool> {
protected:
  void SetUp() override {
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    first = newStream();
    second = newStream();
    event = newEvent();
  }
  void TearDown() override {
    cudaDeviceSynchronize();
    for (cudaStream_t stream : {first, second})
      cudaStreamDestroy(stream);
    cudaEventDestroy(event);
    for (int device : {0, 1})
      weir_emulated_reset_device(device);
    cudaGetLastError();
  }

  bool ordered() const { return GetParam(); }

  void expectRace(const std::string &message) {
    cudaStreamSynchronize(first);
    cudaStreamSynchronize(second);
    EXPECT_EQ(std::string(weir_emulated_message(0)), ordered() ? "" : message);
  }

  void copy(float *to, const float *from, cudaStream_t stream) {
    cudaMemcpyAsync(to, from, 4, cudaMemcpyDeviceToDevice, stream);
  }

  cudaStream_t first, second;
  cudaEvent_t event;
};

INSTANTIATE_TEST_SUITE_P(, Races, testing::Values(false, true),
                         [](const auto &info) {
                           return info.param ? "Ordered" : "Unordered";
                         });

} // namespace

// A read after a write needs an event.
TEST_P(Races, ReadAfterWrite) {
  DeviceVector<float> a(1), b(1);
  cudaMemsetAsync(a.data, 0, 4, first);
  cudaEventRecord(event, first);
  if (ordered())
    cudaStreamWaitEvent(second, event, 0);
  copy(b.data, a.data, second);
  cudaDeviceSynchronize();
  // Which of the two came first is open.
  std::string message = weir_emulated_message(0);
  EXPECT_EQ(message.empty(), ordered()) << message;
  EXPECT_EQ(message.find("race: ") == 0, !ordered());
}

// So does a write after a read, even if the read is over by chance.
TEST_P(Races, WriteAfterRead) {
  DeviceVector<float> a(1, 0), b(1, 1);
  copy(b.data, a.data, first);
  cudaEventRecord(event, first);
  if (ordered())
    cudaStreamWaitEvent(second, event, 0);
  else
    // Nothing but the clock of the run says that the read is over.
    while (*const_cast<volatile float *>(b.data) == 1)
      std::this_thread::yield();
  cudaMemsetAsync(a.data, 0, 4, second);
  expectRace("race: a memset of 4 bytes writes memory that a copy of 4 bytes "
             "reads, and nothing orders the two");
}

// Two reads, and writes to neighbours, need none.
TEST_P(Races, ReadsAndNeighbours) {
  DeviceVector<float> a(2), b(2);
  copy(b.data, a.data, first);
  copy(b.data + 1, a.data, second);
  cudaDeviceSynchronize();
  EXPECT_STREQ(weir_emulated_message(0), "");
}

// A host that waited for one stream orders what it enqueues on the other later.
TEST_P(Races, HostWaits) {
  DeviceVector<float> a(1);
  cudaMemsetAsync(a.data, 0, 4, first);
  weir_emulated_hold(second);
  if (!ordered())
    cudaMemsetAsync(a.data, 1, 4, second);
  cudaStreamSynchronize(first);
  if (ordered())
    cudaMemsetAsync(a.data, 1, 4, second);
  weir_emulated_let_go(second);
  expectRace("race: a memset of 4 bytes writes memory that a memset of 4 bytes "
             "writes, and nothing orders the two");
}

// Branches of a graph are as little ordered as streams.
TEST_P(Races, InGraphs) {
  DeviceVector<float> a(1), b(1);
  cudaEvent_t joined = newEvent();
  cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
  if (!ordered())
    cudaEventRecord(event, first);
  cudaMemsetAsync(a.data, 0, 4, first);
  if (ordered())
    cudaEventRecord(event, first);
  cudaStreamWaitEvent(second, event, 0);
  copy(b.data, a.data, second);
  cudaEventRecord(joined, second);
  cudaStreamWaitEvent(first, joined, 0);
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(first, &graph), cudaSuccess);
  cudaGraphExec_t executable;
  cudaGraphInstantiate(&executable, graph, 0);
  for (int i = 0; i < 3 && !cudaGraphLaunch(executable, first); ++i)
    cudaStreamSynchronize(first);
  EXPECT_EQ(std::string(weir_emulated_message(0)).empty(), ordered());
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaEventDestroy(joined);
}

/// Thread i of the grid reads arguments[0][i] and writes arguments[1][i].
static void copyKernel(void *const *arguments, weir_emulated_thread *thread) {
  int64_t i = thread->thread[0] + thread->block[0] * thread->block_size[0];
  auto *from = static_cast<const float *>(arguments[0]) + i;
  auto *to = static_cast<float *>(arguments[1]) + i;
  weir_emulated_access(thread, 0, from, 4, 0);
  weir_emulated_access(thread, 1, to, 4, 1);
  // A kernel that is wrong would end the test.
  *to = *from;
}

static const weir_emulated_kernel kernels[] = {
    {"copy", copyKernel, 2, 0, WEIR_EMULATED_REPORTS_ACCESSES}};
static const weir_emulated_image image = {WEIR_EMULATED_MAGIC, 1, kernels};

// A kernel touches what its threads say, to the byte: the neighbours of what it
// writes may be written meanwhile.
TEST_P(Races, Kernels) {
  DeviceVector<float> a(64), b(65);
  cudaLibrary_t library;
  cudaLibraryLoadData(&library, &image, nullptr, nullptr, 0, nullptr, nullptr,
                      0);
  cudaKernel_t kernel;
  cudaLibraryGetKernel(&kernel, library, "copy");
  void *arguments[] = {const_cast<float **>(&a.data),
                       const_cast<float **>(&b.data)};
  weir_emulated_hold(second);
  cudaMemsetAsync(b.data + (ordered() ? 64 : 63), 0, 4, second);
  cudaLaunchKernel(kernel, 2, 32, arguments, 0, first);
  cudaStreamSynchronize(first);
  weir_emulated_let_go(second);
  expectRace("race: a memset of 4 bytes writes memory that kernel copy writes, "
             "and nothing orders the two");
  cudaLibraryUnload(library);
}

// A transfer orders what comes before it at one rank before what comes after it
// at the other: here the second rank's answer lets the first write again.
TEST_P(Races, Transfers) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::latch enqueued(1);
  auto run = [&](int rank, cudaStream_t sends, cudaStream_t receives) {
    cudaSetDevice(rank);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t out, back;
    ncclComm_t world;
    ASSERT_EQ(ncclCommInitRankConfig(&world, 2, id, rank, &config),
              ncclSuccess);
    ASSERT_EQ(ncclCommSplit(world, 0, rank, &out, nullptr), ncclSuccess);
    ASSERT_EQ(ncclCommSplit(world, 0, rank, &back, nullptr), ncclSuccess);
    {
      DeviceVector<float> data(4), answer(4);
      if (rank == 0) {
        ncclSend(data.data, 4, ncclFloat32, 1, out, sends);
        if (ordered())
          ncclRecv(answer.data, 4, ncclFloat32, 1, back, receives);
        else
          weir_emulated_hold(receives);
        // No event from the stream that sends, only by way of the answer.
        cudaMemsetAsync(data.data, 0, 16, receives);
        enqueued.count_down();
        cudaStreamSynchronize(sends);
        weir_emulated_let_go(receives);
      } else {
        ncclRecv(data.data, 4, ncclFloat32, 0, out, receives);
        cudaEvent_t received = newEvent();
        cudaEventRecord(received, receives);
        cudaStreamWaitEvent(sends, received, 0);
        if (ordered())
          ncclSend(data.data, 4, ncclFloat32, 0, back, sends);
        cudaEventDestroy(received);
        // What this thread has waited for, all threads of the host know.
        enqueued.wait();
      }
      for (cudaStream_t stream : {sends, receives})
        cudaStreamSynchronize(stream);
      if (rank == 0)
        EXPECT_EQ(std::string(weir_emulated_message(0)).empty(), ordered());
      for (ncclComm_t comm : {back, out, world})
        ncclCommAbort(comm);
    }
  };
  std::thread other([&] {
    cudaSetDevice(1);
    cudaStream_t sends = newStream(), receives = newStream();
    run(1, sends, receives);
    cudaStreamDestroy(sends);
    cudaStreamDestroy(receives);
  });
  run(0, first, second);
  other.join();
}
