// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds, finds, checks, compares and draws pipeline schedules without a model.
//
// Without a problem file, units are abstract: a device's whole share of the
// model takes F, B and W for one microbatch (--durations); memory counts the
// activations that this share keeps for one microbatch. Inside, such a unit of
// memory is a round number of bytes that the usual numbers of chunks divide.

#include "../Version.h"
#include "Model.h"
#include "weir/Driver/ToolMains.h"
#include "weir/Schedule/BlockJson.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/PipelineCsv.h"
#include "weir/Schedule/ProblemJson.h"
#include "weir/Schedule/Search.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/WithColor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::tool;

namespace cl = llvm::cl;

namespace {

enum class Format { Table, Json, Csv, Svg, Html, Trace };

cl::list<std::string> scheduleNames(
    "schedule", cl::CommaSeparated,
    cl::desc(
        "Schedules to build (see --list), auto for a search, or block:FILE "
        "for a building block in a file; all are compared when none is "
        "given"),
    cl::value_desc("name,..."), cl::cat(category));
cl::opt<bool> list("list", cl::desc("List the schedules and what they are"),
                   cl::cat(category));
cl::opt<double> memoryLimit(
    "memory-limit",
    cl::desc("Memory of a device, in activations that its share of the model "
             "keeps for one microbatch (1f1b needs as many as there are "
             "devices), or in the units of the problem file"),
    cl::value_desc("units"), cl::cat(category));
cl::opt<Objective> objective(
    "objective", cl::desc("What auto makes small, and the bound is about"),
    cl::values(clEnumValN(Objective::Makespan, "makespan",
                          "first start to last end over all devices (default)"),
               clEnumValN(Objective::Span, "span",
                          "longest first start to last end of one device")),
    cl::init(Objective::Makespan), cl::cat(category));
cl::opt<std::string> checkFile(
    "check",
    cl::desc("Check the order of passes in a file in PyTorch's CSV format, "
             "with or without sends and receives, and use it in place of a "
             "schedule by name"),
    cl::value_desc("file.csv"), cl::cat(category));
cl::opt<bool> pareto("pareto",
                     cl::desc("Search the shortest schedule for every memory "
                              "limit, down to the smallest one that any "
                              "schedule meets"),
                     cl::cat(category));
cl::opt<double> jitterPercent(
    "jitter",
    cl::desc("Let the durations of all passes and transfers vary by up to this "
             "many percent, the order fixed, and report the mean and the worst "
             "makespan of 200 draws"),
    cl::value_desc("percent"), cl::cat(category));
cl::opt<double> timeBudget(
    "time-budget",
    cl::desc("Seconds that auto searches (for each limit of --pareto); where "
             "the machine keeps up, the result is that of as much --effort"),
    cl::value_desc("seconds"), cl::cat(category));
cl::opt<double> effort(
    "effort",
    cl::desc("How much auto searches, whatever the time: one takes up to a "
             "second on two cores (default: 5, and 1 with --pareto)"),
    cl::value_desc("number"), cl::cat(category));
cl::opt<uint64_t> seed("seed",
                       cl::desc("Seed of the search and of --jitter: the same "
                                "seed gives the same result"),
                       cl::value_desc("number"), cl::init(1),
                       cl::cat(category));
cl::opt<bool> printProblem(
    "print-problem",
    cl::desc("Write the problem, cut and placed as the schedule wants it, as "
             "JSON for --problem"),
    cl::cat(category));
cl::opt<Format> format(
    "format", cl::desc("What to write"),
    cl::values(clEnumValN(Format::Table, "table",
                          "makespan, bubble, bound, memory (default)"),
               clEnumValN(Format::Json, "json", "every pass with times"),
               clEnumValN(Format::Csv, "csv",
                          "the order, for PyTorch's pipelining"),
               clEnumValN(Format::Svg, "svg", "a picture"),
               clEnumValN(Format::Html, "html",
                          "a page to zoom into, also with several schedules"),
               clEnumValN(Format::Trace, "trace",
                          "for Perfetto and chrome://tracing")),
    cl::init(Format::Table), cl::cat(category));
cl::opt<std::string> outputFile("o", cl::desc("File to write"),
                                cl::value_desc("file"), cl::init("-"),
                                cl::cat(category));

/// In front of a file in place of a name.
constexpr const char *kBlockPrefix = "block:";
constexpr int kJitterDraws = 200;
/// Limits that --pareto tries are this many to the memory of the first answer.
constexpr int kParetoSteps = 24;
/// Findings in one file after which the rest is only counted.
constexpr size_t kMaxFindings = 10;

/// A schedule with all that is said about it.
struct Result {
  Problem problem;
  Schedule schedule;
  Simulation simulation;
  Bound bound;
  /// Of all cuts and placements that were searched, where it is known.
  std::optional<Bound> boundOfVariants;
  std::optional<JitterResult> jitter;
  double buildSeconds = 0;

  double value() const {
    return objective == Objective::Span ? simulation.span : simulation.makespan;
  }
  /// How far the schedule may be from the best one. Floating point may add up
  /// the bound in another order, which is no gap.
  double gap() const { return gapTo(bound); }
  double gapTo(const Bound &any) const {
    return any.seconds > 0 ? std::max(0.0, value() / any.seconds - 1) : 0;
  }
};

} // namespace

/// "v", "loop", "linear"; "as given" for any other placement, which only a
/// problem can name.
static std::string_view nameOfPlacement(const Problem &problem) {
  for (Placement placement : {Placement::Linear, Placement::Loop, Placement::V})
    if (problem.placement ==
        makePlacement(placement, problem.numStages(), problem.numDevices))
      return placementName(placement);
  return "as given";
}

static llvm::Expected<Result> evaluate(Problem problem, Schedule schedule) {
  // Builders leave updates to their callers.
  if (schedule.order.size() == static_cast<size_t>(problem.numDevices))
    appendUpdates(problem, schedule);
  std::string error;
  std::optional<Simulation> simulation = simulate(problem, schedule, &error);
  if (!simulation)
    return fail(error);
  Result result{std::move(problem),
                std::move(schedule),
                std::move(*simulation),
                {},
                std::nullopt,
                std::nullopt,
                0};
  result.bound = lowerBound(result.problem, objective);
  if (jitterPercent.getNumOccurrences())
    result.jitter = jitter(result.problem, result.schedule, jitterPercent,
                           kJitterDraws, seed);
  return result;
}

static std::optional<std::string> missedLimit(const Model &model,
                                              const Result &result) {
  for (int device = 0; device < result.problem.numDevices; ++device) {
    int64_t peak = result.simulation.peakBytes[device];
    std::optional<int64_t> limit = result.problem.limit(device);
    if (limit && peak > *limit)
      return model.inUnits("device " + std::to_string(device) + " needs " +
                           std::to_string(peak) + " bytes, the limit is " +
                           std::to_string(*limit));
  }
  return std::nullopt;
}

/// Of the schedule that errors call `name`. It has to fit the limits.
static llvm::Expected<Result> evaluate(const Model &model, llvm::StringRef name,
                                       Problem problem, Schedule schedule) {
  llvm::Expected<Result> result =
      evaluate(std::move(problem), std::move(schedule));
  if (!result)
    return fail(name + ": " + llvm::toString(result.takeError()));
  if (std::optional<std::string> missed = missedLimit(model, *result))
    return fail(name + ": " + *missed);
  return result;
}

static llvm::Expected<Result> searchBest(const Model &model) {
  llvm::Expected<std::vector<Problem>> variants = model.variants();
  if (!variants)
    return variants.takeError();
  SearchOptions options;
  options.objective = objective;
  options.seed = seed;
  if (pareto)
    options.effort = 1;
  if (timeBudget.getNumOccurrences())
    options.effort = options.timeLimit = timeBudget;
  if (effort.getNumOccurrences())
    options.effort = effort;
  std::string error;
  std::optional<SearchResult> found = search(*variants, options, &error);
  if (!found)
    return fail("auto: " + model.inUnits(error));
  found->schedule.name = "auto";
  // The search leaves updates out, which may not fit.
  llvm::Expected<Result> result =
      evaluate(model, "auto", std::move((*variants)[found->variant]),
               std::move(found->schedule));
  if (!result)
    return result.takeError();
  result->buildSeconds = found->seconds;
  if (found->bound.seconds > result->bound.seconds)
    result->bound = std::move(found->bound);
  llvm::Expected<std::optional<Bound>> bound = model.boundOfVariants(objective);
  if (!bound)
    return bound.takeError();
  result->boundOfVariants = std::move(*bound);
  return result;
}

/// The problem that the schedule `name` is for, and a function that builds it.
struct Recipe {
  Problem problem;
  std::function<std::optional<Schedule>(const Problem &, std::string *)> build;
};

static llvm::Expected<Recipe> readBlockFile(const Model &model,
                                            const std::string &name) {
  std::string path = name.substr(std::strlen(kBlockPrefix)), error;
  llvm::Expected<std::string> text = readText(path);
  if (!text)
    return text.takeError();
  std::optional<PlacedBlock> block = readBlock(*text, &error);
  if (!block)
    return fail(path + ": " + error);
  llvm::Expected<Problem> problem =
      model.problemOf(block->numDevices, model.numMicrobatches(),
                      block->placement, /*hasBackward=*/true);
  if (!problem)
    return fail(path + ": " + llvm::toString(problem.takeError()));
  return Recipe{std::move(*problem),
                [=](const Problem &problem, std::string *error) {
                  return buildFromBlock(name, *block, problem, error);
                }};
}

static llvm::Expected<Recipe> findRecipe(const Model &model,
                                         const std::string &name) {
  if (llvm::StringRef(name).starts_with(kBlockPrefix))
    return readBlockFile(model, name);
  const NamedSchedule *named = findNamed(name);
  if (!named) {
    std::string error;
    buildNamed(name, unitProblem(1, 1, {0}), &error);
    return fail(error + ", auto, " + kBlockPrefix + "FILE");
  }
  llvm::Expected<Problem> problem =
      model.problem(named->placement, named->stagesPerDevice);
  if (!problem)
    return problem.takeError();
  return Recipe{std::move(*problem),
                [=](const Problem &problem, std::string *error) {
                  return buildNamed(name, problem, error);
                }};
}

static llvm::Expected<Result> buildByName(const Model &model,
                                          const std::string &name) {
  if (name == "auto")
    return searchBest(model);
  llvm::Expected<Recipe> recipe = findRecipe(model, name);
  if (!recipe)
    return recipe.takeError();
  std::string error;
  auto begin = std::chrono::steady_clock::now();
  std::optional<Schedule> schedule = recipe->build(recipe->problem, &error);
  std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - begin;
  if (!schedule)
    return fail(model.inUnits(error));
  llvm::Expected<Result> result =
      evaluate(model, name, std::move(recipe->problem), std::move(*schedule));
  if (result)
    result->buildSeconds = taken.count();
  return result;
}

static llvm::Error failWithFindings(const std::string &path,
                                    llvm::ArrayRef<CsvFinding> findings) {
  std::string lines;
  for (const CsvFinding &finding : findings.take_front(kMaxFindings))
    lines += (lines.empty() ? "" : "\n") + path + ": " + toString(finding);
  if (findings.size() > kMaxFindings)
    lines += "\n" + path + ": and " +
             std::to_string(findings.size() - kMaxFindings) + " more";
  return fail(lines);
}

/// Files have no R. It runs right before the first backward pass of its stage
/// and microbatch.
static void insertRecompute(const Problem &problem, Schedule &schedule) {
  for (std::vector<Pass> &order : schedule.order) {
    std::vector<Pass> complete;
    std::set<std::pair<int, int>> done;
    for (const Pass &pass : order) {
      if (pass.kind != PassKind::Forward && pass.kind != PassKind::Update &&
          pass.stage < problem.numStages() &&
          problem.stages[pass.stage].recompute &&
          done.insert({pass.stage, pass.microbatch}).second)
        complete.push_back({PassKind::Recompute, pass.stage, pass.microbatch});
      complete.push_back(pass);
    }
    order = std::move(complete);
  }
}

/// A problem that fits the passes of a file: stages are where their passes are.
static llvm::Expected<Result> readOrder(const Model &model,
                                        const std::string &path) {
  llvm::Expected<std::string> text = readText(path);
  if (!text)
    return text.takeError();
  std::istringstream is(*text);
  std::vector<CsvFinding> findings;
  CsvProgram program = readCsvProgram(is, findings);
  // Where a problem says which passes there are, the simulation knows better;
  // but it knows nothing of sends and receives.
  if (findings.empty() && (!model.isFromFile() || program.hasTransfers()))
    findings = checkCsvProgram(program);
  if (!findings.empty())
    return failWithFindings(path, findings);
  Schedule schedule = program.schedule();
  schedule.name = path;
  int numStages = 0, numMicrobatches = 0;
  bool hasBackward = false;
  for (const std::vector<Pass> &order : schedule.order)
    for (const Pass &pass : order) {
      numStages = std::max(numStages, pass.stage + 1);
      numMicrobatches = std::max(numMicrobatches, pass.microbatch + 1);
      hasBackward |= pass.kind != PassKind::Forward;
    }
  if (numStages == 0)
    return fail(path + ": there are no passes");
  if (numStages > kMaxMicrobatchStages / numMicrobatches)
    return fail(path + ": " + llvm::Twine(numStages) + " stages times " +
                llvm::Twine(numMicrobatches) + " microbatches are more than " +
                llvm::Twine(kMaxMicrobatchStages));
  std::vector<int> placement(numStages, -1);
  int numDevices = static_cast<int>(schedule.order.size());
  for (int device = 0; device < numDevices; ++device)
    for (const Pass &pass : schedule.order[device])
      placement[pass.stage] = device;
  auto missing = llvm::find(placement, -1);
  if (missing != placement.end())
    return fail(path + ": stage " + llvm::Twine(missing - placement.begin()) +
                " has no passes");
  llvm::Expected<Problem> problem = model.problemOf(
      numDevices, numMicrobatches, std::move(placement), hasBackward);
  if (!problem)
    return fail(path + ": " + llvm::toString(problem.takeError()));
  if (std::any_of(problem->stages.begin(), problem->stages.end(),
                  [](const Stage &stage) { return stage.recompute; }))
    insertRecompute(*problem, schedule);
  return evaluate(model, path, std::move(*problem), std::move(schedule));
}

/// Columns, the first one to the left and the others to the right.
static void writeColumns(std::ostream &os,
                         llvm::ArrayRef<std::vector<std::string>> rows) {
  std::vector<size_t> widths;
  for (const std::vector<std::string> &row : rows)
    for (const auto &[i, cell] : llvm::enumerate(row)) {
      if (i == widths.size())
        widths.push_back(i == 0 ? 8 : 10);
      widths[i] = std::max(widths[i], cell.size());
    }
  for (const std::vector<std::string> &row : rows) {
    for (const auto &[i, cell] : llvm::enumerate(row)) {
      std::string space(widths[i] - cell.size(), ' ');
      os << (i == 0 ? cell + space : "  " + space + cell);
    }
    os << '\n';
  }
}

static std::string percentText(double ratio) {
  return llvm::formatv("{0:F1}%", 100 * ratio).str();
}

static void writeTable(std::ostream &os, const Model &model,
                       llvm::ArrayRef<Result> results,
                       llvm::ArrayRef<std::string> refused) {
  std::vector<std::vector<std::string>> rows = {{"schedule", "stages",
                                                 "makespan", "span", "bubble",
                                                 "bound", "gap", "memory"}};
  if (jitterPercent.getNumOccurrences())
    rows[0].insert(rows[0].end(), {"mean", "worst"});
  rows[0].push_back("build ms");
  for (const Result &result : results) {
    const Simulation &simulation = result.simulation;
    rows.push_back(
        {result.schedule.name, std::to_string(result.problem.numStages()),
         model.time(simulation.makespan), model.time(simulation.span),
         percentText(simulation.bubbleRatio), model.time(result.bound.seconds),
         percentText(result.gap()),
         model.memory(simulation.largestPeakBytes())});
    if (result.jitter)
      rows.back().insert(rows.back().end(), {model.time(result.jitter->mean),
                                             model.time(result.jitter->worst)});
    rows.back().push_back(
        llvm::formatv("{0:F2}", 1e3 * result.buildSeconds).str());
  }
  writeColumns(os, rows);
  for (const Result &result : results) {
    if (result.schedule.name != "auto")
      continue;
    os << "auto: " << result.problem.numStages() << " stages, placed "
       << nameOfPlacement(result.problem) << '\n';
    if (const std::optional<Bound> &bound = result.boundOfVariants)
      os << "auto: " << bound->scope << " takes at least "
         << model.time(bound->seconds) << " (gap "
         << percentText(result.gapTo(*bound)) << ")\n";
  }
  for (const std::string &line : refused)
    os << line << '\n';
}

static void writeList(std::ostream &os) {
  for (const NamedSchedule &named : listNamed()) {
    os << llvm::formatv("{0,-18}{1,-8}{2} per device  {3}\n", named.name,
                        placementName(named.placement), named.stagesPerDevice,
                        named.description)
              .str();
    if (!named.parameters.empty())
      os << std::string(18, ' ') << "  with " << named.name << ':'
         << named.parameters << '\n';
  }
  os << llvm::formatv("{0,-18}{1,-8}the best that a search finds within the "
                      "memory limit\n",
                      "auto", "any")
            .str();
}

/// The problem, before the numbers of passes, what holds for other placements,
/// and what jitter does to it.
static void writeJsonResult(std::ostream &os, const Model &model,
                            const Result &result) {
  std::ostringstream text;
  writeJson(text, result.problem, result.schedule, result.simulation, objective,
            model.units());
  std::string json = text.str();
  const Units &units = model.units();
  double unit = units.abstract ? units.time : 1;
  std::string members;
  if (const std::optional<Bound> &bound = result.boundOfVariants)
    members += llvm::formatv("  \"any_placement\": {{\"lower_bound\": {0}, "
                             "\"bound_scope\": \"{1}\"},\n",
                             number(bound->seconds / unit, 9), bound->scope)
                   .str();
  if (result.jitter)
    members +=
        llvm::formatv("  \"jitter\": {{\"percent\": {0}, \"draws\": {1}, "
                      "\"mean\": {2}, \"worst\": {3}, \"mean_span\": {4}, "
                      "\"worst_span\": {5}},\n",
                      number(jitterPercent, 6), kJitterDraws,
                      number(result.jitter->mean / unit, 9),
                      number(result.jitter->worst / unit, 9),
                      number(result.jitter->meanSpan / unit, 9),
                      number(result.jitter->worstSpan / unit, 9))
            .str();
  json.insert(json.find("  \"passes\":"), members);
  os << json;
}

static llvm::Error writeResults(std::ostream &os, const Model &model,
                                llvm::ArrayRef<Result> results) {
  const Result &first = results.front();
  if (format == Format::Table) {
    writeTable(os, model, results, {});
    return llvm::Error::success();
  }
  if (format == Format::Html) {
    std::vector<Rendered> rendered;
    for (const Result &result : results)
      rendered.push_back(
          {result.problem, result.schedule, result.simulation, model.units()});
    writeHtml(os, rendered);
    return llvm::Error::success();
  }
  if (results.size() > 1)
    return fail("only --format=table and html take several schedules");
  switch (format) {
  case Format::Table:
  case Format::Html:
    break;
  case Format::Json:
    writeJsonResult(os, model, first);
    break;
  case Format::Csv:
    writeCsv(os, first.schedule);
    break;
  case Format::Svg:
    writeSvg(os, first.problem, first.schedule, first.simulation,
             model.units());
    break;
  case Format::Trace:
    writeTrace(os, first.problem, first.schedule, first.simulation,
               model.units());
    break;
  }
  return llvm::Error::success();
}

static llvm::Error compareAll(std::ostream &os, const Model &model) {
  std::vector<std::string> names;
  for (const NamedSchedule &named : listNamed())
    names.emplace_back(named.name);
  if (model.hasMemoryLimit() || timeBudget.getNumOccurrences() ||
      effort.getNumOccurrences())
    names.push_back("auto");
  std::vector<Result> results;
  std::vector<std::string> refused;
  for (const std::string &name : names) {
    llvm::Expected<Result> result = buildByName(model, name);
    if (result) {
      results.push_back(std::move(*result));
      continue;
    }
    std::string line = llvm::toString(result.takeError());
    if (!llvm::StringRef(line).starts_with(name))
      line = name + ": " + line;
    refused.push_back(std::move(line));
  }
  if (results.empty())
    return fail("no schedule fits; " + refused.back());
  writeTable(os, model, results, refused);
  return llvm::Error::success();
}

namespace {
/// The best schedule that is known within a limit, if any, on all devices.
struct ParetoPoint {
  std::optional<int64_t> limit;
  Result result;
};
} // namespace

static void writePareto(std::ostream &os, const Model &model,
                        llvm::ArrayRef<ParetoPoint> points,
                        const std::string &end) {
  const Units &units = model.units();
  double timeUnit = units.abstract ? units.time : 1;
  double memoryUnit = units.abstract ? units.memory : 1;
  auto bytes = [&](int64_t value) {
    return number(static_cast<double>(value) / memoryUnit, 6);
  };
  if (format == Format::Table) {
    std::vector<std::vector<std::string>> rows = {
        {"limit", "memory", "makespan", "span", "bubble", "bound", "gap",
         "stages", "placed"}};
    for (const auto &[limit, result] : points)
      rows.push_back({limit ? model.memory(*limit) : "none",
                      model.memory(result.simulation.largestPeakBytes()),
                      model.time(result.simulation.makespan),
                      model.time(result.simulation.span),
                      percentText(result.simulation.bubbleRatio),
                      model.time(result.bound.seconds),
                      percentText(result.gap()),
                      std::to_string(result.problem.numStages()),
                      std::string(nameOfPlacement(result.problem))});
    writeColumns(os, rows);
    if (!end.empty())
      os << end << '\n';
    return;
  }
  if (format == Format::Csv) {
    os << "memory_limit,peak_memory,makespan,span,bubble_ratio,lower_bound,"
          "stages\n";
    for (const auto &[limit, result] : points)
      os << (limit ? bytes(*limit) : "") << ','
         << bytes(result.simulation.largestPeakBytes()) << ','
         << number(result.simulation.makespan / timeUnit, 9) << ','
         << number(result.simulation.span / timeUnit, 9) << ','
         << number(result.simulation.bubbleRatio, 9) << ','
         << number(result.bound.seconds / timeUnit, 9) << ','
         << result.problem.numStages() << '\n';
    return;
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::json::OStream json(stream, 2);
  json.object([&] {
    json.attribute("objective",
                   objective == Objective::Span ? "span" : "makespan");
    json.attribute("devices", points.front().result.problem.numDevices);
    json.attribute("microbatches",
                   points.front().result.problem.numMicrobatches);
    json.attributeArray("points", [&] {
      auto raw = [&](llvm::StringRef key, const std::string &value) {
        json.attributeBegin(key);
        json.rawValue(value);
        json.attributeEnd();
      };
      for (const auto &[limit, result] : points)
        json.object([&] {
          raw("memory_limit", limit ? bytes(*limit) : "null");
          raw("peak_memory", bytes(result.simulation.largestPeakBytes()));
          raw("makespan", number(result.simulation.makespan / timeUnit, 9));
          raw("span", number(result.simulation.span / timeUnit, 9));
          raw("bubble_ratio", number(result.simulation.bubbleRatio, 9));
          raw("lower_bound", number(result.bound.seconds / timeUnit, 9));
          json.attribute("bound_scope", result.bound.scope);
          json.attribute("stages", result.problem.numStages());
          raw("placement",
              "[" +
                  llvm::join(llvm::map_range(result.problem.placement,
                                             [](int device) {
                                               return std::to_string(device);
                                             }),
                             ", ") +
                  "]");
        });
    });
  });
  os << text << '\n';
}

/// The distance of the limits that are tried, in bytes: a power of two of the
/// unit of memory.
static int64_t paretoStep(const Units &units, const Result &result) {
  int64_t activations = 0; // and all else that comes and goes
  for (int device = 0; device < result.problem.numDevices; ++device)
    activations = std::max(activations, result.simulation.peakBytes[device] -
                                            result.problem.fixed(device));
  double unit = units.abstract ? units.memory : 1;
  double least =
      std::max<double>(1, static_cast<double>(activations) / kParetoSteps);
  double step = unit * std::exp2(std::ceil(std::log2(least / unit)));
  return std::max<int64_t>(1, std::llround(step));
}

/// From the shortest schedule of all down to the smallest memory in which any
/// schedule fits.
static llvm::Error findPareto(std::ostream &os, Model model) {
  if (format != Format::Table && format != Format::Csv &&
      format != Format::Json)
    return fail("--pareto is for --format=table, csv and json");
  std::vector<ParetoPoint> points;
  std::string end;
  std::optional<int64_t> limit;
  int64_t step = 0;
  for (;;) {
    if (limit)
      model.lowerLimits(*limit);
    llvm::Expected<Result> result = searchBest(model);
    if (!result) {
      end = llvm::toString(result.takeError());
      if (points.empty())
        return fail(end);
      break;
    }
    int64_t peak = result->simulation.largestPeakBytes();
    if (step == 0)
      step = paretoStep(model.units(), *result);
    const std::vector<int64_t> &limits = result->problem.memoryLimits;
    if (!limits.empty())
      limit = *std::max_element(limits.begin(), limits.end());
    // What takes no longer in less memory takes the place of what was found
    // within a larger limit, and that limit's bound with it.
    ParetoPoint point{limit, std::move(*result)};
    while (!points.empty() &&
           points.back().result.value() >= point.result.value()) {
      point.limit = points.back().limit;
      point.result.bound = std::move(points.back().result.bound);
      points.pop_back();
    }
    points.push_back(std::move(point));
    if (peak == 0)
      break;
    // The largest step below what was needed.
    limit = (peak - 1) / step * step;
  }
  writePareto(os, model, points, end);
  return llvm::Error::success();
}

static llvm::Error checkOptions() {
  if (timeBudget.getNumOccurrences())
    if (llvm::Error error = checkRange(timeBudget, timeBudget, 1e-3, 1e6))
      return error;
  if (effort.getNumOccurrences())
    if (llvm::Error error = checkRange(effort, effort, 1e-3, 1e6))
      return error;
  if (jitterPercent.getNumOccurrences()) {
    if (llvm::Error error = checkRange(jitterPercent, jitterPercent, 0, 100))
      return error;
    if (format != Format::Table && format != Format::Json)
      return fail("--jitter is for --format=table and json");
    if (pareto)
      return fail("--pareto and --jitter exclude each other");
  }
  bool isCheck = checkFile.getNumOccurrences();
  if (isCheck && !scheduleNames.empty())
    return fail("--check and --schedule exclude each other");
  bool isSearch = pareto || (scheduleNames.empty() && !isCheck) ||
                  llvm::is_contained(scheduleNames, "auto");
  if (!isSearch)
    for (llvm::StringRef name : {"max-chunks", "time-budget", "effort"})
      if (cl::getRegisteredOptions().lookup(name)->getNumOccurrences())
        return fail("--" + name + " is for a search by auto");
  if (pareto && (isCheck || printProblem ||
                 llvm::any_of(scheduleNames, [](const std::string &name) {
                   return name != "auto";
                 })))
    return fail("--pareto is a search and takes no other schedule");
  return llvm::Error::success();
}

static llvm::Error run(std::ostream &os) {
  if (list) {
    writeList(os);
    return llvm::Error::success();
  }
  if (llvm::Error error = checkOptions())
    return error;
  llvm::Expected<Model> model = Model::create();
  if (!model)
    return model.takeError();
  if (memoryLimit.getNumOccurrences())
    if (llvm::Error error = model->limitMemory(memoryLimit))
      return error;
  if (pareto)
    return findPareto(os, *model);
  bool isCheck = checkFile.getNumOccurrences();
  if (printProblem && !isCheck && scheduleNames.empty()) {
    llvm::Expected<Problem> problem = model->problem(Placement::Linear, 1);
    if (!problem)
      return problem.takeError();
    os << writeProblem(*problem, model->units());
    return llvm::Error::success();
  }
  if (!isCheck && scheduleNames.empty()) {
    if (format != Format::Table)
      return fail("only --format=table compares all schedules; choose with "
                  "--schedule");
    return compareAll(os, *model);
  }

  std::vector<Result> results;
  std::vector<std::string> names(scheduleNames);
  if (isCheck)
    names.push_back(checkFile);
  for (const std::string &name : names) {
    llvm::Expected<Result> result =
        isCheck ? readOrder(*model, name) : buildByName(*model, name);
    if (!result)
      return result.takeError();
    results.push_back(std::move(*result));
  }
  if (printProblem) {
    if (results.size() > 1)
      return fail("--print-problem takes one schedule");
    os << writeProblem(results.front().problem, model->units());
    return llvm::Error::success();
  }
  return writeResults(os, *model, results);
}

int weir::weirScheduleMain(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  introduceTool();
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv,
                              "Builds, finds, checks, compares and draws "
                              "pipeline schedules\n");
  std::ostringstream text;
  if (llvm::Error error = run(text)) {
    llvm::WithColor::error(llvm::errs(), "weir-schedule")
        << llvm::toString(std::move(error)) << '\n';
    return 1;
  }
  std::error_code error;
  llvm::ToolOutputFile output(outputFile, error, llvm::sys::fs::OF_None);
  if (!error) {
    output.os() << text.str();
    output.os().flush();
    error = output.os().error();
    output.os().clear_error();
  }
  if (error) {
    llvm::WithColor::error(llvm::errs(), "weir-schedule")
        << "cannot write '" << outputFile << "': " << error.message() << '\n';
    return 1;
  }
  output.keep();
  return 0;
}
