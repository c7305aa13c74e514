"""T1 Q3: the compute batch and the optimisation batch are two sizes, and what follows from keeping them apart.

Accumulation: g = sum_k (n_k / B) g_k over parts of n_k examples is the gradient of all B, to rounding, whatever the parts, and takes
the memory of one part (train.accumulated). The mean of the parts' means, (1/K) sum_k g_k, is not: it gives an example of part k the
weight 1/(K n_k), and where examples hold different numbers of tokens it is wrong again (GitHub issues: huggingface/transformers 24725
and 35203, huggingface/trl 2175). With batch normalisation a part is a different function, not a smaller sum.

The race: Q3 adds that two optimiser steps of 5 cost what one step of 10 in two passes costs, and usually get farther. Both arms
see the same examples in the same order: one step takes the mean over the 10 that the two steps take 5 by 5. No published row.
"""

from __future__ import annotations

import functools
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from .. import data
from ..backend import one_blas_thread
from ..data import batches
from ..equations import equations
from ..objective import whole
from ..progress import last
from ..train import accumulated, train
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q3",)        # T1, which lesson 01 answers, is looked at again
BATCH, WEIGHTED = MLP.with_index("b"), equations(str(MLP).replace("L    =", "l    =") + "\nL = m * l").with_index("b")     # m[b]: weights
NORMALISED = equations("""
    z[j] = W0[j,i] * x[i]
    m[j] = mean(z[j], over=b)
    v[j] = mean((z[j] - m[j])**2, over=b)
    h[j] = sigmoid(G[j] * (z[j] - m[j]) / sqrt(v[j] + 0.001) - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""").with_index("b")
COUNTS = {                                      # tokens in each example, by name: (target[b], rng) -> [b]
    "equal": lambda target, rng: np.ones(len(target), int),
    "drawn": lambda target, rng: rng.geometric(1 / 8, len(target)),             # 8 on average, most of them short
    "by class": lambda target, rng: 1 + 2 * target,                             # what an example says and its length go together
}


@dataclass(frozen=True)
class Config:
    B: int = 50                         # optimisation batch
    compute: tuple = (50, 25, 10, 5, 1)
    ragged: int = 53                    # examples in 10 x 5 + 3
    draws: int = 40                     # batches over which errors are averaged
    part: int = 5                       # the race: a step on `part` examples, `parts` times, against one on all of them
    parts: int = 2
    rates: tuple = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
    seeds: int = 16                     # replicas for each rate; the first half chooses an arm's best rate, the second half is compared
    epochs: int = 2                     # passes that the race lasts
    looks: int = 8
    before: tuple = (0, 30)             # passes before the race, in batches of 32 at lr = 1
    j: int = 32
    seed: int = 0


SMALL = Config(draws=10, rates=(1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0), seeds=8, epochs=1, looks=1)      # fewer draws, rates, seeds, one pass


@dataclass(frozen=True)
class Part:
    """One gradient of B examples, `compute` at a time. Distances to the gradient of one pass are ||g - g_1|| / ||g_1||."""

    compute: int
    passes: int
    nbytes: int             # of the program, known before it is made, float32
    peak: int               # bytes, measured while it was made and run: gradients that are summed and Python's own objects come on top
    float64: float
    float32: float


@dataclass(frozen=True, eq=False)
class Ragged:
    """The gradient of one batch, rightly weighted and as the mean of the parts' means, as vectors [p] in float64."""

    parts: tuple            # examples in each part
    tokens: tuple           # tokens in each part
    right: np.ndarray
    wrong: np.ndarray
    one_pass: float         # ||right - gradient of one pass|| / ||gradient of one pass||

    @property
    def error(self):
        """||wrong - right|| / ||right||."""
        return _apart(self.wrong, self.right)

    @property
    def effective(self):
        """The equally weighted tokens whose mean is as noisy as the mean of means: K^2 / sum_k 1/(tokens of part k), tokens independent."""
        return len(self.tokens) ** 2 / sum(1 / n for n in self.tokens)


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 99 % t-interval (ddof 1)."""

    mean: float
    low: float
    high: float

    @property
    def sign(self):
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, eq=False)
class Race:
    """Training loss [look, rate, seed] of both arms at the same examples seen. Gains are ln(loss of one step / loss of several),
    at the last look, paired by seed: above 0 several steps got farther."""

    before: int             # passes of training before the race
    rates: tuple
    examples: np.ndarray    # [look], seen since the race began
    several: np.ndarray
    one: np.ndarray
    same: tuple = ()        # an Interval for each rate, the same for both arms, over all seeds
    scaled: tuple = ()      # (rate, rate of one step = parts x rate, Interval), where the grid has both
    best: tuple = ()        # (rate of several, of one, Interval): each arm's best rate by half the seeds, compared on the other half


@dataclass(frozen=True)
class Result:
    """parts: Part for each compute batch. errors: name in COUNTS -> Interval of Ragged.error, over draws. normalised: compute ->
    Interval of the distance to one pass with batch normalisation, over draws. races: Race for each entry of config.before."""

    parts: tuple = ()
    errors: dict = None
    weighted: float = 0.0   # the largest Ragged.one_pass
    bias: dict = None       # ||mean wrong - mean right|| / ||mean right|| over draws, and what it would be were wrong unbiased (rms)
    normalised: dict = None
    races: tuple = ()
    verdicts: tuple = ()


def run(config=Config()):
    """All of it; see Result."""
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, partial Result): first parts and errors, then the races as they go."""
    c = config
    with one_blas_thread():
        result = Result(tuple(accumulate(c.B, n, c.j, c.seed) for n in c.compute), *_errors(c),
                        {n: interval([coupled(c.B, n, c.j, c.seed, k) for k in range(c.draws)]) for n in c.compute})
    yield 0.05, result
    for k, before in enumerate(c.before):
        for fraction, race in racing(replace(c, before=(before,))):
            yield 0.05 + 0.94 * (k + fraction) / len(c.before), replace(result, races=(*result.races[:k], race))
        result = replace(result, races=(*result.races[:k], race))
    yield 1.0, replace(result, verdicts=(_equality(c, result), _farther(c, result.races)))


# ------------------------------------------------------------------ one gradient in parts

def accumulate(B, compute, j=32, seed=0):
    """The gradient of B digits, `compute` at a time, beside the one of one pass: Part."""
    inputs, apart = _some(B, (seed, 0)), {}
    compute = whole("compute", compute)
    for dtype in ("float64", "float32"):
        at_once, parts = (_net(BATCH, b, j, seed, dtype) for b in (B, compute))
        apart[dtype] = _apart(_flat(accumulated(parts, compute, **inputs)), _flat(accumulated(at_once, B, **inputs)))
    return Part(compute, -(-B // compute), BATCH.nbytes(b=compute, i=64, j=j, y=10), _peak(B, compute, j, inputs), **apart)


def _peak(B, compute, j, inputs):
    """The most bytes held at once by a program from its making to its last part."""
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    accumulated(BATCH.compile(b=compute, i=64, j=j, y=10), compute, **inputs)
    peak = tracemalloc.get_traced_memory()[1] - before
    if not tracing:
        tracemalloc.stop()
    return peak


def ragged(B=53, compute=5, counts="equal", j=32, seed=0, batch=0):
    """The gradient of so many digits, `compute` at a time, each digit standing for its number of tokens: Ragged.

    The mean over all tokens is the mean over examples of m[b] L[b], m[b] = tokens[b] / (mean tokens of the whole batch). The mean of
    means divides by the tokens of each part instead. seed: of the network; batch: which batch is drawn.
    """
    if counts not in COUNTS:
        raise ValueError(f"counts: expected one of {', '.join(COUNTS)}, got {counts!r}")
    inputs, net = _some(B, (seed, batch)), _net(WEIGHTED, B, j, seed)
    tokens = COUNTS[counts](inputs["target"], np.random.default_rng((seed, batch, 1)))

    def gradient(at, compute):
        return _flat(accumulated(net, compute, m=tokens[at] / tokens[at].mean(), **{name: a[at] for name, a in inputs.items()}))
    right, at_once = gradient(slice(None), compute), gradient(slice(None), B)
    cuts = [slice(k, min(k + compute, B)) for k in range(0, B, compute)]
    wrong = np.mean([gradient(cut, cut.stop - cut.start) for cut in cuts], axis=0)
    parts = [(cut.stop - cut.start, int(tokens[cut].sum())) for cut in cuts]
    return Ragged(*zip(*parts), right, wrong, _apart(right, at_once))


def coupled(B, compute, j=32, seed=0, batch=0):
    """How far accumulation is from one pass with batch normalisation: ||g - g_1|| / ||g_1||, float64."""
    inputs, net = _some(B, (seed, batch)), _net(NORMALISED, B, j, seed)
    return _apart(_flat(accumulated(net, compute, **inputs)), _flat(accumulated(net, B, **inputs)))


def _errors(c):
    """Interval of Ragged.error for each kind of counts, and how far wrong is off on average, both over draws."""
    errors, bias, weighted = {}, {}, 0.0
    for counts in COUNTS:
        drawn = [ragged(c.ragged, c.part, counts, c.j, c.seed, k) for k in range(c.draws)]
        errors[counts] = interval([d.error for d in drawn])
        off, right = np.array([d.wrong - d.right for d in drawn]), np.mean([d.right for d in drawn], axis=0)
        chance = off.var(axis=0, ddof=1).sum() / c.draws            # E||mean off||^2 where E off = 0
        bias[counts] = (float(np.linalg.norm(off.mean(axis=0)) / np.linalg.norm(right)), float(chance**0.5 / np.linalg.norm(right)))
        weighted = max(weighted, *(d.one_pass for d in drawn))
    return errors, weighted, bias


@functools.lru_cache(maxsize=16)
def _net(equations, b, j, seed, dtype="float64"):
    """The network, kept, so that the next value of a slider only runs."""
    return equations.compile(b=b, i=64, j=j, y=10, dtype=dtype).init(np.random.default_rng(seed))


def _some(n, seed):
    """n different digits."""
    digits = _digits()
    at = next(batches(len(digits.x_train), n, np.random.default_rng(seed)))
    return {"x": digits.x_train[at], "target": digits.target_train[at]}


_digits = functools.cache(data.digits)


def _flat(arrays):
    return np.concatenate([a.ravel() for a in arrays.values()])


def _apart(g, h):
    return float(np.linalg.norm(g - h) / np.linalg.norm(h))


def interval(values):
    """The mean of values, one for each seed, with its 99 % t-interval."""
    values = np.asarray(values, dtype=float)
    mean, half = values.mean(), student.ppf(0.995, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Interval(float(mean), float(mean - half), float(mean + half))


# ------------------------------------------------------------------ the race

def racing(config):
    """Yield (fraction done, partial Race) from config.before[0] passes of training; intervals at the end."""
    c, digits = config, _digits()
    R, n, one = len(c.rates), len(digits.x_train), whole("part", c.part) * whole("parts", c.parts, 2)
    whole("seeds", c.seeds, 4)                              # two to choose a rate, two for an interval
    start = _started(c)
    arms = [BATCH.with_index("r", parameters=True).compile(r=R * c.seeds, b=b, i=64, j=c.j, y=10) for b in (c.part, one)]
    for arm in arms:
        for name, p in start.items():                       # replica = rate * seeds + seed
            arm.params[name][...] = np.tile(p, (R,) + (1,) * (p.ndim - 1))
    lr, streams = np.repeat(c.rates, c.seeds), np.random.default_rng((c.seed, 1)).spawn(c.seeds)
    steps = n // one * c.epochs
    marks = set(np.linspace(0, steps, c.looks + 1).round().astype(int).tolist())
    orders = (np.stack(at) for at in zip(*(batches(n, one, s, drop_last=True, epochs=c.epochs) for s in streams)))
    seen, losses = [0], [[_losses(arm, digits, R)] for arm in arms]
    for step, at in enumerate(orders, 1):
        at = np.tile(at, (R, 1))                            # [r,b], the same examples for every rate
        with one_blas_thread(), np.errstate(all="ignore"):
            for k in range(0, one, c.part):
                arms[0].step(lr, x=digits.x_train[at[:, k:k + c.part]], target=digits.target_train[at[:, k:k + c.part]])
            arms[1].step(lr, x=digits.x_train[at], target=digits.target_train[at])
            if step in marks:
                seen.append(step * one)
                for arm, found in zip(arms, losses):
                    found.append(_losses(arm, digits, R))
                race = Race(c.before[0], c.rates, np.array(seen), *map(np.array, losses))
                yield step / steps, race if step < steps else _compared(race, c.parts)


def _started(c):
    """name -> parameters [seed, ...] of networks that were trained for before[0] passes."""
    net = BATCH.with_index("r", parameters=True).compile(r=c.seeds, b=32, i=64, j=c.j, y=10).init(np.random.default_rng((c.seed, 0)))
    if c.before[0]:
        train(net, _digits(), 1.0, c.before[0], np.random.default_rng((c.seed, 2)), looks=1)
    return net.params


def _losses(net, digits, R, rows=128):
    """Mean L over the training set, [rate, seed], `rows` examples at a time, which keeps memory small."""
    n, total = len(digits.x_train), 0
    part = net.resized(b=rows)
    for k in range(0, n, rows):
        total = total + part.forward(x=digits.x_train[k:k + rows], target=digits.target_train[k:k + rows]).sum(axis=-1)
    return (total / n).reshape(R, -1)


def _compared(race, parts):
    """The race with its intervals, from the losses at the last look."""
    several, one = np.log(race.several[-1]), np.log(race.one[-1])
    half, rates = several.shape[1] // 2, race.rates
    a, b = (arm[:, :half].mean(axis=1).argmin() for arm in (several, one))
    pairs = [(k, m) for k in range(len(rates)) for m in range(len(rates)) if np.isclose(rates[m], parts * rates[k])]
    return replace(race, same=tuple(map(interval, one - several)), best=(rates[a], rates[b], interval((one[b] - several[a])[half:])),
                   scaled=tuple((rates[k], rates[m], interval(one[m] - several[k])) for k, m in pairs))


# ------------------------------------------------------------------ verdicts

def _equality(c, r):
    apart = max(*(p.float64 for p in r.parts), r.weighted)
    if apart > 1e-12:
        return Verdict("T1", "does not hold here", f"in parts the gradient of {c.B} examples moves by {apart:.0e} of its length.")
    wrong, worst = r.errors["equal"], min(n for n in c.compute if n > 1)
    norm, off = r.normalised[worst], lambda found: f"about {100 * found.mean:.0f} % off"
    needs = [said for said, found in (
        (f"each part counts by its examples (the mean of means of {c.ragged} in parts of {c.part} is {off(wrong)})", wrong),
        (f"no value couples them (with batch normalisation parts of {worst} are {off(norm)})", norm)) if found.low > 1e-3]
    return Verdict("T1", "holds when" if needs else "holds", f"{' and '.join(needs)}{'; then ' if needs else ''}{c.B} examples in parts of "
                   f"{', '.join(map(str, c.compute))} give the gradient of one pass, to rounding.")


def _farther(c, races):
    found = [(s, rate, race) for race in races for rate, s in zip(race.rates, race.same)]
    best = ", ".join(f"{_step(max(-race.best[2].low, race.best[2].high), 1)}x {_when(race)}" for race in races)
    several, one = (max(found, key=lambda f: f[0].low), min(found, key=lambda f: f[0].high))
    said = [f"at {rate:g} {_when(race)} {arm} more than {_step(gain, -1)}x lower" for (_, rate, race), arm, gain in (
        (several, f"{c.parts} steps of {c.part} end", several[0].low), (one, f"one of {c.part * c.parts} ends", -one[0].high)) if gain > 0]
    signs = [s.sign for s, _, _ in found] + [race.best[2].sign for race in races]
    label = "holds" if min(signs) > 0 else "holds when" if max(signs) > 0 else "does not hold here"
    return Verdict("Q3", label, f"at the same learning rate, {'; '.join(said) or 'no difference shows'}; each at its own best rate, they "
                   f"differ by less than {best}.")


def _when(race):
    return f"after {race.before} passes" if race.before else "from the start"


def _step(gain, side):
    """exp(gain) rounded up (side 1) or down (-1) to a few steps, so that noise seldom shows."""
    steps = (1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10)
    return next((s for s in steps if s >= np.exp(gain)), 10) if side > 0 else max(s for s in steps if s <= max(1, np.exp(gain)))
