//===- DeviceRank.cpp - a rank on a CUDA device ---------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceRank.h"

#include <algorithm>
#include <cstring>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

/// How often a waiting rank asks its transfers for errors, and how often where
/// the device is.
static constexpr auto errorPeriod = std::chrono::milliseconds(5);
static constexpr auto placePeriod = std::chrono::milliseconds(50);

/// How long a rank that fails waits for its streams, in seconds, if the timeout
/// is not shorter.
static constexpr double longestGrace = 2;

/// How much of a parameter is drawn where a rank is played.
static constexpr size_t playedBytes = size_t(1) << 22;

/// How much of an arena is copied to the host at once to look at it.
static constexpr int64_t searchedBytes = int64_t(64) << 20;

DeviceRank::DeviceRank(int64_t device, int ordinal, RunLoop &loop,
                       RankSetting &setting, StepPlan plan)
    : Rank(device), ordinal(ordinal), plan(std::move(plan)), loop(loop),
      setting(setting),
      schedule(setting.graphs, device, loop.table.numDevices()) {
  resources.plan = &this->plan;
}

//===----------------------------------------------------------------------===//
// Before the first step
//===----------------------------------------------------------------------===//

Status DeviceRank::prepare() {
  const int64_t arenaBytes = loop.table.devices()[device].arena_bytes;
  Status status = useDevice(ordinal);
  if (!status.failed())
    status = makeMemory(arena, arenaBytes);
  if (!status.failed())
    status = makeMemory(one, 1);
  if (!status.failed())
    status = makePinned(staging, plan.stagingBytes);
  if (!status.failed() && plan.hasMarks)
    status = makePinned(marks, plan.numMarks());
  if (!status.failed())
    status = makeEvent(end);
  resources.streams.resize(plan.numStreams);
  for (Stream &stream : resources.streams)
    if (!status.failed())
      status = makeStream(stream);
  resources.events.resize(plan.numEvents);
  for (Event &event : resources.events)
    if (!status.failed())
      status = makeEvent(event);
  if (status.failed())
    return fail("rank ", device, " on device ", ordinal, ": ",
                status.message());
  resources.arena = static_cast<std::byte *>(arena.get());
  inputs.resize(plan.stagingBytes);
  if (setting.measures)
    times = PassTimes(loop.table, device);
  loop.keepGradients(*this, resources.arena);

  std::span<const weir_action> actions = loop.table.actions(device);
  buffers.resize(actions.size());
  passGraphs.resize(actions.size());
  for (size_t i = 0; i < actions.size(); ++i)
    if (actions[i].kind == WEIR_ACTION_RUN)
      for (const weir_buffer &buffer : loop.table.buffers(actions[i]))
        buffers[i].push_back(resources.arena + buffer.offset);
  return {};
}

/// The first values of a parameter. Where a rank is played, any will do that do
/// not repeat soon, and drawing them all could take longer than the steps.
void DeviceRank::initialise(int64_t variable,
                            std::span<std::byte> values) const {
  size_t drawn = values.size();
  if (setting.isPlayed && loop.options.load.empty())
    drawn = std::min(drawn, playedBytes);
  loop.job->initialise(variable, values.first(drawn));
  for (size_t at = drawn; at < values.size(); at += drawn)
    std::memcpy(values.data() + at, values.data(),
                std::min(drawn, values.size() - at));
}

/// The first values of the arena: zeros, poison where nothing lives yet, and
/// parameters.
Status DeviceRank::fillArena() {
  const Table &table = loop.table;
  Status status = check(cudaMemsetAsync(one.get(), 1, 1, resources.compute()),
                        "cudaMemsetAsync");
  auto fill = [&](int64_t begin, int64_t finish, int value) {
    if (!status.failed() && finish > begin)
      status = check(cudaMemsetAsync(resources.arena + begin, value,
                                     finish - begin, resources.compute()),
                     "cudaMemsetAsync");
  };
  fill(0, table.devices()[device].arena_bytes, 0);
  if (loop.options.poison || setting.measures)
    for (ByteRange range : rangesBetweenResidents(table, device))
      fill(range.begin, range.end, poisonByte);
  std::vector<std::byte> values;
  for (const weir_resident &resident : table.residents(device)) {
    if (resident.kind != WEIR_RESIDENT_PARAMETER || status.failed())
      continue;
    values.resize(resident.bytes);
    initialise(resident.variable, values);
    status = check(cudaMemcpyAsync(resources.arena + resident.offset,
                                   values.data(), values.size(),
                                   cudaMemcpyHostToDevice, resources.compute()),
                   "cudaMemcpyAsync");
    // The next values take the place of these.
    if (!status.failed())
      status = check(cudaStreamSynchronize(resources.compute()),
                     "cudaStreamSynchronize");
  }
  if (!status.failed())
    status = check(cudaStreamSynchronize(resources.compute()),
                   "cudaStreamSynchronize");
  return status;
}

Status DeviceRank::initialise() {
  Status status = useDevice(ordinal);
  context.compute = resources.compute();
  context.kernels = &setting.kernels.list();
  context.products = &products;
  context.kernelNames = setting.module.kernel_names;
  if (setting.timesKernels)
    context.times = &launches;
  if (!status.failed())
    status =
        products.prepare({setting.module.products,
                          static_cast<size_t>(setting.module.num_products)},
                         setting.products);
  // Connecting writes to buffers, so it comes before their first values.
  if (!status.failed())
    status = transport->connect();
  if (!status.failed())
    status = fillArena();
  if (!status.failed() && isTimed())
    status = trace.prepare(resources);
  if (status.failed())
    return fail("rank ", device, " on device ", ordinal, ": ",
                status.message());
  drawInputs(1);
  return {};
}

//===----------------------------------------------------------------------===//
// A step
//===----------------------------------------------------------------------===//

/// Draws the inputs of a step; they go to the staging block when the step
/// before has ended.
void DeviceRank::drawInputs(int64_t step) {
  auto set = [&](int64_t at, double value) {
    auto scalar = static_cast<float>(value);
    if (at >= 0)
      std::memcpy(inputs.data() + at, &scalar, sizeof(scalar));
  };
  set(plan.learningRateAt, loop.options.learningRateOf(step));
  set(plan.stepNumberAt, static_cast<double>(step));
  for (const StepPlan::Load &load : plan.loads) {
    const weir_action &action = loop.table.actions(device)[load.action];
    loop.job->data.fill(
        action.input, step, action.microbatch,
        reinterpret_cast<int32_t *>(inputs.data() + load.staging));
  }
}

void DeviceRank::beginStep(int64_t step) {
  culprit.store(-1, std::memory_order_relaxed);
  issued.store(0, std::memory_order_relaxed);
  if (!inputs.empty())
    std::memcpy(staging.get(), inputs.data(), inputs.size());
  if (marks.get())
    std::memset(marks.get(), 0, plan.numMarks());
  this->step.store(step, std::memory_order_relaxed);
}

bool DeviceRank::failHere(const Status &status) {
  loop.failRank(*this, status.message());
  return false;
}

bool DeviceRank::runStep(int64_t step) {
  const int64_t numActions = loop.table.actions(device).size();
  beginStep(step);
  GraphMode mode = schedule.modeOf(step);
  Status status;
  if (mode == GraphMode::Pass)
    status = capturePasses();
  else if (mode == GraphMode::Step)
    status = captureStep(step);
  if (status.failed())
    return failHere(status);

  Clock::time_point begin = Clock::now();
  if (status = issueStep(step, mode); status.failed())
    return failHere(status);
  issued.store(numActions, std::memory_order_relaxed);
  action.store(numActions, std::memory_order_relaxed);
  if (step < loop.options.steps)
    drawInputs(step + 1);
  if (status = waitForEnd(); status.failed())
    return failHere(status);
  double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  if (isTimed())
    status = endTimedStep(step);
  if (!status.failed() && step == 1)
    status = copyRemainingGradients();
  if (!status.failed())
    status = schedule.note(step, seconds, *setting.store, loop.options.timeout,
                           [&] { return !loop.isFailing(); });
  return status.failed() ? failHere(status) : true;
}

Status DeviceRank::endTimedStep(int64_t step) {
  if (setting.timesKernels)
    if (Status status = launches.endStep(step, resources.compute());
        status.failed())
      return status;
  return trace.endStep(
      resources, [&](int64_t action, int64_t begin, int64_t end) {
        if (loop.job->trace)
          loop.job->trace->record(device, step, action, begin, end);
        if (setting.measures)
          times.add(step, action, static_cast<double>(end - begin) * 1e-9);
      });
}

Status DeviceRank::issueStep(int64_t step, GraphMode mode) {
  Status status;
  if (mode == GraphMode::Step)
    status = check(cudaGraphLaunch(stepGraph.get(), resources.compute()),
                   "cudaGraphLaunch");
  else
    status = issueAll(step, mode, isTimed());
  if (status.failed())
    return status;
  return check(cudaEventRecord(end.get(), resources.compute()),
               "cudaEventRecord");
}

Status DeviceRank::issueAll(int64_t step, GraphMode mode, bool isTraced) {
  Status status;
  if (isTraced)
    status = trace.beginStep(resources);
  for (size_t i = 0; i < plan.operations.size() && !status.failed(); ++i) {
    const PlanOperation &operation = plan.operations[i];
    // In a capture nothing runs, so events and marks say nothing.
    if (operation.action >= 0 && mode != GraphMode::Step) {
      issued.store(operation.action, std::memory_order_relaxed);
      action.store(operation.action, std::memory_order_relaxed);
    }
    if (isTraced)
      status = trace.before(resources, i);
    if (!status.failed())
      status = issue(step, mode, operation);
    if (!status.failed() && isTraced)
      status = trace.after(resources, i);
    if (status.failed())
      culprit.store(operation.action, std::memory_order_relaxed);
  }
  return status;
}

Status DeviceRank::issue(int64_t step, GraphMode mode,
                         const PlanOperation &operation) {
  cudaStream_t stream = resources.streams[operation.stream].get();
  std::byte *address = resources.arena + operation.offset;
  std::byte *host = static_cast<std::byte *>(staging.get()) + operation.staging;
  switch (operation.kind) {
  case PlanKind::Clear:
    return check(cudaMemsetAsync(address, 0, operation.bytes, stream),
                 "cudaMemsetAsync");
  case PlanKind::Poison:
    return check(cudaMemsetAsync(address, poisonByte, operation.bytes, stream),
                 "cudaMemsetAsync");
  case PlanKind::CopyIn:
    return check(cudaMemcpyAsync(address, host, operation.bytes,
                                 cudaMemcpyHostToDevice, stream),
                 "cudaMemcpyAsync");
  case PlanKind::CopyOut:
    return check(cudaMemcpyAsync(host, address, operation.bytes,
                                 cudaMemcpyDeviceToHost, stream),
                 "cudaMemcpyAsync");
  case PlanKind::Run:
    return run(step, mode, operation);
  case PlanKind::Send:
  case PlanKind::Receive:
    return transport->start(operation.transfer);
  case PlanKind::Record:
    if (operation.transfer >= 0 &&
        operation.event == plan.transfers[operation.transfer].doneEvent)
      return transport->recordDone(operation.transfer);
    return check(
        cudaEventRecord(resources.events[operation.event].get(), stream),
        "cudaEventRecord");
  case PlanKind::Wait:
    return wait(operation);
  case PlanKind::Mark:
    return check(
        cudaMemcpyAsync(static_cast<std::byte *>(marks.get()) + operation.mark,
                        one.get(), 1, cudaMemcpyDeviceToHost, stream),
        "cudaMemcpyAsync");
  }
  return {};
}

Status DeviceRank::wait(const PlanOperation &operation) {
  cudaStream_t stream = resources.streams[operation.stream].get();
  if (operation.transfer >= 0 &&
      operation.event == plan.transfers[operation.transfer].doneEvent)
    return transport->waitDone(operation.transfer, stream);
  return check(
      cudaStreamWaitEvent(stream, resources.events[operation.event].get(), 0),
      "cudaStreamWaitEvent");
}

Status DeviceRank::run(int64_t step, GraphMode mode,
                       const PlanOperation &operation) {
  const weir_action &action = loop.table.actions(device)[operation.action];
  if (step == 1 && action.pass == WEIR_PASS_UPDATE)
    if (Status status = copyGradientsFor(operation.action); status.failed())
      return status;
  if (mode == GraphMode::Pass)
    return check(cudaGraphLaunch(passGraphs[operation.action]->get(),
                                 resources.compute()),
                 "cudaGraphLaunch");
  return callPass(operation.action);
}

Status DeviceRank::callPass(int64_t action) {
  const weir_action &record = loop.table.actions(device)[action];
  context.failure = nullptr;
  if (context.times)
    context.times->enterPass(loop.table.string(record.label));
  loop.job->kernels[record.kernel](&context, buffers[action].data());
  if (context.failure)
    return fail(context.failure);
  return check(cudaPeekAtLastError(), "a compiled pass");
}

StepLoss DeviceRank::loss() const {
  StepLoss loss;
  auto host = static_cast<const std::byte *>(staging.get());
  std::memcpy(&loss.sum, host + plan.lossAt, sizeof(float));
  std::memcpy(&loss.count, host + plan.countAt, sizeof(float));
  return loss;
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

/// Equal passes on equal buffers share a graph.
Status DeviceRank::capturePasses() {
  std::span<const weir_action> actions = loop.table.actions(device);
  for (size_t i = 0; i < actions.size(); ++i) {
    if (actions[i].kind != WEIR_ACTION_RUN || passGraphs[i])
      continue;
    std::vector<int64_t> key = {actions[i].kernel};
    for (const weir_buffer &buffer : loop.table.buffers(actions[i]))
      key.push_back(buffer.offset);
    GraphExec &graph = distinctPassGraphs[key];
    if (!graph.get())
      if (Status status = capture(
              resources.compute(), [&] { return callPass(i); },
              "'" + loop.table.describe(device, i) + "'", graph);
          status.failed()) {
        culprit.store(i, std::memory_order_relaxed);
        return status;
      }
    passGraphs[i] = &graph;
  }
  return {};
}

Status DeviceRank::captureStep(int64_t step) {
  if (stepGraph.get())
    return {};
  return capture(
      resources.compute(),
      [&] { return issueAll(step, GraphMode::Step, /*isTraced=*/false); },
      "the step", stepGraph);
}

//===----------------------------------------------------------------------===//
// Gradients of step 1
//===----------------------------------------------------------------------===//

/// Keeps the gradients that an update of step 1 is about to use: it may change
/// them, and other stages of the device may still add to theirs.
Status DeviceRank::copyGradientsFor(int64_t action) {
  for (GradientCopy &gradient : gradientCopies) {
    if (gradient.isCopied || !gradient.isUsedBy(buffers[action]))
      continue;
    gradient.isCopied = true;
    if (Status status =
            check(cudaMemcpyAsync(gradient.copy.data(), gradient.source,
                                  gradient.copy.size(), cudaMemcpyDeviceToHost,
                                  resources.compute()),
                  "cudaMemcpyAsync");
        status.failed())
      return status;
  }
  return {};
}

Status DeviceRank::copyRemainingGradients() {
  for (GradientCopy &gradient : gradientCopies)
    if (!gradient.isCopied)
      if (Status status =
              read(gradient.source - resources.arena, gradient.copy);
          status.failed())
        return status;
  return {};
}

Status DeviceRank::read(int64_t offset, std::vector<std::byte> &bytes) {
  Status status = useDevice(ordinal);
  if (!status.failed())
    status = check(cudaMemcpyAsync(bytes.data(), resources.arena + offset,
                                   bytes.size(), cudaMemcpyDeviceToHost,
                                   resources.compute()),
                   "cudaMemcpyAsync");
  if (!status.failed())
    status = check(cudaStreamSynchronize(resources.compute()),
                   "cudaStreamSynchronize");
  return status;
}

//===----------------------------------------------------------------------===//
// How far the arena is used
//===----------------------------------------------------------------------===//

Status DeviceRank::measureCopy() {
  Status status = useDevice(ordinal);
  return status.failed() ? status : launches.measureCopy(resources.compute());
}

/// Looks from the top of the arena for a byte that is not as it was filled.
Status DeviceRank::findHighestTouched(int64_t &end) {
  end = 0;
  for (const weir_resident &resident : loop.table.residents(device))
    end = std::max(end, resident.offset + resident.bytes);
  std::vector<std::byte> bytes;
  for (int64_t top = loop.table.devices()[device].arena_bytes; top > end;) {
    const int64_t bottom = std::max(end, top - searchedBytes);
    bytes.resize(top - bottom);
    if (Status status = read(bottom, bytes); status.failed())
      return status;
    auto highest = std::find_if(bytes.rbegin(), bytes.rend(), [](std::byte b) {
      return b != static_cast<std::byte>(poisonByte);
    });
    if (highest != bytes.rend()) {
      end = bottom + (bytes.rend() - highest);
      break;
    }
    top = bottom;
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Where the device is
//===----------------------------------------------------------------------===//

bool DeviceRank::hasReached(int64_t event, int64_t mark) const {
  if (marks.get())
    return static_cast<const volatile unsigned char *>(marks.get())[mark] != 0;
  return cudaEventQuery(resources.events[event].get()) == cudaSuccess;
}

/// The last pass at or before an action: what the compute stream may be in.
int64_t DeviceRank::passBefore(int64_t action) const {
  std::span<const weir_action> actions = loop.table.actions(device);
  for (int64_t i = action; i >= 0; --i)
    if (actions[i].kind == WEIR_ACTION_RUN)
      return i;
  return action;
}

/// A started transfer that is not over holds the compute stream up at its wait,
/// unless the start of one behind the wait has been reached. If none does, the
/// stream is in a pass before the first start that has not been reached. A
/// start mark lies behind the transfers before it in its queue, so it says
/// nothing while one of these is open.
int64_t DeviceRank::currentAction() const {
  const int64_t numActions = loop.table.actions(device).size();
  if (int64_t known = culprit.load(std::memory_order_relaxed); known >= 0)
    return known;
  const int64_t limit = issued.load(std::memory_order_relaxed);
  // Ranks that copy meet on the host.
  if (limit < numActions && !transport->canBeCaptured())
    return limit;
  if (limit == numActions && cudaEventQuery(end.get()) == cudaSuccess)
    return numActions;
  int64_t front = limit;
  std::vector<const PlannedTransfer *> open;
  std::vector<bool> isOpen(plan.numStreams, false);
  for (size_t i = 0; i < plan.transfers.size(); ++i) {
    const PlannedTransfer &transfer = plan.transfers[i];
    if (transfer.startAction >= limit)
      break;
    if (plan.hasMarks && isOpen[transfer.stream])
      continue;
    if (!hasReached(transfer.startEvent, StepPlan::startMark(i))) {
      front = transfer.startAction;
      break;
    }
    if (!hasReached(transfer.doneEvent, StepPlan::doneMark(i))) {
      open.push_back(&transfer);
      isOpen[transfer.stream] = true;
    }
  }
  int64_t blocked = front;
  for (const PlannedTransfer *transfer : open)
    blocked = std::min(blocked, transfer->waitAction);
  return blocked < front ? blocked
                         : passBefore(std::min(front, numActions - 1));
}

/// Fails if a transfer has failed, at the first that is open on its queue.
Status DeviceRank::lookAtTransfers() {
  int64_t stream = 0;
  Status status = transport->poll(stream);
  if (!status.failed())
    return {};
  for (size_t i = 0; i < plan.transfers.size(); ++i)
    if (plan.transfers[i].stream == stream &&
        !hasReached(plan.transfers[i].doneEvent, StepPlan::doneMark(i))) {
      culprit.store(plan.transfers[i].startAction, std::memory_order_relaxed);
      break;
    }
  return status;
}

/// Waits for the end of the step as long as the device gets on.
Status DeviceRank::waitForEnd() {
  const auto timeout = std::chrono::duration<double>(loop.options.timeout);
  Clock::time_point lastMove = Clock::now(), lastLook = lastMove,
                    lastPlace = lastMove;
  int64_t place = -1;
  auto pause = std::chrono::microseconds(1);
  while (true) {
    cudaError_t state = cudaEventQuery(end.get());
    if (state == cudaSuccess)
      return {};
    if (state != cudaErrorNotReady)
      return check(state, "the device failed");
    if (loop.isFailing())
      return fail("ended, since another rank has failed");
    Clock::time_point now = Clock::now();
    if (now - lastLook > errorPeriod) {
      lastLook = now;
      if (Status status = lookAtTransfers(); status.failed())
        return status;
    }
    if (now - lastPlace >
        std::min<Clock::duration>(
            placePeriod,
            std::chrono::duration_cast<Clock::duration>(timeout / 4))) {
      lastPlace = now;
      int64_t current = currentAction();
      action.store(current, std::memory_order_relaxed);
      if (current != place)
        lastMove = now;
      place = current;
      if (now - lastMove > timeout)
        return fail(loop.timeoutText(*this));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::microseconds(50));
  }
}

//===----------------------------------------------------------------------===//
// The end
//===----------------------------------------------------------------------===//

/// After a failure, the streams get a while to become idle.
Status DeviceRank::waitForStreams() {
  auto deadline = Clock::now() + std::chrono::duration<double>(std::min(
                                     longestGrace, loop.options.timeout));
  for (const Stream &stream : resources.streams)
    while (true) {
      cudaError_t state = cudaStreamQuery(stream.get());
      if (state == cudaSuccess)
        break;
      // A device that has failed says nothing of its streams any more.
      if (state != cudaErrorNotReady || Clock::now() > deadline)
        return fail("work is left on the device");
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  return {};
}

void DeviceRank::finish() {
  if (loop.isFailing() && waitForStreams().failed()) {
    hung = true;
    return;
  }
  // Graphs hold on to the connections that they use.
  distinctPassGraphs.clear();
  stepGraph.reset();
  if (!loop.isFailing())
    transport->close();
}
