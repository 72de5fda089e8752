# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares a training program of a model of weir-model with JAX, elementwise.

From the same initial parameters and the same rows of data, JAX computes in f64
the gradients of step 1 and the parameters after some steps of AdamW (beta1 0.9,
beta2 0.95, epsilon 1e-8, weight decay 0.1 on matrices, constant learning rate,
gradient = sum over labels / number of labels). What the program wrote must agree:

    |got - expected| <= tolerance * max(|expected|, rms of the expected tensor)

for every element. The scale of the tensor is in it because rounding errors of a
sum are as large as its terms, not as its result: an element of a gradient that
comes out small because its terms cancel has no more correct digits than they
allow, in any order of addition. The root mean square is the strictest of the
usual scales: it is never above the largest element.

Some gradients are zero whatever the data is: that of the bias of keys, since softmax
does not see what is added to all of its inputs, and that of the second bias across
tokens in a Mixer, which is added to all features of a token and so taken away by the
normalisation that follows. A program gets rounding errors there, and AdamW, which
divides by the size of the gradient, makes steps of them. So such a gradient is
measured by the scale of a bias whose gradient sums terms of the same size, and the
parameter is left out.

Prints the worst element of every file compared; exits with 1 on a difference.
"""

import argparse
import json
import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

import models
import sampling

# How the names of biases without a gradient end, and those that give the scale.
ZERO_GRADIENTS = {
    ".attn.k.bias": ".attn.q.bias",
    ".attention.attention.key.bias": ".attention.attention.query.bias",
    ".mlp_tokens.fc2.bias": ".mlp_channels.fc2.bias",
}


def adamw(p, g, m, v, t, lr):
    """"Decoupled Weight Decay Regularization", arXiv 1711.05101, algorithm 2."""
    beta1, beta2, epsilon = 0.9, 0.95, 1e-8
    decay = 0.1 if p.ndim > 1 else 0.0
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    step = m / (1 - beta1**t) / (jnp.sqrt(v / (1 - beta2**t)) + epsilon)
    return p - lr * (step + decay * p), m, v


def scale_name(name):
    """The parameter whose gradient gives the scale of that of `name`."""
    for zero, other in ZERO_GRADIENTS.items():
        if name.endswith(zero):
            return name.removesuffix(zero) + other
    return name


def train(loss_of, data, initial, options):
    """Gives the sum of gradients of step 1, the parameters at the end, and the
    mean loss of every step."""

    @jax.jit
    def gradients(p, rows, labels):
        (loss, count), g = jax.value_and_grad(loss_of, has_aux=True)(p, rows, labels)
        return loss, count, g

    @jax.jit
    def update(p, g, m, v, t):
        new = {name: adamw(p[name], g[name], m[name], v[name], t, options.lr) for name in p}
        return tuple({name: new[name][i] for name in p} for i in range(3))

    p = {name: jnp.asarray(value, jnp.float64) for name, value in initial.items()}
    m = {name: jnp.zeros_like(value) for name, value in p.items()}
    v = dict(m)
    first, losses = None, []
    for t in range(1, options.steps + 1):
        loss, count, g = gradients(p, *data.step(t, options.microbatches, options.batch))
        first = first if t > 1 else {**g, "__loss_sum": loss, "__count": count}
        losses.append(float(loss / count))
        p, m, v = update(p, {name: value / count for name, value in g.items()}, m, v, float(t))
    return first, p, losses


def worst_element(got, expected, scale):
    """Error over max(|expected|, scale) where that is largest, and where it is."""
    error = np.abs(got.astype(np.float64) - expected)
    size = np.maximum(np.abs(expected), scale)
    # An expected zero in a tensor of zeros must be met exactly.
    relative = np.divide(error, size, out=np.where(error > 0, np.inf, 0.0), where=size > 0)
    relative = np.where(np.isfinite(got), relative, np.inf)
    at = np.unravel_index(np.argmax(relative), relative.shape)
    return relative[at], at


def compare(what, path, expected, tolerance, left_out=()):
    got = load_file(path)
    if set(got) != set(expected):
        sys.exit(f"{what}: '{path}' and the model differ in {set(got) ^ set(expected)}")
    worst = (-1.0,)
    elements = 0
    for name, value in expected.items():
        value = np.asarray(value, np.float64)
        if got[name].shape != value.shape:
            sys.exit(f"{what}: {name} has shape {got[name].shape}, expected {value.shape}")
        if name in left_out:
            continue
        reference = np.asarray(expected[scale_name(name)], np.float64)
        relative, at = worst_element(got[name], value, np.sqrt(np.mean(reference**2)))
        elements += value.size
        # The loss and the count are f32 in every program.
        allowed = max(tolerance, 1e-6) if name.startswith("__") else tolerance
        worst = max(worst, (relative / allowed, relative, allowed, name, at))
    share, relative, allowed, name, at = worst
    print(
        f"{what}: {'agrees' if share <= 1 else 'DIFFERS'}: {elements} elements, "
        f"worst {relative:.2e} of {allowed:.0e} in {name}{[int(i) for i in at]}: "
        f"got {got[name][at]:.9g}, expected {np.asarray(expected[name])[at]:.9g}"
    )
    return share <= 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=["gpt", "mlp", "llama", "moe", "vit", "mixer"])
    parser.add_argument("--heads", type=int)
    parser.add_argument("--kv-heads", type=int, help="default: --heads")
    parser.add_argument("--rope-base", type=float, default=10000.0)
    parser.add_argument("--top-k", type=int, help="default: all experts")
    parser.add_argument("--context", type=int, help="tokens in a row; data is a text")
    parser.add_argument("--image", type=lambda text: tuple(map(int, text.split("x"))),
                        help="CxHxW; data is images")
    parser.add_argument("--batch", type=int, required=True, help="rows of a microbatch")
    parser.add_argument("--microbatches", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--parameter-tolerance", type=float, help="default: --tolerance")
    parser.add_argument("--initial", required=True, help="parameters before step 1")
    parser.add_argument("--gradients", help="what --save-gradients wrote")
    parser.add_argument("--parameters", help="what --save wrote")
    parser.add_argument("--metrics", help="what --metrics wrote")
    parser.add_argument("--falls", type=float, help="least share by which the loss falls")
    options = parser.parse_args()

    # Programs are given their hyperparameters in f32.
    options.lr = float(np.float32(options.lr))
    model = getattr(models, options.model)
    initial = load_file(options.initial)
    if options.image:
        data = sampling.Images(options.data, options.seed, options.image)
    else:
        data = sampling.Text(options.data, options.seed, options.context)
    first, last, losses = train(
        lambda p, rows, labels: model(p, rows, labels, options), data, initial, options
    )

    agrees = True
    if options.gradients:
        agrees &= compare("gradients", options.gradients, first, options.tolerance)
    if options.parameters:
        zero = [name for name in last if scale_name(name) != name]
        tolerance = options.parameter_tolerance or options.tolerance
        agrees &= compare("parameters", options.parameters, last, tolerance, zero)
    if options.metrics:
        with open(options.metrics) as file:
            got = [json.loads(line)["loss"] for line in file]
        difference = max(abs(a - b) / b for a, b in zip(got, losses, strict=True))
        agrees &= difference <= options.tolerance
        print(f"losses: {'agree' if difference <= options.tolerance else 'DIFFER'}: "
              f"worst {difference:.2e} of {options.tolerance:.0e}")
        losses = got
    fall = 1 - losses[-1] / losses[0]
    print(f"loss: {losses[0]:.4f} -> {losses[-1]:.4f}, down by {100 * fall:.1f}%")
    if options.falls is not None and fall < options.falls:
        print(f"the loss falls by less than {100 * options.falls:.0f}%")
        agrees = False
    sys.exit(not agrees)


if __name__ == "__main__":
    main()
