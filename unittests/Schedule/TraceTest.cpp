// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedCase.h"

#include "llvm/Support/JSON.h"

#include <gtest/gtest.h>
#include <map>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

/// The trace as Perfetto would read it.
struct Trace {
  llvm::json::Value root = nullptr;
  std::map<std::string, std::vector<const llvm::json::Object *>> events;

  Trace(const RenderedCase &c, const Units &units = {}) {
    std::ostringstream os;
    writeTrace(os, c.problem, c.schedule, c.simulation, units);
    llvm::Expected<llvm::json::Value> parsed = llvm::json::parse(os.str());
    if (!parsed) {
      ADD_FAILURE() << llvm::toString(parsed.takeError());
      return;
    }
    root = std::move(*parsed);
    for (const llvm::json::Value &event :
         *root.getAsObject()->getArray("traceEvents"))
      events[event.getAsObject()->getString("ph")->str()].push_back(
          event.getAsObject());
  }
};

TEST(Trace, holdsPassesMemoryAndTransfers) {
  RenderedCase c("zb-h1", 2, 2);
  c.problem.defaultLink.latency = 0.25;
  c.simulation = *simulate(c.problem, c.schedule);
  Trace trace(c, {true, 1, 1});
  EXPECT_EQ(trace.events["X"].size(), 12u);
  // F s0 mb 0, F s1 mb 0: a unit is a millisecond.
  const llvm::json::Object &first = *trace.events["X"][0];
  EXPECT_EQ(first.getString("name"), "F s0 mb 0");
  EXPECT_EQ(first.getNumber("ts"), 0);
  EXPECT_EQ(first.getNumber("dur"), 1000);
  EXPECT_EQ(first.getObject("args")->getInteger("stage"), 0);
  const llvm::json::Object &second = *trace.events["X"][6];
  EXPECT_EQ(second.getString("name"), "F s1 mb 0");
  EXPECT_EQ(second.getInteger("pid"), 1);
  EXPECT_EQ(second.getNumber("ts"), 1250);
  // Two activations and two gradients, each with an arrow.
  for (const char *phase : {"b", "e", "s", "f"})
    EXPECT_EQ(trace.events[phase].size(), 4u) << phase;
  EXPECT_EQ(trace.events["b"][0]->getNumber("ts"), 1000);
  EXPECT_EQ(trace.events["e"][0]->getNumber("ts"), 1250);
  EXPECT_EQ(trace.events["s"][0]->getNumber("ts"), 0);
  EXPECT_EQ(trace.events["f"][0]->getNumber("ts"), 1250);
  size_t samples = 0;
  for (const auto &memory : c.simulation.memory)
    for (size_t i = 0; i < memory.size(); ++i)
      samples += i == 0 || memory[i].bytes != memory[i - 1].bytes;
  EXPECT_EQ(trace.events["C"].size(), samples);
}

TEST(Trace, keepsPassesApart) {
  // Thirds of a microsecond: rounding start and duration on their own would
  // let passes overlap, which traces show as one within the other.
  RenderedCase c("v-half", 4, 8);
  for (Stage &stage : c.problem.stages)
    stage.forward = stage.backwardInput = stage.backwardWeight = 1e-6 / 3;
  c.simulation = *simulate(c.problem, c.schedule);
  Trace trace(c);
  std::map<int64_t, int64_t> end;
  for (const llvm::json::Object *event : trace.events["X"]) {
    int64_t device = *event->getInteger("pid");
    auto nanoseconds = [&](const char *key) {
      return std::llround(*event->getNumber(key) * 1000);
    };
    EXPECT_GE(nanoseconds("ts"), end[device]);
    end[device] = nanoseconds("ts") + nanoseconds("dur");
  }
  EXPECT_EQ(end.size(), 4u);
}

TEST(Trace, showsUpdatesAndExchangesOfGradients) {
  RenderedCase c("1f1b", 2, 2);
  for (Stage &stage : c.problem.stages) {
    stage.gradientReduction = 3;
    stage.update = 2;
  }
  c.schedule.order[0].push_back({PassKind::Update, 0, -1});
  c.schedule.order[1].push_back({PassKind::Update, 1, -1});
  c.simulation = *simulate(c.problem, c.schedule);
  Trace trace(c);
  size_t updates = 0, exchanges = 0;
  for (const llvm::json::Object *event : trace.events["X"])
    updates += event->getString("name") == "U s1";
  for (const llvm::json::Object *event : trace.events["b"])
    exchanges += event->getString("name") == "gradient exchange";
  EXPECT_EQ(updates, 1u);
  EXPECT_EQ(exchanges, 2u);
}

TEST(Trace, escapesNames) {
  RenderedCase c("1f1b", 1, 1);
  c.schedule.name = kHostileName;
  Trace trace(c);
  ASSERT_TRUE(trace.root.getAsObject());
  EXPECT_EQ(
      *trace.root.getAsObject()->getObject("otherData")->getString("schedule"),
      "</script><script>alert('1')</script>\"&<!--\xef\xbf\xbd\x01"
      "{{data}}");
}

} // namespace
