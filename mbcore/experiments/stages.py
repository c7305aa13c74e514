"""The digits network at three times of its training, with the gradient of every example as one matrix, so that a batch is a product."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..gradients import BatchGradients, FullGradient
from ..objective import Objective, draws_of
from ..train import train
from .models import MLP

NAMES = ("start", "mid", "late")


@dataclass(frozen=True)
class Training:
    """epochs: after how many the three stages are looked at. SGD at a constant learning rate, batches without replacement."""

    j: int = 8
    lr: float = 1.0
    B: int = 32
    epochs: tuple = (0, 5, 100)

    def __post_init__(self):
        if len(self.epochs) != len(NAMES) or list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] < 0:
            raise ValueError(f"epochs: expected {len(NAMES)} rising numbers of epochs, for {', '.join(NAMES)}; got {self.epochs!r}")


@dataclass(frozen=True, eq=False)
class Stage:
    """d[n,p]: the gradient of each training example, float64, read-only, columns in the order of net.params. loss: mean L."""

    name: str
    epochs: int
    loss: float
    net: object = field(repr=False)
    d: np.ndarray = field(repr=False)
    full: FullGradient = field(repr=False)

    @functools.cached_property
    def moments(self):
        """Var ||c||^2, ||Sigma||_F^2, g^T Sigma g and E (g.c) ||c||^2 over the N examples, c = d_n - g, ddof 0."""
        g, c = self.full.g, self.d - self.full.g
        sq, along = (c * c).sum(axis=1), c @ g
        with one_blas_thread():
            sigma = c.T @ c / len(c)
        return float(sq.var()), float((sigma * sigma).sum()), float((along**2).mean()), float((along * sq).mean())

    def sd_of_sq_distance(self, B):
        """The standard deviation of ||g_B - g||^2 over batches with replacement, exactly; samples underrate it late in training."""
        fourth, frobenius, _, _ = self.moments
        return ((fourth + 2 * (B - 1) * frobenius) / B**3) ** 0.5

    def sd_of_sq_norm(self, B, replacement=True):
        """The same of ||g_B||^2 = ||g||^2 + 2 g.(g_B - g) + ||g_B - g||^2; without replacement at most this much."""
        _, _, along, third = self.moments
        variance = self.sd_of_sq_distance(B) ** 2 + 4 * along / B + 4 * third / B**2
        return (variance if replacement else variance * (self.full.N - B) / (self.full.N - 1)) ** 0.5


def stage(name, training=Training(), seed=0):
    """The Stage of this name; the first call trains, further ones only look it up."""
    if name not in NAMES:
        raise ValueError(f"stage: expected one of {', '.join(NAMES)}; got {name!r}")
    return _trained(training, seed)[name]


@functools.lru_cache(maxsize=2)
def _trained(c, seed):
    rng, digits, found = np.random.default_rng(seed), data.digits(), {}
    net = MLP.with_index("b").compile(b=c.B, i=64, j=c.j, y=10).init(rng)
    for name, before, after in zip(NAMES, (0, *c.epochs), c.epochs):
        if after > before:
            train(net, digits, c.lr, after - before, rng, looks=1)
        found[name] = _looked_at(name, after, net)
    return found


def every():
    """All training examples, by the names in the equations."""
    digits = data.digits()
    return {"x": digits.x_train, "target": digits.target_train}


def _looked_at(name, epochs, net):
    kept = MLP.with_index("b").compile(**net.sizes, dtype="float64")
    for parameter, array in net.params.items():
        kept.params[parameter][...] = array
    f = Objective(kept, every())
    with one_blas_thread():
        loss, g = f.loss_and_gradient()
        d = np.concatenate(list(f.each()))
    d.setflags(write=False)
    return Stage(name, epochs, loss, kept, d, FullGradient(f.N, g, float(((d - g) ** 2).sum() / f.N)))


def drawn_batches(at, B, draws, rng, replacement=True):
    """g_B of `draws` independent batches at this Stage, [draws, p]: one product with how often n was drawn, over B, [draws, n]."""
    N = len(at.d)
    share = np.array([np.bincount(batch, minlength=N) for batch in draws_of(N, B, draws, rng, replacement)]) / B
    with one_blas_thread():
        return share @ at.d


def sampled(at, B, draws, rng, replacement=True):
    """gradients.BatchGradients of such batches: squared norms, cosines to g, and what theory expects. About 15 ms at 200 draws."""
    G, full = drawn_batches(at, B, draws, rng, replacement), at.full
    sq_norms = (G * G).sum(axis=1)
    with np.errstate(invalid="ignore"):                 # a batch gradient of 0 has no direction: nan
        cosines = G @ full.g / (sq_norms * full.sq_norm) ** 0.5
    return BatchGradients(B, replacement, sq_norms, cosines, full.expected_sq_norm(B, replacement))


def sq_distances(found, full):
    """||g_B - g||^2 of the batches in a BatchGradients, [draws]."""
    return found.sq_norms - 2 * found.cosines * (found.sq_norms * full.sq_norm) ** 0.5 + full.sq_norm


def enough(draws, B, N):
    """More draws where batches are small, N examples in all at least: late in training few examples carry most of the variance."""
    return max(draws, -(-N // B))
