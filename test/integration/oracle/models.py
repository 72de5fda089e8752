# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The models of weir-model, written from their mathematics and nothing else.

Each takes a dictionary of parameters, tokens and labels, rows x context, and gives
the sum of the losses and the number of labels that count.
"""

import jax
import jax.numpy as jnp


def cross_entropy(logits, labels):
    counts = labels >= 0
    log_p = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_p, jnp.maximum(labels, 0)[..., None], axis=-1)
    return -jnp.sum(jnp.where(counts, picked[..., 0], 0.0)), jnp.sum(counts)


def head(p, x):
    return x @ p.get("head.weight", p["wte"]).T


def gpt(p, tokens, labels, heads):
    rows, context = tokens.shape
    hidden = p["wte"].shape[1]

    def norm(x, name):
        mean = x.mean(axis=-1, keepdims=True)
        deviation = jnp.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return (x - mean) / deviation * p[name + ".gamma"] + p[name + ".beta"]

    def linear(x, name):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def attention(x, name):
        def split(which):
            y = linear(x, f"{name}.{which}")
            return y.reshape(rows, context, heads, hidden // heads).transpose(0, 2, 1, 3)

        q, k, v = split("q"), split("k"), split("v")
        scores = q @ k.swapaxes(-1, -2) / (hidden // heads) ** 0.5
        seen = jnp.tril(jnp.ones((context, context), bool))
        weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        y = (weights @ v).transpose(0, 2, 1, 3).reshape(rows, context, hidden)
        return linear(y, f"{name}.proj")

    x = p["wte"][tokens] + p["wpe"]
    for i in range(sum(name.endswith(".attn.q.weight") for name in p)):
        x = x + attention(norm(x, f"h{i}.ln1"), f"h{i}.attn")
        up = jax.nn.gelu(linear(norm(x, f"h{i}.ln2"), f"h{i}.mlp.up"), approximate=True)
        x = x + linear(up, f"h{i}.mlp.down")
    return cross_entropy(head(p, norm(x, "ln")), labels)


def mlp(p, tokens, labels, heads):
    del heads
    x = p["wte"][tokens].reshape(len(tokens), -1)
    for i in range(sum(name.endswith(".bias") for name in p)):
        x = jax.nn.gelu(x @ p[f"h{i}.weight"] + p[f"h{i}.bias"], approximate=True)
    return cross_entropy(head(p, x), labels[:, -1])
