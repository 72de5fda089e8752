//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The smallest time T that the slowest stage can have comes from bisection:
// whether k stages of at most T suffice, a greedy walk from the end tells. It
// also tells where each cut can be at all if stages take at most T; those are
// narrow bands, and dynamic programming over them is near linear in the number
// of operations.
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/CutSearch.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

using namespace llvm;
using namespace weir;

/// How much slower than the fastest cut a device may be in favour of sending
/// less, and how much slower it or a whole step may be in favour of a smaller
/// peak of memory.
static constexpr double tolerance = 0.1, memoryTolerance = 0.01;

/// A move that makes a step shorter by less is none.
static constexpr double stepTolerance = 0.001;

static constexpr double unlimitedSeconds =
    std::numeric_limits<double>::infinity();
static constexpr int64_t unlimitedBytes = std::numeric_limits<int64_t>::max();

//===----------------------------------------------------------------------===//
// What a cut costs
//===----------------------------------------------------------------------===//

namespace {

struct StageCost {
  double seconds = 0.0;
  int64_t resident = 0, kept = 0;
};

/// The stages of a device, and the runs of consecutive ones.
struct Layout {
  explicit Layout(const CutProblem &problem)
      : stagesOf(problem.numDevices()), runOf(problem.numStages()) {
    for (auto [stage, device] : enumerate(problem.deviceOfStage)) {
      stagesOf[device].push_back(stage);
      if (stage == 0 || problem.deviceOfStage[stage - 1] != device)
        runs.emplace_back(stage, stage);
      runs.back().second = stage + 1;
      runOf[stage] = runs.size() - 1;
    }
  }

  std::vector<SmallVector<int64_t, 4>> stagesOf;
  /// Stages [first, second) of a run.
  SmallVector<std::pair<int64_t, int64_t>> runs;
  SmallVector<int64_t> runOf;
};

/// Costs of ranges, each computed once.
class KnownCosts {
public:
  explicit KnownCosts(const CutProblem &problem) : problem(problem) {}

  const StageCost &getStage(int64_t begin, int64_t end) {
    auto [it, isNew] = stages.try_emplace({begin, end});
    if (isNew) {
      const RowCosts &costs = problem.costs;
      it->second = {costs.seconds(begin, end),
                    costs.variables.get(begin, end) +
                        costs.gradientsBefore[end] -
                        costs.gradientsBefore[begin],
                    costs.kept.get(begin, end)};
    }
    return it->second;
  }

  int64_t getReceived(int64_t begin, int64_t end) {
    auto [it, isNew] = received.try_emplace({begin, end});
    if (isNew)
      it->second = problem.costs.received.get(begin, end);
    return it->second;
  }

  DeviceCost getDevice(ArrayRef<int64_t> cuts, ArrayRef<int64_t> stagesOfDevice,
                       int64_t device) {
    DeviceCost cost;
    SmallVector<int64_t, 4> kept;
    for (int64_t stage : stagesOfDevice) {
      StageCost stageCost = getStage(cuts[stage], cuts[stage + 1]);
      cost.seconds += stageCost.seconds;
      cost.resident += stageCost.resident;
      kept.push_back(stageCost.kept);
    }
    if (stagesOfDevice.size() > 1)
      cost.resident -= getSharedBytes(cuts, stagesOfDevice);
    for (const schedule::HeldMicrobatches &moment : problem.held[device]) {
      int64_t bytes = 0;
      for (auto [count, bytesOfStage] : zip_equal(moment, kept))
        bytes += count * bytesOfStage;
      cost.kept = std::max(cost.kept, bytes);
    }
    return cost;
  }

private:
  /// Bytes of variables that several stages of the device have in common.
  int64_t getSharedBytes(ArrayRef<int64_t> cuts,
                         ArrayRef<int64_t> stagesOfDevice) const {
    int64_t bytes = 0;
    for (const RowCosts::SharedVariable &variable : problem.costs.shared) {
      int64_t users = count_if(stagesOfDevice, [&](int64_t stage) {
        auto first = lower_bound(variable.positions, cuts[stage]);
        return first != variable.positions.end() && *first < cuts[stage + 1];
      });
      bytes += std::max<int64_t>(users - 1, 0) * variable.bytes;
    }
    return bytes;
  }

  const CutProblem &problem;
  DenseMap<std::pair<int64_t, int64_t>, StageCost> stages;
  DenseMap<std::pair<int64_t, int64_t>, int64_t> received;
};

/// How good a cut is.
struct CutCost {
  int64_t excess = 0;   ///< bytes above the memory limit on the worst device
  double slowest = 0.0; ///< seconds of the slowest device
  int64_t sent = 0;     ///< bytes
  int64_t peak = 0;     ///< bytes of the device that holds most
  double squares = 0.0; ///< sum of the squares of the devices' seconds
  double stageSquares = 0.0; ///< the same of the stages
};
using IsBetter = function_ref<bool(const CutCost &, const CutCost &)>;

} // namespace

DeviceCost weir::getDeviceCost(const CutProblem &problem,
                               ArrayRef<int64_t> cuts, int64_t device) {
  Layout layout(problem);
  return KnownCosts(problem).getDevice(cuts, layout.stagesOf[device], device);
}

/// Bytes of the device that holds most.
static int64_t getPeakBytes(const CutProblem &problem, ArrayRef<int64_t> cuts) {
  Layout layout(problem);
  KnownCosts costs(problem);
  int64_t peak = 0;
  for (auto [device, stages] : enumerate(layout.stagesOf))
    peak = std::max(peak, costs.getDevice(cuts, stages, device).bytes());
  return peak;
}

int64_t weir::getSentBytes(const CutProblem &problem, ArrayRef<int64_t> cuts) {
  int64_t bytes = 0;
  for (auto [first, last] : Layout(problem).runs)
    bytes += problem.costs.received.get(cuts[first], cuts[last]);
  return bytes;
}

//===----------------------------------------------------------------------===//
// One stage per device
//===----------------------------------------------------------------------===//

namespace {

/// What a stage may take.
struct StageLimit {
  double seconds = unlimitedSeconds;
  int64_t bytes = unlimitedBytes;
};
using StageLimits = SmallVector<StageLimit>;

/// Exact search where each stage counts for itself.
class ChainSearch {
public:
  explicit ChainSearch(const CutProblem &problem)
      : problem(problem), costs(problem.costs), stages(problem.numStages()) {
    int64_t n = costs.size();
    for (int64_t stage = 0; stage < stages; ++stage)
      heldOf.push_back(getMostHeld(stage));
    // Every stage has an operation, and a marked stage its place.
    lowest.resize(stages + 1);
    highest.resize(stages + 1);
    auto place = [&](int64_t stage, int64_t position) {
      for (int64_t cut = 0; cut <= stages; ++cut) {
        int64_t distance = cut - stage;
        if (distance >= 0)
          lowest[cut] = std::max(lowest[cut], position + distance);
        if (distance <= 0)
          highest[cut] = std::min(highest[cut], position + distance);
      }
    };
    llvm::fill(highest, n);
    place(0, 0);
    place(stages, n);
    isMarked.assign(n + 1, false);
    for (StageMark mark : problem.marks) {
      isMarked[mark.position] = true;
      if (mark.stage >= 0)
        place(mark.stage, mark.position);
    }
  }

  /// The same limit for all stages.
  StageLimits limitAll(double seconds, int64_t bytes) const {
    return StageLimits(stages, {seconds, bytes});
  }

  /// Whether stages within `limits` suffice. If so, `first` is the lowest place
  /// that each cut can have. Where limits differ, a no may be wrong if stages
  /// of one operation are needed.
  bool isFeasible(const StageLimits &limits,
                  SmallVectorImpl<int64_t> *first = nullptr) const;

  /// The least bytes, and the least seconds within `bytes`, that suffice for
  /// every stage, both up to a millionth too large.
  int64_t findLeastBytes() const;
  double findLeastSeconds(int64_t bytes) const;

  /// Bytes of a stage over the operations [begin, end).
  int64_t getBytes(int64_t stage, int64_t begin, int64_t end) const;

  /// What is compared where as much is sent.
  enum class Second { Seconds, Bytes, Squares };
  /// The cut within `limits` that sends least; nullopt if `isFeasible` says no.
  std::optional<SmallVector<int64_t>> sendLeast(const StageLimits &limits,
                                                Second second) const;

private:
  /// The stage [begin, end) while begin goes down.
  class Walk {
  public:
    Walk(const ChainSearch &search, int64_t stage, int64_t end,
         bool withBytes = true)
        : search(search), held(search.heldOf[stage]), begin(end), end(end),
          withBytes(withBytes), kept(search.costs.kept, end),
          variables(search.costs.variables, end) {}

    void extend() {
      --begin;
      if (!withBytes)
        return;
      bytes = held * kept.extend() + variables.extend() +
              search.costs.gradientsBefore[end] -
              search.costs.gradientsBefore[begin];
    }

    int64_t bytes = 0;

  private:
    const ChainSearch &search;
    int64_t held, begin, end;
    bool withBytes;
    RangeBytes::Walk kept, variables;
  };

  /// The highest place that each cut can have within the seconds of `limits`.
  SmallVector<int64_t> findLast(const StageLimits &limits) const;

  int64_t getMostHeld(int64_t stage) const {
    int64_t device = problem.deviceOfStage[stage];
    int64_t index = llvm::count(
        ArrayRef<int>(problem.deviceOfStage).take_front(stage), device);
    int64_t most = 0;
    for (const schedule::HeldMicrobatches &moment : problem.held[device])
      most = std::max<int64_t>(most, moment[index]);
    return most;
  }

  const CutProblem &problem;
  const RowCosts &costs;
  int64_t stages;
  /// Microbatches that a stage holds.
  SmallVector<int64_t> heldOf;
  /// Bounds on cut s, where stage s begins; cut `stages` is the end.
  SmallVector<int64_t> lowest, highest;
  std::vector<bool> isMarked;
};

} // namespace

bool ChainSearch::isFeasible(const StageLimits &limits,
                             SmallVectorImpl<int64_t> *first) const {
  int64_t end = costs.size();
  if (first) {
    first->assign(stages + 1, 0);
    first->back() = end;
  }
  for (int64_t stage = stages - 1; stage >= 0; --stage) {
    auto [seconds, bytes] = limits[stage];
    Walk walk(*this, stage, end, bytes != unlimitedBytes);
    int64_t begin = end;
    while (begin > lowest[stage]) {
      walk.extend();
      if (costs.seconds(begin - 1, end) > seconds || walk.bytes > bytes)
        break;
      --begin;
      if (isMarked[begin])
        break;
    }
    if (begin == end || begin > highest[stage])
      return false;
    if (first)
      (*first)[stage] = begin;
    end = begin;
  }
  return end == 0;
}

SmallVector<int64_t> ChainSearch::findLast(const StageLimits &limits) const {
  SmallVector<int64_t> last{0};
  for (int64_t stage = 0; stage < stages; ++stage) {
    int64_t begin = last.back(), end = begin;
    while (end < highest[stage + 1] &&
           costs.seconds(begin, end + 1) <= limits[stage].seconds) {
      ++end;
      if (isMarked[end])
        break;
    }
    last.push_back(end);
  }
  return last;
}

int64_t ChainSearch::findLeastBytes() const {
  int64_t refused = 0, enough = 1;
  while (!isFeasible(limitAll(unlimitedSeconds, enough)))
    refused = enough, enough *= 2;
  while (enough - refused > 1 + enough / 1000000) {
    int64_t middle = refused + (enough - refused) / 2;
    (isFeasible(limitAll(unlimitedSeconds, middle)) ? enough : refused) =
        middle;
  }
  return enough;
}

double ChainSearch::findLeastSeconds(int64_t bytes) const {
  double enough = costs.seconds(0, costs.size());
  double refused = 0.0;
  while (enough - refused > enough * 1e-6) {
    double middle = refused + (enough - refused) / 2;
    (isFeasible(limitAll(middle, bytes)) ? enough : refused) = middle;
  }
  return enough;
}

std::optional<SmallVector<int64_t>>
ChainSearch::sendLeast(const StageLimits &limits, Second second) const {
  SmallVector<int64_t> first;
  if (!isFeasible(limits, &first))
    return std::nullopt;
  SmallVector<int64_t> last = findLast(limits);
  struct Choice {
    int64_t sent = unlimitedBytes; // where there is no such cut
    double second = 0.0;
    int64_t begin = 0;
  };
  // best[s][i - first[s]]: stages 0 to s - 1 over the operations [0, i).
  std::vector<std::vector<Choice>> best(stages + 1);
  best[0].push_back({0, 0.0, 0});
  for (int64_t cut = 1; cut <= stages; ++cut) {
    ArrayRef<Choice> before = best[cut - 1];
    int64_t low = first[cut - 1], high = low + before.size();
    auto [seconds, bytes] = limits[cut - 1];
    for (int64_t end = first[cut]; end <= last[cut]; ++end) {
      Choice &choice = best[cut].emplace_back();
      Walk walk(*this, cut - 1, end);
      RangeBytes::Walk received(costs.received, end);
      for (int64_t begin = end - 1; begin >= low; --begin) {
        walk.extend();
        int64_t bytesIn = received.extend();
        double time = costs.seconds(begin, end);
        if (time > seconds || walk.bytes > bytes)
          break;
        if (begin < high && before[begin - low].sent != unlimitedBytes) {
          const Choice &rest = before[begin - low];
          double value = second == Second::Seconds ? std::max(rest.second, time)
                         : second == Second::Bytes
                             ? std::max(rest.second, double(walk.bytes))
                             : rest.second + time * time;
          Choice other{rest.sent + bytesIn, value, begin};
          if (std::tie(other.sent, other.second) <
              std::tie(choice.sent, choice.second))
            choice = other;
        }
        if (isMarked[begin])
          break;
      }
    }
  }
  SmallVector<int64_t> cuts(stages + 1, costs.size());
  for (int64_t cut = stages; cut > 0; --cut)
    cuts[cut - 1] = best[cut][cuts[cut] - first[cut]].begin;
  return cuts;
}

int64_t ChainSearch::getBytes(int64_t stage, int64_t begin, int64_t end) const {
  Walk walk(*this, stage, end);
  for (int64_t position = end; position > begin; --position)
    walk.extend();
  return walk.bytes;
}

/// The slowest stage's seconds.
static double getSlowest(const RowCosts &costs, ArrayRef<int64_t> cuts) {
  double slowest = 0.0;
  for (auto [begin, end] : zip(cuts.drop_back(), cuts.drop_front()))
    slowest = std::max(slowest, costs.seconds(begin, end));
  return slowest;
}

/// What is known of good cuts: the fastest one, and those among which the step
/// decides. The last of them sends least.
struct Candidates {
  double fastestSeconds = 0.0;
  int64_t fastestBytes = 0;
  std::vector<SmallVector<int64_t>> cuts;
};

static Candidates searchChain(const CutProblem &problem,
                              const ChainSearch &search, int64_t memoryLimit) {
  const RowCosts &costs = problem.costs;
  using Second = ChainSearch::Second;
  int64_t bytes = unlimitedBytes;
  if (memoryLimit != 0)
    bytes = search.isFeasible(search.limitAll(unlimitedSeconds, memoryLimit))
                ? memoryLimit
                : search.findLeastBytes();
  double least = search.findLeastSeconds(bytes);
  Candidates found;
  SmallVector<int64_t> fastest =
      *search.sendLeast(search.limitAll(least, bytes), Second::Squares);
  found.fastestSeconds = getSlowest(costs, fastest);
  for (auto [begin, end] : zip(fastest, drop_begin(fastest)))
    found.fastestBytes += costs.received.get(begin, end);

  double enough = least * (1.0 + tolerance);
  SmallVector<int64_t> even =
      *search.sendLeast(search.limitAll(enough, bytes), Second::Squares);
  SmallVector<int64_t> cuts =
      *search.sendLeast(search.limitAll(enough, bytes), Second::Seconds);
  enough = getSlowest(costs, cuts) * (1.0 + memoryTolerance);
  cuts = *search.sendLeast(search.limitAll(enough, bytes), Second::Bytes);
  int64_t most = 0;
  for (size_t stage = 0; stage + 1 < cuts.size(); ++stage)
    most = std::max(most, search.getBytes(stage, cuts[stage], cuts[stage + 1]));
  cuts = *search.sendLeast(search.limitAll(enough, most), Second::Squares);
  found.cuts = {fastest, even, cuts};
  return found;
}

//===----------------------------------------------------------------------===//
// Several stages per device
//===----------------------------------------------------------------------===//

namespace {

/// The devices with the largest values, so that the largest of all others than
/// a few is found at once.
template <typename Value> class Largest {
public:
  void assign(ArrayRef<Value> values) {
    order.resize(values.size());
    std::iota(order.begin(), order.end(), 0);
    size_t count = std::min(kept, order.size());
    std::partial_sort(
        order.begin(), order.begin() + count, order.end(),
        [&](int64_t a, int64_t b) { return values[a] > values[b]; });
    order.resize(count);
    largest = values;
  }

  /// At most `kept` - 1 devices may be left out.
  Value getWithout(ArrayRef<int64_t> devices) const {
    for (int64_t device : order)
      if (!is_contained(devices, device))
        return largest[device];
    return Value();
  }

  /// A move of two cuts changes four devices.
  static constexpr size_t kept = 5;

private:
  SmallVector<int64_t> order;
  ArrayRef<Value> largest;
};

/// Moves cuts until no move helps.
class CutDescent {
public:
  CutDescent(const CutProblem &problem, ArrayRef<int64_t> start)
      : problem(problem), layout(problem), known(problem),
        cuts(start.begin(), start.end()), devices(problem.numDevices()),
        seconds(problem.numDevices()), stageSeconds(problem.numStages()),
        bytes(problem.numDevices()), sent(layout.runs.size()),
        frozen(problem.numStages() + 1) {
    findNarrowPlaces();
    findNeighbours();
    frozen.front() = frozen.back() = true;
    for (int64_t cut = 1; cut < problem.numStages(); ++cut)
      frozen[cut] = any_of(problem.marks, [&](const StageMark &mark) {
        return mark.position == cuts[cut];
      });
    measure();
  }

  const CutCost &getCost() const { return cost; }
  ArrayRef<int64_t> getCuts() const { return cuts; }
  void restart(ArrayRef<int64_t> from) {
    llvm::copy(from, cuts.begin());
    measure();
  }

  void descend(IsBetter isBetter);

  /// Moves cuts while the predicted step gets shorter, without exceeding the
  /// memory limit by more than now; takes up to `tries` predictions.
  void shorten(int64_t tries);

private:
  void findNarrowPlaces();
  void findNeighbours();
  /// Sets all costs of the present cuts.
  void measure();
  /// The cost after the cuts `moved` (at most two) were given other places.
  CutCost measureMove(ArrayRef<int64_t> moved);
  /// Where `cut` may go together with another.
  SmallVector<int64_t> getPlacesNear(int64_t cut, int64_t reach,
                                     int64_t narrowReach) const;
  bool ascends(int64_t cut) const {
    return cuts[cut - 1] < cuts[cut] && cuts[cut] < cuts[cut + 1];
  }

  const CutProblem &problem;
  Layout layout;
  KnownCosts known;
  SmallVector<int64_t> cuts;
  /// Positions where less crosses than beside them.
  SmallVector<int64_t> narrow;
  /// For each cut the later ones that touch the same device: moves of others
  /// have nothing to do with each other.
  std::vector<SmallVector<int64_t>> neighbours;

  std::vector<DeviceCost> devices;
  SmallVector<double> seconds, stageSeconds;
  SmallVector<int64_t> bytes;
  SmallVector<int64_t> sent; ///< by run
  Largest<double> slowest;
  Largest<int64_t> peaks;
  CutCost cost;
  std::vector<bool> frozen;
};

} // namespace

void CutDescent::findNarrowPlaces() {
  SmallVector<int64_t> crossing = problem.costs.received.getCrossing();
  for (int64_t i = 1, n = problem.costs.size(); i < n; ++i)
    if (crossing[i] <= crossing[i - 1] && crossing[i] <= crossing[i + 1])
      narrow.push_back(i);
}

void CutDescent::findNeighbours() {
  int64_t stages = problem.numStages();
  neighbours.resize(stages);
  for (int64_t a = 1; a < stages; ++a)
    for (int64_t touched : {a - 1, a})
      for (int64_t stage : layout.stagesOf[problem.deviceOfStage[touched]])
        for (int64_t b : {stage, stage + 1})
          if (b > a && b < stages && !is_contained(neighbours[a], b))
            neighbours[a].push_back(b);
}

void CutDescent::measure() {
  cost = CutCost();
  for (int64_t device = 0; device < problem.numDevices(); ++device) {
    devices[device] = known.getDevice(cuts, layout.stagesOf[device], device);
    seconds[device] = devices[device].seconds;
    bytes[device] = devices[device].bytes();
    cost.squares += seconds[device] * seconds[device];
  }
  for (auto [stage, time] : enumerate(stageSeconds)) {
    time = problem.costs.seconds(cuts[stage], cuts[stage + 1]);
    cost.stageSquares += time * time;
  }
  for (auto [run, stages] : enumerate(layout.runs)) {
    sent[run] = known.getReceived(cuts[stages.first], cuts[stages.second]);
    cost.sent += sent[run];
  }
  slowest.assign(seconds);
  peaks.assign(bytes);
  cost.slowest = slowest.getWithout({});
  cost.peak = peaks.getWithout({});
  if (problem.memoryLimit != 0)
    cost.excess = std::max<int64_t>(0, cost.peak - problem.memoryLimit);
}

CutCost CutDescent::measureMove(ArrayRef<int64_t> moved) {
  SmallVector<int64_t, 4> changed, runs, stages;
  for (int64_t cut : moved)
    for (int64_t stage : {cut - 1, cut}) {
      if (!is_contained(stages, stage))
        stages.push_back(stage);
      if (!is_contained(changed, problem.deviceOfStage[stage]))
        changed.push_back(problem.deviceOfStage[stage]);
      if (!is_contained(runs, layout.runOf[stage]))
        runs.push_back(layout.runOf[stage]);
    }
  CutCost result;
  result.slowest = slowest.getWithout(changed);
  result.peak = peaks.getWithout(changed);
  result.squares = cost.squares;
  result.sent = cost.sent;
  for (int64_t device : changed) {
    DeviceCost now = known.getDevice(cuts, layout.stagesOf[device], device);
    result.slowest = std::max(result.slowest, now.seconds);
    result.peak = std::max(result.peak, now.bytes());
    result.squares +=
        now.seconds * now.seconds - seconds[device] * seconds[device];
  }
  result.stageSquares = cost.stageSquares;
  for (int64_t stage : stages) {
    double now = problem.costs.seconds(cuts[stage], cuts[stage + 1]);
    result.stageSquares +=
        now * now - stageSeconds[stage] * stageSeconds[stage];
  }
  for (int64_t run : runs) {
    auto [first, last] = layout.runs[run];
    result.sent += known.getReceived(cuts[first], cuts[last]) - sent[run];
  }
  if (problem.memoryLimit != 0)
    result.excess = std::max<int64_t>(0, result.peak - problem.memoryLimit);
  return result;
}

SmallVector<int64_t> CutDescent::getPlacesNear(int64_t cut, int64_t reach,
                                               int64_t narrowReach) const {
  SmallVector<int64_t> places;
  for (int64_t i = -reach; i <= reach; ++i)
    places.push_back(cuts[cut] + i);
  auto above = upper_bound(narrow, cuts[cut] + reach);
  for (auto it = above; it != narrow.end() && it < above + narrowReach; ++it)
    places.push_back(*it);
  auto below = lower_bound(narrow, cuts[cut] - reach);
  for (auto it = below; it != narrow.begin() && it > below - narrowReach;)
    places.push_back(*--it);
  return places;
}

void CutDescent::descend(IsBetter isBetter) {
  for (bool improved = true; improved;) {
    improved = false;
    // Takes the best move of a set, if it is one.
    SmallVector<int64_t> before, best;
    CutCost bestCost;
    auto start = [&]() {
      before = cuts;
      best.clear();
      bestCost = cost;
    };
    auto consider = [&](ArrayRef<int64_t> moved) {
      CutCost other = measureMove(moved);
      if (!isBetter(other, bestCost))
        return;
      bestCost = other;
      best = cuts;
    };
    auto take = [&]() {
      CutCost old = cost;
      cuts = best.empty() ? before : best;
      if (best.empty())
        return;
      // Differences of sums are not exact.
      measure();
      if (isBetter(cost, old)) {
        improved = true;
        return;
      }
      cuts = before;
      measure();
    };
    for (int64_t a = 1; a < problem.numStages(); ++a) {
      if (frozen[a])
        continue;
      start();
      for (int64_t to = before[a - 1] + 1; to < before[a + 1]; ++to) {
        cuts[a] = to;
        consider(a);
      }
      cuts[a] = before[a];
      take();
      for (int64_t b : neighbours[a]) {
        if (frozen[b])
          continue;
        start();
        SmallVector<int64_t> placesA = getPlacesNear(a, 6, 2),
                             placesB = getPlacesNear(b, 6, 2);
        for (int64_t i : placesA)
          for (int64_t j : placesB) {
            cuts[a] = i;
            cuts[b] = j;
            if (ascends(a) && ascends(b))
              consider({a, b});
          }
        take();
      }
    }
  }
}

void CutDescent::shorten(int64_t tries) {
  double step = problem.predict(cuts);
  bool improved = false;
  auto attempt = [&](ArrayRef<int64_t> moved, ArrayRef<int64_t> places) {
    SmallVector<int64_t, 2> old;
    for (auto [cut, place] : zip_equal(moved, places)) {
      old.push_back(cuts[cut]);
      cuts[cut] = place;
    }
    if (tries > 0 && all_of(moved, [&](int64_t cut) { return ascends(cut); }) &&
        measureMove(moved).excess <= cost.excess) {
      --tries;
      double now = problem.predict(cuts);
      if (now < step * (1.0 - stepTolerance)) {
        step = now;
        improved = true;
        measure();
        return;
      }
    }
    for (auto [cut, place] : zip_equal(moved, old))
      cuts[cut] = place;
  };
  do {
    improved = false;
    for (int64_t a = 1; a < problem.numStages(); ++a)
      for (int64_t place : getPlacesNear(a, 3, 2))
        if (!frozen[a] && place != cuts[a])
          attempt(a, place);
    for (int64_t a = 1; a < problem.numStages(); ++a)
      for (int64_t b : neighbours[a])
        for (int64_t i : getPlacesNear(a, 1, 1))
          for (int64_t j : getPlacesNear(b, 1, 1))
            if (!frozen[a] && !frozen[b] && i != cuts[a] && j != cuts[b])
              attempt({a, b}, {i, j});
  } while (improved && tries > 0);
}

/// Limits of stages that keep every device within `seconds` and the memory
/// limit: each stage has that share of its device which it takes now.
static StageLimits shareDevices(const CutProblem &problem,
                                const ChainSearch &chain,
                                ArrayRef<int64_t> cuts, double seconds) {
  int64_t stages = problem.numStages(), devices = problem.numDevices();
  StageLimits limits(stages);
  SmallVector<double> secondsOf(devices), bytesOf(devices);
  for (int64_t stage = 0; stage < stages; ++stage) {
    int64_t device = problem.deviceOfStage[stage];
    int64_t begin = cuts[stage], end = cuts[stage + 1];
    limits[stage].seconds = problem.costs.seconds(begin, end);
    secondsOf[device] += limits[stage].seconds;
    if (problem.memoryLimit == 0)
      continue;
    limits[stage].bytes = chain.getBytes(stage, begin, end);
    bytesOf[device] += limits[stage].bytes;
  }
  for (int64_t stage = 0; stage < stages; ++stage) {
    int64_t device = problem.deviceOfStage[stage];
    if (secondsOf[device] > 0.0)
      limits[stage].seconds *=
          std::max(1.0, seconds / secondsOf[device]) * (1.0 + 1e-9);
    if (bytesOf[device] > 0.0 && bytesOf[device] < problem.memoryLimit) {
      // Rounded down, for a limit near the largest number of bytes there is.
      limits[stage].bytes =
          std::max(limits[stage].bytes,
                   static_cast<int64_t>(limits[stage].bytes / bytesOf[device] *
                                        (1.0 - 1e-9) * problem.memoryLimit));
    }
  }
  return limits;
}

/// Goes down by moves of one or two cuts, and by moves of all of them at once
/// that leave each stage its share of the device, until neither helps.
static void sendLess(const CutProblem &problem, const ChainSearch &chain,
                     CutDescent &descent, double seconds, IsBetter isBetter) {
  while (true) {
    descent.descend(isBetter);
    SmallVector<int64_t> reached(descent.getCuts());
    CutCost cost = descent.getCost();
    std::optional<SmallVector<int64_t>> other =
        chain.sendLeast(shareDevices(problem, chain, reached, seconds),
                        ChainSearch::Second::Squares);
    if (!other)
      return;
    descent.restart(*other);
    if (isBetter(descent.getCost(), cost))
      continue;
    descent.restart(reached);
    return;
  }
}

static Candidates searchDevices(const CutProblem &problem,
                                const ChainSearch &chain) {
  SmallVector<int64_t> even = searchChain(problem, chain, 0).cuts[1];
  CutDescent descent(problem, even);
  // The fastest cut says what is fast enough.
  descent.descend([](const CutCost &a, const CutCost &b) {
    return std::tie(a.excess, a.slowest, a.squares) <
           std::tie(b.excess, b.slowest, b.squares);
  });
  Candidates found;
  found.fastestSeconds = descent.getCost().slowest;
  found.fastestBytes = descent.getCost().sent;
  int64_t excess = descent.getCost().excess;
  SmallVector<int64_t> fastest(descent.getCuts());

  // Then the fewest bytes. Moves do not lead from everywhere to everywhere, so
  // they start from the fastest cut and from an even one.
  double enough = 0.0;
  auto sendsLess = [&](const CutCost &a, const CutCost &b) {
    double slowestA = std::max(a.slowest, enough),
           slowestB = std::max(b.slowest, enough);
    return std::tie(a.excess, slowestA, a.sent, a.stageSquares) <
           std::tie(b.excess, slowestB, b.sent, b.stageSquares);
  };
  auto holdsLess = [&](const CutCost &a, const CutCost &b) {
    double slowestA = std::max(a.slowest, enough),
           slowestB = std::max(b.slowest, enough);
    return std::tie(a.excess, slowestA, a.sent, a.peak, a.stageSquares) <
           std::tie(b.excess, slowestB, b.sent, b.peak, b.stageSquares);
  };
  found.cuts.push_back(fastest);
  for (double slack : {memoryTolerance, tolerance})
    for (const SmallVector<int64_t> &start : {fastest, even}) {
      enough = found.fastestSeconds * (1.0 + slack);
      descent.restart(start);
      sendLess(problem, chain, descent, enough, sendsLess);
      auto addCandidate = [&]() {
        if (descent.getCost().excess <= excess)
          found.cuts.emplace_back(descent.getCuts());
      };
      addCandidate();
      enough = descent.getCost().slowest * (1.0 + memoryTolerance);
      descent.descend(holdsLess);
      addCandidate();
    }
  return found;
}

/// Among cuts that meet the limits as well, and what moves make of those with
/// the shortest steps, the one with the smallest peak of memory whose step is
/// hardly longer than the shortest; the last where nothing predicts steps.
static SmallVector<int64_t>
takeShortest(const CutProblem &problem,
             std::vector<SmallVector<int64_t>> candidates) {
  if (!problem.predict)
    return candidates.back();
  struct Step {
    double seconds;
    int64_t sent, peak;
    SmallVector<int64_t> cuts;
  };
  auto getStep = [&](ArrayRef<int64_t> cuts) {
    return Step{problem.predict(cuts), getSentBytes(problem, cuts),
                getPeakBytes(problem, cuts), SmallVector<int64_t>(cuts)};
  };
  std::vector<Step> steps;
  sort(candidates);
  candidates.erase(llvm::unique(candidates), candidates.end());
  for (const SmallVector<int64_t> &cuts : candidates)
    steps.push_back(getStep(cuts));
  stable_sort(steps, [](const Step &a, const Step &b) {
    return std::tie(a.seconds, a.sent) < std::tie(b.seconds, b.sent);
  });
  constexpr size_t numMoved = 3;
  size_t moved = std::min(numMoved, steps.size());
  for (size_t i = 0; i < moved; ++i) {
    CutDescent descent(problem, steps[i].cuts);
    descent.shorten(problem.predictions / moved);
    steps.push_back(getStep(descent.getCuts()));
  }
  auto shortest = min_element(steps, [](const Step &a, const Step &b) {
    return a.seconds < b.seconds;
  });
  double enough = shortest->seconds * (1.0 + memoryTolerance);
  return min_element(steps,
                     [&](const Step &a, const Step &b) {
                       return std::tuple(a.seconds > enough, a.peak, a.sent) <
                              std::tuple(b.seconds > enough, b.peak, b.sent);
                     })
      ->cuts;
}

std::optional<FoundCuts> weir::searchCuts(const CutProblem &problem) {
  ChainSearch chain(problem);
  if (problem.costs.size() < problem.numStages() ||
      !chain.isFeasible(chain.limitAll(unlimitedSeconds, unlimitedBytes)))
    return std::nullopt;
  Candidates found = problem.numStages() == problem.numDevices()
                         ? searchChain(problem, chain, problem.memoryLimit)
                         : searchDevices(problem, chain);
  return FoundCuts{takeShortest(problem, std::move(found.cuts)),
                   found.fastestSeconds, found.fastestBytes};
}
