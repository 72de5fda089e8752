# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares what a report of a GPT says with what follows from the model's sizes.

usage: check-report.py REPORT layers=N heads=N hidden=N context=N vocab=N batch=N
       microbatches=N devices=N states=N tied=0|1
"""

import re
import sys

report = open(sys.argv[1]).read()
size = {name: int(value) for name, value in (a.split("=") for a in sys.argv[2:])}
layers, hidden, vocab = size["layers"], size["hidden"], size["vocab"]
tokens = size["batch"] * size["context"]

devices = report.split("\ndevice ")[1:]
devices[-1] = devices[-1].split("\nschedule ")[0]


def numbers(label, unit=""):
    """The number behind `label` for each device; groups of three are joined."""
    found = [re.search(rf"^  {re.escape(label)} +([\d.]+e\+\d+|\d+\.\d+|[\d ]*\d){unit}", d, re.M) for d in devices]
    return [float(match.group(1).replace(" ", "")) for match in found]


def products(label):
    matches = [re.search(rf"^  {label} .* flops, (\d+) products", d, re.M) for d in devices]
    return sum(int(match.group(1)) for match in matches)


def expect(what, got, least, most=None):
    most = least if most is None else most
    if not least <= got <= most:
        sys.exit(f"{sys.argv[1]}: {what}: got {got}, expected {least} to {most}")


expect("devices", len(devices), size["devices"])

# Token and position embeddings, layers of 12 hidden^2 weights with 13 hidden
# biases and norms, the last norm, the head.
embedding = vocab * hidden
parameters = embedding + size["context"] * hidden + 2 * hidden
parameters += layers * (12 * hidden**2 + 13 * hidden)
parameters += 0 if size["tied"] else embedding
if not (size["tied"] and len(devices) > 1):  # else two devices hold the embedding
    expect("parameters", sum(numbers("parameters")), parameters)
    expect("bytes of parameters", sum(numbers("parameters", " bytes")), 4 * parameters)
    # One accumulator per use: a tied embedding has two.
    gradients = parameters + (embedding if size["tied"] else 0)
    expect("bytes of gradients", sum(numbers("gradients", " bytes")), 4 * gradients)
    expect("bytes of the optimizer", sum(numbers("optimizer", " bytes")), 4 * size["states"] * parameters)

# Six products of a layer have weights: queries, keys, values, output and two of
# the perceptron. Two more are of activations alone, with two gradients of inputs.
expect("forward products", products("forward"), 8 * layers + 1)
expect("backward_input products", products("backward_input"), 10 * layers + 1)
expect("backward_weight products", products("backward_weight"), 6 * layers + 1)
with_weights = 2 * tokens * (layers * 12 * hidden**2 + embedding)
of_attention = 4 * layers * tokens * size["context"] * hidden
# Besides, at most some 100 flops for each activation, as an exponential takes.
activations = layers * (8 * hidden + size["heads"] * size["context"]) + vocab
forward = with_weights + of_attention
expect("forward flops", sum(numbers("forward")), 0.9999 * forward, forward + 100 * tokens * activations)
# Besides, sums for the gradients of biases and norms.
sums = 40 * tokens * (layers + 1) * 13 * hidden
expect("backward_weight flops", sum(numbers("backward_weight")), 0.9999 * with_weights, with_weights + sums)
for forward, inputs, weights, step in zip(*map(numbers, ("forward", "backward_input", "backward_weight", "step"))):
    total = size["microbatches"] * (forward + inputs + weights)
    expect("flops of a step", step, 0.9999 * total, 1.0001 * total)

kinds = ("parameters", "gradients", "optimizer", "activations (peak)", "arena")
for fixed0, fixed1, fixed2, activations, arena in zip(*(numbers(kind, " bytes") for kind in kinds)):
    expect("activations", activations, 1, arena)
    expect("arena", arena, fixed0 + fixed1 + fixed2 + activations, float("inf"))

# The bubble is the share of the makespan in which the busiest device waits: an
# uneven cut makes none.
busy = numbers("predicted busy", " s")
line = r"predicted makespan +([\d.]+) s \(lower bound ([\d.]+) s, gap ([\d.]+) %\)"
makespan, bound, gap = map(float, re.search(line, report).groups())
bubble = float(re.search(r"predicted bubble +([\d.]+) %", report).group(1))
expect("makespan", makespan, max(bound, max(busy)), float("inf"))
expect("gap", gap, 100 * (makespan / bound - 1) - 0.2, 100 * (makespan / bound - 1) + 0.2)
expect("lower bound", bound, 0.9999 * max(busy), makespan)
expected = 100 * (1 - max(busy) / makespan)
expect("bubble", bubble, expected - 0.06, expected + 0.06)
