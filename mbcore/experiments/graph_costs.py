"""What a minibatch costs as B copies and as one indexed graph: nodes, calls, bytes and seconds, one BLAS thread.

The two compute the same mean: in the indexed graph, too, the mean over b is written out as the last line.
"""

from __future__ import annotations

import functools
import gc
import time
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np

from ..backend import one_blas_thread
from .graphs import GRAPHS, batched, dealt
from .models import MLP

LARGEST, QUICK = 4096, 16               # the largest batch, and the most copies that are built behind a slider
SIZES = {"i": 64, "j": 32, "y": 10}
SIDES = {"copies": "copies", "index": "averaged"}           # what is compared -> its name in GRAPHS


@dataclass(frozen=True)
class Cost:
    """One graph at one batch size. Both passes call `calls` kernels. nbytes: of all arrays. held: bytes that Python holds for
    the graph and the program beside the arrays. compile: seconds from the equations to a program. step: seconds of an SGD
    step on one BLAS thread, the least of several: another program that runs can only add to it, and adds most to the longest.
    None: not measured; all else is then counted from smaller graphs, being linear in B."""

    B: int
    nodes: int
    edges: int
    leaves: int
    calls: int
    nbytes: int
    compile: float | None = None
    step: float | None = None
    held: int | None = None


def costs(B, seed=0, budget=0.002):
    """{"copies": Cost, "index": Cost} at 64-32-10, each timed now for about `budget` seconds; above QUICK the copies are
    not built but `counted`. A graph is built at its first call and kept, so that a slider's next value only runs."""
    if B not in range(1, LARGEST + 1):
        raise ValueError(f"B: expected 1 to {LARGEST} examples, got {B!r}")
    timed = lambda side: _timed(*_ready(side, B, seed), budget)
    return {"copies": timed("copies") if B <= QUICK else counted(B), "index": timed("index")}


@functools.lru_cache(maxsize=32)
def _ready(side, B, seed):
    return _cost(side, B, 1, seed)


def _timed(cost, step, budget):
    took = []
    with one_blas_thread():
        while len(took) < 3 or sum(took) < budget:
            took.append(seconds(step))
    return replace(cost, step=min(took))


@functools.cache
def _built(B):
    model = MLP.unrolled(B)
    net = model.compile(**SIZES)
    return {**model.graph.counts, "calls": net.calls, "nbytes": net.nbytes}


def counted(B):
    """The Cost of B copies, B >= 2, as 2 copies and B - 2 times what a third adds: every count is linear in B from 2 on."""
    two, three = _built(2), _built(3)
    return Cost(B, **{name: two[name] + (B - 2) * (three[name] - two[name]) for name in two})


@functools.cache
def held():
    """{"copies": bytes that Python holds for the graph and the program of each copy, "index": of the whole, whatever B is}."""
    few, many = _held("copies", 2), _held("copies", QUICK)
    return {"copies": (many - few) / (QUICK - 2), "index": _held("index", QUICK)}


@functools.cache
def curves():
    """side -> {"B": 1, 2, 4 ... LARGEST, "nodes", "calls", "bytes": lists}: what needs no clock. bytes: arrays, graph and program;
    the copies' above QUICK are counted, not built."""
    sizes, index, extra = [2**k for k in range(LARGEST.bit_length())], GRAPHS["averaged"](2), held()
    copies, (one, two) = [_ready("copies", 1, 0)[0], *map(counted, sizes[1:])], (_ready("index", B, 0)[0] for B in (1, 2))
    return {"copies": {"B": sizes, "nodes": [c.nodes for c in copies], "calls": [c.calls for c in copies],
                       "bytes": [c.nbytes + c.B * extra["copies"] for c in copies]},
            "index": {"B": sizes, "nodes": [two.nodes] * len(sizes), "calls": [one.calls, *[two.calls] * (len(sizes) - 1)],
                      "bytes": [index.nbytes(b=B, **SIZES) + extra["index"] for B in sizes]}}


def beyond(seconds):
    """What copies would take from the most that were timed up to LARGEST: in proportion to B. seconds: B -> seconds of a step."""
    B = max(seconds)
    return {B: seconds[B], LARGEST: seconds[B] * LARGEST / B}


def _held(side, B):
    """The bytes that Python holds for a graph and its program, beside the arrays."""
    gc.freeze()                                         # so that collecting looks at nothing older than this
    tracemalloc.start()
    try:
        _, net = compiled(side, B, SIZES)              # the program keeps its graph
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - net.nbytes
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def measured(B, rounds, seed):
    """(Cost of the copies, Cost of the indexed graph, the ratio of their steps), side by side."""
    (copies, slow), (index, fast) = (_cost(side, B, rounds, seed) for side in SIDES)
    with one_blas_thread():
        ratios = [seconds(slow) / seconds(fast, 3) for _ in range(rounds)]
    if B <= QUICK:                                      # watching memory makes the work several times slower
        copies, index = (replace(cost, held=_held(side, B)) for side, cost in zip(SIDES, (copies, index)))
    return copies, index, interval(ratios)


def _cost(side, B, rounds, seed):
    """(Cost, the function that makes one step) of one graph at 64-32-10, float32."""
    start = time.perf_counter()
    model, net = compiled(side, B, SIZES)
    compiling = time.perf_counter() - start
    step = stepper(net, model, B, seed)
    with one_blas_thread():
        step()                                          # binds and warms
        took = min(seconds(step) for _ in range(rounds))
    return Cost(B, **model.graph.counts, calls=net.calls, nbytes=net.nbytes, compile=compiling, step=took), step


def compiled(side, B, sizes):
    """(Equations, Program) of one side."""
    model = GRAPHS[SIDES[side]](B)
    return model, model.compile(**({"b": B} if batched(model) else {}), **sizes)


def stepper(net, model, B, seed, lr=0.01):
    """The function that makes one SGD step on random examples, always the same."""
    rng = np.random.default_rng(seed)
    net.init(rng)
    inputs = {"x": rng.random((B, net.sizes["i"]), dtype=np.float32), "target": rng.integers(0, net.sizes["y"], B)}
    inputs = inputs if batched(model) else dealt(**inputs)
    return lambda: net.step(lr, **inputs)


def seconds(call, n=1):
    """Seconds of a call after n - 1 others: the first alone would find the caches cold, which a batch of calls would not."""
    took = 0.0
    for _ in range(n):
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
    return took


def interval(ratios):
    """(low, median, high): the second smallest and the second largest enclose the median of 9 with 96 %."""
    ordered = sorted(map(float, ratios))
    return ordered[1], float(np.median(ordered)), ordered[-2]
