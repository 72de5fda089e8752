//===- Measurements.cpp - what a rank measured ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Measurements.h"
#include "weir/Runtime/Json.h"
#include "weir/Runtime/Training.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// Bytes of the parameters, gradients, optimizer state and so on of a device.
static int64_t residentBytes(const Table &table, int64_t device) {
  int64_t bytes = 0;
  for (const weir_resident &resident : table.residents(device))
    bytes += resident.bytes;
  return bytes;
}

static double least(const PassCalls &pass) {
  return pass.seconds.empty() ? 0 : *std::ranges::min_element(pass.seconds);
}

//===----------------------------------------------------------------------===//
// For people
//===----------------------------------------------------------------------===//

static void printPass(const char *name, int64_t calls, double median,
                      double least, double estimate) {
  std::printf("  %-16s %6" PRId64 " %12.3f %12.3f", name, calls, median * 1e6,
              least * 1e6);
  if (estimate > 0)
    std::printf(" %12.3f %8.3f", estimate * 1e6, median / estimate);
  std::printf("\n");
}

static void printLaunch(const LaunchCalls &launch, double copySpeed) {
  double seconds = median(launch.seconds);
  std::printf("  %-16s %6" PRId64 " %12.3f", launch.name.c_str(),
              launch.callsPerStep, seconds * 1e6);
  if (launch.bytes > 0 && seconds > 0) {
    double speed = static_cast<double>(launch.bytes) / seconds;
    std::printf(" %12.1f", speed * 1e-9);
    if (copySpeed > 0)
      std::printf(" %7.1f%%", 100 * speed / copySpeed);
  } else if (launch.flops > 0 && seconds > 0) {
    std::printf(" %12.1f Gflop/s",
                static_cast<double>(launch.flops) / seconds * 1e-9);
  }
  std::printf("\n");
}

static void printLaunches(const LaunchTimes &times) {
  static constexpr size_t mostPrinted = 20;
  const double copySpeed = times.copy().bytesPerSecond();
  std::printf("  %-16s %6s %12s %12s %8s\n", "kernel", "calls", "median us",
              "GB/s", "of copy");
  std::vector<LaunchCalls> launches = times.launches();
  for (size_t i = 0; i < std::min(mostPrinted, launches.size()); ++i)
    printLaunch(launches[i], copySpeed);
  if (launches.size() > mostPrinted)
    std::printf("  and %zu that take less\n", launches.size() - mostPrinted);
  std::printf("  a copy of %.0f MiB: %.1f GB/s, read and write; an event after "
              "another: %.3f us\n",
              mebibytes(times.copy().bytes), copySpeed * 1e-9,
              times.emptySeconds() * 1e6);
}

void weir::runtime::cuda::printMeasurement(const Table &table,
                                           const RankMeasurement &measurement) {
  const int64_t rank = measurement.rank;
  std::printf("rank %" PRId64 " of %" PRId64 "%s\n", rank, table.numDevices(),
              measurement.isPlayed
                  ? ", played alone: what it received was made up, and no loss "
                    "counts"
                  : "");
  std::printf("  %-16s %6s %12s %12s %12s %8s\n", "pass", "calls", "median us",
              "least us", "estimate us", "ratio");
  PassCalls updates = {"all updates", WEIR_PASS_UPDATE, -1, 0, 0, 0, {}};
  double updateMedians = 0, updateLeasts = 0;
  for (const PassCalls &pass : measurement.times->passes()) {
    if (pass.pass != WEIR_PASS_UPDATE) {
      printPass(pass.name.c_str(), pass.callsPerStep, median(pass.seconds),
                least(pass), pass.estimate);
      continue;
    }
    updates.callsPerStep += pass.callsPerStep;
    updates.estimate += pass.estimate;
    updateMedians += median(pass.seconds);
    updateLeasts += least(pass);
  }
  if (updates.callsPerStep > 0)
    printPass(updates.name.c_str(), updates.callsPerStep, updateMedians,
              updateLeasts, updates.estimate);
  const weir_device &device = table.devices()[rank];
  std::printf("  memory: %.2f MiB planned, of which %.2f MiB residents",
              mebibytes(device.arena_bytes),
              mebibytes(residentBytes(table, rank)));
  if (measurement.highestTouched >= 0)
    std::printf("; used up to %.2f MiB", mebibytes(measurement.highestTouched));
  std::printf("\n");
  if (measurement.launches)
    printLaunches(*measurement.launches);
}

//===----------------------------------------------------------------------===//
// For programs
//===----------------------------------------------------------------------===//

static std::string jsonNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

static std::string passJson(const PassCalls &pass) {
  return "{\"name\":" + jsonString(pass.name) +
         ",\"pass\":" + jsonString(passName(pass.pass)) +
         ",\"stage\":" + std::to_string(pass.stage) +
         ",\"calls_per_step\":" + std::to_string(pass.callsPerStep) +
         ",\"calls_measured\":" + std::to_string(pass.seconds.size()) +
         ",\"median_seconds\":" + jsonNumber(median(pass.seconds)) +
         ",\"min_seconds\":" + jsonNumber(least(pass)) +
         ",\"estimated_seconds\":" + jsonNumber(pass.estimate) +
         ",\"buffer_bytes\":" + std::to_string(pass.bufferBytes) + "}";
}

static std::string launchJson(const LaunchCalls &launch) {
  std::string passes;
  for (const std::string &pass : launch.passes)
    passes += (passes.empty() ? "" : ",") + jsonString(pass);
  std::string text =
      "{\"name\":" + jsonString(launch.name) +
      ",\"kind\":" + (launch.isProduct ? "\"product\"" : "\"kernel\"") +
      ",\"passes\":[" + passes +
      "],\"calls_per_step\":" + std::to_string(launch.callsPerStep) +
      ",\"median_seconds\":" + jsonNumber(median(launch.seconds));
  if (launch.bytes > 0)
    text += ",\"bytes\":" + std::to_string(launch.bytes);
  if (launch.flops > 0)
    text += ",\"flops\":" + std::to_string(launch.flops);
  return text + "}";
}

static std::string launchesJson(const LaunchTimes &times) {
  std::string launches;
  for (const LaunchCalls &launch : times.launches())
    launches += (launches.empty() ? "\n" : ",\n") + launchJson(launch);
  return ",\"launches\":[" + launches +
         "],\"empty_seconds\":" + jsonNumber(times.emptySeconds()) +
         ",\"copy\":{\"bytes\":" + std::to_string(times.copy().bytes) +
         ",\"bytes_per_second\":" + jsonNumber(times.copy().bytesPerSecond()) +
         "}";
}

std::string
weir::runtime::cuda::measurementJson(const Table &table,
                                     const RankMeasurement &measurement) {
  std::string passes;
  for (const PassCalls &pass : measurement.times->passes())
    passes += (passes.empty() ? "\n" : ",\n") + passJson(pass);
  const weir_device &device = table.devices()[measurement.rank];
  std::string memory =
      "{\"arena_bytes\":" + std::to_string(device.arena_bytes) +
      ",\"resident_bytes\":" +
      std::to_string(residentBytes(table, measurement.rank)) +
      ",\"peak_activation_bytes\":" +
      std::to_string(device.peak_activation_bytes);
  if (measurement.highestTouched >= 0)
    memory += ",\"highest_touched_bytes\":" +
              std::to_string(measurement.highestTouched);
  return "{\"rank\":" + std::to_string(measurement.rank) +
         ",\"played\":" + (measurement.isPlayed ? "true" : "false") +
         ",\"memory\":" + memory + "},\"passes\":[" + passes + "]" +
         (measurement.launches ? launchesJson(*measurement.launches) : "") +
         "}";
}
