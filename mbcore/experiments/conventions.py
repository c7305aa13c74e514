"""T8: the 1/B of the average stands in W.grad, in L.grad or in the update; what each does to x.grad, W.grad and the step.

    L.grad[b] = 1/B?      W.grad[j,i] += 1/B? h~.grad[b,j] x[b,i]      W[j,i] -= eta 1/B? W.grad[j,i]
Source: D. McAllester, TTIC 31230, "Minibatching: The Batch Index", 2024: the 1/B is in W.grad. His framework EDF has it in
loss.grad; a framework whose loss is a mean, too. No published numbers. The referee is a central difference of the mean loss.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from .. import data
from ..backend import one_blas_thread
from .backpropagation import Config, apart, factor, flat, put, random_data, true_gradients
from .models import MLP, SLIDES
from .verdict import Verdict

CLAIMS = ("T8",)

CONVENTIONS = {"in W.grad": ("parameters",), "in L.grad": ("loss",), "in the update": ("update",),
               "in W.grad and L.grad": ("parameters", "loss"), "in W.grad and the update": ("parameters", "update"),
               "in L.grad and the update": ("loss", "update"), "in all three": ("parameters", "loss", "update"),
               "nowhere": ()}           # name -> mean_in; the first is the slides'
HIDDEN = 16                             # of the network on digits, 64-16-10

SMALL = Config()


@dataclass(frozen=True)
class Convention:
    """What the places of the 1/B make of three things, each as a factor times what it is with the 1/B in W.grad alone:
    x.grad[b,i] the gradient of L[b], W.grad (all parameters) that of the mean of L, update the step divided by lr.

    off: how far the three are from such multiples, the largest difference over the largest entry.
    """

    name: str
    mean_in: tuple
    B: int
    x: float
    W: float
    update: float
    off: float

    def is_near(self, what, times=1.0):
        """Whether x, W or update is this many times what it should be, to 1e-6."""
        return abs(getattr(self, what) / times - 1) < 1e-6


@dataclass(frozen=True)
class Result:
    """conventions: a Convention for each of CONVENTIONS, against central differences, on random data."""

    B: int
    conventions: tuple
    verdicts: tuple = ()


def run(config=Config()):
    """Every convention in the slides' network, float64, one thread; see Result."""
    params, x, target = random_data(SLIDES, config, config.B)
    with one_blas_thread():
        true = true_gradients(params, x, target)
        found = [_against(true, _passes(SLIDES, params, x, target, mean_in), name, mean_in, config.B)
                 for name, mean_in in CONVENTIONS.items()]
    return Result(config.B, tuple(found), (_verdict(Result(config.B, tuple(found))),))


def _passes(model, params, x, target, mean_in):
    """(gradients, update over lr), each by name, as the program gives them under a convention."""
    sizes = {i: n for name, a in params.items() for i, n in zip(model.parameters[name], a.shape)}
    net = model.with_index("b").compile(b=len(x), dtype="float64", mean_in=mean_in, **sizes)
    put(net, params)
    net.forward(x=x, target=target)
    net.backward()
    grads = {name: net.grads[name].copy() for name in ("x", "h~", *params)}
    net.step(1.0, x=x, target=target)
    return grads, {name: params[name] - net.params[name] for name in params}


def _against(true, passes, name, mean_in, B):
    grads, update = passes
    wanted = (true["x"], flat(true, update), flat(true, update))
    got = (grads["x"], flat(grads, update), flat(update, update))
    factors = [factor(g, w) for g, w in zip(got, wanted)]
    return Convention(name, mean_in, B, *factors, max(apart(g, f * w) for g, f, w in zip(got, factors, wanted)))


def _verdict(r):
    by_places = lambda n: [c for c in r.conventions if len(c.mean_in) == n]
    first = r.conventions[0]
    declared = all(first.is_near(what) for what in ("x", "W", "update"))
    once = all(c.is_near("update") for c in by_places(1))
    twice = all(c.is_near("update", 1 / r.B) for c in by_places(2))
    if declared and once and twice and max(c.off for c in r.conventions) < 1e-6:
        return Verdict("T8", "holds", "with the 1/B in W.grad, W.grad is the gradient of the mean loss and x.grad that of each example's "
                       "own; any one place makes the same update, any two make it B times too small.")
    return Verdict("T8", "does not hold here", "factors of x.grad, W.grad and the update with the 1/B in W.grad are "
                   f"{first.x:.2g}, {first.W:.2g}, {first.update:.2g}, or another place does not make the same update.")


# ---------------------------------------------------------------- live, on digits, for the panels


def convention(B, mean_in):
    """The Convention for the first B of the shuffled digits, against the 1/B in W.grad alone."""
    mean_in = tuple(place for place in ("parameters", "loss", "update") if place in mean_in)
    name, = (name for name, places in CONVENTIONS.items() if places == mean_in)
    declared, _ = _passed(B, ("parameters",), 0)[2:]
    return _against(declared, _passed(B, mean_in, 0)[2:], name, mean_in, B)


@dataclass(frozen=True)
class Contributions:
    """W0.grad[j,i] of a batch of digits, with the 1/B in W.grad.

    g[b] = h~.grad[b,j] and x[b] = x[b,i] as the program has them; each[b] = g[b] x[b]; entry: W0.grad[j,i], their mean.
    row: W0.grad[j,:], the 64 pixels of hidden unit j; target[b]: the digit.
    """

    entry: float
    g: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    each: np.ndarray = field(repr=False)
    row: np.ndarray = field(repr=False)
    target: np.ndarray = field(repr=False)

    @property
    def signs(self):
        """How many of the contributions are above zero, below it, and zero."""
        up, down = int((self.each > 0).sum()), int((self.each < 0).sum())
        return up, down, len(self.each) - up - down

    @property
    def outvoted(self):
        """Whether more than half of the contributions have one sign, and their mean has the other."""
        up, down, _ = self.signs
        return bool(up > len(self.each) / 2 and self.entry < 0 or down > len(self.each) / 2 and self.entry > 0)


def contributions(B, j, i, seed=0):
    """The B contributions to W0.grad[j,i] for the first B of shuffled digits; network 64-16-10, parameters drawn from seed."""
    for name, value, size in (("j", j, HIDDEN), ("i", i, 64)):
        if value not in range(size):
            raise ValueError(f"{name}: expected 0 to {size - 1}, got {value!r}")
    images, target, grads, _ = _passed(B, ("parameters",), seed)
    g, x = grads["h~"][:, j], images[:, i]
    return Contributions(float(grads["W0"][j, i]) + 0.0, g, x, g * x + 0.0, grads["W0"][j], target)       # + 0.0: no -0.0


@functools.lru_cache(maxsize=128)
def _passed(B, mean_in, seed):
    """Forward, backward and a step on B digits; kept, so that another entry is only looked up."""
    rng, digits = np.random.default_rng(seed), data.digits()
    if B not in range(1, len(digits.x_train) + 1):
        raise ValueError(f"B: expected 1 to {len(digits.x_train)} examples, got {B!r}")
    start = MLP.compile(i=64, j=HIDDEN, y=10, dtype="float64").init(rng).params
    at = rng.permutation(len(digits.x_train))[:B]
    images, target = digits.x_train[at].astype(float), digits.target_train[at]
    with one_blas_thread():
        return images, target, *_passes(MLP, start, images, target, mean_in)
