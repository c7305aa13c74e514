"""N2 T10 T11: a larger batch first saves steps, then saves less, then saves nothing: from there on it only costs examples.

S(B) steps and E(B) = B S(B) examples to a target training loss, at the learning rate that is best for that B, are put beside the
hyperbola of critical_batch, S = S_min (1 + B_crit/B), which has three regimes. S. McCandlish et al. 2018, arXiv:1812.06162;
C. Shallue et al. 2018, arXiv:1811.03600.

Beside their numbers, PUBLISHED: Shallue's three regimes show, in order, and the hyperbola fits within some per cent. B_crit and B_simple
agree in their order of magnitude, as McCandlish's do: theirs has B_simple from 8 times above B_crit (images) to 20 times below it
(autoencoders); ours lie within about 2 times of one another, and at our hardest target B_crit is the larger. Our task is smaller and easier: the shape, not the number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..progress import last
from ..sweep import Setting, Task, sweeping
from .critical_batch import FLAT, REGIMES, STEEP, Result, along, estimate, fitted, noise, retuned
from .models import MLP
from .verdict import Verdict

CLAIMS = ("N2", "T10", "T11")
PUBLISHED = {           # B_crit and B_simple; the regimes
    "arXiv:1812.06162, table 1": {"MNIST": (200, 900), "SVHN": (500, 4000), "CIFAR-10": (900, 2000), "ImageNet": (15000, 30000)},
    "arXiv:1811.03600": REGIMES,
}
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
    steps: int = 240
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
EASY = Config(target=1.0, epochs=0.5, steps=100, looks=20, seeds=4)
TARGETS = {c.target: c for c in (EASY, Config(target=0.6, epochs=1.0, steps=140), Config())}         # a budget for each


def running(config=Config(), executor=None):
    """Yield (fraction, Result so far), from the smallest batch to the largest; slopes, fit, noise and verdicts come at the end."""
    c, outcomes, centre, table = config, {}, config.lr, _table(config, {})
    setting = Setting(MLP, {"i": 64, "j": c.j, "y": 10}, epochs=c.epochs, steps=c.steps, target=c.target, looks=c.looks)
    for k, B in enumerate(c.sizes):
        for done, found in _searching(c, setting, B, centre, executor):
            if not found.keys() <= outcomes.keys():
                outcomes.update(found)
                table = _table(c, outcomes)
            yield 0.9 * (k + done) / len(c.sizes), table
        centre = centre if np.isnan(table.best[k]) else float(table.best[k])
    rows, measured = [], not np.isnan(table.retuned).any()
    for s in range(c.seeds if measured else 0):                     # the noise along one run for each seed, at the middle batch size
        k, rng = len(c.sizes) // 2, np.random.default_rng((c.seed, s, 7))
        rows.append(along(c, c.sizes[k], float(table.best[k]), table.retuned[k, s], rng))
        yield 0.9 + 0.09 * (s + 1) / c.seeds, table
    yield 1.0, _whole(c, table, rows) if measured else replace(table, verdicts=_unmeasured(c, table))


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
    own = np.array([s[rates.index(lr)] if lr else np.full(c.seeds, np.nan) for lr, s in zip(best, steps)])
    return Result(c.sizes, tuple(rates), steps, status, np.array(best, dtype=float), own, steps[:, rates.index(c.fixed)], edges)


def _whole(c, table, rows):
    """The table with what follows from it. The first sample is the seeds themselves, the others are the bootstrap's."""
    samples = np.random.default_rng(c.seed).integers(c.seeds, size=(c.draws, c.seeds))
    samples = np.concatenate([np.arange(c.seeds)[None], samples])
    log_S = retuned(table.steps, samples)
    slope = np.gradient(log_S, np.log(c.sizes), axis=1)
    extra = np.exp(log_S - log_S[:, :1]) * np.array(c.sizes) / c.sizes[0]
    result = replace(table, slope=tuple(map(estimate, slope.T)), extra=tuple(map(estimate, extra.T)), fit=fitted(c.sizes, log_S),
                     noise=noise(rows, samples))
    return replace(result, verdicts=(_limits(c, result), _more_epochs(c, result), _free(c, result)))


# ------------------------------------------------------------------ verdicts

def _unmeasured(c, table):
    never = ", ".join(str(B) for B, row in zip(c.sizes, table.retuned) if np.isnan(row).any())
    because = f"with B = {never} no learning rate brought every seed to a loss of {c.target:g} in the budget."
    return tuple(Verdict(claim, "not measured here", because) for claim in CLAIMS)


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
