"""Q9: "store gradients and average them over iterations": is there more than a little gain for the code, the memory and the work?

`time_averages` has averages of independent gradients beside the closed forms, `ways` the ways to train with them. The exponential
average keeps one array, the mean of the last N keeps N, and a weight of 1/N is as good as a window of 2N - 1. But an average over time
holds old gradients, and each still enters the parameters with the weight lr in all.

Published: SAG and SVRG converge linearly on smooth strongly convex sums, where SGD does not (M. Schmidt, N. Le Roux and F. Bach 2017,
arXiv:1309.2388; R. Johnson and T. Zhang, NIPS 2013); here, too, both end far closer to the minimum. SVRG and its kin fail on deep networks
(A. Defazio and L. Bottou, NeurIPS 2019, arXiv:1812.04529); on the small network here, too, little or nothing is gained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..progress import last
from .interval import interval
from .time_averages import averages
from .verdict import Verdict
from .ways import PLAIN, WAYS, following, made

CLAIMS = ("Q9",)
PUBLISHED = (       # what, where, source
    ("variance sigma^2/(2N-1) of an exponential average of weight 1/N, sigma^2/N of a mean of N", "independent gradients", "closed form"),
    ("error falls linearly, at the cost of one gradient a step", "smooth strongly convex sums, SAG", "arXiv:1309.2388"),
    ("error falls linearly, with no table", "smooth strongly convex sums, SVRG", "NIPS 2013"),
    ("naive use fails", "deep networks, SVRG and related ways", "arXiv:1812.04529"),
)
LITTLE = 2              # a gain that is sure to be above this factor is not little


@dataclass(frozen=True)
class Config:
    N: tuple = (1, 2, 4, 8, 16, 32)     # windows
    streams: int = 3000                 # of independent gradients, for each N
    n: int = 300                        # training examples of both problems
    B: int = 25
    passes: int = 20                    # the budget of each way: passes * n gradients of an example
    rates: tuple = tuple(2.0**k for k in range(-4, 5))
    seeds: int = 10                     # replicas for each rate: half of them choose a way's rate, the others are compared
    looks: int = 5
    j: int = 8
    seed: int = 0


SMALL = Config(N=(1, 4, 16), streams=1000, n=200, passes=15, rates=(1 / 4, 1.0, 4.0), seeds=8, looks=1)     # fewer of all


@dataclass(frozen=True)
class Result:
    """averages: an Average for each N. ways: problem -> (Way, ...), SGD first."""

    averages: tuple = ()
    ways: dict = None
    verdicts: tuple = ()


def run(config=Config()):
    """All of it; see Result."""
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, partial Result): the averages, then way by way, each as it goes."""
    c, names = config, ("softmax regression", "network")
    result = Result(averages(c.N, c.streams, c.seed), {})
    yield 0.02, result
    for p, problem in enumerate(made(name, c) for name in names):
        done = ()
        for w, name in enumerate(WAYS):
            for fraction, way in following(name, problem, c):
                part = replace(result, ways={**result.ways, problem.name: (*done, way)})
                yield 0.02 + 0.97 * (p + (w + fraction) / len(WAYS)) / len(names), part
            done += (_compared(way, done[0] if done else way, c),)
            result = replace(part, ways={**result.ways, problem.name: done})
    yield 1.0, replace(result, verdicts=(_verdict(result),))


# ------------------------------------------------------------------ comparisons

def _compared(way, sgd, c):
    """The way with its gains over SGD."""
    half = c.seeds // 2
    (a, gain), (_, test_gain) = (_gain(np.log(getattr(sgd, what)[-1]), np.log(getattr(way, what)[-1]), half) for what in ("loss", "test"))
    return replace(way, rate=c.rates[a], gain=gain, test_gain=test_gain)


def _gain(sgd, way, half):
    """(place of the way's best rate, Interval of the gain): rates by the first half of the seeds, the gain by the others."""
    a, b = (np.nan_to_num(losses[:, :half].mean(axis=1), nan=np.inf).argmin() for losses in (way, sgd))
    return int(a), interval((sgd[b] - way[a])[half:])


def _verdict(r):
    off = [abs(found - theory) / se for a in r.averages for found, theory, se in (
        (a.rolling, a.rolling_theory, a.rolling_se), (a.exponential, a.exponential_theory, a.exponential_se))]
    if max(off) > 5:
        return Verdict("Q9", "contested", "the averages of independent gradients do not even have the variances of theory here.")
    goals = {f"{what} of the {problem}": [(w.name, getattr(w, gain)) for w in ways[1:]]
             for problem, ways in r.ways.items() for what, gain in (("training loss", "gain"), ("test loss", "test_gain"))}
    large = {goal: [name for name, gain in found if gain.low > np.log(LITTLE)] for goal, found in goals.items()}
    averaging = {goal: [name for name in names if name not in PLAIN] for goal, names in large.items()}
    if all(averaging.values()):
        return Verdict("Q9", "does not hold here", f"an average over time gains more than {LITTLE}x over plain SGD everywhere.")
    if not any(averaging.values()):
        sure = all(gain.high < np.log(LITTLE) for found in goals.values() for name, gain in found if name not in PLAIN)
        return Verdict("Q9", "holds" if sure else "contested", f"no average over time is sure to gain {LITTLE}x over plain SGD.")
    little = ", ".join(goal for goal in goals if not averaging[goal])
    said = "; ".join(_said(goal, large[goal]) for goal in goals if averaging[goal])
    return Verdict("Q9", "holds when", f"the exact minimum of a sum is not the goal: {said}; on the {little} no average does.")


def _said(goal, names):
    """One goal in words."""
    averaging, plain = ([n for n in names if (n in PLAIN) == p] for p in (False, True))
    also = f", as the {', '.join(plain)} does, which stores nothing" if plain else ""
    return f"on the {goal}, {', '.join(averaging)} end more than {LITTLE}x closer to the minimum than plain SGD{also}"
