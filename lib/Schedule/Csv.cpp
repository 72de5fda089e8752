// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The text of files in the CSV format of PyTorch's pipelining.

#include "weir/Schedule/PipelineCsv.h"
#include "weir/Schedule/Rendering.h"

#include <algorithm>
#include <charconv>
#include <istream>
#include <ostream>

namespace weir::schedule {

/// 0 for passes that the format does not have.
static char csvLetter(PassKind kind) {
  switch (kind) {
  case PassKind::Forward:
    return 'F';
  case PassKind::BackwardInput:
    return 'I';
  case PassKind::BackwardWeight:
    return 'W';
  case PassKind::Backward:
    return 'B';
  case PassKind::Update:
  case PassKind::Recompute:
    break;
  }
  return 0;
}

void writeCsv(std::ostream &os, const Schedule &schedule) {
  for (const std::vector<Pass> &order : schedule.order) {
    bool isFirst = true;
    for (const Pass &pass : order) {
      char letter = csvLetter(pass.kind);
      if (!letter)
        continue;
      if (!isFirst)
        os << ',';
      isFirst = false;
      os << pass.stage << letter << pass.microbatch;
    }
    // An idle device must not look like an empty line at the end.
    os << (isFirst ? ",\n" : "\n");
  }
}

namespace {

struct KindName {
  std::string_view name;
  CsvAction::Kind kind;
  PassKind pass = PassKind::Forward;
};

} // namespace

using Kind = CsvAction::Kind;

static constexpr KindName kKindNames[] = {
    {"F", Kind::Pass, PassKind::Forward},
    {"I", Kind::Pass, PassKind::BackwardInput},
    {"W", Kind::Pass, PassKind::BackwardWeight},
    {"B", Kind::Pass, PassKind::Backward},
    {"SEND_F", Kind::SendForward},
    {"RECV_F", Kind::ReceiveForward},
    {"SEND_B", Kind::SendBackward},
    {"RECV_B", Kind::ReceiveBackward},
    {"UNSHARD", Kind::Unshard},
    {"RESHARD", Kind::Reshard},
    {"REDUCE_GRAD", Kind::ReduceGradient},
};

std::string toString(const CsvAction &action) {
  std::string result = std::to_string(action.stage);
  for (const KindName &name : kKindNames)
    if (name.kind == action.kind &&
        (name.kind != Kind::Pass || name.pass == action.pass))
      result += name.name;
  if (action.microbatch >= 0)
    result += std::to_string(action.microbatch);
  return result;
}

std::string toString(const CsvFinding &finding) {
  std::string result;
  if (finding.row >= 0)
    result += "row " + std::to_string(finding.row + 1);
  if (finding.column >= 0)
    result += ", column " + std::to_string(finding.column + 1);
  if (!result.empty())
    result += ": ";
  if (!finding.cell.empty())
    result += '\'' + finding.cell + "' ";
  return result + finding.message;
}

bool CsvProgram::hasTransfers() const {
  for (const std::vector<CsvAction> &row : rows)
    for (const CsvAction &action : row)
      if (action.isSend() || action.isReceive())
        return true;
  return false;
}

Schedule CsvProgram::schedule() const {
  Schedule result;
  for (const std::vector<CsvAction> &row : rows) {
    std::vector<Pass> &order = result.order.emplace_back();
    for (const CsvAction &action : row)
      if (action.kind == Kind::Pass)
        order.push_back({action.pass, action.stage, action.microbatch});
  }
  return result;
}

static std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

/// Takes the next cell off `line`, without the quotes it may be in.
static std::string_view takeCell(std::string_view &line, bool &isLast) {
  size_t quoted = line.find_first_not_of(" \t");
  size_t end = std::string_view::npos;
  std::string_view cell;
  if (quoted != std::string_view::npos && line[quoted] == '"') {
    size_t close = line.find('"', quoted + 1);
    end = line.find(',', std::min(close, line.size()));
    bool isQuoted = close != std::string_view::npos &&
                    trimmed(line.substr(close + 1, end - close - 1)).empty();
    cell = isQuoted ? line.substr(quoted + 1, close - quoted - 1)
                    : line.substr(0, end);
  } else {
    end = line.find(',');
    cell = line.substr(0, end);
  }
  isLast = end == std::string_view::npos;
  line.remove_prefix(isLast ? line.size() : end + 1);
  return trimmed(cell);
}

static bool takeNumber(std::string_view &text, int &value) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.front() == '-' ||
      value >= kMaxMicrobatchStages)
    return false;
  text.remove_prefix(end - text.data());
  return true;
}

static std::optional<CsvAction> parseAction(std::string_view text) {
  CsvAction action;
  if (!takeNumber(text, action.stage))
    return std::nullopt;
  size_t length = std::min(text.find_first_of("0123456789"), text.size());
  const KindName *kind =
      std::find_if(std::begin(kKindNames), std::end(kKindNames),
                   [&](const KindName &candidate) {
                     return candidate.name == text.substr(0, length);
                   });
  if (kind == std::end(kKindNames))
    return std::nullopt;
  action.kind = kind->kind;
  action.pass = kind->pass;
  text.remove_prefix(length);
  bool isOfStage = action.kind == Kind::Unshard ||
                   action.kind == Kind::Reshard ||
                   action.kind == Kind::ReduceGradient;
  if (isOfStage && text.empty())
    return action;
  if (!takeNumber(text, action.microbatch) || !text.empty())
    return std::nullopt;
  return action;
}

/// One action, or the passes of "(0F1;1B2)OVERLAP_F_B"; nothing if the cell
/// cannot be read.
static std::vector<CsvAction> parseCell(std::string_view cell) {
  std::vector<CsvAction> actions;
  if (cell.front() != '(') {
    if (std::optional<CsvAction> action = parseAction(cell))
      actions.push_back(*action);
    return actions;
  }
  size_t close = cell.find(')');
  if (close == std::string_view::npos ||
      trimmed(cell.substr(close + 1)) != "OVERLAP_F_B")
    return {};
  std::string_view rest = cell.substr(1, close - 1);
  while (true) {
    size_t end = rest.find(';');
    std::optional<CsvAction> action = parseAction(trimmed(rest.substr(0, end)));
    if (!action || action->kind != Kind::Pass)
      return {};
    action->overlapped = !actions.empty();
    actions.push_back(*action);
    if (end == std::string_view::npos)
      return actions;
    rest.remove_prefix(end + 1);
  }
}

/// A cell as an error message may show it.
static std::string printable(std::string_view cell) {
  constexpr size_t kLongest = 40;
  std::string result(cell.substr(0, kLongest));
  for (char &c : result)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '?';
  return cell.size() > kLongest ? result + "..." : result;
}

CsvProgram readCsvProgram(std::istream &is, std::vector<CsvFinding> &findings) {
  CsvProgram program;
  size_t numFindings = 0;
  std::string line;
  // An empty line between others is a rank without actions.
  size_t emptyLines = 0;
  for (int row = 0; std::getline(is, line); ++row) {
    if (trimmed(line).empty()) {
      ++emptyLines;
      continue;
    }
    program.rows.resize(program.rows.size() + emptyLines);
    emptyLines = 0;
    std::vector<CsvAction> &actions = program.rows.emplace_back();
    std::string_view rest = line;
    bool isLast = false;
    for (int column = 0; !isLast; ++column) {
      std::string_view cell = takeCell(rest, isLast);
      if (cell.empty())
        continue;
      std::vector<CsvAction> parsed = parseCell(cell);
      if (parsed.empty() && numFindings++ < kMostCsvFindings)
        findings.push_back({row, column, printable(cell),
                            "is no pass such as 0F3, 0I3, 0W3 or 0B3"});
      for (CsvAction &action : parsed) {
        action.row = row;
        action.column = column;
        actions.push_back(action);
      }
    }
  }
  if (program.rows.empty())
    findings.push_back({0, 0, "", "there are no passes"});
  return program;
}

std::optional<Schedule> readCsv(std::istream &is, std::string *error) {
  std::vector<CsvFinding> findings;
  CsvProgram program = readCsvProgram(is, findings);
  if (findings.empty())
    return program.schedule();
  if (error)
    *error = toString(findings.front());
  return std::nullopt;
}

} // namespace weir::schedule
