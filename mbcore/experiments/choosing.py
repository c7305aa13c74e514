"""B5: choose a batch size by trying several on a part of the data, and look, before you commit to the whole data set.

A trial takes a random part of the examples and trains a network with each batch size and a few learning rates until an easy loss; it
takes the B that is there first by the model seconds(B) = S(B) (t0 + B t1), S(B) steps. The whole sweep does the same on all examples,
to a loss that is much lower. The regret of a choice is how many times longer the whole training takes with it than with the best B:

    regret(B) = G(B) / min_B' G(B'),    G(B) = exp mean log [ S(B, seed) (t0 + B t1) ],    S at the best learning rate of each seed

Beside it: a blind choice among the same sizes; and the rule of `advise`, sqrt(B_simple t0/t1), after one training. t0 and t1 are fixed,
no clock is read, so that another machine finds the same. Intervals are percentile bootstraps over trials and seeds, 95 %.
No published row belongs to this claim. A trial cannot choose a batch larger than its part; where the best is larger, the regret grows,
though slowly, as steps hardly fall any more there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .. import data
from ..advise import RATIO, optimum
from ..backend import one_blas_thread
from ..progress import last
from ..trial import way_down
from .models import MLP
from .verdict import Verdict

CLAIMS = ("B5",)
NEARLY = 1.25           # times the best training: up to here a choice is nearly as good
LAST, LOOKS = 100, 10   # steps and looks of the short training for the noise scale


@dataclass(frozen=True)
class Config:
    """part: of the examples, for a trial; easy, target: the mean training loss to be reached in a trial, and in the whole sweep.
    knee: t0/t1 in examples, 250 being about that of this network on one core. seeds: of the whole sweep. A run ends after `epochs`
    passes over all examples and `steps` steps, whichever comes later."""

    sizes: tuple = (4, 8, 16, 32, 64, 128, 256, 512)
    rates: tuple = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    part: float = 0.2
    easy: float = 0.7
    target: float = 0.2
    knee: float = 250.0
    trials: int = 8
    seeds: int = 4
    j: int = 16
    epochs: float = 8.0
    steps: int = 600
    draws: int = 2000
    seed: int = 0

    def __post_init__(self):
        if len(self.sizes) < 3 or list(self.sizes) != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise ValueError(f"sizes: expected at least 3 rising batch sizes, got {self.sizes}")
        if not 0 < self.part < 1:
            raise ValueError(f"part: expected a share between 0 and 1, got {self.part!r}")
        if not 0 < self.target < self.easy:
            raise ValueError(f"easy: expected a loss above the target {self.target!r}, got {self.easy!r}")
        if not self.knee > 0:
            raise ValueError(f"knee: expected a number above 0, got {self.knee!r}")
        if min(self.trials, self.seeds) < 3:
            raise ValueError(f"trials, seeds: expected at least 3 of each, to have intervals, got {self.trials} and {self.seeds}")


SMALL = Config(sizes=(4, 16, 64, 256), rates=(1.0, 2.0, 4.0), target=0.45, easy=0.9, trials=5, seeds=3, j=12,
               draws=500)       # fewer sizes, rates and runs; an easier target


@dataclass(frozen=True, eq=False)
class Regret:
    """Of a way to choose: the geometric mean over its choices, in multiples of the best time, and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Choices:
    """seconds[B]: G(B), in units of t0, and best, where it is least. tried[trial], advised[seed]: what the trials and the rule of `advise`
    chose, and their regrets; blind: that of a size drawn evenly. cost: a trial's seconds over the whole sweep's, by the model."""

    seconds: np.ndarray
    best: int
    tried: tuple
    advised: tuple
    trying: Regret
    advising: Regret
    blind: Regret
    cost: float


@dataclass(frozen=True, eq=False)
class Result:
    """steps[B,seed] of the whole sweep, trial_steps[B,trial], each at its best rate (inf: not reached, or B is larger than the part; nan:
    not yet). best_rates[B]: of the whole sweep, the geometric mean over seeds. B_simple[seed]: of the rule that `advise` follows."""

    sizes: tuple
    steps: np.ndarray = field(repr=False)
    trial_steps: np.ndarray = field(repr=False)
    best_rates: np.ndarray = field(repr=False)
    B_simple: tuple = ()
    choices: Choices | None = None
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction, Result so far): a batch size after the other, the trials and then the whole sweep; the choices at the end."""
    c, d, K = config, data.digits(), len(config.sizes)
    n, rng = len(d.x_train), np.random.default_rng(c.seed)
    parts = np.stack([rng.permutation(n)[:round(c.part * n)] for _ in range(c.trials)])
    whole = np.tile(np.arange(n), (c.seeds, 1))
    result = Result(c.sizes, np.full((K, c.seeds), np.nan), np.full((K, c.trials), np.nan), np.full(K, np.nan))
    for k, B in enumerate(c.sizes):
        trials, _ = raced(c, d, parts, B, c.easy, rng)
        result = replace(result, trial_steps=_put(result.trial_steps, k, trials))
        yield (k + 0.3) / (K + 1), result
        steps, rates = raced(c, d, whole, B, c.target, rng)
        result = replace(result, steps=_put(result.steps, k, steps), best_rates=_put(result.best_rates, k, np.exp(np.log(rates).mean())))
        yield (k + 1) / (K + 1), result
    rate = result.best_rates[K // 2]
    if np.isfinite(rate):
        result = replace(result, B_simple=tuple(noise_scale(c, d, c.sizes[K // 2], float(rate), rng) for _ in range(c.seeds)))
    yield 1.0, replace(result, choices=chosen(c, result, c.knee), verdicts=(_verdict(c, chosen(c, result, c.knee)),))


def run(config=Config()):
    """The trials, the whole sweep, and the regret of each way to choose; see Result."""
    return last(running(config))


def _put(array, k, row):
    array = array.copy()
    array[k] = row
    return array


# ------------------------------------------------------------------ training

def raced(c, d, sets, B, target, rng):
    """(steps, rate), [set] each: for each set of examples a network and its batches, started alike with every rate, until the first
    reaches the target; inf where none does. Looks come at 15 % more steps each; between two, log loss is a straight line."""
    T, R = len(sets), len(c.rates)
    steps, rates, n = np.full(T, np.inf), np.full(T, np.nan), sets.shape[1]
    if B > n:
        return steps, rates
    net, lr = _started(c, B, T, R, rng), np.tile(c.rates, T)
    look, total, done = net.resized(b=n), max(c.steps, int(c.epochs * len(d.x_train) / B)), 0
    every = {"x": np.repeat(d.x_train[sets], R, axis=0), "target": np.repeat(d.target_train[sets], R, axis=0)}
    before, order = None, None
    with one_blas_thread(), np.errstate(all="ignore"):
        while np.isinf(steps).any() and done <= total:
            loss = np.log(look.forward(**every).mean(axis=1, dtype=float)).reshape(T, R)
            loss[~np.isfinite(loss)] = np.inf
            for t in np.flatnonzero(np.isinf(steps) & (loss.min(axis=1) <= np.log(target))):
                r = int(loss[t].argmin())
                share = (before[0][t, r] - np.log(target)) / (before[0][t, r] - loss[t, r]) if before else 1.0
                steps[t], rates[t] = (before[1] + share * (done - before[1]) if before else 1.0), c.rates[r]
            before, following = (loss, done), max(done + 1, round(1.15 * done))
            for s in range(done, following):
                k = s % (n // B)
                order = rng.permuted(sets, axis=1) if k == 0 else order
                at = np.repeat(order[:, k * B:(k + 1) * B], R, axis=0)
                net.step(lr, x=d.x_train[at], target=d.target_train[at])
            done = following
    return steps, rates


def _started(c, B, T, R, rng):
    """T networks, each R times."""
    batch = MLP.with_index("b")
    net = batch.with_index("r", parameters=True).compile(r=T * R, b=B, i=64, j=c.j, y=10)
    for t in range(T):
        single = batch.compile(b=1, i=64, j=c.j, y=10).init(rng)
        for name, p in single.params.items():
            net.params[name][t * R:(t + 1) * R] = p
    return net


def noise_scale(c, d, B, lr, rng):
    """B_simple along one short training on all examples, averaged as `advise` does."""
    net, rows, order = MLP.with_index("b").compile(b=B, i=64, j=c.j, y=10).init(rng), [], None
    marks = sorted({round(LAST * (k / (LOOKS - 1)) ** 2) for k in range(LOOKS)})
    everything = net.resized(b=len(d.x_train))
    with one_blas_thread():
        for s in range(LAST + 1):
            if s in marks:
                loss = float(everything.forward(x=d.x_train, target=d.target_train).mean())
                everything.backward()
                sq_norm = sum(float((everything.grads[name] ** 2).sum()) for name in net.params)
                rows.append((s, loss, float(everything.per_example_sq_norms().mean()) - sq_norm, sq_norm))
            k = s % (len(d.x_train) // B)
            order = rng.permutation(len(d.x_train)) if k == 0 else order
            at = order[k * B:(k + 1) * B]
            net.step(lr, x=d.x_train[at], target=d.target_train[at])
    steps, loss, traces, sq_norms = map(np.array, zip(*rows))
    weights = way_down(steps, loss)
    return float(weights @ traces / (weights @ sq_norms))


# ------------------------------------------------------------------ choosing

def chosen(c, result, knee):
    """What each way chooses on a machine with this knee, and its regret: arithmetic on the steps of `result`, for a slider. None where
    nothing can be chosen, as no batch size reached the target."""
    a_step, rng = 1 + np.array(result.sizes) / knee, np.random.default_rng(c.seed)
    seconds = np.exp(np.log(result.steps).mean(axis=1)) * a_step
    trials = result.trial_steps * a_step[:, None]
    if not np.isfinite(seconds).any() or not np.isfinite(trials).any(axis=0).all() or not result.B_simple:
        return None
    tried = trials.argmin(axis=0)
    wanted = np.array([optimum(RATIO[1] * B, 1.0, 1 / knee, result.sizes[0], result.sizes[-1]) for B in result.B_simple])
    advised = np.abs(np.log(wanted[:, None] / np.array(result.sizes))).argmin(axis=1)
    seeds = np.concatenate([np.arange(c.seeds)[None], rng.integers(c.seeds, size=(c.draws, c.seeds))])
    log_G = np.log(result.steps)[:, seeds].mean(axis=2).T + np.log(a_step)                      # [draw, B]
    regret = lambda choices, again: _regret(log_G - log_G.min(axis=1, keepdims=True), choices, again, rng)
    cost = np.ma.masked_invalid(trials).mean(axis=1).sum() / np.ma.masked_invalid(seconds).sum()
    at = lambda places: tuple(result.sizes[k] for k in places)
    return Choices(seconds, result.sizes[int(seconds.argmin())], at(tried), at(advised), regret(tried, True), regret(advised, True),
                   regret(np.arange(len(seconds)), False), float(cost))


def _regret(log_regret, choices, again, rng):
    """again: whether the choices are drawn again in each draw, as they would be by other trials."""
    n = len(choices)
    own = rng.integers(n, size=(len(log_regret), n)) if again else np.tile(np.arange(n), (len(log_regret), 1))
    own[0] = np.arange(n)
    means = np.exp(np.take_along_axis(log_regret, choices[own], axis=1).mean(axis=1))
    return Regret(float(means[0]), *(float(q) for q in np.quantile(means[1:], (0.025, 0.975), method="nearest")))


def _verdict(c, found):
    if found is None:
        return Verdict("B5", "not measured here", "in the budget no batch size, or no trial, reached its loss.")
    share = f"{round(100 * c.part)} % of the examples"
    if found.trying.low > NEARLY:
        return Verdict("B5", "does not hold here", f"the batch that a short trial on {share} chooses takes more than {NEARLY} times as "
                       "long as the best.")
    if found.trying.high > NEARLY or not found.blind.low > found.trying.high:
        return Verdict("B5", "contested", f"whether a short trial on {share} chooses well is within the spread of its choices.")
    rule = "; the rule of `advise`, from one short training, does as well" if found.advising.high <= NEARLY else ""
    return Verdict("B5", "holds", f"the batch that a short trial on {share} chooses takes at most {NEARLY} times as long as the best, and "
                   f"one chosen blindly among {len(found.seconds)} takes longer{rule}.")
