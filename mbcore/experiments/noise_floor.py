"""B3 Q8: SGD at a constant learning rate settles above the minimum, at a height that B sets; so a budget of examples has a best batch.

A batch gradient is unbiased, with the covariance Sigma/B. Near a minimum with Hessian H, theta' = theta - lr g_B settles at a
covariance C with HC + CH = lr Sigma/B, to first order in lr, and the excess loss is tr(HC)/2 = lr tr(Sigma) / (4 B): a floor.
Of a run that still descends the excess is bias + variance: that of the mean over replicas, and what they scatter around it.
S. Mandt, M. Hoffman and D. Blei 2017, arXiv:1704.04289; the claims: notes on "Batch size" (B3), a Q&A of January 2017 (Q8).

The problem is convex, so that the minimum is known: softmax regression on three Gaussians that overlap (seeded, 500 examples drawn
with replacement). No published row; the noise lr N / (B (1 - m)) of S. Smith et al. 2017, arXiv:1711.00489, has the same lr/B.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..progress import last
from .convex import descending, problem
from .interval import half_width
from .variance import averages
from .verdict import Verdict

CLAIMS = ("B3", "Q8")


@dataclass(frozen=True)
class Config:
    sizes: tuple = (1, 4, 16, 64)
    lrs: tuple = (0.0125, 0.05, 0.2, 0.8)
    lr: float = 0.05            # where the floor is fitted and budgets are compared; one of lrs
    steps: int = 2048           # a power of two; also the examples that budgets are compared at
    replicas: int = 16
    distance: float = 1.5       # between the means of two classes
    separable: float = 8.0      # the distance at which every example can be fitted
    draws: int = 2000           # batches, for the bias and the variance of the estimate
    seed: int = 0

    def __post_init__(self):
        if self.lr not in self.lrs:
            raise ValueError(f"lr: expected one of lrs = {self.lrs}; got {self.lr!r}")
        if self.steps < 64 or self.steps & (self.steps - 1):
            raise ValueError(f"steps: expected a power of two of at least 64; got {self.steps!r}")
        if list(self.sizes) != sorted({2 ** (B.bit_length() - 1) for B in self.sizes}) or len(self.sizes) < 3:
            raise ValueError(f"sizes: expected three or more rising powers of two; got {self.sizes!r}")
        if self.replicas < 3:
            raise ValueError(f"replicas: expected at least 3, for an interval; got {self.replicas!r}")


SMALL = Config(lrs=(0.0125, 0.05, 0.8), steps=1024, replicas=12, draws=500)     # half the steps, fewer rates, replicas and batches


@dataclass(frozen=True)
class Result:
    """[B, lr] in the order of sizes and lrs; a half is that of a 99 % t-interval over replicas, ddof 1.

    floors, floor_half: the mean excess loss over the second half of the runs; predicted: lr tr(Sigma) / (4 B).
    settled: whether the mean of the replicas was within a quarter of that floor by half time; where not, it is no floor yet.
    slope: of log floor against log B at config.lr, the mean over replicas of their own slopes, and its half.
    hardest: excess at the end for the smallest B and the largest lr, (mean, half): at constant lr, with lr falling as
        1/(1 + step/16), on data that can be fitted at constant lr; and for the largest B at constant lr.
    steps_excess, examples_excess: (mean[B, lr], half) after `budget` steps, and after config.steps examples.
    steps_parts, examples_parts: (bias[B], variance[B]) of these at config.lr.
    off, off_half: squared distance of the mean of `draws` batch gradients at the minimum from 0, over tr(Sigma)/(B draws), which
        is 1 on average if they are unbiased; var, var_half: their squared distance, over tr(Sigma)/B; [B] each, half 5 standard errors.
    averages: sd of averages of B normals, see variance.averages, one for each variance 1 and 10.
    """

    sizes: tuple
    lrs: tuple
    budget: int
    start: float
    trace: float
    descents: tuple
    floors: np.ndarray | None = None
    floor_half: np.ndarray | None = None
    predicted: np.ndarray | None = None
    settled: np.ndarray | None = None
    slope: tuple = ()
    hardest: dict = field(default_factory=dict)
    steps_excess: tuple = ()
    examples_excess: tuple = ()
    steps_parts: tuple = ()
    examples_parts: tuple = ()
    off: np.ndarray | None = None
    var: np.ndarray | None = None
    var_half: np.ndarray | None = None
    averages: tuple = ()
    verdicts: tuple = ()


# ------------------------------------------------------------------ live

@dataclass(frozen=True, eq=False)
class Spent:
    """After one budget, at one learning rate: the mean excess loss over replicas with half a 99 % interval, and its two parts."""

    step: int
    mean: float
    half: float
    bias: float
    variance: float


def spent(descent, step):
    """What a Descent at one learning rate has reached after so many steps: Spent, or None where it has not come so far."""
    if step not in descent.steps:
        return None
    mean, half = interval(descent.at(step)[0])
    return Spent(step, float(mean), float(half), float(descent.bias(step)[0]), float(descent.variance(step)[0]))


def predicted_floor(B, lr, config=Config()):
    """lr tr(Sigma) / (4 B): the excess loss at which SGD is expected to settle at a constant lr, to first order in lr."""
    return lr * problem(config.distance, config.seed).trace / (4 * B)


# ------------------------------------------------------------------ the experiment

def running(config=Config()):
    """Yield (fraction done, Result): descents grow, one batch size after the other; the rest comes with the last."""
    c = config
    task, done, budget = problem(c.distance, c.seed), (), c.steps // 8
    partial = Result(c.sizes, c.lrs, budget, task.start, task.trace, ())
    for k, B in enumerate(c.sizes):
        for fraction, descent in descending(B, c):
            yield 0.9 * (k + fraction) / len(c.sizes), replace(partial, descents=(*done, descent))
        done = (*done, descent)
    result = _measured(replace(partial, descents=done), c)
    yield 1.0, replace(result, verdicts=(_b3(result, c), _q8(result, c)))


def run(config=Config()):
    """The sweep to its end: Result."""
    return last(running(config))


def interval(values):
    """(mean, half of a 99 % t-interval) over the last axis, ddof 1."""
    return values.mean(axis=-1), half_width(values)


def _measured(r, c):
    at, small, rate = c.lrs.index(c.lr), c.sizes[0], (max(c.lrs),)
    floors = [interval(d.floor) for d in r.descents]
    log = np.log([d.floor[at] for d in r.descents])                     # [B, r]
    slopes = np.polyfit(np.log(c.sizes), log, 1)[0]
    end = lambda d, lr=0: interval(d.floor[lr])
    by_steps, by_examples = [d.at(r.budget) for d in r.descents], [d.at(c.steps // d.B) for d in r.descents]
    hardest = {"constant": end(r.descents[0], c.lrs.index(rate[0])), "large": end(r.descents[-1], c.lrs.index(rate[0])),
               "falling": end(last(descending(small, c, rate, lambda step: 1 / (1 + step / 16)))),
               "separable": end(last(descending(small, c, rate, distance=c.separable)))}
    off, var, var_half = _estimate(c)
    rng = np.random.default_rng(c.seed)
    settled = np.array([d.of_mean[d.steps == c.steps // 2][0] < d.floor.mean(axis=-1) / 4 for d in r.descents])
    return replace(r, settled=settled, floors=np.array([f[0] for f in floors]), floor_half=np.array([f[1] for f in floors]),
                   predicted=np.array([[predicted_floor(B, lr, c) for lr in c.lrs] for B in c.sizes]),
                   slope=interval(slopes), hardest=hardest,
                   steps_excess=interval(np.array(by_steps)), examples_excess=interval(np.array(by_examples)),
                   steps_parts=_parts(r.descents, at, lambda B: r.budget), examples_parts=_parts(r.descents, at, lambda B: c.steps // B),
                   off=off, var=var, var_half=var_half, averages=tuple(averages(v, c.sizes, c.draws, rng) for v in (1.0, 10.0)))


def _parts(descents, at, steps):
    return (np.array([d.bias(steps(d.B))[at] for d in descents]), np.array([d.variance(steps(d.B))[at] for d in descents]))


def _estimate(c):
    """off[B], var[B], var_half[B]; see Result. The full gradient is 0 at the minimum."""
    task, rng, rows = problem(c.distance, c.seed), np.random.default_rng(c.seed), []
    for B in c.sizes:
        g = np.array([task.d[at].mean(axis=0) for at in rng.integers(len(task.d), size=(c.draws, B))])
        sq = (g * g).sum(axis=1) * B / task.trace
        rows.append(((g.mean(axis=0) ** 2).sum() * B * c.draws / task.trace, sq.mean(), 5 * sq.std(ddof=1) / c.draws**0.5))
    return map(np.array, zip(*rows))


def _b3(r, c):
    """Not converging is read off the hardest corner, its reason off the law, its limits off the two ways out and a larger batch."""
    low, high = ({name: m + side * h for name, (m, h) in r.hardest.items()} for side in (-1, 1))
    slope, half = r.slope
    law = abs(slope + 1) - half < 0.1 and half < 0.2 and all(a.falls for a in r.averages)
    stays = low["constant"] > r.start and high["large"] < r.start
    ways = [way for way in ("falling", "separable") if high[way] < low["constant"] / 4]
    small, large, lr = c.sizes[0], c.sizes[-1], max(c.lrs)
    if not law or not stays:
        return Verdict("B3", "does not hold here", f"the loss above the minimum at B = {small} and lr {lr} is "
                       f"{'' if stays else 'not '}above the start, and the floor {'falls' if law else 'does not fall'} as 1/B.")
    found = (f"averages of B scatter as 1/sqrt(B), and the height at which the loss settles falls as 1/B; at lr {lr}, B = {small} ends "
             f"above where it started, B = {large} below")
    if len(ways) < 2:
        helps = f"only this helps: {ways[0]}" if ways else "neither a falling lr nor data that can be fitted helps"
        return Verdict("B3", "holds", f"{found}; {helps}.")
    return Verdict("B3", "holds when", f"the learning rate stays constant and the examples still disagree at the minimum: {found}. "
                   f"With a falling lr, or on data that can be fitted, B = {small} converges too.")


def _q8(r, c):
    """A best batch inside the range, by intervals, is the trade-off; that it needs a budget of examples at one lr is its condition."""
    at = c.lrs.index(c.lr)
    unbiased = bool((r.off < 4).all() and (abs(r.var - 1) < r.var_half).all())
    (steps, steps_half), (m, h) = ((a[:, at], b[:, at]) for a, b in (r.steps_excess, r.examples_excess))
    larger_wins = steps[-1] + steps_half[-1] < steps[0] - steps_half[0]
    best = int(m.argmin())
    inside = all(m[best] + h[best] < m[k] - h[k] for k in (0, -1))
    (bias, variance), small, large = r.examples_parts, c.sizes[0], c.sizes[-1]
    why = variance[0] > bias[0] and bias[-1] > variance[-1]
    checks = {f"the batch gradient has no bias and the variance tr(Sigma)/B: {unbiased}": unbiased,
              f"after {r.budget} steps B = {large} is ahead of {small}: {larger_wins}": larger_wins,
              f"after {c.steps} examples at lr {c.lr} a batch between them is best: {inside}": inside,
              f"variance is most of the excess at {small}, bias at {large}: {why}": why}
    if not all(checks.values()):
        return Verdict("Q8", "does not hold here", "; ".join(checks) + ".")
    retuned = r.examples_excess[0].min(axis=1)
    spread = retuned.max() / retuned.min() < (m.max() / m.min()) / 2
    return Verdict("Q8", "holds when", f"the budget is examples and the learning rate is given: a batch gradient is unbiased with variance "
                   f"tr(Sigma)/B, and after {c.steps} examples at lr {c.lr} a batch between {small} and {large} is best; {small} suffers "
                   f"from variance, {large} from too few steps. After equal steps {large} beats {small}"
                   f"{', and with the best lr for each B most of the difference goes' if spread else ''}.")
