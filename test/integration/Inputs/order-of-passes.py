# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints the order in which each device ran its passes, from a trace."""

import json
import sys


def main(path):
    with open(path) as file:
        trace = json.load(file)
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    passes = [
        event
        for event in events
        if event.get("cat", "").split(",")[0].startswith(("forward", "backward"))
    ]
    for event in sorted(passes, key=lambda event: (event["pid"], event["tid"], event["ts"])):
        print(event["pid"], event["tid"], event["name"])


if __name__ == "__main__":
    main(*sys.argv[1:])
