//===- ThreadTransportTest.cpp - rendezvous of threads --------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/ThreadTransport.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

using namespace weir::runtime;

static const double longTime = 60, shortTime = 0.02;

TEST(ThreadTransportTest, CopiesOnceBothHaveStarted) {
  ThreadTransport transport(0);
  int32_t from = 5, to = 0;
  int64_t send = transport.addSend({0, 1, 9, &from, 4});
  int64_t receive = transport.addReceive({1, 0, 9, &to, 4});
  EXPECT_EQ(transport.sendStart(send), TransferResult::Done);
  EXPECT_EQ(transport.wait(send, shortTime), TransferResult::TimedOut);
  // Nothing is buffered: what counts is what is there when both have started.
  from = 6;
  EXPECT_EQ(transport.receiveStart(receive), TransferResult::Done);
  EXPECT_EQ(to, 6);
  EXPECT_EQ(transport.wait(receive, longTime), TransferResult::Done);
  EXPECT_EQ(transport.wait(send, longTime), TransferResult::Done);
}

TEST(ThreadTransportTest, ASenderMayBeAStepAhead) {
  ThreadTransport transport(0);
  int32_t from = 1, to = 0;
  int64_t send = transport.addSend({0, 1, 9, &from, 4});
  int64_t receive = transport.addReceive({1, 0, 9, &to, 4});
  (void)transport.receiveStart(receive);
  (void)transport.sendStart(send);
  EXPECT_EQ(transport.wait(send, longTime), TransferResult::Done);
  // The next step of the sender, before the receiver has looked.
  from = 2;
  (void)transport.sendStart(send);
  EXPECT_EQ(transport.wait(receive, longTime), TransferResult::Done);
  EXPECT_EQ(to, 1);
  EXPECT_EQ(transport.wait(send, shortTime), TransferResult::TimedOut);
  (void)transport.receiveStart(receive);
  EXPECT_EQ(to, 2);
  EXPECT_EQ(transport.wait(send, longTime), TransferResult::Done);
}

TEST(ThreadTransportTest, SeesMessagesThatDoNotMatch) {
  ThreadTransport transport(0);
  int64_t from = 1, to = 0;
  int64_t send = transport.addSend({0, 1, 9, &from, 8});
  int64_t receive = transport.addReceive({1, 0, 8, &to, 8});
  (void)transport.sendStart(send);
  EXPECT_EQ(transport.receiveStart(receive), TransferResult::Mismatch);
  EXPECT_EQ(to, 0);
}

TEST(ThreadTransportTest, AbortEndsWaits) {
  for (int spins : {0, 1000}) {
    ThreadTransport transport(spins);
    int32_t to = 0;
    int64_t receive = transport.addReceive({1, 0, 9, &to, 4});
    std::thread rank([&] {
      (void)transport.receiveStart(receive);
      EXPECT_EQ(transport.wait(receive, longTime), TransferResult::Aborted);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    transport.abort();
    rank.join();
    EXPECT_EQ(transport.wait(receive, longTime), TransferResult::Aborted);
  }
}

TEST(ThreadTransportTest, ManyRanksExchangeManyMessages) {
  // A ring in which every rank has several messages under way to both sides.
  const int64_t numRanks = 5, numMessages = 4, numSteps = 200, words = 33;
  ThreadTransport transport(10);
  struct End {
    int64_t handle;
    int64_t peer, message;
    std::vector<int64_t> words;
  };
  std::vector<std::vector<End>> sends(numRanks), receives(numRanks);
  for (int64_t rank = 0; rank < numRanks; ++rank)
    for (int64_t side : {int64_t(1), numRanks - 1})
      for (int64_t i = 0; i < numMessages; ++i) {
        int64_t peer = (rank + side) % numRanks;
        int64_t out = (rank * numRanks + peer) * numMessages + i;
        int64_t in = (peer * numRanks + rank) * numMessages + i;
        sends[rank].push_back({0, peer, out, std::vector<int64_t>(words)});
        receives[rank].push_back({0, peer, in, std::vector<int64_t>(words)});
      }
  for (int64_t rank = 0; rank < numRanks; ++rank) {
    for (End &end : sends[rank])
      end.handle = transport.addSend(
          {rank, end.peer, end.message, end.words.data(), words * 8});
    for (End &end : receives[rank])
      end.handle = transport.addReceive(
          {rank, end.peer, end.message, end.words.data(), words * 8});
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < numRanks; ++rank)
    threads.emplace_back([&, rank] {
      for (int64_t step = 1; step <= numSteps; ++step) {
        for (End &end : receives[rank])
          (void)transport.receiveStart(end.handle);
        for (End &end : sends[rank]) {
          std::fill(end.words.begin(), end.words.end(),
                    step * 1000 + end.message);
          (void)transport.sendStart(end.handle);
        }
        for (End &end : receives[rank]) {
          wrong += transport.wait(end.handle, longTime) != TransferResult::Done;
          for (int64_t word : end.words)
            wrong += word != step * 1000 + end.message;
        }
        for (End &end : sends[rank])
          wrong += transport.wait(end.handle, longTime) != TransferResult::Done;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}
