# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads the pictures of schedules as other programs would, and checks that they
show what the JSON of the same schedule says.

usage: check-pictures.py schedule.json schedule.svg schedule.html schedule.trace
"""

import json
import sys
import xml.etree.ElementTree as xml
from collections import defaultdict
from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects the scripts of a page, and what it would load."""

    def __init__(self):
        super().__init__()
        self.scripts, self.loads, self.inside = [], [], False

    def handle_starttag(self, tag, attributes):
        self.loads += [v for k, v in attributes if k in ("src", "href")]
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def check_svg(schedule, path):
    root = xml.parse(path).getroot()
    passes = sum(len(device) for device in schedule["passes"])
    drawn = [e for e in root.iter() if e.get("class", "").startswith("p ")]
    assert len(drawn) == passes or (passes > 8000 and not drawn), len(drawn)


def check_html(schedule, path):
    page = Page()
    page.feed(open(path, encoding="utf-8").read())
    assert not page.loads, page.loads
    data, script = page.scripts
    assert "getElementById" in script
    (shown,) = json.loads(data)["schedules"]
    assert shown["name"] == schedule["schedule"]
    for flat, passes in zip(shown["passes"], schedule["passes"], strict=True):
        assert len(flat) == 5 * len(passes)
        for i, timed in enumerate(passes):
            _, stage, microbatch, start, duration = flat[5 * i : 5 * i + 5]
            assert (stage, microbatch) == (timed["stage"], timed["microbatch"])
            assert abs(start - timed["start"]) < 1e-6 * schedule["makespan"]
            end = start + duration
            assert abs(end - timed["end"]) < 1e-6 * schedule["makespan"]


def check_trace(schedule, path):
    events = defaultdict(list)
    for event in json.load(open(path, encoding="utf-8"))["traceEvents"]:
        events[event["ph"]].append(event)
    for device, passes in enumerate(schedule["passes"]):
        slices = [e for e in events["X"] if e["pid"] == device]
        assert len(slices) == len(passes)
        for e, timed in zip(slices, passes):
            assert abs(e["ts"] - 1000 * timed["start"]) < 0.01
        for before, after in zip(slices, slices[1:]):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-6
    begun = sorted(e["id"] for e in events["b"])
    assert begun == sorted(e["id"] for e in events["e"])
    arrows = sorted(e["id"] for e in events["s"])
    assert arrows == sorted(e["id"] for e in events["f"]) == begun
    # Every arrow begins and ends where a slice of its process does.
    starts = {(e["pid"], e["ts"]) for e in events["X"]}
    for e in events["s"] + events["f"]:
        assert (e["pid"], e["ts"]) in starts, e
    for device, peak in enumerate(schedule["peak_memory"]):
        shown = max(e["args"]["units"] for e in events["C"] if e["pid"] == device)
        assert abs(shown - peak) < 1e-9


with open(sys.argv[1], encoding="utf-8") as file:
    expected = json.load(file)
check_svg(expected, sys.argv[2])
check_html(expected, sys.argv[3])
check_trace(expected, sys.argv[4])
print("pictures agree")
