"""N7: data parallel training: one batch cut over K workers, their gradients averaged by all-reduce, is one worker's training.

    g = sum over k of (B[k] / B) g[k],   g[k] the mean gradient over the B[k] examples of worker k, B = sum over k of B[k]

A ring all-reduce makes the sum in 2 (K-1) steps: each worker passes one of K chunks to the next one, which first adds it
(reduce-scatter) and, when every chunk is complete somewhere, copies it (all-gather). Each sends 2 (K-1)/K of the gradient's
bytes, whatever K is; a message of m bytes that takes alpha + m beta makes t = 2 (K-1) alpha + 2 (K-1)/K n beta.
P. Patarasuk and X. Yuan 2009, doi:10.1016/j.jpdc.2008.09.002. The claim: NVIDIA's multi-GPU course, Lab 3 Part 1.

`run` simulates the workers one after the other. `gradient_by` gives the shards to real processes, by any executor, and
`ranks` to real MPI ranks: mpiexec -n 4 python -m mbcore.experiments.many_workers
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from .. import data
from ..backend import one_blas_thread
from ..objective import Objective, whole
from .models import MLP
from .verdict import Verdict

CLAIMS = ("N7",)
LEVEL = 0.99


# ---------------------------------------------------------------- the ring

@dataclass(frozen=True)
class State:
    """After one step of the ring. sent: ((from, to, chunk, bytes), ...) in this step. held[k, n]: what worker k holds.

    summed[k, chunk]: how many workers' values are in that chunk of worker k; K: complete.
    """

    step: int
    phase: str                  # "start", "reduce-scatter" or "all-gather"
    sent: tuple
    held: np.ndarray
    summed: np.ndarray


def ring(K, values):
    """The sum over k of values[k, n] by a ring of K workers, in their dtype: 2 (K-1) + 1 States, the first before any message.

    Where K does not divide n, chunks differ by one number; with n < K some are empty.
    """
    held = np.array(values)
    if whole("K", K) != (held.shape[0] if held.ndim == 2 else None) or held.dtype.kind != "f":
        raise ValueError(f"values: expected an array [K, n] of real numbers, K = {K}; got {held.dtype} of shape {held.shape}")
    ends = np.cumsum([0, *map(len, np.array_split(held[0], K))])
    chunk = [slice(a, b) for a, b in zip(ends, ends[1:])]
    summed = np.ones((K, K), dtype=int)
    states = [State(0, "start", (), held.copy(), summed.copy())]
    for step in range(2 * (K - 1)):
        adds = step < K - 1
        moves = [(k, (k + 1) % K, (k - step if adds else k + 1 - (step - K + 1)) % K) for k in range(K)]
        messages = [held[k, chunk[c]].copy() for k, _, c in moves]      # all leave before any arrives
        counts = [summed[k, c] for k, _, c in moves]
        for (_, to, c), message, count in zip(moves, messages, counts):
            held[to, chunk[c]] = held[to, chunk[c]] + message if adds else message
            summed[to, c] = summed[to, c] + count if adds else count
        sent = tuple((*move, message.nbytes) for move, message in zip(moves, messages))
        states.append(State(step + 1, "reduce-scatter" if adds else "all-gather", sent, held.copy(), summed.copy()))
    return states


def bytes_sent(states):
    """[k]: the bytes that each worker sent in all."""
    sent = np.zeros(len(states[0].held), dtype=int)
    for state in states:
        for k, _, _, size in state.sent:
            sent[k] += size
    return sent


def ring_seconds(K, nbytes, alpha, beta):
    """2 (K-1) alpha + 2 (K-1)/K nbytes beta. alpha: seconds a message; beta: seconds a byte."""
    return 2 * (K - 1) * alpha + 2 * (K - 1) / K * nbytes * beta


def centre_seconds(K, nbytes, alpha, beta):
    """The plain way: K-1 workers send all to one, one after the other, and it sends the sum back to each."""
    return 2 * (K - 1) * (alpha + nbytes * beta)


def step_seconds(K, B, per_example, nbytes, alpha, beta):
    """One update: the largest shard is computed, then the ring; nothing overlaps."""
    return -(-B // K) * per_example + ring_seconds(K, nbytes, alpha, beta)


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
    half = stats.t.ppf((1 + LEVEL) / 2, c.draws - 1) * plain.std(ddof=1) / c.draws**0.5
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


# ---------------------------------------------------------------- real workers: any executor, or MPI

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


@dataclass(frozen=True)
class Ranks:
    """What K MPI ranks measured. missing: why nothing could be, in words; the rest is None then.

    nbytes, seconds: sizes of an array of float64, and the median time of summing it over all ranks, the slowest rank's.
    alpha, beta: the cost model fitted to them, relative errors least squares, neither negative. apart: the largest difference
    between the ranks' averaged gradient of ragged shards and one worker's; same_bits: whether all ranks hold the same bits.
    """

    K: int
    nbytes: tuple | None = None
    seconds: tuple | None = None
    alpha: float | None = None
    beta: float | None = None
    apart: float | None = None
    same_bits: bool | None = None
    missing: str | None = None


def ranks(K, timeout=60.0):
    """Start K real ranks on this machine and measure; at most `timeout` seconds, of which starting takes several.

    More ranks than cores are slow, not wrong. A launcher that refuses (Open MPI does so for root) is quoted in `missing`.
    """
    whole("K", K, 2)
    launcher = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
    if importlib.util.find_spec("mpi4py") is None or launcher is None:
        what = "mpi4py" if importlib.util.find_spec("mpi4py") is None else "a launcher, mpiexec,"
        return Ranks(K, missing=f'{what} is not installed; pip install -e ".[mpi]" brings both on Linux and macOS')
    crowded = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", **os.environ}        # Open MPI: more ranks than cores
    command = [launcher, "-n", str(K), sys.executable, "-m", __spec__.name]
    process = subprocess.Popen(command, env=crowded, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _ended(process)
        return Ranks(K, missing=f"{K} ranks did not end within {timeout:g} s")
    found = next((json.loads(line) for line in out.splitlines() if line.startswith('{"nbytes"')), None)
    return _fitted(K, **found) if found else Ranks(K, missing=f"mpiexec stopped with code {process.returncode}: {_said(out + err)}")


def _ended(process):
    """Ask the launcher to end, which ends its ranks; kill it where it does not."""
    process.terminate()
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _said(text):
    """The first sentence of what a launcher said, without its rules and line breaks."""
    return " ".join(text.replace("-" * 10, " ").split()).strip(" -").partition(". ")[0][:200] or "it said nothing"


def _fitted(K, nbytes, seconds, apart, same_bits):
    t, model = np.array(seconds), np.array([[ring_seconds(K, n, 1, 0), ring_seconds(K, n, 0, 1e-9)] for n in nbytes])
    alpha, beta = optimize.nnls(model / t[:, None], np.ones(len(t)))[0]
    return Ranks(K, tuple(nbytes), tuple(seconds), float(alpha), float(beta * 1e-9), apart, same_bits)


def rank_main(sizes=tuple(8 * 8**k for k in range(8)), repeats=15):
    """What every rank runs; rank 0 writes one line of JSON."""
    from mpi4py import MPI                      # optional, and importing it starts MPI
    world, c = MPI.COMM_WORLD, Config()
    K, k = world.size, world.rank
    shards = (32,) * (K - 1) + (4,)
    own = weights(shards)[k] * shard_gradient(c, shards, k)
    averaged = np.empty_like(own)
    world.Allreduce(own, averaged)
    same = len(set(world.allgather(averaged.tobytes()))) == 1
    seconds = [_all_reduce_seconds(MPI, world, n, repeats) for n in sizes]
    if k == 0:
        apart = float(np.abs(averaged - shard_gradient(c, (sum(shards),), 0)).max())
        sys.stdout.write(json.dumps({"nbytes": sizes, "seconds": seconds, "apart": apart, "same_bits": same}) + "\n")


def _all_reduce_seconds(MPI, world, nbytes, repeats):
    values, total, took = np.ones(nbytes // 8), np.empty(nbytes // 8), []
    for _ in range(repeats + 1):
        world.Barrier()
        start = MPI.Wtime()
        world.Allreduce(values, total)
        took.append(world.allreduce(MPI.Wtime() - start, MPI.MAX))
    return float(np.median(took[1:]))


if __name__ == "__main__":
    rank_main()
