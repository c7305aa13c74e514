"""Which batch size? Measure the machine and the gradient for some seconds, and recommend one, with
reasons and uncertainty; or say why the measurement allows none.

    steps(B) = S_min (1 + B_crit/B)
    seconds(B) = steps(B) (t0 + B t1), least at B* = sqrt(B_crit t0/t1)

The first is S. McCandlish et al.'s, arXiv:1812.06162: from B_crit on, a larger batch saves few
steps. The second is the machine: t0 is what a step costs anyway, t1 an example. B* is the geometric
mean of B_crit and of the machine's own knee, t0/t1. A batch k times too large or too small takes at
most (2 + k + 1/k)/4 times as long, 1.13 for k = 2, whatever the three are; so rough measurements
do.

B_crit itself would take many trainings. The noise scale B_simple = tr(Sigma)/||g||^2 stands for it,
along short trainings and averaged as mean tr(Sigma) / mean ||g||^2 over their steps. As a step
lowers the loss by about lr ||g||^2, that is the mean of B_simple over the loss's way down, which
depends little on where the training is stopped. B_crit is then taken from it by RATIO: right to an
order of magnitude, no more.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf, sqrt

import numpy as np

from .checking import real, whole
from .given import uneven
from .hardware import Line, Throughput
from .progress import last
from .rates import CLEAR, confirmed, searched
from .signal import afterwards, beforehand, likely
from .subject import subject
from .trial import Held, Noise, clocked, trained
from .tried import STARTS

# (B_crit, B_simple), averages over whole trainings: arXiv:1812.06162, table 1; Atari games by the
# middles of their ranges. Dota 5v5, of which only B_crit > 8,000,000 beside 24,000,000 is known,
# cannot be among them.
PUBLISHED = {
    "MNIST": (200, 900),
    "SVHN": (500, 4_000),
    "CIFAR-10": (900, 2_000),
    "ImageNet": (15_000, 30_000),
    "autoencoder": (40, 2),
    "VAE": (200, 10),
    "Billion Word": (100_000, 150_000),
    "Atari": (1_800, 4_500),
    "Dota 1v1": (3_000_000, 300_000),
}
# B_crit/B_simple: the ends of PUBLISHED, and their geometric mean, 1.2, rounded
RATIO = (0.1, 1.0, 20.0)
# the recommended batch sizes are predicted to take at most so many times the least time
NEAR = 1.2
# of the seconds, for the four measurements; the rest is for what cannot be stopped
SHARES = (0.2, 0.3, 0.3, 0.12)


@dataclass(frozen=True, eq=False)
class Curves:
    """For a panel, at batch sizes B[k]: step_seconds[k] on the line; steps[3,k], multiples of
    S_min, and seconds[3,k], multiples of the least, for B_crit at its lower end, its middle, and
    its upper end; nbytes[k].
    """

    B: np.ndarray
    step_seconds: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray
    nbytes: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """What was measured, and what follows from it; None is what was not measured, or what does
    not follow.

    why_not: why there is no batch, though all is done; None while it is being measured and where
    there is one.
    largest: the batch that fits into memory.
    rates: (learning rate, loss after its trial from the worst start; inf: it failed), with batches
    of B_trial.
    lr_trial: the rate of the trials. held: what the trainings told of examples they had not met.
    B_crit: (low, middle, high). batch: the size to start with. lr: a rate for it, tried with it
    from STARTS starts.
    failed: (the smallest rate that failed from one of these, the batch it failed with), or None.
    tried_for: steps of these trials.
    low, high: the range predicted to take at most NEAR times as long as the best, if B_crit is at
    its middle.
    slower: how many times as long as the best `batch` takes at most, if B_crit is between its ends.
    """

    N: int
    largest: int
    throughput: Throughput | None = field(default=None, repr=False)
    line: Line | None = None
    B_trial: int | None = None
    rates: tuple = ()
    lr_trial: float | None = None
    noise: Noise | None = field(default=None, repr=False)
    held: Held | None = field(default=None, repr=False)
    B_crit: tuple | None = None
    batch: int | None = None
    low: int | None = None
    high: int | None = None
    lr: float | None = None
    failed: tuple | None = None
    tried_for: int | None = None
    slower: float | None = None
    curves: Curves | None = field(default=None, repr=False)
    why_not: str | None = None
    reasons: tuple = ()
    caveats: tuple = ()

    def lr_at(self, B):
        """A rate for B, from the one that was tried with another batch: as 1/(1 + B_crit/B)."""
        lr, tried_with = (self.lr_trial, self.B_trial) if self.lr is None else (self.lr, self.batch)
        return lr * _waste(tried_with, self.B_crit[1]) / _waste(B, self.B_crit[1])

    def __str__(self):
        reasons = (f"  - {r}" for r in self.reasons)
        return "\n".join([self._first(), *reasons, *(f"  ! {c}" for c in self.caveats)])

    __repr__ = __str__

    def _repr_markdown_(self):
        reasons = (f"- {r}" for r in self.reasons)
        return "\n".join(
            [f"**{self._first()}**", "", *reasons, *(f"- *{c}*" for c in self.caveats)]
        )

    def _first(self):
        if self.why_not is not None:
            return f"No batch size follows from this measurement: {self.why_not}."
        if self.batch is None or self.lr is None:
            return "No advice yet: still measuring."
        return (
            f"Start with a batch of {self.batch} and a learning rate near {_round(self.lr)};"
            f" batches from {self.low} to {self.high} should do nearly as well."
        )


def advise(net, data, loss=None, seconds=8.0, seed=0):
    """Advice on the batch size with which to train this network on this data by SGD, on the device
    where it is.

    net: a Program, equations.with_index("b").compile(b=..., ...), or a torch.nn.Module. It stays as
    it is: copies are
        tried, from its parameters on; those of a Program that are all 0 are drawn. A module's modes
        are kept.
    data: a DataSet, of mbcore.data or mbcore.sources, a pair of arrays (x, target), or a
    TensorDataset.
    loss: for a module, a function of (scores, target): the mean over the batch, or one loss for
    each example, [n] or [n, 1]. It need not use the targets: then any will do.
    seconds: for all measurements, about. seed: of the order of the examples.

    Where the measurement has no signal, `batch` is None and `why_not` says why. Arguments that
    cannot be measured are
    refused: TypeError or ValueError naming `net`, `data`, `loss`, `seconds` or `seed`; MemoryError
    where not even one example fits.
    """
    return last(advising(net, data, loss, seconds, seed))


def advising(net, data, loss=None, seconds=8.0, seed=0):
    """Yield (fraction, Advice so far); what is wrong with the arguments is said at once."""
    seconds, seed = real("seconds", seconds, above=0), whole("seed", seed, 0)
    tried = subject(net, data, loss, np.random.default_rng(seed))
    return _private(tried, _advising(tried, [share * seconds for share in SHARES]))


def _private(tried, working):
    """What the work changes globally, threads and random numbers, is as it was at each yield."""
    with closing(working):
        while True:
            with tried.private(), np.errstate(all="ignore"):
                found = next(working, None)
            if found is None:
                return
            yield found


def _advising(tried, seconds):
    advice, done = Advice(tried.N, tried.largest), 0.0
    stages = (
        lambda a, s: clocked(tried, s),
        lambda a, s: _searched(a, tried, s),
        lambda a, s: trained(tried, a.B_trial, a.lr_trial, a.line, s),
        lambda a, s: _paired(a, tried, s),
    )
    for share, stage in zip(seconds, stages):
        for fraction, found in stage(advice, share):
            advice = replace(advice, **found)
            yield 0.99 * (done + fraction * share) / sum(seconds), advice
        done += share
        if advice.why_not is not None:
            break
    yield 1.0, concluded(advice, tried)


def _searched(advice, tried, seconds):
    why_not = beforehand(tried)
    if why_not:
        yield 1.0, {"why_not": why_not}
        return
    for fraction, found in searched(tried, advice.B_trial, advice.line, seconds):
        if "why_not" in found:
            found["why_not"] += likely(tried)
        yield fraction, found


def _paired(advice, tried, seconds):
    """The batch, and a learning rate that works with it; the two come together, or neither."""
    why_not = afterwards(tried, advice.noise, advice.held)
    if why_not:
        yield 1.0, {"why_not": why_not}
        return
    chosen = _batch(advice, tried)
    start = replace(advice, **chosen).lr_at(chosen["batch"])
    for fraction, found in confirmed(tried, chosen["batch"], start, advice.line, seconds):
        yield fraction, {**chosen, **found} if "lr" in found else found


# ------------------------------------------------------------------ the rule


def _waste(B, B_crit):
    """1 + B_crit/B: the steps to a target, in multiples of the least."""
    return 1 + B_crit / np.asarray(B, float)


def modelled(B, B_crit, t0, t1):
    """Seconds to a target, divided by S_min."""
    return _waste(B, B_crit) * (t0 + np.asarray(B, float) * t1)


def optimum(B_crit, t0, t1, least, most):
    """The batch size between these ends for which `modelled` is least: sqrt(B_crit t0/t1), a
    number, or an end."""
    best = sqrt(B_crit * max(t0, 0) / t1) if t1 > 0 else inf
    return float(np.clip(best, least, most))


def chosen(B_crit, t0, t1, least, most):
    """(batch, low, high, slower): the power of two next to the optimum at the middle of B_crit =
    (low, middle, high); the batch sizes within NEAR of the optimum there; and what `batch` takes
    where B_crit is at its worse end.
    """
    best = [optimum(c, t0, t1, least, most) for c in B_crit]
    powers = (2**k for k in range(int(most).bit_length()) if 2**k >= least)
    batch = min(powers, key=lambda p: abs(np.log(p / best[1])), default=int(most))
    B = np.unique(np.geomspace(least, most, 2000).round().astype(int))
    limit = NEAR * modelled(best[1], B_crit[1], t0, t1)
    near = B[modelled(B, B_crit[1], t0, t1) <= limit]
    ends = (modelled(batch, c, t0, t1) / modelled(b, c, t0, t1) for c, b in zip(B_crit, best))
    return batch, int(min(near.min(), batch)), int(max(near.max(), batch)), float(max(ends))


def _times(line):
    """t0 and t1, above 0 by a hair where the fit has them below."""
    return max(line.t0, 0.0), max(line.t1, 1e-12)


def _batch(advice, tried):
    """B_crit and what follows from it, as fields of Advice."""
    t0, t1 = _times(advice.line)
    low, high = advice.noise.interval
    cap = 1e3 * tried.N  # beyond it nothing changes
    scales = np.multiply(RATIO, (low, advice.noise.average, high))
    B_crit = tuple(float(np.clip(v, 1e-3, cap)) for v in scales)
    batch, first, end, slower = chosen(B_crit, t0, t1, tried.least, tried.most)
    curves = _curves(B_crit, t0, t1, tried)
    return {
        "B_crit": B_crit,
        "batch": batch,
        "low": first,
        "high": end,
        "slower": slower,
        "curves": curves,
    }


def concluded(advice, tried):
    """The advice, once all is measured, with what is to be said of it."""
    words = _reasons if advice.why_not is None else _what_stands
    caveats = tuple(_caveats(advice, tried)) if advice.why_not is None else ()
    return replace(advice, reasons=tuple(words(advice, tried)), caveats=caveats)


def _curves(B_crit, t0, t1, tried):
    powers = (2**k for k in range(int(tried.most).bit_length()) if 2**k >= tried.least)
    B = np.unique([*powers, tried.most])
    best = [optimum(c, t0, t1, tried.least, tried.most) for c in B_crit]
    seconds = [modelled(B, c, t0, t1) / modelled(b, c, t0, t1) for c, b in zip(B_crit, best)]
    steps = np.array([_waste(B, c) for c in B_crit])
    return Curves(
        B, t0 + B * t1, steps, np.array(seconds), np.array([tried.nbytes(int(b)) for b in B])
    )


# ------------------------------------------------------------------ in words


def _what_stands(a, tried):
    """What was measured where no batch size follows."""
    yield _machine(a)
    yield _memory(a, tried)


def _machine(a):
    return (
        f"A step takes {_seconds(a.line.t0)}, and {_seconds(a.line.t1)} more for each example: up"
        f" to B = {_round(a.line.knee)} a larger batch is mostly free for this machine."
    )


def _memory(a, tried):
    return f"Memory holds a batch of about {float(f'{a.largest:.2g}'):,.0f} ({tried.memory_note})."


def _reasons(a, tried):
    middle, n = a.B_crit[1], a.noise
    free = optimum(middle, a.line.t0, a.line.t1, 1e-3, inf)
    yield _machine(a)
    yield (
        f"The noise scale B_simple is {_round(n.average)} on the way down ({_round(n.B_simple[0])}"
        f" at the start, {_round(n.B_simple[-1])} when the loss was {n.loss[-1]:.2g}): well above"
        " it, a larger batch saves hardly any steps."
    )
    yield (
        "Seconds to a given loss go as (1 + B_crit/B)(t0 + B t1), which is least at sqrt(B_crit"
        f" t0/t1) = {_round(free)}."
    )
    if free > tried.most or free < tried.least:
        limit = f"the {a.N} examples there are"
        limit = limit if tried.most == a.N else f"what fits into memory, {tried.most} examples"
        beyond = f"above {limit}" if free > tried.most else "below the smallest batch possible"
        yield f"That is {beyond}, so the batch stops there."
    yield _memory(a, tried)
    yield _rate(a, tried)
    yield (
        f"For another batch: below B = {_round(middle)} change the rate in proportion to B, as"
        " small steps only add up; well above leave it, as the loss's curvature limits it: it goes"
        " as 1/(1 + B_crit/B). Adam's is often taken to go as the square root of that."
    )


def _rate(a, tried):
    starts = f"from each of {STARTS} starts"
    if tried.trained:
        starts = f"in each of {STARTS} orders of the examples, as the network is trained already,"
    said = (
        f"Learning rate: {_round(a.lr)} and {_round(CLEAR * a.lr)} both lowered the loss with B ="
        f" {a.batch} {starts} in {a.tried_for} steps"
    )
    if a.failed is None:
        return f"{said}; no larger one that was tried failed."
    rate, batch = a.failed
    said = f"{said}; {_round(rate)} failed from one with B = {batch}"
    if rate > a.lr:
        return f"{said}, and the rate keeps clear of that."
    return f"{said}: a smaller batch needs a smaller rate."


def _caveats(a, tried):
    low, _, high = a.B_crit
    yield (
        f"B_crit is not measured. It is taken to be {RATIO[1]:g} times B_simple, which is right to"
        f" an order of magnitude, no more: it may be anything between {_round(low)} and"
        f" {_round(high)}. The published ratios of {len(PUBLISHED)} tasks go from 0.1 (images) to"
        " 20 (autoencoders)."
    )
    ends = [_round(optimum(c, a.line.t0, a.line.t1, tried.least, tried.most)) for c in (low, high)]
    yield (
        f"So the best batch may be anything from {ends[0]} to {ends[1]}; but B = {a.batch} should"
        f" take at most {a.slower:.1f} times as long, each at its own best learning rate. Try half"
        " and twice the rate."
    )
    if a.line.t1_interval[0] <= 0:
        yield (
            "The seconds of an example could not be told from none: give more seconds, or a quieter"
            " machine."
        )
    grown = a.noise.B_simple[-1] / a.noise.B_simple[0]
    if not a.noise.interval[1] < inf:
        yield (
            "The mean gradient drowns in the noise of its examples here, so the noise scale has no"
            " upper end."
        )
    elif grown > 3:
        yield (
            "The noise scale grew during the trial: a long training can use a larger batch towards"
            " its end."
        )
    cause = uneven(tried.examples)
    if cause:
        yield f"{cause[0].upper()}{cause[1:]}; the advice may then change."
    yield from tried.notes
    often = "once" if a.noise.runs == 1 else f"{a.noise.runs} times"
    yield (
        f"Only {int(a.noise.steps[-1])} steps of training were looked at, {often}, by plain SGD."
        " Other work on the machine, if there was any, is in the seconds."
    )


def _seconds(t):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if t >= size:
            return f"{_round(t / size)} {unit}"
    return f"{_round(max(t, 0) / 1e-9)} ns"


def _round(x):
    """Two digits at most: 13.6 -> 14, 1367 -> 1400."""
    return f"{float(f'{x:.2g}'):,g}" if np.isfinite(x) else "no end"
