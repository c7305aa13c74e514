"""T2: in NumPy a batch pays because large vector operations hide the slowness of Python, more than by parallelism.

One thread throughout, so no gain seen here is parallelism over examples on several cores.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from .models import MLP
from .verdict import Verdict


LARGEST = 1024          # the largest batch that `cost` measures

CLAIMS = ("T2",)


@dataclass(frozen=True)
class Config:
    layers: tuple = ((64, 32), (256, 256))      # (I, J), a small one and a larger one
    B: int = 256
    repeats: int = 15
    seed: int = 0


SMALL = Config()        # quick as it is


@dataclass(frozen=True)
class Layer:
    """Microseconds per example for h~[b,j] = sum_i W0[j,i] x[b,i], one thread, four ways of writing it; the least of several
    runs: another program that runs can only add to it."""

    i: int
    j: int
    loops: float            # Python loops over j and i, one example
    each: float             # a NumPy call for each example: W0 @ x[b]
    stacked: float          # one call, in which C goes through B products of a matrix and a vector
    product: float          # one call, one matrix product
    threads: float | None   # the time of that product on one thread over that on all; None with one CPU


@dataclass(frozen=True)
class Result:
    layers: tuple
    verdicts: tuple


def microseconds_per_example(net, B, x, target, budget):
    """The median cost of one forward and backward, over B: of the runs that fit in `budget` seconds, at least 3.

    The first call, which binds and warms, is not counted.
    """
    took = []
    while len(took) < 4 or sum(took) < budget:
        start = time.perf_counter()
        net.forward(x=x[:B], target=target[:B])
        net.backward()
        took.append(time.perf_counter() - start)
    return float(np.median(took[1:]) / B * 1e6)


@dataclass(frozen=True)
class Cost:
    """The arrays of the usual network at one batch size, and what one example costs in forward and backward."""

    values: dict                # name -> (indices, shape, bytes), one row for each example
    parameters: dict            # the same; their shapes do not know B
    microseconds: float


@functools.lru_cache(maxsize=16)
def _ready(i, j, y, seed):
    """The network compiled for the largest batch, and data to run it on; kept, so that a slider's next value only runs."""
    rng = np.random.default_rng(seed)
    net = MLP.with_index("b").compile(b=LARGEST, i=i, j=j, y=y).init(rng)
    return net, {"x": rng.random((LARGEST, i), dtype=np.float32), "target": rng.integers(0, y, LARGEST)}


def cost(B, i, j, y=10, budget=0.002, seed=0):
    """Measure the cost per example on this machine, on one BLAS thread, B up to 1024; budget in seconds."""
    net, inputs = _ready(i, j, y, seed)
    with one_blas_thread():
        microseconds = microseconds_per_example(net, B, **inputs, budget=budget)
    batch, values = MLP.with_index("b"), net.values
    describe = lambda arrays, indices: {n: (indices[n], arrays[n].shape, arrays[n].nbytes) for n in arrays}
    return Cost(describe({n: values[n] for n in "xhsL"}, {**batch.inputs, **batch.computed}),
                describe(net.params, batch.parameters), microseconds)


def run(config=Config()):
    """Time one layer four ways, so that what Python costs and what a larger product gains are seen apart."""
    layers = tuple(_layer(i, j, config) for i, j in config.layers)
    return Result(layers, (_verdict(layers),))


def _layer(i, j, c):
    rng = np.random.default_rng(c.seed)
    x, W0 = rng.random((c.B, i), dtype=np.float32), rng.random((j, i), dtype=np.float32)
    h = np.empty((c.B, j), np.float32)
    stacked = lambda: np.matmul(W0, x[:, :, None])
    product = lambda: np.matmul(x, W0.T, out=h)
    with one_blas_thread():
        slow = _seconds(lambda: _loops(x[0].tolist(), W0.tolist()), 3) * 1e6
        each, stack, one = (_seconds(call, c.repeats) / c.B * 1e6 for call in (lambda: [W0 @ x[b] for b in range(c.B)], stacked, product))
    every = _seconds(product, c.repeats) / c.B * 1e6
    return Layer(i, j, slow, each, stack, one, one / every if (os.cpu_count() or 1) > 1 else None)


def _loops(x, W0):
    h = [0.0] * len(W0)
    for j in range(len(W0)):
        for i in range(len(x)):
            h[j] += W0[j][i] * x[i]
    return h


def _seconds(call, repeats):
    took = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took[1:])


def _verdict(layers):
    """Wide margins, since it is a clock: one call for B of them must gain 3x to count, on one thread."""
    small, large = layers
    calls = [layer.each / layer.stacked for layer in layers]
    if calls[0] >= 3 > calls[1]:
        return Verdict("T2", "holds when", f"the vectors are small: at {small.i}-{small.j}, on one thread, sparing Python its calls gains more "
                       f"than 3x; at {large.i}-{large.j} less than that.")
    if min(calls) >= 3:
        return Verdict("T2", "holds", "on one thread, sparing Python its calls gains more than 3x for both layers.")
    return Verdict("T2", "does not hold here", "sparing Python its calls gains less than 3x even for the small layer.")
