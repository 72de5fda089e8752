# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads every MLIR example of a generated reference with weir-opt.

usage: check-examples.py Dialect.md contexts.mlir WEIR-OPT

An example shows one op, not what is around it. `contexts.mlir` has that: sections
that begin with `// CONTEXT: op ...`, each with a line `// EXAMPLE` in the place of
the example. An op without a section stands alone.
"""

import re
import subprocess
import sys


def read_contexts(path):
    contexts = {}
    with open(path) as file:
        sections = re.split(r"^// CONTEXT: (.*)$", file.read(), flags=re.MULTILINE)
    for names, text in zip(sections[1::2], sections[2::2]):
        for name in names.split():
            contexts[name] = text
    return contexts


def main(reference, contexts_path, weir_opt):
    with open(reference) as file:
        operations = re.split(r"^### `(weir\.[\w.]+)`.*$", file.read(), flags=re.MULTILINE)
    contexts = read_contexts(contexts_path)
    count, wrong = 0, 0
    for name, text in zip(operations[1::2], operations[2::2]):
        text = text.split("\n## ")[0]
        examples = re.findall(r"^```mlir\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        if not examples:
            print(f"{name} has no example")
            wrong += 1
        for example in examples:
            count += 1
            source = contexts.get(name, "// EXAMPLE\n").replace("// EXAMPLE\n", example)
            result = subprocess.run(
                [weir_opt, "-"], input=source, capture_output=True, text=True
            )
            if result.returncode or name not in result.stdout:
                print(f"the example of {name} is not read:\n{source}\n{result.stderr}")
                wrong += 1
    if wrong:
        sys.exit(1)
    print(f"{count} examples read")


if __name__ == "__main__":
    main(*sys.argv[1:])
