# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether two safetensors files of f32 hold nearly the same numbers.

usage: near.py FILE FILE TOLERANCE

Every element may differ by TOLERANCE times the largest of its tensor.
"""

import array
import json
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: array.array("f", data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


first, second, tolerance = read(sys.argv[1]), read(sys.argv[2]), float(sys.argv[3])
assert first.keys() == second.keys() and first
for name, values in first.items():
    others = second[name]
    scale = max(map(abs, others))
    assert len(values) == len(others) and scale > 0, name
    worst = max(abs(a - b) for a, b in zip(values, others)) / scale
    if not worst <= tolerance:
        sys.exit(f"{name} differs by {worst} of its largest element")
print(f"{len(first)} tensors agree")
