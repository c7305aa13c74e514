"""Q7: "minibatch" names two things, and only one of them is random.

Computing: evaluate the loss and its gradient for several examples at once. The size of the compute batch changes no number.
Estimating: take the average over a subsample for the average over all. Its size sets how far off the estimate is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import data
from ..train import accumulated
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q7",)


@dataclass(frozen=True)
class Config:
    sizes: tuple = (8, 32, 128)
    draws: int = 400
    j: int = 16
    seed: int = 0


SMALL = Config()        # quick as it is


@dataclass(frozen=True)
class Result:
    """For each batch size: how far the mean loss of all examples and its gradient move when they are computed in batches
    of that size (computing), and the standard deviation (ddof = 1) of the mean loss of that many examples drawn with
    replacement (estimating), beside sd(L) / sqrt(B), ddof = 0 (predicted). ratio_se: the standard error of their ratio."""

    sizes: tuple
    mean_loss: float
    computing: tuple
    estimating: tuple
    predicted: tuple
    ratio_se: float
    verdicts: tuple


def run(config=Config()):
    """Both meanings on the digits, with an untrained network."""
    c, digits, rng = config, data.digits(), np.random.default_rng(config.seed)
    every = {"x": digits.x_train, "target": digits.target_train}
    n = len(every["x"])
    net = MLP.with_index("b").compile(b=n, i=64, j=c.j, y=10, dtype="float64").init(rng)
    L = net.forward(**every)
    whole = accumulated(net, n, **every)
    computing = tuple(max(abs(_mean_in_parts(net, every, B) - float(L.mean())), _apart(accumulated(net, B, **every), whole)) for B in c.sizes)
    estimating = tuple(float(L[rng.integers(0, n, (c.draws, B))].mean(axis=1).std(ddof=1)) for B in c.sizes)
    predicted = tuple(float(L.std()) / B**0.5 for B in c.sizes)
    se = 1 / (2 * (c.draws - 1)) ** 0.5                 # of a standard deviation, relative, near a normal
    return Result(c.sizes, float(L.mean()), computing, estimating, predicted, se, (_verdict(c, computing, estimating, predicted, se),))


def _mean_in_parts(net, every, B):
    """The mean loss of all examples, computed B at a time: a sum over parts of any size, divided once."""
    n = len(every["x"])
    return sum(float(net.forward(**{name: a[k:k + B] for name, a in every.items()}).sum()) for k in range(0, n, B)) / n


def _apart(g, h):
    return max(float(np.abs(g[name] - h[name]).max()) for name in g)


def _verdict(c, computing, estimating, predicted, se):
    ratio = [e / p for e, p in zip(estimating, predicted)]
    if max(computing) < 1e-10 and all(abs(r - 1) < 4 * se for r in ratio):
        return Verdict("Q7", "holds", f"computed in parts of {', '.join(map(str, c.sizes))}, the mean loss and its gradient stay as they are; "
                       "estimated from B examples, the mean loss is off by sd(L)/sqrt(B).")
    return Verdict("Q7", "does not hold here", f"computing in parts moved a mean by {max(computing):.0e}, "
                   f"or an estimate was off by more than sd(L)/sqrt(B) explains ({max(ratio):.2f}).")
