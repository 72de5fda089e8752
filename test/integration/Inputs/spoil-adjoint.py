# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes one rule of differentiation wrong.

usage: spoil-adjoint.py FUNCTION joint.mlir

In a joint graph, finds the last forward op that computes FUNCTION (math.exp, say) and
lets the first elementwise op of its adjoint give a hundredth more than it should.
"""

import re
import sys


def main(function, path):
    with open(path) as file:
        text = file.read()
    ops = list(re.finditer(r"^    %\S+ = linalg\.generic \{.*?^    \} -> .*?$", text, re.M | re.S))
    numbers = [
        int(number[1])
        for op in ops
        if f" {function} " in op[0] and (number := re.search(r"weir\.op = (\d+)", op[0]))
    ]
    adjoint = next(
        op
        for op in ops
        if f"weir.adjoint_of = {numbers[-1]} " in op[0] and '"reduction"' not in op[0]
    )
    spoiled = re.sub(
        r"( *)linalg\.yield (%\w+) : (f\d+)\n",
        r"\1%spoil = arith.constant 1.01 : \3\n"
        r"\1%spoiled = arith.mulf \2, %spoil : \3\n"
        r"\1linalg.yield %spoiled : \3\n",
        adjoint[0],
    )
    assert spoiled != adjoint[0]
    sys.stdout.write(text[: adjoint.start()] + spoiled + text[adjoint.end() :])


if __name__ == "__main__":
    main(*sys.argv[1:])
