// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small cases three ways: what no order can beat, what the best order takes,
// and what `auto` finds. Prints the tables of docs/schedules/Exact.md.
//
//   WeirExactCases [NODES [EFFORT]]
//   WeirExactCases --list   # for exact_oracle.py

#include "weir/Schedule/ExactSearch.h"
#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace weir::schedule;

namespace {

constexpr int kBytes = 840; // of a stage; divides evenly

struct Costs {
  const char *name;
  double forward, backwardInput, backwardWeight; // of a device's share
  double transfer;
};

struct Case {
  int devices, microbatches;
  double limit; // in shares of a device
  double bound, exact, found;
  bool isFinished;
};

Problem makeProblem(const Costs &costs, int p, int m, int chunks) {
  Problem problem = unitProblem(p, m, vPlacement(chunks * p, p), kBytes);
  for (Stage &stage : problem.stages) {
    stage.forward = costs.forward / chunks;
    stage.backwardInput = costs.backwardInput / chunks;
    stage.backwardWeight = costs.backwardWeight / chunks;
  }
  problem.defaultLink.latency = costs.transfer;
  return problem;
}

/// Cases of integer costs for exact_oracle.py, in tenths of a chunk's pass.
void listCases() {
  const int chunks = 2;
  for (auto [f, b, w, c] : std::initializer_list<std::array<int, 4>>{
           {10, 10, 10, 0}, {10, 10, 10, 2}, {20, 30, 10, 0}, {20, 30, 10, 4}})
    for (int p = 2; p <= 4; ++p)
      for (int m = 2; m <= 6 && p * m <= 15; ++m)
        for (int k = chunks; k <= chunks * p; ++k) {
          Costs costs{"", double(chunks * f), double(chunks * b),
                      double(chunks * w), double(c)};
          Problem problem = makeProblem(costs, p, m, chunks);
          problem.limitMemory(int64_t(k) * kBytes);
          ExactResult exact = exactMakespan(problem, 100000);
          if (exact.status == ExactResult::Status::Optimal)
            std::printf("%d %d %d %d %d %d %d %d %ld\n", p, m, chunks, f, b, w,
                        c, k, std::lround(exact.bound));
        }
}

} // namespace

int main(int argc, char **argv) {
  if (argc > 1 && std::string(argv[1]) == "--list") {
    listCases();
    return 0;
  }
  int64_t nodes = argc > 1 ? std::atoll(argv[1]) : 300000;
  double effort = argc > 2 ? std::atof(argv[2]) : 1;
  const int chunks = 2;
  std::printf("| F, B, W; transfer | cases | solved | bound is exact | its "
              "largest gap | `auto` is exact | its largest gap |\n"
              "| --- | --- | --- | --- | --- | --- | --- |\n");
  std::string rows;
  for (const Costs &costs :
       {Costs{"1, 1, 1; 0", 1, 1, 1, 0}, Costs{"1, 1, 1; 0.1", 1, 1, 1, 0.1},
        Costs{"2, 3, 1; 0", 2, 3, 1, 0}, Costs{"2, 3, 1; 0.2", 2, 3, 1, 0.2}}) {
    int cases = 0, solved = 0, boundExact = 0, foundExact = 0;
    double boundGap = 0, foundGap = 0;
    for (int p = 2; p <= 4; ++p)
      for (int m = 2; m <= 6; ++m)
        for (int k = chunks; k <= chunks * p; ++k) {
          Problem problem = makeProblem(costs, p, m, chunks);
          problem.limitMemory(int64_t(k) * kBytes);
          Case c{p, m, double(k) / chunks, 0, 0, 0, false};
          c.bound = lowerBound(problem, Objective::Makespan).seconds;
          ExactResult exact = exactMakespan(problem, nodes);
          c.exact = exact.bound;
          c.isFinished = exact.status == ExactResult::Status::Optimal;
          SearchOptions options;
          options.effort = effort;
          std::optional<SearchResult> found =
              search(std::span(&problem, 1), options);
          c.found = found ? found->value : INFINITY;
          ++cases;
          if (!c.isFinished)
            continue;
          ++solved;
          boundExact += c.exact <= c.bound * (1 + 1e-9);
          foundExact += c.found <= c.exact * (1 + 1e-9);
          boundGap = std::max(boundGap, c.exact / c.bound - 1);
          foundGap = std::max(foundGap, c.found / c.exact - 1);
          if (c.exact > c.bound * 1.02 || c.found > c.exact * (1 + 1e-9)) {
            char row[160];
            std::snprintf(row, sizeof(row),
                          "| %s | %d, %d | %g | %.4g | %.4g | %.4g |\n",
                          costs.name, p, m, c.limit, c.bound, c.exact, c.found);
            rows += row;
          }
        }
    std::printf("| %s | %d | %d | %d | %.1f%% | %d | %.1f%% |\n", costs.name,
                cases, solved, boundExact, 100 * boundGap, foundExact,
                100 * foundGap);
    std::fflush(stdout);
  }
  std::printf("\n| F, B, W; transfer | p, m | memory | bound | exact | `auto` "
              "|\n| --- | --- | --- | --- | --- | --- |\n%s",
              rows.c_str());
}
