"""Which batch size? Measure the machine and the gradient for some seconds, and recommend one, with reasons and uncertainty.

    steps(B) = S_min (1 + B_crit/B)          seconds(B) = steps(B) (t0 + B t1)          least at B* = sqrt(B_crit t0/t1)

The first is S. McCandlish et al.'s, arXiv:1812.06162: from B_crit on, a larger batch saves few steps. The second is the machine: t0
is what a step costs anyway, t1 an example. B* is the geometric mean of B_crit and of the machine's own knee, t0/t1. A batch k times
too large or too small takes at most (2 + k + 1/k)/4 times as long, 1.13 for k = 2, whatever the three are; so rough measurements do.

B_crit itself would take many trainings. The noise scale B_simple = tr(Sigma)/||g||^2 stands for it, along one short training and
averaged as mean tr(Sigma) / mean ||g||^2 over its steps. As a step lowers the loss by about lr ||g||^2, that is the mean of B_simple
over the loss's way down, which depends little on where the training is stopped. B_crit is then taken from it by RATIO.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf, sqrt
from numbers import Real

import numpy as np

from .hardware import Line, Throughput
from .progress import last
from .subject import subject
from .trial import Noise, clocked, searched, trained

RATIO = (0.1, 0.5, 2.5) # B_crit/B_simple: low, middle, high. Five small tasks with two targets each had 0.1 to 1.3
PUBLISHED = (0.1, 0.5)  # B_crit/B_simple in arXiv:1812.06162, table 1; there B_simple is averaged over a whole training
NEAR = 1.2              # the recommended batch sizes are predicted to take at most so many times the least time
SHARES = 0.25, 0.35, 0.3                # of the seconds, for the three measurements; the rest is for what cannot be stopped


@dataclass(frozen=True, eq=False)
class Curves:
    """For a panel, at batch sizes B[k]: step_seconds[k] on the line; steps[3,k], multiples of S_min, and seconds[3,k], multiples of
    the least, for B_crit at its lower end, its middle, and its upper end; nbytes[k]."""

    B: np.ndarray
    step_seconds: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray
    nbytes: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """What was measured, and what follows from it; None is what was not measured yet.

    largest: the batch that fits into memory. rates: (learning rate, loss after its trial), with batches of B_trial; lr_trial is the
    best. B_crit: (low, middle, high). batch: the size to start with, lr: a rate for it. low, high: the range that is predicted to
    take at most NEAR times as long as the best, if B_crit is at its middle. slower: how many times as long as the best `batch` takes at
    most, if B_crit is between its ends.
    """

    N: int
    largest: int
    throughput: Throughput | None = field(default=None, repr=False)
    line: Line | None = None
    B_trial: int | None = None
    rates: tuple = ()
    lr_trial: float | None = None
    noise: Noise | None = field(default=None, repr=False)
    B_crit: tuple | None = None
    batch: int | None = None
    low: int | None = None
    high: int | None = None
    lr: float | None = None
    slower: float | None = None
    curves: Curves | None = field(default=None, repr=False)
    reasons: tuple = ()
    caveats: tuple = ()

    def lr_at(self, B):
        """The rate found with B_trial, carried over to B: it goes as 1/(1 + B_crit/B)."""
        return self.lr_trial * _waste(self.B_trial, self.B_crit[1]) / _waste(B, self.B_crit[1])

    def __str__(self):
        return "\n".join([self._first(), *(f"  - {r}" for r in self.reasons), *(f"  ! {c}" for c in self.caveats)])

    __repr__ = __str__

    def _repr_markdown_(self):
        return "\n".join([f"**{self._first()}**", "", *(f"- {r}" for r in self.reasons), *(f"- *{c}*" for c in self.caveats)])

    def _first(self):
        if self.batch is None:
            return "No advice yet: still measuring."
        return (f"Start with a batch of {self.batch} and a learning rate near {_round(self.lr)}; batches from {self.low} to {self.high} "
                "should do nearly as well.")


def advise(net, data, loss=None, seconds=8.0, seed=0):
    """Advice on the batch size with which to train this network on this data by SGD, on the device where the network is.

    net: a Program, equations.with_index("b").compile(b=..., ...), or a torch.nn.Module. It stays as it is: copies are tried, from its
        parameters on; those of a Program that are all 0 are drawn. loss: for a module, a function of (scores, target).
    data: a DataSet, of mbcore.data or mbcore.sources. seconds: for all measurements, about. seed: of the order of the examples.
    """
    return last(advising(net, data, loss, seconds, seed))


def advising(net, data, loss=None, seconds=8.0, seed=0):
    """Yield (fraction, Advice so far); what is wrong with the arguments is said at once."""
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < seconds < inf:
        raise ValueError(f"seconds: expected a number above 0, got {seconds!r}")
    tried = subject(net, data, loss, np.random.default_rng(seed))
    return _private(tried, _advising(tried, *(share * float(seconds) for share in SHARES)))


def _private(tried, working):
    """What the work changes globally, threads and random numbers, is as it was at each yield."""
    with closing(working):
        while True:
            with tried.private(), np.errstate(all="ignore"):
                found = next(working, None)
            if found is None:
                return
            yield found


def _advising(tried, clock, search, training):
    advice, done = Advice(tried.N, tried.largest), 0.0
    stages = ((clock, lambda a: clocked(tried, clock)), (search, lambda a: searched(tried, a.B_trial, a.line, search)),
              (training, lambda a: trained(tried, a.B_trial, a.lr_trial, a.line, training)))
    for seconds, stage in stages:
        for fraction, found in stage(advice):
            advice = replace(advice, **found)
            yield 0.99 * (done + fraction * seconds) / (clock + search + training), advice
        done += seconds
    yield 1.0, concluded(advice, tried)


# ------------------------------------------------------------------ the rule

def _waste(B, B_crit):
    """1 + B_crit/B: the steps to a target, in multiples of the least."""
    return 1 + B_crit / np.asarray(B, float)


def modelled(B, B_crit, t0, t1):
    """Seconds to a target, divided by S_min."""
    return _waste(B, B_crit) * (t0 + np.asarray(B, float) * t1)


def optimum(B_crit, t0, t1, least, most):
    """The batch size between these ends for which `modelled` is least: sqrt(B_crit t0/t1), a number, or an end."""
    return float(np.clip(sqrt(B_crit * max(t0, 0) / t1) if t1 > 0 else inf, least, most))


def chosen(B_crit, t0, t1, least, most):
    """(batch, low, high, slower): the power of two next to the optimum at the middle of B_crit = (low, middle, high); the batch sizes
    within NEAR of the optimum there; and what `batch` takes where B_crit is at its worse end."""
    best = [optimum(c, t0, t1, least, most) for c in B_crit]
    batch = min((2**k for k in range(int(most).bit_length()) if 2**k >= least), key=lambda p: abs(np.log(p / best[1])), default=int(most))
    B = np.unique(np.geomspace(least, most, 2000).round().astype(int))
    near = B[modelled(B, B_crit[1], t0, t1) <= NEAR * modelled(best[1], B_crit[1], t0, t1)]
    slower = max(float(modelled(batch, c, t0, t1) / modelled(b, c, t0, t1)) for c, b in zip(B_crit, best))
    return batch, int(min(near.min(), batch)), int(max(near.max(), batch)), slower


def concluded(advice, tried):
    """The advice, once all is measured."""
    t0, t1, value, (low, high) = max(advice.line.t0, 0.0), max(advice.line.t1, 1e-12), advice.noise.average, advice.noise.interval
    cap = 1e3 * tried.N                                                 # beyond it nothing changes
    B_crit = tuple(float(np.clip(v, 1e-3, cap)) for v in np.multiply(RATIO, (low, value, high)))
    batch, first, end, slower = chosen(B_crit, t0, t1, tried.least, tried.most)
    advice = replace(advice, B_crit=B_crit, batch=batch, low=first, high=end, slower=slower, curves=_curves(B_crit, t0, t1, tried))
    advice = replace(advice, lr=advice.lr_at(batch))
    return replace(advice, reasons=tuple(_reasons(advice, tried)), caveats=tuple(_caveats(advice, tried)))


def _curves(B_crit, t0, t1, tried):
    B = np.unique([*(2**k for k in range(int(tried.most).bit_length()) if 2**k >= tried.least), tried.most])
    seconds = np.array([modelled(B, c, t0, t1) / modelled(optimum(c, t0, t1, tried.least, tried.most), c, t0, t1) for c in B_crit])
    return Curves(B, t0 + B * t1, np.array([_waste(B, c) for c in B_crit]), seconds, np.array([tried.nbytes(b) for b in B]))


# ------------------------------------------------------------------ in words

def _reasons(a, tried):
    middle = a.B_crit[1]
    free = optimum(middle, a.line.t0, a.line.t1, 1e-3, inf)
    n = a.noise
    yield (f"A step takes {_seconds(a.line.t0)}, and {_seconds(a.line.t1)} more for each example: up to B = {_round(a.line.knee)} a larger "
           "batch is mostly free for this machine.")
    yield (f"The noise scale B_simple is {_round(n.average)} on the way down ({_round(n.B_simple[0])} at the start, "
           f"{_round(n.B_simple[-1])} when the loss was {n.loss[-1]:.2g}): well above it, a larger batch saves hardly any steps.")
    yield f"Seconds to a given loss go as (1 + B_crit/B)(t0 + B t1), which is least at sqrt(B_crit t0/t1) = {_round(free)}."
    if free > tried.most or free < tried.least:
        limit = f"the {a.N} examples there are" if tried.most == a.N else f"what fits into memory, {tried.most} examples"
        yield f"That is {'above ' + limit if free > tried.most else 'below the smallest batch possible'}, so the batch stops there."
    yield f"Memory holds a batch of about {float(f'{a.largest:.2g}'):,.0f} ({tried.memory_note})."
    yield (f"Learning rate: {_round(a.lr_trial)} was best with B = {a.B_trial}. Below B = {_round(middle)} change it in proportion to B, "
           "as small steps only add up; well above leave it, as the loss's curvature limits it: it goes as 1/(1 + B_crit/B). Adam's goes "
           "as the square root of that.")


def _caveats(a, tried):
    low, _, high = a.B_crit
    yield (f"B_crit is not measured. It is taken to be {RATIO[1]} times B_simple, give or take a factor of 5: between {_round(low)} and "
           f"{_round(high)}. Published ratios are {PUBLISHED[0]} to {PUBLISHED[1]}, with another average; five small tasks of ours had "
           "0.1 to 1.3.")
    ends = [_round(optimum(c, a.line.t0, a.line.t1, tried.least, tried.most)) for c in (low, high)]
    yield (f"So the best batch may be anything from {ends[0]} to {ends[1]}; but B = {a.batch} should take at most {a.slower:.1f} times "
           "as long, each at its own best learning rate. Try half and twice the rate.")
    if a.line.t1_interval[0] <= 0:
        yield "The seconds of an example could not be told from none: give more seconds, or a quieter machine."
    grown = a.noise.B_simple[-1] / a.noise.B_simple[0]
    if not a.noise.interval[1] < inf:
        yield "The mean gradient drowns in the noise of its examples here, so the noise scale has no upper end."
    elif grown > 3:
        yield "The noise scale grew during the trial: a long training can use a larger batch towards its end."
    often = "once" if a.noise.runs == 1 else f"{a.noise.runs} times"
    yield (f"Only {int(a.noise.steps[-1])} steps of training were looked at, {often}, by plain SGD. Other work on the "
           "machine, if there was any, is in the seconds.")


def _seconds(t):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if t >= size:
            return f"{_round(t / size)} {unit}"
    return f"{_round(max(t, 0) / 1e-9)} ns"


def _round(x):
    """Two digits at most: 13.6 -> 14, 1367 -> 1400."""
    return f"{float(f'{x:.2g}'):,g}" if np.isfinite(x) else "no end"
