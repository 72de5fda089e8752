// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Rendering.h"
#include "weir/Schedule/NamedSchedules.h"

#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;

namespace {

struct Case {
  Problem problem;
  Schedule schedule;
  Simulation simulation;

  Case(std::string_view name, int p, int m)
      : problem(unitProblem(p, m,
                            makePlacement(findNamed(name)->placement,
                                          p * findNamed(name)->stagesPerDevice,
                                          p))),
        schedule(*buildNamed(name, problem, nullptr)),
        simulation(*simulate(problem, schedule)) {}
};

size_t count(const std::string &text, std::string_view part) {
  size_t result = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1))
    ++result;
  return result;
}

TEST(Csv, writesTheFormatOfPyTorch) {
  std::ostringstream os;
  writeCsv(os, Case("1f1b", 2, 3).schedule);
  EXPECT_EQ(os.str(), "0F0,0F1,0B0,0F2,0B1,0B2\n"
                      "1F0,1B0,1F1,1B1,1F2,1B2\n");
  os.str("");
  writeCsv(os, Case("zb-h1", 2, 1).schedule);
  EXPECT_EQ(os.str(), "0F0,0I0,0W0\n1F0,1I0,1W0\n");
}

TEST(Csv, readsWhatItWrites) {
  for (const NamedSchedule &named : listNamed()) {
    Case c(named.name, 3, 7);
    std::stringstream stream;
    writeCsv(stream, c.schedule);
    std::string error;
    std::optional<Schedule> read = readCsv(stream, &error);
    ASSERT_TRUE(read) << error;
    EXPECT_EQ(read->order, c.schedule.order);
  }
}

TEST(Csv, keepsIdleDevices) {
  Schedule schedule{"", {{}, {{PassKind::Forward, 0, 0}}, {}}};
  std::stringstream stream;
  writeCsv(stream, schedule);
  EXPECT_EQ(readCsv(stream, nullptr)->order, schedule.order);
}

TEST(Csv, skipsWhatIsNoPass) {
  std::istringstream is("0UNSHARD,0F0, 0SEND_F0 ,,0RECV_B0,0B0,0REDUCE_GRAD\r\n"
                        ",1RECV_F0,1F0,1B0,1SEND_B0\r\n\n");
  std::string error;
  std::optional<Schedule> schedule = readCsv(is, &error);
  ASSERT_TRUE(schedule) << error;
  EXPECT_EQ(schedule->order,
            (std::vector<std::vector<Pass>>{
                {{PassKind::Forward, 0, 0}, {PassKind::Backward, 0, 0}},
                {{PassKind::Forward, 1, 0}, {PassKind::Backward, 1, 0}}}));
}

TEST(Csv, saysWhereItCannotRead) {
  auto errorOf = [](const std::string &text) {
    std::istringstream is(text);
    std::string error;
    EXPECT_FALSE(readCsv(is, &error));
    return error;
  };
  for (std::string_view cell :
       {"F0", "0F", "0X1", "0F1x", "-1F0", "0F-1", "0F99999999999", "0", "0FF1",
        "0SEND_F", "(0F1;1B2)OVERLAP_F_B"})
    EXPECT_EQ(errorOf("0F0\n0F1," + std::string(cell) + "\n"),
              "row 2, column 2: '" + std::string(cell) +
                  "' is no pass such as 0F3, 0I3, 0W3 or 0B3");
  EXPECT_EQ(errorOf(""), "row 1, column 1: there are no passes");
}

TEST(Json, holdsTheResult) {
  Case c("zb-h1", 2, 1);
  c.schedule.name = "a \"b\"\n";
  c.problem.stages[0].forward = 0.1;
  c.simulation = *simulate(c.problem, c.schedule);
  std::ostringstream os;
  writeJson(os, c.problem, c.schedule, c.simulation);
  EXPECT_EQ(os.str(), R"({
  "schedule": "a \"b\"\u000a",
  "devices": 2,
  "microbatches": 1,
  "stages": 2,
  "placement": [0, 1],
  "makespan": 4.1,
  "span": 4.1,
  "lower_bound": 4.1,
  "bound_scope": "any order of this placement, without a memory limit",
  "bubble_ratio": 0.2682926829268292,
  "peak_memory": [1, 1],
  "passes": [
    [{"pass": "F", "stage": 0, "microbatch": 0, "start": 0, "end": 0.1},
     {"pass": "B", "stage": 0, "microbatch": 0, "start": 2.1, "end": 3.1},
     {"pass": "W", "stage": 0, "microbatch": 0, "start": 3.1, "end": 4.1}],
    [{"pass": "F", "stage": 1, "microbatch": 0, "start": 0.1, "end": 1.1},
     {"pass": "B", "stage": 1, "microbatch": 0, "start": 1.1, "end": 2.1},
     {"pass": "W", "stage": 1, "microbatch": 0, "start": 2.1, "end": 3.1}]
  ]
}
)");
}

TEST(Svg, drawsEveryPass) {
  Case c("v-half", 4, 6);
  c.schedule.name = "v<half>";
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation, {true, 1, 2});
  std::string text = os.str();
  EXPECT_EQ(text.substr(0, 5), "<svg ");
  for (std::string_view kind : {"F", "B", "W"})
    for (std::string_view chunk : {"0", "1"})
      EXPECT_EQ(count(text, "<rect class=\"p " + std::string(kind) +
                                std::string(chunk) + "\""),
                24u);
  EXPECT_EQ(count(text, "<path class=\"memory\""), 4u);
  EXPECT_NE(text.find("v&lt;half&gt;"), std::string::npos);
  EXPECT_NE(text.find("makespan 41, bubble 12.2%, lower bound 39, peak memory "
                      "3<"),
            std::string::npos)
      << text.substr(0, 3000);
  // Nothing is loaded from elsewhere.
  EXPECT_EQ(count(text, "href"), 0u);
  EXPECT_EQ(count(text, "url("), 0u);
}

TEST(Svg, namesSecondsAndBytes) {
  Case c("1f1b", 2, 3);
  for (Stage &stage : c.problem.stages) {
    stage.forward = stage.backwardInput = stage.backwardWeight = 1e-3;
    stage.activationBytes = 1536 * 1024;
  }
  c.problem.limitMemory(4 << 20);
  c.simulation = *simulate(c.problem, c.schedule);
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation);
  EXPECT_NE(os.str().find("makespan 12 ms, bubble 25%, lower bound 10 ms, peak "
                          "memory 3 MiB of 4 MiB"),
            std::string::npos);
}

} // namespace
