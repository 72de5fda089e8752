// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PlacedStages.h"

namespace weir::schedule {

bool checkLoopPlacement(std::string_view name, const Problem &problem,
                        std::string *error) {
  int p = problem.numDevices, n = problem.numStages();
  bool fits = n % p == 0;
  std::vector<bool> seen(p);
  for (int s = 0; fits && s < p; ++s) {
    fits = !seen[problem.placement[s]];
    seen[problem.placement[s]] = true;
  }
  for (int s = p; fits && s < n; ++s)
    fits = problem.placement[s] == problem.placement[s - p];
  if (!fits)
    *error = std::string(name) + " needs a multiple of " + std::to_string(p) +
             " stages on " + std::to_string(p) +
             " devices in loop placement: the device that holds stage i holds "
             "stage i+" +
             std::to_string(p);
  return fits;
}

bool checkVPlacement(std::string_view name, const Problem &problem,
                     std::string *error) {
  int p = problem.numDevices;
  bool fits = problem.numStages() == 2 * p;
  std::vector<bool> seen(p);
  for (int i = 0; fits && i < p; ++i) {
    int device = problem.placement[i];
    fits = !seen[device] && problem.placement[2 * p - 1 - i] == device;
    seen[device] = true;
  }
  if (!fits)
    *error = std::string(name) + " needs " + std::to_string(2 * p) +
             " stages on " + std::to_string(p) +
             " devices in v placement: the device that holds stage i holds "
             "stage " +
             std::to_string(2 * p - 1) + "-i";
  return fits;
}

void DeviceOrder::add(PassKind kind, int stage, int microbatch) {
  const Stage &costs = problem.stages[stage];
  bool exists = true;
  if (kind == PassKind::BackwardInput)
    exists = costs.hasBackwardInput;
  else if (kind == PassKind::BackwardWeight)
    exists = costs.hasBackwardWeight;
  else if (kind == PassKind::Backward)
    exists = costs.hasBackward();
  if (exists && microbatch < problem.numMicrobatches)
    order.push_back({kind, stage, microbatch});
}

} // namespace weir::schedule
