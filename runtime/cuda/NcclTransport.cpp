//===- NcclTransport.cpp - transfers by NCCL ------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NcclTransport.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

using Clock = std::chrono::steady_clock;

/// Multiprocessors that the transfers of a device may take from its passes, and
/// blocks beyond which a transfer does not get faster; see the header.
static constexpr int64_t multiprocessorsForTransfers = 32;
static constexpr int64_t mostBlocks = 8;
static constexpr int64_t mostConcurrentKernels = 28;

/// How long abort() waits for a call in another thread to come back. One that
/// does not is inside the device's driver and comes back by the abort itself.
static constexpr auto patienceOfAbort = std::chrono::milliseconds(500);

int weir::runtime::cuda::maxTransferBlocks(const Table &table,
                                           int64_t multiprocessors) {
  int64_t most = 1;
  for (int64_t device = 0; device < table.numDevices(); ++device)
    most = std::max(most, numQueues(table, device));
  return static_cast<int>(
      std::clamp(std::min(multiprocessorsForTransfers, multiprocessors) / most,
                 int64_t(1), mostBlocks));
}

int64_t weir::runtime::cuda::mostTransfersInFlight(const Table &table,
                                                   int64_t multiprocessors) {
  return std::clamp<int64_t>(multiprocessors /
                                 maxTransferBlocks(table, multiprocessors),
                             1, mostConcurrentKernels);
}

std::vector<std::vector<QueuePair>>
weir::runtime::cuda::queueRounds(const Table &table) {
  std::set<QueuePair> left;
  for (int64_t device = 0; device < table.numDevices(); ++device)
    for (const weir_action &action : table.actions(device))
      if (action.kind == WEIR_ACTION_SEND_START)
        left.insert({device, action.peer});
  std::vector<std::vector<QueuePair>> rounds;
  while (!left.empty()) {
    std::vector<QueuePair> &round = rounds.emplace_back();
    std::set<int64_t> busy;
    for (QueuePair pair : left) {
      if (busy.count(pair.first) || busy.count(pair.second))
        continue;
      busy.insert({pair.first, pair.second});
      round.push_back(pair);
    }
    for (QueuePair pair : round)
      left.erase(pair);
  }
  return rounds;
}

//===----------------------------------------------------------------------===//
// Polled calls
//===----------------------------------------------------------------------===//

NcclTransport::NcclTransport(const Table &table, PlanResources &resources,
                             Store &store, int64_t multiprocessors,
                             double timeout)
    : DeviceTransport(resources), table(table), rank(resources.plan->device),
      store(store), multiprocessors(multiprocessors), timeout(timeout) {
  queues.resize(resources.plan->numQueues());
  for (const PlannedTransfer &transfer : resources.plan->transfers)
    queues[transfer.stream - 1] = {nullptr, transfer.peer, transfer.isSend};
}

NcclTransport::~NcclTransport() { abort(); }

std::string NcclTransport::textOf(const Queue &queue) const {
  return (queue.isSend ? "transfers to device " : "transfers from device ") +
         std::to_string(queue.peer);
}

/// Asks once how a communicator is.
Status NcclTransport::look(ncclComm_t communicator, const std::string &what,
                           bool &isInProgress) {
  std::lock_guard lock(mutex);
  if (isAborted)
    return fail(what, ": ended, since another rank has failed");
  ncclResult_t state = ncclSuccess;
  if (Status status = check(ncclCommGetAsyncError(communicator, &state), what);
      status.failed())
    return status;
  isInProgress = state == ncclInProgress;
  return isInProgress ? Status() : check(state, what, communicator);
}

/// Waits until a call that gave `result` is over.
Status NcclTransport::settle(ncclComm_t communicator, ncclResult_t result,
                             const std::string &what) {
  if (result != ncclSuccess && result != ncclInProgress)
    return check(result, what, communicator);
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  auto pause = std::chrono::microseconds(1);
  bool isInProgress = true;
  while (true) {
    if (Status status = look(communicator, what, isInProgress);
        status.failed() || !isInProgress)
      return status;
    if (Clock::now() > deadline)
      return fail(what, ": no answer within ", timeout,
                  " s; if it is only slow, allow more with --timeout=SECONDS");
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::microseconds(1000));
  }
}

//===----------------------------------------------------------------------===//
// Connections
//===----------------------------------------------------------------------===//

static ncclConfig_t makeConfig() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return config;
}

Status NcclTransport::joinWorld() {
  ncclUniqueId id;
  std::string bytes;
  if (rank == 0) {
    if (Status status = check(ncclGetUniqueId(&id), "ncclGetUniqueId");
        status.failed())
      return status;
    bytes.assign(id.internal, sizeof(id.internal));
    if (Status status = store.put("nccl-id", bytes); status.failed())
      return status;
  }
  Status status = store.get(
      "nccl-id", timeout, "the id of rank 0's communicator",
      [&] { return !isAborted; }, bytes);
  if (!status.failed() && bytes.size() != sizeof(id.internal))
    status =
        fail("the id of rank 0's communicator has ", bytes.size(), " bytes");
  if (status.failed())
    return status;
  std::memcpy(id.internal, bytes.data(), sizeof(id.internal));
  ncclConfig_t config = makeConfig();
  ncclResult_t result;
  {
    std::lock_guard lock(mutex);
    result =
        ncclCommInitRankConfig(&world, static_cast<int>(table.numDevices()), id,
                               static_cast<int>(rank), &config);
  }
  return settle(world, result, "ncclCommInitRankConfig");
}

NcclTransport::Queue *NcclTransport::queueOf(const QueuePair &pair) {
  for (Queue &queue : queues)
    if ((queue.isSend ? QueuePair(rank, queue.peer)
                      : QueuePair(queue.peer, rank)) == pair)
      return &queue;
  return nullptr;
}

Status NcclTransport::split(const std::vector<QueuePair> &round) {
  Queue *mine = nullptr;
  int color = NCCL_SPLIT_NOCOLOR;
  for (size_t i = 0; i < round.size(); ++i)
    if (Queue *queue = queueOf(round[i])) {
      mine = queue;
      color = static_cast<int>(i);
    }
  ncclConfig_t config = makeConfig();
  config.minCTAs = 1;
  config.maxCTAs = maxTransferBlocks(table, multiprocessors);
  // Shared resources would make queues wait for each other.
  config.splitShare = 0;
  const std::string what =
      mine ? "ncclCommSplit for " + textOf(*mine) : "ncclCommSplit";
  ncclComm_t none = nullptr;
  ncclResult_t result;
  {
    std::lock_guard lock(mutex);
    if (isAborted)
      return fail(what, ": ended, since another rank has failed");
    // The sender is 0 in it, the receiver 1.
    result = ncclCommSplit(world, color, mine && !mine->isSend,
                           mine ? &mine->communicator : &none, &config);
  }
  Status status = settle(world, result, what);
  if (!status.failed() && mine)
    status = settle(mine->communicator, ncclSuccess, what);
  return status;
}

/// Moves a byte of the arena, which nothing uses yet, onto itself' counterpart.
Status NcclTransport::warmUp(const QueuePair &pair) {
  Queue *queue = queueOf(pair);
  if (!queue)
    return {};
  const std::string what = "connecting for " + textOf(*queue);
  int64_t stream = queue - queues.data() + 1;
  cudaStream_t handle = resources.streams[stream].get();
  // A transfer's own buffer: it is free before the first step.
  auto first = std::find_if(
      resources.plan->transfers.begin(), resources.plan->transfers.end(),
      [&](const PlannedTransfer &t) { return t.stream == stream; });
  Status status =
      enqueue(*queue, resources.arena + first->offset, 1, handle, what);
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  while (!status.failed()) {
    cudaError_t state = cudaStreamQuery(handle);
    if (state != cudaErrorNotReady)
      return check(state, what);
    bool isInProgress;
    status = look(queue->communicator, what, isInProgress);
    if (!status.failed() && Clock::now() > deadline)
      status = fail(what, ": no answer within ", timeout, " s");
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return status;
}

Status NcclTransport::connect() {
  std::vector<std::vector<QueuePair>> rounds = queueRounds(table);
  if (rounds.empty())
    return {};
  if (Status status = joinWorld(); status.failed())
    return status;
  for (const auto &round : rounds)
    if (Status status = split(round); status.failed())
      return status;
  for (const auto &round : rounds)
    for (const QueuePair &pair : round)
      if (Status status = warmUp(pair); status.failed())
        return status;
  return {};
}

//===----------------------------------------------------------------------===//
// A step
//===----------------------------------------------------------------------===//

Status NcclTransport::enqueue(Queue &queue, void *address, int64_t bytes,
                              cudaStream_t stream, const std::string &what) {
  ncclResult_t result;
  {
    std::lock_guard lock(mutex);
    if (isAborted)
      return fail(what, ": ended, since another rank has failed");
    result =
        queue.isSend
            ? ncclSend(address, bytes, ncclInt8, 1, queue.communicator, stream)
            : ncclRecv(address, bytes, ncclInt8, 0, queue.communicator, stream);
  }
  if (result == ncclSuccess)
    return {};
  return settle(queue.communicator, result, what);
}

Status NcclTransport::start(int64_t number) {
  const PlannedTransfer &transfer = resources.plan->transfers[number];
  return enqueue(queues[transfer.stream - 1], resources.arena + transfer.offset,
                 transfer.bytes, resources.streams[transfer.stream].get(),
                 transfer.isSend ? "ncclSend" : "ncclRecv");
}

Status NcclTransport::poll(int64_t &stream) {
  for (size_t i = 0; i < queues.size(); ++i) {
    bool isInProgress;
    if (Status status =
            look(queues[i].communicator, textOf(queues[i]), isInProgress);
        status.failed()) {
      stream = static_cast<int64_t>(i) + 1;
      return status;
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// The end
//===----------------------------------------------------------------------===//

void NcclTransport::abort() {
  if (isAborted.exchange(true))
    return;
  bool isLocked = mutex.try_lock_for(patienceOfAbort);
  for (Queue &queue : queues)
    if (queue.communicator)
      (void)ncclCommAbort(std::exchange(queue.communicator, nullptr));
  if (world)
    (void)ncclCommAbort(std::exchange(world, nullptr));
  if (isLocked)
    mutex.unlock();
}

void NcclTransport::close() {
  auto finalize = [&](ncclComm_t communicator) {
    if (!communicator)
      return;
    ncclResult_t result;
    {
      std::lock_guard lock(mutex);
      if (isAborted)
        return;
      result = ncclCommFinalize(communicator);
    }
    // Where the others do not come, the abort below ends it.
    if (settle(communicator, result, "ncclCommFinalize").failed())
      abort();
  };
  for (Queue &queue : queues)
    finalize(queue.communicator);
  finalize(world);
  std::lock_guard lock(mutex);
  if (isAborted)
    return;
  for (Queue &queue : queues)
    (void)ncclCommDestroy(std::exchange(queue.communicator, nullptr));
  if (world)
    (void)ncclCommDestroy(std::exchange(world, nullptr));
}
