//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two rounds of dynamic programming over the cut positions. The first finds the
// smallest time T that the slowest stage can have; the second, among the cuts
// whose stages take at most T plus a tolerance, the one that sends the fewest
// bytes, and among those the most even one. Where a device holds several stages
// it is the device's time that counts, which no such recurrence sees; there the
// cuts are improved by moving them, one or two at a time.
//
//===----------------------------------------------------------------------===//

#include "weir/Analysis/JointGraph.h"
#include "weir/Analysis/PipelineProblem.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/IR/Remarks.h"
#include "llvm/ADT/StringSet.h"

#include <map>

namespace weir {
#define GEN_PASS_DEF_WEIRPARTITION
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

/// How much slower than the fastest cut a stage may be in favour of sending less.
static constexpr double timeTolerance = 0.1;

/// No op takes longer than this, so sums and squares stay finite.
static constexpr double maxSeconds = 1e100;

namespace {

/// The forward ops in their order, with what a piece of them costs.
struct Chain {
  SmallVector<Operation *> ops;
  /// Forward and backward seconds of ops [0, i).
  SmallVector<double> secondsBefore;
  /// Bytes of values made before op i and used by op i or later ones: what a cut
  /// at i sends per microbatch forward, and as gradients backward.
  SmallVector<int64_t> crossingBytes;
  /// Bytes that op i keeps for the backward.
  SmallVector<int64_t> keptBefore;
  /// Variables that op i reads, and their bytes.
  SmallVector<SmallVector<std::pair<StringRef, int64_t>>> variables;

  int64_t size() const { return ops.size(); }
  double seconds(int64_t begin, int64_t end) const {
    return secondsBefore[end] - secondsBefore[begin];
  }
};

struct Partition : weir::impl::WeirPartitionBase<Partition> {
  using WeirPartitionBase::WeirPartitionBase;

  void runOnOperation() override {
    func::FuncOp joint = findJointGraph(getOperation());
    if (!joint || failed(partition(joint)))
      signalPassFailure();
  }

  LogicalResult partition(func::FuncOp joint);
  FailureOr<Chain> buildChain(func::FuncOp joint);
  FailureOr<SmallVector<int64_t>> chooseCuts(func::FuncOp joint,
                                             const Chain &chain,
                                             ArrayRef<int> deviceOfStage);
  void improveCuts(const Chain &chain, ArrayRef<int> deviceOfStage,
                   MutableArrayRef<int64_t> cuts);
  FailureOr<SmallVector<int64_t>> givenCuts(func::FuncOp joint,
                                            const Chain &chain);
  /// Bytes that the ops [begin, end) need on a device: parameters, gradients,
  /// optimizer states, and what one microbatch keeps.
  int64_t stageBytes(const Chain &chain, int64_t begin, int64_t end) const;
  LogicalResult checkDevices(func::FuncOp joint, const Chain &chain,
                             ArrayRef<int64_t> cuts,
                             ArrayRef<int> deviceOfStage) const;
  void colour(func::FuncOp joint, const Chain &chain, ArrayRef<int64_t> cuts);
};

} // namespace

FailureOr<Chain> Partition::buildChain(func::FuncOp joint) {
  Chain chain;
  Block &body = joint.getBody().front();
  std::map<int64_t, int64_t> positionOf; // weir.op -> index in chain.ops
  DenseMap<Operation *, int64_t> indexOf;
  for (Operation &op : body) {
    std::optional<int64_t> number = getInteger(&op, attr::op);
    if (!number || isRepeated(&op))
      continue;
    auto [it, isNew] = positionOf.try_emplace(*number, chain.ops.size());
    if (!isNew) {
      InFlightDiagnostic diag = op.emitError("has the number ")
                                << *number << " of another op";
      diag.attachNote(chain.ops[it->second]->getLoc()) << "the other op is here";
      return diag;
    }
    indexOf[&op] = chain.ops.size();
    chain.ops.push_back(&op);
  }
  int64_t n = chain.size();
  SmallVector<double> seconds(n, 0.0);
  for (Operation &op : body) {
    std::optional<int64_t> number = getInteger(&op, attr::op);
    if (!number)
      number = getInteger(&op, attr::adjointOf);
    auto it = number ? positionOf.find(*number) : positionOf.end();
    double time = getDouble(&op, attr::seconds);
    if (!(time >= 0.0 && time <= maxSeconds))
      return op.emitError("takes ")
             << time << " seconds; a duration is 0 to " << maxSeconds;
    if (it != positionOf.end())
      seconds[it->second] += time;
  }
  chain.secondsBefore.assign(n + 1, 0.0);
  chain.keptBefore.assign(n + 1, 0);
  chain.crossingBytes.assign(n + 1, 0);
  chain.variables.resize(n);
  for (int64_t i = 0; i < n; ++i) {
    Operation *op = chain.ops[i];
    chain.secondsBefore[i + 1] = chain.secondsBefore[i] + seconds[i];
    int64_t kept = 0;
    for (Value result : op->getResults()) {
      auto type = dyn_cast<RankedTensorType>(result.getType());
      if (!type)
        continue;
      int64_t last = i;
      bool usedByBackward = false;
      // A reshape counts for what it is a view of.
      SmallVector<Value> views{result};
      while (!views.empty()) {
        for (Operation *user : views.pop_back_val().getUsers()) {
          if (isReshape(user))
            views.push_back(user->getResult(0));
          auto it = indexOf.find(user);
          if (it != indexOf.end())
            last = std::max(last, it->second);
          else if (user->hasAttr(attr::adjointOf))
            usedByBackward = true;
        }
      }
      int64_t bytes = getTensorBytes(type);
      if (isReshape(op))
        continue;
      if (usedByBackward)
        kept += bytes;
      for (int64_t cut = i + 1; cut <= last; ++cut)
        chain.crossingBytes[cut] += bytes;
    }
    chain.keptBefore[i + 1] = chain.keptBefore[i] + kept;
    SmallVector<Operation *> producers{op};
    while (!producers.empty())
      for (Value operand : producers.pop_back_val()->getOperands()) {
        Operation *producer = operand.getDefiningOp();
        if (!producer || !isRepeated(producer))
          continue;
        if (auto read = dyn_cast<ReadOp>(producer))
          chain.variables[i].push_back(
              {read.getVariable(),
               getTensorBytes(cast<RankedTensorType>(read.getType()))});
        producers.push_back(producer);
      }
  }
  return chain;
}

int64_t Partition::stageBytes(const Chain &chain, int64_t begin,
                              int64_t end) const {
  // One parameter, its optimizer states, and one gradient per use.
  llvm::StringSet<> seen;
  int64_t bytes = chain.keptBefore[end] - chain.keptBefore[begin];
  for (int64_t i = begin; i < end; ++i)
    for (auto [name, size] : chain.variables[i])
      bytes += seen.insert(name).second ? size * (2 + stateTensors) : size;
  return bytes;
}

FailureOr<SmallVector<int64_t>>
Partition::chooseCuts(func::FuncOp joint, const Chain &chain,
                      ArrayRef<int> deviceOfStage) {
  int64_t n = chain.size(), k = stages;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  auto fits = [&](int64_t begin, int64_t end) {
    return memoryLimit == 0 || stageBytes(chain, begin, end) <= memoryLimit;
  };
  // slowest[j][i]: time of the slowest of j stages over ops [0, i). A stage
  // with more ops is never faster, so the inner loop goes down from i and stops
  // once the last stage alone is slower than the best found.
  std::vector<std::vector<double>> slowest(k + 1,
                                           std::vector<double>(n + 1, infinity));
  slowest[0][0] = 0.0;
  for (int64_t j = 1; j <= k; ++j)
    for (int64_t i = j; i <= n; ++i)
      for (int64_t b = i - 1; b >= j - 1; --b) {
        double last = chain.seconds(b, i);
        if (last >= slowest[j][i])
          break;
        if (memoryLimit != 0 && !fits(b, i))
          break;
        slowest[j][i] = std::min(slowest[j][i], std::max(last, slowest[j - 1][b]));
      }
  if (slowest[k][n] == infinity) {
    int64_t least = 0;
    for (int64_t i = 0; i < n; ++i)
      least = std::max(least, stageBytes(chain, i, i + 1));
    return joint.emitError("no cut into ")
           << k << " stages fits " << int64_t(memoryLimit)
           << " bytes per device; the largest op alone needs " << least;
  }
  double cap = slowest[k][n] * (1.0 + timeTolerance);

  // Fewest bytes, then the smallest sum of squared times, with every stage
  // within the cap.
  struct Choice {
    double bytes = std::numeric_limits<double>::infinity();
    double squares = std::numeric_limits<double>::infinity();
    int64_t cut = -1;
  };
  std::vector<std::vector<Choice>> best(k + 1, std::vector<Choice>(n + 1));
  best[0][0] = {0.0, 0.0, -1};
  for (int64_t j = 1; j <= k; ++j)
    for (int64_t i = j; i <= n; ++i)
      for (int64_t b = i - 1; b >= j - 1; --b) {
        double last = chain.seconds(b, i);
        if (last > cap || (memoryLimit != 0 && !fits(b, i)))
          break;
        const Choice &before = best[j - 1][b];
        if (before.bytes == infinity)
          continue;
        double bytes = before.bytes + chain.crossingBytes[b];
        double squares = before.squares + last * last;
        Choice &choice = best[j][i];
        if (std::tie(bytes, squares) < std::tie(choice.bytes, choice.squares))
          choice = {bytes, squares, b};
      }
  SmallVector<int64_t> cuts(k + 1, n);
  for (int64_t j = k, i = n; j > 0; --j)
    cuts[j - 1] = i = best[j][i].cut;
  if (k > *llvm::max_element(deviceOfStage) + 1)
    improveCuts(chain, deviceOfStage, cuts);
  return cuts;
}

namespace {

/// How good a cut is, device by device.
struct CutCost {
  double slowest = 0.0; ///< seconds of the slowest device
  double squares = 0.0; ///< sum of the squares of the devices' seconds
  int64_t bytes = 0;    ///< sent per microbatch
  bool fits = true;     ///< the memory limit, if there is one
};

} // namespace

void Partition::improveCuts(const Chain &chain, ArrayRef<int> deviceOfStage,
                            MutableArrayRef<int64_t> cuts) {
  // Moves of two cuts at once go this far; of one, anywhere.
  constexpr int64_t reach = 6;
  int64_t numDevices = *llvm::max_element(deviceOfStage) + 1;
  SmallVector<double> seconds(numDevices);
  // Moves change a cut or two at a time: most stages were there before.
  DenseMap<std::pair<int64_t, int64_t>, int64_t> known;
  auto bytesOf = [&](int64_t begin, int64_t end) {
    auto [it, isNew] = known.try_emplace({begin, end}, 0);
    if (isNew)
      it->second = stageBytes(chain, begin, end);
    return it->second;
  };
  auto getCost = [&]() {
    CutCost cost;
    seconds.assign(numDevices, 0.0);
    for (int64_t s = 0; s < stages; ++s) {
      seconds[deviceOfStage[s]] += chain.seconds(cuts[s], cuts[s + 1]);
      if (s > 0 && deviceOfStage[s] != deviceOfStage[s - 1])
        cost.bytes += chain.crossingBytes[cuts[s]];
    }
    for (double time : seconds) {
      cost.slowest = std::max(cost.slowest, time);
      cost.squares += time * time;
    }
    if (memoryLimit != 0) {
      SmallVector<int64_t> bytes(numDevices, 0);
      for (int64_t s = 0; s < stages; ++s)
        bytes[deviceOfStage[s]] += bytesOf(cuts[s], cuts[s + 1]);
      cost.fits = *llvm::max_element(bytes) <= memoryLimit;
    }
    return cost;
  };
  auto ascends = [&](int64_t cut) {
    return cuts[cut - 1] < cuts[cut] && cuts[cut] < cuts[cut + 1];
  };
  // Takes the best of all moves until none is better.
  auto descend = [&](function_ref<bool(const CutCost &, const CutCost &)> better) {
    CutCost current = getCost();
    for (bool moved = true; moved;) {
      moved = false;
      SmallVector<int64_t> best;
      auto consider = [&]() {
        CutCost cost = getCost();
        if (!better(cost, current))
          return;
        current = cost;
        best.assign(cuts.begin(), cuts.end());
      };
      for (int64_t cut = 1; cut < stages; ++cut) {
        int64_t old = cuts[cut];
        for (int64_t to = cuts[cut - 1] + 1; to < cuts[cut + 1]; ++to) {
          cuts[cut] = to;
          consider();
        }
        cuts[cut] = old;
      }
      for (int64_t a = 1; a < stages; ++a)
        for (int64_t b = a + 1; b < stages; ++b) {
          int64_t oldA = cuts[a], oldB = cuts[b];
          for (int64_t i = -reach; i <= reach; ++i)
            for (int64_t j = -reach; j <= reach; ++j) {
              cuts[a] = oldA + i;
              cuts[b] = oldB + j;
              if (ascends(a) && ascends(b))
                consider();
            }
          cuts[a] = oldA;
          cuts[b] = oldB;
        }
      if (!best.empty()) {
        llvm::copy(best, cuts.begin());
        moved = true;
      }
    }
  };
  // The fastest cut first: it says what is fast enough. Then the fewest bytes,
  // both from there and from the cut that was given, since moves alone do not
  // always lead from one to the other.
  SmallVector<int64_t> given(cuts.begin(), cuts.end());
  descend([](const CutCost &a, const CutCost &b) {
    return std::tuple(!a.fits, a.slowest, a.squares) <
           std::tuple(!b.fits, b.slowest, b.squares);
  });
  double cap = getCost().slowest * (1.0 + timeTolerance);
  auto sendsLess = [&](const CutCost &a, const CutCost &b) {
    return std::tuple(!a.fits, a.slowest > cap, a.bytes, a.squares) <
           std::tuple(!b.fits, b.slowest > cap, b.bytes, b.squares);
  };
  descend(sendsLess);
  SmallVector<int64_t> fromFastest(cuts.begin(), cuts.end());
  CutCost cost = getCost();
  llvm::copy(given, cuts.begin());
  descend(sendsLess);
  if (sendsLess(cost, getCost()))
    llvm::copy(fromFastest, cuts.begin());
}

FailureOr<SmallVector<int64_t>> Partition::givenCuts(func::FuncOp joint,
                                                     const Chain &chain) {
  if (static_cast<int64_t>(cuts.size()) != stages - 1)
    return joint.emitError("got ") << cuts.size() << " cuts for " << int64_t(stages)
                                   << " stages; needs one less than stages";
  SmallVector<int64_t> positions{0};
  for (int64_t number : cuts) {
    auto it = llvm::find_if(chain.ops, [&](Operation *op) {
      return getInteger(op, attr::op) == number;
    });
    if (it == chain.ops.end())
      return joint.emitError("cannot cut at op ")
             << number << ": no op of the forward has that number";
    int64_t position = it - chain.ops.begin();
    if (position <= positions.back())
      return joint.emitError("cut at op ")
             << number << " leaves a stage without ops; cuts must ascend";
    positions.push_back(position);
  }
  positions.push_back(chain.size());
  return positions;
}

LogicalResult Partition::checkDevices(func::FuncOp joint, const Chain &chain,
                                      ArrayRef<int64_t> cuts,
                                      ArrayRef<int> deviceOfStage) const {
  if (memoryLimit == 0)
    return success();
  DenseMap<int, int64_t> bytes;
  for (int64_t s = 0; s < stages; ++s)
    bytes[deviceOfStage[s]] += stageBytes(chain, cuts[s], cuts[s + 1]);
  for (auto [device, needed] : bytes)
    if (needed > memoryLimit)
      return joint.emitError("device ")
             << device << " needs at least " << needed
             << " bytes for its parameters, gradients, optimizer state and one "
                "microbatch, but the limit is "
             << int64_t(memoryLimit);
  return success();
}

void Partition::colour(func::FuncOp joint, const Chain &chain,
                       ArrayRef<int64_t> cuts) {
  Builder builder(joint.getContext());
  std::map<int64_t, int64_t> stageOfNumber;
  for (int64_t s = 0; s < stages; ++s)
    for (int64_t i = cuts[s]; i < cuts[s + 1]; ++i)
      stageOfNumber[*getInteger(chain.ops[i], attr::op)] = s;
  for (Operation &op : joint.getBody().front()) {
    op.removeAttr(attr::stage);
    op.removeAttr(attr::pass);
    if (isRepeated(&op) || op.hasTrait<OpTrait::IsTerminator>())
      continue;
    std::optional<int64_t> number = getInteger(&op, attr::op);
    if (!number)
      number = getInteger(&op, attr::adjointOf);
    std::optional<int64_t> stage;
    if (number && stageOfNumber.contains(*number))
      stage = stageOfNumber[*number];
    // Reports, accumulations and sums go where their operands are; gradients
    // flow from later stages to earlier ones, so to the earliest.
    if (!stage)
      for (Value operand : op.getOperands())
        if (Operation *producer = operand.getDefiningOp())
          if (auto other = getInteger(producer, attr::stage))
            stage = isForwardOp(&op) ? std::max(stage.value_or(0), *other)
                                     : std::min(stage.value_or(*other), *other);
    op.setAttr(attr::stage, builder.getI64IntegerAttr(stage.value_or(0)));
  }
}

LogicalResult Partition::partition(func::FuncOp joint) {
  if (stages < 1)
    return joint.emitError("needs at least one stage, got ")
           << int64_t(stages);
  FailureOr<Chain> built = buildChain(joint);
  if (failed(built))
    return failure();
  const Chain &chain = *built;
  if (chain.size() < stages)
    return joint.emitError("cannot cut the model into ")
           << int64_t(stages) << " stages: it has only " << chain.size()
           << " operations to cut between";
  if (chain.secondsBefore.back() <= 0.0)
    return joint.emitError(
        "no costs on the joint graph; run weir-estimate-costs first");
  std::string error;
  std::optional<std::vector<int>> placed =
      readPlacement(placement, stages, devices, error);
  if (!placed)
    return joint.emitError() << error;
  const std::vector<int> &deviceOfStage = *placed;
  int64_t numDevices = *llvm::max_element(deviceOfStage) + 1;

  FailureOr<SmallVector<int64_t>> positions =
      cuts.empty() ? chooseCuts(joint, chain, deviceOfStage)
                   : givenCuts(joint, chain);
  if (failed(positions) ||
      failed(checkDevices(joint, chain, *positions, deviceOfStage)))
    return failure();
  colour(joint, chain, *positions);

  SmallVector<double> deviceSeconds(numDevices, 0.0);
  for (int64_t s = 0; s < stages; ++s) {
    double seconds = chain.seconds((*positions)[s], (*positions)[s + 1]);
    deviceSeconds[deviceOfStage[s]] += seconds;
    remark::analysis(
        joint.getLoc(),
        remark::RemarkOpts::name("stage").category("weir-partition"))
        << ("stage " + Twine(s) + " begins at op " +
            Twine(*getInteger(chain.ops[(*positions)[s]], attr::op)) +
            ", estimated seconds " + std::to_string(seconds))
               .str();
  }
  double slowest = *llvm::max_element(deviceSeconds);
  double mean = chain.secondsBefore.back() / numDevices;
  remark::passed(joint.getLoc(),
                 remark::RemarkOpts::name("cut").category("weir-partition"))
      << ("cut into " + Twine(int64_t(stages)) +
          " stages; the slowest device takes " + std::to_string(slowest / mean) +
          " of the mean")
             .str();
  return success();
}
