# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measurements of ranks: check-measurements.py PASSES MICROBATCHES RANKS FILE...

The files hold so many ranks together. Every stage's passes ran once per microbatch,
were measured in every step but the first, and have an estimate; the arena was used
between its residents and its end. PASSES is what the ranks are to have run, such as
"forward backward_input backward_weight update".
"""

import json
import sys

passes, microbatches, num_ranks = sys.argv[1].split(), int(sys.argv[2]), int(sys.argv[3])
ranks = {}
for path in sys.argv[4:]:
    with open(path) as file:
        measured = json.load(file)
    assert measured["devices"][0]["taken_bytes"] > 0, measured["devices"]
    for rank in measured["ranks"]:
        assert rank["rank"] not in ranks, rank["rank"]
        ranks[rank["rank"]] = rank
        memory = rank["memory"]
        lives = memory["resident_bytes"], memory["highest_touched_bytes"]
        assert 0 < lives[0] < lives[1] <= memory["arena_bytes"], memory
        for one in rank["passes"]:
            calls = 1 if one["pass"] == "update" else microbatches
            assert one["calls_per_step"] == calls, one
            assert one["calls_measured"] == calls * (measured["steps"] - 1), one
            assert 0 < one["min_seconds"] <= one["median_seconds"], one
            assert one["pass"] == "update" or one["estimated_seconds"] > 0, one
            assert 0 < one["buffer_bytes"], one
assert sorted(ranks) == list(range(num_ranks)), sorted(ranks)
kinds = {one["pass"] for rank in ranks.values() for one in rank["passes"]}
assert kinds == set(passes), kinds
