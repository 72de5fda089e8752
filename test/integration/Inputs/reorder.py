# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Changes the order of actions in the text of a module of programs.

usage: reorder.py later|overtaken|withheld programs.mlir

later      each W that is followed by an F or B comes after it: nothing but the
           update waits for a W, so this is legal
overtaken  the W of the first microbatch comes after that of the second
withheld   the first device sends nothing until its passes are done
"""

import re
import sys


def main(what, path):
    with open(path) as file:
        lines = file.readlines()

    def first(pattern, begin=0):
        return next(i for i in range(begin, len(lines)) if re.search(pattern, lines[i]))

    if what == "later":
        i = 0
        while i < len(lines):
            if "weir.run backward_weight " in lines[i]:
                run = first(r"weir\.run ", i + 1)
                if re.search(r"weir\.run (forward|backward_input) ", lines[run]):
                    lines.insert(run, lines.pop(i))
                    i = run
            i += 1
    elif what == "overtaken":
        begin = first(r"weir\.run backward_weight (\d+) microbatch 0 ")
        stage = re.search(r"backward_weight (\d+)", lines[begin])[1]
        end = first(rf"weir\.run backward_weight {stage} microbatch 1 ", begin)
        lines.insert(end, lines.pop(begin))
    elif what == "withheld":
        begin = first(r"weir\.program ")
        end = first(r"weir\.run update", begin)
        starts = [i for i in range(begin, end) if "weir.send_start" in lines[i]]
        tokens = [re.match(r" *(%\w+) =", lines[i])[1] for i in starts]
        waits = [first(rf"weir\.wait {token} ", begin) for token in tokens]
        held = [lines[i] for i in starts + waits]
        for i in sorted(starts + waits, reverse=True):
            del lines[i]
        lines[end - len(held) : end - len(held)] = held
    else:
        sys.exit(f"unknown change '{what}'")
    sys.stdout.writelines(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
