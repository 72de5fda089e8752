// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef WEIR_UNITTESTS_SCHEDULE_RENDEREDCASE_H
#define WEIR_UNITTESTS_SCHEDULE_RENDEREDCASE_H

#include "weir/Schedule/NamedSchedules.h"
#include "weir/Schedule/Rendering.h"

namespace weir::schedule::test {

/// A named schedule at unit cost, ready to be drawn.
struct RenderedCase {
  Problem problem;
  Schedule schedule;
  Simulation simulation;

  RenderedCase(std::string_view name, int p, int m)
      : problem(unitProblem(p, m,
                            makePlacement(findNamed(name)->placement,
                                          p * findNamed(name)->stagesPerDevice,
                                          p))),
        schedule(*buildNamed(name, problem, nullptr)),
        simulation(*simulate(problem, schedule)) {}

  Rendered rendered(const Units &units = {}) const {
    return {problem, schedule, simulation, units};
  }
};

inline size_t count(std::string_view text, std::string_view part) {
  size_t result = 0;
  for (size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + 1))
    ++result;
  return result;
}

/// A name that would run a script, end an element, a string or a comment, and
/// is no UTF-8.
inline constexpr std::string_view kHostileName =
    "</script><script>alert('1')</script>\"&<!--\xff\x01{{data}}";

} // namespace weir::schedule::test

#endif // WEIR_UNITTESTS_SCHEDULE_RENDEREDCASE_H
