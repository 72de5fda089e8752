//===- PlanRaces.cpp - operations of plans without an order ---------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlanRaces.h"

#include <algorithm>
#include <iterator>
#include <map>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace {

/// How many operations of each line are known to have happened.
using Clock = std::vector<int64_t>;

void join(Clock &clock, const Clock &other) {
  for (size_t line = 0; line < clock.size(); ++line)
    clock[line] = std::max(clock[line], other[line]);
}

class RaceCheck {
public:
  RaceCheck(const Table &table, std::span<const StepPlan> plans);
  Status run();

private:
  /// A stream of a device.
  struct Line {
    int64_t device;
    std::vector<size_t> operations; /* of the plan, in order */
    size_t next = 0;
    Clock clock;
  };
  struct Touch {
    PlanAccess access;
    size_t operation, line;
    int64_t time; /* of the line */
  };

  const PlanOperation &at(const Line &line) const {
    return plans[line.device].operations[line.operations[line.next]];
  }
  bool isDone(const Line &line) const {
    return line.next == line.operations.size();
  }
  bool isTransfer(const PlanOperation &operation) const {
    return operation.kind == PlanKind::Send ||
           operation.kind == PlanKind::Receive;
  }

  bool isReady(const Line &line) const;
  Line *peerOf(const Line &line);
  Status step(size_t index);
  Status touch(size_t index);
  bool advance(Status &status);

  const Table &table;
  std::vector<StepPlan> plans; /* of two steps */
  std::vector<Line> lines;
  std::vector<size_t> firstLine; /* by device */
  /// By device and operation: clocks of records that have happened, and the
  /// record that each wait is for.
  std::vector<std::map<size_t, Clock>> recorded;
  std::vector<std::map<size_t, size_t>> recordOf;
  std::vector<std::vector<Touch>> touches;
};

} // namespace

/// A plan twice, the second time behind the end of the compute stream.
static StepPlan twoStepsOf(const StepPlan &plan) {
  StepPlan both = plan;
  auto addOnEnd = [&](PlanKind kind, int64_t stream) {
    both.operations.push_back({kind, stream, /*action=*/-1, plan.numEvents});
  };
  addOnEnd(PlanKind::Record, 0);
  for (int64_t stream = 1; stream < plan.numStreams; ++stream)
    addOnEnd(PlanKind::Wait, stream);
  std::ranges::copy(plan.operations, std::back_inserter(both.operations));
  return both;
}

RaceCheck::RaceCheck(const Table &table, std::span<const StepPlan> stepPlans)
    : table(table), recorded(stepPlans.size()), recordOf(stepPlans.size()),
      touches(stepPlans.size()) {
  for (size_t device = 0; device < stepPlans.size(); ++device) {
    const StepPlan &plan = plans.emplace_back(twoStepsOf(stepPlans[device]));
    firstLine.push_back(lines.size());
    lines.resize(lines.size() + plan.numStreams);
    std::map<int64_t, size_t> lastRecord; /* by event */
    for (size_t i = 0; i < plan.operations.size(); ++i) {
      const PlanOperation &operation = plan.operations[i];
      lines[firstLine[device] + operation.stream].operations.push_back(i);
      if (operation.kind == PlanKind::Record)
        lastRecord[operation.event] = i;
      if (operation.kind == PlanKind::Wait)
        if (auto found = lastRecord.find(operation.event);
            found != lastRecord.end())
          recordOf[device][i] = found->second;
    }
    for (size_t line = firstLine[device]; line < lines.size(); ++line)
      lines[line].device = static_cast<int64_t>(device);
  }
  for (Line &line : lines)
    line.clock.resize(lines.size());
}

bool RaceCheck::isReady(const Line &line) const {
  if (at(line).kind != PlanKind::Wait)
    return true;
  auto record = recordOf[line.device].find(line.operations[line.next]);
  return record == recordOf[line.device].end() ||
         recorded[line.device].count(record->second);
}

/// The line at the other end of a transfer, if it has come to it.
RaceCheck::Line *RaceCheck::peerOf(const Line &line) {
  const StepPlan &plan = plans[line.device];
  const PlannedTransfer &mine = plan.transfers[at(line).transfer];
  const StepPlan &other = plans[mine.peer];
  for (const PlannedTransfer &theirs : other.transfers) {
    if (theirs.message != mine.message)
      continue;
    Line &peer = lines[firstLine[mine.peer] + theirs.stream];
    if (!isDone(peer) && isTransfer(at(peer)) &&
        &other.transfers[at(peer).transfer] == &theirs)
      return &peer;
  }
  return nullptr;
}

/// Compares what the next operation of a line touches with all before.
Status RaceCheck::touch(size_t index) {
  const Line &line = lines[index];
  const StepPlan &plan = plans[line.device];
  const size_t number = line.operations[line.next];
  std::vector<PlanAccess> accesses = plan.accesses(table, at(line));
  for (const PlanAccess &access : accesses)
    for (const Touch &other : touches[line.device]) {
      bool isOrdered = line.clock[other.line] >= other.time;
      bool overlaps = std::max(access.begin, other.access.begin) <
                      std::min(access.end, other.access.end);
      bool writes = access.mode != PlanAccess::Read ||
                    other.access.mode != PlanAccess::Read;
      if (!isOrdered && overlaps && writes)
        return fail("device ", line.device, ": '",
                    plan.describe(table, other.operation), "' and '",
                    plan.describe(table, number),
                    "' touch the same bytes in no order, from ",
                    std::max(access.begin, other.access.begin));
    }
  for (const PlanAccess &access : accesses)
    touches[line.device].push_back({access, number, index, line.clock[index]});
  return {};
}

/// Runs the next operation of a line, which is ready.
Status RaceCheck::step(size_t index) {
  Line &line = lines[index];
  const PlanOperation &operation = at(line);
  const size_t number = line.operations[line.next];
  ++line.clock[index];
  if (operation.kind == PlanKind::Record)
    recorded[line.device][number] = line.clock;
  if (operation.kind == PlanKind::Wait)
    if (auto record = recordOf[line.device].find(number);
        record != recordOf[line.device].end())
      join(line.clock, recorded[line.device].at(record->second));
  Status status = touch(index);
  ++line.next;
  return status;
}

/// Lets each line get on as far as it can; false if none does.
bool RaceCheck::advance(Status &status) {
  bool hasMoved = false;
  for (size_t index = 0; index < lines.size(); ++index) {
    Line &line = lines[index];
    while (!status.failed() && !isDone(line) && isReady(line)) {
      if (!isTransfer(at(line))) {
        status = step(index);
      } else if (Line *peer = peerOf(line)) {
        // Neither end is over before both have begun.
        size_t other = peer - lines.data();
        status = step(index);
        if (!status.failed())
          status = step(other);
        Clock mine = line.clock;
        join(line.clock, peer->clock);
        join(peer->clock, mine);
      } else {
        break;
      }
      hasMoved = true;
    }
  }
  return hasMoved && !status.failed();
}

Status RaceCheck::run() {
  Status status;
  while (advance(status))
    ;
  if (status.failed())
    return status;
  for (const Line &line : lines)
    if (!isDone(line))
      return fail(
          "device ", line.device, " stops at '",
          plans[line.device].describe(table, line.operations[line.next]), "'");
  return {};
}

Status weir::runtime::cuda::checkRaces(const Table &table,
                                       std::span<const StepPlan> plans) {
  return RaceCheck(table, plans).run();
}
