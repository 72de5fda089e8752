//===- GraphTest.cpp - capture and replay ---------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"

#include <atomic>
#include <thread>

namespace {

/// Two streams with events between them.
struct Fork {
  cudaStream_t main = newStream(), side = newStream();
  cudaEvent_t forked = newEvent(), joined = newEvent();

  ~Fork() {
    cudaEventDestroy(forked);
    cudaEventDestroy(joined);
    cudaStreamDestroy(main);
    cudaStreamDestroy(side);
  }

  /// memory[1] = memory[0] on the side while memory[2] = memory[0] on the main
  /// stream, then memory[3] = memory[1] + 0 and memory[0] = 0.
  void enqueue(int *memory) {
    auto copy = [&](int to, int from, cudaStream_t stream) {
      cudaMemcpyAsync(memory + to, memory + from, 4, cudaMemcpyDeviceToDevice,
                      stream);
    };
    cudaEventRecord(forked, main);
    cudaStreamWaitEvent(side, forked, 0);
    copy(1, 0, side);
    cudaEventRecord(joined, side);
    copy(2, 0, main);
    cudaStreamWaitEvent(main, joined, 0);
    copy(3, 1, main);
    cudaMemsetAsync(memory, 0, 4, main);
  }

  cudaGraphExec_t capture(int *memory) {
    EXPECT_EQ(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal),
              cudaSuccess);
    enqueue(memory);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(main, &graph), cudaSuccess);
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    return executable;
  }
};

} // namespace

// A captured fork and join does nothing until it is launched, and then what the
// calls would have done, each time.
TEST(Graph, ReplayEqualsCalls) {
  Fork fork;
  DeviceVector<int> eager({7, 0, 0, 0}), replayed({7, 0, 0, 0});
  fork.enqueue(eager.data);
  cudaStreamSynchronize(fork.main);
  cudaGraphExec_t graph = fork.capture(replayed.data);
  EXPECT_EQ(replayed.values(), (std::vector<int>{7, 0, 0, 0}));
  for (int i = 0; i < 20; ++i) {
    replayed.data[0] = 7;
    ASSERT_EQ(cudaGraphLaunch(graph, fork.main), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(fork.main), cudaSuccess);
    ASSERT_EQ(replayed.values(), eager.values());
  }
  cudaGraphExecDestroy(graph);
}

// Branches of a graph run at the same time: each of these waits for the other.
TEST(Graph, BranchesRunTogether) {
  Fork fork;
  static std::atomic<int> arrived;
  arrived = 0;
  auto meet = [](void *) {
    ++arrived;
    while (arrived < 2)
      std::this_thread::yield();
  };
  cudaStreamBeginCapture(fork.main, cudaStreamCaptureModeThreadLocal);
  cudaEventRecord(fork.forked, fork.main);
  cudaStreamWaitEvent(fork.side, fork.forked, 0);
  cudaLaunchHostFunc(fork.main, meet, nullptr);
  cudaLaunchHostFunc(fork.side, meet, nullptr);
  cudaEventRecord(fork.joined, fork.side);
  cudaStreamWaitEvent(fork.main, fork.joined, 0);
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(fork.main, &graph), cudaSuccess);
  cudaGraphExec_t executable;
  cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphLaunch(executable, fork.main);
  EXPECT_EQ(cudaStreamSynchronize(fork.main), cudaSuccess);
  EXPECT_EQ(arrived, 2);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

// Graphs in a graph run in the order of its edges.
TEST(Graph, Children) {
  Fork fork;
  DeviceVector<int> memory({3, 0, 0, 0});
  cudaGraph_t parts[2], whole;
  for (int i = 0; i < 2; ++i) {
    cudaStreamBeginCapture(fork.main, cudaStreamCaptureModeThreadLocal);
    cudaMemcpyAsync(memory.data + i + 1, memory.data + i, 4,
                    cudaMemcpyDeviceToDevice, fork.main);
    cudaStreamEndCapture(fork.main, &parts[i]);
  }
  cudaGraphCreate(&whole, 0);
  cudaGraphNode_t first, second;
  ASSERT_EQ(cudaGraphAddChildGraphNode(&first, whole, nullptr, 0, parts[0]),
            cudaSuccess);
  ASSERT_EQ(cudaGraphAddChildGraphNode(&second, whole, &first, 1, parts[1]),
            cudaSuccess);
  cudaGraphExec_t executable;
  cudaGraphInstantiate(&executable, whole, 0);
  cudaGraphLaunch(executable, fork.main);
  cudaStreamSynchronize(fork.main);
  EXPECT_EQ(memory.values(), (std::vector<int>{3, 3, 3, 0}));
  cudaGraphExecDestroy(executable);
  for (cudaGraph_t graph : {parts[0], parts[1], whole})
    cudaGraphDestroy(graph);
}

// A stream outside waits for an event that a graph records.
TEST(Graph, ExternalEvents) {
  Fork fork;
  DeviceVector<int> memory({1, 2});
  cudaStreamBeginCapture(fork.main, cudaStreamCaptureModeThreadLocal);
  cudaMemsetAsync(memory.data, 0, 4, fork.main);
  cudaEventRecordWithFlags(fork.joined, fork.main, cudaEventRecordExternal);
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(fork.main, &graph), cudaSuccess);
  cudaGraphExec_t executable;
  cudaGraphInstantiate(&executable, graph, 0);
  weir_emulated_hold(fork.main);
  cudaGraphLaunch(executable, fork.main);
  cudaStreamWaitEvent(fork.side, fork.joined, 0);
  cudaMemcpyAsync(memory.data + 1, memory.data, 4, cudaMemcpyDeviceToDevice,
                  fork.side);
  weir_emulated_let_go(fork.main);
  cudaStreamSynchronize(fork.side);
  EXPECT_EQ(memory.values(), (std::vector<int>{0, 0}));
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

// A branch that does not come back, a wait for work outside of the capture, and
// a call that waits are errors.
TEST(Graph, WrongCaptures) {
  Fork fork;
  DeviceVector<int> memory(1);
  cudaGraph_t graph;
  auto begin = [&] {
    cudaStreamBeginCapture(fork.main, cudaStreamCaptureModeThreadLocal);
  };

  begin();
  cudaEventRecord(fork.forked, fork.main);
  cudaStreamWaitEvent(fork.side, fork.forked, 0);
  cudaMemsetAsync(memory.data, 0, 4, fork.side);
  EXPECT_EQ(cudaStreamEndCapture(fork.main, &graph),
            cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);

  cudaEventRecord(fork.joined, fork.side);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(fork.main, fork.joined, 0),
            cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(fork.main, &graph),
            cudaErrorStreamCaptureInvalidated);

  begin();
  EXPECT_EQ(cudaStreamSynchronize(fork.main),
            cudaErrorStreamCaptureUnsupported);
  cudaStreamCaptureStatus status;
  cudaStreamIsCapturing(fork.main, &status);
  EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(fork.main, &graph),
            cudaErrorStreamCaptureInvalidated);

  begin();
  void *address;
  EXPECT_EQ(cudaMalloc(&address, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(fork.main, &graph),
            cudaErrorStreamCaptureInvalidated);

  begin();
  cudaEventRecord(fork.forked, fork.main);
  EXPECT_EQ(cudaStreamEndCapture(fork.main, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  EXPECT_EQ(cudaEventQuery(fork.forked), cudaErrorCapturedEvent);
  cudaGetLastError();
}
