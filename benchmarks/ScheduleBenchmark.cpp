// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the time of building, verifying and simulating schedules grows with
// devices and microbatches. N is the number of passes in all of them, so a
// linear algorithm reads "N", whatever the number of stages per device.

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

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
  onSchedule(state, named, [](const Problem &problem, const Schedule &schedule) {
    return !verify(problem, schedule);
  });
}

void simulateNamed(benchmark::State &state, const NamedSchedule &named) {
  onSchedule(state, named, [](const Problem &problem, const Schedule &schedule) {
    std::optional<Simulation> simulation = simulate(problem, schedule);
    benchmark::DoNotOptimize(simulation);
    return simulation.has_value();
  });
}

template <typename Function>
void registerGrowth(const std::string &name, Function function) {
  benchmark::RegisterBenchmark((name + "/devices").c_str(), function)
      ->ArgNames({"p", "m"})
      ->ArgsProduct({benchmark::CreateRange(8, kMostDevices, 2),
                     {kMostMicrobatches}})
      ->Unit(benchmark::kMillisecond)
      ->Complexity(benchmark::oN);
  benchmark::RegisterBenchmark((name + "/microbatches").c_str(), function)
      ->ArgNames({"p", "m"})
      ->ArgsProduct({{kMostDevices},
                     benchmark::CreateRange(64, kMostMicrobatches, 2)})
      ->Unit(benchmark::kMillisecond)
      ->Complexity(benchmark::oN);
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
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
