// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/Rendering.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <istream>
#include <ostream>

namespace weir::schedule {

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

/// What a cell holds: a pass, something that is not a pass (idle is true), or
/// neither (false).
static bool readCell(std::string_view cell, std::optional<Pass> &pass) {
  while (!cell.empty() && (cell.front() == ' ' || cell.front() == '\t'))
    cell.remove_prefix(1);
  while (!cell.empty() &&
         (cell.back() == ' ' || cell.back() == '\t' || cell.back() == '\r'))
    cell.remove_suffix(1);
  if (cell.empty())
    return true;
  auto readNumber = [&](int &value) {
    auto [end, error] =
        std::from_chars(cell.data(), cell.data() + cell.size(), value);
    cell.remove_prefix(end - cell.data());
    return error == std::errc() && value >= 0;
  };
  Pass read;
  if (!readNumber(read.stage))
    return false;
  size_t length = 0;
  while (length < cell.size() &&
         (std::isupper(static_cast<unsigned char>(cell[length])) ||
          cell[length] == '_'))
    ++length;
  std::string_view kind = cell.substr(0, length);
  cell.remove_prefix(length);
  for (std::string_view skipped : {"UNSHARD", "RESHARD", "REDUCE_GRAD"})
    if (kind == skipped)
      return cell.empty() || (readNumber(read.microbatch) && cell.empty());
  if (!readNumber(read.microbatch) || !cell.empty())
    return false;
  for (std::string_view skipped : {"SEND_F", "RECV_F", "SEND_B", "RECV_B"})
    if (kind == skipped)
      return true;
  for (PassKind candidate : {PassKind::Forward, PassKind::BackwardInput,
                             PassKind::BackwardWeight, PassKind::Backward})
    if (kind.size() == 1 && kind[0] == csvLetter(candidate)) {
      read.kind = candidate;
      pass = read;
      return true;
    }
  return false;
}

std::optional<Schedule> readCsv(std::istream &is, std::string *error) {
  Schedule schedule;
  size_t emptyLines = 0;
  std::string line;
  for (int row = 1; std::getline(is, line); ++row) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      ++emptyLines;
      continue;
    }
    // An empty line between others is a device without passes.
    schedule.order.resize(schedule.order.size() + emptyLines);
    emptyLines = 0;
    std::vector<Pass> &order = schedule.order.emplace_back();
    std::string_view rest = line;
    for (int column = 1;; ++column) {
      size_t comma = rest.find(',');
      std::optional<Pass> pass;
      if (!readCell(rest.substr(0, comma), pass)) {
        if (error)
          *error = "row " + std::to_string(row) + ", column " +
                   std::to_string(column) + ": '" +
                   std::string(rest.substr(0, std::min<size_t>(comma, 40))) +
                   "' is no pass such as 0F3, 0I3, 0W3 or 0B3";
        return std::nullopt;
      }
      if (pass)
        order.push_back(*pass);
      if (comma == std::string_view::npos)
        break;
      rest.remove_prefix(comma + 1);
    }
  }
  if (schedule.order.empty()) {
    if (error)
      *error = "row 1, column 1: there are no passes";
    return std::nullopt;
  }
  return schedule;
}

} // namespace weir::schedule
