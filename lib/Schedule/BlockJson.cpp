// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/BlockJson.h"
#include "JsonReader.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

using namespace llvm;

namespace weir::schedule {

/// Sums of times stay exact far beyond any block that makes sense.
static constexpr double kMaxTime = 1e9;
static constexpr double kMinInterval = 1e-9;
static constexpr int kMaxGroup = 256;

namespace {

class Reader : public JsonReader {
public:
  std::optional<PlacedBlock> read(StringRef text) {
    std::optional<json::Value> root = parse(text);
    if (!root || !readRoot(*root))
      return std::nullopt;
    return std::move(placed);
  }

private:
  /// Leaves `result` alone where the member is not given.
  bool time(const json::Object &members, StringRef path, StringRef key,
            double &result, double low = 0) {
    const json::Value *value = members.get(key);
    return !value ||
           number(*value, memberPath(path, key), low, kMaxTime, result);
  }

  bool readRoot(const json::Value &root) {
    const json::Object *members = object(
        root, "", {"devices", "placement", "interval", "stages"},
        {"$schema", "description", "fused", "group", "stride", "durations"});
    if (!members)
      return false;
    for (StringRef key : {"$schema", "description"})
      if (const json::Value *value = members->get(key);
          value && !value->getAsString())
        return fail(memberPath("", key), "expected a string");
    if (const json::Value *fused = members->get("fused")) {
      if (!fused->getAsBoolean())
        return fail("fused", "expected true or false");
      block.fused = *fused->getAsBoolean();
    }
    if (!integer(*members->get("devices"), "devices", 1, kMaxDevices,
                 placed.numDevices) ||
        !time(*members, "", "interval", block.interval, kMinInterval) ||
        !time(*members, "", "stride", block.stride))
      return false;
    if (const json::Value *group = members->get("group"))
      if (!integer(*group, "group", 1, kMaxGroup, block.group))
        return false;
    // Microbatches of a stage run in order.
    if (block.group > 1 &&
        !((block.group - 1) * block.stride < block.interval &&
          block.stride > 0))
      return fail("stride", "a group must start within an interval, one "
                            "microbatch after the other");
    if (const json::Value *durations = members->get("durations"))
      if (!readDurations(*durations))
        return false;
    return readStages(*members->get("stages")) &&
           readPlacement(*members->get("placement"));
  }

  bool readDurations(const json::Value &value) {
    const json::Object *members =
        object(value, "durations", {},
               {"forward", "backward_input", "backward_weight", "backward"});
    Stage &stage = placed.durations;
    return members && time(*members, "durations", "forward", stage.forward) &&
           time(*members, "durations", "backward_input", stage.backwardInput) &&
           time(*members, "durations", "backward_weight",
                stage.backwardWeight) &&
           (!members->get("backward") ||
            time(*members, "durations", "backward", stage.backward.emplace()));
  }

  bool readStages(const json::Value &value) {
    const json::Array *entries = array(value, "stages");
    if (!entries)
      return false;
    if (entries->empty())
      return fail("stages", "expected at least one stage");
    if (entries->size() > static_cast<size_t>(kMaxMicrobatchStages))
      return fail("stages", "more than " + Twine(kMaxMicrobatchStages));
    StringRef backwardKey = block.fused ? "backward" : "backward_input";
    SmallVector<StringRef> optional;
    if (!block.fused)
      optional.push_back("backward_weight");
    for (const auto &[i, entry] : enumerate(*entries)) {
      std::string path = elementPath("stages", i);
      BuildingBlock::Offsets &offsets = block.stages.emplace_back();
      const json::Object *members =
          object(entry, path, {"forward", backwardKey}, optional);
      if (!members || !time(*members, path, "forward", offsets.forward) ||
          !time(*members, path, backwardKey, offsets.backwardInput) ||
          (members->get("backward_weight") &&
           !time(*members, path, "backward_weight",
                 offsets.backwardWeight.emplace())))
        return false;
    }
    return true;
  }

  bool readPlacement(const json::Value &value) {
    int numStages = static_cast<int>(block.stages.size());
    if (std::optional<StringRef> name = value.getAsString()) {
      std::optional<Placement> placement = parsePlacement(*name);
      if (!placement)
        return fail("placement", "expected linear, loop, v or an array");
      placed.placement =
          makePlacement(*placement, numStages, placed.numDevices);
      return true;
    }
    const json::Array *elements = value.getAsArray();
    if (!elements)
      return fail("placement", "expected linear, loop, v or an array");
    if (elements->size() != block.stages.size())
      return fail("placement", "expected the device of each of the " +
                                   Twine(numStages) + " stages, not of " +
                                   Twine(elements->size()));
    for (const auto &[i, element] : enumerate(*elements))
      if (!integer(element, elementPath("placement", i), 0,
                   placed.numDevices - 1, placed.placement.emplace_back()))
        return false;
    return true;
  }

  PlacedBlock placed;
  BuildingBlock &block = placed.block;
};

} // namespace

std::optional<PlacedBlock> readBlock(std::string_view text,
                                     std::string *error) {
  Reader reader;
  std::optional<PlacedBlock> placed = reader.read(text);
  if (!placed && error)
    *error = reader.error;
  return placed;
}

} // namespace weir::schedule
