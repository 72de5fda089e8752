// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the time of building, verifying and simulating schedules, and of the
// first valid answer of the search, grows with devices and microbatches. N is
// the number of passes of the schedule; a time that is not linear in it shows
// in the error of the fit (RMS).

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Search.h"
#include "weir/Schedule/Simulation.h"
#include "weir/Schedule/Variants.h"

#include <benchmark/benchmark.h>

using namespace weir::schedule;

namespace {

/// The larger sizes are those of big machines: 64 devices, 512 microbatches.
constexpr int kMostDevices = 64, kMostMicrobatches = 512;

Problem makeProblem(const NamedSchedule &named, int devices, int microbatches) {
  // Activations that any number of stages divides, as bytes would be.
  return unitProblem(
      devices, microbatches,
      makePlacement(named.placement, devices * named.stagesPerDevice, devices),
      /*activation=*/720720);
}

int64_t countPasses(const Schedule &schedule) {
  int64_t passes = 0;
  for (const std::vector<Pass> &order : schedule.order)
    passes += static_cast<int64_t>(order.size());
  return passes;
}

void report(benchmark::State &state, const Schedule &schedule) {
  int64_t passes = countPasses(schedule);
  state.SetComplexityN(passes);
  state.SetItemsProcessed(passes * state.iterations());
}

void build(benchmark::State &state, const NamedSchedule &named) {
  Problem problem = makeProblem(named, static_cast<int>(state.range(0)),
                                static_cast<int>(state.range(1)));
  std::string error;
  std::optional<Schedule> schedule;
  for (auto _ : state) {
    schedule = buildNamed(named.name, problem, &error);
    benchmark::DoNotOptimize(schedule);
    if (!schedule) {
      state.SkipWithError(error.c_str());
      return;
    }
  }
  report(state, *schedule);
}

/// Runs `measured(problem, schedule)`, true where all is well, on a schedule
/// that is built outside of the measured time.
template <typename Measured>
void onSchedule(benchmark::State &state, const NamedSchedule &named,
                Measured measured) {
  Problem problem = makeProblem(named, static_cast<int>(state.range(0)),
                                static_cast<int>(state.range(1)));
  std::string error;
  std::optional<Schedule> schedule = buildNamed(named.name, problem, &error);
  if (!schedule) {
    state.SkipWithError(error.c_str());
    return;
  }
  for (auto _ : state)
    if (!measured(problem, *schedule)) {
      state.SkipWithError("the schedule is not valid");
      return;
    }
  report(state, *schedule);
}

void verifyNamed(benchmark::State &state, const NamedSchedule &named) {
  onSchedule(state, named,
             [](const Problem &problem, const Schedule &schedule) {
               return !verify(problem, schedule);
             });
}

void simulateNamed(benchmark::State &state, const NamedSchedule &named) {
  onSchedule(
      state, named, [](const Problem &problem, const Schedule &schedule) {
        std::optional<Simulation> simulation = simulate(problem, schedule);
        benchmark::DoNotOptimize(simulation);
        return simulation.has_value();
      });
}

/// The search over one and two stages per device in every placement, with half
/// of the memory of 1f1b, given no more time than it needs for a valid
/// schedule. The label says when that was there; the rest is winding up.
void searchBriefly(benchmark::State &state) {
  int devices = static_cast<int>(state.range(0));
  int microbatches = static_cast<int>(state.range(1));
  constexpr int64_t kActivation = 720720;
  std::vector<Problem> variants;
  for (int chunks : {1, 2})
    for (Placement placement : distinctPlacements(chunks * devices, devices)) {
      Problem problem =
          unitProblem(devices, microbatches,
                      makePlacement(placement, chunks * devices, devices),
                      kActivation / chunks);
      problem.limitMemory(kActivation * (devices / 2 + 1));
      variants.push_back(std::move(problem));
    }
  SearchOptions options;
  options.timeLimit = 1e-9;
  std::string error;
  std::optional<SearchResult> result;
  for (auto _ : state) {
    result = search(variants, options, &error);
    if (!result) {
      state.SkipWithError(error.c_str());
      return;
    }
  }
  // No counter: the CSV of Google Benchmark takes none that others lack.
  state.SetLabel("first after " + std::to_string(result->firstSeconds) + " s");
  report(state, result->schedule);
}

template <typename Function>
void registerGrowth(const std::string &name, Function function,
                    bool severalThreads = false) {
  auto *byDevices =
      benchmark::RegisterBenchmark((name + "/devices").c_str(), function);
  byDevices->ArgNames({"p", "m"})
      ->ArgsProduct(
          {benchmark::CreateRange(8, kMostDevices, 2), {kMostMicrobatches}})
      ->Unit(benchmark::kMillisecond)
      ->Complexity(benchmark::oN);
  auto *byMicrobatches =
      benchmark::RegisterBenchmark((name + "/microbatches").c_str(), function);
  byMicrobatches->ArgNames({"p", "m"})
      ->ArgsProduct(
          {{kMostDevices}, benchmark::CreateRange(64, kMostMicrobatches, 2)})
      ->Unit(benchmark::kMillisecond)
      ->Complexity(benchmark::oN);
  if (severalThreads) {
    byDevices->UseRealTime();
    byMicrobatches->UseRealTime();
  }
}

} // namespace

int main(int argc, char **argv) {
  for (const NamedSchedule &named : listNamed()) {
    std::string name(named.name);
    auto with = [&named](auto function) {
      return [&named, function](benchmark::State &state) {
        function(state, named);
      };
    };
    registerGrowth("build/" + name, with(build));
    registerGrowth("verify/" + name, with(verifyNamed));
    registerGrowth("simulate/" + name, with(simulateNamed));
  }
  registerGrowth("auto", searchBriefly, /*severalThreads=*/true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
