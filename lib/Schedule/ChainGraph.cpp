// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ChainGraph.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace weir::schedule {

static constexpr double kNever = std::numeric_limits<double>::infinity();

ChainGraph makeChainGraph(const Problem &problem,
                          const std::vector<bool> &isFused) {
  ChainGraph graph;
  graph.numDevices = problem.numDevices;
  graph.numMicrobatches = problem.numMicrobatches;
  graph.chainsOfDevice.resize(problem.numDevices);
  int numStages = problem.numStages();
  std::vector<int> forwardOf(numStages, -1);
  // The pass that waits for the gradient of the output, and the one that sends
  // the gradient of the input.
  std::vector<int> readsGradient(numStages, -1), sendsGradient(numStages, -1);
  auto add = [&](int s, PassKind kind) {
    const Stage &stage = problem.stages[s];
    int device = problem.placement[s];
    graph.chainsOfDevice[device].push_back(graph.size());
    graph.chains.push_back({kind,
                            s,
                            device,
                            stage.duration(kind),
                            stage.taken(kind),
                            stage.released(kind),
                            stage.workspace(kind),
                            {},
                            0,
                            false});
    return graph.size() - 1;
  };
  auto connect = [&](int from, int to) {
    graph.chains[from].arcs.push_back({to});
    ++graph.chains[to].waitsFor;
  };
  for (int s = 0; s < numStages; ++s) {
    const Stage &stage = problem.stages[s];
    int last = forwardOf[s] = add(s, PassKind::Forward);
    if (!stage.hasBackward())
      continue;
    if (stage.recompute) {
      int recompute = add(s, PassKind::Recompute);
      connect(last, recompute);
      last = recompute;
    }
    PassKind first = isFused[s]               ? PassKind::Backward
                     : stage.hasBackwardInput ? PassKind::BackwardInput
                                              : PassKind::BackwardWeight;
    readsGradient[s] = add(s, first);
    connect(last, readsGradient[s]);
    if (stage.hasBackwardInput)
      sendsGradient[s] = readsGradient[s];
    if (first == PassKind::BackwardInput && stage.hasBackwardWeight) {
      int weight = add(s, PassKind::BackwardWeight);
      graph.chains[weight].isFiller = true;
      connect(readsGradient[s], weight);
    }
  }

  std::map<std::pair<int, int>, int> links;
  auto send = [&](int from, int to, int64_t bytes) {
    if (from < 0 || to < 0)
      return;
    connect(from, to);
    int source = graph.chains[from].device, target = graph.chains[to].device;
    if (source == target)
      return;
    // While a pass runs, its device holds what it will send.
    graph.chains[from].workspace += bytes;
    const Link &link = problem.link(source, target);
    Chain::Arc &arc = graph.chains[from].arcs.back();
    arc.occupancy = static_cast<double>(bytes) / link.bandwidth;
    arc.lag = link.latency + arc.occupancy;
    if (arc.occupancy > 0)
      arc.link =
          links.try_emplace({source, target}, static_cast<int>(links.size()))
              .first->second;
  };
  for (int s = 0; s + 1 < numStages; ++s) {
    send(forwardOf[s], forwardOf[s + 1],
         problem.stages[s].forwardTransferBytes);
    send(sendsGradient[s + 1], readsGradient[s],
         problem.stages[s + 1].backwardTransferBytes);
  }
  graph.numLinks = static_cast<int>(links.size());
  graph.limits.resize(problem.numDevices);
  for (int d = 0; d < problem.numDevices; ++d)
    graph.limits[d] =
        problem.limit(d).value_or(std::numeric_limits<int64_t>::max()) -
        problem.fixed(d);
  return graph;
}

ChainGraph reversed(const ChainGraph &graph) {
  ChainGraph result = graph;
  for (Chain &chain : result.chains) {
    std::swap(chain.taken, chain.released);
    chain.arcs.clear();
    chain.waitsFor = 0;
    chain.isFiller = false;
  }
  for (int c = 0; c < graph.size(); ++c)
    for (const Chain::Arc &arc : graph.chains[c].arcs) {
      result.chains[arc.to].arcs.push_back({c, arc.lag});
      ++result.chains[c].waitsFor;
    }
  result.numLinks = 0;
  return result;
}

static void measure(const ChainGraph &graph, const ChainOrder &order,
                    const std::vector<double> &ends, Timing &timing) {
  timing.makespan = timing.span = timing.sumOfEnds = timing.sumOfSpans = 0;
  double begin = kNever;
  for (int d = 0; d < graph.numDevices; ++d) {
    if (order[d].empty())
      continue;
    double first = timing.start[graph.at(order[d].front(), 0)];
    begin = std::min(begin, first);
    timing.makespan = std::max(timing.makespan, ends[d]);
    timing.span = std::max(timing.span, ends[d] - first);
    timing.sumOfEnds += ends[d];
    timing.sumOfSpans += ends[d] - first;
  }
  timing.makespan -= begin;
}

PassProgress::PassProgress(const ChainGraph &graph)
    : ready(graph.numPasses()), waiting(graph.numPasses()),
      next(graph.chains.size()), freeAt(graph.numDevices),
      linkFree(graph.numLinks) {}

void PassProgress::reset(const ChainGraph &graph) {
  for (int c = 0; c < graph.size(); ++c)
    std::fill_n(waiting.begin() + static_cast<ptrdiff_t>(graph.at(c, 0)),
                graph.numMicrobatches,
                static_cast<int8_t>(graph.chains[c].waitsFor));
  std::fill(ready.begin(), ready.end(), 0);
  std::fill(next.begin(), next.end(), 0);
  std::fill(freeAt.begin(), freeAt.end(), 0);
  std::fill(linkFree.begin(), linkFree.end(), 0);
}

template <typename IsReady>
void PassProgress::finish(const ChainGraph &graph, int chain, int microbatch,
                          double end, IsReady &&isReady) {
  freeAt[graph.chains[chain].device] = end;
  for (const Chain::Arc &arc : graph.chains[chain].arcs) {
    double sent = end;
    if (arc.link >= 0) {
      sent = std::max(end, linkFree[arc.link]);
      linkFree[arc.link] = sent + arc.occupancy;
    }
    size_t to = graph.at(arc.to, microbatch);
    ready[to] = std::max(ready[to], sent + arc.lag);
    if (--waiting[to] == 0)
      isReady(arc.to);
  }
}

ListScheduler::ListScheduler(const ChainGraph &graph)
    : graph(graph), progress(graph), held(graph.numDevices),
      idle(graph.numDevices) {}

void ListScheduler::push(double time, int device) {
  events.push_back({time, device});
  std::push_heap(events.begin(), events.end(), std::greater<>());
}

bool ListScheduler::run(const std::vector<double> &passKey,
                        const ListRules &listRules, Timing &result) {
  key = &passKey;
  rules = listRules;
  timing = &result;
  progress.reset(graph);
  std::fill(held.begin(), held.end(), 0);
  std::fill(idle.begin(), idle.end(), 0);
  mostIdle = 0;
  result.order.resize(graph.numDevices);
  for (std::vector<int> &row : result.order)
    row.clear();
  result.start.resize(graph.numPasses());
  started = 0;
  events.clear();
  for (int d = 0; d < graph.numDevices; ++d)
    push(0, d);
  while (!events.empty()) {
    Event event = events.front();
    std::pop_heap(events.begin(), events.end(), std::greater<>());
    events.pop_back();
    if (event.time >= progress.freeAt[event.device])
      decide(event.device, event.time);
  }
  if (started != graph.numPasses())
    return false;
  measure(graph, result.order, progress.freeAt, result);
  return true;
}

void ListScheduler::decide(int device, double time) {
  const std::vector<double> &keys = *key;
  int64_t free = graph.limits[device] - held[device];
  // Of the passes that are next in their chains, the one whose turn it is.
  // Fillers have no turn: nothing waits for them.
  int head = -1;
  double headKey = kNever, wakeUp = kNever;
  for (int c : graph.chainsOfDevice[device]) {
    if (progress.next[c] == graph.numMicrobatches)
      continue;
    size_t at = graph.at(c, progress.next[c]);
    if (!graph.chains[c].isFiller && keys[at] < headKey) {
      headKey = keys[at];
      head = c;
    }
    if (progress.waiting[at] == 0 && progress.ready[at] > time)
      wakeUp = std::min(wakeUp, progress.ready[at]);
  }
  // The ready pass of smallest key that has its memory and is of this sort.
  auto choose = [&](auto &&isAllowed) {
    int best = -1;
    double bestKey = kNever;
    for (int c : graph.chainsOfDevice[device]) {
      if (progress.next[c] == graph.numMicrobatches)
        continue;
      size_t at = graph.at(c, progress.next[c]);
      const Chain &chain = graph.chains[c];
      if (progress.waiting[at] == 0 && progress.ready[at] <= time &&
          keys[at] < bestKey && chain.taken + chain.workspace <= free &&
          isAllowed(c)) {
        bestKey = keys[at];
        best = c;
      }
    }
    return best;
  };
  int best = choose([](int) { return true; });
  auto overtakes = [&](int c) {
    return head >= 0 && c != head &&
           keys[graph.at(c, progress.next[c])] > headKey;
  };
  if (best >= 0 && overtakes(best) && !graph.chains[best].isFiller) {
    if (!rules.overtakes)
      best = choose([&](int c) { return graph.chains[c].isFiller; });
    else if (takesFromOvertaken(device, best, free))
      best = choose([&](int c) {
        return graph.chains[c].taken <= graph.chains[c].released;
      });
  }
  if (best >= 0 && overtakes(best)) {
    const Chain &first = graph.chains[head];
    size_t at = graph.at(head, progress.next[head]);
    double wait = progress.ready[at] - time;
    double duration = graph.chains[best].duration;
    bool isComing = progress.waiting[at] == 0 && wait > 0 &&
                    first.taken + first.workspace <= free;
    bool isIdleEnough =
        graph.chains[best].isFiller && wait < duration &&
        idle[device] + wait <= std::max(rules.idleBudget, mostIdle) &&
        rules.idleBudget >= 0;
    if (isComing && (wait < rules.patience * duration || isIdleEnough))
      return push(progress.ready[at], device);
  }
  if (best >= 0)
    start(best, time);
  else if (wakeUp < kNever)
    push(wakeUp, device);
}

bool ListScheduler::takesFromOvertaken(int device, int chain,
                                       int64_t free) const {
  const std::vector<double> &keys = *key;
  const Chain &taker = graph.chains[chain];
  if (taker.taken <= taker.released)
    return false;
  double limit = keys[graph.at(chain, progress.next[chain])];
  int64_t needed = taker.taken + taker.workspace;
  for (int c : graph.chainsOfDevice[device]) {
    const Chain &other = graph.chains[c];
    if (c == chain || other.isFiller || other.taken <= other.released)
      continue;
    for (int m = progress.next[c];
         m < graph.numMicrobatches && keys[graph.at(c, m)] < limit; ++m) {
      needed += other.taken - other.released;
      if (needed > free)
        return true;
    }
  }
  return needed > free;
}

void ListScheduler::start(int c, double time) {
  const Chain &chain = graph.chains[c];
  int m = progress.next[c]++;
  int device = chain.device;
  if (!timing->order[device].empty()) {
    idle[device] += time - progress.freeAt[device];
    mostIdle = std::max(mostIdle, idle[device]);
  }
  timing->start[graph.at(c, m)] = time;
  timing->order[device].push_back(c);
  ++started;
  double end = time + chain.duration;
  held[device] += chain.taken - chain.released;
  push(end, device);
  progress.finish(graph, c, m, end, [&](int waiter) {
    int other = graph.chains[waiter].device;
    if (other != device)
      push(progress.ready[graph.at(waiter, m)], other);
  });
}

OrderTimer::OrderTimer(const ChainGraph &graph)
    : graph(graph), progress(graph), position(graph.numDevices) {}

bool OrderTimer::run(const ChainOrder &order, Timing &timing) {
  progress.reset(graph);
  std::fill(position.begin(), position.end(), 0);
  timing.start.resize(graph.numPasses());
  if (&timing.order != &order)
    timing.order = order;
  worklist.clear();
  for (int d = graph.numDevices - 1; d >= 0; --d)
    worklist.push_back(d);
  size_t started = 0;
  while (!worklist.empty()) {
    int d = worklist.back();
    worklist.pop_back();
    const std::vector<int> &row = order[d];
    while (position[d] < row.size()) {
      int c = row[position[d]];
      int m = progress.next[c];
      size_t at = graph.at(c, m);
      if (progress.waiting[at] != 0)
        break;
      ++progress.next[c];
      ++position[d];
      ++started;
      double begin = std::max(progress.freeAt[d], progress.ready[at]);
      timing.start[at] = begin;
      progress.finish(
          graph, c, m, begin + graph.chains[c].duration, [&](int waiter) {
            int other = graph.chains[waiter].device;
            if (other != d && position[other] < order[other].size() &&
                order[other][position[other]] == waiter)
              worklist.push_back(other);
          });
    }
  }
  if (started != graph.numPasses())
    return false;
  measure(graph, order, progress.freeAt, timing);
  return true;
}

int exceedsLimit(const ChainGraph &graph, const ChainOrder &order) {
  for (int d = 0; d < graph.numDevices; ++d) {
    int64_t held = 0;
    for (int c : order[d]) {
      const Chain &chain = graph.chains[c];
      held += chain.taken;
      if (held + chain.workspace > graph.limits[d])
        return d;
      held -= chain.released;
    }
  }
  return -1;
}

Schedule toSchedule(const ChainGraph &graph, const ChainOrder &order) {
  Schedule schedule;
  schedule.order.resize(graph.numDevices);
  std::vector<int> next(graph.chains.size(), 0);
  for (int d = 0; d < graph.numDevices; ++d)
    for (int c : order[d])
      schedule.order[d].push_back(
          {graph.chains[c].kind, graph.chains[c].stage, next[c]++});
  return schedule;
}

std::optional<ChainOrder> fromSchedule(const ChainGraph &graph,
                                       const Schedule &schedule) {
  std::map<std::pair<PassKind, int>, int> chainOf;
  for (int c = 0; c < graph.size(); ++c)
    chainOf[{graph.chains[c].kind, graph.chains[c].stage}] = c;
  ChainOrder order(graph.numDevices);
  for (int d = 0; d < graph.numDevices; ++d)
    for (const Pass &pass : schedule.order[d]) {
      if (pass.kind == PassKind::Update)
        continue;
      if (auto it = chainOf.find({pass.kind, pass.stage});
          it != chainOf.end()) {
        order[d].push_back(it->second);
        continue;
      }
      if (pass.kind != PassKind::Backward)
        return std::nullopt;
      for (PassKind part : {PassKind::BackwardInput, PassKind::BackwardWeight})
        if (auto it = chainOf.find({part, pass.stage}); it != chainOf.end())
          order[d].push_back(it->second);
    }
  return order;
}

} // namespace weir::schedule
