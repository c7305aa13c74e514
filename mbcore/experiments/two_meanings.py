"""Q7: "minibatch" names two things, and only one of them is random.

Computing: evaluate the loss and its gradient for several examples at once. The size of the compute batch changes no number.
Estimating: take the average over a subsample for the average over all. Its size sets how far off the estimate is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import data
from .models import MLP
from .verdict import Verdict


@dataclass(frozen=True)
class Config:
    sizes: tuple = (8, 32, 128)
    draws: int = 400
    j: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """For each batch size: how far the mean loss of all examples moves when it is computed in batches of that size
    (computing), and the standard deviation (ddof = 1) of the mean loss of that many examples drawn with replacement
    (estimating). ratio: that deviation over the one predicted, sd(L) / sqrt(B), with its standard error."""

    sizes: tuple
    mean_loss: float
    computing: tuple
    estimating: tuple
    ratio: tuple
    ratio_se: float
    verdicts: tuple


def run(config=Config()):
    """Both meanings on the digits, with an untrained network."""
    c, digits, rng = config, data.digits(), np.random.default_rng(config.seed)
    n = len(digits.x_train)
    net = MLP.with_index("b").compile(b=n, i=64, j=c.j, y=10, dtype="float64").init(rng)
    L = net.forward(x=digits.x_train, target=digits.target_train)
    computing = tuple(float(abs(_mean_in_parts(net, digits, B) - L.mean())) for B in c.sizes)
    estimating = tuple(float(L[rng.integers(0, n, (c.draws, B))].mean(axis=1).std(ddof=1)) for B in c.sizes)
    ratio = tuple(e / float(L.std() / B**0.5) for e, B in zip(estimating, c.sizes))
    se = 1 / (2 * (c.draws - 1)) ** 0.5                 # of a standard deviation, relative, near a normal
    return Result(c.sizes, float(L.mean()), computing, estimating, ratio, se, (_verdict(computing, ratio, se),))


def _mean_in_parts(net, digits, B):
    """The mean loss of all examples, computed B at a time: a sum over parts of any size, divided once."""
    parts = (slice(k, k + B) for k in range(0, len(digits.x_train), B))
    return sum(net.forward(x=digits.x_train[p], target=digits.target_train[p]).sum() for p in parts) / len(digits.x_train)


def _verdict(computing, ratio, se):
    exact, random = max(computing) < 1e-10, all(abs(r - 1) < 4 * se for r in ratio)
    if exact and random:
        return Verdict("Q7", "holds", "computing in batches of any size leaves the mean loss as it is; "
                       "estimating from B examples is off by sd/sqrt(B).")
    return Verdict("Q7", "does not hold here", f"computing moved the mean by {max(computing):.0e}, "
                   f"or an estimate was off by more than sd/sqrt(B) explains ({max(ratio):.2f}).")
