"""T1 again: the compute batch and the optimisation batch are two sizes, and what follows from keeping them apart.

Accumulation: g = sum_k (n_k / B) g_k over parts of n_k examples is the gradient of all B, to rounding, whatever the parts, and takes
the memory of one part (train.accumulated). The mean of the parts' means, (1/K) sum_k g_k, is not: it gives an example of part k the
weight 1/(K n_k), and where examples hold different numbers of tokens it is wrong again (GitHub issues: huggingface/transformers 24725
and 35203, huggingface/trl 2175). With batch normalisation a part is a different function, not a smaller sum.
"""

from __future__ import annotations

import functools
import tracemalloc
from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from ..checking import whole
from ..train import accumulated
from .backpropagation import flat
from .interval import interval
from .parts import BATCH, COUNTS, apart, coupled, network, ragged, some
from .verdict import Verdict

CLAIMS = ()             # of its own; T1, which lesson 01 answers, is looked at again


@dataclass(frozen=True)
class Config:
    B: int = 50                         # optimisation batch
    compute: tuple = (50, 25, 10, 5, 1)
    ragged: int = 53                    # examples in 10 x 5 + 3
    part: int = 5
    draws: int = 40                     # batches over which errors are averaged
    j: int = 32
    seed: int = 0


SMALL = Config(draws=20)


@dataclass(frozen=True)
class Part:
    """One gradient of B examples, `compute` at a time. Distances to the gradient of one pass are ||g - g_1|| / ||g_1||."""

    compute: int
    passes: int
    nbytes: int             # of the program, known before it is made, float32
    peak: int               # bytes, measured; see `peak`
    float64: float
    float32: float


@dataclass(frozen=True)
class Result:
    """parts: Part for each compute batch. errors: name in COUNTS -> Interval of Ragged.error, over draws. normalised: compute ->
    Interval of the distance to one pass with batch normalisation, over draws."""

    parts: tuple = ()
    errors: dict = None
    weighted: float = 0.0   # the largest Ragged.one_pass
    bias: dict = None       # ||mean wrong - mean right|| / ||mean right|| over draws, and what it would be were wrong unbiased (rms)
    normalised: dict = None
    verdicts: tuple = ()


def run(config=Config()):
    """All of it; see Result."""
    c = config
    with one_blas_thread():
        found = Result(tuple(accumulate(c.B, n, c.j, c.seed) for n in c.compute), *_errors(c),
                       {n: interval([coupled(c.B, n, c.j, c.seed, k) for k in range(c.draws)]) for n in c.compute})
    return Result(**{**vars(found), "verdicts": (_verdict(c, found),)})


def accumulate(B, compute, j=32, seed=0):
    """The gradient of B digits, `compute` at a time, beside the one of one pass: Part."""
    inputs, off = some(B, (seed, 0)), {}
    compute = whole("compute", compute)
    for dtype in ("float64", "float32"):
        at_once, parts = (network(BATCH, b, j, seed, dtype) for b in (B, compute))
        off[dtype] = apart(flat(accumulated(parts, compute, **inputs)), flat(accumulated(at_once, B, **inputs)))
    return Part(compute, -(-B // compute), held(compute, j), peak(B, compute, j, seed), **off)


@functools.cache
def held(compute, j=32):
    """Bytes of the program for so many examples at a time, known before it is made, float32."""
    return BATCH.nbytes(b=compute, i=64, j=j, y=10)


def peak(B, compute, j=32, seed=0, parts=None):
    """The most bytes that NumPy and Python hold at once, from the making of the program to its last part; measured.

    The sum of the gradients so far comes on top of the program, and Python's own objects. parts: stop after so many; one more
    does not need more.
    """
    inputs = {name: a[:B if parts is None else parts * compute] for name, a in some(B, (seed, 0)).items()}
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    accumulated(BATCH.compile(b=compute, i=64, j=j, y=10), compute, **inputs)
    most = tracemalloc.get_traced_memory()[1] - before
    if not tracing:
        tracemalloc.stop()
    return most


def _errors(c):
    """(counts -> Interval of Ragged.error, the largest one_pass, counts -> how far wrong is off on average), over draws."""
    errors, bias, most = {}, {}, 0.0
    for counts in COUNTS:
        drawn = [ragged(c.ragged, c.part, counts, c.j, c.seed, k) for k in range(c.draws)]
        errors[counts] = interval([d.error for d in drawn])
        off, right = np.array([d.wrong - d.right for d in drawn]), np.mean([d.right for d in drawn], axis=0)
        chance = off.var(axis=0, ddof=1).sum() / c.draws            # E||mean off||^2 where E off = 0
        bias[counts] = (float(np.linalg.norm(off.mean(axis=0)) / np.linalg.norm(right)), float(chance**0.5 / np.linalg.norm(right)))
        most = max(most, *(d.one_pass for d in drawn))
    return errors, most, bias


def _verdict(c, r):
    most = max(*(p.float64 for p in r.parts), r.weighted)
    if most > 1e-12:
        return Verdict("T1", "does not hold here", f"in parts the gradient of {c.B} examples moves by {most:.0e} of its length.")
    wrong, worst = r.errors["equal"], min(n for n in c.compute if n > 1)
    norm, off = r.normalised[worst], lambda found: f"about {100 * found.mean:.0f} % off"
    needs = [said for said, found in (
        (f"each part counts by its examples (the mean of means of {c.ragged} in parts of {c.part} is {off(wrong)})", wrong),
        (f"no value couples them (with batch normalisation parts of {worst} are {off(norm)})", norm)) if found.low > 1e-3]
    return Verdict("T1", "holds when" if needs else "holds", f"{' and '.join(needs)}{'; then ' if needs else ''}{c.B} examples in parts of "
                   f"{', '.join(map(str, c.compute))} give the gradient of one pass, to rounding.")
