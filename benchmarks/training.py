#!/usr/bin/env python3
# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training throughput against JAX on the same CPU, as a ratio.

Both train the same GPT with AdamW in f32 from the same data on the processors
given by --cpus, in turn, in the same run: Weir as a compiled executable, one
device per processor; JAX as one jitted step that scans over the microbatches and
adds their gradients. Compilation and the first step are left out on both sides.
Prints one line per model: tokens per second of each, the median of the rounds,
and the ratio Weir / JAX.

Run it with the Python of build/venv, which scripts/test makes:
    build/venv/bin/python benchmarks/training.py
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
tools = root / "build" / "bin"
text = "/usr/share/common-licenses/GPL-3"

# layers, hidden, heads, context, rows per microbatch, microbatches
models = [
    (4, 64, 4, 64, 4, 8),
    (6, 128, 4, 128, 4, 8),
    (6, 256, 8, 128, 4, 8),
    (8, 512, 8, 256, 2, 8),
]


def run_weir(directory, model, cpus, steps):
    layers, hidden, heads, context, rows, microbatches = model
    source, program = directory / "gpt.mlir", directory / "train"
    metrics = directory / "metrics.jsonl"
    subprocess.run(
        [tools / "weir-model", "gpt", f"--layers={layers}", f"--hidden={hidden}",
         f"--heads={heads}", f"--context={context}", "--vocab=256",
         f"--batch={rows}", "-o", source], check=True)
    schedule = "1f1b" if len(cpus) == 1 else "zb-h1"
    subprocess.run(
        [tools / "weirc", source, f"--devices={len(cpus)}", f"--schedule={schedule}",
         f"--microbatches={microbatches}", "-o", program], check=True)

    def train():
        subprocess.run(
            [program, f"--data={text}", f"--steps={steps + 1}", "--lr=1e-3",
             f"--metrics={metrics}", "--quiet"],
            check=True, stderr=subprocess.DEVNULL)
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        seconds = sum(line["seconds"] for line in lines[1:])
        return steps * microbatches * rows * context / seconds

    return train


def run_jax(model, steps):
    import jax
    import jax.numpy as jnp

    sys.path.insert(0, str(root / "test" / "integration" / "oracle"))
    import models as reference

    layers, hidden, heads, context, rows, microbatches = model
    key = jax.random.PRNGKey(0)

    def matrix(*shape):
        nonlocal key
        key, use = jax.random.split(key)
        return 0.02 * jax.random.normal(use, shape, jnp.float32)

    zeros, ones = jnp.zeros, jnp.ones
    p = {"wte": matrix(256, hidden), "wpe": matrix(context, hidden),
         "head.weight": matrix(256, hidden),
         "ln.gamma": ones(hidden), "ln.beta": zeros(hidden)}
    for i in range(layers):
        for norm in ("ln1", "ln2"):
            p[f"h{i}.{norm}.gamma"], p[f"h{i}.{norm}.beta"] = ones(hidden), zeros(hidden)
        for name, inner, outer in (
            ("attn.q", hidden, hidden), ("attn.k", hidden, hidden),
            ("attn.v", hidden, hidden), ("attn.proj", hidden, hidden),
            ("mlp.up", hidden, 4 * hidden), ("mlp.down", 4 * hidden, hidden)):
            p[f"h{i}.{name}.weight"] = matrix(inner, outer)
            p[f"h{i}.{name}.bias"] = zeros(outer)
    state = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p))

    def loss(p, tokens, labels):
        return reference.gpt(p, tokens, labels, heads)[0]

    def step(state, t, tokens, labels):
        p, m, v = state

        def add(gradients, batch):
            return jax.tree.map(jnp.add, gradients, jax.grad(loss)(p, *batch)), None

        g, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, p), (tokens, labels))
        g = jax.tree.map(lambda g: g / tokens.size, g)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.95 * v + 0.05 * g * g, v, g)
        p = jax.tree.map(
            lambda p, m, v: p - 1e-3 * ((m / (1 - 0.9**t)) / (
                jnp.sqrt(v / (1 - 0.95**t)) + 1e-8) + (0.1 * p if p.ndim > 1 else 0)),
            p, m, v)
        return p, m, v

    step = jax.jit(step, donate_argnums=0)
    data = jnp.frombuffer(pathlib.Path(text).read_bytes(), jnp.uint8).astype(jnp.int32)
    count = microbatches * rows * context
    tokens = data[:count].reshape(microbatches, rows, context)
    labels = data[1 : count + 1].reshape(microbatches, rows, context)

    def train():
        nonlocal state
        state = jax.block_until_ready(step(state, 1.0, tokens, labels))
        start = time.perf_counter()
        for t in range(steps):
            state = step(state, t + 2.0, tokens, labels)
        jax.block_until_ready(state)
        return steps * count / (time.perf_counter() - start)

    return train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpus", default="0", help="processors, as 0 or 0,1")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cpus = [int(cpu) for cpu in options.cpus.split(",")]
    # Before JAX starts its threads, so that both sides have the same processors.
    os.sched_setaffinity(0, cpus)
    os.environ["JAX_PLATFORMS"] = "cpu"

    print("layers hidden context  Weir tokens/s  JAX tokens/s  ratio (min .. max)")
    for model in models:
        with tempfile.TemporaryDirectory() as directory:
            weir = run_weir(pathlib.Path(directory), model, cpus, options.steps)
            jax = run_jax(model, options.steps)
            pairs = [(weir(), jax()) for _ in range(options.rounds)]
        ratios = [ours / theirs for ours, theirs in pairs]
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        print(f"{model[0]:6} {model[1]:6} {model[3]:7} {ours:14.0f} {theirs:13.0f}"
              f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})",
              flush=True)


if __name__ == "__main__":
    main()
