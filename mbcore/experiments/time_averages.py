"""Averages of gradients over time: how quiet they are where the parameters stand still, and how stale where they move.

Of independent gradients of variance sigma^2, the mean of the last N has sigma^2 / N, and the one with the weights (1/N)(1 - 1/N)^k
has sigma^2 / (2N - 1): optim.Momentum with beta = dampening = 1 - 1/N. In training each of the N gradients belongs to other parameters,
and the average is off by what the gradient has changed since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..checking import whole
from ..gradients import coordinate
from ..optim import SGD, Momentum
from .backpropagation import gradient
from .models import MLP


@dataclass(frozen=True)
class Average:
    """Variances (ddof 1) over streams of an average at the end of a stream, over that of one gradient (ddof 0, exact),
    with their standard errors, beside the closed form."""

    N: int
    rolling: float
    rolling_se: float
    rolling_theory: float           # 1/N
    exponential: float
    exponential_se: float
    exponential_theory: float       # 1/(2N-1)


def gradients(steps=200, streams=1, B=8, seed=0):
    """(g[step, stream], their variance): independent gradients of one weight, of batches of B digits drawn with replacement, and the
    variance that they have, exactly (ddof 0)."""
    d, rng = _one_weight(seed), np.random.default_rng(seed)
    size = whole("steps", steps), whole("streams", streams)
    return sum(d[rng.integers(len(d), size=size)] for _ in range(whole("B", B))) / B, float(d.var() / B)


def averaged(g, N):
    """(rolling, exponential)[step, ...]: the mean of the last N of g, of as many as there are at first, and the exponential average
    of weight 1/N, which starts at g[0], by optim.Momentum."""
    whole("N", N)
    params, rule, exponential = {"w": np.zeros(g.shape[1:])}, Momentum(1 - 1 / N, dampening=1 - 1 / N), np.empty_like(g)
    for k in range(len(g)):
        before = params["w"].copy()
        rule.update(params, {"w": g[k]}, 1.0)
        exponential[k] = before - params["w"]
    total = np.cumsum(g, axis=0)
    total[N:] -= total[:-N].copy()
    return total / np.minimum(np.arange(1, len(g) + 1), N).reshape(-1, *[1] * (g.ndim - 1)), exponential


def averages(windows, streams, seed=0):
    """An Average for each N, from the same gradients: after 12 N of them the first one's weight is below 1e-5."""
    g, variance = gradients(12 * max(windows), streams, seed=seed)
    return tuple(_average(N, *averaged(g[-12 * N:], N), variance) for N in windows)


def _average(N, rolling, exponential, variance):
    found = []
    for values in (rolling[-1], exponential[-1]):
        squares = (values - values.mean()) ** 2                 # their spread gives the standard error of the variance
        found.append((float(values.var(ddof=1) / variance), float(squares.std(ddof=1) / len(squares) ** 0.5 / variance)))
    return Average(N, *found[0], 1 / N, *found[1], 1 / (2 * N - 1))


def _one_weight(seed):
    """The gradient of one weight for each digit, [n], at the start of training."""
    digits = data.digits()
    net = MLP.with_index("b").compile(b=32, i=64, j=8, y=10).init(np.random.default_rng(seed))
    return coordinate(net, "W1", (3, 4), x=digits.x_train, target=digits.target_train)


# ------------------------------------------------------------------ in training

@dataclass(frozen=True, eq=False)
class Stream:
    """One training run by plain SGD: at each step the gradient g[step, p] of its batch, and true[step, p] of all the examples."""

    lr: float
    g: np.ndarray = field(repr=False)
    true: np.ndarray = field(repr=False)

    def errors(self, windows, first=0.25):
        """N -> (rolling, exponential): E||average - true||^2 / E||g - true||^2 over the steps after the first quarter."""
        start = max(int(first * len(self.g)), max(windows))
        off = lambda average: ((average - self.true[start:]) ** 2).sum(axis=-1).mean(axis=-1)
        one, total = off(self.g[start:]), np.cumsum(self.g, axis=0)
        rolling = [off((total[start:] - total[start - N:-N]) / N) / one for N in windows]
        return dict(zip(windows, zip(map(float, rolling), map(float, self._exponential(windows, start) / one))))

    def _exponential(self, windows, start):
        """E||average - true||^2 of the exponential averages of all these weights 1/N, [N], carried along together."""
        weight, average, found = 1 / np.array(windows)[:, None], np.tile(self.g[0], (len(windows), 1)), 0.0
        for k in range(1, len(self.g)):
            average += weight * (self.g[k] - average)
            if k >= start:
                found = found + ((average - self.true[k]) ** 2).sum(axis=1)
        return found / (len(self.g) - start)


def streaming(lr, steps=240, n=300, B=8, j=8, seed=0, looks=12):
    """Yield (fraction done, Stream so far): SGD on n digits, batches of B drawn with replacement; at lr = 0 the parameters stand still."""
    digits, rng = data.digits(), np.random.default_rng((seed, 1))
    net = MLP.with_index("b").compile(b=B, i=64, j=j, y=10, dtype="float64").init(np.random.default_rng(seed))
    every, rule, x, target = net.resized(b=n), SGD(), digits.x_train[:n].astype(float), digits.target_train[:n]
    g, true = np.zeros((2, whole("steps", steps), sum(p.size for p in net.params.values())))
    marks = np.linspace(0, steps, looks + 1).round().astype(int).tolist()
    for before, after in zip(marks, marks[1:]):
        with one_blas_thread():
            for k in range(before, after):
                at = rng.integers(n, size=B)
                true[k], g[k] = gradient(every, x=x, target=target), gradient(net, x=x[at], target=target[at])
                rule.update(net.params, net.grads, float(lr))
        yield after / steps, Stream(lr, g[:after], true[:after])
