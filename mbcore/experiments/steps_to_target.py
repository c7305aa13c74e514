"""N2 T10 T11: a larger batch first saves steps, then saves less, then saves nothing: from there on it only costs examples.

S(B) steps and E(B) = B S(B) examples to a target training loss, at the learning rate that is best for that B, are put beside

    (S/S_min - 1)(E/E_min - 1) = 1,   which is   S = S_min (1 + B_crit/B),   E = E_min (1 + B/B_crit),   B_crit = E_min/S_min.

Its slope d log S / d log B = -1/(1 + B/B_crit) is -2/3 at B_crit/2 and -1/3 at 2 B_crit: there we let the three regimes end.
S. McCandlish et al. 2018, arXiv:1812.06162; C. Shallue et al. 2018, arXiv:1811.03600. PUBLISHED has their numbers.

Beside them: Shallue's three regimes show, in order, and the hyperbola fits within some per cent. B_crit and B_simple are about 23 and
16 to 20 here; McCandlish has 200 and 900 (MNIST), 500 and 4k (SVHN), 900 and 2k (CIFAR-10), 15k and 30k (ImageNet). So they agree in their
order of magnitude, as there, but B_crit is the larger one here; and our task is smaller and easier: the shape, not the number.
Intervals are percentile bootstraps over seeds, 95 %, in which the best rate of every B is chosen anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import nnls

from .. import data
from ..gradients import full_gradient
from ..progress import last
from ..sweep import Setting, Task, sweeping
from ..train import training
from .models import MLP
from .verdict import Verdict

CLAIMS = ("N2", "T10", "T11")
PUBLISHED = {           # B_crit and B_simple; the regimes
    "arXiv:1812.06162, table 1": {"MNIST": (200, 900), "SVHN": (500, 4000), "CIFAR-10": (900, 2000), "ImageNet": (15000, 30000)},
    "arXiv:1811.03600": ("perfect scaling", "diminishing returns", "maximal data parallelism"),
}
REGIMES = PUBLISHED["arXiv:1811.03600"]
STEEP, FLAT = -2 / 3, -1 / 3          # the slopes of log S against log B where a regime ends
MISFIT = 0.2                        # root mean square of log S above which the hyperbola does not describe the sizes
MORE = 1.5                          # times the smallest batch's examples: up to here we say "no additional epochs"


@dataclass(frozen=True)
class Config:
    """fixed: the rate used for every B beside the best one. lr: where the search for the smallest B begins; it goes by factors of
    2, until the best rate has a worse one on either side, at most `rounds` times. A run ends after `epochs` passes and `steps`
    steps, whichever comes later. probes: how often the noise scale is measured in a run."""

    sizes: tuple = (1, 2, 5, 11, 22, 44, 89, 179, 359, 1437)        # the 1,437 digits, halved: hardly a last part is left over
    lr: float = 0.5
    fixed: float = 1.0
    target: float = 0.3
    j: int = 16
    seeds: int = 5
    epochs: float = 2.0
    steps: int = 200
    looks: int = 40
    rounds: int = 4
    probes: int = 8
    draws: int = 1000
    seed: int = 0

    def __post_init__(self):
        if len(self.sizes) < 3 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes: expected at least 3 rising batch sizes, got {self.sizes}")
        if self.seeds < 3:
            raise ValueError(f"seeds: expected at least 3, to have intervals, got {self.seeds}")


SMALL = Config(sizes=(1, 4, 16, 64, 359), target=0.6, j=12, seeds=5, epochs=0.9, steps=140, looks=16, probes=1,
               draws=400)       # fewer batch sizes, a smaller network, an easier target, the noise scale at the start and the end alone


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


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


@dataclass(frozen=True, eq=False)
class Noise:
    """B_simple = mean tr(Sigma) / mean ||g||^2, the means over the looks of a run until the target and over seeds; the interval is a
    bootstrap over seeds. start, end: the same at the first look and at the last."""

    B_simple: Estimate
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Result:
    """B along the first axis, learning rates along the next, seeds last. nan: not reached, diverged, or not tried.

    status[B,lr]: how many seeds reached the target, did not within the budget, diverged: (B, lr, 3) whole numbers.
    best[B]: the rate with the least geometric mean of steps among those at which every seed reached the target.
    edges: the B whose best rate had no worse one on both sides when the search ended: their S may be too large.
    retuned[B,seed], fixed[B,seed]: steps at the best and at the fixed rate. slope[B]: d log S / d log B, S the geometric mean.
    extra[B]: E(B)/E(smallest B). step_seconds[B]: median seconds of a step, a replica's share where several train together;
    t0, t1: step_seconds = t0 + B t1, least squares of the relative errors.
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
    step_seconds: np.ndarray | None = None
    t0: float | None = None
    t1: float | None = None
    verdicts: tuple = ()

    @property
    def regimes(self):
        """The regime of each B, by its slope."""
        return tuple(REGIMES[0 if s.value < STEEP else 2 if s.value > FLAT else 1] for s in self.slope)


def running(config=Config(), executor=None):
    """Yield (fraction, Result so far), from the smallest batch to the largest; slopes, fit, noise and verdicts come at the end."""
    c, outcomes, centre, table = config, {}, config.lr, _table(config, {})
    setting = Setting(MLP, {"i": 64, "j": c.j, "y": 10}, epochs=c.epochs, steps=c.steps, target=c.target, looks=c.looks)
    for k, B in enumerate(c.sizes):
        for done, found in _searching(c, setting, B, centre, executor):
            if not found.keys() <= outcomes.keys():
                outcomes.update(found)
                table = _table(c, outcomes)
            yield 0.95 * (k + done) / len(c.sizes), table
        centre = centre if np.isnan(table.best[k]) else float(table.best[k])
    yield 1.0, _whole(c, outcomes)


def run(config=Config(), executor=None):
    """The sweep and what follows from it; see Result."""
    return last(running(config, executor))


# ------------------------------------------------------------------ the sweep

def _searching(c, setting, B, centre, executor):
    """Yield (fraction, outcomes) for one B, and search on from the best rate so far until its neighbours are known."""
    tried, wanted, found = set(), {centre / 2, centre, 2 * centre, c.fixed}, {}
    for k in range(c.rounds + 1):
        tasks = [Task(B, lr, 1000 * c.seed + s) for lr in wanted for s in range(c.seeds)]
        chunk = c.seeds * (4 if B < 50 else 1)          # replicas are nearly free at a small B
        for done, more in sweeping(setting, tasks, executor, chunk=chunk):
            yield 1 - 0.5 ** k * (1 - done / 2), {**found, **more}
        found, tried = {**found, **more}, tried | wanted
        best = _best(*_steps(c, B, sorted(tried), found))
        wanted = ({best / 2, 2 * best} if best else {min(tried) / 2, 2 * max(tried)}) - tried
        if not wanted:
            return


def _steps(c, B, rates, outcomes):
    """(rates, steps[lr,seed]), nan where the target was not reached."""
    tasks = [[Task(B, lr, 1000 * c.seed + s) for s in range(c.seeds)] for lr in rates]
    reached = lambda t: t in outcomes and outcomes[t].status == "reached"
    return rates, np.array([[outcomes[t].steps if reached(t) else np.nan for t in row] for row in tasks])


def _best(rates, steps):
    """The rate with the least geometric mean of steps, or None."""
    mean = np.log(steps).mean(axis=1)
    return None if np.isnan(mean).all() else rates[int(np.nanargmin(mean))]


def _table(c, outcomes):
    rates = sorted({t.lr for t in outcomes} | {c.fixed})
    steps = np.array([_steps(c, B, rates, outcomes)[1] for B in c.sizes])
    kinds = ("reached", "not reached", "diverged")
    count = Counter((t.B, t.lr, o.status) for t, o in outcomes.items())
    status = np.array([[[count[B, lr, kind] for kind in kinds] for lr in rates] for B in c.sizes])
    best = [_best(rates, s) for s in steps]
    tried = [[lr for lr, n in zip(rates, row.sum(axis=1)) if n] for row in status]
    edges = tuple(B for B, lr, own in zip(c.sizes, best, tried) if lr and not min(own) < lr < max(own))
    retuned = np.array([s[rates.index(lr)] if lr else np.full(c.seeds, np.nan) for lr, s in zip(best, steps)])
    return Result(c.sizes, tuple(rates), steps, status, np.array(best, dtype=float), retuned, steps[:, rates.index(c.fixed)], edges)


# ------------------------------------------------------------------ what follows from it

def _whole(c, outcomes):
    table, rng = _table(c, outcomes), np.random.default_rng(c.seed)
    if np.isnan(table.retuned).any():
        return replace(table, verdicts=_unmeasured(c, table))
    samples = np.concatenate([np.arange(c.seeds)[None], rng.integers(c.seeds, size=(c.draws, c.seeds))])
    log_S = retuned(table.steps, samples)
    slope = np.gradient(log_S, np.log(c.sizes), axis=1)
    extra = np.exp(log_S - log_S[:, :1]) * np.array(c.sizes) / c.sizes[0]
    S_min, B_crit, misfit = hyperbola(c.sizes, log_S)
    fit = Fit(_estimate(S_min), _estimate(S_min * B_crit), _estimate(B_crit), float(misfit[0]))
    seconds = np.array([np.median([o.seconds / o.steps for o in outcomes.values() if o.task.B == B and o.steps]) for B in c.sizes])
    result = replace(table, slope=tuple(map(_estimate, slope.T)), extra=tuple(map(_estimate, extra.T)), fit=fit,
                     noise=_noise(c, table, samples), step_seconds=seconds,
                     **dict(zip(("t0", "t1"), nnls(np.array([1 / seconds, c.sizes / seconds]).T, np.ones(len(c.sizes)))[0].tolist())))
    return replace(result, verdicts=_verdicts(c, result))


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


def _estimate(values):
    """The first is the value, the others are its bootstrap."""
    return Estimate(float(values[0]), *(float(q) for q in np.quantile(values[1:], (0.025, 0.975))))


def _noise(c, table, samples):
    """Noise along one run for each seed at the middle batch size, with its best rate."""
    k = len(c.sizes) // 2
    lr, B = float(table.best[k]), c.sizes[k]
    rows = [_along(c, B, lr, table.retuned[k, s], np.random.default_rng((c.seed, s, 7))) for s in range(c.seeds)]
    ratio = lambda rows: sum(t for row in rows for t, _ in row) / sum(q for row in rows for _, q in row)
    means = [np.mean(row, axis=0) for row in rows]
    value = np.array([np.sum([means[s][0] for s in at]) / np.sum([means[s][1] for s in at]) for at in samples])
    return Noise(_estimate(value), ratio([row[:1] for row in rows]), ratio([row[-1:] for row in rows]))


def _along(c, B, lr, steps, rng):
    """[(tr(Sigma), ||g||^2)] at about `probes` looks from the start until the target."""
    digits = data.digits()
    program = MLP.with_index("b").compile(b=B, i=64, j=c.j, y=10).init(rng)
    epochs = 2 * int(np.ceil(steps * B / len(digits.x_train)))
    found = []
    for _, record in training(program, digits, lr, epochs, rng, looks=max(1, round(c.probes * epochs * len(digits.x_train) / B / steps))):
        full = full_gradient(program, x=digits.x_train, target=digits.target_train)
        found.append((full.trace, full.sq_norm))
        if not record.loss[-1] > c.target:
            break
    return found


# ------------------------------------------------------------------ seconds and energy: arithmetic

@dataclass(frozen=True, eq=False)
class Costs:
    """seconds[B] and joules[B] until the target. B_best = sqrt(B_crit t0/t1), where S_min (1 + B_crit/B)(t0 + B t1) is least: the
    geometric mean of the statistical knee B_crit and the hardware knee t0/t1."""

    seconds: np.ndarray
    joules: np.ndarray
    B_best: float


def costs(result, t0, t1, watts=50.0, workers=1):
    """seconds = S(B) (t0 + t1 ceil(B/workers)), joules = workers watts seconds: workers that share a batch evenly, send nothing, and
    draw `watts` each, busy or not. These are assumptions, no measurement; t0 and t1 in seconds may be another machine's."""
    for name, value in (("t0", t0), ("t1", t1), ("watts", watts), ("workers", workers)):
        if not value > 0:
            raise ValueError(f"{name}: expected a number above 0, got {value!r}")
    seconds = np.exp(np.log(result.retuned).mean(axis=1)) * (t0 + t1 * np.ceil(np.array(result.sizes) / workers))
    return Costs(seconds, workers * watts * seconds, float(np.sqrt(result.fit.B_crit.value * t0 * workers / t1)))


# ------------------------------------------------------------------ verdicts

def _unmeasured(c, table):
    never = ", ".join(str(B) for B, row in zip(c.sizes, table.retuned) if np.isnan(row).any())
    because = f"with B = {never} no learning rate brought every seed to a loss of {c.target:g} in the budget."
    return tuple(Verdict(claim, "not measured here", because) for claim in CLAIMS)


def _verdicts(c, r):
    return _limits(c, r), _more_epochs(c, r), _free(c, r)


def _limits(c, r):
    steep, flat = any(s.high < STEEP for s in r.slope), r.slope[-1].low > FLAT
    first, end = c.sizes[0], c.sizes[-1]
    if steep and flat:
        return Verdict("N2", "holds", f"all three regimes show, at retuned rates: near B = {first} steps fall as 1/B, near B = {end} they "
                       f"hardly fall, and B_crit is about {_round(r.fit.B_crit.value)}.")
    if flat:
        return Verdict("N2", "holds when", f"B is large: near B = {end} steps hardly fall, but even near B = {first} they fall more slowly "
                       "than 1/B.")
    return Verdict("N2", "does not hold here", f"up to B = {end} a larger batch still needs fewer steps: no limit was reached.")


def _more_epochs(c, r):
    e, B = r.extra[-1], c.sizes[-1]
    if e.low > 1:
        times = "more than 10 times" if e.low > 12 else "more than twice" if e.low > 2.2 else "more than"
        return Verdict("T10", "holds", f"each with its own best rate, B = {B} needs {times} the epochs of B = {c.sizes[0]}, and if every "
                       "example costs the same energy, so much more energy, however many run in parallel.")
    return Verdict("T10", "does not hold here", f"B = {B} needs no more epochs than B = {c.sizes[0]}, within the interval over seeds.")


def _free(c, r):
    free = [B for k, B in enumerate(c.sizes) if all(e.high < MORE for e in r.extra[1:k + 1])]
    if free == list(c.sizes):
        return Verdict("T11", "holds", f"up to B = {c.sizes[-1]} the epochs stay below {MORE} times those of B = {c.sizes[0]}.")
    half = (MORE - 1) * r.fit.B_crit.value
    if r.fit.misfit < MISFIT and r.extra[-1].low > MORE and (MORE - 1) * r.fit.B_crit.low > c.sizes[0]:
        return Verdict("T11", "holds when", f"B is at most about {_round(half)}, half of B_crit: up to there the epochs stay below {MORE} "
                       "times the fewest; beyond they grow with B.")
    return Verdict("T11", "does not hold here", f"already B = {c.sizes[1]} may need more than {MORE} times the epochs of B = {c.sizes[0]}.")


def _round(x):
    """One digit of a noisy number: 23.1 -> 20."""
    return f"{float(f'{x:.1g}'):g}"
