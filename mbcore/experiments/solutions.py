"""Trained relu networks on the digits, R seeds at once, and how sharp they are: what the experiments on flat minima share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.stats import t as student

from .. import data
from ..backend import one_blas_thread
from ..data import batches
from ..equations import equations
from ..landscape import sharpness
from ..objective import Objective
from ..rescaling import rescaled
from ..train import training

RELU = equations("""
    h[j] = relu(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""")                                                # of a sigmoid there is no rescaling that keeps the function


@dataclass(frozen=True, eq=False)
class Solutions:
    """params: name -> [r,...]. n: training examples. For each seed [r] where it was taken: updates and epochs until then, mean training
    loss, share of test errors, and whether it got there within its updates. walk: (updates [look], distance from the start [look, r])."""

    B: int
    n: int
    params: dict = field(repr=False)
    updates: np.ndarray
    epochs: np.ndarray
    loss: np.ndarray
    test_error: np.ndarray
    reached: np.ndarray
    walk: tuple = field(repr=False)


def examples(n):
    """The digits, with the first n of the training examples."""
    digits = data.digits()
    return replace(digits, x_train=digits.x_train[:n], target_train=digits.target_train[:n])


def solving(n, B, lr, updates, r, j, there, first, rng, rule=lambda net: None, every=10):
    """Yield (fraction done, Solutions so far): each seed's network is taken at the first look at which `there` is true for it.

    there: Record -> [r]. first: the generator of the first parameters, rng: of the batches. rule: program -> an update rule.
    every: updates from look to look. updates: at most about so many, in whole epochs.
    """
    digits, epochs = examples(n), -(-updates * B // n)
    net = RELU.with_index("b").with_index("r", parameters=True).compile(r=r, b=B, i=64, j=j, y=10).init(first)
    start = {name: p.copy() for name, p in net.params.items()}
    found = Solutions(B, n, start, *np.zeros((4, r)), np.zeros(r, bool), (np.zeros(0), np.zeros((0, r))))
    looks = max(1, epochs * -(-n // B) // every)
    for done, record in training(net, digits, lr, epochs, rng, looks=looks, rule=rule(net)):
        found = _updated(found, there(record), net, record, start)
        finished = found.reached.all()
        yield (1.0 if finished else done), found
        if finished:
            return


KEPT = {}                                           # the newest trainings that were carried to their end


def kept(key, solving, most=32):
    """What the generator function `solving` yields, or at once what it ended with when it ran under this key before."""
    if key not in KEPT:
        for done, found in solving():
            yield done, found
        while len(KEPT) >= most:
            KEPT.pop(next(iter(KEPT)))
        KEPT[key] = found
        return
    yield 1.0, KEPT[key]


def _updated(found, there, net, record, start):
    """The solutions, with those seeds that are not there yet moved on to where training is now."""
    new, at = ~found.reached, {"updates": record.steps, "epochs": record.epochs, "loss": record.loss, "test_error": record.test_error}
    distance = sum(((p - start[n]).astype(float) ** 2).reshape(len(new), -1).sum(axis=1) for n, p in net.params.items()) ** 0.5
    return replace(found, params={n: np.where(new.reshape(-1, *[1] * (p.ndim - 1)), p, found.params[n]) for n, p in net.params.items()},
                   **{name: np.where(new, now[-1], getattr(found, name)) for name, now in at.items()},
                   reached=found.reached | there, walk=(record.steps, np.vstack([found.walk[1], distance])))


class Noise:
    """An update rule: SGD on the gradient + (g_a - g_b)/sqrt(2), a and b fresh disjoint batches of B for each seed."""

    def __init__(self, program, dataset, B, rng):
        self.net, self.data, self.B = program.resized(b=B), dataset, B
        streams = rng.spawn(program.sizes["r"])
        self.coming = [batches(len(dataset.x_train), 2 * B, stream, drop_last=True, epochs=10**9) for stream in streams]

    def update(self, params, grads, lr):
        noise = self.drawn()
        for name, p in params.items():
            p -= lr * (grads[name] + noise[name])

    def drawn(self):
        """name -> (g_a - g_b)/sqrt(2)."""
        at = np.stack([next(c) for c in self.coming])
        a, b = self._gradients(at[:, :self.B]), self._gradients(at[:, self.B:])
        return {name: (a[name] - b[name]) * np.float32(0.5**0.5) for name in a}

    def _gradients(self, at):
        self.net.forward(x=self.data.x_train[at], target=self.data.target_train[at])
        self.net.backward()
        return {name: self.net.grads[name].copy() for name in self.net.params}


def network(solutions, r=0):
    """A float64 program of the r-th network, and all its training examples as inputs."""
    digits = examples(solutions.n)
    net = RELU.with_index("b").compile(b=solutions.n, i=64, j=solutions.params["W0"].shape[1], y=10, dtype="float64")
    load(net, {name: p[r] for name, p in solutions.params.items()})
    return net, {"x": digits.x_train, "target": digits.target_train}


def load(net, params):
    """Set all parameters of the program."""
    for name, p in params.items():
        net.params[name][...] = p


@dataclass(frozen=True, eq=False)
class Measures:
    """For each seed [r], over all training examples. sharpness[eps, r]: Keskar's phi in full space, 10 iterations of L-BFGS-B from a
    random point of the box. slope: what the gradient alone makes of the first, 100 sum_p |g_p| eps (|theta_p| + 1) / (1 + f).
    eigenvalue: the largest of the Hessian. change: the largest change of a score by rescaling, in units of the largest score."""

    sharpness: np.ndarray
    slope: np.ndarray
    eigenvalue: np.ndarray
    change: np.ndarray


def measured(solutions, eps, rng, r=0, alpha=1.0):
    """Measures of the r-th network alone, [r] of length 1, rescaled by alpha: other parameters, the same function. eps: a tuple."""
    net, every = network(solutions, r)
    with one_blas_thread():
        s = net.evaluate("s", x=every["x"])
        load(net, rescaled(net, "h", alpha))
        change = abs(net.evaluate("s", x=every["x"]) - s).max() / abs(s).max()
        phi = [[sharpness(net, rng, e, **every).value] for e in eps]
        f = Objective(net, every)
        loss, g = f.loss_and_gradient()
        slope = 100 * (abs(g) * eps[0] * (abs(f.start) + 1)).sum() / (1 + loss)
        return Measures(np.array(phi), *(np.array([value]) for value in (slope, largest_eigenvalue(f, rng), change)))


def measuring(solutions, eps, rng, alpha=1.0):
    """Yield (fraction done, Measures of the seeds so far)."""
    found, streams = [], rng.spawn(len(solutions.loss))
    for r, stream in enumerate(streams):
        found.append(measured(solutions, eps, stream, r, alpha))
        yield (r + 1) / len(streams), Measures(*(np.concatenate([getattr(m, f.name) for m in found], axis=-1) for f in fields(Measures)))


def largest_eigenvalue(f, rng):
    """Of the Hessian of an Objective, by Lanczos on central differences of gradients, to 1e-3.

    The step is 1e-8, not the 1e-5 (1 + |theta|) of landscape.top_eigenvalues: a relu has kinks, and an example that has one within the
    step, as some of 46,000 pairs of an example and a unit do, adds a curvature that is not there.
    """
    def H(v):
        v = np.ravel(v)
        e, sides = 1e-8 / np.linalg.norm(v), []
        for sign in (1, -1):
            f.move(f.start + sign * e * v)
            sides.append(f.loss_and_gradient()[1])
        return (sides[0] - sides[1]) / (2 * e)
    n = len(f.start)
    return float(eigsh(LinearOperator((n, n), matvec=H, dtype=float), 1, which="LA", ncv=8, tol=1e-3,
                       v0=rng.standard_normal(n), return_eigenvectors=False)[0])


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, or another statistic, and its 95 % interval."""

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, differences):
        """The t-interval of paired differences, one for each seed, ddof = 1."""
        d = np.asarray(differences, dtype=float)
        half = student.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
        return cls(float(d.mean() - half), float(d.mean()), float(d.mean() + half))

    def order(self, above="higher", below="lower"):
        """In words: which sign the interval allows."""
        return above if self.low > 0 else below if self.high < 0 else "not resolvably different"
