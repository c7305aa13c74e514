"""What this machine does: seconds of a step against batch size, bytes, and copies.

Everything that is timed runs on one BLAS thread, as `train` runs its steps, and a device is waited
for before the clock is read. What a machine that is not here did comes from a recording, with its
name and date, or not at all.
"""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from .backend import array_module, free_memory, one_blas_thread, synchronise, to_gpu
from .checking import LARGEST, WrongKind, numbers, one_of, real, shown, whole
from .progress import last
from .writing import in_place

LEVEL = 0.95  # of every interval here
RECORDINGS = Path(__file__).parent / "recordings"

# ------------------------------------------------------------------ time


@dataclass(frozen=True)
class Throughput:
    """Seconds of one step at each batch size, measured in turns, so that a change of the machine's
    speed meets all sizes.

    bursts: [size][round] the median seconds of a step in one burst. quartiles: [size] (25 %, 75 %)
        of all single steps.
    own: the share of that time in which this process ran. Well under 1 on a CPU, other work took
    the rest, and long steps are interrupted more often than short ones.
    """

    sizes: tuple
    bursts: tuple
    quartiles: tuple
    own: float = 1.0

    @property
    def seconds(self):
        """[size] the median over the bursts."""
        return np.array([np.median(b) for b in self.bursts])

    @property
    def per_second(self):
        """[size] examples in a second."""
        return np.array(self.sizes) / self.seconds

    @property
    def rounds(self):
        """[round, size] the bursts of the rounds that every size has been through."""
        return np.array([b[: min(map(len, self.bursts))] for b in self.bursts]).T


def throughput(step, sizes, budget=2.0, device="cpu", rounds=9):
    """Time step(B), which makes one step on B examples, and yield (fraction done, Throughput so
    far) after each burst.

    sizes: batch sizes, rising. budget: seconds for all; sizes after the first whose steps are too
    long for it are left out, and later rounds stop when it is spent; what the caller does between
    two yields does not count. A burst starts with a step that is not counted, save where one step
    fills it. A step of another library on a GPU has to wait for its device itself; with
    device="gpu" CuPy's is waited for. The arguments are checked here, before the first step.
    """
    if not callable(step):
        raise TypeError(f"step: expected a function of the batch size, got {shown(step)}")
    sizes, rounds = _rising(sizes), whole("rounds", rounds, 2)
    budget = real("budget", budget, above=0)
    array_module(device)  # there is such a device
    return _timing(step, sizes, budget, device, rounds)


def _timing(step, sizes, budget, device, rounds):
    """The generator of `throughput`."""
    spent, ran = 0.0, 0.0
    took = [[] for _ in sizes]
    bursts = [[] for _ in sizes]
    quartiles = [()] * len(sizes)
    total = len(sizes)
    seconds = budget / (2 * rounds * total)
    for turn in range(rounds):
        for k, B in enumerate(sizes):
            if turn == 0 and k and min(took[k - 1]) > budget / (8 * rounds):
                sizes = sizes[:k]
                break
            start, started = perf_counter(), process_time()
            took[k] += (
                found := _burst(
                    step, B, seconds, device, turn == 0 or bursts[k][0] < seconds, 1 if turn else 3
                )
            )
            bursts[k].append(float(np.median(found)))
            quartiles[k] = tuple(map(float, np.percentile(took[k], (25, 75))))
            upto = len(sizes) if turn else k + 1
            spent = spent + perf_counter() - start
            ran = ran + process_time() - started
            over = turn > 0 and spent > budget or turn == rounds - 1 and k == len(sizes) - 1
            share = (
                1.0
                if over
                else min(0.99, max(spent / budget, (turn * total + k + 1) / (rounds * total)))
            )
            yield (
                share,
                Throughput(
                    sizes[:upto],
                    tuple(map(tuple, bursts[:upto])),
                    tuple(quartiles[:upto]),
                    min(1.0, ran / spent),
                ),
            )
            if over:
                return


def _rising(sizes):
    """Batch sizes as a tuple of ints, at least one, each larger than the one before."""
    wanted = f"sizes: expected rising whole numbers of at least 1, got {shown(sizes)}"
    if isinstance(sizes, (str, bytes)) or not hasattr(sizes, "__iter__"):
        raise WrongKind(wanted)
    try:
        found = tuple(whole("sizes", B) for B in sizes)
    except ValueError as error:
        raise type(error)(wanted) from None
    except TypeError:  # an array without axes, a class
        raise WrongKind(wanted) from None
    if not found or any(b <= a for a, b in zip(found, found[1:])):
        raise ValueError(wanted)
    return found


def _burst(step, B, seconds, device, warm, least):
    """The seconds of single steps, as many as fit and at least so many."""
    took = []
    with one_blas_thread():
        if warm:
            step(B)
        synchronise(device)
        begin = now = perf_counter()
        while len(took) < least or now - begin < seconds:
            start = perf_counter()
            step(B)
            synchronise(device)
            now = perf_counter()
            took.append(now - start)
    return took


def stepper(equations, largest, device="cpu", dtype="float32", seed=0, **sizes):
    """step(B) for `throughput`: one SGD step of these equations on B random examples, which lie on
    the device already.

    largest: the most examples that a step can take; step(B) refuses more, since fewer would be
        stepped on than are counted.
    sizes: of every index but that of the batch.
    """
    b, largest = _batch(equations), whole("largest", largest)
    if b in sizes:
        raise ValueError(
            f"{b}: the steps have the sizes that they are asked for, up to largest; got "
            f"{b}={shown(sizes[b])}"
        )
    rng = np.random.default_rng(whole("seed", seed, 0))
    net = equations.compile(device=device, dtype=dtype, **sizes, **{b: largest}).init(rng)
    inputs = {}
    axes = {name: i.index(b) if b in i else None for name, i in equations.inputs.items()}
    for name, indices in equations.inputs.items():
        shape, counts = [net.sizes[i] for i in indices], equations.graph.labels.get(name)
        drawn = (
            rng.integers(0, min(net.sizes[i] for i in counts), shape)
            if counts
            else rng.random(shape, dtype=dtype)
        )
        inputs[name] = array_module(device).asarray(drawn)

    def step(B):
        B = _up_to(largest, "B", B)
        front = {
            name: a if axes[name] is None else a[(slice(None),) * axes[name] + (slice(B),)]
            for name, a in inputs.items()
        }
        net.step(1e-3, **front)

    return step


def _up_to(largest, name, value):
    """A whole number from 1 to largest. An int is looked at alone, as this stands inside what is
    timed."""
    return value if type(value) is int and 0 < value <= largest else whole(name, value, 1, largest)


def _batch(equations):
    """The letter of the batch index."""
    graph = getattr(equations, "graph", None)
    if graph is None:
        raise TypeError(f"equations: expected mb.equations(...), got {shown(equations)}")
    if graph.batch is None:
        raise ValueError(
            'equations: expected equations with a batch index; add it by with_index("b")'
        )
    return graph.batch


def ratio_interval(a, b):
    """(low, high) for the median of a/b over rounds, at least 95 %, from order statistics: no shape
    is assumed.

    a, b: numbers [round], a pair for each round, those of b above 0. Below 6 rounds nothing can be
        said: (0, inf).
    """
    from scipy.special import bdtr  # SciPy brings a BLAS of its own, and takes long to import

    a, b = numbers("a", a, ndim=1), _positive("b", b)
    if len(a) != len(b):
        raise ValueError(
            f"a, b: expected a number of each for every round, got {len(a)} and {len(b)}"
        )
    with np.errstate(over="ignore"):
        r = np.sort(numbers("a / b", a / b))
    k = int((bdtr(np.arange(len(r)), len(r), 0.5) <= (1 - LEVEL) / 2).sum())
    return (float(r[k - 1]), float(r[-k])) if k else (0.0, float("inf"))


def _positive(name, values):
    """The values as an array of positive numbers along one axis."""
    values = numbers(name, values, ndim=1)
    if not (values > 0).all():
        raise ValueError(f"{name}: expected numbers above 0, got {values.min():g}")
    return values


@dataclass(frozen=True)
class Line:
    """t(B) = t0 + B t1, seconds, with 95 % intervals, and the knee t0/t1: the B at which the
    examples cost as much as the step itself."""

    t0: float
    t1: float
    t0_interval: tuple
    t1_interval: tuple
    knee: float
    knee_interval: tuple


def fit(B, seconds):
    """The Line t0 + B t1 through these times: least squares of relative errors, sum ((t0 + B t1 -
    t) / t)^2.

    B: 3 batch sizes or more, of at least 1. seconds: as many times, above 0. Intervals by Student's
    t, for the knee by Fieller's theorem (no upper end where t1 may be 0).
    """
    from scipy.special import stdtrit  # SciPy brings a BLAS of its own, and takes long to import

    B, t = _positive("B", B), _positive("seconds", seconds)
    if B.shape != t.shape or len(np.unique(B)) < 3 or B.min() < 1:
        raise ValueError(
            f"B, seconds: expected at least 3 different batch sizes and as many positive times, "
            f"got {B} and {t}"
        )
    largest = B.max()  # B is counted in it, or 10^12 bytes beside 1 would drown t0 in rounding
    try:
        with np.errstate(all="ignore"):
            A = np.stack([1 / t, B / largest / t], axis=1)
            if not np.isfinite(A).all():
                raise np.linalg.LinAlgError
            found = np.linalg.lstsq(A, np.ones(len(t)), rcond=None)[0]
            V = np.linalg.inv(A.T @ A) * float(((A @ found - 1) ** 2).sum()) / (len(t) - 2)
            unit = np.array([1.0, largest])
            (t0, t1), V = (found / unit).tolist(), V / np.outer(unit, unit)
            certain = np.isfinite([t0, t1, *V.ravel()]).all()
    except np.linalg.LinAlgError:
        certain = False
    if not certain:
        raise ValueError(
            f"B, seconds: expected batch sizes and times that a line can be laid through, got "
            f"sizes from {B.min():g} to {largest:g} and times from {t.min():g} to {t.max():g}"
        )
    q = float(stdtrit(len(t) - 2, (1 + LEVEL) / 2))
    e0, e1 = (q * float(V[k, k]) ** 0.5 for k in (0, 1))
    knee = max(t0, 0.0) / t1 if t1 > 0 else float("inf")
    return Line(t0, t1, (t0 - e0, t0 + e0), (t1 - e1, t1 + e1), knee, fieller(t0, t1, q * q * V))


def fieller(t0, t1, V):
    """All k >= 0 with (t0 - k t1)^2 <= V00 - 2 k V01 + k^2 V11."""
    a, b, c = (float(v) for v in (t1 * t1 - V[1, 1], t0 * t1 - V[0, 1], t0 * t0 - V[0, 0]))
    if a <= 0 or t1 <= 0:
        return 0.0, float("inf")
    root = max(b * b - a * c, 0) ** 0.5
    return max(0.0, (b - root) / a), max(0.0, (b + root) / a)


# ------------------------------------------------------------------ memory


def largest_batch(equations, free=None, device="cpu", dtype="float32", **sizes):
    """The largest batch whose program fits into `free` bytes (default: what the device has free
    now); 0 when not even one example does. Nothing is allocated. The bytes grow with B, not always
    as a line: so B is searched, by halving."""
    b, device = _batch(equations), one_of("device", device, ("cpu", "gpu"))
    free = free_memory(device) if free is None else whole("free", free, 0)
    if b in sizes:
        raise ValueError(f"{b}: its largest size is what is looked for; got {b}={shown(sizes[b])}")
    return last_that(lambda B: equations.nbytes(dtype, **sizes, **{b: B}) <= free)


def last_that(holds):
    """The largest whole number n for which holds(n), 0 where not even holds(1); holds is True up to
    some n and False beyond."""
    low, high = 0, 1
    while high < LARGEST and holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def peak_bytes(call, device="cpu"):
    """The most bytes that call() holds at once, on top of what was there: of NumPy and Python
    (cpu), of CuPy's pool (gpu)."""
    if not callable(call):
        raise TypeError(f"call: expected a function without arguments, got {shown(call)}")
    array_module(device)  # there is such a device
    if device == "gpu":
        pool = array_module("gpu").get_default_memory_pool()
        pool.free_all_blocks()
        # The pool keeps what is freed, so it grows to the peak, in its own blocks.
        before = pool.total_bytes()
        kept = call()
        synchronise("gpu")
        found = pool.total_bytes() - before
        del kept  # what call returns lives until we have looked
        return found
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        # The peak does not sink when what call returns is dropped.
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if ours:
            tracemalloc.stop()


def copier(largest, device="cpu"):
    """copy(n) for `throughput`: bring n bytes to the device; on the CPU, copy them to another place
    in memory.

    largest: the most bytes that a copy can take; copy(n) refuses more.
    """
    largest = whole("largest", largest)
    array_module(device)  # there is such a device
    check_room("largest", 2 * largest)
    host, out = np.ones(largest, np.uint8), np.ones(largest, np.uint8)
    if device == "gpu":
        return lambda n: to_gpu(host[: _up_to(largest, "n", n)])

    def copy(n):
        n = _up_to(largest, "n", n)
        np.copyto(out[:n], host[:n])

    return copy


def check_room(name, nbytes, device="cpu"):
    """MemoryError, which names the argument, where so many bytes are not free."""
    free = free_memory(device)
    if nbytes > free:
        raise MemoryError(
            f"{name}: the arrays would need {nbytes:,} bytes, and {free:,} are free on the {device}"
        )


def transfer(nbytes, device="cpu", budget=0.2):
    """Throughput of bringing nbytes from host memory to the device, or of a plain copy on the CPU;
    per_second is in bytes."""
    nbytes, budget = whole("nbytes", nbytes), real("budget", budget, above=0)
    array_module(device)  # there is such a device
    check_room("nbytes", 2 * nbytes)
    return last(throughput(copier(nbytes, device), (nbytes,), budget, device))


# ------------------------------------------------------------------ other machines


@dataclass(frozen=True)
class Recording:
    """What a machine did that is not here. machine and date are shown wherever the numbers are."""

    machine: str
    date: str
    measured: dict  # name -> Throughput


def record(name, machine, date, **measured):
    """Write Throughputs as the recording `name`, put in place whole; returns the path. machine,
    date: as they are to be shown."""
    path = _recording_path(name)
    _check_told(machine, date)
    for key, found in measured.items():
        if not isinstance(found, Throughput):
            raise TypeError(f"{key}: expected a Throughput, got {shown(found)}")
    # Only what `recording` takes back is written.
    rows = {key: asdict(_throughput(asdict(found))) for key, found in measured.items()}
    RECORDINGS.mkdir(exist_ok=True)
    with in_place(path) as file:
        file.write(
            json.dumps(
                {"machine": machine, "date": date, "measured": rows}, allow_nan=False
            ).encode()
        )
    return path


def recording(name):
    """The Recording of that name, or None: then there is no recording, and whoever shows it has to
    say so.

    ValueError, which names the file, where it is damaged.
    """
    path = _recording_path(name)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _check_told(found.get("machine"), found.get("date"))
        return Recording(
            found["machine"],
            found["date"],
            {key: _throughput(row) for key, row in found["measured"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path.name}: {error if isinstance(error, ValueError) else f'damaged, {error!r}'}"
        ) from None


def _check_told(machine, date):
    for argument, text in (("machine", machine), ("date", date)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{argument}: expected a text, since it is shown wherever the "
                             f"numbers are; got {shown(text)}")


def _recording_path(name):
    if not isinstance(name, str) or not name.strip(".") or set(name) & set("/\\:\0"):
        raise ValueError(f"name: expected a file's name without a folder, got {shown(name)}")
    return RECORDINGS / f"{name}.json"


def _throughput(row):
    """A Throughput as it was recorded; ValueError for what no machine can have done."""
    sizes = _rising(row["sizes"])
    bursts = tuple(tuple(_positive("bursts", b).tolist()) for b in row["bursts"])
    quartiles = tuple(tuple(_positive("quartiles", q).tolist()) for q in row["quartiles"])
    if (
        not len(sizes) == len(bursts) == len(quartiles)
        or not all(bursts)
        or any(len(q) != 2 for q in quartiles)
    ):
        raise ValueError(f"expected times and two quartiles for each of {len(sizes)} sizes")
    return Throughput(sizes, bursts, quartiles, real("own", row["own"], 0, 1))
