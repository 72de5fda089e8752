# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs every example in the generated reference of the passes.

usage: check-pass-examples.py Passes.md WEIR-OPT FILECHECK

An example is two blocks of code: IR, and what the pass makes of it, as a quotation
of the whole; or, as `text`, the error that it is refused with. The pass has the
options of the last `--weir-...` in the prose before, or none. What `weir-reduction`
makes depends on a test of the user's, so it has none.
"""

import re
import shlex
import subprocess
import sys

from quotation import explain_difference

WITHOUT_EXAMPLE = {"weir-reduction"}


def find_examples(text):
    """Triples of the prose before, the input, and (language, output)."""
    parts = re.split(r"^```(mlir|text)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    blocks = list(zip(parts[0::3], parts[1::3], parts[2::3]))
    for (prose, _, source), (_, language, output) in zip(blocks[0::2], blocks[1::2]):
        yield prose, source, language, output
    if len(blocks) % 2:
        raise ValueError("a block of code without its other half")


def check_example(name, prose, source, language, output, weir_opt, filecheck):
    """What is wrong with an example; None if nothing is."""
    given = re.findall(rf"`(--{name}[^`]*)`", prose)
    options = shlex.split(given[-1]) if given else [f"--{name}"]
    result = subprocess.run(
        [weir_opt, "-", *options], input=source, capture_output=True, text=True
    )
    is_refusal = language == "text"
    if bool(result.returncode) != is_refusal:
        return f"{' '.join(options)} ends with {result.returncode}\n{result.stderr}"
    text = result.stderr if is_refusal else result.stdout
    difference = explain_difference(output, text, filecheck)
    return difference and f"{difference}\nThe whole is\n{text}"


def main(reference, weir_opt, filecheck):
    with open(reference) as file:
        passes = re.split(r"^### `-([\w-]+)`$", file.read(), flags=re.MULTILINE)
    count, wrong = 0, 0
    for name, text in zip(passes[1::2], passes[2::2]):
        examples = list(find_examples(text))
        if not examples and name not in WITHOUT_EXAMPLE:
            print(f"{name} has no example")
            wrong += 1
        for example in examples:
            count += 1
            fault = check_example(name, *example, weir_opt, filecheck)
            if fault:
                print(f"the example of {name} is not what happens:\n{fault}")
                wrong += 1
    if wrong:
        sys.exit(1)
    print(f"{count} examples run")


if __name__ == "__main__":
    main(*sys.argv[1:])
