# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The rules of differentiation against JAX in f64, elementwise.

One model holds one case for every op with a rule: the op on variables of its own,
of random shapes, and its result weighted by a further variable. The gradients of
the variables are then those of the op, and the gradient of the weights is the
result itself. The same functions are written once more for JAX.

    rules.py write --seed=N --rules=FILE DIR    writes DIR/model.mlir, DIR/data,
                                                DIR/initial and DIR/expected
    rules.py compare --seed=N DIR               compares DIR/gradients, exits with 1
                                                on a difference

FILE holds what `weir-opt --show-derivative-rules` prints: a rule without a case is
an error. Agreement is |got - expected| <= 1e-10 * max(1, |expected|).
"""

import argparse
import os
import re
import sys

# Nothing here is worth optimizing.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
from jax import lax
from safetensors.numpy import load_file, save_file

TOLERANCE = 1e-10

# Rules that have nothing to compare with.
EXEMPT = {
    "weir.custom": "its backward is the user's",
    "weir.attention": "it is compared as part of models",
}


def tensor(shape, element="f64"):
    return "tensor<" + "".join(f"{d}x" for d in shape) + element + ">"


def fill(name, shape, value="zero", element="f64"):
    t = tensor(shape, element)
    return (f"%{name}_e = tensor.empty() : {t}\n"
            f"%{name} = linalg.fill ins(%{value} : {element}) outs(%{name}_e : {t}) -> {t}\n")


def maps(loops, *results):
    return ", ".join(f"affine_map<({loops}) -> ({r})>" for r in results)


def generic(loops, reduced, ins, outs, body):
    """`ins` and `outs`: (value, type, map). The body sees them as %b_<value>."""
    kinds = ", ".join('"reduction"' if d in reduced else '"parallel"'
                      for d in loops.replace(" ", "").split(",") if d)
    types = [t for _, t, _ in outs]
    arguments = ", ".join(f"%b_{n}: {re.split('x|<', t)[-1].rstrip('>')}" for n, t, _ in ins + outs)
    inputs = ("ins(" + ", ".join(f"%{n}" for n, _, _ in ins) + " : "
              + ", ".join(t for _, t, _ in ins) + ") ") if ins else ""
    return (f"linalg.generic {{indexing_maps = [{maps(loops, *(m for _, _, m in ins + outs))}], "
            f"iterator_types = [{kinds}]}} {inputs}outs("
            + ", ".join(f"%{n}" for n, _, _ in outs) + " : " + ", ".join(types) + ") {\n"
            + f"^bb0({arguments}):\n{body}\n}} -> "
            + (types[0] if len(types) == 1 else "(" + ", ".join(types) + ")") + "\n")


class Case:
    """`op` applied by `body` to `inputs`, which gives %out; `function` is the same
    for JAX. Several results: %out0, %out1, ..., and a tuple."""

    def __init__(self, op, inputs, body, function):
        assert op in body, f"the case for {op} does not use it"
        self.op, self.inputs, self.body, self.function = op, inputs, body, function


class Cases(list):
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def size(self, low=2, high=5):
        return int(self.rng.integers(low, high + 1))

    def values(self, shape, low=-1.5, high=1.5):
        return self.rng.uniform(low, high, shape)

    def integers(self, shape, below):
        return self.rng.integers(0, below, shape)

    def add(self, op, inputs, body, function):
        self.append(Case(op, inputs, body, function))

    def scalar(self, op, function, low=-1.5, high=1.5, code=None, **values):
        """An elementwise op on x, or on x and y, of which y is broadcast."""
        binary = "y" in function.__code__.co_varnames[:function.__code__.co_argcount]
        shape = (self.size(), self.size())
        x = np.asarray(values.get("x", self.values(shape, low, high)), float)
        y = np.asarray(values.get("y", self.values(x.shape[1:], low, high)), float)
        code = code or f"%r = {op} %x" + (", %y" if binary else "") + " : f64"
        code = re.sub(r"%([xy])\b", r"%b_\1", code) + "\nlinalg.yield %r : f64"
        ins = [("x", tensor(x.shape), "i, j")] + [("y", tensor(y.shape), "j")] * binary
        t = tensor(x.shape)
        body = f"%e = tensor.empty() : {t}\n%out = " + generic(
            "i, j", "", ins, [("e", t, "i, j")], code)
        self.add(op, {"x": x, "y": y} if binary else {"x": x}, body, function)


def constant(values, element="i32"):
    text = np.array2string(np.asarray(values), separator=",", threshold=1 << 30)
    return f"arith.constant dense<{text}> : {tensor(np.shape(values), element)}"


def scalars(c):
    c.scalar("arith.addf", lambda x, y: x + y)
    c.scalar("arith.subf", lambda x, y: x - y)
    c.scalar("arith.mulf", lambda x, y: x * y)
    c.scalar("arith.divf", lambda x, y: x / y, 0.5, 2.0)
    c.scalar("arith.negf", lambda x: -x)
    c.scalar("arith.remf", lambda x, y: lax.rem(x, jnp.broadcast_to(y, x.shape)),
             x=c.values((3, 4), -5, 5), y=[0.7, -1.1, 1.3, -0.9])
    for op, function in (("maximumf", jnp.maximum), ("maxnumf", jnp.maximum),
                         ("minimumf", jnp.minimum), ("minnumf", jnp.minimum)):
        c.scalar(f"arith.{op}", lambda x, y, f=function: f(x, y))
        # Ties.
        c.scalar(f"arith.{op}", lambda x, y, f=function: f(x, y),
                 x=[[1.0, 2.0, 0.0], [3.0, 2.0, -1.0]], y=[1.0, 2.0, -1.0])
    c.scalar("arith.maximumf", lambda x: jnp.maximum(x, 0.25),
             code="%k = arith.constant 0.25 : f64\n%r = arith.maximumf %x, %k : f64")
    c.scalar("arith.select", lambda x, y: jnp.where(x < y, x * y, y),
             code="%c = arith.cmpf olt, %x, %y : f64\n%p = arith.mulf %x, %y : f64\n"
                  "%r = arith.select %c, %p, %y : f64")
    narrow = "%n = arith.truncf %x : f64 to f32\n%w = arith.extf %n : f32 to f64\n"
    for op in ("arith.truncf", "arith.extf"):
        c.scalar(op, lambda x, y: x.astype(jnp.float32).astype(jnp.float64) * y,
                 code=narrow + "%r = arith.mulf %w, %y : f64")
    log2e = np.log2(np.e)
    for op, function, low, high in (
            ("exp", jnp.exp, -1.5, 1.5), ("exp2", jnp.exp2, -1.5, 1.5),
            ("expm1", jnp.expm1, -1.5, 1.5), ("log", jnp.log, 0.2, 3.0),
            ("log2", lambda x: jnp.log(x) * log2e, 0.2, 3.0),
            ("log10", jnp.log10, 0.2, 3.0), ("log1p", jnp.log1p, -0.7, 2.0),
            ("tanh", jnp.tanh, -2.0, 2.0), ("erf", special.erf, -2.0, 2.0),
            ("erfc", special.erfc, -2.0, 2.0), ("sqrt", jnp.sqrt, 0.2, 3.0),
            ("rsqrt", lax.rsqrt, 0.2, 3.0), ("cbrt", jnp.cbrt, 0.2, 3.0),
            ("absf", jnp.abs, -1.5, 1.5), ("sin", jnp.sin, -4.0, 4.0),
            ("cos", jnp.cos, -4.0, 4.0), ("tan", jnp.tan, -1.2, 1.2),
            ("asin", jnp.arcsin, -0.95, 0.95), ("acos", jnp.arccos, -0.95, 0.95),
            ("atan", jnp.arctan, -2.0, 2.0), ("sinh", jnp.sinh, -2.0, 2.0),
            ("cosh", jnp.cosh, -2.0, 2.0),
            ("acosh", jnp.arccosh, 1.1, 3.0), ("atanh", jnp.arctanh, -0.95, 0.95),
            ("floor", jnp.floor, -3.0, 3.0), ("ceil", jnp.ceil, -3.0, 3.0),
            ("round", lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), -3.0, 3.0),
            ("roundeven", lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), -3.0, 3.0),
            ("trunc", jnp.trunc, -3.0, 3.0)):
        # A term of x keeps flat functions from having no gradient at all.
        c.scalar(f"math.{op}", lambda x, f=function: f(x) + x, low, high,
                 code=f"%f = math.{op} %x : f64\n%r = arith.addf %f, %x : f64")
    c.scalar("math.absf", lambda x: jnp.abs(x), x=[[0.0, -1.0, 1.0]])
    c.scalar("math.powf", lambda x, y: x**y, 0.3, 2.5)
    c.scalar("math.powf", lambda x, y: jnp.power(x, y),
             x=[[0.0, 0.0, 2.0, 3.0]], y=[1.0, 2.5, 0.0, 1.0])
    c.scalar("math.powf", lambda x: x**3.0, code="%k = arith.constant 3.0 : f64\n"
             "%r = math.powf %x, %k : f64")
    c.scalar("math.fpowi", lambda x: lax.integer_pow(x, 3) + lax.integer_pow(x, -2), 0.5, 2.0,
             code="%k = arith.constant 3 : i32\n%m = arith.constant -2 : i32\n"
                  "%p = math.fpowi %x, %k : f64, i32\n%q = math.fpowi %x, %m : f64, i32\n"
                  "%r = arith.addf %p, %q : f64")
    c.scalar("math.atan2", lambda x, y: jnp.arctan2(x, y))
    c.scalar("math.copysign", lambda x, y: jnp.abs(x) * jnp.sign(y))
    c.scalar("math.fma", lambda x, y: x * y + x, code="%r = math.fma %x, %y, %x : f64")
    c.scalar("math.clampf", lambda x, y: lax.clamp(jnp.broadcast_to(y, x.shape) - 0.5, x,
                                                   jnp.broadcast_to(y, x.shape) * 2.0),
             x=c.values((4, 3), -2.0, 4.0), y=c.values((3,), 0.2, 1.5),
             code="%h = arith.constant 0.5 : f64\n%t = arith.constant 2.0 : f64\n"
                  "%l = arith.subf %y, %h : f64\n%u = arith.mulf %y, %t : f64\n"
                  "%r = math.clampf %x to [%l, %u] : f64")
    c.scalar("math.sincos", lambda x, y: jnp.sin(x) * y + jnp.cos(x),
             code="%s, %c = math.sincos %x : f64\n%p = arith.mulf %s, %y : f64\n"
                  "%r = arith.addf %p, %c : f64")


def products(c):
    b, m, n, k = (c.size() for _ in range(4))

    def contract(loops, sizes, lhs, rhs, out, einsum, op="linalg.contract", tail=None):
        dims = dict(zip(loops.replace(" ", "").split(","), sizes))

        def shape(result):
            return tuple(dims[d.strip()] for d in result.split(",") if d.strip())

        x, y, i = c.values(shape(lhs)), c.values(shape(rhs)), c.values(shape(out))
        t = [tensor(v.shape) for v in (x, y, i)]
        written = f" indexing_maps = [{maps(loops, lhs, rhs, out)}]" if tail is None else tail
        c.add(op, {"x": x, "y": y, "i": i},
              f"%out = {op}{written} ins(%x, %y : {t[0]}, {t[1]}) outs(%i : {t[2]}) -> {t[2]}\n",
              lambda x, y, i: i + jnp.einsum(
                  einsum, x, y, *[jnp.ones(s) for s in i.shape][:einsum.count(",") - 1]))

    loops, sizes = "b, m, n, k", (b, m, n, k)
    contract(loops, sizes, "b, m, k", "b, k, n", "b, m, n", "bmk,bkn->bmn")
    contract(loops, sizes, "m, b, k", "n, k, b", "n, b, m", "mbk,nkb->nbm")
    contract(loops, sizes, "m, b, k", "k, n", "n, m, b", "mbk,kn->nmb")
    contract("m, k, l", (m, k, n), "k, m, l", "l, k", "m", "kml,lk->m")
    contract("k, l", (k, n), "k, l", "l, k", "", "kl,lk->")
    contract("m, n, k", (m, n, k), "m, k", "k, n", "m, n", "mk,kn->mn", "linalg.matmul", "")
    for written in ("k, m", "n, k", "m, n"), ("k", "n, k", "m, n"), ("m, k", "k", "m, n"):
        lhs, rhs, out = written
        tail = f" indexing_maps = [{maps('m, n, k', lhs, rhs, out)}]"
        # What is broadcast along m or n has a factor 1 there.
        names = ",".join(w.replace(", ", "") for w in (lhs, rhs)) + ",m,n->mn"
        contract("m, n, k", (m, n, k), lhs, rhs, out, names, "linalg.matmul", tail)
    contract(loops, sizes, "b, m, k", "b, k, n", "b, m, n", "bmk,bkn->bmn",
             "linalg.batch_matmul", "")
    contract("m, k", (m, k), "m, k", "k", "m", "mk,k->m", "linalg.matvec", "")
    contract("n, k", (n, k), "k", "k, n", "n", "k,kn->n", "linalg.vecmat", "")
    contract("k", (k,), "k", "k", "", "k,k->", "linalg.dot", "")
    contract("b, m, k", (b, m, k), "b, m, k", "b, k", "b, m", "bmk,bk->bm",
             "linalg.batch_matvec", "")
    contract("b, n, k", (b, n, k), "b, k", "b, k, n", "b, n", "bk,bkn->bn",
             "linalg.batch_vecmat", "")
    contract("m, n, k, i, j, l", (m, n, k, 2, 3, 2), "m, k, i, l", "n, k, j, l", "m, n, i, j",
             "mkil,nkjl->mnij", "linalg.mmt4d", "")

    # Factors of f32, a result of f64.
    x, y, i = c.values((m, k)), c.values((k, n)), c.values((m, n))
    short = "".join(f"%{v}32 = arith.truncf %{v} : {tensor(s)} to {tensor(s, 'f32')}\n"
                    for v, s in (("x", (m, k)), ("y", (k, n))))
    c.add("linalg.contract", {"x": x, "y": y, "i": i},
          short + f"%out = linalg.contract indexing_maps = [{maps('m, n, k', 'm, k', 'k, n', 'm, n')}] "
          f"ins(%x32, %y32 : {tensor((m, k), 'f32')}, {tensor((k, n), 'f32')}) "
          f"outs(%i : {tensor((m, n))}) -> {tensor((m, n))}\n",
          lambda x, y, i: i + x.astype(jnp.float32).astype(jnp.float64)
          @ y.astype(jnp.float32).astype(jnp.float64))


def generics(c):
    m, n, k = c.size(), c.size(3, 6), c.size()
    x, y, i = c.values((m, n)), c.values((n,)), c.values((m,))
    t = {"x": tensor(x.shape), "y": tensor(y.shape), "i": tensor(i.shape)}
    ins = [("x", t["x"], "i, j"), ("y", t["y"], "j")]

    # One result for every position, one that is reduced.
    c.add("linalg.generic", {"x": x, "y": y, "i": i},
          f"%e = tensor.empty() : {t['x']}\n%out:2 = "
          + generic("i, j", "j", ins, [("e", t["x"], "i, j"), ("i", t["i"], "i")],
                    "%s = math.sin %b_x : f64\n%p = arith.mulf %s, %b_y : f64\n"
                    "%r = arith.addf %b_i, %p : f64\nlinalg.yield %p, %r : f64, f64"),
          lambda x, y, i: (jnp.sin(x) * y, i + jnp.sum(jnp.sin(x) * y, axis=1)))

    # Sums that are written as differences and by fused multiplications.
    for body, function in (
            ("%p = arith.mulf %b_x, %b_y : f64\n%r = arith.subf %b_i, %p : f64",
             lambda x, y, i: i - jnp.sum(x * y, axis=1)),
            ("%r = math.fma %b_x, %b_y, %b_i : f64",
             lambda x, y, i: i + jnp.sum(x * y, axis=1))):
        c.add("linalg.generic", {"x": x, "y": y, "i": i},
              "%out = " + generic("i, j", "j", ins, [("i", t["i"], "i")],
                                  body + "\nlinalg.yield %r : f64"), function)

    # Products, with zeros among the factors.
    zeros = x.copy()
    zeros[0, 0] = zeros[1, :2] = 0.0
    for values in x, zeros:
        c.add("linalg.generic", {"x": values, "i": i},
              "%out = " + generic("i, j", "j", ins[:1], [("i", t["i"], "i")],
                                  "%r = arith.mulf %b_i, %b_x : f64\nlinalg.yield %r : f64"),
              lambda x, i: i * jnp.prod(x, axis=1))

    def reduce(op, values, function, axis):
        """An initial value is one more element."""
        out = [d for a, d in enumerate(values.shape) if a != axis]
        c.add("linalg.reduce", {"x": values, "i": c.values(out)},
              f"%out = linalg.reduce {{ arith.{op} }} ins(%x : {tensor(values.shape)}) "
              f"outs(%i : {tensor(out)}) dimensions = [{axis}]\n",
              lambda x, i: function(jnp.concatenate([x, jnp.expand_dims(i, axis)], axis), axis=axis))

    cube = c.values((m, n, k))
    for axis in range(3):
        reduce("addf", cube, jnp.sum, axis)
        reduce("mulf", cube, jnp.prod, axis)
        reduce("maximumf", cube, jnp.max, axis)
        reduce("minimumf", cube, jnp.min, axis)
    # Ties share.
    reduce("maximumf", np.array([[2.0, 1.0, 2.0], [3.0, 3.0, 3.0]]), jnp.max, 1)

    def convolution(strides, dilations):
        h, w = c.size(2, 3), c.size(2, 3)
        oh, ow, f, ch, b = c.size(), c.size(), c.size(), c.size(), 2
        size = [s * (o - 1) + d * (q - 1) + 1 + c.size(0, 1)
                for s, d, o, q in zip(strides, dilations, (oh, ow), (h, w))]
        # Rows that no position of the kernel reaches.
        oh, ow = [(z - d * (q - 1) - 1) // s + 1
                  for z, s, d, q in zip(size, strides, dilations, (h, w))]
        x, y = c.values((b, *size, ch)), c.values((h, w, ch, f))
        out = tensor((b, oh, ow, f))
        loops = "b, p, q, f, r, s, c"
        image = (f"b, p * {strides[0]} + r * {dilations[0]}, q * {strides[1]} + s * {dilations[1]}, c")
        reference = lambda x, y: lax.conv_general_dilated(
            x, y, strides, "VALID", rhs_dilation=dilations,
            dimension_numbers=("NHWC", "HWIO", "NHWC"))
        c.add("linalg.generic", {"x": x, "y": y},
              fill("z", (b, oh, ow, f)) + "%out = " + generic(
                  loops, "rsc", [("x", tensor(x.shape), image), ("y", tensor(y.shape), "r, s, c, f")],
                  [("z", out, "b, p, q, f")],
                  "%p = arith.mulf %b_x, %b_y : f64\n%r = arith.addf %b_z, %p : f64\n"
                  "linalg.yield %r : f64"), reference)
        dense = "dense<[{}, {}]> : tensor<2xi64>"
        c.add("linalg.conv_2d_nhwc_hwcf", {"x": x, "y": y},
              fill("z", (b, oh, ow, f))
              + f"%out = linalg.conv_2d_nhwc_hwcf {{strides = {dense.format(*strides)}, "
              f"dilations = {dense.format(*dilations)}}} ins(%x, %y : {tensor(x.shape)}, "
              f"{tensor(y.shape)}) outs(%z : {out}) -> {out}\n", reference)
        window = (1, h, w, 1)
        pool = "%low = arith.constant -1.0e300 : f64\n" + fill("z", (b, oh, ow, ch), "low")
        c.add("linalg.pooling_nhwc_max", {"x": x},
              pool + f"%w = tensor.empty() : {tensor((h, w))}\n"
              f"%out = linalg.pooling_nhwc_max {{strides = {dense.format(*strides)}, "
              f"dilations = {dense.format(*dilations)}}} ins(%x, %w : {tensor(x.shape)}, "
              f"{tensor((h, w))}) outs(%z : {tensor((b, oh, ow, ch))}) -> {tensor((b, oh, ow, ch))}\n",
              lambda x: jnp.max(jnp.stack(
                  [x[:, r * dilations[0]:][:, :(oh - 1) * strides[0] + 1:strides[0],
                     s * dilations[1]:][:, :, :(ow - 1) * strides[1] + 1:strides[1]]
                   for r in range(h) for s in range(w)]), axis=0))

    for strides, dilations in ((1, 1), (1, 1)), ((2, 1), (1, 2)), ((3, 2), (2, 3)), ((2, 3), (1, 1)):
        convolution(strides, dilations)

    # Patches without a gap, an element left out, a diagonal, a constant row, backwards.
    x, y, z = c.values((m, n * k + 1)), c.values((m + 1, m, 3)), c.values((n, k, 2))
    out = tensor((m, n, k))
    c.add("linalg.generic", {"x": x, "y": y, "z": z},
          f"%e = tensor.empty() : {out}\n%out = " + generic(
              "i, j, k", "", [("x", tensor(x.shape), f"i, j * {k} + k + 1"),
                              ("y", tensor(y.shape), "i + 1, i, 2"),
                              ("z", tensor(z.shape), f"j, {k - 1} - k, 1")],
              [("e", out, "i, j, k")],
              "%p = arith.mulf %b_x, %b_y : f64\n%r = arith.mulf %p, %b_z : f64\n"
              "linalg.yield %r : f64"),
          lambda x, y, z: x[:, 1:].reshape(m, n, k)
          * y[jnp.arange(m) + 1, jnp.arange(m), 2][:, None, None] * z[:, ::-1, 1])

    # Three loops in one dimension.
    x = c.values((m + 2 * (n - 1) + 3 * (k - 1) + 2,))
    sums = jnp.arange(m)[:, None, None] + 2 * jnp.arange(n)[:, None] + 3 * jnp.arange(k) + 1
    c.add("linalg.generic", {"x": x, "i": c.values((m, n, k))},
          f"%e = tensor.empty() : {out}\n%out = " + generic(
              "i, j, k", "", [("x", tensor(x.shape), "i + j * 2 + k * 3 + 1"), ("i", out, "i, j, k")],
              [("e", out, "i, j, k")], "%r = arith.mulf %b_x, %b_i : f64\nlinalg.yield %r : f64"),
          lambda x, i: x[sums] * i)

    # Nothing flows where it is stopped, nor through what a fill overwrites.
    x = c.values((m, n))
    t = tensor(x.shape)
    c.add("linalg.fill", {"x": x, "y": c.values((m, n))},
          f"%one = arith.constant 1.0 : f64\n"
          f"%s = arith.mulf %x, %y {{weir.stop_gradient}} : {t}\n"
          f"%f = linalg.fill ins(%one : f64) outs(%s : {t}) -> {t}\n%u = arith.addf %s, %f : {t}\n"
          f"%out = arith.mulf %u, %x : {t}\n",
          lambda x, y: (lax.stop_gradient(x * y) + 1.0) * x)
    c.add("linalg.fill", {"x": c.values((3,)), "y": x},
          f"%at = arith.constant 1 : index\n%v = tensor.extract %x[%at] : tensor<3xf64>\n"
          f"%e = tensor.empty() : {t}\n%f = linalg.fill ins(%v : f64) outs(%e : {t}) -> {t}\n"
          f"%out = arith.mulf %f, %y : {t}\n", lambda x, y: x[1] * y)


def named(c):
    m, n = c.size(), c.size()
    x, y = c.values((m, n)), c.values((m, n))
    t, u = tensor((m, n)), tensor((n, m))
    e = f"%e = tensor.empty() : {t}\n"
    c.add("linalg.transpose", {"x": x}, f"%e = tensor.empty() : {u}\n%out = linalg.transpose "
          f"ins(%x : {t}) outs(%e : {u}) permutation = [1, 0]\n", lambda x: x.T)
    wide = tensor((m, 3, n))
    c.add("linalg.broadcast", {"x": x}, f"%e = tensor.empty() : {wide}\n%out = linalg.broadcast "
          f"ins(%x : {t}) outs(%e : {wide}) dimensions = [1]\n",
          lambda x: jnp.broadcast_to(x[:, None], (m, 3, n)))
    c.add("linalg.map", {"x": x, "y": y}, e + "%out = linalg.map { arith.mulf } "
          f"ins(%x, %y : {t}, {t}) outs(%e : {t})\n", lambda x, y: x * y)
    c.add("linalg.elementwise", {"x": x, "y": y},
          e + "%out = linalg.elementwise kind=#linalg.elementwise_kind<div> "
          f"ins(%x, %y : {t}, {t}) outs(%e : {t}) -> {t}\n", lambda x, y: x / y)
    c.add("linalg.exp", {"x": x}, e + f"%out = linalg.exp ins(%x : {t}) outs(%e : {t}) -> {t}\n",
          lambda x: jnp.exp(x))
    c.add("linalg.add", {"x": x, "y": y},
          e + f"%out = linalg.add ins(%x, %y : {t}, {t}) outs(%e : {t}) -> {t}\n",
          lambda x, y: x + y)
    for axis in 0, 1:
        c.add("linalg.softmax", {"x": x}, e + f"%out = linalg.softmax dimension({axis}) "
              f"ins(%x : {t}) outs(%e : {t}) -> {t}\n",
              lambda x, axis=axis: jax.nn.softmax(x, axis=axis))


def shapes(c):
    a, b, d = c.size(), c.size(), c.size(3, 5)
    x = c.values((a, b, d))
    t = tensor(x.shape)
    c.add("tensor.collapse_shape", {"x": x}, f"%out = tensor.collapse_shape %x [[0, 1], [2]] : "
          f"{t} into {tensor((a * b, d))}\n", lambda x: x.reshape(a * b, d))
    flat = c.values((a * b, d))
    c.add("tensor.expand_shape", {"x": flat}, f"%out = tensor.expand_shape %x [[0, 1], [2]] "
          f"output_shape [{a}, {b}, {d}] : {tensor(flat.shape)} into {t}\n",
          lambda x: x.reshape(a, b, d))
    # With a stride, without a dimension, twice over the same elements.
    c.add("tensor.extract_slice", {"x": x},
          f"%p = tensor.extract_slice %x[0, 1, 0] [{a}, 1, 2] [1, 1, 2] : {t} to {tensor((a, 2))}\n"
          f"%q = tensor.extract_slice %x[0, 1, 1] [{a}, 1, 2] [1, 1, 1] : {t} to {tensor((a, 2))}\n"
          f"%out = arith.mulf %p, %q : {tensor((a, 2))}\n",
          lambda x: x[:, 1, 0:3:2] * x[:, 1, 1:3])
    y = c.values((a, 2))
    c.add("tensor.insert_slice", {"x": x, "y": y},
          f"%out = tensor.insert_slice %y into %x[0, 1, 0] [{a}, 1, 2] [1, 1, 2] : "
          f"{tensor(y.shape)} into {t}\n", lambda x, y: x.at[:, 1, 0:3:2].set(y))
    y = c.values((a, 2, d))
    c.add("tensor.concat", {"x": x, "y": y},
          f"%out = tensor.concat dim(1) %x, %y, %x : ({t}, {tensor(y.shape)}, {t}) -> "
          f"{tensor((a, 2 * b + 2, d))}\n", lambda x, y: jnp.concatenate([x, y, x], axis=1))
    low, high = [c.size(0, 2) for _ in range(3)], [c.size(0, 2) for _ in range(3)]
    padded = tensor([s + l + h for s, l, h in zip(x.shape, low, high)])
    pad = f"low{low} high{high} {{\n^bb0(%i: index, %j: index, %k: index):\ntensor.yield %v : f64\n}}"
    c.add("tensor.pad", {"x": x}, f"%v = arith.constant 1.5 : f64\n%out = tensor.pad %x {pad} : "
          f"{t} to {padded}\n", lambda x: jnp.pad(x, list(zip(low, high)), constant_values=1.5))
    c.add("tensor.pad", {"x": x, "y": c.values(())},
          f"%v = tensor.extract %y[] : tensor<f64>\n%out = tensor.pad %x {pad} : {t} to {padded}\n",
          lambda x, y: jnp.pad(jnp.ones_like(x), list(zip(low, high))) * jnp.pad(x, list(zip(low, high)))
          + (1 - jnp.pad(jnp.ones_like(x), list(zip(low, high)))) * y)


def tables(c):
    a, b, d, rows, columns = c.size(), c.size(), c.size(), c.size(), c.size()
    for dims in (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2):
        for keeps in False, True:
            x = c.values((a, b, d))
            at = np.stack([c.integers((rows, columns), x.shape[i]) for i in dims], axis=-1)
            rest = [1 if i in dims else s for i, s in enumerate(x.shape) if keeps or i not in dims]
            out = (rows, columns, *rest)

            def gather(x, at=at, dims=dims, out=out):
                index = [slice(None)] * 3
                front = jnp.moveaxis(x, dims, range(len(dims)))
                return front[tuple(at[..., i] for i in range(len(dims)))].reshape(out)

            c.add("tensor.gather", {"x": x},
                  f"%at = {constant(at)}\n%out = tensor.gather %x[%at] gather_dims({list(dims)}) : "
                  f"({tensor(x.shape)}, {tensor(at.shape, 'i32')}) -> {tensor(out)}\n", gather)
    x, at = c.values((a + 1,)), c.integers((rows, 1), a + 1)
    c.add("tensor.gather", {"x": x}, f"%at = {constant(at, 'i64')}\n%out = tensor.gather %x[%at] "
          f"gather_dims([0]) : ({tensor(x.shape)}, {tensor(at.shape, 'i64')}) -> "
          f"{tensor((rows,))}\n", lambda x: x[at[:, 0]])
    x, y, places = c.values((a, b)), c.values((rows, columns, b)), c.integers((rows, columns), a)
    c.add("weir.scatter_add", {"x": x, "y": y},
          f"%at = {constant(places)}\n%out = weir.scatter_add %y into %x[%at] : {tensor(y.shape)} "
          f"into {tensor(x.shape)}[{tensor(places.shape, 'i32')}]\n",
          lambda x, y: x.at[places].add(y))


def get_cases(seed):
    cases = Cases(seed)
    for group in scalars, products, generics, named, shapes, tables:
        group(cases)
    return cases


def outputs(case):
    result = jax.eval_shape(
        case.function, **{name: jnp.asarray(v) for name, v in case.inputs.items()})
    return result if isinstance(result, tuple) else (result,)


def weight(number, result):
    return f"c{number}.weight{result}"


def initial(cases, seed):
    rng = np.random.default_rng([seed, 1])
    values = {}
    for number, case in enumerate(cases):
        for name, value in case.inputs.items():
            values[f"c{number}.{name}"] = np.asarray(value, np.float64)
        for i, out in enumerate(outputs(case)):
            values[weight(number, i)] = rng.uniform(-1.5, 1.5, out.shape)
    return values


def write_model(path, cases, values):
    with open(path, "w") as file:
        for name, value in values.items():
            file.write(f'weir.variable @"{name}" <constant, 0.0> : {tensor(value.shape)}\n')
        file.write("func.func @rules() -> (tensor<f64>, tensor<f64>) attributes {weir.model} {\n"
                   "%count = arith.constant dense<1.0> : tensor<f64>\n"
                   "%zero = arith.constant 0.0 : f64\n" + fill("loss_0", ()))
        last = "loss_0"
        for number, case in enumerate(cases):
            for name, value in case.inputs.items():
                file.write(f'%c{number}_{name} = weir.read @"c{number}.{name}" : {tensor(value.shape)}\n')
            body = "%zero = arith.constant 0.0 : f64\n" + case.body
            file.write(re.sub(r"%(\w+)", rf"%c{number}_\1", body))
            results = outputs(case)
            for i, out in enumerate(results):
                t = tensor(out.shape)
                loops = ", ".join(f"d{d}" for d in range(out.ndim))
                value = f"c{number}_out" + (f"#{i}" if len(results) > 1 else "")
                w, loss = f"c{number}_weight{i}", f"loss_{number}_{i}"
                file.write(f'%{w} = weir.read @"{weight(number, i)}" : {t}\n'
                           f"%{loss} = " + generic_loss(loops, value, w, last, t))
                last = loss
        file.write(f"return %{last}, %count : tensor<f64>, tensor<f64>\n}}\n")


def generic_loss(loops, value, w, last, t):
    kinds = ", ".join('"reduction"' for d in loops.split(",") if d)
    return (f"linalg.generic {{indexing_maps = [{maps(loops, loops, loops, '')}], "
            f"iterator_types = [{kinds}]}} ins(%{value}, %{w} : {t}, {t}) "
            f"outs(%{last} : tensor<f64>) {{\n^bb0(%x: f64, %y: f64, %a: f64):\n"
            "%p = arith.mulf %x, %y : f64\n%s = arith.addf %a, %p : f64\nlinalg.yield %s : f64\n"
            "} -> tensor<f64>\n")


def check_coverage(cases, path):
    with open(path) as file:
        rules = set(file.read().split())
    missing = rules - {case.op for case in cases} - set(EXEMPT)
    if not rules or missing:
        sys.exit(f"rules without a case in {__file__}: {', '.join(sorted(missing)) or 'no rules'}")


def differentiate(cases, values):
    def loss(p):
        total = 0.0
        for number, case in enumerate(cases):
            outs = case.function(**{name: p[f"c{number}.{name}"] for name in case.inputs})
            for i, out in enumerate(outs if isinstance(outs, tuple) else (outs,)):
                total += jnp.sum(out * p[weight(number, i)])
        return total

    gradients = jax.jit(jax.grad(loss))({name: jnp.asarray(v) for name, v in values.items()})
    return {name: np.array(value) for name, value in gradients.items()}


def compare(cases, directory):
    expected = load_file(directory + "/expected")
    got = load_file(directory + "/gradients")
    elements, wrong, worst = 0, 0, 0.0
    for number, case in enumerate(cases):
        for name, e in expected.items():
            if not name.startswith(f"c{number}."):
                continue
            # A variable that the loss does not depend on has no gradient.
            g = got[name].reshape(e.shape) if name in got else np.zeros(e.shape)
            error = np.abs(g - e) / np.maximum(1.0, np.abs(e))
            error = np.where(np.isnan(e) & np.isnan(g), 0.0, np.where(np.isnan(error), np.inf, error))
            elements += e.size
            worst = max(worst, float(error.max()))
            if error.max() > TOLERANCE:
                wrong += 1
                at = np.unravel_index(np.argmax(error), e.shape)
                print(f"{case.op}: case {number}: DIFFERS in {name}{[int(i) for i in at]}: "
                      f"got {g[at]:.12g}, expected {e[at]:.12g}")
    print(f"gradients of {len({case.op for case in cases})} ops in {len(cases)} cases, "
          f"{elements} elements: worst {worst:.1e} of {TOLERANCE:.0e}")
    sys.exit(wrong > 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["write", "compare"])
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rules", help="what weir-opt --show-derivative-rules printed")
    options = parser.parse_args()
    cases = get_cases(options.seed)
    if options.command == "compare":
        compare(cases, options.path)
    values = initial(cases, options.seed)
    check_coverage(cases, options.rules)
    write_model(options.path + "/model.mlir", cases, values)
    save_file(values, options.path + "/initial")
    save_file(differentiate(cases, values), options.path + "/expected")
    # Read by no op, but checked against the smallest table.
    with open(options.path + "/data", "wb") as file:
        file.write(bytes(64))


if __name__ == "__main__":
    main()
