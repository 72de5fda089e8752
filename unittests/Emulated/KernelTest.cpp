//===- KernelTest.cpp - blocks, barriers and shuffles ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"
#include "weir/Emulated.h"

#include <numeric>

// Kernels as convert-gpu-to-emulated makes them, by hand.

static int64_t linear(const weir_emulated_thread *thread) {
  return thread->thread[0] + thread->block_size[0] * thread->block[0];
}

static void addOne(void *const *arguments, weir_emulated_thread *thread) {
  static_cast<int *>(arguments[0])[linear(thread)] += 1;
}

/// Writes the sum over each block of 96 threads.
static void sumBlock(void *const *arguments, weir_emulated_thread *thread) {
  int64_t value = static_cast<const int *>(arguments[0])[linear(thread)];
  int64_t id = thread->thread[0];
  for (int32_t offset = 16; offset; offset /= 2)
    value += weir_emulated_shuffle(thread, offset, WEIR_EMULATED_SHUFFLE_DOWN,
                                   value, offset, 32)
                 .value;
  auto *sums = static_cast<int64_t *>(thread->shared);
  if (id % 32 == 0)
    sums[id / 32] = value;
  weir_emulated_barrier(thread, 0);
  if (id == 0)
    static_cast<int *>(arguments[1])[thread->block[0]] =
        int(sums[0] + sums[1] + sums[2]);
}

/// Half of the threads come to no barrier.
static void diverge(void *const *, weir_emulated_thread *thread) {
  if (thread->thread[0] % 2)
    weir_emulated_barrier(thread, 3);
}

/// result[lane] = value and validity of a shuffle of 100 + lane, by mode.
static void shuffleModes(void *const *arguments, weir_emulated_thread *thread) {
  auto *results = static_cast<weir_emulated_shuffled *>(arguments[0]);
  int64_t lane = thread->thread[0];
  for (int32_t mode = 0; mode < 4; ++mode)
    results[mode * 40 + lane] =
        weir_emulated_shuffle(thread, mode, mode, 100 + lane, 1, 4);
}

static const weir_emulated_kernel kernels[] = {
    {"add_one", addOne, 1, 0, 0},
    {"sum_block", sumBlock, 2, 3 * 8, WEIR_EMULATED_COMMUNICATES},
    {"diverge", diverge, 0, 0, WEIR_EMULATED_COMMUNICATES},
    {"shuffle_modes", shuffleModes, 1, 0, WEIR_EMULATED_COMMUNICATES},
};
static const weir_emulated_image image = {WEIR_EMULATED_MAGIC, 4, kernels};

namespace {

class Kernel : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(cudaLibraryLoadData(&library, &image, nullptr, nullptr, 0,
                                  nullptr, nullptr, 0),
              cudaSuccess);
  }
  void TearDown() override {
    cudaStreamDestroy(stream);
    cudaLibraryUnload(library);
    weir_emulated_set_faults("");
    weir_emulated_reset_device(0);
    cudaGetLastError();
  }

  cudaError_t launch(const char *name, unsigned grid, unsigned block,
                     std::vector<void *> arguments) {
    cudaKernel_t kernel;
    if (cudaError_t error = cudaLibraryGetKernel(&kernel, library, name))
      return error;
    std::vector<void *> addresses;
    for (void *&argument : arguments)
      addresses.push_back(&argument);
    return cudaLaunchKernel(kernel, grid, block, addresses.data(), 0, stream);
  }

  cudaLibrary_t library;
  cudaStream_t stream = newStream();
};

} // namespace

TEST_F(Kernel, EveryThreadOfEveryBlockRunsOnce) {
  DeviceVector<int> memory(64 * 128, 1);
  ASSERT_EQ(launch("add_one", 64, 128, {memory.data}), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(memory.values(), std::vector<int>(64 * 128, 2));
}

// Shuffles, shared memory and a barrier add up the numbers of each block.
TEST_F(Kernel, BlockReduction) {
  std::vector<int> numbers(50 * 96);
  std::iota(numbers.begin(), numbers.end(), 0);
  DeviceVector<int> memory(numbers), sums(50);
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(launch("sum_block", 50, 96, {memory.data, sums.data}),
              cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (int block = 0; block < 50; ++block)
    EXPECT_EQ(sums.data[block], 96 * 96 * block + 95 * 96 / 2);
}

// Every mode of a shuffle, in segments of 4 lanes of a block of 38 threads: a
// lane outside of the segment is not valid, one behind the block is garbage.
TEST_F(Kernel, ShuffleModes) {
  DeviceVector<weir_emulated_shuffled> results(160);
  ASSERT_EQ(launch("shuffle_modes", 1, 38, {results.data}), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  auto value = [&](int mode, int lane) {
    weir_emulated_shuffled result = results.data[mode * 40 + lane];
    return std::pair(int(result.value), int(result.valid));
  };
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_XOR, 6), std::pair(107, 1));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_DOWN, 6), std::pair(107, 1));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_DOWN, 7), std::pair(107, 0));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_DOWN, 37), std::pair(-1, 1));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_UP, 6), std::pair(105, 1));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_UP, 4), std::pair(104, 0));
  EXPECT_EQ(value(WEIR_EMULATED_SHUFFLE_IDX, 6), std::pair(105, 1));
}

// A barrier that some threads never reach ends the launch with an error.
TEST_F(Kernel, DivergentBarrier) {
  ASSERT_EQ(launch("diverge", 1, 64, {}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  EXPECT_STREQ(weir_emulated_message(0),
               "kernel diverge: thread 0 has ended while thread 1 waits at "
               "barrier 3");
  // The threads that waited do not disturb the next block.
  weir_emulated_reset_device(0);
  DeviceVector<int> memory(96, 1), sums(1);
  ASSERT_EQ(launch("sum_block", 1, 96, {memory.data, sums.data}), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(sums.data[0], 96);
}

// Launches that no device takes are refused at once; an argument that is no
// memory of the device is found when the kernel runs.
TEST_F(Kernel, WrongLaunches) {
  int host = 0;
  EXPECT_EQ(launch("add_one", 1, 1025, {&host}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch("add_one", 0, 32, {&host}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch("add_two", 1, 32, {&host}), cudaErrorSymbolNotFound);
  ASSERT_EQ(launch("add_one", 1, 1, {&host}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(host, 0);
}

// Faults of the device come at the occasion that was asked for.
TEST_F(Kernel, Faults) {
  DeviceVector<int> memory(1, 0);
  EXPECT_EQ(weir_emulated_set_faults("lunch:0:1"), 0);
  ASSERT_EQ(weir_emulated_set_faults("launch:0:2,kernel:0:2"), 1);
  EXPECT_EQ(launch("add_one", 1, 1, {memory.data}), cudaSuccess);
  EXPECT_EQ(launch("add_one", 1, 1, {memory.data}),
            cudaErrorLaunchOutOfResources);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(memory.data[0], 1);
  EXPECT_EQ(launch("add_one", 1, 1, {memory.data}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  weir_emulated_reset_device(0);

  weir_emulated_set_faults("memory:0:1,library:0:1");
  void *address;
  EXPECT_EQ(cudaMalloc(&address, 16), cudaErrorMemoryAllocation);
  cudaLibrary_t other;
  EXPECT_EQ(cudaLibraryLoadData(&other, &image, nullptr, nullptr, 0, nullptr,
                                nullptr, 0),
            cudaErrorNoKernelImageForDevice);
  int64_t wrong = 0;
  EXPECT_EQ(cudaLibraryLoadData(&other, &wrong, nullptr, nullptr, 0, nullptr,
                                nullptr, 0),
            cudaErrorInvalidKernelImage);

  weir_emulated_set_faults("late-event:0:1");
  cudaEvent_t event = newEvent();
  cudaEventRecord(event, stream);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  cudaEventDestroy(event);
}
