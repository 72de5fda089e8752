//===- Executor.cpp - trains on CUDA devices ------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"
#include "NcclTransport.h"
#include "SoloTransport.h"
#include "weir/Runtime/Files.h"
#include "weir/Runtime/Json.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// How long process 0 stays for the others, in seconds, after a failure.
static constexpr double patienceAfterFailure = 5;

//===----------------------------------------------------------------------===//
// State
//===----------------------------------------------------------------------===//

struct CudaExecutor::State {
  State(std::shared_ptr<Job> job, const weir_cuda_module &module,
        const CudaOptions &options)
      : job(job), options(options), setting{module,
                                            options.products,
                                            options.graphs,
                                            {},
                                            nullptr},
        loop(job) {
    loop.abort = [this] {
      for (auto &rank : loop.ranks)
        if (auto &transport = static_cast<DeviceRank &>(*rank).transport)
          transport->abort();
    };
  }

  const std::shared_ptr<Job> job;
  CudaOptions options;
  Placement placement;
  Launch launch;
  std::unique_ptr<Store> store;
  ProcessGroup *group = nullptr; /* loop.processes */
  CopyMeeting meeting;
  std::vector<int64_t> highestTouched; /* by rank of this process */
  int multiprocessors = 1;
  bool useCopies = false, hasRun = false, hasFailed = false;
  RankSetting setting;
  /// By device: bytes that were free before, and that training took.
  std::map<int, int64_t> freeBefore, taken;
  std::vector<std::vector<std::byte>> parameters; /* as collected */
  RunLoop loop; /* destroyed first: its ranks use the rest */
};

CudaExecutor::CudaExecutor(std::shared_ptr<Job> job,
                           const weir_cuda_module &module,
                           const CudaOptions &options)
    : state(std::make_shared<State>(std::move(job), module, options)) {
  if (!state->options.environment)
    state->options.environment = [](const char *name) {
      return std::getenv(name);
    };
  state->setting.timesKernels = options.timesKernels;
  state->setting.measures = options.measures || options.playedRank >= 0;
  // Weights that stay as they are keep the values of all steps as tame as those
  // of the first.
  if (options.playedRank >= 0) {
    state->setting.isPlayed = true;
    state->job->options.learningRate = 0;
  }
}

CudaExecutor::~CudaExecutor() {
  bool isHung = hasHungRank();
  state->loop.joinOrLeave();
  if (state->group && !isHung)
    state->group->leave(
        state->hasFailed || !state->hasRun
            ? std::min(patienceAfterFailure, state->job->options.timeout)
            : state->job->options.timeout);
  // What the device still works with cannot be freed.
  if (isHung)
    new std::shared_ptr<State>(state);
}

DeviceRank &CudaExecutor::rank(size_t i) const {
  return static_cast<DeviceRank &>(*state->loop.ranks[i]);
}

ProcessGroup &CudaExecutor::group() const { return *state->group; }

bool CudaExecutor::trains() const { return state->options.playedRank < 0; }

//===----------------------------------------------------------------------===//
// Before training
//===----------------------------------------------------------------------===//

/// A rank that is played alone has no result but its measurements.
Status CudaExecutor::checkPlaying() const {
  const int64_t numRanks = state->job->table.numDevices();
  const Options &options = state->job->options;
  const int64_t rank = state->options.playedRank;
  if (rank >= numRanks)
    return fail("option --play-rank: the program has ",
                numRanks == 1 ? "one rank, 0"
                              : "ranks 0 to " + std::to_string(numRanks - 1),
                ", not ", rank);
  if (rank < 0)
    return {};
  for (auto [name, path] :
       {std::pair("--save", &options.save),
        std::pair("--save-gradients", &options.saveGradients),
        std::pair("--metrics", &options.metrics)})
    if (!path->empty())
      return fail("option ", name,
                  ": a rank that is played alone (--play-rank) "
                  "has no result to write");
  return {};
}

Status CudaExecutor::meetOthers() {
  const Table &table = state->job->table;
  const double timeout = state->job->options.timeout;
  const CudaOptions &options = state->options;
  Meeting meeting;
  Status status;
  if (trains())
    status = readLaunch(options.environment, state->launch);
  if (!status.failed())
    status = place(table.numDevices(), state->launch,
                   trains() ? options.ranksInProcess : 0, state->placement);
  if (!status.failed())
    status = chooseMeeting(options.bootstrap, state->launch,
                           options.environment, meeting);
  if (!status.failed())
    status = meet(meeting, state->launch.process, state->launch.numProcesses,
                  timeout, state->store);
  if (status.failed())
    return status;
  state->setting.store = state->store.get();
  auto group = std::make_unique<ProcessGroup>(table, state->placement,
                                              *state->store, timeout);
  state->group = group.get();
  state->loop.processes = std::move(group);
  return {};
}

/// The device of rank `i` of this process.
static int ordinalOf(const Placement &placement, const Launch &launch,
                     int64_t i, int numDevices) {
  return static_cast<int>(
      (launch.localProcess * placement.ranksPerProcess + i) % numDevices);
}

Status CudaExecutor::chooseTransport(int numDevices) {
  if (!trains())
    return {};
  const Placement &placement = state->placement;
  std::set<int> ordinals;
  for (int64_t i = 0; i < placement.ranksPerProcess; ++i)
    ordinals.insert(ordinalOf(placement, state->launch, i, numDevices));
  const bool haveOneEach =
      static_cast<int64_t>(ordinals.size()) == placement.ranksPerProcess;
  const bool isAlone = placement.numProcesses == 1;
  TransportChoice choice = state->options.transport;
  if (choice == TransportChoice::Auto)
    choice = isAlone && !haveOneEach ? TransportChoice::Copies
                                     : TransportChoice::Nccl;
  state->useCopies = choice == TransportChoice::Copies;
  if (state->useCopies && !isAlone)
    return fail("option --transfers: 'copies' are within one process, and "
                "there are ",
                placement.numProcesses);
  if (!state->useCopies && !haveOneEach)
    return fail("NCCL needs a device for each rank: ",
                placement.ranksPerProcess, " ranks of this process share ",
                numDevices, numDevices == 1 ? " device" : " devices",
                isAlone ? "; --transfers=copies can share them" : "");
  return {};
}

/// How many transfers each rank of the program may have in flight; see
/// NcclTransport.h. All devices are taken to be like this process's first.
Status CudaExecutor::planTransfersInFlight(std::vector<int64_t> &limits) {
  const Table &table = state->job->table;
  limits.assign(table.numDevices(), 0);
  if (state->useCopies || !trains())
    return {};
  int multiprocessors = 0;
  if (Status status =
          check(cudaDeviceGetAttribute(&multiprocessors,
                                       cudaDevAttrMultiProcessorCount, 0),
                "cudaDeviceGetAttribute");
      status.failed())
    return status;
  int64_t most = state->options.transfersInFlight;
  if (most == 0)
    most = mostTransfersInFlight(table, multiprocessors);
  bool isLimited = false;
  for (int64_t device = 0; device < table.numDevices(); ++device)
    if (numQueues(table, device) > most) {
      limits[device] = most;
      isLimited = true;
    }
  return isLimited ? checkTransfersInFlight(table, limits) : Status();
}

/// The parts of a graph have no times.
Status CudaExecutor::settleKernelTiming() {
  GraphChoice &graphs = state->setting.graphs;
  if (graphs == GraphChoice::Pass || graphs == GraphChoice::Step)
    return fail("option --graph: kernels in graphs cannot be timed "
                "(--time-kernels); take --graph=none");
  graphs = GraphChoice::None;
  return {};
}

/// Steps of ranks that copy, and steps that are traced, cannot be graphs.
Status CudaExecutor::settleGraphs() {
  GraphChoice &graphs = state->setting.graphs;
  const char *why = nullptr;
  if (state->useCopies && !queueRounds(state->job->table).empty())
    why = "ranks of one device transfer by copies, which the graph of a rank's "
          "step cannot hold";
  else if (state->setting.timesKernels)
    return settleKernelTiming();
  else if (state->job->trace || state->setting.measures)
    why = "the parts of a graph have no times of their own for --trace and "
          "measurements";
  if (!why)
    return {};
  if (graphs == GraphChoice::Step)
    return fail("option --graph: 'step' is not possible: ", why,
                "; take --graph=pass");
  if (graphs == GraphChoice::Auto)
    graphs = GraphChoice::Pass;
  return {};
}

Status CudaExecutor::makeTransport(DeviceRank &rank) {
  State &s = *state;
  if (!trains()) {
    rank.transport =
        std::make_unique<SoloTransport>(s.job->table, rank.resources);
    return {};
  }
  if (!s.useCopies) {
    rank.transport = std::make_unique<NcclTransport>(
        s.job->table, rank.resources, *s.store, s.multiprocessors,
        s.job->options.timeout);
    return {};
  }
  auto transport =
      std::make_unique<CopyTransport>(s.meeting, rank.resources, s.loop, rank);
  Status status = transport->prepare();
  rank.transport = std::move(transport);
  return status;
}

static int64_t freeBytes() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess)
    return 0;
  return static_cast<int64_t>(free);
}

std::vector<int64_t> CudaExecutor::ranksHere() const {
  if (!trains())
    return {state->options.playedRank};
  std::vector<int64_t> ranks;
  for (int64_t rank = 0; rank < state->job->table.numDevices(); ++rank)
    if (state->placement.isHere(rank))
      ranks.push_back(rank);
  return ranks;
}

Status CudaExecutor::makeRanks(int numDevices) {
  State &s = *state;
  std::vector<int64_t> limits;
  if (Status status = planTransfersInFlight(limits); status.failed())
    return status;
  StepPlanOptions planOptions;
  planOptions.poison = s.job->options.poison;
  planOptions.marks = s.setting.graphs == GraphChoice::Step ||
                      s.setting.graphs == GraphChoice::Auto;
  for (int64_t device : ranksHere()) {
    int ordinal =
        ordinalOf(s.placement, s.launch, s.loop.ranks.size(), numDevices);
    planOptions.transfersInFlight = limits[device];
    StepPlan plan = StepPlan::make(s.job->table, device, planOptions);
    if (s.options.editPlan)
      s.options.editPlan(plan);
    Status status = useDevice(ordinal);
    s.freeBefore.try_emplace(ordinal, freeBytes());
    auto rank = std::make_unique<DeviceRank>(device, ordinal, s.loop, s.setting,
                                             std::move(plan));
    if (!status.failed())
      status = rank->prepare();
    if (!status.failed())
      status = makeTransport(*rank);
    s.loop.ranks.push_back(std::move(rank));
    if (status.failed())
      return status;
  }
  return {};
}

Status CudaExecutor::prepare() {
  int numDevices = 0;
  if (Status status = countDevices(numDevices); status.failed())
    return status;
  Status status = checkPlaying();
  if (!status.failed())
    status = meetOthers();
  if (!status.failed())
    status = chooseTransport(numDevices);
  if (!status.failed())
    status = settleGraphs();
  if (!status.failed())
    status =
        useDevice(ordinalOf(state->placement, state->launch, 0, numDevices));
  if (!status.failed())
    status = state->setting.kernels.load(state->setting.module);
  if (!status.failed())
    status = makeRanks(numDevices);
  if (status.failed() && state->group)
    state->group->announceFailure(status.message());
  return status;
}

//===----------------------------------------------------------------------===//
// Training and after
//===----------------------------------------------------------------------===//

Status CudaExecutor::run(const RunEvents &events) {
  Status status = state->loop.run(events, state);
  state->hasRun = true;
  state->hasFailed = status.failed();
  return status;
}

bool CudaExecutor::hasHungRank() const {
  if (state->loop.isAnyRunning())
    return true;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    if (rank(i).isHung())
      return true;
  return false;
}

void CudaExecutor::leaveHungRanks() {
  state->group->leave(
      std::min(patienceAfterFailure, state->job->options.timeout));
}

std::string CudaExecutor::ownFile(const std::string &path) const {
  if (state->placement.numProcesses == 1)
    return path;
  return path + "." + std::to_string(state->placement.process);
}

Status CudaExecutor::collectParameters(std::vector<NamedTensor> &parameters) {
  const Table &table = state->job->table;
  state->parameters.assign(table.variables().size(), {});
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    for (const weir_resident &resident : table.residents(rank(i).device)) {
      if (resident.kind != WEIR_RESIDENT_PARAMETER ||
          ownerOf(table, resident.variable) != rank(i).device)
        continue;
      std::vector<std::byte> &value = state->parameters[resident.variable];
      value.resize(resident.bytes);
      if (Status status = rank(i).read(resident.offset, value); status.failed())
        return status;
    }
  if (Status status = group().gatherParameters(state->parameters);
      status.failed() || !writesFiles())
    return status;
  for (size_t variable = 0; variable < state->parameters.size(); ++variable)
    parameters.push_back(
        namedVariable(table, variable, state->parameters[variable].data()));
  return {};
}

std::vector<NamedTensor> CudaExecutor::gradients() const {
  return state->loop.gradients();
}

void CudaExecutor::measureMemory() {
  for (auto [ordinal, before] : state->freeBefore)
    if (!useDevice(ordinal).failed())
      state->taken[ordinal] = before - freeBytes();
  if (!state->setting.measures)
    return;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i) {
    int64_t highest = -1;
    // Poison wipes out what was written.
    if (!state->job->options.poison &&
        rank(i).findHighestTouched(highest).failed())
      highest = -1;
    state->highestTouched.push_back(highest);
    if (state->setting.timesKernels)
      (void)rank(i).measureCopy();
  }
}

void CudaExecutor::printMemory() const {
  const Table &table = state->job->table;
  std::map<int, int64_t> planned;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i) {
    const weir_device &record = table.devices()[rank(i).device];
    planned[rank(i).ordinal] += record.arena_bytes;
    std::printf("memory: device %lld plans %.2f MiB, of which activations %.2f "
                "MiB at their peak\n",
                static_cast<long long>(rank(i).device),
                mebibytes(record.arena_bytes),
                mebibytes(record.peak_activation_bytes));
  }
  for (auto [ordinal, taken] : state->taken)
    std::printf("memory: CUDA device %d (%s): %.2f MiB planned, %.2f MiB taken "
                "with kernels, graphs, cuBLASLt and NCCL\n",
                ordinal, deviceName(ordinal).c_str(),
                mebibytes(planned[ordinal]), mebibytes(taken));
}

//===----------------------------------------------------------------------===//
// Measurements
//===----------------------------------------------------------------------===//

RankMeasurement CudaExecutor::measurementOf(size_t i) const {
  return {rank(i).device, !trains(), &rank(i).passTimes(),
          state->highestTouched[i], rank(i).launchTimes()};
}

void CudaExecutor::printMeasurements() const {
  if (!state->setting.measures)
    return;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    printMeasurement(state->job->table, measurementOf(i));
}

static const char *nameOf(ProductPrecision products) {
  switch (products) {
  case ProductPrecision::F32:
    return "f32";
  case ProductPrecision::TF32:
    return "tf32";
  case ProductPrecision::BF16:
    return "bf16";
  }
  return "";
}

Status CudaExecutor::writeMeasurements() {
  const std::string &path = state->job->options.measurements;
  if (path.empty())
    return {};
  const Table &table = state->job->table;
  std::string ranks, devices;
  for (size_t i = 0; i < state->loop.ranks.size(); ++i)
    ranks += (i ? ",\n" : "\n") + measurementJson(table, measurementOf(i));
  for (auto [ordinal, taken] : state->taken)
    devices += (devices.empty() ? "" : ",") +
               ("{\"name\":" + jsonString(deviceName(ordinal))) +
               ",\"taken_bytes\":" + std::to_string(taken) + "}";
  std::string text =
      "{\"model\":" + jsonString(table.string(table.header().model_name)) +
      ",\"schedule\":" +
      jsonString(table.string(table.header().schedule_name)) +
      ",\"products\":" + jsonString(nameOf(state->setting.products)) +
      ",\"steps\":" + std::to_string(state->job->options.steps) +
      ",\"devices\":[" + devices + "],\"ranks\":[" + ranks + "]}\n";
  OutputFile file;
  Status status = file.open(ownFile(path));
  if (!status.failed())
    status = file.write(text.data(), text.size());
  return status.failed() ? status : file.commit();
}
