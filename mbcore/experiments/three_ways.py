"""One step on the same batch three ways: a Python loop over its examples, the graph of copies, the indexed graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from .graph_costs import SIDES, compiled, interval, seconds, stepper
from .models import MLP


@dataclass(frozen=True)
class Gain:
    """The least seconds of one SGD step on a batch: a Python loop over its examples, the graph of copies, the indexed graph.

    All three on one BLAS thread, so on one core (a core works on several numbers at once in each of them); every: the index
    on all threads. gain: loop / index, copied: copies / index,
    threads: index on one / on all, each as (low, median, high) of the rounds' ratios, an interval of about 96 % for the median.
    """

    i: int
    j: int
    B: int
    loop: float
    copies: float
    index: float
    every: float
    gain: tuple
    copied: tuple
    threads: tuple


def gained(i, j, B, rounds, seed):
    """The Gain of one network: one step on the same batch three ways, a round of all after another, so that a busy machine
    slows them alike."""
    sizes = {"i": i, "j": j, "y": 10}
    (copied, copies), (indexed, index) = (compiled(side, B, sizes) for side in SIDES)
    ways = [_loop(B, sizes, seed), stepper(copies, copied, B, seed), stepper(index, indexed, B, seed)]
    taken = []
    for _ in range(rounds + 1):                         # the first, which warms, is not counted
        with one_blas_thread():
            alone = [seconds(ways[0]), seconds(ways[1]), seconds(ways[2], 3)]
        ways[2]()                                       # wakes the other threads
        taken.append((*alone, seconds(ways[2], 3)))
    t = np.array(taken[1:])
    ratios = (interval(t[:, a] / t[:, b]) for a, b in ((0, 2), (1, 2), (2, 3)))
    return Gain(i, j, B, *map(float, t.min(axis=0)), *ratios)


def _loop(B, sizes, seed):
    """One SGD step by a Python loop over examples, without any graph of a batch: gradients are added up and averaged."""
    rng = np.random.default_rng(seed)
    one = MLP.compile(**sizes).init(rng)
    x, target = rng.random((B, sizes["i"]), dtype=np.float32), rng.integers(0, sizes["y"], B)
    total = {name: np.empty_like(p) for name, p in one.params.items()}

    def step():
        for g in total.values():
            g.fill(0)
        for b in range(B):
            one.forward(x=x[b], target=target[b])
            one.backward()
            grads = one.grads
            for name, g in total.items():
                g += grads[name]
        for name, g in total.items():
            one.params[name] -= 0.01 / B * g
    return step
