// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/PipelineCsv.h"

#include <algorithm>
#include <unordered_map>

namespace weir::schedule {

using Kind = CsvAction::Kind;

namespace {

class CsvChecker {
public:
  explicit CsvChecker(const CsvProgram &program)
      : program(program), hasTransfers(program.hasTransfers()) {}

  std::vector<CsvFinding> run() {
    placeStages();
    if (findings.empty())
      indexActions();
    if (findings.empty())
      findMissingPasses();
    if (findings.empty())
      checkPassOrder();
    if (findings.empty() && hasTransfers)
      checkTransfers();
    if (findings.empty() && hasTransfers)
      checkTransferOrder();
    if (findings.empty())
      checkDeadlock();
    if (findings.empty())
      checkMicrobatchOrder();
    if (findings.size() > kMostCsvFindings)
      findings.resize(kMostCsvFindings);
    return std::move(findings);
  }

private:
  /// Where an action is: its row and its index among the actions of that row.
  struct Place {
    int row = -1;
    int index = -1;
    explicit operator bool() const { return row >= 0; }
    bool operator==(const Place &) const = default;
  };

  const CsvAction &at(Place place) const {
    return program.rows[place.row][place.index];
  }
  static std::string where(const CsvAction &action) {
    return toString(action) + " (row " + std::to_string(action.row + 1) +
           ", column " + std::to_string(action.column + 1) + ")";
  }
  void report(const CsvAction &action, std::string message) {
    findings.push_back(
        {action.row, action.column, toString(action), std::move(message)});
  }
  void reportMissing(const CsvAction &action) {
    findings.push_back(
        {rankOf[action.stage], -1, toString(action), "is missing"});
  }

  template <typename Function> void forEach(Function function) const {
    for (size_t row = 0; row < program.rows.size(); ++row)
      for (size_t i = 0; i < program.rows[row].size(); ++i)
        function(program.rows[row][i],
                 Place{static_cast<int>(row), static_cast<int>(i)});
  }

  static uint64_t key(const CsvAction &action) {
    uint64_t kind = action.kind == Kind::Pass
                        ? static_cast<uint64_t>(action.pass)
                        : 16 + static_cast<uint64_t>(action.kind);
    return kind << 48 | static_cast<uint64_t>(action.stage) << 24 |
           static_cast<uint64_t>(action.microbatch);
  }
  Place find(const CsvAction &action) const {
    auto found = places.find(key(action));
    return found == places.end() ? Place() : found->second;
  }
  static CsvAction pass(PassKind kind, int stage, int microbatch) {
    CsvAction action;
    action.pass = kind;
    action.stage = stage;
    action.microbatch = microbatch;
    return action;
  }
  static CsvAction transfer(Kind kind, int stage, int microbatch) {
    CsvAction action = pass(PassKind::Forward, stage, microbatch);
    action.kind = kind;
    return action;
  }
  /// The pass that makes the gradient of the stage's input.
  Place findGradient(int stage, int microbatch) const {
    if (Place fused = find(pass(PassKind::Backward, stage, microbatch)))
      return fused;
    return find(pass(PassKind::BackwardInput, stage, microbatch));
  }

  void placeStages() {
    std::unordered_map<uint64_t, int> passesOn; // by stage and row
    int largestStage = -1;
    forEach([&](const CsvAction &action, Place place) {
      largestStage = std::max(largestStage, action.stage);
      if (action.kind != Kind::Pass)
        return;
      numMicrobatches = std::max(numMicrobatches, action.microbatch + 1);
      ++passesOn[static_cast<uint64_t>(action.stage) << 32 | place.row];
    });
    numStages = largestStage + 1;
    if (static_cast<int64_t>(numStages) * numMicrobatches >
        kMaxMicrobatchStages) {
      findings.push_back({-1, -1, "",
                          std::to_string(numStages) + " stages times " +
                              std::to_string(numMicrobatches) +
                              " microbatches are more than " +
                              std::to_string(kMaxMicrobatchStages)});
      return;
    }
    rankOf.assign(numStages, -1);
    std::vector<int> most(numStages, 0);
    forEach([&](const CsvAction &action, Place place) {
      if (action.kind != Kind::Pass)
        return;
      int passes =
          passesOn[static_cast<uint64_t>(action.stage) << 32 | place.row];
      if (passes > most[action.stage]) {
        most[action.stage] = passes;
        rankOf[action.stage] = place.row;
      }
    });
    for (int stage = 0; stage < numStages; ++stage)
      if (rankOf[stage] < 0 && findings.size() < kMostCsvFindings)
        findings.push_back(
            {-1, -1, "", "stage " + std::to_string(stage) + " has no passes"});
    if (numStages == 0)
      findings.push_back({-1, -1, "", "there are no passes"});
  }

  /// Parameters may be gathered and given back any number of times.
  static bool isOnce(const CsvAction &action) {
    return action.kind == Kind::Pass || action.isSend() || action.isReceive();
  }

  void indexActions() {
    forEach([&](const CsvAction &action, Place place) {
      if (!isOnce(action))
        return;
      if (action.row != rankOf[action.stage])
        report(action, "is of stage " + std::to_string(action.stage) +
                           ", whose passes are in row " +
                           std::to_string(rankOf[action.stage] + 1));
      else if (action.microbatch >= numMicrobatches)
        report(action, "is of microbatch " + std::to_string(action.microbatch) +
                           ", which has no passes");
      auto [first, isNew] = places.try_emplace(key(action), place);
      if (!isNew)
        report(action, "repeats " + where(at(first->second)));
    });
    forEach([&](const CsvAction &action, Place) {
      if (action.kind != Kind::Pass ||
          (action.pass != PassKind::BackwardInput &&
           action.pass != PassKind::BackwardWeight))
        return;
      if (Place fused =
              find(pass(PassKind::Backward, action.stage, action.microbatch)))
        report(action, "repeats a part of " + where(at(fused)));
    });
  }

  void findMissingPasses() {
    bool hasBackward = false;
    forEach([&](const CsvAction &action, Place) {
      hasBackward |=
          action.kind == Kind::Pass && action.pass != PassKind::Forward;
    });
    for (int stage = 0; stage < numStages; ++stage)
      for (int m = 0; m < numMicrobatches; ++m) {
        auto require = [&](PassKind kind) {
          if (!find(pass(kind, stage, m)))
            reportMissing(pass(kind, stage, m));
        };
        if (findings.size() >= kMostCsvFindings)
          return;
        require(PassKind::Forward);
        if (!hasBackward || find(pass(PassKind::Backward, stage, m)))
          continue;
        bool isSplit = find(pass(PassKind::BackwardInput, stage, m)) ||
                       find(pass(PassKind::BackwardWeight, stage, m));
        if (!isSplit) {
          require(PassKind::Backward);
          continue;
        }
        require(PassKind::BackwardInput);
        require(PassKind::BackwardWeight);
      }
  }

  /// The passes, on any rank, that `action` reads.
  std::vector<Place> inputs(const CsvAction &action) const {
    std::vector<Place> result;
    auto add = [&](Place place) {
      if (place)
        result.push_back(place);
    };
    int stage = action.stage, m = action.microbatch;
    if (action.pass == PassKind::Forward) {
      add(find(pass(PassKind::Forward, stage - 1, m)));
    } else if (action.pass == PassKind::BackwardWeight) {
      add(find(pass(PassKind::BackwardInput, stage, m)));
    } else {
      add(find(pass(PassKind::Forward, stage, m)));
      add(findGradient(stage + 1, m));
    }
    return result;
  }

  void checkPassOrder() {
    forEach([&](const CsvAction &action, Place place) {
      if (action.kind != Kind::Pass)
        return;
      for (Place input : inputs(action))
        if (input.row == place.row && input.index > place.index)
          report(action,
                 "comes before " + where(at(input)) + ", which it reads");
    });
  }

  /// `verify` requires this order; PyTorch does not.
  void checkMicrobatchOrder() {
    // By stage and kind, the last microbatch that was seen; a fused pass counts
    // for both of its parts.
    std::vector<std::array<Place, 3>> last(numStages);
    std::vector<bool> isReported(numStages, false);
    forEach([&](const CsvAction &action, Place place) {
      if (action.kind != Kind::Pass || isReported[action.stage])
        return;
      bool isForward = action.pass == PassKind::Forward;
      bool isInput = action.pass != PassKind::BackwardWeight && !isForward;
      bool isWeight = action.pass != PassKind::BackwardInput && !isForward;
      std::array<bool, 3> roles = {isForward, isInput, isWeight};
      for (int role = 0; role < 3; ++role) {
        if (!roles[role])
          continue;
        Place previous = std::exchange(last[action.stage][role], place);
        if (!previous || at(previous).microbatch < action.microbatch)
          continue;
        report(action, "comes after " + where(at(previous)) +
                           ", but the microbatches of a stage have to run in "
                           "order, so that gradients add up to the same bits "
                           "in every schedule");
        isReported[action.stage] = true;
        return;
      }
    });
  }

  /// What belongs to a transfer; nullopt for what is none.
  struct Ends {
    CsvAction send, receive;
    Place producer, reader;
  };
  Ends endsOf(bool isForward, int from, int to, int m) const {
    Ends ends;
    ends.send =
        transfer(isForward ? Kind::SendForward : Kind::SendBackward, from, m);
    ends.receive = transfer(
        isForward ? Kind::ReceiveForward : Kind::ReceiveBackward, to, m);
    ends.producer = isForward ? find(pass(PassKind::Forward, from, m))
                              : findGradient(from, m);
    ends.reader =
        isForward ? find(pass(PassKind::Forward, to, m)) : findGradient(to, m);
    return ends;
  }
  static bool isForward(const CsvAction &action) {
    return action.kind == Kind::SendForward ||
           action.kind == Kind::ReceiveForward;
  }
  Ends endsOf(const CsvAction &action) const {
    int step = isForward(action) ? 1 : -1;
    int from = action.isSend() ? action.stage : action.stage - step;
    return endsOf(isForward(action), from, from + step, action.microbatch);
  }

  void checkTransfers() {
    forEach([&](const CsvAction &action, Place place) {
      if (action.isSend() || action.isReceive())
        checkTransfer(action, place);
      else if (action.kind == Kind::Pass)
        checkReceived(action, place);
    });
  }

  void checkTransfer(const CsvAction &action, Place place) {
    Ends ends = endsOf(action);
    int other = action.isSend() ? ends.receive.stage : ends.send.stage;
    std::string_view verb = action.isSend() ? "send to" : "receive from";
    if (other < 0 || other >= numStages)
      return report(action, "has no stage to " + std::string(verb));
    if (rankOf[other] == action.row)
      return report(action, "is between stages of the same row");
    if (!ends.producer || !ends.reader)
      return report(action, "moves what no pass makes or reads");
    if (action.isSend()) {
      if (ends.producer.index > place.index)
        report(action, "comes before " + where(at(ends.producer)) +
                           ", which makes what it sends");
      if (!find(ends.receive))
        report(action, "has no receive: " + toString(ends.receive) +
                           " is missing in row " +
                           std::to_string(rankOf[other] + 1));
    } else {
      if (ends.reader.index < place.index)
        report(at(ends.reader), "comes before " + where(action) +
                                    ", which brings what it reads");
      if (!find(ends.send))
        report(action, "has no send: " + toString(ends.send) +
                           " is missing in row " +
                           std::to_string(rankOf[other] + 1));
    }
  }

  /// Where both ends of a transfer are missing, only the pass that reads it can
  /// tell.
  void checkReceived(const CsvAction &action, Place place) {
    if (action.pass == PassKind::BackwardWeight)
      return;
    bool readsForward = action.pass == PassKind::Forward;
    int from = action.stage + (readsForward ? -1 : 1);
    if (from < 0 || from >= numStages || rankOf[from] == place.row)
      return;
    Ends ends = endsOf(readsForward, from, action.stage, action.microbatch);
    if (!find(ends.send) && !find(ends.receive))
      report(action, "reads what comes from row " +
                         std::to_string(rankOf[from] + 1) + ", but " +
                         toString(ends.send) + " and " +
                         toString(ends.receive) + " are missing");
  }

  /// The other end of a send or a receive.
  Place partner(const CsvAction &action) const {
    Ends ends = endsOf(action);
    return find(action.isSend() ? ends.receive : ends.send);
  }

  /// The n-th receive of a rank from another one takes the n-th send.
  void checkTransferOrder() {
    std::unordered_map<uint64_t, std::vector<Place>> sends;
    auto pair = [](int from, int to) {
      return static_cast<uint64_t>(from) << 32 | static_cast<uint64_t>(to);
    };
    forEach([&](const CsvAction &action, Place place) {
      if (action.isSend())
        sends[pair(place.row, partner(action).row)].push_back(place);
    });
    std::unordered_map<uint64_t, size_t> received;
    forEach([&](const CsvAction &action, Place place) {
      if (!action.isReceive())
        return;
      Place send = partner(action);
      uint64_t between = pair(send.row, place.row);
      size_t &next = received[between];
      // What follows the first difference differs as well.
      if (next == SIZE_MAX)
        return;
      Place expected = sends[between][next++];
      if (expected == send)
        return;
      next = SIZE_MAX;
      report(action, "receives from row " + std::to_string(send.row + 1) +
                         " out of order: that row sends " +
                         where(at(expected)) + " before " + where(at(send)));
    });
  }

  /// What the next action of a row has to wait for, or nothing.
  Place blocker(const CsvAction &action, const std::vector<int> &done) const {
    if (action.isSend() || action.isReceive()) {
      Place other = partner(action);
      return done[other.row] == other.index ? Place() : other;
    }
    if (hasTransfers || action.kind != Kind::Pass)
      return Place();
    for (Place input : inputs(action))
      if (input.index >= done[input.row])
        return input;
    return Place();
  }

  void checkDeadlock() {
    int numRows = static_cast<int>(program.rows.size());
    std::vector<int> done(numRows, 0);
    auto isAtEnd = [&](int row) {
      return done[row] == static_cast<int>(program.rows[row].size());
    };
    // Rows whose next action waits for one of the row of the index.
    std::vector<std::vector<int>> waiting(numRows);
    std::vector<int> worklist;
    for (int row = numRows; row-- > 0;)
      worklist.push_back(row);
    auto wake = [&](int row) {
      worklist.insert(worklist.end(), waiting[row].begin(), waiting[row].end());
      waiting[row].clear();
    };
    while (!worklist.empty()) {
      int row = worklist.back();
      worklist.pop_back();
      while (!isAtEnd(row)) {
        const CsvAction &action = program.rows[row][done[row]];
        if (Place other = blocker(action, done)) {
          waiting[other.row].push_back(row);
          break;
        }
        ++done[row];
        wake(row);
        if (action.isSend() || action.isReceive()) {
          int other = partner(action).row;
          ++done[other];
          wake(other);
          worklist.push_back(other);
        }
      }
    }

    int row = 0;
    while (row < numRows && isAtEnd(row))
      ++row;
    if (row == numRows)
      return;
    auto next = [&](int row) {
      return blocker(program.rows[row][done[row]], done);
    };
    // As many steps as there are rows lead into the circle.
    for (int i = 0; i < numRows; ++i)
      row = next(row).row;
    const CsvAction &start = program.rows[row][done[row]];
    std::string message = "is in a deadlock: ";
    do {
      const CsvAction &head = program.rows[row][done[row]];
      Place awaited = next(row);
      const CsvAction &otherHead = program.rows[awaited.row][done[awaited.row]];
      if (&head != &start)
        message += "; ";
      message += where(head) + " waits for " + where(at(awaited));
      if (&at(awaited) != &otherHead)
        message += ", which comes after " + where(otherHead);
      row = awaited.row;
    } while (&program.rows[row][done[row]] != &start);
    report(start, message);
  }

  const CsvProgram &program;
  bool hasTransfers;
  int numStages = 0, numMicrobatches = 0;
  std::vector<int> rankOf; // of each stage
  std::unordered_map<uint64_t, Place> places;
  std::vector<CsvFinding> findings;
};

} // namespace

std::vector<CsvFinding> checkCsvProgram(const CsvProgram &program) {
  return CsvChecker(program).run();
}

} // namespace weir::schedule
