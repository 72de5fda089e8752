// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/PipelineCsv.h"
#include "RandomProblems.h"
#include "RenderedCase.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

/// All findings about a file, a line each.
std::string findingsOf(const std::string &text) {
  std::istringstream is(text);
  std::vector<CsvFinding> findings;
  CsvProgram program = readCsvProgram(is, findings);
  if (findings.empty())
    findings = checkCsvProgram(program);
  std::string result;
  for (const CsvFinding &finding : findings)
    result += toString(finding) + '\n';
  return result;
}

using Rows = std::vector<std::vector<std::string>>;

std::string join(const Rows &rows) {
  std::string text;
  for (const std::vector<std::string> &row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      text += (i ? "," : "") + row[i];
    text += row.empty() ? ",\n" : "\n";
  }
  return text;
}

/// The cells of a schedule with its transfers. Walks the passes in the order
/// in which they end; a send follows its pass, and its receive is put at the
/// same moment into the row of the other device.
Rows withTransfers(const RenderedCase &c) {
  std::vector<std::pair<TimedPass, int>> passes;
  for (int device = 0; device < c.problem.numDevices; ++device)
    for (const TimedPass &pass : c.simulation.passes[device])
      passes.push_back({pass, device});
  std::stable_sort(passes.begin(), passes.end(),
                   [](const auto &a, const auto &b) {
                     return std::pair(a.first.end, a.first.start) <
                            std::pair(b.first.end, b.first.start);
                   });
  Rows rows(c.problem.numDevices);
  for (const auto &[timed, device] : passes) {
    const Pass &pass = timed.pass;
    std::string m = std::to_string(pass.microbatch);
    auto letter = [&] {
      switch (pass.kind) {
      case PassKind::Forward:
        return "F";
      case PassKind::BackwardInput:
        return "I";
      case PassKind::BackwardWeight:
        return "W";
      default:
        return "B";
      }
    };
    rows[device].push_back(std::to_string(pass.stage) + letter() + m);
    if (pass.kind == PassKind::BackwardWeight)
      continue;
    bool isForward = pass.kind == PassKind::Forward;
    int other = pass.stage + (isForward ? 1 : -1);
    if (other < 0 || other >= c.problem.numStages() ||
        c.problem.placement[other] == device)
      continue;
    const char *direction = isForward ? "F" : "B";
    rows[device].push_back(std::to_string(pass.stage) + "SEND_" + direction +
                           m);
    rows[c.problem.placement[other]].push_back(std::to_string(other) + "RECV_" +
                                               direction + m);
  }
  return rows;
}

constexpr std::string_view kGood =
    "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
    "1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n";

/// `kGood` with a part replaced.
std::string edited(std::string_view part, std::string_view by) {
  std::string text(kGood);
  size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.replace(at, part.size(), by);
}

TEST(PipelineCsv, takesGoodFiles) {
  EXPECT_EQ(findingsOf(std::string(kGood)), "");
  // Parameters of stages come and go; a single rank sends nothing.
  EXPECT_EQ(findingsOf("0UNSHARD,0F0,0F1,0RESHARD,0UNSHARD,0I0,0W0,0B1,"
                       "0REDUCE_GRAD,0RESHARD\n"),
            "");
  // No backward passes at all, and ranks without passes.
  EXPECT_EQ(findingsOf(",\n0F0,0F1\n,\n1F0,1F1\n"), "");
  EXPECT_EQ(findingsOf("0F0,1F0,(0F1;1B0)OVERLAP_F_B,1F1,0B0,1B1,0B1\n"), "");
}

TEST(PipelineCsv, keepsWhatItReads) {
  std::istringstream is("0F0,,(0F1;0B0)OVERLAP_F_B\n\n1RECV_F0,1UNSHARD\n\n");
  std::vector<CsvFinding> findings;
  CsvProgram program = readCsvProgram(is, findings);
  EXPECT_TRUE(findings.empty());
  ASSERT_EQ(program.rows.size(), 3u);
  ASSERT_EQ(program.rows[0].size(), 3u);
  EXPECT_TRUE(program.hasTransfers());
  EXPECT_FALSE(program.rows[0][1].overlapped);
  EXPECT_TRUE(program.rows[0][2].overlapped);
  EXPECT_EQ(program.rows[0][2].column, 2);
  EXPECT_EQ(program.rows[2][0].row, 2);
  std::string cells;
  for (const auto &row : program.rows)
    for (const CsvAction &action : row)
      cells += toString(action) + ' ';
  EXPECT_EQ(cells, "0F0 0F1 0B0 1RECV_F0 1UNSHARD ");
}

TEST(PipelineCsv, namesEveryCellThatCannotBeRead) {
  EXPECT_EQ(findingsOf("0F0,F\n1F0,1SEND,1B0\x01\n"),
            "row 1, column 2: 'F' is no pass such as 0F3, 0I3, 0W3 or 0B3\n"
            "row 2, column 2: '1SEND' is no pass such as 0F3, 0I3, 0W3 or "
            "0B3\n"
            "row 2, column 3: '1B0?' is no pass such as 0F3, 0I3, 0W3 or "
            "0B3\n");
  std::string many = "x";
  for (int i = 0; i < 1000; ++i)
    many += ",x";
  EXPECT_EQ(count(findingsOf(many), "\n"), kMostCsvFindings);
}

TEST(PipelineCsv, findsTransfersWithoutTheirOtherEnd) {
  EXPECT_EQ(findingsOf(edited("1RECV_F1,", "")),
            "row 1, column 4: '0SEND_F1' has no receive: 1RECV_F1 is missing "
            "in row 2\n");
  EXPECT_EQ(findingsOf(edited("1SEND_B0,", "")),
            "row 1, column 5: '0RECV_B0' has no send: 1SEND_B0 is missing in "
            "row 2\n");
  std::string neither = edited("1RECV_F1,", "");
  neither.replace(neither.find("0SEND_F1,"), 9, "");
  EXPECT_EQ(findingsOf(neither),
            "row 2, column 5: '1F1' reads what comes from row 1, but 0SEND_F1 "
            "and 1RECV_F1 are missing\n");
}

TEST(PipelineCsv, findsTransfersThatCannotBe) {
  EXPECT_EQ(findingsOf(edited("1B1,", "1B1,1SEND_F1,")),
            "row 2, column 8: '1SEND_F1' has no stage to send to\n");
  EXPECT_EQ(findingsOf(edited("0F0,", "0RECV_F0,0F0,")),
            "row 1, column 1: '0RECV_F0' has no stage to receive from\n");
  EXPECT_EQ(findingsOf("0F0,0SEND_F0,1RECV_F0,1F0\n"),
            "row 1, column 2: '0SEND_F0' is between stages of the same row\n"
            "row 1, column 3: '1RECV_F0' is between stages of the same row\n");
  EXPECT_EQ(findingsOf(edited("0SEND_F1", "0SEND_F1,0SEND_F1")),
            "row 1, column 5: '0SEND_F1' repeats 0SEND_F1 (row 1, column "
            "4)\n");
  EXPECT_EQ(findingsOf(edited("1RECV_F0,", "0SEND_F0,")),
            "row 2, column 1: '0SEND_F0' is of stage 0, whose passes are in "
            "row 1\n"
            "row 2, column 1: '0SEND_F0' repeats 0SEND_F0 (row 1, column "
            "2)\n");
  EXPECT_EQ(findingsOf(edited("0SEND_F1", "0SEND_F7")),
            "row 1, column 4: '0SEND_F7' is of microbatch 7, which has no "
            "passes\n");
}

TEST(PipelineCsv, findsWhatComesTooEarly) {
  EXPECT_EQ(findingsOf(edited("0F1,0SEND_F1", "0SEND_F1,0F1")),
            "row 1, column 3: '0SEND_F1' comes before 0F1 (row 1, column 4), "
            "which makes what it sends\n");
  EXPECT_EQ(findingsOf(edited("1RECV_F0,1F0", "1F0,1RECV_F0")),
            "row 2, column 1: '1F0' comes before 1RECV_F0 (row 2, column 2), "
            "which brings what it reads\n");
  EXPECT_EQ(findingsOf(edited("0RECV_B0,0B0", "0B0,0RECV_B0")),
            "row 1, column 5: '0B0' comes before 0RECV_B0 (row 1, column 6), "
            "which brings what it reads\n");
  EXPECT_EQ(findingsOf("0F0,0B0,0I1,0W1,0F1\n"),
            "row 1, column 3: '0I1' comes before 0F1 (row 1, column 5), which "
            "it reads\n");
  EXPECT_EQ(findingsOf("0F0,0W0,0I0\n"),
            "row 1, column 2: '0W0' comes before 0I0 (row 1, column 3), which "
            "it reads\n");
  EXPECT_EQ(findingsOf("0F0,1F0,0B0,1B0\n"),
            "row 1, column 3: '0B0' comes before 1B0 (row 1, column 4), which "
            "it reads\n");
}

TEST(PipelineCsv, findsReceivesOutOfOrder) {
  EXPECT_EQ(
      findingsOf("0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
                 "1RECV_F1,1RECV_F0,1F0,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n"),
      "row 2, column 1: '1RECV_F1' receives from row 1 out of order: that row "
      "sends 0SEND_F0 (row 1, column 2) before 0SEND_F1 (row 1, column 4)\n");
  // One queue for both directions of data: row 1 sends an activation, then a
  // gradient, to row 2, which holds stages 1 and 2 of a loop over three rows.
  EXPECT_EQ(
      findingsOf("0F0,0SEND_F0,3RECV_F0,3F0,3B0,3SEND_B0,0RECV_B0,0B0\n"
                 "2RECV_B0,1RECV_F0,1F0,2F0,2SEND_F0,2B0,1B0,1SEND_B0\n"),
      "row 2, column 1: '2RECV_B0' receives from row 1 out of order: that row "
      "sends 0SEND_F0 (row 1, column 2) before 3SEND_B0 (row 1, column 6)\n");
}

TEST(PipelineCsv, findsDeadlocks) {
  // Row 1 offers a second activation while row 2 offers a gradient.
  EXPECT_EQ(
      findingsOf("0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
                 "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n"),
      "row 1, column 4: '0SEND_F1' is in a deadlock: 0SEND_F1 (row 1, column "
      "4) waits for 1RECV_F1 (row 2, column 5), which comes after 1SEND_B0 "
      "(row 2, column 4); 1SEND_B0 (row 2, column 4) waits for 0RECV_B0 (row "
      "1, column 5), which comes after 0SEND_F1 (row 1, column 4)\n");
  // Without transfers it is the passes that wait for each other.
  EXPECT_EQ(findingsOf("0F0,0B0,0F1,0B1\n1F0,1F1,1B0,1B1\n"),
            "row 1, column 2: '0B0' is in a deadlock: 0B0 (row 1, "
            "column 2) waits for 1B0 (row 2, column 3), which comes after 1F1 "
            "(row 2, column 2); 1F1 (row 2, column 2) waits for 0F1 (row 1, "
            "column 3), which comes after 0B0 (row 1, column 2)\n");
  // A rank that only waits for the circle is not part of it.
  std::string three = findingsOf("0F0,0SEND_F0,0RECV_B0,0B0\n"
                                 "1RECV_F0,1F0,1RECV_B0,1SEND_F0,1B0,1SEND_B0\n"
                                 "2RECV_F0,2F0,2B0,2SEND_B0\n");
  EXPECT_EQ(count(three, "0RECV_B0"), 0u) << three;
  EXPECT_EQ(count(three, "waits for"), 2u) << three;
}

TEST(PipelineCsv, findsPassesThatAreMissingTwiceOrElsewhere) {
  EXPECT_EQ(findingsOf(edited(",0B1", "")), "row 1: '0B1' is missing\n");
  EXPECT_EQ(findingsOf(edited("0B1", "0I1")), "row 1: '0W1' is missing\n");
  EXPECT_EQ(findingsOf(edited("0F1,", "")), "row 1: '0F1' is missing\n");
  EXPECT_EQ(findingsOf(edited("0B1", "0B1,0W1")),
            "row 1, column 9: '0W1' repeats a part of 0B1 (row 1, column "
            "8)\n");
  EXPECT_EQ(findingsOf(edited("1F1,", "1F1,1F1,")),
            "row 2, column 7: '1F1' repeats 1F1 (row 2, column 6)\n");
  EXPECT_EQ(findingsOf("1F0,0F0,0F1,0B0,0B1\n1F1,1B0,1B1\n"),
            "row 1, column 1: '1F0' is of stage 1, whose passes are in row "
            "2\n");
  EXPECT_EQ(findingsOf("0F0,2F0\n"), "stage 1 has no passes\n");
  EXPECT_EQ(findingsOf("0UNSHARD\n"), "stage 0 has no passes\n");
  EXPECT_EQ(findingsOf(",\n"), "there are no passes\n");
  EXPECT_EQ(findingsOf(""), "row 1, column 1: there are no passes\n");
}

TEST(PipelineCsv, findsMicrobatchesOutOfOrder) {
  // The backward passes of a looped breadth-first schedule in PyTorch.
  EXPECT_EQ(findingsOf("0F0,0F1,0F2,0B2,0B1,0B0\n"),
            "row 1, column 5: '0B1' comes after 0B2 (row 1, column 4), but "
            "the microbatches of a stage have to run in order, so that "
            "gradients add up to the same bits in every schedule\n");
  EXPECT_EQ(count(findingsOf("0F0,0F1,0I0,0B1,0W0\n"), "'0W0' comes after 0B1"),
            1u);
}

TEST(PipelineCsv, refusesAbsurdSizes) {
  EXPECT_EQ(findingsOf("4194304F0\n"),
            "row 1, column 1: '4194304F0' is no pass such as 0F3, 0I3, 0W3 or "
            "0B3\n");
  EXPECT_EQ(findingsOf("4194303F4194303\n"),
            "4194304 stages times 4194304 microbatches are more than "
            "4194304\n");
  EXPECT_EQ(count(findingsOf("4194303F0\n"), "has no passes\n"),
            kMostCsvFindings);
  EXPECT_EQ(count(findingsOf("0F4194303\n"), "is missing\n"), kMostCsvFindings);
}

TEST(PipelineCsvProperty, takesAllNamedSchedules) {
  for (const NamedSchedule &named : listNamed())
    for (int p : {1, 2, 4, 5})
      for (int m : {1, 2 * p, 13}) {
        RenderedCase c(named.name, p, m);
        std::ostringstream os;
        writeCsv(os, c.schedule);
        EXPECT_EQ(findingsOf(os.str()), "") << named.name;
        Rows rows = withTransfers(c);
        EXPECT_EQ(findingsOf(join(rows)), "") << named.name << '\n'
                                              << join(rows);
      }
}

TEST(PipelineCsvProperty, refusesWhatLacksOrRepeatsACell) {
  Random random(1);
  Rows rows = withTransfers(RenderedCase("zb-v", 4, 6));
  ASSERT_EQ(findingsOf(join(rows)), "");
  for (int i = 0; i < 300; ++i) {
    size_t row = randomInt(random, 0, 3);
    int last = static_cast<int>(rows[row].size()) - 1;
    int from = randomInt(random, 0, last);
    Rows without = rows, twice = rows, elsewhere = rows;
    std::string cell = rows[row][from];
    without[row].erase(without[row].begin() + from);
    EXPECT_NE(findingsOf(join(without)), "") << cell;
    twice[row].insert(twice[row].begin() + randomInt(random, 0, last), cell);
    EXPECT_NE(findingsOf(join(twice)), "") << cell;
    elsewhere[row].erase(elsewhere[row].begin() + from);
    auto &other = elsewhere[(row + 1) % 4];
    other.insert(other.begin() + randomInt(random, 0, int(other.size())), cell);
    EXPECT_NE(findingsOf(join(elsewhere)), "") << cell;
  }
}

/// Runs cells by trying all rows again and again until none moves: true if all
/// come to their end.
bool comesToAnEnd(const Rows &rows) {
  std::vector<size_t> done(rows.size(), 0);
  auto isTransfer = [](const std::string &cell) {
    return cell.find('_') != std::string::npos;
  };
  auto partner = [](std::string cell) {
    size_t kind = cell.find_first_not_of("0123456789");
    int stage = std::stoi(cell);
    bool isSend = cell.substr(kind, 4) == "SEND";
    bool isForward = cell[kind + 5] == 'F';
    return std::to_string(stage + (isSend == isForward ? 1 : -1)) +
           (isSend ? "RECV_" : "SEND_") + cell.substr(kind + 5);
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t row = 0; row < rows.size(); ++row) {
      if (done[row] == rows[row].size())
        continue;
      const std::string &cell = rows[row][done[row]];
      if (!isTransfer(cell)) {
        ++done[row];
        moved = true;
        continue;
      }
      for (size_t other = 0; other < rows.size(); ++other)
        if (done[other] < rows[other].size() &&
            rows[other][done[other]] == partner(cell)) {
          ++done[row];
          ++done[other];
          moved = true;
          break;
        }
    }
  }
  for (size_t row = 0; row < rows.size(); ++row)
    if (done[row] != rows[row].size())
      return false;
  return true;
}

TEST(PipelineCsvProperty, findsExactlyTheDeadlocks) {
  // Transfers that move by a few places, before any check of their passes.
  Random random(2);
  int deadlocks = 0, good = 0;
  for (int i = 0; i < 2000; ++i) {
    const char *names[] = {"1f1b", "zb-h1", "v-half"};
    Rows rows = withTransfers(RenderedCase(names[i % 3], 3, 4));
    for (int move = randomInt(random, 1, 4); move > 0; --move) {
      auto &row = rows[randomInt(random, 0, 2)];
      int at = randomInt(random, 0, static_cast<int>(row.size()) - 2);
      if (row[at].find('_') != std::string::npos ||
          row[at + 1].find('_') != std::string::npos)
        std::swap(row[at], row[at + 1]);
    }
    std::string findings = findingsOf(join(rows));
    bool isDeadlock = count(findings, "deadlock") > 0;
    bool isOutOfOrder = count(findings, "out of order") > 0;
    if (!findings.empty() && !isDeadlock && !isOutOfOrder)
      continue; // a pass before its receive, or a send before its pass
    EXPECT_EQ(comesToAnEnd(rows), findings.empty()) << findings << join(rows);
    deadlocks += isDeadlock;
    good += findings.empty();
  }
  EXPECT_GT(deadlocks, 20);
  EXPECT_GT(good, 200);
}

} // namespace
