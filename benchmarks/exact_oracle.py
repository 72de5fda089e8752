# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the exact search of small cases against OR-Tools' CP-SAT.

Needs the package ortools and the program WeirExactCases:
  python exact_oracle.py path/to/WeirExactCases

Two chunks in a V with F, B and W of integer length and a limit on the chunks
that a device holds from the start of F to the end of W. The model is written
from the problem's definition and shares nothing with the library.
"""
import subprocess
import sys

from ortools.sat.python import cp_model


def shortest(devices, microbatches, chunks, durations, transfer, limit):
    """Bounds of the makespan in the units of `durations` (F, B, W of a chunk),
    from below and from above; they meet unless the time runs out."""
    stages = devices * chunks
    device = [s % devices if s // devices % 2 == 0
              else devices - 1 - s % devices for s in range(stages)]
    model = cp_model.CpModel()
    horizon = microbatches * (sum(durations) * stages + 2 * transfer * stages)
    end_of_all = model.new_int_var(0, horizon, "end")
    start, intervals = {}, [[] for _ in range(devices)]
    held = [[] for _ in range(devices)]
    for s in range(stages):
        for m in range(microbatches):
            for kind in range(3):
                x = model.new_int_var(0, horizon, f"{kind},{s},{m}")
                start[kind, s, m] = x
                intervals[device[s]].append(model.new_fixed_size_interval_var(
                    x, durations[kind], f"i{kind},{s},{m}"))
                model.add(end_of_all >= x + durations[kind])
                if m:
                    model.add(x >= start[kind, s, m - 1] + durations[kind])
            size = model.new_int_var(0, horizon, "")
            release = model.new_int_var(0, horizon, "")
            model.add(release == start[2, s, m] + durations[2])
            held[device[s]].append(model.new_interval_var(
                start[0, s, m], size, release, f"h{s},{m}"))
            model.add(start[1, s, m] >= start[0, s, m] + durations[0])
            model.add(start[2, s, m] >= start[1, s, m] + durations[1])
    for s in range(stages - 1):
        lag = transfer if device[s] != device[s + 1] else 0
        for m in range(microbatches):
            model.add(start[0, s + 1, m] >= start[0, s, m] + durations[0] + lag)
            model.add(start[1, s, m] >= start[1, s + 1, m] + durations[1] + lag)
    for d in range(devices):
        model.add_no_overlap(intervals[d])
        model.add_cumulative(held[d], [1] * len(held[d]), limit)
    model.minimize(end_of_all)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = 20
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return (round(solver.best_objective_bound),
            round(solver.objective_value) if found else horizon)


def main():
    # One line per case: devices, microbatches, chunks, F, B, W, transfer (in
    # tenths of a chunk's pass), limit, and the makespan found.
    out = subprocess.run([sys.argv[1], "--list"], capture_output=True,
                         text=True, check=True).stdout
    proved, unproved = 0, 0
    for line in out.splitlines():
        p, m, chunks, f, b, w, c, k, makespan = map(int, line.split())
        low, high = shortest(p, m, chunks, (f, b, w), c, k)
        if not low <= makespan <= high:
            sys.exit(f"{line}: CP-SAT finds {low} to {high}")
        proved += low == high
        unproved += low < high
    print(f"{proved} optima agree, {unproved} cases are within what CP-SAT "
          "found in 20 s")


if __name__ == "__main__":
    main()
