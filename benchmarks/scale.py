#!/usr/bin/env python3
# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures how weirc grows with layers and microbatches, up to planned programs.

usage: benchmarks/scale.py [--bin=build/bin] [--schedules=v-half,interleaved-1f1b]
                           [--layers=12,24,48,96] [--microbatches=32,...,512]
                           [--devices=32] [--few-devices=4] [--hidden=1024]

Two sweeps per schedule, both with two stages per device: over layers with
--few-devices and the fewest microbatches, and over microbatches with --devices and
the most layers. Prints one Markdown row per run, with processor time, peak of the
resident set, size of the planned programs, and how many kernels all passes share,
and for each sweep the exponents of time and memory between its last two points: 1 is
linear.
"""

import argparse
import math
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def numbers(text):
    return [int(part) for part in text.split(",")]


def run(command):
    """Runs the command; returns seconds of processor time, bytes and its errors."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: {errors}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, errors


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory

    def model(self, layers):
        path = os.path.join(self.directory, f"gpt{layers}.mlir")
        if not os.path.exists(path):
            hidden = self.options.hidden
            run([os.path.join(self.options.bin, "weir-model"), "gpt",
                 f"--layers={layers}", f"--hidden={hidden}",
                 f"--heads={max(1, hidden // 64)}", "--context=1024",
                 "--vocab=50257", "--batch=1", "-o", path])
        return path

    def measure(self, schedule, layers, devices, microbatches):
        """Plans once and prints the row; returns seconds and bytes."""
        output = os.path.join(self.directory, "plan.mlir")
        seconds, peak, errors = run([
            os.path.join(self.options.bin, "weirc"), self.model(layers),
            f"--devices={devices}", "--chunks=2",
            f"--microbatches={microbatches}", f"--schedule={schedule}",
            "--emit=plan", "--remarks-filter=convert-weir-to-host",
            "-o", output])
        shared = re.search(r"(\d+) passes share (\d+) kernels", errors)
        with open(output, encoding="utf-8") as file:
            actions = sum("weir.run" in line or "weir.wait" in line or
                          "_start" in line or "weir.load" in line
                          for line in file)
        print(f"| {schedule} | {layers} | {2 * devices} on {devices} | "
              f"{microbatches} | {seconds:.1f} s | {peak / 2**20:.0f} MiB | "
              f"{actions} | {shared[2]} of {shared[1]} |", flush=True)
        return seconds, peak

    def sweep(self, schedule, name, points):
        """points: pairs of what grows and the arguments of measure."""
        results = [(size, *self.measure(schedule, *point))
                   for size, point in points]
        if len(results) < 2:
            return
        (size0, *values0), (size1, *values1) = results[-2:]
        time, memory = (math.log(after / before) / math.log(size1 / size0)
                        for before, after in zip(values0, values1))
        self.exponents.append(
            f"{schedule}: {name} from {size0} to {size1}: exponent "
            f"{time:.2f} of time, {memory:.2f} of memory")

    def all(self):
        options = self.options
        self.exponents = []
        print("| schedule | layers | stages | microbatches | time | memory | "
              "actions | kernels of passes |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        few, most = min(options.microbatches), max(options.layers)
        for schedule in options.schedules.split(","):
            self.sweep(schedule, "layers", [
                (layers, (layers, options.few_devices, few))
                for layers in options.layers])
            self.sweep(schedule, "microbatches", [
                (count, (most, options.devices, count))
                for count in options.microbatches])
        print("\n" + "\n".join(self.exponents))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    parser.add_argument("--schedules", default="v-half,interleaved-1f1b")
    parser.add_argument("--layers", type=numbers, default=[12, 24, 48, 96])
    parser.add_argument("--microbatches", type=numbers,
                        default=[32, 64, 128, 256, 512])
    parser.add_argument("--devices", type=int, default=32)
    parser.add_argument("--few-devices", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=1024)
    with tempfile.TemporaryDirectory() as directory:
        Bench(parser.parse_args(), directory).all()


if __name__ == "__main__":
    main()
