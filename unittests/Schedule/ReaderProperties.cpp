// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ReaderProperties.h"
#include "weir/Schedule/BlockJson.h"
#include "weir/Schedule/PipelineCsv.h"
#include "weir/Schedule/ProblemJson.h"

#include <algorithm>
#include <sstream>

namespace weir::schedule::test {

/// Larger files are read, but not simulated: time is better spent on many.
static constexpr int64_t kMostMicrobatchStages = 256;

/// Idle time is filled slot by slot, so a long interval takes long.
static constexpr double kLongestInterval = 1000;

static bool isReason(const std::string &error) {
  return !error.empty() && error.find('\n') == std::string::npos;
}

/// The problem whose schedule a file may hold: unit costs, each stage on a
/// device that has a pass of it. nullopt if there cannot be one.
static std::optional<Problem> problemOf(const Schedule &schedule) {
  int numStages = 0, numMicrobatches = 0;
  bool hasBackward = false;
  for (const std::vector<Pass> &order : schedule.order)
    for (const Pass &pass : order) {
      numStages = std::max(numStages, pass.stage + 1);
      numMicrobatches = std::max(numMicrobatches, pass.microbatch + 1);
      hasBackward |= pass.kind != PassKind::Forward;
    }
  if (numStages == 0 ||
      static_cast<int64_t>(numStages) * numMicrobatches > kMostMicrobatchStages)
    return std::nullopt;
  std::vector<int> placement(numStages, -1);
  for (size_t device = 0; device < schedule.order.size(); ++device)
    for (const Pass &pass : schedule.order[device])
      placement[pass.stage] = static_cast<int>(device);
  if (std::count(placement.begin(), placement.end(), -1) > 0)
    return std::nullopt;
  Problem problem = unitProblem(static_cast<int>(schedule.order.size()),
                                numMicrobatches, std::move(placement));
  for (Stage &stage : problem.stages)
    stage.hasBackwardInput = stage.hasBackwardWeight = hasBackward;
  if (problem.check())
    return std::nullopt;
  return problem;
}

std::string violatedByCsv(std::string_view text, bool &isRead) {
  std::istringstream is{std::string(text)};
  std::vector<CsvFinding> findings;
  CsvProgram program = readCsvProgram(is, findings);
  for (const CsvFinding &finding : findings)
    if (finding.row < 0 || finding.column < 0 || !isReason(toString(finding)))
      return "a cell is refused without a place or a reason";

  std::istringstream again{std::string(text)};
  std::string error;
  std::optional<Schedule> schedule = readCsv(again, &error);
  if (schedule.has_value() != findings.empty())
    return "the two readers differ";
  if (!schedule)
    return isReason(error) ? "" : "refused without a reason";

  std::stringstream written;
  writeCsv(written, *schedule);
  std::optional<Schedule> reread = readCsv(written, &error);
  if (!reread || reread->order != schedule->order)
    return "what was written is not what is read";

  findings = checkCsvProgram(program);
  for (const CsvFinding &finding : findings)
    if (!isReason(toString(finding)))
      return "a file is refused without a reason";
  isRead = findings.empty();
  std::optional<Problem> problem = problemOf(*schedule);
  if (!problem)
    return "";
  std::optional<std::string> refused = verify(*problem, *schedule);
  if (findings.empty() && refused)
    return "verify refuses what is right: " + *refused;
  if (findings.empty() && !simulate(*problem, *schedule, &error))
    return "simulate refuses what is right: " + error;
  bool hasOnlyPasses = std::all_of(
      program.rows.begin(), program.rows.end(), [](const auto &row) {
        return std::all_of(row.begin(), row.end(), [](const CsvAction &action) {
          return action.kind == CsvAction::Kind::Pass;
        });
      });
  if (!findings.empty() && !refused && hasOnlyPasses)
    return "verify takes what is wrong: " + toString(findings.front());
  return "";
}

std::string violatedByProblem(std::string_view text, bool &isRead) {
  std::string error;
  std::optional<ProblemFile> file = readProblem(text, &error);
  isRead = file.has_value();
  if (!file)
    return isReason(error) ? "" : "refused without a reason";
  const Problem &problem = file->problem;
  if (file->isPlaced())
    if (std::optional<std::string> wrong = problem.check())
      return "read what check refuses: " + *wrong;

  std::string written = writeProblem(problem, file->units);
  std::optional<ProblemFile> reread = readProblem(written, &error);
  if (!reread)
    return "what was written cannot be read: " + error;
  if (writeProblem(reread->problem, reread->units) != written)
    return "what was written is not what is read";

  if (!file->isPlaced() ||
      static_cast<int64_t>(problem.numStages()) * problem.numMicrobatches >
          kMostMicrobatchStages ||
      problem.numDevices > kMostMicrobatchStages)
    return "";
  Problem unlimited = problem;
  unlimited.memoryLimits.clear();
  for (const NamedSchedule &named : listNamed()) {
    std::optional<Schedule> schedule = buildNamed(named.name, problem, &error);
    if (!schedule) {
      if (!isReason(error))
        return std::string(named.name) + " is refused without a reason";
      continue;
    }
    if (auto refused = verify(unlimited, *schedule))
      return std::string(named.name) + " is not valid: " + *refused;
    if (!simulate(problem, *schedule, &error))
      return std::string(named.name) + " cannot be simulated: " + error;
  }
  return "";
}

std::string violatedByBlock(std::string_view text, bool &isRead) {
  std::string error;
  std::optional<PlacedBlock> placed = readBlock(text, &error);
  isRead = placed.has_value();
  if (!placed)
    return isReason(error) ? "" : "refused without a reason";
  for (int numMicrobatches : {1, 5}) {
    if (static_cast<int64_t>(placed->placement.size()) * numMicrobatches >
            kMostMicrobatchStages ||
        placed->numDevices > kMostMicrobatchStages ||
        placed->block.interval > kLongestInterval)
      return "";
    Problem problem =
        unitProblem(placed->numDevices, numMicrobatches, placed->placement);
    if (std::optional<std::string> wrong = problem.check())
      return "a block for no problem: " + *wrong;
    std::optional<Schedule> schedule =
        buildFromBlock("block", *placed, problem, &error);
    if (!schedule)
      return isReason(error) ? "" : "refused without a reason";
    if (auto refused = verify(problem, *schedule))
      return "the schedule is not valid: " + *refused;
  }
  return "";
}

} // namespace weir::schedule::test
