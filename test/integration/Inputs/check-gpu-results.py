# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether the results of scripts/gpu-check hold what they are to hold.

usage: check-gpu-results.py RESULTS"""

import json
import sys

with open(sys.argv[1]) as file:
    results = json.load(file)
for key in ("date", "command", "gpu", "arch"):
    assert results[key], key
assert all(record["worst"] <= 1e-4 for record in results["training"])
for name in ("play-1f1b", "play-v-half"):
    played = results[name]["played"]
    assert [rank["rank"] for rank in played] == list(range(results[name]["ranks"]))
    for rank in played:
        assert rank["taken_bytes"] >= rank["memory"]["arena_bytes"], rank["memory"]
        passes = [one for one in rank["passes"] if one["pass"] != "update"]
        assert passes and all(one["ratio"] > 0 for one in passes), rank
bandwidth = results["bandwidth"]
assert 0 < bandwidth["all_kernels_of_copy"]
assert abs(sum(one["share"] for one in bandwidth["launches"]) - 1) < 1e-6
slow = {one["name"] for one in bandwidth["launches"] if one.get("of_copy", 1) < 0.85}
assert set(bandwidth["below"]) == slow, slow
assert all(speed["median"] > 0 for speed in results["gpt2"].values())
