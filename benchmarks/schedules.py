#!/usr/bin/env python3
# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares all named schedules, `auto` and what others have published.

usage: benchmarks/schedules.py [--tool=build/bin/weir-schedule] [--seconds=10]
                               [--output=docs/Schedules-table.md]

Writes two kinds of tables in Markdown: every named schedule for a few problems,
and, per memory limit, the best published order beside the order that `auto`
finds in the given time. Exits with 1 if `auto` is longer anywhere.

Published values are those of published-schedules.csv: the shortest of the orders
that generators of others give for the problem, all timed by one simulator. They
cannot be computed here, since their programs are no part of this repository:

- v-min, v-half and "V, adaptive" (the search over building blocks): P. Qi et al.,
  "Pipeline Parallelism with Controllable Memory", arXiv:2405.15362;
- zb-v: P. Qi et al., "Zero Bubble Pipeline Parallelism", arXiv:2401.10241;
- gis (grouped interleaving): X. Wan et al., "PipeOffload", arXiv:2503.01328;
  all of these as in github.com/sail-sg/zero-bubble-pipeline-parallelism, 39f2c186;
- interleaved ZB: ScheduleInterleavedZeroBubble of github.com/pytorch/pytorch,
  00722e64.

Generators that take durations were run with several, and with several memory
limits; of generators with parameters (group size, chunks, blocks) every choice was
run. So a value is at most what a user of the generator gets.
"""

import argparse
import csv
import itertools
import json
import math
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PUBLISHED = os.path.join(ROOT, "benchmarks", "published-schedules.csv")

# devices, microbatches, durations, transfer
NAMED_PROBLEMS = [
    (4, 16, "1,1,1", "0"),
    (8, 32, "1,1,1", "0"),
    (8, 32, "1,1,1", "0.1"),
    (8, 32, "1,1.5,0.5", "0.1"),
    (7, 19, "1,1,1", "0"),
]


def number(value, digits=2):
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value, sign=""):
    text = f"{100 * value:{sign}.1f}%"
    return "0.0%" if text.lstrip("+-") == "0.0%" else text


class Tool:
    def __init__(self, path):
        self.path = path

    def run(self, *options):
        """Standard output, or None and one line of error."""
        result = subprocess.run(
            [self.path, *options], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            return None, (result.stderr.strip().splitlines() or ["failed"])[0]
        return result.stdout, None

    def schedules(self):
        text, error = self.run("--devices=4", "--microbatches=8", "--format=table")
        if text is None:
            sys.exit(f"schedules.py: {error}")
        names = [line.split()[0] for line in text.splitlines()[1:] if line.strip()]
        return [name for name in names if name != "auto"]

    def build(self, problem, *options):
        """The schedule in JSON and the milliseconds of building it."""
        devices, microbatches, durations, transfer = problem
        options = [
            f"--devices={devices}",
            f"--microbatches={microbatches}",
            f"--durations={durations}",
            f"--transfer={transfer}",
            *options,
        ]
        text, error = self.run(*options, "--format=json")
        return (json.loads(text), None) if text else (None, error)

    def milliseconds(self, problem, name):
        """From the last column of the tool's own table."""
        devices, microbatches, _, _ = problem
        text, _ = self.run(
            f"--devices={devices}",
            f"--microbatches={microbatches}",
            f"--schedule={name}",
            "--format=table",
        )
        return text.splitlines()[1].split()[-1] if text else "?"


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| " + " | ".join(["---"] + ["---:"] * (len(header) - 1)) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def describe(problem):
    devices, microbatches, durations, transfer = problem
    text = f"{devices} devices, {microbatches} microbatches, F,B,W = {durations}"
    return text + (f", transfer {transfer}" if float(transfer) else ", no transfer time")


def columns(result):
    bound = result["lower_bound"]
    return [
        percent(result["bubble_ratio"]),
        number(bound),
        percent(result["makespan"] / bound - 1) if bound else "-",
        number(max(result["peak_memory"])),
    ]


def named_tables(tool):
    for problem in NAMED_PROBLEMS:
        rows = []
        for name in tool.schedules():
            result, error = tool.build(problem, f"--schedule={name}")
            if result is None:
                rows.append([name, error] + [""] * 7)
                continue
            chunks = result["stages"] // problem[0]
            rows.append(
                [
                    name,
                    str(chunks),
                    number(result["makespan"]),
                    number(result["span"]),
                    *columns(result),
                    tool.milliseconds(problem, name),
                ]
            )
        yield f"### {describe(problem)}"
        yield ""
        yield from table(
            [
                "schedule",
                "chunks",
                "makespan",
                "span",
                "bubble",
                "bound",
                "gap",
                "memory",
                "ms to build",
            ],
            rows,
        )


def search_tables(tool, seconds, ratios):
    with open(PUBLISHED, newline="") as file:
        points = list(csv.DictReader(file))

    def key(point):
        return (
            int(point["devices"]),
            int(point["microbatches"]),
            point["durations"],
            point["transfer"],
            point["chunks"],
            point["objective"],
        )

    for (*problem, chunks, objective), group in itertools.groupby(points, key):
        rows = []
        for point in group:
            result, error = tool.build(
                problem,
                "--schedule=auto",
                f"--memory-limit={point['memory']}",
                f"--max-chunks={chunks}",
                f"--objective={objective}",
                f"--time-budget={seconds}",
            )
            published = float(point["value"])
            row = [point["memory"], f"{number(published, 3)} ({point['generator']})"]
            if result is None:
                rows.append(row + [error] + [""] * 6)
                ratios.append(math.inf)
                continue
            value = result[objective]
            ratios.append(value / published)
            bound = result["lower_bound"]
            rows.append(
                row
                + [
                    number(value, 3),
                    percent(value / published - 1, sign="+"),
                    str(result["stages"] // problem[0]),
                    percent(result["bubble_ratio"]),
                    number(bound),
                    percent(value / bound - 1) if bound else "-",
                    number(max(result["peak_memory"])),
                ]
            )
        yield f"### {describe(problem)}, at most {chunks} chunks, {objective}"
        yield ""
        yield from table(
            [
                "memory limit",
                "best published",
                "`auto`",
                "difference",
                "chunks",
                "bubble",
                "bound",
                "gap",
                "memory",
            ],
            rows,
        )


def main():
    parser = argparse.ArgumentParser(
        description="Compares named schedules, the search and published ones."
    )
    parser.add_argument(
        "--tool", default=os.path.join(ROOT, "build", "bin", "weir-schedule")
    )
    parser.add_argument(
        "--seconds", type=float, default=10, help="time of each search"
    )
    parser.add_argument(
        "--output", default=os.path.join(ROOT, "docs", "Schedules-table.md")
    )
    arguments = parser.parse_args()
    if not os.access(arguments.tool, os.X_OK):
        sys.exit(f"schedules.py: no program {arguments.tool}; scripts/build makes it")
    tool = Tool(arguments.tool)

    ratios = []
    lines = [
        "<!-- Made by benchmarks/schedules.py; run it again instead of editing. -->",
        "",
        "# Schedules compared",
        "",
        "A device's whole share of the model takes the given F, B, W for one",
        "microbatch; memory counts the activations that this share keeps for one",
        "microbatch. The bound is what no order of the placement can beat, the gap",
        "how far the schedule is above it; what else the words mean is in",
        "[Schedules.md](Schedules.md).",
        "",
        "## Named schedules",
        "",
        *named_tables(tool),
        "## The search, beside what others have published",
        "",
        f"Each search was given {number(arguments.seconds)} s and two processors. Where",
        "the published values come from is in `benchmarks/schedules.py`.",
        "",
        *search_tables(tool, arguments.seconds, ratios),
    ]
    worse = sum(ratio > 1 + 1e-9 for ratio in ratios)
    finite = [ratio for ratio in ratios if ratio < math.inf]
    if finite:
        mean = math.exp(sum(map(math.log, finite)) / len(finite))
        lines += [
            f"In the geometric mean over the {len(finite)} points the search is at",
            f"{mean:.3f} of the best published; it is longer at {worse} of them.",
            "",
        ]
    with open(arguments.output, "w") as file:
        file.write("\n".join(lines))
    print(f"{len(ratios)} points, longer than published at {worse}")
    return worse > 0


if __name__ == "__main__":
    sys.exit(main())
