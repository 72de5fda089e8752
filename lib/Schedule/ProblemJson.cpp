// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/ProblemJson.h"
#include "JsonReader.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <charconv>
#include <cmath>

using namespace llvm;

namespace weir::schedule {

namespace {

constexpr int64_t kMaxBytes = std::numeric_limits<int64_t>::max();
constexpr double kMaxSeconds = 1e100;
constexpr double kMinBandwidth = 1e-50;
constexpr double kMaxBandwidth = std::numeric_limits<double>::max();

/// The members of a stage that are numbers of bytes.
constexpr std::pair<StringLiteral, int64_t Stage::*> kStageBytes[] = {
    {"activation_bytes", &Stage::activationBytes},
    {"released_by_backward_input_bytes", &Stage::releasedByBackwardInput},
    {"taken_by_backward_input_bytes", &Stage::takenByBackwardInput},
    {"kept_for_recompute_bytes", &Stage::keptForRecompute},
    {"forward_transfer_bytes", &Stage::forwardTransferBytes},
    {"backward_transfer_bytes", &Stage::backwardTransferBytes},
};

class Reader : public JsonReader {
public:
  std::optional<ProblemFile> read(StringRef text) {
    std::optional<json::Value> root = parse(text);
    if (!root || !readRoot(*root))
      return std::nullopt;
    return std::move(file);
  }

private:
  /// Leaves `result` alone where the member is not given.
  bool seconds(const json::Object &members, StringRef path, StringRef key,
               double &result) {
    const json::Value *value = members.get(key);
    return !value ||
           number(*value, memberPath(path, key), 0, kMaxSeconds, result);
  }
  bool seconds(const json::Object &members, StringRef path, StringRef key,
               std::optional<double> &result) {
    return !members.get(key) || seconds(members, path, key, result.emplace());
  }
  /// null: the stage has no such pass.
  bool seconds(const json::Object &members, StringRef path, StringRef key,
               double &result, bool &exists) {
    exists = members.get(key)->kind() != json::Value::Null;
    return !exists || seconds(members, path, key, result);
  }
  bool bytes(const json::Object &members, StringRef path, StringRef key,
             int64_t &result) {
    const json::Value *value = members.get(key);
    return !value ||
           integer(*value, memberPath(path, key), 0, kMaxBytes, result);
  }

  /// One number for all devices, or one for each.
  bool bytesOfDevices(const json::Object &members, StringRef key,
                      std::vector<int64_t> &result) {
    const json::Value *value = members.get(key);
    if (!value)
      return true;
    int numDevices = file.problem.numDevices;
    if (value->getAsNumber()) {
      int64_t all = 0;
      if (!integer(*value, key, 0, kMaxBytes, all))
        return false;
      result.assign(numDevices, all);
      return true;
    }
    const json::Array *elements = value->getAsArray();
    if (!elements)
      return fail(key, "expected an integer or an array");
    if (elements->size() != static_cast<size_t>(numDevices))
      return fail(key, "expected one number for each of the " +
                           Twine(numDevices) + " devices, not " +
                           Twine(elements->size()));
    for (const auto &[i, element] : enumerate(*elements))
      if (!integer(element, elementPath(key, i), 0, kMaxBytes,
                   result.emplace_back()))
        return false;
    return true;
  }

  bool readRoot(const json::Value &root) {
    const json::Object *members =
        object(root, "", {"devices", "microbatches", "stages"},
               {"$schema", "description", "placement", "default_link", "links",
                "fixed_bytes", "memory_limit", "units"});
    if (!members)
      return false;
    Problem &problem = file.problem;
    for (StringRef key : {"$schema", "description"})
      if (const json::Value *value = members->get(key);
          value && !value->getAsString())
        return fail(memberPath("", key), "expected a string");
    if (!integer(*members->get("devices"), "devices", 1, kMaxDevices,
                 problem.numDevices) ||
        !integer(*members->get("microbatches"), "microbatches", 1,
                 kMaxMicrobatchStages, problem.numMicrobatches) ||
        !readStages(*members->get("stages")))
      return false;
    if (const json::Value *placement = members->get("placement"))
      if (!readPlacement(*placement))
        return false;
    if (const json::Value *link = members->get("default_link"))
      if (!readDefaultLink(*link))
        return false;
    if (const json::Value *links = members->get("links"))
      if (!readLinks(*links))
        return false;
    if (const json::Value *units = members->get("units"))
      if (!readUnits(*units))
        return false;
    return bytesOfDevices(*members, "fixed_bytes", problem.fixedBytes) &&
           bytesOfDevices(*members, "memory_limit", problem.memoryLimits) &&
           finish();
  }

  bool readStages(const json::Value &value) {
    const json::Array *entries = array(value, "stages");
    if (!entries)
      return false;
    if (entries->empty())
      return fail("stages", "expected at least one stage");
    Problem &problem = file.problem;
    int64_t mostStages = kMaxMicrobatchStages / problem.numMicrobatches;
    for (const auto &[i, entry] : enumerate(*entries)) {
      std::string path = elementPath("stages", i);
      Stage stage;
      int64_t repeat = 1, fixedBytes = 0;
      if (!readStage(entry, path, stage, repeat, fixedBytes))
        return false;
      if (repeat > mostStages - problem.numStages())
        return fail(path, "more than " + Twine(mostStages) +
                              " stages for this many microbatches");
      problem.stages.insert(problem.stages.end(), repeat, stage);
      file.fixedBytesOfStages.insert(file.fixedBytesOfStages.end(), repeat,
                                     fixedBytes);
    }
    return true;
  }

  bool readStage(const json::Value &value, StringRef path, Stage &stage,
                 int64_t &repeat, int64_t &fixedBytes) {
    SmallVector<StringRef> optional = {"repeat", "backward", "recompute",
                                       "gradient_reduction", "update"};
    for (const auto &[key, member] : kStageBytes)
      optional.push_back(key);
    optional.append({"workspace_bytes", "fixed_bytes"});
    const json::Object *members =
        object(value, path, {"forward", "backward_input", "backward_weight"},
               optional);
    if (!members || !seconds(*members, path, "forward", stage.forward) ||
        !seconds(*members, path, "backward_input", stage.backwardInput,
                 stage.hasBackwardInput) ||
        !seconds(*members, path, "backward_weight", stage.backwardWeight,
                 stage.hasBackwardWeight) ||
        !seconds(*members, path, "backward", stage.backward) ||
        !seconds(*members, path, "recompute", stage.recompute) ||
        !seconds(*members, path, "gradient_reduction",
                 stage.gradientReduction) ||
        !seconds(*members, path, "update", stage.update))
      return false;
    for (const auto &[key, member] : kStageBytes)
      if (!bytes(*members, path, key, stage.*member))
        return false;
    if (!bytes(*members, path, "fixed_bytes", fixedBytes))
      return false;
    if (const json::Value *times = members->get("repeat"))
      if (!integer(*times, memberPath(path, "repeat"), 1, kMaxMicrobatchStages,
                   repeat))
        return false;
    if (const json::Value *workspace = members->get("workspace_bytes"))
      return readWorkspace(*workspace, memberPath(path, "workspace_bytes"),
                           stage);
    return true;
  }

  bool readWorkspace(const json::Value &value, StringRef path, Stage &stage) {
    SmallVector<StringRef> keys;
    for (int kind = 0; kind < kNumPassKinds; ++kind)
      keys.push_back(longName(static_cast<PassKind>(kind)));
    const json::Object *members = object(value, path, {}, keys);
    if (!members)
      return false;
    for (const auto &[kind, key] : enumerate(keys))
      if (!bytes(*members, path, key, stage.workspaceBytes[kind]))
        return false;
    return true;
  }

  bool readPlacement(const json::Value &value) {
    Problem &problem = file.problem;
    if (std::optional<StringRef> name = value.getAsString()) {
      std::optional<Placement> placement = parsePlacement(*name);
      if (!placement)
        return fail("placement", "expected linear, loop, v or an array");
      problem.placement =
          makePlacement(*placement, problem.numStages(), problem.numDevices);
      return true;
    }
    const json::Array *elements = value.getAsArray();
    if (!elements)
      return fail("placement", "expected linear, loop, v or an array");
    if (elements->size() != problem.stages.size())
      return fail("placement", "expected one device for each of the " +
                                   Twine(problem.numStages()) +
                                   " stages, not " + Twine(elements->size()));
    for (const auto &[i, element] : enumerate(*elements))
      if (!integer(element, elementPath("placement", i), 0,
                   problem.numDevices - 1, problem.placement.emplace_back()))
        return false;
    return true;
  }

  bool readLink(const json::Object &members, StringRef path, Link &link) {
    const json::Value *bandwidth = members.get("bandwidth");
    return seconds(members, path, "latency", link.latency) &&
           (!bandwidth || number(*bandwidth, memberPath(path, "bandwidth"),
                                 kMinBandwidth, kMaxBandwidth, link.bandwidth));
  }

  bool readDefaultLink(const json::Value &value) {
    const json::Object *members =
        object(value, "default_link", {}, {"latency", "bandwidth"});
    return members &&
           readLink(*members, "default_link", file.problem.defaultLink);
  }

  bool readLinks(const json::Value &value) {
    const json::Array *entries = array(value, "links");
    if (!entries)
      return false;
    int last = file.problem.numDevices - 1;
    for (const auto &[i, entry] : enumerate(*entries)) {
      std::string path = elementPath("links", i);
      const json::Object *members =
          object(entry, path, {"from", "to"}, {"latency", "bandwidth"});
      int from = 0, to = 0;
      Link link;
      if (!members ||
          !integer(*members->get("from"), memberPath(path, "from"), 0, last,
                   from) ||
          !integer(*members->get("to"), memberPath(path, "to"), 0, last, to) ||
          !readLink(*members, path, link))
        return false;
      if (!file.problem.links.try_emplace({from, to}, link).second)
        return fail(path, "a second link from device " + Twine(from) +
                              " to device " + Twine(to));
    }
    return true;
  }

  bool readUnits(const json::Value &value) {
    const json::Object *members =
        object(value, "units", {}, {"time", "memory"});
    if (!members)
      return false;
    file.units.abstract = true;
    for (auto [key, unit] :
         {std::pair(StringRef("time"), &file.units.time),
          std::pair(StringRef("memory"), &file.units.memory)})
      if (const json::Value *size = members->get(key))
        if (!number(*size, memberPath("units", key), 1e-50, 1e50, *unit))
          return false;
    return true;
  }

  bool finish() {
    Problem &problem = file.problem;
    std::vector<int64_t> &ofStages = file.fixedBytesOfStages;
    if (all_of(ofStages, [](int64_t bytes) { return bytes == 0; }))
      ofStages.clear();
    long double fixed = 0;
    for (int64_t bytes : ofStages)
      fixed += bytes;
    for (int64_t bytes : problem.fixedBytes)
      fixed += bytes;
    if (fixed > 0x1p62L)
      return fail("", "the fixed bytes overflow 64 bits");
    bool isPlaced = file.isPlaced();
    if (isPlaced && !ofStages.empty()) {
      problem.fixedBytes.resize(problem.numDevices, 0);
      for (int s = 0; s < problem.numStages(); ++s)
        problem.fixedBytes[problem.placement[s]] += ofStages[s];
      ofStages.clear();
    }
    // Whatever the placement will be, the rest has to be right.
    if (!isPlaced)
      problem.placement.assign(problem.numStages(), 0);
    std::optional<std::string> wrong = problem.check();
    if (!isPlaced)
      problem.placement.clear();
    return !wrong || fail("", *wrong);
  }

  ProblemFile file;
};

class Writer {
public:
  explicit Writer(raw_ostream &os) : json(os, 2) {}

  void write(const Problem &problem, const Units &units) {
    json.object([&] {
      json.attribute("devices", problem.numDevices);
      json.attribute("microbatches", problem.numMicrobatches);
      if (units.abstract)
        attribute("units", [&](json::OStream &compact) {
          number(compact, "time", units.time);
          number(compact, "memory", units.memory);
        });
      writePlacement(problem);
      json.attributeArray("stages", [&] {
        for (size_t i = 0, next; i < problem.stages.size(); i = next) {
          const Stage &stage = problem.stages[i];
          for (next = i + 1;
               next < problem.stages.size() && problem.stages[next] == stage;)
            ++next;
          writeStage(stage, next - i);
        }
      });
      if (problem.defaultLink != Link())
        attribute("default_link", [&](json::OStream &compact) {
          writeLink(compact, problem.defaultLink);
        });
      if (!problem.links.empty())
        json.attributeArray("links", [&] {
          for (const auto &[devices, link] : problem.links)
            inner([&](json::OStream &compact) {
              compact.attribute("from", devices.first);
              compact.attribute("to", devices.second);
              writeLink(compact, link);
            });
        });
      writeBytesOfDevices("fixed_bytes", problem.fixedBytes);
      writeBytesOfDevices("memory_limit", problem.memoryLimits);
    });
  }

private:
  /// An object on one line.
  template <typename Contents> void inner(Contents contents) {
    json.rawValue([&](raw_ostream &os) {
      json::OStream compact(os);
      compact.object([&] { contents(compact); });
    });
  }
  template <typename Contents>
  void attribute(StringRef key, Contents contents) {
    json.attributeBegin(key);
    inner(contents);
    json.attributeEnd();
  }

  static void number(json::OStream &compact, StringRef key, double value) {
    compact.attributeBegin(key);
    compact.rawValue(shortest(value));
    compact.attributeEnd();
  }

  /// An array on one line.
  template <typename Int>
  void list(StringRef key, const std::vector<Int> &values) {
    json.attributeBegin(key);
    json.rawValue(
        [&](raw_ostream &os) { os << json::Value(json::Array(values)); });
    json.attributeEnd();
  }

  void writePlacement(const Problem &problem) {
    if (problem.placement.empty())
      return;
    for (Placement name : {Placement::Linear, Placement::Loop, Placement::V})
      if (problem.placement ==
          makePlacement(name, problem.numStages(), problem.numDevices)) {
        json.attribute("placement", StringRef(placementName(name)));
        return;
      }
    list("placement", problem.placement);
  }

  void writeStage(const Stage &stage, size_t repeat) {
    inner([&](json::OStream &compact) {
      auto pass = [&](StringRef key, bool exists, double duration) {
        if (exists)
          number(compact, key, duration);
        else
          compact.attribute(key, nullptr);
      };
      if (repeat > 1)
        compact.attribute("repeat", static_cast<int64_t>(repeat));
      pass("forward", true, stage.forward);
      pass("backward_input", stage.hasBackwardInput, stage.backwardInput);
      pass("backward_weight", stage.hasBackwardWeight, stage.backwardWeight);
      if (stage.backward)
        number(compact, "backward", *stage.backward);
      if (stage.recompute)
        number(compact, "recompute", *stage.recompute);
      if (stage.gradientReduction != 0)
        number(compact, "gradient_reduction", stage.gradientReduction);
      if (stage.update != 0)
        number(compact, "update", stage.update);
      for (const auto &[key, member] : kStageBytes)
        if (stage.*member != 0)
          compact.attribute(key, stage.*member);
      if (stage.workspaceBytes != Stage().workspaceBytes)
        compact.attributeObject("workspace_bytes", [&] {
          for (int kind = 0; kind < kNumPassKinds; ++kind)
            if (int64_t bytes = stage.workspaceBytes[kind])
              compact.attribute(
                  StringRef(longName(static_cast<PassKind>(kind))), bytes);
        });
    });
  }

  void writeLink(json::OStream &compact, const Link &link) {
    number(compact, "latency", link.latency);
    if (!std::isinf(link.bandwidth))
      number(compact, "bandwidth", link.bandwidth);
  }

  void writeBytesOfDevices(StringRef key, const std::vector<int64_t> &bytes) {
    if (bytes.empty())
      return;
    if (all_equal(bytes))
      json.attribute(key, bytes.front());
    else
      list(key, bytes);
  }

  json::OStream json;
};

} // namespace

std::optional<ProblemFile> readProblem(std::string_view text,
                                       std::string *error) {
  Reader reader;
  std::optional<ProblemFile> file = reader.read(text);
  if (!file && error)
    *error = reader.error;
  return file;
}

std::string writeProblem(const Problem &problem, const Units &units) {
  std::string text;
  raw_string_ostream os(text);
  Writer(os).write(problem, units);
  os << '\n';
  return text;
}

} // namespace weir::schedule
