//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/HappensBefore.h"

#include <map>

using namespace mlir;
using namespace weir;

HappensBefore::HappensBefore(ArrayRef<ProgramOp> programs)
    : numDevices(programs.size()) {
  addOps(programs);
  addTransfers();
  indexEdges();
  sortTopologically();
  setClocks();
}

void HappensBefore::addOps(ArrayRef<ProgramOp> programs) {
  for (ProgramOp program : programs) {
    int device = firstEvent.size();
    firstEvent.push_back(numEvents);
    for (Operation &op : program.getBody().front()) {
      Event event = numEvents++;
      placeOf[&op] = {device, event - firstEvent.back()};
      if (event > firstEvent.back())
        edges.push_back({event - 1, event, Order::Program});
      ops.push_back(&op);
    }
  }
  firstEvent.push_back(numEvents);
}

void HappensBefore::addTransfers() {
  struct Queue {
    SmallVector<Operation *> sends, receives;
  };
  std::map<std::pair<int64_t, int64_t>, Queue> queues; // (from, to)
  for (Operation *op : ops) {
    int64_t device = placeOf[op].device;
    if (auto send = dyn_cast<SendStartOp>(op))
      queues[{device, send.getPeer()}].sends.push_back(op);
    else if (auto receive = dyn_cast<RecvStartOp>(op))
      queues[{receive.getPeer(), device}].receives.push_back(op);
  }
  for (auto &[pair, queue] : queues) {
    std::optional<Event> ahead;
    for (auto [send, receive] : llvm::zip(queue.sends, queue.receives)) {
      others[send] = receive;
      others[receive] = send;
      Event arrived = numEvents++;
      if (ahead)
        edges.push_back({*ahead, arrived, Order::Queue});
      ahead = arrived;
      for (Operation *start : {send, receive}) {
        edges.push_back({getEvent(start), arrived, Order::Rendezvous});
        for (Operation *wait : start->getUsers())
          edges.push_back({arrived, getEvent(wait), Order::Rendezvous});
      }
    }
  }
}

void HappensBefore::indexEdges() {
  llvm::stable_sort(
      edges, [](const Edge &a, const Edge &b) { return a.from < b.from; });
  firstEdge.assign(numEvents + 1, 0);
  for (const Edge &edge : edges)
    ++firstEdge[edge.from + 1];
  for (int event = 0; event < numEvents; ++event)
    firstEdge[event + 1] += firstEdge[event];
}

void HappensBefore::sortTopologically() {
  std::vector<int> waitsFor(numEvents, 0);
  for (const Edge &edge : edges)
    ++waitsFor[edge.to];
  for (Event event = 0; event < numEvents; ++event)
    if (waitsFor[event] == 0)
      sorted.push_back(event);
  isSorted.assign(numEvents, false);
  for (size_t next = 0; next < sorted.size(); ++next) {
    isSorted[sorted[next]] = true;
    for (const Edge &edge : getEdgesFrom(sorted[next]))
      if (--waitsFor[edge.to] == 0)
        sorted.push_back(edge.to);
  }
}

void HappensBefore::setClocks() {
  auto ownsClock = [&](Event event) {
    return !isOp(event) || isa<WaitOp>(ops[event]);
  };
  // The first clock is that of events that nothing comes before.
  clocks.resize(numDevices);
  clockOf.resize(numEvents);
  for (Event event = 0; event < numEvents; ++event)
    if (ownsClock(event)) {
      clockOf[event] = clocks.size();
      clocks.resize(clocks.size() + numDevices);
    }
  for (Event event : sorted)
    for (const Edge &edge : getEdgesFrom(event)) {
      if (!ownsClock(edge.to)) {
        clockOf[edge.to] = clockOf[event];
        continue;
      }
      const int *from = &clocks[clockOf[event]];
      int *to = &clocks[clockOf[edge.to]];
      for (int device = 0; device < numDevices; ++device)
        to[device] = std::max(to[device], from[device]);
      if (isOp(event)) {
        Place place = placeOf.lookup(ops[event]);
        to[place.device] = std::max(to[place.device], place.place + 1);
      }
    }
}

bool HappensBefore::isBefore(Operation *before, Operation *after) const {
  Place a = placeOf.lookup(before), b = placeOf.lookup(after);
  if (a.device == b.device)
    return a.place < b.place;
  return a.place < clocks[clockOf[getEvent(after)] + a.device];
}

Operation *HappensBefore::getOther(Operation *start) const {
  return others.lookup(start);
}

/// The first op of the program that a cycle keeps from running, or null. Only
/// waits have something to wait for.
Operation *HappensBefore::getFirstStuck(int device) const {
  for (Event event = firstEvent[device]; event < firstEvent[device + 1];
       ++event)
    if (!isSorted[event])
      return ops[event];
  return nullptr;
}

SmallVector<HappensBefore::Step> HappensBefore::findCycle() const {
  if (static_cast<int>(sorted.size()) == numEvents)
    return {};
  // All that is before the first op that is stuck has run, also the start that
  // it belongs to. So each device that is stuck waits for one other that is
  // stuck.
  std::vector<int> waitsFor(numDevices, -1);
  SmallVector<Operation *> stuck(numDevices, nullptr), missing(numDevices);
  for (int device = 0; device < numDevices; ++device)
    if ((stuck[device] = getFirstStuck(device))) {
      missing[device] =
          getOther(cast<WaitOp>(stuck[device]).getToken().getDefiningOp());
      waitsFor[device] = placeOf.lookup(missing[device]).device;
    }
  SmallVector<Step> shortest;
  for (int first = 0; first < numDevices; ++first) {
    SmallVector<Step> cycle;
    int device = first;
    for (int hops = 0; hops < numDevices && waitsFor[device] >= 0; ++hops) {
      cycle.push_back({stuck[device], Order::Rendezvous});
      cycle.push_back({missing[device], Order::Program});
      device = waitsFor[device];
      if (device == first)
        break;
    }
    bool isCycle = device == first && !cycle.empty();
    if (isCycle && (shortest.empty() || cycle.size() < shortest.size()))
      shortest = std::move(cycle);
  }
  return shortest;
}
