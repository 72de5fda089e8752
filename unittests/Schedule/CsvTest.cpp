// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedCase.h"

#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

TEST(Csv, writesTheFormatOfPyTorch) {
  std::ostringstream os;
  writeCsv(os, RenderedCase("1f1b", 2, 3).schedule);
  EXPECT_EQ(os.str(), "0F0,0F1,0B0,0F2,0B1,0B2\n"
                      "1F0,1B0,1F1,1B1,1F2,1B2\n");
  os.str("");
  writeCsv(os, RenderedCase("zb-h1", 2, 1).schedule);
  EXPECT_EQ(os.str(), "0F0,0I0,0W0\n1F0,1I0,1W0\n");
}

TEST(Csv, readsWhatItWrites) {
  for (const NamedSchedule &named : listNamed()) {
    RenderedCase c(named.name, 3, 7);
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

TEST(Csv, readsOverlappedAndQuotedCells) {
  std::istringstream is("\"0F0\", \"0F1\" ,(0F2; 0B0)OVERLAP_F_B,\"\",0B1,0B2\n"
                        "\"\"\n");
  std::string error;
  std::optional<Schedule> schedule = readCsv(is, &error);
  ASSERT_TRUE(schedule) << error;
  std::ostringstream os;
  writeCsv(os, *schedule);
  EXPECT_EQ(os.str(), "0F0,0F1,0F2,0B0,0B1,0B2\n,\n");
}

TEST(Csv, saysWhereItCannotRead) {
  auto errorOf = [](const std::string &text) {
    std::istringstream is(text);
    std::string error;
    EXPECT_FALSE(readCsv(is, &error));
    return error;
  };
  for (std::string_view cell : {"F0",
                                "0F",
                                "0X1",
                                "0F1x",
                                "-1F0",
                                "0F-1",
                                "0F99999999999",
                                "0",
                                "0FF1",
                                "0SEND_F",
                                "(0F1;1B2)",
                                "(0F1;1B2)F",
                                "()OVERLAP_F_B",
                                "(0F1;1SEND_F2)OVERLAP_F_B",
                                "(0F1;)OVERLAP_F_B",
                                "(0F1",
                                "0REDUCE",
                                "+0F1",
                                "0F+1",
                                "0 F1",
                                "\"0F1",
                                "\"0F1\"x"})
    EXPECT_EQ(errorOf("0F0\n0F1," + std::string(cell) + "\n"),
              "row 2, column 2: '" + std::string(cell) +
                  "' is no pass such as 0F3, 0I3, 0W3 or 0B3");
  EXPECT_EQ(errorOf(""), "row 1, column 1: there are no passes");
}

} // namespace
