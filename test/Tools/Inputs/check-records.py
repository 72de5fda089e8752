# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks what a training wrote about itself.

usage: check-records.py METRICS TRACE steps=N devices=N microbatches=N
"""

import json
import sys

metrics, trace = sys.argv[1:3]
size = {name: int(value) for name, value in (a.split("=") for a in sys.argv[3:])}

steps = [json.loads(line) for line in open(metrics)]
keys = {"step", "loss", "count", "tokens_per_second", "seconds", "lr"}
for step in steps:
    assert set(step) == keys, f"{metrics}: keys {sorted(step)}"
    assert all(isinstance(value, (int, float)) for value in step.values()), step
    assert step["loss"] > 0 and step["count"] > 0 and step["seconds"] > 0, step
assert [step["step"] for step in steps] == list(range(1, size["steps"] + 1)), steps

events = json.load(open(trace))["traceEvents"]
names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
assert names == {d: f"device {d}" for d in range(size["devices"])}, names
for device in range(size["devices"]):
    spans = [e for e in events if e["ph"] == "X" and e["tid"] == device]
    assert all(e["dur"] >= 0 for e in spans)
    for step in range(1, size["steps"] + 1):
        ran = [e["name"] for e in spans if e["cat"] == "forward" and e["args"]["step"] == step]
        expected = [f"F s{device} mb {m}" for m in range(size["microbatches"])]
        assert ran == expected, f"device {device}, step {step}: {ran}"
