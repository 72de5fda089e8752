# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Follows the links of the documentation within a repository.

usage: check-links.py REPOSITORY FILE ...

Starts from the files (Markdown) and goes on to those that they link. Every link has to
lead to a file or folder, and behind `#` to a heading. Every Markdown file of docs/ has
to be reached.
"""

import os
import re
import sys


def read_text(path):
    """Markdown without its code."""
    with open(path) as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda match: match[0].replace("](", "] ("), text)


def find_anchors(path):
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", read_text(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_faults(path):
    """Yields what is wrong with links of a file, and the files that they lead to."""
    for link in re.findall(r"\]\(([^)\s]+)\)", read_text(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(target):
            yield f"{path}: {link} leads nowhere", None
        elif target.endswith(".md"):
            if anchor and anchor not in find_anchors(target):
                yield f"{path}: {link} has no such heading", None
            yield None, target


def main(repository, *starts):
    waiting = [os.path.normpath(os.path.join(repository, start)) for start in starts]
    seen, faults = set(), []
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for fault, target in find_faults(path):
            faults += [fault] if fault else []
            waiting += [target] if target else []
    for folder, _, names in os.walk(os.path.join(repository, "docs")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".md") and path not in seen:
                faults.append(f"{path}: nothing leads here")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(seen)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
