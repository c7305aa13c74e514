"""Trained relu networks on the digits, R seeds at once, and how sharp they are: what the experiments on flat minima share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..data import batches
from ..equations import equations
from ..landscape import sharpness, top_eigenvalues
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
        self.R, self.data, self.B = program.sizes["r"], dataset, B
        sizes = {**program.sizes, "b": B, "r": 2 * self.R}         # replicas for all a, then for all b: one pass for both
        self.net = RELU.with_index("b").with_index("r", parameters=True).compile(**sizes)
        self.coming = [batches(len(dataset.x_train), 2 * B, stream, drop_last=True, epochs=10**9) for stream in rng.spawn(self.R)]

    def update(self, params, grads, lr):
        noise = self.drawn(params)
        for name, p in params.items():
            p -= lr * (grads[name] + noise[name])

    def drawn(self, params):
        """name -> (g_a - g_b)/sqrt(2) at these parameters."""
        at = np.stack([next(c) for c in self.coming])
        at = np.concatenate([at[:, :self.B], at[:, self.B:]])
        for name, p in params.items():
            self.net.params[name].reshape(2, *p.shape)[:] = p
        self.net.forward(x=self.data.x_train[at], target=self.data.target_train[at])
        self.net.backward()
        grads = self.net.grads
        return {name: (grads[name][:self.R] - grads[name][self.R:]) * np.float32(0.5**0.5) for name in params}


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
        f = Objective(net, every)
        loss, g = f.loss_and_gradient()
        slope = 100 * (abs(g) * eps[0] * (abs(f.start) + 1)).sum() / (1 + loss)
        phi = [[sharpness(f, rng, e).value] for e in eps]
        top = top_eigenvalues(f, rng, tol=1e-3).values[0]
        return Measures(np.array(phi), *(np.array([value]) for value in (slope, top, change)))


def measuring(solutions, eps, rng, alpha=1.0):
    """Yield (fraction done, Measures of the seeds so far)."""
    found, streams = [], rng.spawn(len(solutions.loss))
    for r, stream in enumerate(streams):
        found.append(measured(solutions, eps, stream, r, alpha))
        yield (r + 1) / len(streams), Measures(*(np.concatenate([getattr(m, f.name) for m in found], axis=-1) for f in fields(Measures)))
