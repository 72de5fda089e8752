//===- StepPlanTest.cpp - what goes on which stream
//--------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepPlan.h"
#include "BigramModel.h"
#include "ChainModel.h"
#include "NcclTransport.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

using namespace weir::runtime;
using namespace weir::runtime::testing;
using namespace weir::runtime::cuda;

static Table tableOf(TableBuilder builder) {
  std::vector<std::byte> bytes = builder.build();
  Table table;
  Status status = Table::parse(bytes.data(), bytes.size(), table);
  EXPECT_FALSE(status.failed()) << status.message();
  return table;
}

static std::vector<std::string> linesOf(const StepPlan &plan,
                                        const Table &table, size_t count) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < std::min(count, plan.operations.size()); ++i)
    lines.push_back(plan.describe(table, i));
  return lines;
}

// A receive waits for the compute stream, which waits for it only where the
// program does; queues are numbered by their first transfer.
TEST(StepPlanTest, OrdersTransfersByEvents) {
  Table table = tableOf(makeChain(3, 2));
  StepPlan plan = StepPlan::make(table, 1, {});
  EXPECT_EQ(plan.numStreams, 5);
  EXPECT_EQ(plan.transfers.size(), 8u);
  EXPECT_EQ(plan.numEvents, 16);
  std::vector<std::string> expected = {
      "compute: clear 64 at 64",
      "compute: copy 4 to 128",
      "compute: copy 4 to 192",
      "compute: record start of 'recv x mb 0 from device 0'",
      "queue 1: wait for start of 'recv x mb 0 from device 0'",
      "queue 1: recv x mb 0 from device 0",
      "queue 1: record end of 'recv x mb 0 from device 0'",
      "compute: record start of 'recv x mb 1 from device 0'",
      "queue 1: wait for start of 'recv x mb 1 from device 0'",
      "queue 1: recv x mb 1 from device 0",
      "queue 1: record end of 'recv x mb 1 from device 0'",
      "compute: wait for end of 'recv x mb 0 from device 0'",
      "compute: F s1 mb 0",
      "compute: record start of 'send x mb 0 to device 2'",
      "queue 2: wait for start of 'send x mb 0 to device 2'",
      "queue 2: send x mb 0 to device 2",
      "queue 2: record end of 'send x mb 0 to device 2'",
  };
  EXPECT_EQ(linesOf(plan, table, expected.size()), expected);
}

// Inputs and results of a step have places of their own in the staging block.
TEST(StepPlanTest, StagesWhatGoesInAndOut) {
  Table table = tableOf(makeChain(2, 3));
  StepPlan first = StepPlan::make(table, 0, {});
  EXPECT_EQ(first.loads.size(), 3u);
  EXPECT_EQ(first.lossAt, -1);
  EXPECT_EQ(first.learningRateAt, 0);
  EXPECT_EQ(first.stepNumberAt, 64);
  EXPECT_EQ(first.loads[0].staging, 128);
  EXPECT_EQ(first.loads[2].staging, 256);
  EXPECT_EQ(first.stagingBytes, 320);
  StepPlan last = StepPlan::make(table, 1, {});
  EXPECT_TRUE(last.loads.empty());
  EXPECT_EQ(last.lossAt, 128);
  EXPECT_EQ(last.countAt, 192);
  EXPECT_EQ(last.describe(table, last.operations.size() - 1),
            "compute: copy 4 from 320");
  // Gradient, loss and count are not neighbours here.
  EXPECT_EQ(last.describe(table, 1), "compute: clear 68 at 256");
}

// Marks follow each transfer on its queue, and all queues end in the compute
// stream, as a graph needs.
TEST(StepPlanTest, JoinsQueuesBehindMarks) {
  Table table = tableOf(makeChain(2, 1));
  StepPlanOptions options;
  options.marks = true;
  StepPlan plan = StepPlan::make(table, 0, options);
  EXPECT_EQ(plan.numMarks(), 4);
  EXPECT_EQ(plan.numEvents, 6);
  std::vector<std::string> lines = linesOf(plan, table, plan.operations.size());
  std::vector<std::string> end(lines.end() - 4, lines.end());
  EXPECT_EQ(end, (std::vector<std::string>{
                     "queue 1: record end of queue",
                     "compute: wait for end of queue",
                     "queue 2: record end of queue",
                     "compute: wait for end of queue",
                 }));
}

// With a limit, a transfer also waits for the end of one before it.
TEST(StepPlanTest, LimitsTransfersInFlight) {
  Table table = tableOf(makeChain(3, 2));
  StepPlanOptions options;
  options.transfersInFlight = 2;
  StepPlan plan = StepPlan::make(table, 1, options);
  std::vector<std::string> lines = linesOf(plan, table, plan.operations.size());
  auto send = std::ranges::find(lines, "queue 2: send x mb 0 to device 2");
  ASSERT_NE(send, lines.end());
  EXPECT_EQ(send[-1], "queue 2: wait for end of 'recv x mb 0 from device 0'");
  std::vector<int64_t> two(3, 2), one(3, 1);
  EXPECT_FALSE(checkTransfersInFlight(table, two).failed());
  EXPECT_FALSE(checkTransfersInFlight(table, one).failed());
}

// Two transfers that cross need both to be in flight.
TEST(StepPlanTest, RefusesALimitThatStopsTheProgram) {
  TableBuilder builder(2);
  builder.header.num_stages = builder.header.num_microbatches = 1;
  builder.addResident(0, WEIR_RESIDENT_LOSS, -1, 0, 4);
  builder.addResident(0, WEIR_RESIDENT_COUNT, -1, 0, 4);
  for (int64_t device : {0, 1}) {
    int64_t out = builder.devices[device].allocate(64);
    int64_t in = builder.devices[device].allocate(64);
    int64_t send =
        builder.sendStart(device, 1 - device, device, -1, out, 64, "a");
    int64_t receive =
        builder.recvStart(device, 1 - device, 1 - device, -1, in, 64, "b");
    builder.wait(device, send);
    builder.wait(device, receive);
  }
  Table table = tableOf(std::move(builder));
  std::vector<int64_t> one(2, 1), two(2, 2);
  EXPECT_FALSE(checkTransfersInFlight(table, two).failed());
  EXPECT_EQ(checkTransfersInFlight(table, one).message(),
            "device 0 cannot have only 1 transfers in flight: it would stop at "
            "'wait for send a to device 1'");
}

// Poison comes before a receive is asked for and where bytes are released.
TEST(StepPlanTest, Poisons) {
  Table table = tableOf(Bigram::onTwoDevices());
  StepPlanOptions options;
  options.poison = true;
  StepPlan plan = StepPlan::make(table, 1, options);
  size_t poisoned = 0;
  for (size_t i = 0; i < plan.operations.size(); ++i) {
    const PlanOperation &operation = plan.operations[i];
    if (operation.kind != PlanKind::Poison)
      continue;
    ++poisoned;
    EXPECT_EQ(operation.stream, 0);
    if (table.actions(1)[operation.action].kind == WEIR_ACTION_RECV_START)
      EXPECT_EQ(plan.operations[i + 1].kind, PlanKind::Record);
  }
  // Four receives; four releases per microbatch.
  EXPECT_EQ(poisoned, 4u + 16u);
}

TEST(StepPlanTest, SaysWhatOperationsTouch) {
  Table table = tableOf(Bigram::onTwoDevices());
  StepPlan plan = StepPlan::make(table, 0, {});
  auto first = [&](PlanKind kind) {
    return *std::ranges::find(plan.operations, kind, &PlanOperation::kind);
  };
  // tokens, embedding, x
  std::vector<PlanAccess> pass = plan.accesses(table, first(PlanKind::Run));
  ASSERT_EQ(pass.size(), 3u);
  EXPECT_EQ(pass[0].end - pass[0].begin, Bigram::inputBytes);
  EXPECT_EQ(pass[1].end - pass[1].begin, Bigram::vocab * Bigram::width * 4);
  EXPECT_EQ(pass[2].end - pass[2].begin, Bigram::xBytes);
  EXPECT_EQ(pass[1].mode, PlanAccess::Read);
  EXPECT_EQ(pass[2].mode, PlanAccess::Write);
  std::vector<PlanAccess> send = plan.accesses(table, first(PlanKind::Send));
  ASSERT_EQ(send.size(), 1u);
  EXPECT_EQ(send[0].begin, pass[2].begin);
  EXPECT_EQ(send[0].mode, PlanAccess::Read);
  EXPECT_EQ(plan.accesses(table, first(PlanKind::Receive))[0].mode,
            PlanAccess::Write);
  EXPECT_TRUE(plan.accesses(table, first(PlanKind::Wait)).empty());
}

// Every queue is in one round; no device is twice in a round.
TEST(StepPlanTest, DealsQueuesToRounds) {
  Table table = tableOf(makeChain(5, 1));
  std::vector<std::vector<QueuePair>> rounds = queueRounds(table);
  EXPECT_EQ(rounds.size(), 4u);
  size_t pairs = 0;
  for (const auto &round : rounds) {
    std::set<int64_t> devices;
    for (auto [from, to] : round) {
      EXPECT_TRUE(devices.insert(from).second);
      EXPECT_TRUE(devices.insert(to).second);
    }
    pairs += round.size();
  }
  EXPECT_EQ(pairs, 8u);
  EXPECT_EQ(numQueues(table, 0), 2);
  EXPECT_EQ(numQueues(table, 2), 4);
  // Four queues on the busiest devices.
  EXPECT_EQ(maxTransferBlocks(table, 132), 8);
  EXPECT_EQ(mostTransfersInFlight(table, 132), 16);
  EXPECT_EQ(maxTransferBlocks(table, 8), 2);
  EXPECT_EQ(mostTransfersInFlight(table, 8), 4);
  EXPECT_EQ(mostTransfersInFlight(table, 2), 2);
}
