"""B1: a batch is usually a power of two. Does n examples, n a power of two, cost less than n - 1 and n + 1 lead one to expect?

    gain(n) = (t(n-1) + t(n+1)) / (2 t(n)) - 1

which is 0 wherever t(B) is a straight line, so that a larger batch's better use of a call is not taken for the power's merit.
All sizes take turns in one run. Source: "Batch size" notes of an online machine-learning handbook.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import hardware
from ..progress import last
from .models import MLP
from .verdict import Verdict

MARGIN = 0.1            # a gain below this is called none
RESAMPLES = 4000


@dataclass(frozen=True)
class Config:
    powers: tuple = (8, 16, 32, 64, 128, 256)
    i: int = 784
    j: int = 128
    y: int = 10
    budget: float = 5.0             # seconds
    rounds: int = 60
    seed: int = 0


CLAIMS = ("B1",)
SMALL = Config(powers=(16, 64), budget=1.0)         # two powers of six


@dataclass(frozen=True)
class Result:
    """seconds: [power] (t(n-1), t(n), t(n+1)), medians over the bursts. gain: [power] the median over rounds of gain(n), and
    intervals: [power] its bootstrap interval over rounds (percentiles), wide enough for 95 % that all hold (Bonferroni). overall:
    the mean of the gains, with its 95 % interval. alone: [power] the 95 % interval of this gain alone, from order statistics, as the
    bursts come in; (-1, inf) below 6 rounds. measured: the Throughput that all this is from.
    below, above: [power] the cost of an example in a batch of n - 1 and of n + 1 over that in one of n, medians, to look at: these
    have the better use of a call in them."""

    powers: tuple
    seconds: tuple
    below: tuple
    above: tuple
    gain: tuple
    intervals: tuple
    overall: float | None
    overall_interval: tuple
    alone: tuple
    measured: hardware.Throughput
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result so far) after each burst; of the powers whose two neighbours were measured."""
    c, rng = config, np.random.default_rng(config.seed)
    if not c.powers or any(n < 2 for n in c.powers) or any(m - n < 3 for n, m in zip(c.powers, c.powers[1:])):
        raise ValueError(f"powers: expected rising numbers of at least 2 that share no neighbour, got {c.powers!r}")
    step = hardware.stepper(MLP.with_index("b"), c.powers[-1] + 1, seed=c.seed, i=c.i, j=c.j, y=c.y)
    for fraction, measured in hardware.throughput(step, [n + d for n in c.powers for d in (-1, 0, 1)], c.budget, rounds=c.rounds):
        whole = len(measured.sizes) // 3
        result = _result(measured, c.powers[:whole], rng if fraction == 1 else None)
        yield min(fraction, 0.99), result
    yield 1.0, replace(result, verdicts=(_verdict(result),))


def run(config=Config()):
    """Measure every power of two beside its neighbours; see Result."""
    return last(running(config))


def _result(measured, powers, rng):
    """rng: for the bootstrap, at the end; None before."""
    t = measured.rounds[:, :3 * len(powers)].reshape(len(measured.rounds), len(powers), 3)    # [round, power, n-1 | n | n+1]
    n, gains = np.array(powers), (t[..., 0] + t[..., 2]) / (2 * t[..., 1]) - 1
    each = t / np.stack([n - 1, n, n + 1], axis=-1)
    beside = np.median(each[..., (0, 2)] / each[..., 1:2], axis=0)
    gain = np.median(gains, axis=0)
    intervals, overall = (), ()
    if rng is not None and powers:
        again = np.median(gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))], axis=1)      # [resample, power]
        intervals, overall = tuple(_interval(a, len(powers)) for a in again.T), _interval(again.mean(axis=1), 1)
    return Result(powers, tuple(map(tuple, np.median(t, axis=0))), *(tuple(map(float, b)) for b in beside.T), tuple(map(float, gain)),
                  intervals, float(gain.mean()) if powers else None, overall,
                  tuple(_alone(t[:, k]) for k in range(len(powers))), measured)


def _alone(t):
    """t: [round, n-1 | n | n+1]"""
    low, high = hardware.ratio_interval(t[:, 0] + t[:, 2], 2 * t[:, 1])
    return low - 1, high - 1


def _interval(resampled, together):
    outside = 2.5 / together
    return tuple(map(float, np.percentile(resampled, (outside, 100 - outside))))


def _verdict(r):
    names, better = ", ".join(map(str, r.powers)), [n for n, (low, _) in zip(r.powers, r.intervals) if low > MARGIN]
    if r.powers and len(better) == len(r.powers):
        return Verdict("B1", "holds", f"{names}: each costs over 10 % less than its two neighbours suggest.")
    if better:
        return Verdict("B1", "holds when", f"B is {', '.join(map(str, better))}: over 10 % less than the two neighbours suggest; "
                       f"not for the others of {names}.")
    if r.powers and r.overall_interval[1] < MARGIN:
        return Verdict("B1", "does not hold here", f"on average {names} gain less than 10 % over what their two neighbours suggest, "
                       "and none surely more.")
    return Verdict("B1", "contested", "whether a power of two gains 10 % over its neighbours, the clock was too unsteady here to tell.")
