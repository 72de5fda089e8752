//===- StepPlan.cpp - what a rank puts on which stream --------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepPlan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

static bool isStart(const weir_action &action) {
  return action.kind == WEIR_ACTION_SEND_START ||
         action.kind == WEIR_ACTION_RECV_START;
}

//===----------------------------------------------------------------------===//
// The plan of a device
//===----------------------------------------------------------------------===//

namespace {

class StepPlanBuilder {
public:
  StepPlanBuilder(const Table &table, int64_t device,
                  const StepPlanOptions &options)
      : table(table), options(options), actions(table.actions(device)) {
    plan.device = device;
    plan.hasMarks = options.marks;
  }

  StepPlan run() {
    beginStep();
    const int64_t numActions = actions.size();
    for (int64_t i = 0; i < numActions; ++i)
      addAction(i);
    endStep();
    return std::move(plan);
  }

private:
  PlanOperation &add(PlanKind kind, int64_t stream, int64_t action) {
    return plan.operations.emplace_back(PlanOperation{kind, stream, action});
  }
  void addOnRange(PlanKind kind, int64_t action, int64_t offset,
                  int64_t bytes) {
    PlanOperation &operation = add(kind, 0, action);
    operation.offset = offset;
    operation.bytes = bytes;
  }
  void addOnEvent(PlanKind kind, int64_t stream, int64_t action, int64_t event,
                  int64_t transfer) {
    PlanOperation &operation = add(kind, stream, action);
    operation.event = event;
    operation.transfer = transfer;
  }
  void addMark(int64_t stream, int64_t action, int64_t mark) {
    if (options.marks)
      add(PlanKind::Mark, stream, action).mark = mark;
  }

  /// Takes aligned bytes of the staging block.
  int64_t stage(int64_t bytes) {
    int64_t at = plan.stagingBytes;
    plan.stagingBytes +=
        (bytes + WEIR_ALIGNMENT - 1) / WEIR_ALIGNMENT * WEIR_ALIGNMENT;
    return at;
  }
  int64_t copyIn(int64_t action, int64_t offset, int64_t bytes) {
    int64_t at = stage(bytes);
    addOnRange(PlanKind::CopyIn, action, offset, bytes);
    plan.operations.back().staging = at;
    return at;
  }
  int64_t copyOut(int64_t offset, int64_t bytes) {
    int64_t at = stage(bytes);
    addOnRange(PlanKind::CopyOut, -1, offset, bytes);
    plan.operations.back().staging = at;
    return at;
  }

  int64_t queueOf(bool isSend, int64_t peer) {
    return queues.try_emplace({isSend, peer}, plan.numStreams + queues.size())
        .first->second;
  }

  void beginStep();
  void clearResidents();
  void addAction(int64_t index);
  void addStart(int64_t index);
  void addWait(int64_t index);
  void endStep();

  const Table &table;
  const StepPlanOptions &options;
  std::span<const weir_action> actions;
  StepPlan plan;
  std::map<std::pair<bool, int64_t>, int64_t> queues; /* to their streams */
  std::unordered_map<int64_t, int64_t> transferOfToken;
};

} // namespace

void StepPlanBuilder::beginStep() {
  clearResidents();
  for (const weir_resident &resident : table.residents(plan.device)) {
    if (resident.kind == WEIR_RESIDENT_LEARNING_RATE)
      plan.learningRateAt = copyIn(-1, resident.offset, resident.bytes);
    if (resident.kind == WEIR_RESIDENT_STEP)
      plan.stepNumberAt = copyIn(-1, resident.offset, resident.bytes);
  }
}

/// Clears what starts each step at zero; neighbours together, with what the
/// alignment leaves between them.
void StepPlanBuilder::clearResidents() {
  std::map<int64_t, int64_t> ranges; /* begin to end */
  for (const weir_resident &resident : table.residents(plan.device))
    if (resident.kind == WEIR_RESIDENT_GRADIENT ||
        resident.kind == WEIR_RESIDENT_LOSS ||
        resident.kind == WEIR_RESIDENT_COUNT)
      ranges[resident.offset] = resident.offset + resident.bytes;
  int64_t end = -1;
  for (auto [first, last] : ranges) {
    if (end >= 0 && first - end < WEIR_ALIGNMENT)
      plan.operations.back().bytes = last - plan.operations.back().offset;
    else
      addOnRange(PlanKind::Clear, -1, first, last - first);
    end = last;
  }
}

void StepPlanBuilder::addAction(int64_t index) {
  const weir_action &action = actions[index];
  switch (action.kind) {
  case WEIR_ACTION_RUN:
    add(PlanKind::Run, 0, index);
    break;
  case WEIR_ACTION_LOAD:
    plan.loads.push_back({index, copyIn(index, action.offset, action.bytes)});
    break;
  case WEIR_ACTION_SEND_START:
  case WEIR_ACTION_RECV_START:
    addStart(index);
    break;
  case WEIR_ACTION_WAIT:
    addWait(index);
    break;
  case WEIR_ACTION_RELEASE:
    if (options.poison)
      addOnRange(PlanKind::Poison, index, action.offset, action.bytes);
    break;
  }
}

void StepPlanBuilder::addStart(int64_t index) {
  const weir_action &action = actions[index];
  const bool isSend = action.kind == WEIR_ACTION_SEND_START;
  const int64_t number = plan.transfers.size();
  PlannedTransfer transfer = {
      isSend, action.peer, action.message, action.offset, action.bytes, 0,
      index,  -1,          2 * number,     2 * number + 1};
  transfer.stream = queueOf(isSend, action.peer);
  transferOfToken[action.token] = number;

  if (options.poison && !isSend)
    addOnRange(PlanKind::Poison, index, action.offset, action.bytes);
  addOnEvent(PlanKind::Record, 0, index, transfer.startEvent, number);
  addOnEvent(PlanKind::Wait, transfer.stream, index, transfer.startEvent,
             number);
  if (int64_t limit = options.transfersInFlight; limit && number >= limit)
    addOnEvent(PlanKind::Wait, transfer.stream, index,
               plan.transfers[number - limit].doneEvent, number - limit);
  addMark(transfer.stream, index, StepPlan::startMark(number));
  PlanOperation &operation =
      add(isSend ? PlanKind::Send : PlanKind::Receive, transfer.stream, index);
  operation.transfer = number;
  operation.offset = action.offset;
  operation.bytes = action.bytes;
  addOnEvent(PlanKind::Record, transfer.stream, index, transfer.doneEvent,
             number);
  addMark(transfer.stream, index, StepPlan::doneMark(number));
  plan.transfers.push_back(transfer);
}

void StepPlanBuilder::addWait(int64_t index) {
  int64_t number = transferOfToken.at(actions[index].token);
  PlannedTransfer &transfer = plan.transfers[number];
  transfer.waitAction = index;
  addOnEvent(PlanKind::Wait, 0, index, transfer.doneEvent, number);
}

void StepPlanBuilder::endStep() {
  plan.numStreams += queues.size();
  plan.numEvents = 2 * plan.transfers.size();
  // Every transfer has been waited for, and nothing but its mark follows it.
  if (options.marks)
    for (int64_t stream = 1; stream < plan.numStreams; ++stream) {
      addOnEvent(PlanKind::Record, stream, -1, plan.numEvents, -1);
      addOnEvent(PlanKind::Wait, 0, -1, plan.numEvents, -1);
      ++plan.numEvents;
    }
  for (const weir_resident &resident : table.residents(plan.device)) {
    if (resident.kind == WEIR_RESIDENT_LOSS)
      plan.lossAt = copyOut(resident.offset, resident.bytes);
    if (resident.kind == WEIR_RESIDENT_COUNT)
      plan.countAt = copyOut(resident.offset, resident.bytes);
  }
}

StepPlan StepPlan::make(const Table &table, int64_t device,
                        const StepPlanOptions &options) {
  return StepPlanBuilder(table, device, options).run();
}

StepPlan StepPlan::without(size_t operation) const {
  StepPlan copy = *this;
  copy.operations.erase(copy.operations.begin() + operation);
  return copy;
}

//===----------------------------------------------------------------------===//
// What operations touch
//===----------------------------------------------------------------------===//

std::vector<PlanAccess>
StepPlan::accesses(const Table &table, const PlanOperation &operation) const {
  int64_t begin = operation.offset, end = operation.offset + operation.bytes;
  switch (operation.kind) {
  case PlanKind::Clear:
  case PlanKind::Poison:
  case PlanKind::CopyIn:
  case PlanKind::Receive:
    return {{begin, end, PlanAccess::Write}};
  case PlanKind::CopyOut:
  case PlanKind::Send:
    return {{begin, end, PlanAccess::Read}};
  case PlanKind::Run: {
    std::vector<PlanAccess> accesses;
    const weir_action &action = table.actions(device)[operation.action];
    for (const weir_buffer &buffer : table.buffers(action))
      accesses.push_back({buffer.offset, buffer.offset + buffer.bytes,
                          buffer.access == WEIR_ACCESS_READ
                              ? PlanAccess::Read
                              : PlanAccess::Write});
    return accesses;
  }
  case PlanKind::Record:
  case PlanKind::Wait:
  case PlanKind::Mark:
    return {};
  }
  return {};
}

std::string StepPlan::describe(const Table &table, size_t index) const {
  const PlanOperation &operation = operations[index];
  std::ostringstream text;
  if (operation.stream == 0)
    text << "compute: ";
  else
    text << "queue " << operation.stream << ": ";
  auto describeEvent = [&] {
    if (operation.transfer < 0) {
      text << "end of queue";
      return;
    }
    const PlannedTransfer &transfer = transfers[operation.transfer];
    text << (operation.event == transfer.startEvent ? "start of '" : "end of '")
         << table.describe(device, transfer.startAction) << "'";
  };
  switch (operation.kind) {
  case PlanKind::Clear:
    text << "clear " << operation.bytes << " at " << operation.offset;
    break;
  case PlanKind::Poison:
    text << "poison " << operation.bytes << " at " << operation.offset;
    break;
  case PlanKind::CopyIn:
    text << "copy " << operation.bytes << " to " << operation.offset;
    break;
  case PlanKind::CopyOut:
    text << "copy " << operation.bytes << " from " << operation.offset;
    break;
  case PlanKind::Run:
  case PlanKind::Send:
  case PlanKind::Receive:
    text << table.describe(device, operation.action);
    break;
  case PlanKind::Record:
    text << "record ";
    describeEvent();
    break;
  case PlanKind::Wait:
    text << "wait for ";
    describeEvent();
    break;
  case PlanKind::Mark:
    text << "mark " << operation.mark;
    break;
  }
  return text.str();
}

//===----------------------------------------------------------------------===//
// Limits of transfers in flight
//===----------------------------------------------------------------------===//

int64_t weir::runtime::cuda::numQueues(const Table &table, int64_t device) {
  std::set<std::pair<int64_t, int64_t>> queues;
  for (const weir_action &action : table.actions(device))
    if (isStart(action))
      queues.insert({action.kind, action.peer});
  return queues.size();
}

namespace {

/// Runs all devices as far as they go, transfers and all: starts never block,
/// a transfer takes place once both ends have come to it, and a device waits
/// for its own transfers. The end does not depend on the order.
class InFlightSimulation {
public:
  InFlightSimulation(const Table &table, std::span<const int64_t> limits);
  Status run();

private:
  struct Transfer {
    int64_t start;
    bool isDone = false;
  };
  struct Device {
    int64_t at = 0; /* action that is next */
    std::vector<Transfer> transfers;
    std::unordered_map<int64_t, int64_t> transferOfToken;
  };
  /// One direction between two devices: transfers by number at either end.
  struct Queue {
    int64_t from, to;
    std::vector<int64_t> sends, receives;
    size_t next = 0;
  };

  bool isActive(int64_t device, int64_t transfer) const {
    const Device &d = devices[device];
    int64_t limit = limits[device];
    return d.transfers[transfer].start < d.at &&
           (limit == 0 || transfer < limit ||
            d.transfers[transfer - limit].isDone);
  }
  bool advance(int64_t device);
  bool transfer(Queue &queue);

  const Table &table;
  std::span<const int64_t> limits;
  std::vector<Device> devices;
  std::map<std::pair<int64_t, int64_t>, Queue> queues;
};

} // namespace

InFlightSimulation::InFlightSimulation(const Table &table,
                                       std::span<const int64_t> limits)
    : table(table), limits(limits), devices(table.numDevices()) {
  for (int64_t device = 0; device < table.numDevices(); ++device) {
    Device &d = devices[device];
    std::span<const weir_action> actions = table.actions(device);
    for (size_t i = 0; i < actions.size(); ++i) {
      if (!isStart(actions[i]))
        continue;
      bool isSend = actions[i].kind == WEIR_ACTION_SEND_START;
      int64_t from = isSend ? device : actions[i].peer;
      int64_t to = isSend ? actions[i].peer : device;
      Queue &queue =
          queues.try_emplace({from, to}, Queue{from, to, {}, {}}).first->second;
      (isSend ? queue.sends : queue.receives).push_back(d.transfers.size());
      d.transferOfToken[actions[i].token] = d.transfers.size();
      d.transfers.push_back({static_cast<int64_t>(i)});
    }
  }
}

bool InFlightSimulation::advance(int64_t device) {
  Device &d = devices[device];
  std::span<const weir_action> actions = table.actions(device);
  const int64_t before = d.at, numActions = actions.size();
  for (; d.at < numActions; ++d.at)
    if (actions[d.at].kind == WEIR_ACTION_WAIT &&
        !d.transfers[d.transferOfToken.at(actions[d.at].token)].isDone)
      break;
  return d.at != before;
}

bool InFlightSimulation::transfer(Queue &queue) {
  const size_t before = queue.next;
  for (; queue.next < queue.sends.size(); ++queue.next) {
    int64_t send = queue.sends[queue.next];
    int64_t receive = queue.receives[queue.next];
    if (!isActive(queue.from, send) || !isActive(queue.to, receive))
      break;
    devices[queue.from].transfers[send].isDone = true;
    devices[queue.to].transfers[receive].isDone = true;
  }
  return queue.next != before;
}

Status InFlightSimulation::run() {
  for (bool changed = true; changed;) {
    changed = false;
    for (int64_t device = 0; device < table.numDevices(); ++device)
      changed |= advance(device);
    for (auto &[pair, queue] : queues)
      changed |= transfer(queue);
  }
  for (int64_t device = 0; device < table.numDevices(); ++device) {
    const Device &d = devices[device];
    if (d.at < static_cast<int64_t>(table.actions(device).size()))
      return fail("device ", device, " cannot have only ", limits[device],
                  " transfers in flight: it would stop at '",
                  table.describe(device, d.at), "'");
  }
  return {};
}

Status
weir::runtime::cuda::checkTransfersInFlight(const Table &table,
                                            std::span<const int64_t> limits) {
  return InFlightSimulation(table, limits).run();
}
