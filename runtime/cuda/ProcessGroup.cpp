//===- ProcessGroup.cpp - the processes of a training ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProcessGroup.h"

#include <algorithm>
#include <cstring>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

using Clock = std::chrono::steady_clock;

/// How often the store is asked for news.
static constexpr auto lookPeriod = std::chrono::milliseconds(100);

Status weir::runtime::cuda::place(int64_t numRanks, const Launch &launch,
                                  int64_t ranksPerProcess,
                                  Placement &placement) {
  placement.process = launch.process;
  placement.numProcesses = launch.numProcesses;
  if (ranksPerProcess == 0)
    ranksPerProcess = std::max<int64_t>(1, numRanks / launch.numProcesses);
  placement.ranksPerProcess = ranksPerProcess;
  if (ranksPerProcess * launch.numProcesses == numRanks)
    return {};
  return fail("the program is for ", numRanks, " devices, and ",
              launch.numProcesses,
              launch.numProcesses == 1 ? " process" : " processes",
              launch.launcher.empty() ? "" : " of " + launch.launcher, " with ",
              ranksPerProcess,
              ranksPerProcess == 1 ? " rank each make " : " ranks each make ",
              ranksPerProcess * launch.numProcesses);
}

int64_t weir::runtime::cuda::ownerOf(const Table &table, int64_t variable) {
  for (int64_t device = 0; device < table.numDevices(); ++device)
    for (const weir_resident &resident : table.residents(device))
      if (resident.kind == WEIR_RESIDENT_PARAMETER &&
          resident.variable == variable)
        return device;
  return -1;
}

ProcessGroup::ProcessGroup(const Table &table, const Placement &placement,
                           Store &store, double timeout)
    : table(table), placement(placement), store(store), timeout(timeout),
      root(placement.processOf(table.header().loss_device)) {}

bool ProcessGroup::isTime() {
  Clock::time_point now = Clock::now();
  if (now - lastLook < lookPeriod)
    return false;
  lastLook = now;
  return true;
}

//===----------------------------------------------------------------------===//
// Failures and stops
//===----------------------------------------------------------------------===//

std::string ProcessGroup::announceFailure(const std::string &message) {
  if (placement.numProcesses == 1)
    return message;
  (void)store.put(failureName, message);
  std::optional<std::string> first;
  (void)store.look(failureName, first);
  return first.value_or(message);
}

std::optional<std::string> ProcessGroup::failure() {
  if (placement.numProcesses == 1 || !isTime())
    return std::nullopt;
  std::optional<std::string> message;
  if (Status status = store.look(failureName, message); status.failed())
    return status.message();
  // In the same breath, whether another process stops.
  std::optional<std::string> isStopped;
  if (!stop && !store.look("stop", isStopped).failed())
    stop = isStopped.has_value();
  return message;
}

bool ProcessGroup::isStopRequested(bool here) {
  if (placement.numProcesses == 1)
    return here;
  if (here && !hasStop) {
    hasStop = true;
    (void)store.put("stop", "");
  }
  stop |= here;
  return stop;
}

std::optional<int64_t> ProcessGroup::lastStep(int64_t highestHere) {
  if (placement.numProcesses == 1)
    return highestHere;
  auto nameOf = [](int64_t process) {
    return "highest-step." + std::to_string(process);
  };
  if (!hasHighest)
    (void)store.put(nameOf(placement.process), std::to_string(highestHere));
  hasHighest = true;
  int64_t highest = 0;
  for (int64_t process = 0; process < placement.numProcesses; ++process) {
    std::optional<std::string> text;
    if (store.look(nameOf(process), text).failed() || !text)
      return std::nullopt;
    highest = std::max<int64_t>(highest, std::atoll(text->c_str()));
  }
  return highest;
}

//===----------------------------------------------------------------------===//
// Gradients and parameters
//===----------------------------------------------------------------------===//

static std::string bytesOf(const std::vector<std::byte> &value) {
  return {reinterpret_cast<const char *>(value.data()), value.size()};
}

Status ProcessGroup::fetch(const std::string &name, int64_t rank, int64_t bytes,
                           std::vector<std::byte> &value) {
  std::string text;
  std::string what =
      "'" + name + "' of process " + std::to_string(placement.processOf(rank));
  if (Status status = store.get(name, timeout, what, text); status.failed())
    return status;
  if (static_cast<int64_t>(text.size()) != bytes)
    return fail(what, " has ", text.size(), " bytes, not ", bytes);
  value.resize(bytes);
  std::memcpy(value.data(), text.data(), text.size());
  return {};
}

Status ProcessGroup::gatherGradients(GradientMap &copies, StepLoss & /*loss*/,
                                     bool &isHere) {
  isHere = isRoot();
  auto nameOf = [](std::pair<int64_t, int64_t> key) {
    return "gradient." + std::to_string(key.first) + "." +
           std::to_string(key.second);
  };
  if (!isHere) {
    for (auto [key, copy] : copies)
      if (Status status = store.put(nameOf(key), bytesOf(*copy));
          status.failed())
        return status;
    return {};
  }
  for (int64_t device = 0; device < table.numDevices(); ++device)
    for (const weir_resident &resident : table.residents(device)) {
      if (resident.kind != WEIR_RESIDENT_GRADIENT || placement.isHere(device))
        continue;
      std::pair<int64_t, int64_t> key = {resident.variable, resident.index};
      if (Status status =
              fetch(nameOf(key), device, resident.bytes, gradients[key]);
          status.failed())
        return status;
      copies[key] = &gradients[key];
    }
  return {};
}

Status
ProcessGroup::gatherParameters(std::vector<std::vector<std::byte>> &values) {
  for (size_t variable = 0; variable < values.size(); ++variable) {
    int64_t owner = ownerOf(table, variable);
    std::string name = "parameter." + std::to_string(variable);
    Status status;
    if (isRoot() && values[variable].empty())
      status = fetch(name, owner, table.bytes(table.variables()[variable]),
                     values[variable]);
    else if (!isRoot() && placement.isHere(owner))
      status = store.put(name, bytesOf(values[variable]));
    if (status.failed())
      return status;
  }
  return {};
}

void ProcessGroup::leave(double patience) {
  if (placement.numProcesses == 1)
    return;
  (void)store.put(leftName(placement.process), "");
  if (placement.process == 0) {
    auto deadline = Clock::now() + std::chrono::duration<double>(patience);
    for (int64_t process = 1; process < placement.numProcesses; ++process) {
      double left =
          std::chrono::duration<double>(deadline - Clock::now()).count();
      std::string ignored;
      (void)store.get(leftName(process), std::max(left, 0.0), "", ignored);
    }
  }
  store.leave();
}
