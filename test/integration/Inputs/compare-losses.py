# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares the losses of two runs, step by step: they may differ by 1e-4.

usage: compare-losses.py METRICS METRICS"""

import json
import sys


def read(path):
    with open(path) as file:
        return [json.loads(line)["loss"] for line in file]


first, second = (read(path) for path in sys.argv[1:3])
if not first or len(first) != len(second):
    sys.exit(f"{len(first)} and {len(second)} steps")
worst = max(abs(a - b) / max(1, abs(b)) for a, b in zip(first, second))
if not worst <= 1e-4:
    sys.exit(f"losses differ by {worst:g}: {first} and {second}")
if not first[-1] < first[0]:
    sys.exit(f"the loss does not fall: {first}")
