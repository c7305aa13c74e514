"""N7: data parallel training: one batch cut over K workers, their gradients averaged by all-reduce, is one worker's training.

    g = sum over k of (B[k] / B) g[k],   g[k] the mean gradient over the B[k] examples of worker k, B = sum over k of B[k]

`run` simulates the workers one after the other, with the messages of `ring`. `gradient_by` gives the shards to real processes,
by any executor; `ranks` is real MPI ranks. The claim: NVIDIA's multi-GPU course, Lab 3 Part 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..checking import whole
from ..objective import Objective
from .interval import half_width
from .models import MLP
from .ring import bytes_sent, ring
from .verdict import Verdict

CLAIMS = ("N7",)
LEVEL = 0.99


# ---------------------------------------------------------------- shards against one worker

@dataclass(frozen=True)
class Config:
    """shards: for each way of cutting the batch, the examples of each worker."""

    shards: tuple = ((50, 50), (34, 33, 33), (25,) * 4, (32, 32, 32, 4), (13,) * 7 + (9,), (58, 6) + (6,) * 6)
    j: int = 32
    lr: float = 1.0
    updates: int = 10
    draws: int = 20             # batches for which the wrong average is measured, at the first parameters
    seed: int = 0

    def __post_init__(self):
        for shards in self.shards:
            if not shards or any(whole("shards", b) > 1437 for b in shards) or sum(shards) > 1437:
                raise ValueError(f"shards: expected parts of a batch of at most 1437 examples, got {shards!r}")
        whole("updates", self.updates), whole("draws", self.draws, 3)


SMALL = Config(updates=5, draws=10)             # half the updates and draws


@dataclass(frozen=True)
class Row:
    """One way of cutting a batch, in float64.

    apart: largest difference of a parameter after all updates between worker 0 and one worker alone. identical: whether the
    K workers' parameters are the same bit by bit. plain: (mean, half of a 99 % t-interval over draws) of ||wrong - g|| / ||g||
    where the workers' gradients are averaged as if shards were equal. counts_as: 1 / sum over examples of the square of its
    weight in that plain average, the size of an evenly weighted batch with its variance.
    bytes_each: the most that one worker sends in a ring; bytes_model: 2 (K-1)/K of the gradient's bytes.
    """

    shards: tuple
    ring_steps: int
    bytes_each: int
    bytes_model: float
    apart: float
    identical: bool
    plain: tuple
    counts_as: float

    @property
    def ragged(self):
        return len(set(self.shards)) > 1


@dataclass(frozen=True)
class Result:
    """rows: one for each way of cutting. parameters: how many. moved: the farthest that a parameter moved in the training."""

    rows: tuple
    parameters: int
    moved: float
    verdicts: tuple = ()


def run(config=Config()):
    with one_blas_thread():
        found = [_row(shards, config) for shards in config.shards]
    rows, moved = tuple(row for row, _ in found), min(m for _, m in found)
    return Result(rows, _start(config)[0].start.size, moved, (_verdict(rows, moved),))


def _start(c):
    """The digits network with its mean loss over any examples as a function of one vector, and a generator."""
    digits, rng = data.digits(), np.random.default_rng(c.seed)
    net = MLP.with_index("b").compile(b=1, i=64, j=c.j, y=10, dtype="float64").init(rng)
    return Objective(net, {"x": digits.x_train, "target": digits.target_train}), rng


def _gradient(f, theta, at):
    """The mean gradient over the examples `at`, as one vector."""
    f.move(theta)
    return f.loss_and_gradient(f.program, f.take(at))[1]


def weights(shards, plain=False):
    """[k]: the share of the batch that each worker has; or 1/K, which is wrong where shards differ."""
    return np.full(len(shards), 1 / len(shards)) if plain else np.array(shards) / sum(shards)


def _cut(at, shards):
    return np.split(at, np.cumsum(shards)[:-1])


def _row(shards, c):
    (f, rng), K, B = _start(c), len(shards), sum(shards)
    batches = [rng.choice(f.N, B, replace=False) for _ in range(max(c.updates, c.draws))]
    alone, workers = f.start.copy(), np.tile(f.start, (K, 1))
    for at in batches[:c.updates]:
        alone = alone - c.lr * _gradient(f, alone, at)
        each = np.array([_gradient(f, theta, part) for theta, part in zip(workers, _cut(at, shards))])
        states = ring(K, weights(shards)[:, None] * each)
        workers = workers - c.lr * states[-1].held
    plain = np.array([_plain_error(f, shards, at) for at in batches[:c.draws]])
    half = half_width(plain, LEVEL)
    squares = sum(b * (1 / (K * b))**2 for b in shards)
    row = Row(shards, len(states) - 1, int(bytes_sent(states).max()), 2 * (K - 1) / K * 8 * f.start.size,
              float(np.abs(workers[0] - alone).max()), bool((workers == workers[0]).all()), (float(plain.mean()), float(half)), 1 / squares)
    return row, float(np.abs(alone - f.start).max())


def _plain_error(f, shards, at):
    each = np.array([_gradient(f, f.start, part) for part in _cut(at, shards)])
    right, wrong = _gradient(f, f.start, at), weights(shards, plain=True) @ each
    return np.linalg.norm(wrong - right) / np.linalg.norm(right)


def _verdict(rows, moved):
    worst = max(row.apart for row in rows)
    if not (worst < 1e-10 < moved and all(row.identical for row in rows)):
        same = "and the workers' parameters drift apart" if not all(row.identical for row in rows) else "though the workers agree"
        return Verdict("N7", "does not hold here", f"after training, workers and one worker alone are apart by {worst:.0e}, {same}.")
    off = max((row for row in rows if row.ragged), key=lambda row: row.plain[0] - row.plain[1], default=None)
    equal = "K workers train as one, equal to rounding, and hold the same bits"
    if off is None or off.plain[0] - off.plain[1] < 1e-3:
        return Verdict("N7", "holds", f"{equal}, also where gradients are averaged plainly.")
    wrong = f"more than {_percent(off.plain[0] - off.plain[1])} % with shards of {max(off.shards)} and {min(off.shards)}"
    return Verdict("N7", "holds when", f"each worker's gradient counts by its share of the batch: then {equal}. "
                   f"Averaged as if ragged shards were equal, the gradient is off by {wrong}.")


def _percent(share):
    """Rounded down to one digit, so that it stays true: 0.187 -> 10."""
    power = 10 ** np.floor(np.log10(100 * share))
    return f"{np.floor(100 * share / power) * power:g}"


# ---------------------------------------------------------------- real workers, by any executor

def shard_gradient(c, shards, k):
    """What worker k computes on its own: its mean gradient at the first parameters; everything is made anew from the seed."""
    f, rng = _start(c)
    at = rng.choice(f.N, sum(shards), replace=False)
    with one_blas_thread():
        return _gradient(f, f.start, _cut(at, shards)[k])


def gradient_by(executor, shards=(32, 32, 32, 4), config=Config()):
    """(gradient, largest difference to one worker's) of the shards, each computed by a task of any concurrent.futures.Executor:
    ProcessPoolExecutor(K, mp_context=get_context("spawn")), Dask's Client(...).get_executor(), mpi4py's MPIPoolExecutor."""
    tasks = [executor.submit(shard_gradient, config, shards, k) for k in range(len(shards))]
    averaged = weights(shards) @ np.array([task.result() for task in tasks])
    return averaged, float(np.abs(averaged - shard_gradient(config, (sum(shards),), 0)).max())
