# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The models of weir-model, written from their mathematics and nothing else.

Each takes a dictionary of parameters, a microbatch (tokens, rows x context, or images
of bytes, rows x channels x height x width), labels, and sizes that no parameter shows.
It gives the sum of the losses and the number of labels that count.
"""

import jax
import jax.numpy as jnp
from jax import lax


def cross_entropy(logits, labels):
    counts = labels >= 0
    log_p = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_p, jnp.maximum(labels, 0)[..., None], axis=-1)
    return -jnp.sum(jnp.where(counts, picked[..., 0], 0.0)), jnp.sum(counts)


def head(p, x):
    return x @ p.get("head.weight", p["wte"]).T


def layernorm(x, scale, shift, epsilon):
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(x.var(axis=-1, keepdims=True) + epsilon) * scale + shift


def rmsnorm(x, scale):
    """"Root Mean Square Layer Normalization", arXiv 1910.07467."""
    return x / jnp.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6) * scale


def count_layers(p, first):
    """How many layers have a parameter whose name ends in `first`."""
    return sum(name.endswith(first) for name in p)


def gpt(p, tokens, labels, sizes):
    rows, context = tokens.shape
    heads, hidden = sizes.heads, p["wte"].shape[1]

    def norm(x, name):
        return layernorm(x, p[name + ".gamma"], p[name + ".beta"], 1e-5)

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
    for i in range(count_layers(p, ".attn.q.weight")):
        x = x + attention(norm(x, f"h{i}.ln1"), f"h{i}.attn")
        up = jax.nn.gelu(linear(norm(x, f"h{i}.ln2"), f"h{i}.mlp.up"), approximate=True)
        x = x + linear(up, f"h{i}.mlp.down")
    return cross_entropy(head(p, norm(x, "ln")), labels)


def mlp(p, tokens, labels, sizes):
    del sizes
    x = p["wte"][tokens].reshape(len(tokens), -1)
    for i in range(count_layers(p, ".bias")):
        x = jax.nn.gelu(x @ p[f"h{i}.weight"] + p[f"h{i}.bias"], approximate=True)
    return cross_entropy(head(p, x), labels[:, -1])


def rotate(x, base):
    """Feature i and feature i + D/2 of x (... x T x D) as a complex number that turns
    by base^(-2i/D) per position: "RoFormer", arXiv 2104.09864."""
    context, depth = x.shape[-2:]
    angles = jnp.arange(context)[:, None] * base ** (-2.0 * jnp.arange(depth // 2) / depth)
    turned = (x[..., : depth // 2] + 1j * x[..., depth // 2 :]) * jnp.exp(1j * angles)
    return jnp.concatenate([turned.real, turned.imag], axis=-1)


def grouped_query_attention(p, name, x, sizes):
    """"GQA", arXiv 2305.13245: query head h uses key head h // (heads / kv_heads)."""
    rows, context, hidden = x.shape
    heads, kv_heads = sizes.heads, sizes.kv_heads or sizes.heads

    def split(which, count):
        y = x @ p[f"{name}.{which}_proj.weight"].T
        y = y.reshape(rows, context, count, hidden // heads).transpose(0, 2, 1, 3)
        return jnp.repeat(y, heads // count, axis=1)

    q = rotate(split("q", heads), sizes.rope_base)
    k, v = rotate(split("k", kv_heads), sizes.rope_base), split("v", kv_heads)
    scores = q @ k.swapaxes(-1, -2) / (hidden // heads) ** 0.5
    seen = jnp.tril(jnp.ones((context, context), bool))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
    y = (weights @ v).transpose(0, 2, 1, 3).reshape(rows, context, hidden)
    return y @ p[f"{name}.o_proj.weight"].T


def swiglu(x, gate, up, down):
    """"GLU Variants Improve Transformer", arXiv 2002.05202; weights outputs x inputs."""
    return (jax.nn.silu(x @ gate.T) * (x @ up.T)) @ down.T


def llama_mlp(p, name, x, sizes):
    del sizes
    return swiglu(x, *(p[f"{name}.mlp.{which}_proj.weight"] for which in ("gate", "up", "down")))


def moe_mlp(p, name, x, sizes):
    """One expert after the other, each by its own part of the matrices."""
    name += ".block_sparse_moe"
    weights = jax.nn.softmax(x @ p[f"{name}.gate.weight"].T, axis=-1)
    experts = weights.shape[-1]
    _, chosen = lax.top_k(weights, sizes.top_k or experts)
    kept = weights * jax.nn.one_hot(chosen, experts).sum(axis=-2)
    w1, w2, w3 = (jnp.split(p[f"{name}.experts.{w}"], experts) for w in ("w1", "w2", "w3"))
    return sum(kept[..., e, None] * swiglu(x, w1[e], w3[e], w2[e].T) for e in range(experts))


def decoder(p, tokens, labels, sizes, feed_forward):
    x = p["model.embed_tokens.weight"][tokens]
    for i in range(count_layers(p, ".input_layernorm.weight")):
        name = f"model.layers.{i}"
        n = rmsnorm(x, p[f"{name}.input_layernorm.weight"])
        x = x + grouped_query_attention(p, f"{name}.self_attn", n, sizes)
        n = rmsnorm(x, p[f"{name}.post_attention_layernorm.weight"])
        x = x + feed_forward(p, name, n, sizes)
    head_weight = p.get("lm_head.weight", p["model.embed_tokens.weight"])
    return cross_entropy(rmsnorm(x, p["model.norm.weight"]) @ head_weight.T, labels)


def llama(p, tokens, labels, sizes):
    return decoder(p, tokens, labels, sizes, llama_mlp)


def moe(p, tokens, labels, sizes):
    return decoder(p, tokens, labels, sizes, moe_mlp)


def dense(p, name, x):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def vision_norm(p, name, x):
    return layernorm(x, p[name + ".weight"], p[name + ".bias"], 1e-6)


def patches(p, name, images):
    """A convolution whose window moves by its size; then row by row."""
    pixels = images.astype(jnp.float64) / 127.5 - 1
    weight = p[name + ".weight"]
    y = lax.conv_general_dilated(pixels, weight, window_strides=weight.shape[2:], padding="VALID")
    return y.reshape(*y.shape[:2], -1).swapaxes(1, 2) + p[name + ".bias"]


def vit(p, images, labels, sizes):
    x = patches(p, "vit.embeddings.patch_embeddings.projection", images)
    token = p.get("vit.embeddings.cls_token")
    if token is not None:
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, x.shape[2])), x], axis=1)
    x = x + p["vit.embeddings.position_embeddings"]

    def attention(name, x):
        def split(which):
            y = dense(p, f"{name}.attention.{which}", x)
            return y.reshape(*x.shape[:2], sizes.heads, -1).transpose(0, 2, 1, 3)

        q, k, v = split("query"), split("key"), split("value")
        weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, axis=-1)
        y = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        return dense(p, f"{name}.output.dense", y)

    for i in range(count_layers(p, ".layernorm_before.weight")):
        name = f"vit.encoder.layer.{i}"
        x = x + attention(f"{name}.attention", vision_norm(p, f"{name}.layernorm_before", x))
        n = vision_norm(p, f"{name}.layernorm_after", x)
        up = jax.nn.gelu(dense(p, f"{name}.intermediate.dense", n), approximate=False)
        x = x + dense(p, f"{name}.output.dense", up)
    x = vision_norm(p, "vit.layernorm", x)
    pooled = x.mean(axis=1) if token is None else x[:, 0]
    return cross_entropy(dense(p, "classifier", pooled), labels)


def mixer(p, images, labels, sizes):
    del sizes

    def mlp_of(name, x):
        return dense(p, name + ".fc2", jax.nn.gelu(dense(p, name + ".fc1", x), approximate=False))

    x = patches(p, "stem.proj", images)
    for i in range(count_layers(p, ".norm1.weight")):
        name = f"blocks.{i}"
        n = vision_norm(p, f"{name}.norm1", x)
        x = x + mlp_of(f"{name}.mlp_tokens", n.swapaxes(1, 2)).swapaxes(1, 2)
        x = x + mlp_of(f"{name}.mlp_channels", vision_norm(p, f"{name}.norm2", x))
    return cross_entropy(dense(p, "head", vision_norm(p, "norm", x).mean(axis=1)), labels)
