# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Does what a tutorial says, and compares what it quotes.

usage: check-tutorial.py run TUTORIAL REPOSITORY FILECHECK    in an empty folder
       check-tutorial.py apply TUTORIAL REPOSITORY            changes the repository
       check-tutorial.py compare TEXT OUTPUT FILECHECK        compares all blocks `mlir`

What a block of code is, the word behind its language says:

    sh              commands; run with `bash -e`, one block after the other
    text output     a quotation of what the commands above print
    mlir FILE       a quotation of a file that commands above wrote; text likewise
    diff FILE       a change of a file of the repository, without line numbers

Other blocks are for people. `run` tries changes on a copy of each file; `apply` makes
them. Names in backticks have to exist: paths in the repository, and words with capitals
inside, which are names of functions and types, in its sources.
"""

import os
import re
import subprocess
import sys

from quotation import explain_difference

SOURCES = ("lib", "include", "unittests", "runtime", "tools")


def find_blocks(text):
    """Language, word behind it, and content of each block."""
    return re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def change(text, difference):
    """`text` after a change; raises if the lines are not there, or there twice."""
    lines = difference.splitlines()
    before = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
    after = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
    if text.count(before) != 1:
        raise ValueError(f"{text.count(before)} places for the change\n{difference}")
    return text.replace(before, after)


def find_unknown_names(text, repository):
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    sources = ""
    for folder in SOURCES:
        for path, _, files in os.walk(os.path.join(repository, folder)):
            for name in files:
                if name.endswith((".h", ".cpp", ".td", ".c")):
                    with open(os.path.join(path, name)) as file:
                        sources += file.read()
    for name in re.findall(r"`([^`\s]+)`", prose):
        is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)+", name)
        if is_path and not os.path.exists(os.path.join(repository, name)):
            yield name
        is_symbol = re.fullmatch(r"\w*[a-z]\w*", name) and re.search(r"[A-Z]", name)
        if is_symbol and not re.search(rf"\b{name}\b", sources):
            yield name


def apply(text, repository):
    """Makes all changes; returns the content of the changed files."""
    changed = {}
    for language, name, content in find_blocks(text):
        if language != "diff":
            continue
        if name not in changed:
            with open(os.path.join(repository, name)) as file:
                changed[name] = file.read()
        changed[name] = change(changed[name], content)
    return changed


def run(text, filecheck):
    """Runs all commands; returns how many quotations were compared."""
    count, output = 0, ""
    for language, name, content in find_blocks(text):
        if language == "sh":
            result = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", content],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            output = result.stdout
            if result.returncode:
                raise ValueError(f"these commands fail:\n{content}{output}")
        elif name and language in ("mlir", "text"):
            count += 1
            quoted = output
            if name != "output":
                with open(name) as file:
                    quoted = file.read()
            difference = explain_difference(content, quoted, filecheck)
            if difference:
                raise ValueError(f"{name} does not have this:\n{content}{difference}")
    return count


def compare(text, path, filecheck):
    """Compares the blocks of IR of a text, each a quotation of the same file."""
    with open(path) as file:
        output = file.read()
    for language, _, content in find_blocks(text):
        difference = language == "mlir" and explain_difference(content, output, filecheck)
        if difference:
            sys.exit(f"nothing prints this:\n{content}{difference}")


def main(action, tutorial, subject, filecheck=None):
    with open(tutorial) as file:
        text = file.read()
    if action == "compare":
        return compare(text, subject, filecheck)
    repository = subject
    try:
        changed = apply(text, repository)
        if action == "apply":
            for name, content in changed.items():
                with open(os.path.join(repository, name), "w") as file:
                    file.write(content)
            return
        unknown = list(find_unknown_names(text, repository))
        if unknown:
            raise ValueError("names of nothing: " + ", ".join(unknown))
        os.environ["WEIR"] = repository
        count = run(text, filecheck)
    except ValueError as error:
        sys.exit(f"{tutorial}: {error}")
    print(f"{count} quotations, {len(changed)} changed files")


if __name__ == "__main__":
    main(*sys.argv[1:])
