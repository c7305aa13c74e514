"""Ways to average over time while training, each on R = rates x seeds networks at once, with what it keeps and what it spends.

Beside averages of gradients there are two that average something else: the iterates (Polyak-Ruppert), or the last gradient of every
example (SAG, SVRG), whose noise goes to 0 at the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from .. import data
from ..averages import PolyakRuppert
from ..backend import one_blas_thread
from ..checking import whole
from ..data import batches
from ..equations import equations
from ..objective import Objective
from ..optim import SGD, Momentum
from ..schedule import Cosine
from .interval import Interval
from .models import MLP

LINEAR = equations("s[y] = W[y,i] * x[i] - C[y]\nL    = cross_entropy(s[y], target)")       # softmax regression: convex
WINDOW = 10             # gradients averaged by "rolling mean", and by "momentum" with beta = 1 - 1/WINDOW
WAYS = {                # what each way averages
    "SGD": "nothing",
    "decayed rate": "nothing; the rate falls to 0, by a half cosine",
    "rolling mean": f"the last {WINDOW} gradients",
    "momentum": f"gradients, exponentially, weight 1/{WINDOW}",
    "Polyak-Ruppert": "the parameters, over the second half",
    "SAG": "the last gradient of each example",
    "SVRG": "all gradients at an older point; corrects a batch's",
}
PLAIN = ("SGD", "decayed rate")         # no average at all


@dataclass(frozen=True, eq=False)
class Way:
    """One way on one problem, for every rate and seed. loss: mean L over the training set, less its minimum where that is known;
    test: mean L of new examples. Gains are ln(SGD's / this way's), paired by seed, each at its own best rate: above 0 is better."""

    name: str
    spent: np.ndarray = field(repr=False)           # [look], gradients of an example computed so far, for one network
    loss: np.ndarray = field(repr=False)            # [look, rate, seed]
    test: np.ndarray = field(repr=False)            # [look, rate, seed]
    nbytes: int                     # kept beside the parameters and their gradient, for one network
    copies: float                   # the same, in arrays of the size of the parameters
    rate: float = float("nan")      # best by the first half of the seeds, by the final loss
    gain: Interval | None = None        # of loss, over the second half
    test_gain: Interval | None = None   # of test, at the rate best for test


@dataclass(frozen=True, eq=False)
class Problem:
    name: str
    equations: object       # with b
    sizes: dict
    data: object
    minimum: float          # of the mean loss over the training set; 0 where it is not known


def made(name, c):
    """The problem of this name: Problem."""
    if name == "network":
        return Problem(name, MLP.with_index("b"), {"i": 10, "j": c.j, "y": 4}, data.teacher(c.n, 1000, i=10, seed=c.seed), 0.0)
    task, batch = data.gaussians(c.n, 1000, i=10, distance=2.0, seed=c.seed), LINEAR.with_index("b")
    f = Objective(batch.compile(b=1, i=10, y=4), {"x": task.x_train, "target": task.target_train})

    def loss(theta):
        f.move(theta)
        return f.loss_and_gradient()
    found = minimize(loss, f.start, jac=True, method="L-BFGS-B", options={"maxiter": 10_000, "ftol": 0, "gtol": 1e-10})
    return Problem(name, batch, {"i": 10, "y": 4}, task, float(found.fun))


def following(name, problem, c):
    """Yield (fraction done, partial Way) while one way of WAYS spends its budget on R = rates x seeds networks at once, in float64."""
    if name not in WAYS:
        raise ValueError(f"name: expected one of {', '.join(WAYS)}, got {name!r}")
    whole("seeds", c.seeds, 4), whole("passes", c.passes)
    net, shown = _networks(problem, c), _networks(problem, c)
    gradient = {"rolling mean": Rolling, "SAG": Table, "SVRG": Anchored}.get(name, Plain)(net, problem.data, c)
    rule = Momentum(1 - 1 / WINDOW, dampening=1 - 1 / WINDOW) if name == "momentum" else SGD()
    budget, lr = c.passes * c.n, np.repeat(c.rates, c.seeds)
    steps = budget // c.B
    schedule, iterates = Cosine(1.0, steps) if name == "decayed rate" else lambda step: 1.0, PolyakRuppert(start=steps // 2)
    streams = np.random.default_rng((c.seed, 1)).spawn(c.seeds)
    orders = zip(*(batches(c.n, c.B, s, drop_last=True, epochs=2 * c.passes) for s in streams))     # the same for every way and rate
    rows, step = [], 0

    def look():
        for p, array in (iterates.average if name == "Polyak-Ruppert" and step else net.params).items():
            shown.params[p][...] = array
        rows.append((gradient.spent, *_losses(shown, problem, c)))
        kept = gradient.kept + sum(_nbytes({k: a for k, a in kept.state.items() if k != "steps"}) for kept in (rule, iterates))
        return Way(name, *map(np.array, zip(*rows)), kept // len(lr), kept / _nbytes(net.params))

    def until(mark):                                        # spends up to the mark; no yield under errstate: threads may change there
        nonlocal step
        with one_blas_thread(), np.errstate(all="ignore"):
            while gradient.spent < mark:
                at = np.tile(np.stack(next(orders)), (len(c.rates), 1))
                rule.update(net.params, gradient(at), lr * schedule(step))
                step += 1
                if name == "Polyak-Ruppert":
                    iterates.update(net.params)
            return look()

    for mark in np.linspace(0, budget, c.looks + 1):
        found = until(mark)
        yield min(1.0, gradient.spent / budget), found


class Plain:
    """The gradient of the batch. spent: gradients of an example computed so far, for one network; kept: bytes, for all R."""

    kept = 0

    def __init__(self, net, examples, c):
        self.net, self.x, self.target, self.c, self.spent, self.steps = net, examples.x_train, examples.target_train, c, 0, 0

    def __call__(self, at):
        found, self.steps = self.average(at), self.steps + 1
        return found

    def average(self, at):
        return self._batch(self.net, at)

    def _batch(self, net, at):
        net.forward(x=self.x[at], target=self.target[at])
        net.backward()
        self.spent += self.c.B
        return {name: net.grads[name].copy() for name in net.params}


class Rolling(Plain):
    """The mean of the last WINDOW gradients."""

    last = ()

    def average(self, at):
        self.last = (*self.last[-WINDOW + 1:], self._batch(self.net, at))
        self.kept = sum(map(_nbytes, self.last))
        return {name: sum(g[name] for g in self.last) / len(self.last) for name in self.net.params}


class Table(Plain):
    """averages.SAG for R networks at once; no example may stand twice in a batch."""

    table = None

    def average(self, at):
        if self.table is None:
            R, n = len(at), len(self.x)
            self.table = {name: np.zeros((R, n, *p.shape[1:])) for name, p in self.net.params.items()}
            self.total = {name: np.zeros_like(p) for name, p in self.net.params.items()}
            self.seen, self.kept = np.zeros(n * R, bool).reshape(R, n), _nbytes(self.table) + _nbytes(self.total)
        self.net.forward(x=self.x[at], target=self.target[at])
        self.spent += self.c.B
        rows = np.arange(len(at))[:, None], at
        self.seen[rows] = True
        for name, table in self.table.items():
            new = self.net.per_example_grads(name)
            self.total[name] += (new - table[rows]).sum(axis=1)
            table[rows] = new
        return {name: total / int(self.seen[0].sum()) for name, total in self.total.items()}


class Anchored(Plain):
    """averages.SVRG for R networks at once, with an anchor every two passes, as its authors advise for convex problems."""

    def average(self, at):
        if self.steps % (2 * len(self.x) // self.c.B) == 0:
            self._anchor()
        here, there = self._batch(self.net, at), self._batch(self.there, at)
        return {name: here[name] - there[name] + self.mean[name] for name in here}

    def _anchor(self):
        if not self.steps:
            self.there = type(self.net)(self.net.graph, self.net.sizes, dtype="float64")
            self.all = self.there.resized(b=len(self.x))
        for name, p in self.net.params.items():
            self.there.params[name][...] = p
        self.all.forward(x=self.x, target=self.target)
        self.all.backward()
        self.mean = {name: self.all.grads[name].copy() for name in self.net.params}
        self.spent += len(self.x)
        self.kept = _nbytes(self.there.params) + _nbytes(self.mean)


def _networks(problem, c):
    """A program for R networks, replica = rate * seeds + seed; a seed starts at the same place for every rate and way."""
    several = problem.equations.with_index("r", parameters=True)
    starts = several.compile(r=c.seeds, b=c.B, **problem.sizes, dtype="float64").init(np.random.default_rng((c.seed, 0)))
    net = several.compile(r=len(c.rates) * c.seeds, b=c.B, **problem.sizes, dtype="float64")
    for name, p in starts.params.items():
        net.params[name][...] = np.tile(p, (len(c.rates),) + (1,) * (p.ndim - 1))
    return net


def _losses(net, problem, c):
    """(training loss less the minimum, test loss), [rate, seed] each."""
    d = problem.data
    train, test = (net.resized(b=len(x)).forward(x=x, target=t).mean(axis=-1).reshape(len(c.rates), -1)
                   for x, t in ((d.x_train, d.target_train), (d.x_test, d.target_test)))
    return np.maximum(train - problem.minimum, 1e-14), test


def _nbytes(arrays):
    return sum(a.nbytes for a in arrays.values())
