// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Model.h"

#include "weir/Schedule/ProblemJson.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <regex>

using namespace weir::schedule;
using namespace weir::schedule::tool;

namespace cl = llvm::cl;

cl::OptionCategory tool::category("Schedule options");

static cl::opt<std::string>
    problemFile("problem",
                cl::desc("Problem to schedule, as JSON in the format of "
                         "docs/schedule-problem.schema.json, in place of the "
                         "options that describe one"),
                cl::value_desc("file.json"), cl::cat(category));
static cl::opt<int> devices("devices", cl::desc("Number of devices"),
                            cl::init(4), cl::cat(category));
static cl::opt<int> microbatches("microbatches",
                                 cl::desc("Number of microbatches of a step"),
                                 cl::init(16), cl::cat(category));
static cl::opt<int>
    chunks("chunks",
           cl::desc("Stages per device (default: what the schedule is made "
                    "for; what auto finds best)"),
           cl::cat(category));
static cl::opt<int> maxChunks("max-chunks",
                              cl::desc("Most stages per device that auto tries "
                                       "(default: 2)"),
                              cl::init(2), cl::cat(category));
static cl::opt<std::string>
    placementOption("placement",
                    cl::desc("linear, loop or v (default: what the schedule "
                             "is made for; what auto finds best)"),
                    cl::value_desc("name"), cl::cat(category));
static cl::list<double> durationsOption(
    "durations", cl::CommaSeparated,
    cl::desc("Durations of a device's whole share of the model for one "
             "microbatch; each of its stages takes an equal part (default: "
             "1,1,1)"),
    cl::value_desc("F,B,W"), cl::cat(category));
static cl::opt<double>
    transfer("transfer", cl::desc("Time of a transfer between two devices"),
             cl::init(0), cl::cat(category));
static cl::list<double> activation(
    "activation", cl::CommaSeparated,
    cl::desc("Fraction of a stage's activations that is given back after B and "
             "after W (default: 0,1); B may be negative"),
    cl::value_desc("B,W"), cl::cat(category));

/// Bytes of one unit of memory; 720720 is divisible by 1 to 16.
static constexpr double kUnitBytes = 720720.0 * 1000;
/// Digits after the point that tell one byte of such a unit from the next.
static constexpr int kExactDigits = 9;

llvm::Error tool::fail(const llvm::Twine &message) {
  return llvm::createStringError(message);
}

std::string tool::number(double value, int digits) {
  // Beyond that a fixed point says nothing.
  if (!(std::abs(value) < 1e15))
    return llvm::formatv("{0:E3}", value).str();
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  std::string text = buffer;
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.')
      text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

llvm::Error tool::checkRange(const cl::Option &option, double value, double low,
                             double high) {
  if (value >= low && value <= high)
    return llvm::Error::success();
  return fail("--" + option.ArgStr + " is between " + number(low) + " and " +
              number(high) + ", not " + number(value));
}

static llvm::Error readNumbers(const cl::list<double> &option,
                               std::vector<double> &result) {
  if (option.getNumOccurrences() == 0)
    return llvm::Error::success();
  if (option.size() != result.size())
    return fail("--" + option.ArgStr + " takes " + llvm::Twine(result.size()) +
                " numbers separated by commas, not " +
                llvm::Twine(option.size()));
  result.assign(option.begin(), option.end());
  return llvm::Error::success();
}

llvm::Expected<std::string> tool::readText(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return fail("cannot read '" + path + "': " + buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

static llvm::Expected<ProblemFile> readFile(const std::string &path) {
  llvm::Expected<std::string> text = readText(path);
  if (!text)
    return text.takeError();
  std::string error;
  std::optional<ProblemFile> file = readProblem(*text, &error);
  if (!file)
    return fail(path + ": " + error);
  return std::move(*file);
}

llvm::Expected<Model> Model::create() {
  Model model;
  if (llvm::Error error =
          checkRange(maxChunks, maxChunks, 1, kMaxMicrobatchStages))
    return error;
  if (chunks.getNumOccurrences())
    if (llvm::Error error = checkRange(chunks, chunks, 1, kMaxMicrobatchStages))
      return error;
  if (chunks.getNumOccurrences() && maxChunks.getNumOccurrences())
    return fail("--chunks and --max-chunks exclude each other");
  if (placementOption.getNumOccurrences()) {
    model.givenPlacement = parsePlacement(placementOption);
    if (!model.givenPlacement)
      return fail("unknown placement '" + placementOption +
                  "'; there are linear, loop and v");
  }

  if (problemFile.getNumOccurrences()) {
    // Lists of options have an address of their own.
    for (const cl::Option *option :
         {std::addressof<cl::Option>(devices),
          std::addressof<cl::Option>(microbatches),
          std::addressof<cl::Option>(durationsOption),
          std::addressof<cl::Option>(transfer),
          std::addressof<cl::Option>(activation)})
      if (option->getNumOccurrences())
        return fail("--problem and --" + option->ArgStr +
                    " exclude each other");
    llvm::Expected<ProblemFile> file = readFile(problemFile);
    if (!file)
      return file.takeError();
    if (file->isPlaced() &&
        (model.givenPlacement || chunks.getNumOccurrences() ||
         maxChunks.getNumOccurrences()))
      return fail(problemFile + " says where its stages are; --placement, "
                                "--chunks and --max-chunks are for problems "
                                "that leave it open");
    model.theUnits = file->units;
    model.fixedBytesOfStages = std::move(file->fixedBytesOfStages);
    model.file = std::move(file->problem);
    return model;
  }

  if (llvm::Error error = checkRange(devices, devices, 1, kMaxDevices))
    return error;
  if (llvm::Error error =
          checkRange(microbatches, microbatches, 1, kMaxMicrobatchStages))
    return error;
  if (llvm::Error error = checkRange(transfer, transfer, 0, 1e12))
    return error;
  if (llvm::Error error = readNumbers(durationsOption, model.durations))
    return error;
  if (llvm::Error error = readNumbers(activation, model.givenBack))
    return error;
  for (double duration : model.durations)
    if (llvm::Error error = checkRange(durationsOption, duration, 0, 1e12))
      return error;
  double afterB = model.givenBack[0], sum = afterB + model.givenBack[1];
  if (!(std::abs(sum - 1) <= 1e-9))
    return fail("the two parts of --activation add up to 1, not " +
                number(sum));
  if (!(afterB >= -1000 && afterB <= 1))
    return fail("the first part of --activation is between -1000 and 1, not " +
                number(afterB));
  model.theUnits = {true, 1, kUnitBytes};
  return model;
}

llvm::Error Model::limitMemory(double limit) {
  double bytes =
      std::round(theUnits.abstract ? limit * theUnits.memory : limit);
  if (!(bytes >= 0 && bytes < 0x1p62))
    return fail("--memory-limit is between 0 and " +
                number(theUnits.abstract ? 0x1p62 / theUnits.memory : 0x1p62) +
                ", not " + number(limit));
  bytesLimit = static_cast<int64_t>(bytes);
  return llvm::Error::success();
}

bool Model::hasMemoryLimit() const {
  return bytesLimit || mostBytes || (file && !file->memoryLimits.empty());
}

llvm::Expected<Stage> Model::equalStage(int stagesPerDevice) const {
  Stage stage;
  stage.forward = durations[0] / stagesPerDevice;
  stage.backwardInput = durations[1] / stagesPerDevice;
  stage.backwardWeight = durations[2] / stagesPerDevice;
  // All that is held is rounded down, so that a limit that is met exactly is
  // not missed by a byte.
  auto held = [&](double fraction) {
    return static_cast<int64_t>(
        std::floor(fraction * kUnitBytes / stagesPerDevice + 1e-3));
  };
  stage.activationBytes = held(1);
  stage.releasedByBackwardInput =
      held(1) - held(1 - std::max(givenBack[0], 0.0));
  stage.takenByBackwardInput = held(std::max(-givenBack[0], 0.0));
  return stage;
}

llvm::Expected<UnplacedProblem> Model::cut(int chunksPerDevice) const {
  int numDevices = file ? file->numDevices : static_cast<int>(devices);
  int64_t numStages = static_cast<int64_t>(numDevices) * chunksPerDevice;
  if (file) {
    if (numStages > file->numStages())
      return fail(problemFile + ": " + llvm::Twine(numDevices) +
                  " devices with " + llvm::Twine(chunksPerDevice) +
                  " stages each need " + llvm::Twine(numStages) +
                  " stages, there are " + llvm::Twine(file->numStages()));
    return joinStages({*file, fixedBytesOfStages}, static_cast<int>(numStages));
  }
  // Checked before stages are made, of which there may be absurdly many.
  if (numStages > kMaxMicrobatchStages / microbatches)
    return fail(llvm::Twine(numDevices) + " devices with " +
                llvm::Twine(chunksPerDevice) + " stages each, times " +
                llvm::Twine(microbatches) + " microbatches, are more than " +
                llvm::Twine(kMaxMicrobatchStages));
  llvm::Expected<Stage> stage = equalStage(chunksPerDevice);
  if (!stage)
    return stage.takeError();
  UnplacedProblem unplaced;
  unplaced.problem.numDevices = numDevices;
  unplaced.problem.numMicrobatches = microbatches;
  unplaced.problem.stages.assign(numStages, *stage);
  unplaced.problem.defaultLink.latency = transfer;
  return unplaced;
}

llvm::Error Model::finish(Problem &problem) const {
  if (bytesLimit)
    problem.limitMemory(*bytesLimit);
  if (mostBytes && problem.memoryLimits.empty())
    problem.limitMemory(*mostBytes);
  else if (mostBytes)
    for (int64_t &limit : problem.memoryLimits)
      limit = std::min(limit, *mostBytes);
  if (std::optional<std::string> error = problem.check())
    return fail(*error);
  return llvm::Error::success();
}

llvm::Expected<Problem> Model::problem(Placement defaultPlacement,
                                       int defaultChunks) const {
  Problem problem;
  if (isPlaced()) {
    problem = *file;
  } else {
    llvm::Expected<UnplacedProblem> unplaced = cut(
        chunks.getNumOccurrences() ? static_cast<int>(chunks) : defaultChunks);
    if (!unplaced)
      return unplaced.takeError();
    problem = place(*unplaced,
                    makePlacement(givenPlacement.value_or(defaultPlacement),
                                  unplaced->problem.numStages(),
                                  unplaced->problem.numDevices));
  }
  if (llvm::Error error = finish(problem))
    return error;
  return problem;
}

llvm::Expected<Problem> Model::problemOf(int numDevices, int numMicrobatches,
                                         std::vector<int> placement,
                                         bool hasBackward) const {
  Problem problem;
  int numStages = static_cast<int>(placement.size());
  if (chunks.getNumOccurrences() &&
      numStages != static_cast<int64_t>(numDevices) * chunks)
    return fail(llvm::Twine(numStages) + " stages on " +
                llvm::Twine(numDevices) + " devices, but --chunks is " +
                llvm::Twine(chunks));
  if (givenPlacement &&
      placement != makePlacement(*givenPlacement, numStages, numDevices))
    return fail("stages that are not placed as --placement=" + placementOption +
                " says");
  if (file) {
    auto differs = [&](const char *what, int here, int there) {
      return fail(llvm::Twine(here) + " " + what + ", but " + problemFile +
                  " has " + llvm::Twine(there));
    };
    if (numDevices != file->numDevices)
      return differs("devices", numDevices, file->numDevices);
    if (numMicrobatches != file->numMicrobatches)
      return differs("microbatches", numMicrobatches, file->numMicrobatches);
    if (isPlaced()) {
      problem = *file;
      if (numStages != problem.numStages())
        return differs("stages", numStages, problem.numStages());
    } else {
      if (numStages > file->numStages())
        return differs("stages", numStages, file->numStages());
      problem = place(joinStages({*file, fixedBytesOfStages}, numStages),
                      std::move(placement));
    }
  } else {
    if (devices.getNumOccurrences() && numDevices != devices)
      return fail(llvm::Twine(numDevices) + " devices, but --devices is " +
                  llvm::Twine(devices));
    if (microbatches.getNumOccurrences() && numMicrobatches != microbatches)
      return fail(llvm::Twine(numMicrobatches) +
                  " microbatches, but --microbatches is " +
                  llvm::Twine(microbatches));
    if (numDevices > kMaxDevices)
      return fail(llvm::Twine(numDevices) + " devices are more than " +
                  llvm::Twine(kMaxDevices));
    // The share of the model that a device has is that of the fullest one.
    std::vector<int> stagesOfDevice(numDevices, 0);
    for (int device : placement)
      ++stagesOfDevice[device];
    llvm::Expected<Stage> stage = equalStage(
        *std::max_element(stagesOfDevice.begin(), stagesOfDevice.end()));
    if (!stage)
      return stage.takeError();
    stage->hasBackwardInput = stage->hasBackwardWeight = hasBackward;
    problem.numDevices = numDevices;
    problem.numMicrobatches = numMicrobatches;
    problem.stages.assign(numStages, *stage);
    problem.placement = std::move(placement);
    problem.defaultLink.latency = transfer;
  }
  if (llvm::Error error = finish(problem))
    return error;
  return problem;
}

int Model::numMicrobatches() const {
  return file ? file->numMicrobatches : static_cast<int>(microbatches);
}

llvm::Expected<std::vector<Problem>> Model::variants() const {
  std::vector<Problem> result;
  if (isPlaced()) {
    result.push_back(*file);
  } else if (file && !chunks.getNumOccurrences() && !givenPlacement) {
    result = makeVariants({*file, fixedBytesOfStages}, maxChunks);
  } else {
    int first = chunks.getNumOccurrences() ? chunks : 1;
    int last = chunks.getNumOccurrences() ? chunks : maxChunks;
    for (int count = first; count <= last; ++count) {
      llvm::Expected<UnplacedProblem> unplaced = cut(count);
      // More stages than there can be are no reason to give up fewer.
      if (!unplaced && !result.empty()) {
        llvm::consumeError(unplaced.takeError());
        break;
      }
      if (!unplaced)
        return unplaced.takeError();
      int numStages = unplaced->problem.numStages();
      int numDevices = unplaced->problem.numDevices;
      std::vector<Placement> placements =
          distinctPlacements(numStages, numDevices);
      if (givenPlacement)
        placements = {*givenPlacement};
      for (Placement placement : placements)
        result.push_back(
            place(*unplaced, makePlacement(placement, numStages, numDevices)));
    }
  }
  for (Problem &problem : result)
    if (llvm::Error error = finish(problem))
      return error;
  return result;
}

llvm::Expected<std::optional<Bound>>
Model::boundOfVariants(Objective objective) const {
  if (file || givenPlacement || chunks.getNumOccurrences())
    return std::nullopt;
  llvm::Expected<Problem> whole = problem(Placement::Linear, 1);
  if (!whole)
    return whole.takeError();
  return lowerBoundAnyPlacement(*whole, maxChunks, objective);
}

std::string Model::inUnits(const std::string &message) const {
  if (!theUnits.abstract)
    return message;
  static const std::regex kBytes("(limit is )?([0-9]+)( bytes)?");
  std::string result;
  auto at = message.cbegin();
  for (std::sregex_iterator it(message.begin(), message.end(), kBytes), end;
       it != end; ++it) {
    const std::smatch &match = *it;
    if (!match[1].matched && !match[3].matched)
      continue;
    result.append(at, match[0].first);
    double bytes = std::strtod(match[2].str().c_str(), nullptr);
    result += match[1].str() + number(bytes / theUnits.memory, kExactDigits);
    if (match[3].matched)
      result += " units of memory";
    at = match[0].second;
  }
  return result.append(at, message.cend());
}

std::string Model::time(double seconds) const {
  if (theUnits.abstract)
    return number(seconds / theUnits.time);
  static constexpr std::pair<double, const char *> kPrefixes[] = {
      {1, " s"}, {1e-3, " ms"}, {1e-6, " us"}};
  for (auto [unit, name] : kPrefixes)
    if (seconds >= unit)
      return number(seconds / unit) + name;
  return seconds == 0 ? "0 s" : number(seconds / 1e-9) + " ns";
}

std::string Model::memory(int64_t bytes) const {
  double value = static_cast<double>(bytes);
  if (theUnits.abstract)
    return number(value / theUnits.memory);
  static constexpr std::pair<double, const char *> kPrefixes[] = {
      {0x1p40, " TiB"}, {0x1p30, " GiB"}, {0x1p20, " MiB"}, {0x1p10, " KiB"}};
  for (auto [unit, name] : kPrefixes)
    if (value >= unit)
      return number(value / unit, 2) + name;
  return number(value) + " B";
}
