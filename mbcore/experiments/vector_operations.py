"""T2: in NumPy a batch pays because large vector operations hide the slowness of Python, more than by parallelism."""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from .models import MLP
from .verdict import Verdict


LARGEST = 1024          # the largest batch that `cost` measures


@dataclass(frozen=True)
class Config:
    sizes: tuple = (1, 4, 16, 64, 256)
    i: int = 64
    j: int = 32
    y: int = 10
    repeats: int = 30
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Median microseconds per example for forward and backward, for each batch size."""

    sizes: tuple
    one_thread: tuple
    all_threads: tuple
    gain: float             # one thread: cost per example at the smallest B over that at the largest
    threads: float          # the largest B: one thread's cost over that of all threads
    verdicts: tuple


def microseconds_per_example(net, B, x, target, repeats):
    """The median cost of one forward and backward, over B. The first call, which binds and warms, is not counted."""
    took = []
    for _ in range(repeats + 1):
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


@functools.lru_cache(maxsize=4)
def _ready(i, j, y, seed):
    """The network compiled for the largest batch, and data to run it on; kept, so that a slider's next value only runs."""
    rng = np.random.default_rng(seed)
    net = MLP.with_index("b").compile(b=LARGEST, i=i, j=j, y=y).init(rng)
    return net, {"x": rng.random((LARGEST, i), dtype=np.float32), "target": rng.integers(0, y, LARGEST)}


def cost(B, i, j, y=10, budget=0.001, seed=0):
    """Measure the cost per example on this machine, on one BLAS thread, B up to 1024.

    The median over as many runs as fit in `budget` seconds, at least 3.
    """
    net, inputs = _ready(i, j, y, seed)
    with one_blas_thread():
        once = microseconds_per_example(net, B, **inputs, repeats=1) * B / 1e6
        microseconds = microseconds_per_example(net, B, **inputs, repeats=max(3, min(50, int(budget / once))))
    batch, values = MLP.with_index("b"), net.values
    describe = lambda arrays, indices: {n: (indices[n], arrays[n].shape, arrays[n].nbytes) for n in arrays}
    return Cost(describe({n: values[n] for n in "xhsL"}, {**batch.inputs, **batch.computed}),
                describe(net.params, batch.parameters), microseconds)


def run(config=Config()):
    """Time the usual network at growing B, on one BLAS thread (no parallelism) and on as many as NumPy takes."""
    c, rng = config, np.random.default_rng(config.seed)
    net = MLP.with_index("b").compile(b=max(c.sizes), i=c.i, j=c.j, y=c.y).init(rng)
    x, target = rng.random((max(c.sizes), c.i), dtype=np.float32), rng.integers(0, c.y, max(c.sizes))
    rows = []
    for context in (one_blas_thread, contextlib.nullcontext):
        with context():
            rows.append(tuple(microseconds_per_example(net, B, x, target, c.repeats) for B in c.sizes))
    one, every = rows
    gain, threads = one[0] / one[-1], one[-1] / every[-1]
    return Result(c.sizes, one, every, gain, threads, (_verdict(c, gain, threads),))


def _verdict(c, gain, threads):
    """A wide margin, since it is a clock: batching without parallelism must gain 4x and more than threads add."""
    if gain >= 4 and gain > 2 * threads:
        return Verdict("T2", "holds", f"on one thread an example in a batch of {c.sizes[-1]} costs less than a quarter of one alone; "
                       "more threads add far less than that.")
    if gain > threads:
        return Verdict("T2", "holds when", "the network is small: here the gain without parallelism is the larger, but not by much.")
    return Verdict("T2", "does not hold here", "on this machine threads gain more than batching on one thread does.")
