# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The rows that a training program draws from a text or from images, from their
definition.

Philox4x32-10 is that of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As
Easy as 1, 2, 3" (SC 2011).
"""

import numpy as np

MASK32 = (1 << 32) - 1


def philox(counter, key):
    """Four 32-bit words for a counter of four and a key of two."""
    c, k = list(counter), list(key)
    for _ in range(10):
        low = 0xD2511F53 * c[0]
        high = 0xCD9E8D57 * c[2]
        c = [
            (high >> 32) ^ c[1] ^ k[0],
            high & MASK32,
            (low >> 32) ^ c[3] ^ k[1],
            low & MASK32,
        ]
        k = [(k[0] + 0x9E3779B9) & MASK32, (k[1] + 0xBB67AE85) & MASK32]
    return c


def stream_key(seed, name):
    """The key of the numbers that belong to one seed and name: a Philox of the
    64-bit FNV-1a hash of the name and its length, under the seed."""
    digest = 0xCBF29CE484222325
    for byte in name.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    words = philox(
        [digest & MASK32, digest >> 32, len(name.encode()), 0],
        [seed & MASK32, seed >> 32],
    )
    return words[:2]


def below(key, bound, counter):
    """A number in [0, bound)."""
    words = philox([*counter, 0], key)
    return ((words[1] << 32 | words[0]) * bound) >> 64


def positions(seed, count, step, microbatches, rows):
    """Where the rows of a step (from 1) start, microbatch after microbatch."""
    key = stream_key(seed, "data")
    return np.array([
        below(key, count, (step, microbatch, row))
        for microbatch in range(microbatches)
        for row in range(rows)
    ])


class Text:
    """A text as tokens: 16-bit ones in a file *.bin, else bytes."""

    def __init__(self, path, seed, context):
        kind = "<u2" if str(path).endswith(".bin") else np.uint8
        self.tokens = np.fromfile(path, dtype=kind).astype(np.int32)
        self.seed = seed
        self.context = context

    def step(self, step, microbatches, rows):
        """Tokens and labels, microbatches * rows x context, of a step."""
        count = len(self.tokens) - self.context
        starts = positions(self.seed, count, step, microbatches, rows)
        at = starts[:, None] + np.arange(self.context)
        return self.tokens[at], self.tokens[at + 1]


class Images:
    """Images of `shape` (channels, height, width) in the binary format of CIFAR-10:
    a byte of label, then the pixels."""

    def __init__(self, path, seed, shape):
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, 1 + np.prod(shape))
        self.labels = records[:, 0].astype(np.int32)
        self.pixels = records[:, 1:].reshape(-1, *shape)
        self.seed = seed

    def step(self, step, microbatches, rows):
        """Images and labels, microbatches * rows many, of a step."""
        at = positions(self.seed, len(self.labels), step, microbatches, rows)
        return self.pixels[at], self.labels[at]
