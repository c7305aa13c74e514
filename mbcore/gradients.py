"""Statistics of minibatch gradients at fixed parameters, over a whole data set.

The N examples have the gradients d_n = d L[n] / d theta, theta being all parameters as one vector
[p], in the order of program.params. Their mean is g, their covariance Sigma = mean (d_n - g)(d_n -
g)^T (ddof 0). A batch gradient g_B is the mean of B of them, and over batches, with replacement, or
without, where a factor comes in,

    Var(g_B) = Sigma/B   Var(g_B) = (Sigma/B) (N-B)/(N-1)   E||g_B||^2 = ||g||^2 + tr Var(g_B)

Everything runs in float64 on a copy of the parameters, so the caller's program is left as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .backend import one_blas_thread
from .checking import flag, numbers, shown, whole
from .objective import Objective, draws_of, ratio


@dataclass(frozen=True, eq=False)
class FullGradient:
    """g[p], and tr(Sigma) = mean ||d_n - g||^2 over all N examples: ddof 0, in two passes."""

    N: int
    g: np.ndarray = field(repr=False)
    trace: float

    @property
    def sq_norm(self):
        """||g||^2."""
        return float(self.g @ self.g)

    @property
    def noise_scale(self):
        """B_simple = tr(Sigma) / ||g||^2 (McCandlish et al., arXiv:1812.06162), exactly; inf where
        g alone is 0, nan where both are."""
        return ratio(self.trace, self.sq_norm)

    def expected_sq_norm(self, B, replacement=True):
        """E||g_B||^2 = ||g||^2 + tr(Sigma)/B, without replacement times (N-B)/(N-1) in the second
        term."""
        return self.sq_norm + self.trace * _variance_factor(self.N, B, replacement)


def full_gradient(program, **inputs):
    """The mean and the covariance trace of the per-example gradients of these inputs: FullGradient.

    ValueError where an example has no gradient of its own, as with batch normalisation.
    """
    f = Objective(program, inputs)
    with one_blas_thread():
        g = f.finite_gradient()[1]
        return FullGradient(f.N, g, sum(float(((d - g) ** 2).sum()) for d in f.each()) / f.N)


def coordinate(program, name, at, **inputs):
    """d_n[at] of one parameter's entry for every example, [n]: coordinate(net, "W0", (3, 17), x=x,
    target=target)."""
    f = Objective(program, inputs)
    if not isinstance(name, str) or name not in f.program.params:
        raise ValueError(
            f"name: expected a parameter ({', '.join(f.program.params)}), got {shown(name)}"
        )
    shape = f.program.params[name].shape
    several = isinstance(at, (tuple, list)) or getattr(at, "ndim", 0) == 1
    places = [whole("at", k, 0) for k in (at if several else (at,))]
    if len(places) != len(shape) or not all(k < n for k, n in zip(places, shape)):
        raise ValueError(
            f"at: expected one place for each index of {name}, inside {shape}; got {shown(at)}"
        )
    f.finite_gradient()
    column = np.ravel_multi_index(places, shape) if shape else 0
    with one_blas_thread():
        return np.concatenate([d[:, column] for d in f.each([name])])


@dataclass(frozen=True, eq=False)
class BatchMeans:
    """means[draws] of independent batches of B; mean and sd: what theory predicts, sd =
    sigma/sqrt(B), sigma with ddof 0, without replacement times sqrt((N-B)/(N-1))."""

    B: int
    replacement: bool
    means: np.ndarray = field(repr=False)
    mean: float
    sd: float

    @property
    def observed_sd(self):
        """The standard deviation of the means, ddof 1; near a normal its relative standard error is
        1/sqrt(2 (draws-1))."""
        return float(self.means.std(ddof=1))


def batch_means(values, B, draws, rng, replacement=True):
    """Means of `draws` independent batches of B of these numbers [n], each batch drawn afresh from
    all of them."""
    B, replacement = whole("B", B), flag("replacement", replacement)
    values = numbers("values", values, ndim=1)
    if not values.size:
        raise ValueError("values: expected finite numbers [n], one for each example; got none")
    means = np.array(
        [values[at].mean() for at in draws_of(len(values), B, draws, rng, replacement)]
    )
    sd = float(values.std()) * _variance_factor(len(values), B, replacement) ** 0.5
    return BatchMeans(B, replacement, means, float(values.mean()), sd)


@dataclass(frozen=True, eq=False)
class BatchGradients:
    """||g_B||^2 and the cosine of g_B to g for independent batches, [draws] each; expected:
    E||g_B||^2 by theory.

    cosines are nan where g_B or g is 0.
    """

    B: int
    replacement: bool
    sq_norms: np.ndarray = field(repr=False)
    cosines: np.ndarray = field(repr=False)
    expected: float

    @property
    def mean(self):
        """The mean of ||g_B||^2 over the batches."""
        return float(self.sq_norms.mean())

    @property
    def se(self):
        """The standard error of that mean, ddof 1."""
        return float(self.sq_norms.std(ddof=1)) / len(self.sq_norms) ** 0.5


def batch_gradients(program, full, B, draws, rng, replacement=True, **inputs):
    """Gradients of `draws` independent batches of B, beside `full`, the full_gradient of the same
    inputs: BatchGradients."""
    f = Objective(program, inputs)
    B, replacement = whole("B", B), flag("replacement", replacement)
    if not isinstance(full, FullGradient):
        raise TypeError(
            f"full: expected what full_gradient returns for these inputs, got {shown(full)}"
        )
    if full.N != f.N or full.g.shape != f.start.shape:
        raise ValueError(
            f"full: expected the full gradient of these {f.N} examples and {len(f.start)} "
            "parameters, "
            f"got one of {full.N} and {full.g.size}"
        )
    rows = []
    with one_blas_thread():
        here = f.finite_gradient()[1]
        if np.linalg.norm(here - full.g) > 1e-6 * np.linalg.norm(here):
            raise ValueError(
                "full: expected the full gradient of these parameters and inputs, got that of "
                "others"
            )
        for g in f.batch_gradients(B, draws, rng, replacement):
            rows.append((g @ g, cosine(g, full.g)))
    sq_norms, cosines = np.array(rows).T
    return BatchGradients(B, replacement, sq_norms, cosines, full.expected_sq_norm(B, replacement))


def cosine(a, b):
    """a.b / (||a|| ||b||) of two vectors; nan where one is 0."""
    a, b = numbers("a", a, ndim=1), numbers("b", b, ndim=1)
    if a.shape != b.shape:
        raise ValueError(f"b: expected as many numbers as in a, {a.size}, got {b.size}")
    # Divided by powers of 2, which is exact, so that no square is 0 or inf.
    a, b = (np.ldexp(v, -np.frexp(np.abs(v).max(initial=0))[1]) for v in (a, b))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else float("nan")


def _variance_factor(N, B, replacement):
    """Var(g_B) / Sigma: 1/B, without replacement times (N-B)/(N-1)."""
    B, replacement = whole("B", B), flag("replacement", replacement)
    if B > N and not replacement:
        raise ValueError(f"B: expected at most N = {N} without replacement; got {B}")
    return 1 / B if replacement else (N - B) / (max(N - 1, 1) * B)
