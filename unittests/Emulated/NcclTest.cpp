//===- NcclTest.cpp - transfers between threads and processes -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"

#include <barrier>
#include <cstring>
#include <filesystem>
#include <functional>
#include <latch>
#include <nccl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>

namespace {

/// A rank on its own thread and device.
struct Rank {
  int rank;
  ncclComm_t world;
  cudaStream_t stream;
};

ncclConfig_t nonBlocking() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return config;
}

/// Polls until nothing is in progress.
ncclResult_t settle(ncclComm_t comm) {
  ncclResult_t state;
  do {
    std::this_thread::yield();
    EXPECT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
  } while (state == ncclInProgress);
  return state;
}

/// Calls that may go on in the background.
ncclResult_t call(ncclComm_t comm, ncclResult_t result) {
  return result == ncclInProgress ? settle(comm) : result;
}

Rank join(ncclUniqueId id, int ranks, int rank) {
  EXPECT_EQ(cudaSetDevice(rank), cudaSuccess);
  ncclConfig_t config = nonBlocking();
  ncclComm_t world = nullptr;
  EXPECT_EQ(ncclCommInitRankConfig(&world, ranks, id, rank, &config),
            ncclInProgress);
  EXPECT_EQ(settle(world), ncclSuccess);
  return {rank, world, newStream()};
}

void leave(const Rank &rank) {
  EXPECT_EQ(call(rank.world, ncclCommFinalize(rank.world)), ncclSuccess);
  EXPECT_EQ(ncclCommDestroy(rank.world), ncclSuccess);
  EXPECT_EQ(cudaStreamDestroy(rank.stream), cudaSuccess);
}

void onThreads(int ranks, std::function<void(int, ncclUniqueId)> run) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back(run, rank, id);
  for (std::thread &thread : threads)
    thread.join();
}

ncclResult_t send(const Rank &rank, DeviceVector<int> &data, int peer) {
  return call(rank.world, ncclSend(data.data, data.size, ncclInt32, peer,
                                   rank.world, rank.stream));
}

ncclResult_t receive(const Rank &rank, DeviceVector<int> &data, int peer) {
  return call(rank.world, ncclRecv(data.data, data.size, ncclInt32, peer,
                                   rank.world, rank.stream));
}

/// Rank 0 sends vectors of several sizes to rank 1, and gets the last one back.
void echo(const Rank &rank) {
  for (size_t size : {1, 1000, 50000}) {
    DeviceVector<int> data(size, rank.rank == 0 ? int(size) : -1);
    if (rank.rank == 0) {
      EXPECT_EQ(send(rank, data, 1), ncclSuccess);
      EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
      continue;
    }
    EXPECT_EQ(receive(rank, data, 0), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
    EXPECT_EQ(data.values(), std::vector<int>(size, int(size)));
  }
}

/// Runs a test once more in a process of its own, which finds the directory of
/// the unique id in its environment.
pid_t startAgain(const std::string &test, const ncclUniqueId &id) {
  std::string filter = "--gtest_filter=" + test;
  std::string directory = std::string("WEIR_TEST_DIRECTORY=") + id.internal;
  char *arguments[] = {filter.data(), filter.data(), nullptr};
  char *environment[] = {directory.data(), nullptr};
  pid_t child = -1;
  EXPECT_EQ(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments,
                        environment),
            0);
  return child;
}

} // namespace

TEST(Nccl, BetweenThreads) {
  onThreads(2, [](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    echo(self);
    leave(self);
  });
}

// The same between processes; the test starts itself again as rank 1.
TEST(Nccl, BetweenProcesses) {
  ncclUniqueId id = {};
  if (const char *directory = getenv("WEIR_TEST_DIRECTORY")) {
    strncpy(id.internal, directory, sizeof(id.internal) - 1);
    Rank self = join(id, 2, 1);
    echo(self);
    leave(self);
    return;
  }
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  pid_t child = startAgain("Nccl.BetweenProcesses", id);
  Rank self = join(id, 2, 0);
  echo(self);
  leave(self);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// A send ends only once the other rank receives.
TEST(Nccl, Rendezvous) {
  std::latch looked(1);
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> data(1, rank);
    if (rank == 0) {
      EXPECT_EQ(send(self, data, 1), ncclSuccess);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
      looked.count_down();
    } else {
      looked.wait();
      EXPECT_EQ(receive(self, data, 0), ncclSuccess);
    }
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(data.data[0], 0);
    leave(self);
  });
}

// Transfers match in the order of the calls, even on different streams.
TEST(Nccl, InOrderPerPair) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank), other = self;
    other.stream = newStream();
    DeviceVector<int> first(1, 1 - rank), second(1, 2 - 2 * rank);
    if (rank == 0) {
      // The second is ready first, and waits nevertheless.
      weir_emulated_hold(self.stream);
      EXPECT_EQ(send(self, first, 1), ncclSuccess);
      EXPECT_EQ(send(other, second, 1), ncclSuccess);
      weir_emulated_let_go(self.stream);
    } else {
      EXPECT_EQ(receive(self, first, 0), ncclSuccess);
      EXPECT_EQ(receive(other, second, 0), ncclSuccess);
    }
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(other.stream), cudaSuccess);
    EXPECT_EQ(first.data[0], 1);
    EXPECT_EQ(second.data[0], 2);
    cudaStreamDestroy(other.stream);
    leave(self);
  });
}

// In a group both ranks may send first.
TEST(Nccl, GroupsMoveTogether) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> out(50000, rank), in(50000, -1);
    ncclGroupStart();
    EXPECT_EQ(ncclSend(out.data, out.size, ncclInt32, 1 - rank, self.world,
                       self.stream),
              ncclSuccess);
    EXPECT_EQ(ncclRecv(in.data, in.size, ncclInt32, 1 - rank, self.world,
                       self.stream),
              ncclSuccess);
    EXPECT_EQ(call(self.world, ncclGroupEnd()), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(in.values(), std::vector<int>(50000, 1 - rank));
    leave(self);
  });
}

// A communicator that does not block takes its calls to the stream later: until
// it has settled, it takes no other, and the new one of a split does not exist.
TEST(Nccl, CallsEndInTheBackground) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    ncclComm_t part = reinterpret_cast<ncclComm_t>(1);
    ASSERT_EQ(ncclCommSplit(self.world, 0, -rank, &part, nullptr),
              ncclInProgress);
    EXPECT_EQ(settle(self.world), ncclSuccess);
    ASSERT_NE(part, nullptr);
    // Rank 1 has the lower key.
    Rank inPart = {1 - rank, part, self.stream};
    DeviceVector<int> data(3, rank);
    ncclResult_t result =
        rank == 1 ? ncclSend(data.data, 3, ncclInt32, 1, part, self.stream)
                  : ncclRecv(data.data, 3, ncclInt32, 0, part, self.stream);
    EXPECT_EQ(result, ncclInProgress);
    EXPECT_EQ(settle(part), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(data.data[0], 1);
    EXPECT_EQ(ncclCommDestroy(inPart.world), ncclSuccess);
    ncclComm_t none;
    call(self.world,
         ncclCommSplit(self.world, NCCL_SPLIT_NOCOLOR, 0, &none, nullptr));
    EXPECT_EQ(none, nullptr);
    leave(self);
  });
}

// Captured transfers run with each launch of their graphs.
TEST(Nccl, InGraphs) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> data(2, rank);
    cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal);
    EXPECT_EQ(rank == 0 ? send(self, data, 1) : receive(self, data, 0),
              ncclSuccess);
    cudaGraph_t graph;
    ASSERT_EQ(cudaStreamEndCapture(self.stream, &graph), cudaSuccess);
    cudaGraphExec_t executable;
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int i = 0; i < 5; ++i) {
      if (rank == 0)
        data.data[0] = 10 * i;
      cudaGraphLaunch(executable, self.stream);
      ASSERT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
      EXPECT_EQ(data.data[0], 10 * i);
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    leave(self);
  });
}

// A receive that nobody sends to ends by ncclCommAbort, on the stream and in a
// graph that is running.
TEST(Nccl, AbortEndsWhatHangs) {
  for (bool captured : {false, true})
    onThreads(2, [&](int rank, ncclUniqueId id) {
      Rank self = join(id, 2, rank);
      DeviceVector<int> data(1, 4);
      if (rank == 1 && captured)
        cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal);
      if (rank == 1)
        EXPECT_EQ(receive(self, data, 0), ncclSuccess);
      if (rank == 1 && captured) {
        cudaGraph_t graph;
        ASSERT_EQ(cudaStreamEndCapture(self.stream, &graph), cudaSuccess);
        cudaGraphExec_t executable;
        cudaGraphInstantiate(&executable, graph, 0);
        cudaGraphLaunch(executable, self.stream);
        cudaGraphExecDestroy(executable);
        cudaGraphDestroy(graph);
      }
      if (rank == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
      }
      EXPECT_EQ(ncclCommAbort(self.world), ncclSuccess);
      EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
      EXPECT_EQ(data.data[0], 4);
      cudaStreamDestroy(self.stream);
    });
}

// Two ends of different sizes are an error at both.
TEST(Nccl, SizesThatDiffer) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> data(2 + rank);
    rank == 0 ? send(self, data, 1) : receive(self, data, 0);
    ncclResult_t state;
    do
      ncclCommGetAsyncError(self.world, &state);
    while (state == ncclSuccess);
    // One notices first, and may be gone before the other has heard its size.
    EXPECT_TRUE(state == ncclInvalidUsage || state == ncclRemoteError);
    ncclCommAbort(self.world);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    cudaStreamDestroy(self.stream);
  });
}

// Two ranks of a communicator on one device are refused, as NCCL refuses them.
TEST(Nccl, OneRankPerDevice) {
  onThreads(2, [&](int rank, ncclUniqueId id) {
    cudaSetDevice(0);
    ncclConfig_t config = nonBlocking();
    ncclComm_t world;
    ncclCommInitRankConfig(&world, 2, id, rank, &config);
    EXPECT_EQ(settle(world), ncclInvalidUsage);
    ncclCommAbort(world);
  });
}

// A hanging transfer hangs both ranks, with no error, until they abort.
TEST(Nccl, HangFault) {
  weir_emulated_set_faults("hang:1:2");
  std::barrier looked(2);
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> first(1, 1 - rank), second(1, 1 - rank);
    auto move = [&](DeviceVector<int> &data) {
      EXPECT_EQ(rank == 0 ? send(self, data, 1) : receive(self, data, 0),
                ncclSuccess);
    };
    cudaEvent_t moved = newEvent();
    move(first);
    cudaEventRecord(moved, self.stream);
    move(second);
    EXPECT_EQ(cudaEventSynchronize(moved), cudaSuccess);
    cudaEventDestroy(moved);
    EXPECT_EQ(first.data[0], 1);
    EXPECT_EQ(second.data[0], 1 - rank);
    EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
    EXPECT_EQ(settle(self.world), ncclSuccess);
    looked.arrive_and_wait();
    ncclCommAbort(self.world);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    cudaStreamDestroy(self.stream);
  });
  weir_emulated_set_faults("");
}

// An asynchronous error is one of the system where it happens and one of the
// remote process elsewhere; the stream waits for the abort.
TEST(Nccl, AsynchronousErrorFault) {
  weir_emulated_set_faults("async-error:0:1");
  onThreads(2, [&](int rank, ncclUniqueId id) {
    Rank self = join(id, 2, rank);
    DeviceVector<int> data(1, 1 - rank);
    rank == 0 ? send(self, data, 1) : receive(self, data, 0);
    ncclResult_t state;
    do
      ncclCommGetAsyncError(self.world, &state);
    while (state == ncclSuccess);
    EXPECT_EQ(state, rank == 0 ? ncclSystemError : ncclRemoteError);
    EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
    EXPECT_EQ(
        ncclSend(data.data, 1, ncclInt32, 1 - rank, self.world, self.stream),
        state);
    ncclCommAbort(self.world);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    cudaStreamDestroy(self.stream);
  });
  weir_emulated_set_faults("");
}

// A rank that dies is a remote error to its peer.
TEST(Nccl, ExitFault) {
  ncclUniqueId id = {};
  if (const char *directory = getenv("WEIR_TEST_DIRECTORY")) {
    strncpy(id.internal, directory, sizeof(id.internal) - 1);
    weir_emulated_set_faults("exit:1:2");
    Rank self = join(id, 2, 1);
    echo(self);
    return;
  }
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  pid_t child = startAgain("Nccl.ExitFault", id);
  Rank self = join(id, 2, 0);
  DeviceVector<int> one(1, 1), thousand(1000, 1000);
  EXPECT_EQ(send(self, one, 1), ncclSuccess);
  send(self, thousand, 1);
  ncclResult_t state;
  do
    ncclCommGetAsyncError(self.world, &state);
  while (state == ncclSuccess);
  EXPECT_EQ(state, ncclRemoteError);
  ncclCommAbort(self.world);
  EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
  int status;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  // Killed, it left its socket.
  std::filesystem::remove_all(id.internal);
  cudaStreamDestroy(self.stream);
}
