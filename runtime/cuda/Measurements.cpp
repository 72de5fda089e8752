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
         ",\"memory\":" + memory + "},\"passes\":[" + passes + "]}";
}
