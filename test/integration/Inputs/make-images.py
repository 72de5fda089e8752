# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes images of CxHxW in CLASSES classes as records of CIFAR-10's binary format:
the label, then the pixels. Each class has a pattern, half hidden in noise, so that a
class can be told from an image, but not from one pixel.

    make-images.py CxHxW CLASSES COUNT FILE
"""

import random
import sys

shape, classes, count, path = sys.argv[1:]
pixels = 1
for size in shape.split("x"):
    pixels *= int(size)
draw = random.Random(20090408)
patterns = [draw.choices((64, 192), k=pixels) for _ in range(int(classes))]
with open(path, "wb") as file:
    for _ in range(int(count)):
        label = draw.randrange(len(patterns))
        noise = (draw.randint(-64, 63) for _ in range(pixels))
        file.write(bytes([label, *(p + n for p, n in zip(patterns[label], noise))]))
