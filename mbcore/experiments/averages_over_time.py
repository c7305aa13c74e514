"""Q9: "store gradients and average them over iterations": is there more than a little gain for the code, the memory and the work?

Averages of independent gradients of variance sigma^2: of the last N, sigma^2 / N; with the weights (1/N)(1 - 1/N)^k, sigma^2 / (2N - 1)
(optim.Momentum with beta = dampening = 1 - 1/N). The second keeps one array, the first N, and a weight of 1/N is as good as a window
of 2N - 1. But an average over time holds old gradients, and each still enters the parameters with the weight lr in all. Ways that
average something else: the iterates (Polyak-Ruppert), or the last gradient of every example (SAG, SVRG), whose noise goes to 0.

Published: SAG and SVRG converge linearly on smooth strongly convex sums, where SGD does not (M. Schmidt, N. Le Roux and F. Bach 2017,
arXiv:1309.2388; R. Johnson and T. Zhang, NIPS 2013); here, too, both end far closer to the minimum. SVRG and its kin fail on deep networks
(A. Defazio and L. Bottou, NeurIPS 2019, arXiv:1812.04529); on the small network here, too, little or nothing is gained.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize

from .. import data
from ..averages import PolyakRuppert
from ..backend import one_blas_thread
from ..data import batches
from ..equations import equations
from ..gradients import coordinate
from ..objective import Objective, whole
from ..optim import SGD, Momentum
from ..progress import last
from ..schedule import Cosine
from .accumulation import Interval, interval
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q9",)
PUBLISHED = (       # what, where, source
    ("variance sigma^2/(2N-1) of an exponential average of weight 1/N, sigma^2/N of a mean of N", "independent gradients", "closed form"),
    ("error falls linearly, at the cost of one gradient a step", "smooth strongly convex sums, SAG", "arXiv:1309.2388"),
    ("error falls linearly, with no table", "smooth strongly convex sums, SVRG", "NIPS 2013"),
    ("naive use fails", "deep networks, SVRG and related ways", "arXiv:1812.04529"),
)
LINEAR = equations("s[y] = W[y,i] * x[i] - C[y]\nL    = cross_entropy(s[y], target)")       # softmax regression: convex
WINDOW = 10             # gradients averaged by "rolling mean", and by "momentum" with beta = 1 - 1/WINDOW
LITTLE = 2              # a gain that is sure to be above this factor is not little
WAYS = {                # what each way averages
    "SGD": "nothing",
    "decayed rate": "nothing; lr falls to 0 by a half cosine, which keeps no array",
    "rolling mean": f"the last {WINDOW} gradients",
    "momentum": f"gradients, exponentially, with weight 1/{WINDOW}",
    "Polyak-Ruppert": "the iterates of the second half",
    "SAG": "the last gradient of each example",
    "SVRG": "all gradients at an anchor, as a control variate",
}
PLAIN = ("SGD", "decayed rate")         # no average at all


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
    c = config
    result, problems = Result(averages(c), {}), ("softmax regression", "network")
    yield 0.02, result
    for p, problem in enumerate(map(_problem, problems, (c, c))):
        done = ()
        for w, name in enumerate(WAYS):
            for fraction, way in following(name, problem, c):
                part = replace(result, ways={**result.ways, problem.name: (*done, way)})
                yield 0.02 + 0.97 * (p + (w + fraction) / len(WAYS)) / len(problems), part
            done += (_compared(way, done[0] if done else way, c),)
            result = replace(part, ways={**result.ways, problem.name: done})
    yield 1.0, replace(result, verdicts=(_verdict(result),))


# ------------------------------------------------------------------ averages of independent gradients

def gradients(steps=200, streams=1, B=8, seed=0):
    """(g[step, stream], their variance): independent gradients of one weight, of batches of B digits drawn with replacement, and the
    variance that they have, exactly (ddof 0)."""
    d, rng = _one_weight(seed), np.random.default_rng(seed)
    size = whole("steps", steps), whole("streams", streams)
    return sum(d[rng.integers(len(d), size=size)] for _ in range(whole("B", B))) / B, float(d.var() / B)


def averaged(g, N):
    """(rolling, exponential)[step, stream]: the mean of the last N of g, of as many as there are at first, and the exponential average
    of weight 1/N, which starts at g[0], by optim.Momentum."""
    whole("N", N)
    params, rule, exponential = {"w": np.zeros(g.shape[1])}, Momentum(1 - 1 / N, dampening=1 - 1 / N), np.empty_like(g)
    for k in range(len(g)):
        before = params["w"].copy()
        rule.update(params, {"w": g[k]}, 1.0)
        exponential[k] = before - params["w"]
    total = np.cumsum(g, axis=0)
    total[N:] -= total[:-N].copy()
    return total / np.minimum(np.arange(1, len(g) + 1), N)[:, None], exponential


def averages(config):
    """An Average for each N, from the same gradients: after 12 N of them the first one's weight is below 1e-5."""
    g, variance = gradients(12 * max(config.N), config.streams, seed=config.seed)
    return tuple(_average(N, *averaged(g[-12 * N:], N), variance) for N in config.N)


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


# ------------------------------------------------------------------ the ways

@dataclass(frozen=True, eq=False)
class Problem:
    name: str
    equations: object       # with b
    sizes: dict
    data: object
    minimum: float          # of the mean loss over the training set; 0 where it is not known


def _problem(name, c):
    if name == "network":
        return Problem(name, MLP.with_index("b"), {"i": 10, "j": c.j, "y": 4}, data.teacher(c.n, 1000, i=10, seed=c.seed), 0.0)
    made, batch = data.gaussians(c.n, 1000, i=10, distance=2.0, seed=c.seed), LINEAR.with_index("b")
    f = Objective(batch.compile(b=1, i=10, y=4), {"x": made.x_train, "target": made.target_train})

    def loss(theta):
        f.move(theta)
        return f.loss_and_gradient()
    found = minimize(loss, f.start, jac=True, method="L-BFGS-B", options={"maxiter": 10_000, "ftol": 0, "gtol": 1e-10})
    return Problem(name, batch, {"i": 10, "y": 4}, made, float(found.fun))


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
    marks, rows, step = list(np.linspace(budget, 0, c.looks + 1)[:-1]), [], 0

    def look():
        for p, array in (iterates.average if name == "Polyak-Ruppert" and step else net.params).items():
            shown.params[p][...] = array
        rows.append((gradient.spent, *_losses(shown, problem, c)))
        kept = gradient.kept + sum(_nbytes({k: a for k, a in kept.state.items() if k != "steps"}) for kept in (rule, iterates))
        return Way(name, *map(np.array, zip(*rows)), kept // len(lr), kept / _nbytes(net.params))

    with one_blas_thread(), np.errstate(all="ignore"):
        yield 0.0, look()
        for at in orders:
            rule.update(net.params, gradient(np.tile(np.stack(at), (len(c.rates), 1))), lr * schedule(step))
            step += 1
            if name == "Polyak-Ruppert":
                iterates.update(net.params)
            if gradient.spent >= marks[-1]:
                while marks and gradient.spent >= marks[-1]:
                    marks.pop()
                yield min(1.0, gradient.spent / budget), look()
                if not marks:
                    return


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
