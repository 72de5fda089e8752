//===- TableTest.cpp - tables are verified --------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Table.h"
#include "BigramModel.h"
#include "weir/Runtime/Random.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;

/// The line that parsing gives; empty for success.
static std::string parseError(const std::vector<std::byte> &bytes) {
  Table table;
  return Table::parse(bytes.data(), bytes.size(), table).message();
}

static std::string parseError(TableBuilder builder) {
  return parseError(builder.build());
}

#define EXPECT_REFUSED(table, part)                                            \
  EXPECT_NE(parseError(table).find(part), std::string::npos)                   \
      << parseError(table)

/// Index of the `n`-th action of a kind.
static size_t nth(const TableBuilder::Device &device, int64_t kind, int n) {
  for (size_t i = 0; i < device.actions.size(); ++i)
    if (device.actions[i].kind == kind && n-- == 0)
      return i;
  ADD_FAILURE() << "no such action";
  return 0;
}

TEST(TableTest, AcceptsCorrectPrograms) {
  EXPECT_EQ(parseError(Bigram::onOneDevice()), "");
  EXPECT_EQ(parseError(Bigram::onTwoDevices()), "");
}

TEST(TableTest, DescribesActionsAsPeopleWriteThem) {
  Table table;
  std::vector<std::byte> bytes = Bigram::onTwoDevices().build();
  ASSERT_FALSE(Table::parse(bytes.data(), bytes.size(), table).failed());
  EXPECT_EQ(table.describe(0, 0), "load tokens mb 0");
  EXPECT_EQ(table.describe(0, 1), "F s0 mb 0");
  EXPECT_EQ(table.describe(0, 2), "send x mb 0 to device 1");
  EXPECT_EQ(table.describe(0, 3), "recv dx mb 0 from device 1");
  EXPECT_EQ(table.describe(0, 4), "wait for send x mb 0 to device 1");
  int64_t last = table.actions(1).size() - 1;
  EXPECT_EQ(table.describe(1, last), "wait for send count to device 0");
  EXPECT_EQ(table.describe(1, last - 1), "update head");
}

TEST(TableTest, RefusesWhatIsNoTable) {
  EXPECT_REFUSED(std::vector<std::byte>(8), "less than the header");
  EXPECT_REFUSED(std::vector<std::byte>(4096), "wrong magic number");
  std::vector<std::byte> bytes = Bigram::onOneDevice().build();
  bytes.resize(bytes.size() - 8);
  EXPECT_REFUSED(bytes, "bytes, but there are");
  bytes = Bigram::onOneDevice().build();
  bytes[8] = std::byte(WEIR_TABLE_VERSION + 1);
  EXPECT_REFUSED(bytes, "version 4, but this runtime reads version 3");
}

TEST(TableTest, RefusesBadRecords) {
  TableBuilder table = Bigram::onOneDevice();
  table.header.loss_device = 1;
  EXPECT_REFUSED(table, "loss device is 1 of 1");

  table = Bigram::onOneDevice();
  table.header.model_name = 1 << 20;
  EXPECT_REFUSED(table, "model name is outside the strings");

  table = Bigram::onOneDevice();
  table.variables[1].name = table.variables[0].name;
  EXPECT_REFUSED(table, "variable 'embedding' is there twice");

  table = Bigram::onOneDevice();
  table.variables[0].rank = 1000;
  EXPECT_REFUSED(table, "shape is outside the dims");

  table = Bigram::onOneDevice();
  table.variables[0].init_value = -1;
  EXPECT_REFUSED(table, "cannot be initialised with -1");
}

TEST(TableTest, RefusesBadResidents) {
  TableBuilder table = Bigram::onOneDevice();
  table.devices[0].residents[1].offset = table.devices[0].residents[0].offset;
  EXPECT_REFUSED(table, "overlap");

  table = Bigram::onOneDevice();
  table.devices[0].residents[0].bytes -= 4;
  EXPECT_REFUSED(table, "bytes for 'embedding'");

  table = Bigram::onOneDevice();
  table.devices[0].residents[0].offset = table.devices[0].arenaBytes;
  EXPECT_REFUSED(table, "outside the arena");

  table = Bigram::onOneDevice();
  std::erase_if(table.devices[0].residents, [](const weir_resident &r) {
    return r.kind == WEIR_RESIDENT_LOSS;
  });
  EXPECT_REFUSED(table, "loss device 0 holds no loss");

  table = Bigram::onOneDevice();
  std::erase_if(table.devices[0].residents, [](const weir_resident &r) {
    return r.kind == WEIR_RESIDENT_PARAMETER && r.variable == 1;
  });
  EXPECT_REFUSED(table, "no device holds variable 'head'");

  // The second use of the head without the first.
  table = Bigram::onOneDevice();
  std::erase_if(table.devices[0].residents, [](const weir_resident &r) {
    return r.kind == WEIR_RESIDENT_GRADIENT && r.variable == 1 && r.index == 0;
  });
  EXPECT_REFUSED(table, "has gradient accumulator 1 but not 0");
}

TEST(TableTest, RefusesBadActions) {
  TableBuilder table = Bigram::onOneDevice();
  weir_action *run =
      &table.devices[0].actions[nth(table.devices[0], WEIR_ACTION_RUN, 0)];
  run->kernel = 7;
  EXPECT_REFUSED(table, "unknown kernel 7");
  run->kernel = 0;
  run->first_buffer = INT64_MAX;
  EXPECT_REFUSED(table, "buffers are outside their section");

  // The length of a buffer counts, and what a kernel does with it.
  table = Bigram::onOneDevice();
  table.buffers[0].bytes = table.devices[0].arenaBytes + 1;
  EXPECT_REFUSED(table, "is outside the arena");
  table.buffers[0].bytes = -1;
  EXPECT_REFUSED(table, "is outside the arena");
  table = Bigram::onOneDevice();
  table.buffers[0].access = 2;
  EXPECT_REFUSED(table, "unknown access 2");

  table = Bigram::onOneDevice();
  weir_action *load =
      &table.devices[0].actions[nth(table.devices[0], WEIR_ACTION_LOAD, 0)];
  load->bytes /= 2;
  EXPECT_REFUSED(table, "bytes for input 'tokens'");
  load->bytes = INT64_MAX;
  EXPECT_REFUSED(table, "outside the arena");

  table = Bigram::onOneDevice();
  weir_action *release =
      &table.devices[0].actions[nth(table.devices[0], WEIR_ACTION_RELEASE, 0)];
  release->offset = 0;
  EXPECT_REFUSED(table, "releases a resident buffer");
}

TEST(TableTest, RefusesBadTransfers) {
  // Waited for twice.
  TableBuilder table = Bigram::onTwoDevices();
  std::vector<weir_action> *actions = &table.devices[0].actions;
  size_t wait = nth(table.devices[0], WEIR_ACTION_WAIT, 0);
  actions->insert(actions->begin() + wait, (*actions)[wait]);
  EXPECT_REFUSED(table, "which is not in transfer");

  // Never waited for.
  table = Bigram::onTwoDevices();
  table.devices[1].actions.pop_back();
  EXPECT_REFUSED(table, "is started but never waited for");

  // A pass uses bytes that are still arriving.
  table = Bigram::onTwoDevices();
  actions = &table.devices[1].actions;
  wait = nth(table.devices[1], WEIR_ACTION_WAIT, 0);
  std::swap((*actions)[wait], (*actions)[wait + 2]);
  EXPECT_REFUSED(table, "which is in transfer with token 0");

  // A pass writes bytes that are being sent.
  table = Bigram::onTwoDevices();
  actions = &table.devices[0].actions;
  size_t start = nth(table.devices[0], WEIR_ACTION_SEND_START, 0);
  size_t pass = nth(table.devices[0], WEIR_ACTION_RUN, 0);
  actions->insert(actions->begin() + start + 1, (*actions)[pass]);
  EXPECT_REFUSED(table, "writes the buffer at");

  // A message of another size, and one of another number.
  table = Bigram::onTwoDevices();
  size_t send = nth(table.devices[0], WEIR_ACTION_SEND_START, 0);
  table.devices[0].actions[send].bytes -= 64;
  EXPECT_REFUSED(table, "meets 'recv x mb 0 from device 0'");
  table = Bigram::onTwoDevices();
  table.devices[0].actions[send].message = 50;
  EXPECT_REFUSED(table, "(message 50,");

  // A receive without a send.
  table = Bigram::onTwoDevices();
  actions = &table.devices[0].actions;
  send = nth(table.devices[0], WEIR_ACTION_SEND_START, 3);
  int64_t token = (*actions)[send].token;
  std::erase_if(*actions, [&](const weir_action &a) {
    return a.token == token && a.kind != WEIR_ACTION_RUN;
  });
  EXPECT_REFUSED(table, "device 0 has no send for 'recv x mb 3 from device 0'");
}

TEST(TableTest, RefusesDeadlock) {
  // Device 1 waits for its first input before it asks for it; device 0 in turn
  // waits for the gradient of that input.
  TableBuilder table(2);
  table = Bigram::onTwoDevices();
  std::vector<weir_action> &actions = table.devices[0].actions;
  // The wait for dx of microbatch 0, moved before the send of x.
  size_t waitForGradient = nth(table.devices[0], WEIR_ACTION_WAIT, 2);
  weir_action wait = actions[waitForGradient];
  ASSERT_EQ(wait.token, 1);
  actions.erase(actions.begin() + waitForGradient);
  size_t receive = nth(table.devices[0], WEIR_ACTION_RECV_START, 0);
  weir_action start = actions[receive];
  actions.erase(actions.begin() + receive);
  size_t send = nth(table.devices[0], WEIR_ACTION_SEND_START, 0);
  actions.insert(actions.begin() + send, {start, wait});
  EXPECT_REFUSED(table, "deadlock: device 0 stops at 'wait for recv dx mb 0 "
                        "from device 1'; device 1 stops at 'wait for recv x mb "
                        "0 from device 0'");
}

TEST(TableTest, RandomDamageNeverCrashes) {
  std::vector<std::byte> intact = Bigram::onTwoDevices().build();
  RandomStream random(1, "damage");
  int refused = 0;
  const uint32_t numTables = 20000;
  for (uint32_t i = 0; i < numTables; ++i) {
    std::vector<std::byte> bytes = intact;
    int damages = 1 + random.below(3, i, 0, 0);
    for (int j = 1; j <= damages; ++j) {
      // Fields are 64 bits: a flipped bit, or a value at some edge.
      size_t field = random.below(bytes.size() / 8, i, j, 1) * 8;
      static constexpr int64_t edges[] = {0,         1,       -1, INT64_MAX,
                                          INT64_MIN, 1 << 20, 64, 4096};
      int64_t value;
      std::memcpy(&value, &bytes[field], 8);
      if (random.below(2, i, j, 2) == 0)
        value ^= int64_t(1) << random.below(63, i, j, 3);
      else
        value = edges[random.below(std::size(edges), i, j, 4)];
      std::memcpy(&bytes[field], &value, 8);
    }
    if (random.below(8, i, 0, 5) == 0)
      bytes.resize(random.below(bytes.size(), i, 0, 6));

    Table table;
    if (Table::parse(bytes.data(), bytes.size(), table).failed()) {
      ++refused;
      continue;
    }
    // What was accepted can be used.
    size_t length = 0;
    for (int64_t device = 0; device < table.numDevices(); ++device)
      for (size_t j = 0; j < table.actions(device).size(); ++j)
        length += table.describe(device, j).size();
    ASSERT_GT(length, 0u);
  }
  // Some damage is harmless (a label, a width); most is not.
  EXPECT_GT(refused, int(numTables) / 4);
}
