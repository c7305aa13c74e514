"""B2: too small a batch trains slowly: data goes to the GPU batch by batch, and the transfer's overhead dominates.

Two halves, measured apart: whether an example costs more in a small batch than in a large one, and what share of that is the
way of the data. A copy of n bytes takes a start and n / bandwidth, as a step takes t0 + B t1; on a CPU the start of a copy
is small and t0, the calls of a step, plays its part. Source: "Batch size" notes of an online machine-learning handbook.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import hardware
from ..backend import gpu_available
from ..progress import last
from .models import MLP
from .verdict import Verdict

RECORDING = "transfer"          # of hardware.record(RECORDING, machine, date, step=..., copy=...), both on the GPU
MARGIN, HALF = 2, 0.5           # an example must cost so much more; a part this large dominates


@dataclass(frozen=True)
class Config:
    sizes: tuple = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    i: int = 784
    j: int = 128
    y: int = 10
    budget: float = 2.5             # seconds for the steps, and again for the copies
    rounds: int = 25
    seed: int = 0


CLAIMS = ("B2",)
SMALL = Config(sizes=(1, 4, 16, 64, 256, 512), budget=0.6)         # six sizes of ten, a quarter of the time


@dataclass(frozen=True)
class Result:
    """step: Throughput of steps whose data are on the device. copy: of bringing the x of one batch there, its sizes in
    examples (on a CPU, to another place in memory). share: [size] copy / (copy + step), medians. line: hardware.Line of the step,
    copy_line of the copy. epoch: [size] seconds of 1,000 examples, copy and step. source: whose numbers these are."""

    source: str
    device: str
    step: hardware.Throughput
    copy: hardware.Throughput
    share: tuple
    epoch: tuple
    line: hardware.Line | None
    copy_line: hardware.Line | None
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result so far), steps and copies in turns; a recording of a GPU is not measured again, but shown."""
    c, device = config, "gpu" if gpu_available() else "cpu"
    step = hardware.stepper(MLP.with_index("b"), c.sizes[-1], device, seed=c.seed, i=c.i, j=c.j, y=c.y)
    copy, row = hardware.copier(4 * c.i * c.sizes[-1], device), 4 * c.i
    turns = zip(hardware.throughput(step, c.sizes, c.budget, device, c.rounds),
                hardware.throughput(lambda B: copy(row * B), c.sizes, c.budget, device, c.rounds))
    for (fraction, steps), (_, copies) in turns:
        result = _result("measured on this machine", device, steps, copies)
        yield min(fraction, 0.99), result
    yield 1.0, replace(result, verdicts=(_verdict(result, recorded()),))


def run(config=Config()):
    """Measure steps and copies on this machine; see Result."""
    return last(running(config))


def recorded():
    """The Result of a GPU that is not here, or None: there is no recording, or the GPU is here."""
    found = None if gpu_available() else hardware.recording(RECORDING)
    return found and _result(f"recorded on {found.machine}, {found.date}", "gpu", found.measured["step"], found.measured["copy"])


def _result(source, device, step, copy):
    n = min(len(step.sizes), len(copy.sizes))
    s, k, B = step.seconds[:n], copy.seconds[:n], np.array(step.sizes[:n])
    line = lambda t: hardware.fit(t.sizes, t.seconds) if len(t.sizes) > 2 else None
    return Result(source, device, step, copy, tuple(map(float, k / (k + s))), tuple(map(float, 1000 * (k + s) / B)), line(step), line(copy))


def _intervals(r):
    """Of the smallest batch, 95 % each: the cost of an example over that in the best batch; the shares of the copy, and of what a
    step costs beyond its examples, these at the price of the best batch."""
    n = min(len(r.step.rounds), len(r.copy.rounds))
    step, copy = r.step.rounds[:n], r.copy.rounds[:n]
    k = min(step.shape[1], copy.shape[1])
    each = (step[:, :k] + copy[:, :k]) / np.array(r.step.sizes[:k])
    best, whole, B = int(np.median(each, axis=0).argmin()), copy[:, 0] + step[:, 0], r.step.sizes
    calls = step[:, 0] - B[0] * step[:, best] / B[best]
    return tuple(hardware.ratio_interval(*pair) for pair in ((each[:, 0], each[:, best]), (copy[:, 0], whole), (calls, whole)))


def _verdict(here, gpu):
    """By the GPU where there is one, here or recorded; else the half that a CPU can answer."""
    r = gpu or here
    slow, share, calls = _intervals(r)
    if slow[1] < MARGIN:
        return Verdict("B2", "does not hold here", f"an example alone costs less than {MARGIN}x what it costs in a batch ({r.source}).")
    if slow[0] < MARGIN:
        return Verdict("B2", "contested", f"whether an example costs {MARGIN}x as much alone, the clock was too unsteady to tell.")
    first = f"an example alone costs more than {MARGIN}x what it costs in a batch"
    if r.device == "cpu":
        why = ", over half of that being the step's calls and not the copy" if calls[0] > HALF else ""
        return Verdict("B2", "holds when", f"the overhead of any step counts, not the transfer's alone: on this CPU {first}{why}. "
                       "Transfer to a GPU: not measured here.")
    if share[0] > HALF:
        return Verdict("B2", "holds", f"{first}, and over half of it is the transfer ({r.source}).")
    return Verdict("B2", "holds when", f"the overhead of any step counts, not the transfer's alone: {first}, and that the transfer "
                   f"is over half of it was not seen ({r.source}).")
