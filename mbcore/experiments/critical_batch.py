"""What a sweep over batch sizes says about one of them: the hyperbola, the noise scale, seconds and joules.

S(B) steps and E(B) = B S(B) examples to a target lie on a hyperbola (S. McCandlish et al. 2018, arXiv:1812.06162):

    (S/S_min - 1)(E/E_min - 1) = 1,   which is   S = S_min (1 + B_crit/B),   E = E_min (1 + B/B_crit),   B_crit = E_min/S_min.

Its slope d log S / d log B = -1/(1 + B/B_crit) is -2/3 at B_crit/2 and -1/3 at 2 B_crit: there we let the three regimes end.
Intervals are percentile bootstraps over seeds, 95 %; in those of S the best rate of every B is chosen anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..train import training
from .models import MLP

REGIMES = ("perfect scaling", "diminishing returns", "maximal data parallelism")        # C. Shallue et al. 2018, arXiv:1811.03600
STEEP, FLAT = -2 / 3, -1 / 3          # the slopes of log S against log B where a regime ends

@dataclass(frozen=True, eq=False)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(values):
    """The first is the value, the others are its bootstrap."""
    return Estimate(float(values[0]), *(float(q) for q in np.quantile(values[1:], (0.025, 0.975))))


# ------------------------------------------------------------------ the hyperbola

@dataclass(frozen=True, eq=False)
class Fit:
    """S = S_min (1 + B_crit/B), least squares in log S. misfit: the root mean square of what is left of log S."""

    S_min: Estimate
    E_min: Estimate
    B_crit: Estimate
    misfit: float

    def steps(self, B):
        return self.S_min.value * (1 + self.B_crit.value / np.asarray(B, dtype=float))

    @property
    def boundaries(self):
        """The batch sizes where perfect scaling ends and where maximal data parallelism begins."""
        return self.B_crit.value / 2, 2 * self.B_crit.value


def fitted(sizes, log_S):
    """Fit of log_S[draw,B], whose first row is the sample itself."""
    S_min, B_crit, misfit = hyperbola(sizes, log_S)
    return Fit(estimate(S_min), estimate(S_min * B_crit), estimate(B_crit), float(misfit[0]))


def retuned(steps, samples):
    """log S[draw,B]: the least mean of log steps[B,lr,seed] over the rates at which every seed of the sample reached the target."""
    logs = np.where(np.isnan(steps), np.inf, np.log(steps))
    return np.array([logs[:, :, at].mean(axis=2).min(axis=1) for at in samples])


def hyperbola(sizes, log_S):
    """(S_min, B_crit, misfit), [draw] each: the least squares fit of log S_min + log(1 + B_crit/B) to each row of log_S[draw,B].

    Given B_crit, log S_min is a mean; so B_crit is searched on a fine grid, steps of 0.5 %, from 1/100 of the smallest B to 100 times
    the largest: an end of the grid says that the sizes do not bend.
    """
    B = np.asarray(sizes, dtype=float)
    grid = np.exp(np.arange(np.log(B[0] / 100), np.log(B[-1] * 100), 0.005))
    shape = np.log1p(grid[:, None] / B)
    a, g = log_S - log_S.mean(axis=1, keepdims=True), shape - shape.mean(axis=1, keepdims=True)
    left = (a * a).mean(axis=1)[:, None] + (g * g).mean(axis=1) - 2 / len(B) * a @ g.T
    k = left.argmin(axis=1)
    return np.exp(log_S.mean(axis=1) - shape[k].mean(axis=1)), grid[k], np.sqrt(left[np.arange(len(k)), k].clip(0))


# ------------------------------------------------------------------ the noise scale

@dataclass(frozen=True, eq=False)
class Noise:
    """B_simple = mean tr(Sigma) / mean ||g||^2, the means over the looks of a run until the target and over seeds; the interval is a
    bootstrap over seeds. start, end: the same at the first look and at the last."""

    B_simple: Estimate
    start: float
    end: float


def noise(rows, samples):
    """Noise of the rows [(tr(Sigma), ||g||^2), ...], one `along` for each seed; samples[draw,seed]: the seeds of each draw."""
    ratio = lambda pairs: float(np.divide(*np.sum(pairs, axis=0)))
    means = np.array([np.mean(row, axis=0) for row in rows])
    value = np.array([ratio(means[at]) for at in samples])
    return Noise(estimate(value), ratio([row[0] for row in rows]), ratio([row[-1] for row in rows]))


def along(c, B, lr, steps, rng):
    """[(tr(Sigma), ||g||^2)] at about `probes` looks of one run that needs about `steps`, from the start until the target."""
    digits = data.digits()
    n = len(digits.x_train)
    program = MLP.with_index("b").compile(b=B, i=64, j=c.j, y=10, dtype="float64").init(rng)
    everything, epochs, found = program.resized(b=n), 2 * int(np.ceil(steps * B / n)), []
    for _, record in training(program, digits, lr, epochs, rng, looks=max(1, round(c.probes * epochs * n / B / steps))):
        found.append(_spread(everything, digits))
        if not record.loss[-1] > c.target:
            break
    return found


def _spread(everything, digits):
    """(tr(Sigma), ||g||^2) over all examples: tr(Sigma) = mean ||d_n||^2 - ||g||^2, in float64, and the first is far the larger."""
    with one_blas_thread():
        everything.forward(x=digits.x_train, target=digits.target_train)
        everything.backward()
        sq_norm = float(sum((everything.grads[name] ** 2).sum() for name in everything.params))
        return float(everything.per_example_sq_norms().mean()) - sq_norm, sq_norm


@dataclass(frozen=True, eq=False)
class Result:
    """B along the first axis, learning rates along the next, seeds last. nan: not reached, diverged, or not tried.

    status[B,lr]: how many seeds reached the target, did not within the budget, diverged: (B, lr, 3) whole numbers.
    best[B]: the rate with the least geometric mean of steps among those at which every seed reached the target.
    edges: the B whose best rate had no worse one on both sides when the search ended: their S may be too large.
    retuned[B,seed], fixed[B,seed]: steps at the best and at the fixed rate. slope[B]: d log S / d log B, S the geometric mean.
    extra[B]: E(B)/E(smallest B).
    """

    sizes: tuple
    rates: tuple
    steps: np.ndarray = field(repr=False)
    status: np.ndarray = field(repr=False)
    best: np.ndarray
    retuned: np.ndarray
    fixed: np.ndarray
    edges: tuple
    slope: tuple = ()               # of Estimate
    extra: tuple = ()               # of Estimate
    fit: Fit | None = None
    noise: Noise | None = None
    verdicts: tuple = ()

    @property
    def S(self):
        """[B] the geometric mean over seeds of the steps, at the best rate."""
        return np.exp(np.log(self.retuned).mean(axis=1))

    @property
    def S_fixed(self):
        """[B] the same at the fixed rate."""
        return np.exp(np.log(self.fixed).mean(axis=1))

    @property
    def regimes(self):
        """The regime of each B, by its slope."""
        return tuple(REGIMES[0 if s.value < STEEP else 2 if s.value > FLAT else 1] for s in self.slope)


# ------------------------------------------------------------------ seconds and energy: arithmetic

@dataclass(frozen=True, eq=False)
class Costs:
    """seconds[B] and joules[B] until the target. knee = workers t0/t1: the hardware knee. B_best = sqrt(B_crit knee), where
    S_min (1 + B_crit/B)(t0 + B t1/workers) is least, the geometric mean of the statistical knee B_crit and the hardware knee; but
    at least one example for each worker, as a smaller batch is not computed sooner."""

    seconds: np.ndarray
    joules: np.ndarray
    knee: float
    B_best: float


def costs(result, t0, t1, watts=50.0, workers=1, sizes=None):
    """seconds = S(B) (t0 + t1 ceil(B/workers)), joules = workers watts seconds: workers that share a batch evenly, send nothing, and
    draw `watts` each, busy or not. These are assumptions, no measurement; t0 and t1 in seconds may be another machine's.
    sizes: other batch sizes than the sweep's, at which S is that of the fit."""
    for name, value in (("t0", t0), ("t1", t1), ("watts", watts), ("workers", workers)):
        if not value > 0:
            raise ValueError(f"{name}: expected a number above 0, got {value!r}")
    S, B = (result.S, result.sizes) if sizes is None else (result.fit.steps(sizes), sizes)
    seconds, knee = counted(S, B, "seconds", t0, t1, workers), workers * t0 / t1
    return Costs(seconds, workers * watts * seconds, knee, max(float(workers), float(np.sqrt(result.fit.B_crit.value * knee))))


def counted(steps, sizes, unit, t0, t1, workers=1):
    """steps[B, ...] in another unit: "steps", "examples" = B steps, or "seconds" = (t0 + t1 ceil(B/workers)) steps."""
    B = np.asarray(sizes, dtype=float)
    each = {"steps": np.ones(len(B)), "examples": B, "seconds": t0 + t1 * np.ceil(B / workers)}[unit]
    return steps * each.reshape(-1, *[1] * (np.ndim(steps) - 1))
