"""Real MPI ranks on this machine: their averaged gradient against one worker's, and the seconds of an all-reduce.

    mpiexec -n 4 python -m mbcore.experiments.ranks
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
from scipy import optimize

from ..checking import whole
from .many_workers import Config, shard_gradient, weights
from .ring import ring_seconds


@dataclass(frozen=True)
class Ranks:
    """What K MPI ranks measured. missing: why nothing could be, in words; the rest is None then.

    nbytes, seconds: sizes of an array of float64, and the time of summing it over all ranks: the slowest rank's, and of the
    repeats the fastest, since the model knows no other work on the cores.
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

    More ranks than cores are slow, not wrong. A launcher that refuses is quoted in `missing`.
    """
    whole("K", K, 2)
    launcher = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
    if importlib.util.find_spec("mpi4py") is None or launcher is None:
        what = "mpi4py" if importlib.util.find_spec("mpi4py") is None else "a launcher, mpiexec,"
        return Ranks(K, missing=f'{what} is not installed; pip install -e ".[mpi]" brings both on Linux and macOS')
    own = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",          # Open MPI: more ranks than cores
           "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}       # in containers we are root; the ranks do no more than we
    command = [launcher, "-n", str(K), sys.executable, "-m", __spec__.name]
    process = subprocess.Popen(command, env={**own, **os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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


def rank_main(sizes=tuple(8 * 8**k for k in range(7)), repeats=15):
    """What every rank runs; rank 0 writes one line of JSON. A sum that takes longer than a time slice of a busy core would time the others."""
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
    return min(took[1:])


if __name__ == "__main__":
    rank_main()
