//===- Trace.cpp - when each action ran -----------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Trace.h"
#include "weir/Runtime/Files.h"
#include "weir/Runtime/Json.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <unordered_map>

using namespace weir::runtime;

Trace::Trace(const Table &table, int64_t keptSteps) : keptSteps(keptSteps) {
  slots.resize(table.numDevices() * keptSteps);
  for (int64_t device = 0; device < table.numDevices(); ++device)
    for (int64_t step = 0; step < keptSteps; ++step)
      slots[device * keptSteps + step].events.resize(
          table.actions(device).size());
}

int64_t Trace::now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t Trace::bytes() const {
  int64_t total = 0;
  for (const Slot &slot : slots)
    total += sizeof(Slot) + slot.events.size() * sizeof(Event);
  return total;
}

static const char *category(const weir_action &action) {
  switch (action.kind) {
  case WEIR_ACTION_RUN:
    return passName(action.pass);
  case WEIR_ACTION_LOAD:
    return "load";
  case WEIR_ACTION_WAIT:
    return "wait";
  case WEIR_ACTION_RELEASE:
    return "release";
  default:
    return "transfer";
  }
}

Status Trace::write(const std::string &path, const Table &table) const {
  OutputFile file;
  if (Status status = file.open(path); status.failed())
    return status;

  int64_t origin = std::numeric_limits<int64_t>::max();
  for (const Slot &slot : slots)
    if (slot.step > 0 && !slot.events.empty())
      origin = std::min(origin, slot.events.front().begin);
  auto microseconds = [&](int64_t nanoseconds) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3f",
                  static_cast<double>(nanoseconds) * 1e-3);
    return std::string(text);
  };

  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  text += R"({"ph":"M","pid":0,"tid":0,"name":"process_name","args":{"name":)" +
          jsonString(std::string(table.string(table.header().model_name)) +
                     " " + table.string(table.header().schedule_name)) +
          "}}";
  for (int64_t device = 0; device < table.numDevices(); ++device) {
    std::string thread = R"("pid":0,"tid":)" + std::to_string(device);
    text += ",\n{\"ph\":\"M\"," + thread +
            R"(,"name":"thread_name","args":{"name":"device )" +
            std::to_string(device) + "\"}}";
    std::span<const weir_action> actions = table.actions(device);
    for (int64_t kept = 0; kept < keptSteps; ++kept) {
      const Slot &slot = slots[device * keptSteps + kept];
      if (slot.step == 0)
        continue;
      std::string step = std::to_string(slot.step);
      std::unordered_map<int64_t, size_t> receives; /* by token */
      for (size_t i = 0; i < actions.size(); ++i) {
        const weir_action &action = actions[i];
        const Event &event = slot.events[i];
        if (action.kind == WEIR_ACTION_RELEASE)
          continue;
        text += ",\n{\"ph\":\"X\"," + thread +
                ",\"ts\":" + microseconds(event.begin - origin) +
                ",\"dur\":" + microseconds(event.end - event.begin) +
                ",\"name\":" + jsonString(table.describe(device, i)) +
                ",\"cat\":\"" + category(action) +
                "\",\"args\":{\"step\":" + step + "}}";

        // An arrow from the start of a send to the wait of its receive.
        auto addFlow = [&](const char *phase, const weir_action &end,
                           int64_t time) {
          text += std::string(",\n{\"ph\":\"") + phase + "\"," + thread +
                  ",\"ts\":" + microseconds(time - origin) + ",\"id\":\"" +
                  step + "." + std::to_string(end.message) +
                  R"(","name":"transfer","cat":"transfer")" +
                  (*phase == 'f' ? R"(,"bp":"e"})" : "}");
        };
        if (action.kind == WEIR_ACTION_SEND_START)
          addFlow("s", action, event.begin);
        if (action.kind == WEIR_ACTION_RECV_START)
          receives[action.token] = i;
        if (action.kind == WEIR_ACTION_WAIT)
          if (auto start = receives.find(action.token); start != receives.end())
            addFlow("f", actions[start->second], event.end);
      }
      if (Status status = file.write(text.data(), text.size()); status.failed())
        return status;
      text.clear();
    }
  }
  text += "\n]}\n";
  if (Status status = file.write(text.data(), text.size()); status.failed())
    return status;
  return file.commit();
}
