# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares what documentation quotes with what tools print.

The lines of a quotation have to be in the text, in their order. `...` stands for
anything on a line, or for any lines; lines may be broken where the text has a blank.
The first use of a name such as `%x` stands for any name, later ones for the same.
"""

import os
import re
import subprocess
import tempfile


def to_pattern(line, known):
    """The line as FileCheck reads it; `known` is the set of names seen so far."""

    def escape(text):
        text = re.sub(r"\[\[|\{\{", lambda match: "{{" + re.escape(match[0]) + "}}", text)
        return text.replace("...", "{{.*}}")

    pattern, end = "", 0
    for match in re.finditer(r"%([A-Za-z0-9_]+)", line):
        name = "V" + match[1]
        pattern += escape(line[end : match.start()])
        pattern += f"[[{name}]]" if name in known else f"[[{name}:%[A-Za-z0-9_]+]]"
        known.add(name)
        end = match.end()
    return pattern + escape(line[end:])


def explain_difference(quotation, text, filecheck):
    """What FileCheck says if `text` does not have the quotation; else None."""
    known = set()
    # FileCheck goes on behind what it found, so that dots at an end say nothing.
    lines = [re.sub(r"^\s*(\.\.\.)?\s*|\s*(\.\.\.)?\s*$", "", line) for line in quotation.splitlines()]
    checks = ["CHECK: " + to_pattern(line, known) for line in lines if re.search(r"\w", line)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "quotation")
        with open(path, "w") as file:
            file.write("\n".join(checks) + "\n")
        result = subprocess.run(
            [filecheck, path, "--dump-input=never"], input=text, capture_output=True, text=True
        )
    return result.stderr if result.returncode else None
