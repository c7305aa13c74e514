"""T9 N1 T3: images per second against B on this machine, and how far the batch may grow before memory or images per second object.

A step costs t(B) = t0 + B t1: t0 for the calls, whatever they compute, t1 for each example. Images per second, B / t(B), rise
while t0 is the larger part and are flat from a few knees t0/t1 on. One BLAS thread. T9: TTIC 31230, "The Batch Index"; N1: NVIDIA
DLI, Lab 3 Part 1, after Kurth et al. 2018.

Published and ours: Kurth et al. keep 90.7 % of a linear rise up to 27,360 GPUs, where every further share of the batch brings its
own GPU. On one machine the shape is another: a rise, a flat part, and on a CPU a fall by 5 to 40 % once the arrays leave the caches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import hardware, roofline
from ..backend import free_memory, gpu_available
from ..progress import last
from .memory import predicted
from .models import MLP
from .verdict import Verdict

PUBLISHED = {           # system -> (GPUs, parallel efficiency); T. Kurth et al. 2018, arXiv:1810.01993, abstract
    "Tiramisu, P100": (5300, 0.790),
    "DeepLabv3+, V100, single precision": (27360, 0.907),
}
T4 = roofline.Peak(8.1e12, 320e9)       # NVIDIA T4, the GPU of a free Colab session as a rule: data sheet, float32; not measured
RECORDING = "throughput"                # of hardware.record(RECORDING, machine, date, cpu=..., gpu=...), both on the network of Config()
MARGIN, LOSS = 1.1, 2                   # of images per second: a gain below the one, and a loss below the other, count as none
QUIET = 0.9                             # the share of the time that must have been ours
ROOM, MANY = 10, 10                     # far fewer examples than memory holds; a far shorter time than a CPU thread's


@dataclass(frozen=True)
class Config:
    i: int = 64
    j: int = 32
    y: int = 10
    sizes: tuple = tuple(2**k for k in range(17))
    budget: float = 6.0             # seconds, for each device
    rounds: int = 25
    seed: int = 0
    peak: roofline.Peak | None = None       # the roofs of this CPU where they are known already; else they are measured


CLAIMS = ("T9", "N1", "T3")
SMALL = Config(sizes=(1, 16, 256, 2048, 16384), budget=1.5, rounds=19)      # a quarter of the time, five sizes


@dataclass(frozen=True)
class Result:
    """sizes: those of the config; what is measured may stop earlier, where steps became too long for the budget.

    nbytes: [size] bytes that a program will hold, counted, nothing allocated. held: the peak that was then measured for
    the size `checked`. free, fits: bytes free on the device judged, and the largest batch whose program fits into them.
    intensity: [size] operations for each byte of one step; attainable: [size] examples a second within both roofs of this CPU, if
    every array came from memory; t4: the same with a T4's data sheet. cpu, gpu: Throughput, line, gpu_line: hardware.Line of it.
    gpu_source: where the GPU's numbers are from, or that there are none.
    """

    sizes: tuple
    device: str                 # whose images per second T9 and N1 are about: the GPU's where there is one here
    nbytes: tuple
    checked: int
    held: int
    free: int
    fits: int
    peak: roofline.Peak
    intensity: tuple
    attainable: tuple
    t4: tuple
    gpu_source: str
    cpu: hardware.Throughput | None = None
    line: hardware.Line | None = None
    gpu: hardware.Throughput | None = None
    gpu_line: hardware.Line | None = None
    verdicts: tuple = ()

    @property
    def judged(self):
        return self.gpu if self.device == "gpu" else self.cpu

    @property
    def fall(self):
        """95 % interval of the best images per second over those at the largest batch measured; of a whole Result."""
        return _slower(self.judged, -1)


def running(config=Config()):
    """Yield (fraction done, Result so far) after each burst of steps."""
    c, devices, result = config, ("cpu", "gpu")[:1 + gpu_available()], _counted(config)
    for k, device in enumerate(devices):
        step = hardware.stepper(MLP.with_index("b"), c.sizes[-1], device, seed=c.seed, i=c.i, j=c.j, y=c.y)
        for fraction, found in hardware.throughput(step, c.sizes, c.budget, device, c.rounds):
            result = replace(result, **{device: found, "line" if device == "cpu" else "gpu_line": _line(found)})
            yield min(0.99, (k + fraction) / len(devices)), result
    yield 1.0, replace(result, verdicts=_verdicts(result, _recorded(c)))


def run(config=Config()):
    """Measure this machine; see Result."""
    return last(running(config))


def cost(measured):
    """[size] what a step costs in units of a step on the first size: 1 is a batch at the price of one."""
    return measured.seconds / measured.seconds[0]


def _line(measured):
    return hardware.fit(measured.sizes, measured.seconds) if len(measured.sizes) > 2 else None


def _recorded(c):
    """The recording of a GPU that is not here; None for another network than the recorded one."""
    same = all(getattr(c, size) == getattr(Config, size) for size in "ijy")
    return hardware.recording(RECORDING) if same and not gpu_available() else None


def _counted(c):
    """All that is known before the first step is timed."""
    batch, sizes, device = MLP.with_index("b"), dict(i=c.i, j=c.j, y=c.y), "gpu" if gpu_available() else "cpu"
    peak, works = c.peak or roofline.peak(budget=c.budget / 20), [roofline.work(batch, b=B, **sizes) for B in c.sizes]
    within = lambda roofs: tuple(B * roofs.attainable(w) / w.flops for B, w in zip(c.sizes, works))
    checked, free, found = min(c.sizes[-1], 1024), free_memory(device), _recorded(c)
    source = ("measured on this machine" if device == "gpu" else f"recorded on {found.machine}, {found.date}" if found
              else "no GPU here, and no recording of one" + " with this network" * (hardware.recording(RECORDING) is not None))
    result = Result(c.sizes, device, tuple(map(predicted(**sizes).of, c.sizes)), checked,
                    hardware.peak_bytes(lambda: batch.compile(device=device, b=checked, **sizes), device), free,
                    hardware.largest_batch(batch, free, **sizes), peak, tuple(w.intensity for w in works), within(peak), within(T4), source)
    gpu = found and found.measured["gpu"]
    return replace(result, gpu=gpu, gpu_line=_line(gpu)) if gpu else result


# ------------------------------------------------------------------ verdicts


def _verdicts(r, recorded):
    return _t9(r), _n1(r), _t3(r, recorded)


def _slower(measured, k):
    """The interval of (images per second at the best size) / (at size k). The best is chosen in every other round and
    compared in those between, so that luck in the choice does not count."""
    each = measured.rounds / np.array(measured.sizes)
    best = int(np.median(each[::2], axis=0).argmin())
    return hardware.ratio_interval(each[1::2, k], each[1::2, best])


def _enough(measured):
    """The smallest size at which the best one is surely less than MARGIN times as fast; None if there is none."""
    return next((k for k in range(len(measured.sizes)) if _slower(measured, k)[1] < MARGIN), None)


def _t9(r):
    enough = _enough(r.judged)
    if enough is None:
        return Verdict("T9", "contested", "the clock was too unsteady here to tell where images per second stop rising.")
    if r.judged.sizes[enough] * ROOM > r.fits:
        return Verdict("T9", "holds", f"images per second rise up to a batch that is within {ROOM}x of the largest that fits into memory.")
    if r.judged.sizes[enough] * 4 > r.judged.sizes[-1]:
        return Verdict("T9", "not measured here", "images per second still rise at the largest batch measured, "
                       "and memory would hold a far larger one.")
    return Verdict("T9", "does not hold here", f"a batch of which {ROOM} would fit into memory is within 10 % of the best "
                   "in images per second: the knee sets the limit, not the memory.")


def _n1(r):
    """A loss of less than LOSS is called none: how deep the fall behind the caches is changes with the machine, and with its mood."""
    (low, high), enough = r.fall, _enough(r.judged)
    if r.device == "cpu" and r.cpu.own < QUIET:
        return Verdict("N1", "contested", "other work took part of the CPU, which a long step feels more than a short one.")
    if low > LOSS:
        return Verdict("N1", "does not hold here", f"at the largest batch measured, images per second are less than 1/{LOSS} of the best.")
    if high > LOSS or enough is None:
        return Verdict("N1", "contested", f"whether images per second stay within {LOSS}x of the best, the clock was too unsteady to tell.")
    if r.judged.sizes[enough] * 4 > r.judged.sizes[-1]:
        return Verdict("N1", "holds", "images per second still rise at the largest batch measured.")
    return Verdict("N1", "holds when", "growing means losing little, not gaining: on one machine images per second stop rising, may fall, "
                   f"and up to the largest batch measured stay within {LOSS}x of the best.")


def _t3(r, recorded):
    """By the time of one more example, t1: what the calls and the launches cost is in t0, and hides no parallelism in it."""
    cpu = _line(recorded.measured["cpu"]) if recorded else r.line
    if r.gpu_line is None:
        return Verdict("T3", "not measured here", "there is no GPU here, and no recording of one.")
    low, high = cpu.t1_interval[0] / r.gpu_line.t1_interval[1], cpu.t1_interval[1] / max(r.gpu_line.t1_interval[0], 1e-300)
    if low > MANY:
        return Verdict("T3", "holds", f"beyond what the calls cost, an example more takes less than 1/{MANY} of a CPU thread's time "
                       f"({r.gpu_source}).")
    label = "does not hold here" if high < MANY else "contested"
    return Verdict("T3", label, f"that an example more takes less than 1/{MANY} of a CPU thread's time was not seen ({r.gpu_source}).")
