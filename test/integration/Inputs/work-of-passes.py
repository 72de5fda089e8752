# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Counts what the passes of a pipeline compute.

usage: work-of-passes.py joint.mlir stages.mlir

Prints the matrix products of each kind of pass, and whether the passes together
compute what the joint graph does, every op once.
"""

import collections
import re
import sys

# What gives a value without computing one; every pass has its own.
FREE = {
    "arith.constant",
    "linalg.fill",
    "tensor.collapse_shape",
    "tensor.empty",
    "tensor.expand_shape",
    "tensor.extract_slice",
    "weir.read",
    # Not work but where it goes.
    "func.return",
    "weir.accumulate",
    "weir.pack",
    "weir.report",
    "weir.unpack",
    "weir.yield",
}


def operations(lines, depth):
    """Names of the ops that begin at an indentation of `depth` spaces."""
    for line in lines:
        match = re.match(rf" {{{depth}}}(?:%[\w:, %#]+ = )?([a-z_]+\.[a-z_0-9]+)\b", line)
        if match and match[1] not in FREE:
            yield match[1]


def main(joint_path, stages_path):
    with open(joint_path) as file:
        joint = collections.Counter(operations(file, 4))
    with open(stages_path) as file:
        lines = file.readlines()
    passes = collections.defaultdict(collections.Counter)
    kind = None
    for line in lines:
        begin = re.match(r" {4}(?:%.* = )?weir\.(forward|backward_input|backward_weight) \d+ \(", line)
        if begin:
            kind = begin[1]
        elif line.startswith("    }"):
            kind = None
        elif kind:
            passes[kind].update(operations([line], 6))
    for kind, work in passes.items():
        print(f"{kind}: {work['linalg.contract']} products")
    total = sum(passes.values(), collections.Counter())
    if total == joint:
        print(f"all {total.total()} ops of the joint graph are computed once")
    else:
        print("more than once:", total - joint, "not at all:", joint - total)


if __name__ == "__main__":
    main(*sys.argv[1:])
