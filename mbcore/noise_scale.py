"""The noise scale, estimated: B_simple from two batch sizes, and B_noise by Hessian-vector
products.

S. McCandlish et al., An Empirical Model of Large-Batch Training, arXiv:1812.06162. g is the mean of
the per-example gradients d_n and Sigma their covariance. Exactly, from per-example gradients,
B_simple = tr(Sigma)/||g||^2 is full_gradient(...).noise_scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .backend import one_blas_thread
from .checking import generator, whole
from .derivatives import coupling
from .objective import Objective, draws_of, ratio


@dataclass(frozen=True, eq=False)
class TwoBatch:
    """McCandlish's two-batch estimates, one for each pair: sq_norms[pairs] of ||g||^2,
    traces[pairs] of tr(Sigma). Both are unbiased; single ones may be negative. interval: a
    percentile bootstrap over pairs of noise_scale, 95 %."""

    B_small: int
    B_big: int
    sq_norms: np.ndarray = field(repr=False)
    traces: np.ndarray = field(repr=False)
    interval: tuple

    @property
    def noise_scale(self):
        """The ratio of the two means; inf where that of ||g||^2 is not positive, as when too few
        pairs were taken, and nan where both are 0: no example has a gradient."""
        return ratio(self.traces.mean(), self.sq_norms.mean())

    @property
    def mean_of_ratios(self):
        """The mean of each pair's own ratio: not what to do. It is biased, and wild where an
        estimate of ||g||^2 is near 0."""
        return float((self.traces / self.sq_norms).mean())


def two_batch(program, B_small, B_big, pairs, rng, **inputs):
    """B_simple without per-example gradients, as a data-parallel run has it (arXiv:1812.06162,
    appendix A.1): TwoBatch.

        ||g||^2   ~ (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
        tr(Sigma) ~ (|G_small|^2 - |G_big|^2) / (1/B_small - 1/B_big)

    Refused where a batch's gradient is no mean of its examples' own, as with batch normalisation.
    B_big is a multiple of B_small: G_big is the mean of B_big/B_small small batches, drawn
    independently with replacement, and |G_small|^2 the mean of their squared norms.
    """
    B_small = whole("B_small", B_small)
    B_big = whole("B_big", B_big)
    pairs = whole("pairs", pairs, 2, 10**9)
    f, workers = Objective(program, inputs), B_big // B_small
    mixed = coupling(f.program.graph)
    if mixed:
        raise ValueError(
            f"program: {mixed}, so a batch's gradient is no mean of its examples' gradients, and "
            "they have no noise scale"
        )
    if workers < 2 or B_big % B_small:
        raise ValueError(f"B_big: expected 2, 3, ... times B_small = {B_small}; got {B_big}")
    sq_norms, traces = np.empty(pairs), np.empty(pairs)
    with one_blas_thread():
        f.finite_gradient()
        coming = f.batch_gradients(B_small, pairs * workers, rng)
        for k in range(pairs):
            parts = np.array([next(coming) for _ in range(workers)])
            small, big = (parts * parts).sum(axis=1).mean(), (parts.mean(axis=0) ** 2).sum()
            sq_norms[k] = (B_big * big - B_small * small) / (B_big - B_small)
            traces[k] = (small - big) / (1 / B_small - 1 / B_big)
    ratios = [
        ratio(traces[at].mean(), sq_norms[at].mean())
        for at in draws_of(pairs, pairs, 2000, rng, True)
    ]
    low, high = np.quantile(ratios, (0.025, 0.975), method="nearest")
    return TwoBatch(B_small, B_big, sq_norms, traces, (float(low), float(high)))


@dataclass(frozen=True)
class HessianNoise:
    """trace: tr(H Sigma), estimated from `probes` with its standard error; curvature: g^T H g,
    exactly."""

    trace: float
    trace_se: float
    curvature: float
    probes: int

    @property
    def noise_scale(self):
        """B_noise = tr(H Sigma) / (g^T H g); nan where the loss does not curve upwards along g, so
        that no step is the best."""
        return self.trace / self.curvature if self.curvature > 0 else float("nan")

    @property
    def se(self):
        """The standard error of noise_scale."""
        return self.trace_se / self.curvature if self.curvature > 0 else float("nan")


def hessian_noise(program, rng, probes=50, **inputs):
    """B_noise of McCandlish et al. (arXiv:1812.06162) by Hessian-vector products over all examples:
    HessianNoise.

    tr(H Sigma) = E v^T H v for v = sum_n z_n (d_n - g) / sqrt(N), z_n = +-1 at random (Hutchinson):
    the mean over the probes, its standard error sd/sqrt(probes) with ddof 1. One pass makes every
    v.
    """
    f, rng, probes = Objective(program, inputs), generator(rng), whole("probes", probes, 2, 10**6)
    with one_blas_thread():
        g = f.finite_gradient()[1]
        v = 0.0
        for d in f.each():
            v = v + rng.choice((-1.0, 1.0), (probes, len(d))) @ (d - g)
        found = np.array([u @ f.hessian_times(u) for u in v]) / f.N
        return HessianNoise(
            float(found.mean()),
            float(found.std(ddof=1)) / probes**0.5,
            float(g @ f.hessian_times(g)),
            probes,
        )
