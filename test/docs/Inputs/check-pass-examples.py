# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs every example in the generated reference of the passes.

usage: check-pass-examples.py Passes.md WEIR-OPT FILECHECK

An example is two blocks of code: IR, and what the pass makes of it, as a quotation
of the whole; or, as `text`, the error that it is refused with. The pass has the
options of the last `--weir-...` in the prose before, or none. The reduction runs as
`weir-reduce --weir-reduction=test=./SCRIPT FILE` in the prose says, with the script in
the block `sh` before.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile

from quotation import explain_difference


def find_examples(text):
    """Triples of the prose before, the input, and (language, output)."""
    parts = re.split(r"^```(mlir|text)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    blocks = list(zip(parts[0::3], parts[1::3], parts[2::3]))
    for (prose, _, source), (_, language, output) in zip(blocks[0::2], blocks[1::2]):
        yield prose, source, language, output
    if len(blocks) % 2:
        raise ValueError("a block of code without its other half")


def find_command(name, prose, source, weir_opt, folder):
    """The command of an example on its input, as words. Writes files to `folder`."""
    reduction = re.search(r"`(weir-reduce --\S+=\./(\S+) (\S+))`", prose)
    if not reduction:
        given = re.findall(rf"`(--{name}[^`]*)`", prose)
        return [weir_opt, "-", *shlex.split(given[-1] if given else f"--{name}")]
    command, script, module = reduction.groups()
    lines = re.search(r"^```sh\n(.*?)^```$", prose, flags=re.MULTILINE | re.DOTALL)[1]
    for path, text in (script, lines), (module, source):
        with open(os.path.join(folder, path), "w") as file:
            file.write(text)
        os.chmod(os.path.join(folder, path), 0o755)
    return shlex.split(command)


def check_example(name, prose, source, language, output, weir_opt, filecheck):
    """What is wrong with an example; None if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        command = find_command(name, prose, source, weir_opt, folder)
        result = subprocess.run(
            command, input=source, capture_output=True, text=True, cwd=folder
        )
    is_refusal = language == "text"
    if bool(result.returncode) != is_refusal:
        return f"{' '.join(command)} ends with {result.returncode}\n{result.stderr}"
    text = result.stderr if is_refusal else result.stdout
    difference = explain_difference(output, text, filecheck)
    return difference and f"{difference}\nThe whole is\n{text}"


def main(reference, weir_opt, filecheck):
    with open(reference) as file:
        passes = re.split(r"^### `-([\w-]+)`$", file.read(), flags=re.MULTILINE)
    count, wrong = 0, 0
    for name, text in zip(passes[1::2], passes[2::2]):
        examples = list(find_examples(text))
        if not examples:
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
