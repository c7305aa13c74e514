"""Q3: two optimiser steps of 5 cost what one step of 10 in two passes costs; do they "usually get farther"?

Both arms see the same examples in the same order: one step takes the mean over the 10 that the two steps take 5 by 5. At one learning
rate two small steps move about twice as far as one, so the same rate is not the same pace: a step of 10 at twice the rate is the third
comparison, and each arm at its own best rate the fourth. No published row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..checking import whole
from ..data import batches
from ..progress import last
from ..train import training
from .interval import interval
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q3",)
BATCH = MLP.with_index("b")
ROWS = 128
CLOSE = 1.25            # losses within this factor: as good


@dataclass(frozen=True)
class Config:
    part: int = 5                       # a step on `part` examples, `parts` times, against one on all of them
    parts: int = 2
    rates: tuple = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
    factor: float = 1.0                 # the rate of one step, over that of several
    seeds: int = 16                     # replicas for each rate; the first half chooses an arm's best rate, the second half is compared
    epochs: int = 2                     # passes that the race lasts
    looks: int = 8
    before: tuple = (0, 30)             # passes before the race, in batches of 32 at lr = 1
    j: int = 32
    seed: int = 0


SMALL = Config(rates=(1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0), epochs=1, looks=1)       # fewer rates, one pass


@dataclass(frozen=True, eq=False)
class Race:
    """Training loss [look, rate, seed] of both arms at the same examples seen. Gains are ln(loss of one step / loss of several),
    at the last look, paired by seed: above 0 several steps got farther."""

    before: int             # passes of training before the race
    rates: tuple
    examples: np.ndarray    # [look], seen since the race began; empty while the networks are trained before it
    several: np.ndarray
    one: np.ndarray
    start: dict = field(default=None, repr=False)       # name -> parameters [seed, ...] from which both arms start
    same: tuple = ()        # an Interval for each rate, over all seeds
    scaled: tuple = ()      # (rate, rate of one step = parts x rate, Interval), where the grid has both
    best: tuple = ()        # (rate of several, of one, Interval): each arm's best rate by half the seeds, compared on the other half


@dataclass(frozen=True)
class Result:
    """races: a Race for each entry of config.before."""

    races: tuple = ()
    verdicts: tuple = ()


def run(config=Config()):
    """All of it; see Result."""
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, partial Result) while the races go on."""
    races = ()
    for k, before in enumerate(config.before):
        for fraction, race in racing(replace(config, before=(before,))):
            yield 0.99 * (k + fraction) / len(config.before), Result((*races, race))
        races += (race,)
    yield 1.0, Result(races, (_verdict(config, races),))


def racing(config, start=None):
    """Yield (fraction done, Race so far) after config.before[0] passes of training; intervals at the end.

    start: Race.start of an earlier race with the same before, seeds, j and seed, to save that training.
    """
    c, digits = config, data.digits()
    R, n, one = len(c.rates), len(digits.x_train), whole("part", c.part) * whole("parts", c.parts, 2)
    whole("seeds", c.seeds, 4)                              # two to choose a rate, two for an interval
    share = 0.5 if c.before[0] and start is None else 0.0   # of the time, spent before the race
    race = Race(c.before[0], c.rates, *np.zeros((3, 0)), start)
    if start is None:
        for fraction, start in _starting(c):
            yield share * fraction, race
    race, arms = replace(race, start=start), _arms(c, start)
    lr, streams = np.repeat(c.rates, c.seeds), np.random.default_rng((c.seed, 1)).spawn(c.seeds)
    steps = n // one * c.epochs
    marks = np.linspace(0, steps, c.looks + 1).round().astype(int).tolist()
    orders = (np.stack(at) for at in zip(*(batches(n, one, s, drop_last=True, epochs=c.epochs) for s in streams)))
    looking = [arm.resized(b=ROWS) for arm in arms]
    seen, losses = [0], [[_losses(net, R)] for net in looking]
    for before, after in zip(marks, marks[1:]):             # no yield under errstate: a panel goes on in another thread
        with one_blas_thread(), np.errstate(all="ignore"):
            for at in islice(orders, after - before):
                at = np.tile(at, (R, 1))                    # [r,b], the same examples for every rate
                for k in range(0, one, c.part):
                    arms[0].step(lr, x=digits.x_train[at[:, k:k + c.part]], target=digits.target_train[at[:, k:k + c.part]])
                arms[1].step(c.factor * lr, x=digits.x_train[at], target=digits.target_train[at])
            seen.append(after * one)
            for net, found in zip(looking, losses):
                found.append(_losses(net, R))
        race = replace(race, examples=np.array(seen), several=np.array(losses[0]), one=np.array(losses[1]))
        yield share + (1 - share) * after / steps, race if after < steps else _compared(race, c.parts)


def joined(races, parts=2):
    """Races of single rates from one start, as one race over all of them, with what can be compared then."""
    races = sorted(races, key=lambda race: race.rates)
    both = {arm: np.concatenate([getattr(race, arm) for race in races], axis=1) for arm in ("several", "one")}
    return _compared(replace(races[0], rates=sum((race.rates for race in races), ()), **both), parts)


def _starting(c):
    """Yield (fraction done, parameters [seed, ...] so far) of networks that are trained for before[0] passes."""
    net = BATCH.with_index("r", parameters=True).compile(r=c.seeds, b=32, i=64, j=c.j, y=10).init(np.random.default_rng((c.seed, 0)))
    if not c.before[0]:
        yield 1.0, net.params
        return
    for fraction, _ in training(net, data.digits(), 1.0, c.before[0], np.random.default_rng((c.seed, 2)), looks=10):
        yield fraction, net.params


def _arms(c, start):
    """The two programs of R = rates x seeds networks; replica = rate * seeds + seed."""
    R, several = len(c.rates), BATCH.with_index("r", parameters=True)
    arms = [several.compile(r=R * c.seeds, b=b, i=64, j=c.j, y=10) for b in (c.part, c.parts * c.part)]
    for arm in arms:
        for name, p in start.items():
            arm.params[name][...] = np.tile(p, (R,) + (1,) * (p.ndim - 1))
    return arms


def _losses(net, R):
    """Mean L over the training set, [rate, seed], ROWS examples at a time, which keeps memory small."""
    x, target = data.digits().x_train, data.digits().target_train
    total = sum(net.forward(x=x[k:k + ROWS], target=target[k:k + ROWS]).sum(axis=-1) for k in range(0, len(x), ROWS))
    return (total / len(x)).reshape(R, -1)


# ------------------------------------------------------------------ comparisons

def _compared(race, parts):
    """The race with its intervals, from the losses at the last look."""
    several, one = np.log(race.several[-1]), np.log(race.one[-1])
    half, rates = several.shape[1] // 2, race.rates
    a, b = (np.nan_to_num(arm[:, :half].mean(axis=1), nan=np.inf).argmin() for arm in (several, one))
    pairs = [(k, m) for k in range(len(rates)) for m in range(len(rates)) if np.isclose(rates[m], parts * rates[k])]
    return replace(race, same=tuple(map(interval, one - several)), best=(rates[a], rates[b], interval((one[b] - several[a])[half:])),
                   scaled=tuple((rates[k], rates[m], interval(one[m] - several[k])) for k, m in pairs))


def _verdict(c, races):
    found = [(s, rate, race) for race in races for rate, s in zip(race.rates, race.same)]
    (more, rate, race), (less, rate_less, race_less) = max(found, key=lambda f: f[0].low), min(found, key=lambda f: f[0].high)
    said = [f"at {rate:g} {_when(race)} {c.parts} steps of {c.part} end more than {_step(more.low, -1)}x lower"] if more.sign > 0 else []
    said += [f"at {rate_less:g} {_when(race_less)} one of {c.part * c.parts} surely ends lower"] if less.sign < 0 else []
    signs = [s.sign for s, _, _ in found] + [race.best[2].sign for race in races]
    label = "holds" if min(signs) > 0 else "holds when" if max(signs) > 0 else "does not hold here"
    return Verdict("Q3", label, f"at the same learning rate, {'; '.join(said) or 'no difference shows'}; {_pace(c, races[0])}"
                   f"each at its own best rate, {'; '.join(_best(c, race) for race in races)}.")


def _pace(c, race):
    """Up to which rate one step at `parts` times the rate is as good: what the same rate hides."""
    close = [all(abs(end) < np.log(CLOSE) for end in (s.low, s.high)) for *_, s in race.scaled]
    count = close.index(False) if False in close else len(close)
    return (f"{_when(race)}, one step at {c.parts}x the rate ends within {CLOSE}x of them for every rate up to "
            f"{race.scaled[count - 1][0]:g}; ") if count else ""


def _best(c, race):
    found, when = race.best[2], _when(race)
    if found.sign:
        return f"{when} {f'{c.parts} steps still end' if found.sign > 0 else 'one step still ends'} lower"
    return f"{when} they differ by less than {_step(max(-found.low, found.high), 1)}x"


def _when(race):
    return f"after {race.before} passes" if race.before else "from the start"


def _step(gain, side):
    """exp(gain) rounded up (side 1) or down (-1) to a few steps, so that noise seldom shows."""
    steps = (1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10)
    return next((s for s in steps if s >= np.exp(gain)), 10) if side > 0 else max(s for s in steps if s <= max(1, np.exp(gain)))
