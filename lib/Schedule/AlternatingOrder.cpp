// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "AlternatingOrder.h"

#include <algorithm>
#include <deque>
#include <limits>

namespace weir::schedule {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

enum Half { Outer, Inner }; // the stages i and 2p-1-i of device i
enum Role { F, B, W };

class Alternation {
public:
  Alternation(const ChainGraph &graph, const AlternatingRules &rules,
              const std::vector<double> &allowedIdle)
      : graph(graph), rules(rules), allowedIdle(allowedIdle),
        devices(graph.numDevices) {
    mostAllowed = *std::max_element(allowedIdle.begin(), allowedIdle.end());
  }

  /// Where devices are in the order of the stages 0..p-1.
  bool findChains() {
    int p = graph.numDevices;
    std::vector<std::array<int, 3>> ofStage(2 * p, {-1, -1, -1});
    if (graph.size() != 6 * p)
      return false;
    for (int c = 0; c < graph.size(); ++c) {
      const Chain &chain = graph.chains[c];
      Role role = chain.kind == PassKind::Forward         ? F
                  : chain.kind == PassKind::BackwardInput ? B
                                                          : W;
      if (chain.stage >= 2 * p)
        return false;
      ofStage[chain.stage][role] = c;
    }
    for (const std::array<int, 3> &chains : ofStage)
      for (int c : chains)
        if (c < 0)
          return false;
    for (int i = 0; i < p; ++i) {
      Device &device = devices[i];
      device.chains[Outer] = ofStage[i];
      device.chains[Inner] = ofStage[2 * p - 1 - i];
      device.number = graph.chains[ofStage[i][F]].device;
      if (graph.chains[ofStage[2 * p - 1 - i][F]].device != device.number)
        return false;
      device.limit =
          static_cast<double>(graph.limits[device.number]) * rules.memoryPart;
    }
    ends.assign(graph.numPasses(), kUnknown);
    order.resize(p);
    return true;
  }

  bool run() { return warmUp() && alternate(); }

  ChainOrder takeOrder() { return std::move(order); }
  std::vector<double> idleTimes() const {
    std::vector<double> result;
    for (const Device &device : devices)
      result.push_back(device.idle);
    return result;
  }

private:
  struct Device {
    int number = 0;
    std::array<std::array<int, 3>, 2> chains; // by Half and Role
    std::array<std::array<int, 3>, 2> count{};
    std::deque<Half> weights; // whose B has run
    double time = 0, idle = 0;
    double held = 0, limit = 0;
  };

  const Chain &chain(int i, Half half, Role role) const {
    return graph.chains[devices[i].chains[half][role]];
  }
  int forwards(int i) const {
    return devices[i].count[Outer][F] + devices[i].count[Inner][F];
  }
  bool isLeft(int i, Half half, Role role) const {
    return devices[i].count[half][role] < graph.numMicrobatches;
  }

  /// When the input of the next pass is there; kUnknown if that has no time
  /// yet.
  double arrival(int i, Half half, Role role) const {
    int to = devices[i].chains[half][role];
    int m = devices[i].count[half][role];
    double latest = 0;
    for (int from : producers(i, half, role))
      for (const Chain::Arc &arc : graph.chains[from].arcs)
        if (arc.to == to)
          latest = std::max(latest, ends[graph.at(from, m)] + arc.lag);
    return latest;
  }

  std::vector<int> producers(int i, Half half, Role role) const {
    int last = graph.numDevices - 1;
    int next = half == Outer ? i - 1 : i + 1; // where the input comes from
    std::vector<int> result;
    if (role == F) {
      if (half == Outer && i > 0)
        result.push_back(devices[next].chains[Outer][F]);
      if (half == Inner)
        result.push_back(i == last ? devices[i].chains[Outer][F]
                                   : devices[next].chains[Inner][F]);
      return result;
    }
    result.push_back(devices[i].chains[half][F]);
    // Gradients take the way back: up to the turn in the inner half.
    if (half == Inner && i > 0)
      result.push_back(devices[i - 1].chains[Inner][B]);
    if (half == Outer)
      result.push_back(i == last ? devices[i].chains[Inner][B]
                                 : devices[i + 1].chains[Outer][B]);
    return result;
  }

  bool fits(int i, Half half, Role role) const {
    const Chain &next = chain(i, half, role);
    return devices[i].held + static_cast<double>(next.taken + next.workspace) <=
           devices[i].limit;
  }

  bool put(int i, Half half, Role role) {
    Device &device = devices[i];
    if (!isLeft(i, half, role) || !fits(i, half, role))
      return false;
    const Chain &next = chain(i, half, role);
    double ready = role == W ? 0 : arrival(i, half, role);
    if (ready == kUnknown)
      return false;
    double start = std::max(device.time, ready);
    if (forwards(i) > 0)
      device.idle += start - device.time;
    mostIdle = std::max(mostIdle, device.idle);
    device.time = start + next.duration;
    device.held += static_cast<double>(next.taken - next.released);
    int c = device.chains[half][role];
    ends[graph.at(c, device.count[half][role]++)] = device.time;
    order[device.number].push_back(c);
    if (role == B)
      device.weights.push_back(half);
    return true;
  }

  bool putWeight(int i) {
    Half half = devices[i].weights.front();
    devices[i].weights.pop_front();
    return put(i, half, W);
  }

  bool makeRoom(int i, Half half, Role role) {
    while (!fits(i, half, role))
      if (devices[i].weights.empty() || !putWeight(i))
        return false;
    return true;
  }

  /// A pass of F or B, with W's where it waits.
  bool putFilled(int i, Half half, Role role) {
    Device &device = devices[i];
    if (!makeRoom(i, half, role))
      return false;
    double ready = arrival(i, half, role);
    if (ready == kUnknown)
      return false;
    auto duration = [&] {
      return chain(i, device.weights.front(), W).duration;
    };
    while (!device.weights.empty() && device.time + duration() <= ready)
      if (!putWeight(i))
        return false;
    double mayIdle = std::max(mostIdle, mostAllowed - allowedIdle[i]);
    bool mayDelay =
        role == F ? rules.delaysForward : rules.delaysBackward || half == Outer;
    if (mayDelay && !device.weights.empty() &&
        ready - device.time > mayIdle - device.idle + kRounding)
      if (!putWeight(i))
        return false;
    return put(i, half, role);
  }

  bool warmUp() {
    int p = graph.numDevices;
    for (int i = 0; i < p; ++i)
      if (!put(i, Outer, F))
        return false;
    for (int i = p - 1; i >= 0; --i) {
      // While the first microbatch is on its way back, more may begin, as long
      // as there is memory for those that other devices will then send.
      for (;;) {
        const Chain &outer = chain(i, Outer, F);
        bool hasTime = i < p - 1 &&
                       devices[i].time + outer.duration <= arrival(i, Inner, F);
        bool hasRoom =
            devices[i].held + static_cast<double>(outer.taken) * (2 + 2 * i) <=
            devices[i].limit;
        if (!hasTime || !hasRoom || !isLeft(i, Outer, F))
          break;
        for (int j = 0; j <= i; ++j)
          if (!put(j, Outer, F))
            return false;
      }
      if (!put(i, Inner, F))
        return false;
    }
    Half half = Outer;
    for (int i = 1; i < p; ++i)
      while (forwards(i) < forwards(i - 1) ||
             (devices[i].count[Inner][F] <= devices[i - 1].count[Inner][F] &&
              isLeft(i - 1, Inner, F))) {
        bool any = false;
        for (int j = p - 1; j >= i; --j)
          if (isLeft(j, half, F)) {
            if (!put(j, half, F))
              return false;
            any = true;
          }
        half = half == Outer ? Inner : Outer;
        if (!any && !isLeft(i, Outer, F) && !isLeft(i, Inner, F))
          return false;
      }
    return true;
  }

  bool alternate() {
    int p = graph.numDevices;
    for (int round = 0; round < 2 * graph.numMicrobatches; ++round) {
      std::vector<Half> half(p);
      for (int i = 0; i < p; ++i) {
        const auto &count = devices[i].count;
        bool isOuter = count[Outer][B] < count[Inner][B] &&
                       (arrival(i, Outer, B) != kUnknown || i == p - 1 ||
                        !isLeft(i, Inner, B));
        half[i] = isOuter ? Outer : Inner;
      }
      // In the order in which gradients pass the devices.
      for (int i = p - 1; i >= 0; --i)
        if (half[i] == Outer && !putFilled(i, Outer, B))
          return false;
      for (int i = 0; i < p; ++i)
        if (half[i] == Inner && !putFilled(i, Inner, B))
          return false;
      for (int i = 0; i < p; ++i) {
        const auto &count = devices[i].count;
        if (!isLeft(i, Inner, F))
          continue;
        bool mayInner = count[Inner][F] < count[Outer][F] &&
                        arrival(i, Inner, F) != kUnknown;
        bool mayOuter = isLeft(i, Outer, F) && arrival(i, Outer, F) != kUnknown;
        if (mayInner ? !putFilled(i, Inner, F)
                     : mayOuter && !putFilled(i, Outer, F))
          return false;
      }
    }
    for (int i = 0; i < p; ++i)
      while (!devices[i].weights.empty())
        if (!putWeight(i))
          return false;
    return true;
  }

  static constexpr double kRounding = 1e-12;

  const ChainGraph &graph;
  const AlternatingRules &rules;
  const std::vector<double> &allowedIdle;
  double mostAllowed = 0, mostIdle = 0;
  std::vector<Device> devices;
  std::vector<double> ends;
  ChainOrder order;
};

} // namespace

std::optional<ChainOrder> alternatingOrder(const ChainGraph &graph,
                                           const AlternatingRules &rules) {
  static constexpr int kMostTurns = 8;
  std::optional<ChainOrder> best;
  double least = kUnknown;
  std::vector<double> allowedIdle(graph.numDevices, 0);
  // What a device had to idle anyhow, it may idle from the beginning.
  for (int turn = 0; turn < kMostTurns; ++turn) {
    Alternation alternation(graph, rules, allowedIdle);
    if (!alternation.findChains() || !alternation.run())
      return best;
    std::vector<double> idle = alternation.idleTimes();
    double most = *std::max_element(idle.begin(), idle.end());
    if (most >= least)
      return best;
    least = most;
    best = alternation.takeOrder();
    allowedIdle = std::move(idle);
  }
  return best;
}

} // namespace weir::schedule
