#!/usr/bin/env python3
# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes what the fuzzer of modules begins with: every case of the tests that is
small, and small models at every level.

usage: make-seeds.py TESTS BIN SEEDS

TESTS is the folder of the tests, BIN the one of the tools; SEEDS is made."""

import pathlib
import re
import subprocess
import sys

LARGEST = 50000  # bytes of a seed: what is larger is slow

MODELS = {
    "gpt": "gpt --layers=1 --hidden=2 --heads=1 --context=2 --vocab=3 --batch=1 --tied",
    "mlp": "mlp --layers=1 --hidden=2 --context=2 --vocab=3 --batch=1",
}


# Upstream reads these safely in their generic form only.
UNSAFE = re.compile(r"linalg\.(reduce|map)\b")


def make_safe(text, tools):
    """The module in generic form where that is needed; empty if there is none."""
    if not UNSAFE.search(text):
        return text
    command = [tools / "weir-opt", "-", "--mlir-print-op-generic"]
    result = subprocess.run(
        command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return result.stdout.decode() if result.returncode == 0 else ""


def cases_of_tests(tests):
    for path in sorted(tests.rglob("*.mlir")):
        cases = re.split(r"^// -----.*$", path.read_text(), flags=re.MULTILINE)
        for number, case in enumerate(cases):
            lines = [
                line
                for line in case.splitlines()
                if not re.match(r"\s*//", line) and line.strip()
            ]
            yield f"{path.stem}-{number}", "\n".join(lines) + "\n"


def levels_of_models(tools):
    for name, options in MODELS.items():
        model = subprocess.run(
            [tools / "weir-model", *options.split()], check=True, stdout=subprocess.PIPE
        ).stdout
        yield f"{name}-model", model.decode()
        for level in ["joint", "stages", "programs", "plan"]:
            command = [tools / "weirc", "-", f"--emit={level}", "--devices=2"]
            if level in ["programs", "plan"]:
                command += ["--microbatches=2", "--schedule=zb-h1"]
            output = subprocess.run(
                command, input=model, check=True, stdout=subprocess.PIPE
            ).stdout
            yield f"{name}-{level}", output.decode()


def main():
    tests, tools, seeds = map(pathlib.Path, sys.argv[1:])
    seeds.mkdir(parents=True, exist_ok=True)
    for name, text in [*cases_of_tests(tests), *levels_of_models(tools)]:
        text = make_safe(text, tools)
        if text.strip() and len(text) <= LARGEST:
            (seeds / f"{name}.mlir").write_text(text)


main()
