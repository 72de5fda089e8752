//===- ExecutorBenchmark.cpp - what the executor adds to passes -----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// usage: WeirExecutorBenchmark [STEPS]
//
// Two questions. What does an instruction of a program cost when its pass does
// nothing and nobody has to wait? And how near do eight ranks, whose passes are
// sleeps of a millisecond, come to the simulated time of a step?
//
// A sleeping pass needs no processor, so that eight ranks run beside each other
// on any machine. It sleeps to a point in time (clock_nanosleep,
// TIMER_ABSTIME), with the timer slack of its thread at 1 ns: the kernel's
// default of 50 us would count as work of the executor. What is left of
// oversleeping is measured and printed.
//
//===----------------------------------------------------------------------===//

#include "TableBuilder.h"
#include "weir/Runtime/Executor.h"
#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Simulation.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sys/prctl.h>
#include <time.h>
#include <vector>

using namespace weir;
using runtime::Executor;
using runtime::Job;
using runtime::RunEvents;
using runtime::Status;
using runtime::StepRecord;
using runtime::Table;
using runtime::testing::TableBuilder;

static constexpr int64_t passNanoseconds = 1'000'000;

static int64_t nowNanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1'000'000'000) + time.tv_nsec;
}

static void check(const Status &status) {
  if (!status.failed())
    return;
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  std::exit(1);
}

//===----------------------------------------------------------------------===//
// Passes
//===----------------------------------------------------------------------===//

static void doNothing(weir_context *, void *const *) {}

/// The loss is of no interest, but must be a number.
static void countOne(weir_context *, void *const *buffers) {
  *static_cast<float *>(buffers[0]) = 1;
}

namespace {

/// What a rank notes of its step under way. The end of the step waits for all
/// ranks, outside of what is measured, so that steps do not overlap.
struct StepTimes {
  int64_t first = 0, last = 0;
};

/// When each step began and ended, over all ranks.
struct Recorder {
  explicit Recorder(int ranks)
      : together(ranks, [this]() noexcept { endStep(); }) {}

  void note(const StepTimes &times) {
    std::lock_guard lock(mutex);
    first = std::min(first, times.first);
    last = std::max(last, times.last);
  }
  void endStep() noexcept {
    seconds.push_back(static_cast<double>(last - first) * 1e-9);
    first = std::numeric_limits<int64_t>::max();
    last = 0;
  }

  std::mutex mutex;
  int64_t first = std::numeric_limits<int64_t>::max(), last = 0;
  std::vector<double> seconds;
  std::barrier<std::function<void()>> together;
};

} // namespace

static Recorder *recorder;
static std::atomic<int64_t> overslept, sleeps;
static thread_local StepTimes stepTimes;

/// How long before its end a pass wakes up.
static constexpr int64_t earlyNanoseconds = 50'000;

/// Takes the time of `passes` passes.
static void sleepPass(int64_t passes) {
  if (stepTimes.first == 0) {
    prctl(PR_SET_TIMERSLACK, 1);
    stepTimes.first = nowNanoseconds();
  }
  int64_t deadline = nowNanoseconds() + passes * passNanoseconds;
  int64_t wake = deadline - earlyNanoseconds;
  timespec time = {wake / 1'000'000'000, wake % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0)
    ;
  do
    stepTimes.last = nowNanoseconds();
  while (stepTimes.last < deadline);
  overslept += stepTimes.last - deadline;
  ++sleeps;
}
static void sleepOnce(weir_context *, void *const *) { sleepPass(1); }
static void sleepTwice(weir_context *, void *const *) { sleepPass(2); }

static void meet(weir_context *, void *const *) {
  recorder->note(stepTimes);
  recorder->together.arrive_and_wait();
  stepTimes = {};
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

/// A table with a loss and a variable, as every table needs.
static TableBuilder startTable(int64_t devices, int64_t stages,
                               int64_t microbatches) {
  TableBuilder table(devices);
  table.header.num_stages = stages;
  table.header.num_microbatches = microbatches;
  table.header.loss_device = devices - 1;
  table.header.model_name = table.string("stand-in");
  table.header.schedule_name = table.string("benchmark");
  int64_t variable = table.addVariable("w", {1}, WEIR_INIT_CONSTANT, 0);
  for (int64_t device = 0; device < devices; ++device)
    table.addResident(device, WEIR_RESIDENT_PARAMETER, variable, 0, 4);
  table.addResident(devices - 1, WEIR_RESIDENT_LOSS, -1, 0, 4);
  int64_t countAt =
      table.addResident(devices - 1, WEIR_RESIDENT_COUNT, -1, 0, 4);
  table.run(devices - 1, table.addKernel("count", countOne), WEIR_PASS_FORWARD,
            0, 0, {countAt});
  return table;
}

/// Runs the steps; returns the seconds of each.
static std::vector<double> run(TableBuilder builder, int64_t steps) {
  auto job = std::make_shared<Job>();
  std::vector<std::byte> bytes = builder.build();
  check(Table::parse(bytes.data(), bytes.size(), job->table));
  job->options.steps = steps;
  job->options.quiet = true;
  job->kernels = builder.kernels;
  check(runtime::Data::open("", job->table, 0, job->data));
  Executor executor(job);
  check(executor.prepare());
  std::vector<double> seconds;
  RunEvents events;
  events.onStep = [&](const StepRecord &record) {
    seconds.push_back(record.seconds);
    return Status();
  };
  check(executor.run(events));
  return seconds;
}

/// The number at `fraction` of the sorted values.
static double quantile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  return values[std::min(
      values.size() - 1,
      static_cast<size_t>(fraction * static_cast<double>(values.size())))];
}

//===----------------------------------------------------------------------===//
// Cost of instructions
//===----------------------------------------------------------------------===//

static void report(const char *what, const std::vector<double> &seconds,
                   int64_t instructions) {
  auto perInstruction = [&](double fraction) {
    return quantile(seconds, fraction) / static_cast<double>(instructions) *
           1e9;
  };
  std::printf("%-44s %8.0f %8.0f\n", what, perInstruction(0.5),
              perInstruction(0.99));
}

static void measureRuns(int64_t steps) {
  constexpr int64_t count = 10000;
  TableBuilder table = startTable(1, 1, count);
  int64_t kernel = table.addKernel("nothing", doNothing);
  int64_t at = table.devices[0].allocate(64);
  for (int64_t i = 0; i < count; ++i)
    table.run(0, kernel, WEIR_PASS_FORWARD, 0, i, {at, at, at, at});
  report("runs of a pass that does nothing", run(std::move(table), steps),
         count);
}

/// Rank 0 starts `burst` sends and waits for all, rank 1 the same with
/// receives: instructions of transfers whose other end is there already, most
/// of the time. With a burst of 1 every message is waited for.
static void measureTransfers(const char *what, int64_t burst, int64_t steps) {
  constexpr int64_t count = 4096, bytes = 64;
  TableBuilder table = startTable(2, 2, count);
  std::vector<int64_t> at[2];
  for (int64_t device = 0; device < 2; ++device)
    for (int64_t i = 0; i < burst; ++i)
      at[device].push_back(table.devices[device].allocate(bytes));
  for (int64_t begin = 0; begin < count; begin += burst)
    for (int64_t device = 0; device < 2; ++device) {
      std::vector<int64_t> tokens;
      for (int64_t i = 0; i < burst; ++i) {
        int64_t message = begin + i;
        tokens.push_back(
            device == 0
                ? table.sendStart(0, 1, message, 0, at[0][i], bytes, "x")
                : table.recvStart(1, 0, message, 0, at[1][i], bytes, "x"));
      }
      for (int64_t token : tokens)
        table.wait(device, token);
    }
  report(what, run(std::move(table), steps), 2 * count);
}

//===----------------------------------------------------------------------===//
// Sleeping passes
//===----------------------------------------------------------------------===//

namespace {

/// What a pass gives to a stage on another device.
struct Edge {
  bool isForward;
  int from, to, microbatch;
  auto operator<=>(const Edge &) const = default;
};

/// Builds the programs of an order with sleeps for passes: receive, pass, send.
/// Sends are waited for at the end of the step, where `meet` follows. Messages
/// from one device to another are received in the order in which they are sent,
/// each into a buffer of its own.
class SleepingPrograms {
public:
  SleepingPrograms(const schedule::Problem &problem,
                   const schedule::Schedule &order);

  TableBuilder table;

private:
  /// What the pass takes from `offset` -1 stages away in its direction, or
  /// gives to +1, if that is on another device.
  std::optional<Edge> getEdge(const schedule::Pass &pass, int offset);
  int64_t receive(int64_t device, const Edge &edge);
  void addProgram(int64_t device, const std::vector<schedule::Pass> &passes);

  static constexpr int64_t bytes = 64;
  const schedule::Problem &problem;
  /// By devices, sender first: the messages in the order of the sender, and how
  /// many of them the receiver has started.
  struct Channel {
    std::vector<Edge> edges;
    size_t started = 0;
  };
  std::map<std::pair<int64_t, int64_t>, Channel> channels;
  std::map<Edge, int64_t> messages, receives; /* number, token */
  int64_t once, twice, end;
};

} // namespace

std::optional<Edge> SleepingPrograms::getEdge(const schedule::Pass &pass,
                                              int offset) {
  bool isForward = pass.kind == schedule::PassKind::Forward;
  int other = pass.stage + (isForward ? offset : -offset);
  if (pass.kind == schedule::PassKind::BackwardWeight || other < 0 ||
      other >= problem.numStages() ||
      problem.placement[other] == problem.placement[pass.stage])
    return std::nullopt;
  return offset > 0 ? Edge{isForward, pass.stage, other, pass.microbatch}
                    : Edge{isForward, other, pass.stage, pass.microbatch};
}

SleepingPrograms::SleepingPrograms(const schedule::Problem &problem,
                                   const schedule::Schedule &order)
    : table(startTable(problem.numDevices, problem.numStages(),
                       problem.numMicrobatches)),
      problem(problem), once(table.addKernel("sleep", sleepOnce)),
      twice(table.addKernel("sleep twice", sleepTwice)),
      end(table.addKernel("meet", meet)) {
  for (const std::vector<schedule::Pass> &passes : order.order)
    for (const schedule::Pass &pass : passes)
      if (std::optional<Edge> edge = getEdge(pass, 1)) {
        messages[*edge] = static_cast<int64_t>(messages.size());
        channels[{problem.placement[edge->from], problem.placement[edge->to]}]
            .edges.push_back(*edge);
      }
  for (int64_t device = 0; device < problem.numDevices; ++device)
    addProgram(device, order.order[device]);
}

/// Starts the receives of a channel up to `edge`; returns the token of that
/// one.
int64_t SleepingPrograms::receive(int64_t device, const Edge &edge) {
  int64_t peer = problem.placement[edge.from];
  Channel &channel = channels[{peer, device}];
  while (!receives.contains(edge)) {
    const Edge &next = channel.edges[channel.started++];
    receives[next] =
        table.recvStart(device, peer, messages[next], next.microbatch,
                        table.devices[device].allocate(bytes), bytes, "x");
  }
  return receives[edge];
}

void SleepingPrograms::addProgram(int64_t device,
                                  const std::vector<schedule::Pass> &passes) {
  using schedule::PassKind;
  std::vector<int64_t> sends;
  int64_t at = table.devices[device].allocate(bytes);
  for (const schedule::Pass &pass : passes) {
    if (std::optional<Edge> edge = getEdge(pass, -1))
      table.wait(device, receive(device, *edge));
    bool isFused = pass.kind == PassKind::Backward;
    int64_t kind = pass.kind == PassKind::Forward ? WEIR_PASS_FORWARD
                   : isFused                      ? WEIR_PASS_BACKWARD
                   : pass.kind == PassKind::BackwardInput
                       ? WEIR_PASS_BACKWARD_INPUT
                       : WEIR_PASS_BACKWARD_WEIGHT;
    table.run(device, isFused ? twice : once, kind, pass.stage, pass.microbatch,
              {at});
    if (std::optional<Edge> edge = getEdge(pass, 1))
      sends.push_back(table.sendStart(
          device, problem.placement[edge->to], messages[*edge], pass.microbatch,
          table.devices[device].allocate(bytes), bytes, "x"));
  }
  for (int64_t send : sends)
    table.wait(device, send);
  table.run(device, end, WEIR_PASS_FORWARD, 0, 0, {at});
}

static void measureSchedule(const char *name, int microbatches, int64_t steps) {
  constexpr int devices = 8;
  const schedule::NamedSchedule *named = schedule::findNamed(name);
  int stages = devices * named->stagesPerDevice;
  schedule::Problem problem = schedule::unitProblem(
      devices, microbatches,
      schedule::makePlacement(named->placement, stages, devices));
  for (schedule::Stage &stage : problem.stages)
    stage.forward = stage.backwardInput = stage.backwardWeight =
        passNanoseconds * 1e-9;
  std::string error;
  auto order = schedule::buildNamed(name, problem, &error);
  auto times =
      order ? schedule::simulate(problem, *order, &error) : std::nullopt;
  if (!times)
    check(runtime::fail(error));
  constexpr int64_t warmUp = 3;
  Recorder record(devices);
  record.seconds.reserve(steps + warmUp);
  recorder = &record;
  overslept = sleeps = 0;
  run(SleepingPrograms(problem, *order).table, steps + warmUp);
  std::vector<double> seconds(record.seconds.begin() + warmUp,
                              record.seconds.end());
  // The simulation with passes as long as they were on average: what remains is
  // the executor's.
  double late =
      static_cast<double>(overslept) * 1e-9 / static_cast<double>(sleeps);
  for (schedule::Stage &stage : problem.stages) {
    stage.backward = stage.duration(schedule::PassKind::Backward) + late;
    stage.forward += late;
    stage.backwardInput += late;
    stage.backwardWeight += late;
  }
  double adjusted = schedule::simulate(problem, *order)->makespan;
  double median = quantile(seconds, 0.5);
  std::printf(
      "%-8s %3d microbatches %9.1f ms %8.3f %8.3f %9.1f us %11.3f\n", name,
      microbatches, times->makespan * 1e3, median / times->makespan,
      quantile(seconds, 0.99) / times->makespan, late * 1e6, median / adjusted);
}

int main(int argc, char **argv) {
  int64_t steps = argc > 1 ? std::atoll(argv[1]) : 50;
  if (steps < 1) {
    std::fprintf(stderr, "usage: %s [STEPS]\n", argv[0]);
    return 1;
  }
  std::printf("%-44s %8s %8s\n", "nanoseconds per instruction", "median",
              "p99");
  measureRuns(steps);
  measureTransfers("starts and waits, 64 at a time", 64, steps);
  measureTransfers("start and wait in turn (both ends meet)", 1, steps);
  std::printf("\n%-25s %12s %8s %8s %12s %11s\n", "8 ranks, 1 ms passes; over",
              "simulated:", "median", "p99", "pass late by", "less that");
  for (const char *name : {"1f1b", "zb-h1", "v-half"})
    for (int microbatches : {8, 32})
      measureSchedule(name, microbatches, steps);
  return 0;
}
