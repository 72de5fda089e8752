# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times of the kernels and products of one rank: check-launches.py FILE

Products have operations and kernels bytes, and those that take longest in a step come
first."""

import json
import sys

with open(sys.argv[1]) as file:
    [rank] = json.load(file)["ranks"]
launches = rank["launches"]
for one in launches:
    assert one["calls_per_step"] > 0 and one["median_seconds"] > 0, one
    assert one.get("flops" if one["kind"] == "product" else "bytes", 0) > 0, one
    assert one["passes"] and set(one["passes"]) <= {p["name"] for p in rank["passes"]}, one
assert {one["kind"] for one in launches} == {"kernel", "product"}
times = [one["calls_per_step"] * one["median_seconds"] for one in launches]
assert times == sorted(times, reverse=True), times
assert rank["copy"]["bytes_per_second"] > 0 and rank["empty_seconds"] > 0, rank
