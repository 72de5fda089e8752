# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints registers and spills of every kernel of a model.

usage: kernel-table.py WEIR-OPT PTXAS ARCH STAGES.mlir

STAGES.mlir is what `weirc --emit=stages` wrote. A line per kernel: its name, its
registers, and the bytes of its stack frame, of spill stores and of spill loads, as
`ptxas -v` says. Exits with 1 if a kernel spills. (sin and cos of libdevice have a table
on the stack for large angles.)
"""

import re
import subprocess
import sys
import tempfile

PIPELINE = (
    "builtin.module(convert-weir-to-cuda{arch=%s},builtin.module("
    "gpu.module(weir-lower-device),gpu-module-to-binary{format=isa}))"
)


def compile_to_ptx(weir_opt, arch, stages):
    """The PTX of the kernels of `stages`."""
    command = [weir_opt, stages, "--pass-pipeline=" + PIPELINE % arch]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    escaped = re.search(r'assembly = "((?:[^"\\]|\\.)*)"', text)[1]
    return re.sub(
        r"\\([0-9A-F]{2}|.)",
        lambda match: match[1] if len(match[1]) == 1 else chr(int(match[1], 16)),
        escaped,
    ).rstrip("\0")


def main():
    weir_opt, ptxas, arch, stages = sys.argv[1:]
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(compile_to_ptx(weir_opt, arch, stages))
        file.flush()
        command = [ptxas, "-v", "-arch=" + arch, file.name, "-o", "/dev/null"]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    kernels = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads.*?Used (\d+) registers",
        report,
        flags=re.DOTALL,
    )
    print(f"{'kernel':20} registers  stack  stores  loads")
    for name, stack, stores, loads, registers in kernels:
        print(f"{name:20} {registers:>9} {stack:>6} {stores:>7} {loads:>6}")
    spilling = [name for name, _, *spills, _ in kernels if any(map(int, spills))]
    print(f"{len(kernels)} kernels for {arch}, {len(spilling)} spill")
    return 1 if spilling or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
