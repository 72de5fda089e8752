// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds, checks, compares and draws pipeline schedules without a model.
//
// Units: a device's whole share of the model takes F, B and W for one
// microbatch (--durations); memory counts the activations that this share keeps
// for one microbatch. Inside, such a unit of memory is a round number of bytes
// that the usual numbers of chunks divide.

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Rendering.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/WithColor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>

using namespace weir::schedule;

namespace cl = llvm::cl;

namespace {

enum class Format { Table, Json, Csv, Svg };

cl::OptionCategory category("Schedule options");

cl::opt<std::string> scheduleName(
    "schedule",
    cl::desc("Schedule to build; all are compared when none is given"),
    cl::value_desc("name"), cl::cat(category));
cl::opt<bool> list("list", cl::desc("List the schedules and what they are"),
                   cl::cat(category));
cl::opt<int> devices("devices", cl::desc("Number of devices"), cl::init(4),
                     cl::cat(category));
cl::opt<int> microbatches("microbatches",
                          cl::desc("Number of microbatches of a step"),
                          cl::init(16), cl::cat(category));
cl::opt<int> chunks("chunks",
                    cl::desc("Stages per device (default: what the schedule is "
                             "made for)"),
                    cl::cat(category));
cl::opt<std::string>
    placementOption("placement",
                    cl::desc("linear, loop or v (default: what the schedule "
                             "is made for)"),
                    cl::value_desc("name"), cl::cat(category));
cl::list<double> durations(
    "durations", cl::CommaSeparated,
    cl::desc("Durations of a device's whole share of the model for one "
             "microbatch; each of its stages takes an equal part (default: "
             "1,1,1)"),
    cl::value_desc("F,B,W"), cl::cat(category));
cl::opt<double> transfer("transfer",
                         cl::desc("Time of a transfer between two devices"),
                         cl::init(0), cl::cat(category));
cl::list<double> activation(
    "activation", cl::CommaSeparated,
    cl::desc("Fraction of a stage's activations that is given back after B and "
             "after W (default: 0,1); B may be negative"),
    cl::value_desc("B,W"), cl::cat(category));
cl::opt<double> memoryLimit(
    "memory-limit",
    cl::desc("Memory of a device, in activations that its share of the model "
             "keeps for one microbatch; 1f1b needs as many as there are "
             "devices"),
    cl::value_desc("units"), cl::cat(category));
cl::opt<Objective> objective(
    "objective", cl::desc("What the lower bound is about"),
    cl::values(clEnumValN(Objective::Makespan, "makespan",
                          "first start to last end over all devices (default)"),
               clEnumValN(Objective::Span, "span",
                          "longest first start to last end of one device")),
    cl::init(Objective::Makespan), cl::cat(category));
cl::opt<std::string> checkFile(
    "check",
    cl::desc("Check the order of passes in a file in PyTorch's CSV format, and "
             "use it in place of a schedule by name"),
    cl::value_desc("file.csv"), cl::cat(category));
cl::opt<Format>
    format("format", cl::desc("What to write"),
           cl::values(clEnumValN(Format::Table, "table",
                                 "makespan, bubble, bound, memory (default)"),
                      clEnumValN(Format::Json, "json", "every pass with times"),
                      clEnumValN(Format::Csv, "csv",
                                 "the order, for PyTorch's pipelining"),
                      clEnumValN(Format::Svg, "svg", "a picture")),
           cl::init(Format::Table), cl::cat(category));
cl::opt<std::string> outputFile("o", cl::desc("File to write"),
                                cl::value_desc("file"), cl::init("-"),
                                cl::cat(category));

/// Bytes of one unit of memory; 720720 is divisible by 1 to 16.
constexpr double kUnitBytes = 720720.0 * 1000;
const Units kUnits{true, 1, kUnitBytes};

/// A schedule with all that is said about it.
struct Result {
  Problem problem;
  Schedule schedule;
  Simulation simulation;
  double buildSeconds = 0;
};

} // namespace

static llvm::Error fail(const llvm::Twine &message) {
  return llvm::createStringError(message);
}

static std::string number(double value) {
  std::string text = llvm::formatv("{0:F3}", value).str();
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text;
}

static llvm::Expected<std::vector<double>>
numbers(const cl::list<double> &option, size_t count,
        std::vector<double> defaults) {
  if (option.getNumOccurrences() == 0)
    return defaults;
  if (option.size() != count)
    return fail("--" + option.ArgStr + " takes " + llvm::Twine(count) +
                " numbers separated by commas, not " +
                llvm::Twine(option.size()));
  return std::vector<double>(option.begin(), option.end());
}

static llvm::Expected<Stage> makeStage(int stagesPerDevice) {
  auto seconds = numbers(durations, 3, {1, 1, 1});
  if (!seconds)
    return seconds.takeError();
  Stage stage;
  stage.forward = (*seconds)[0] / stagesPerDevice;
  stage.backwardInput = (*seconds)[1] / stagesPerDevice;
  stage.backwardWeight = (*seconds)[2] / stagesPerDevice;

  auto givenBack = numbers(activation, 2, {0, 1});
  if (!givenBack)
    return givenBack.takeError();
  double afterB = givenBack->front(), sum = afterB + givenBack->back();
  if (!(std::abs(sum - 1) <= 1e-9))
    return fail("the two parts of --activation add up to 1, not " +
                number(sum));
  if (!(afterB >= -1000 && afterB <= 1))
    return fail("the first part of --activation is between -1000 and 1, not " +
                number(afterB));
  auto bytes = [&](double fraction) {
    return static_cast<int64_t>(
        std::llround(fraction * kUnitBytes / stagesPerDevice));
  };
  stage.activationBytes = bytes(1);
  stage.releasedByBackwardInput = bytes(std::max(afterB, 0.0));
  stage.takenByBackwardInput = bytes(std::max(-afterB, 0.0));
  return stage;
}

static llvm::Expected<Problem> makeProblem(int numDevices, int numMicrobatches,
                                           std::vector<int> placement,
                                           int stagesPerDevice) {
  llvm::Expected<Stage> stage = makeStage(stagesPerDevice);
  if (!stage)
    return stage.takeError();
  Problem problem;
  problem.numDevices = numDevices;
  problem.numMicrobatches = numMicrobatches;
  problem.stages.assign(placement.size(), *stage);
  problem.placement = std::move(placement);
  problem.defaultLink.latency = transfer;
  if (memoryLimit.getNumOccurrences()) {
    if (!(memoryLimit >= 0 && memoryLimit <= 1e6))
      return fail("--memory-limit is between 0 and 1000000, not " +
                  number(memoryLimit));
    problem.limitMemory(
        static_cast<int64_t>(std::llround(memoryLimit * kUnitBytes)));
  }
  if (std::optional<std::string> error = problem.check())
    return fail(*error);
  return problem;
}

static llvm::Expected<Result> evaluate(Problem problem, Schedule schedule) {
  // The library would report a missed limit in bytes.
  Problem unlimited = problem;
  unlimited.memoryLimits.clear();
  std::string error;
  std::optional<Simulation> simulation = simulate(unlimited, schedule, &error);
  if (!simulation)
    return fail(error);
  return Result{std::move(problem), std::move(schedule), std::move(*simulation),
                0};
}

static std::optional<std::string> missedLimit(const Result &result) {
  const std::vector<int64_t> &peaks = result.simulation.peakBytes;
  auto largest = std::max_element(peaks.begin(), peaks.end());
  std::optional<int64_t> limit =
      result.problem.limit(static_cast<int>(largest - peaks.begin()));
  if (!limit || *largest <= *limit)
    return std::nullopt;
  return "device " + std::to_string(largest - peaks.begin()) + " needs " +
         number(static_cast<double>(*largest) / kUnitBytes) +
         " units of memory, the limit is " + number(memoryLimit);
}

static llvm::Expected<Result> buildByName(const NamedSchedule &named) {
  int stagesPerDevice =
      chunks.getNumOccurrences() ? chunks : named.stagesPerDevice;
  if (stagesPerDevice < 1)
    return fail("a device has at least one stage, not " +
                llvm::Twine(stagesPerDevice));
  Placement placement = named.placement;
  if (!placementOption.empty()) {
    std::optional<Placement> given = parsePlacement(placementOption);
    if (!given)
      return fail("unknown placement '" + placementOption +
                  "'; there are linear, loop and v");
    placement = *given;
  }
  // Checked before stages are made, of which there may be absurdly many.
  int64_t numStages = static_cast<int64_t>(devices) * stagesPerDevice;
  if (devices < 1 || devices > kMaxDevices || numStages > kMaxMicrobatchStages)
    return fail(llvm::Twine(devices) + " devices with " +
                llvm::Twine(stagesPerDevice) + " stages each are out of range");
  llvm::Expected<Problem> problem = makeProblem(
      devices, microbatches,
      makePlacement(placement, static_cast<int>(numStages), devices),
      stagesPerDevice);
  if (!problem)
    return problem.takeError();
  auto begin = std::chrono::steady_clock::now();
  std::string error;
  std::optional<Schedule> schedule = buildNamed(named.name, *problem, &error);
  std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - begin;
  if (!schedule)
    return fail(error);
  llvm::Expected<Result> result =
      evaluate(std::move(*problem), std::move(*schedule));
  if (result)
    result->buildSeconds = taken.count();
  return result;
}

/// A problem that fits the passes of a file: stages are where their passes are.
static llvm::Expected<Result> readFile(const std::string &path) {
  std::ifstream is(path);
  if (!is)
    return fail("cannot open '" + path + "'");
  std::string error;
  std::optional<Schedule> schedule = readCsv(is, &error);
  if (!schedule)
    return fail(path + ": " + error);
  schedule->name = path;
  int numStages = 0, numMicrobatches = 0;
  for (const std::vector<Pass> &order : schedule->order)
    for (const Pass &pass : order) {
      numStages = std::max(numStages, pass.stage + 1);
      numMicrobatches = std::max(numMicrobatches, pass.microbatch + 1);
      if (pass.stage >= kMaxMicrobatchStages)
        return fail(path + ": there cannot be a stage " +
                    llvm::Twine(pass.stage));
    }
  if (numStages == 0)
    return fail(path + ": there are no passes");
  std::vector<int> placement(numStages, -1);
  int numDevices = static_cast<int>(schedule->order.size());
  std::vector<int> stagesOfDevice(numDevices, 0);
  for (int device = 0; device < numDevices; ++device)
    for (const Pass &pass : schedule->order[device])
      if (placement[pass.stage] < 0) {
        placement[pass.stage] = device;
        ++stagesOfDevice[device];
      }
  auto missing = std::find(placement.begin(), placement.end(), -1);
  if (missing != placement.end())
    return fail(path + ": stage " + llvm::Twine(missing - placement.begin()) +
                " has no passes");
  int stagesPerDevice =
      *std::max_element(stagesOfDevice.begin(), stagesOfDevice.end());
  llvm::Expected<Problem> problem = makeProblem(
      numDevices, numMicrobatches, std::move(placement), stagesPerDevice);
  if (!problem)
    return problem.takeError();
  llvm::Expected<Result> result =
      evaluate(std::move(*problem), std::move(*schedule));
  if (!result)
    return fail(path + ": " + llvm::toString(result.takeError()));
  return result;
}

static void writeTable(std::ostream &os, llvm::ArrayRef<Result> results,
                       llvm::ArrayRef<std::string> refused) {
  size_t width = 8;
  for (const Result &result : results)
    width = std::max(width, result.schedule.name.size());
  auto cell = [&](llvm::StringRef text) {
    return llvm::formatv("{0,12}", text).str();
  };
  os << std::string("schedule").append(width - 8, ' ');
  for (const char *title : {"stages", "makespan", "span", "bubble", "bound",
                            "gap", "memory", "build ms"})
    os << cell(title);
  os << '\n';
  for (const Result &result : results) {
    const Simulation &simulation = result.simulation;
    double bound = lowerBound(result.problem, objective).seconds;
    double reached =
        objective == Objective::Span ? simulation.span : simulation.makespan;
    double gap = bound > 0 ? reached / bound - 1 : 0;
    std::string name = result.schedule.name;
    os << name.append(width - name.size(), ' ')
       << cell(std::to_string(result.problem.numStages()))
       << cell(number(simulation.makespan)) << cell(number(simulation.span))
       << cell(llvm::formatv("{0:F1}%", 100 * simulation.bubbleRatio).str())
       << cell(number(bound)) << cell(llvm::formatv("{0:F1}%", 100 * gap).str())
       << cell(number(static_cast<double>(simulation.largestPeakBytes()) /
                      kUnitBytes))
       << cell(llvm::formatv("{0:F2}", 1e3 * result.buildSeconds).str())
       << '\n';
  }
  for (const std::string &line : refused)
    os << line << '\n';
}

static void writeList(std::ostream &os) {
  for (const NamedSchedule &named : listNamed())
    os << llvm::formatv("{0,-8}{1,-8}{2} per device  {3}\n", named.name,
                        placementName(named.placement), named.stagesPerDevice,
                        named.description)
              .str();
}

static llvm::Error compareAll(std::ostream &os) {
  std::vector<Result> results;
  std::vector<std::string> refused;
  for (const NamedSchedule &named : listNamed()) {
    llvm::Expected<Result> result = buildByName(named);
    std::optional<std::string> error;
    if (!result)
      error = llvm::toString(result.takeError());
    else
      error = missedLimit(*result);
    if (error)
      refused.push_back(std::string(named.name) + ": " + *error);
    else
      results.push_back(std::move(*result));
  }
  if (results.empty())
    return fail("no schedule fits; " + refused.front());
  writeTable(os, results, refused);
  return llvm::Error::success();
}

static llvm::Expected<Result> buildOrRead() {
  if (!checkFile.empty())
    return readFile(checkFile);
  if (const NamedSchedule *named = findNamed(scheduleName))
    return buildByName(*named);
  std::string error;
  buildNamed(scheduleName, unitProblem(1, 1, {0}), &error);
  return fail(error);
}

static llvm::Error run(std::ostream &os) {
  if (list) {
    writeList(os);
    return llvm::Error::success();
  }
  if (!checkFile.empty() && !scheduleName.empty())
    return fail("--check and --schedule exclude each other");
  if (checkFile.empty() && scheduleName.empty()) {
    if (format != Format::Table)
      return fail("only --format=table compares schedules; choose one with "
                  "--schedule");
    return compareAll(os);
  }

  llvm::Expected<Result> result = buildOrRead();
  if (!result)
    return result.takeError();
  const auto &[problem, schedule, simulation, buildSeconds] = *result;
  if (std::optional<std::string> error = missedLimit(*result))
    return fail(schedule.name + ": " + *error);
  switch (format) {
  case Format::Table:
    writeTable(os, *result, {});
    break;
  case Format::Json:
    writeJson(os, problem, schedule, simulation, objective, kUnits);
    break;
  case Format::Csv:
    writeCsv(os, schedule);
    break;
  case Format::Svg:
    writeSvg(os, problem, schedule, simulation, kUnits);
    break;
  }
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv,
                              "Builds, checks, compares and draws pipeline "
                              "schedules\n");
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
