"""Averages of B numbers: first the densities that theory expects, then their histogram, which fills in as averages are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from scipy.stats import kstest, norm

from ..checking import whole
from ..gradients import batch_means
from ..progress import last

BINS = 4            # of a histogram, in a standard deviation
PARTS = 100         # in which averages are drawn where they are watched


@dataclass(frozen=True, eq=False)
class Averages:
    """Theory: single[x] and normal[near] are densities of one number and of an average (its normal limit, a spike where nothing
    scatters), mean and sd what the averages are expected to have, sigma the sd of one number, ddof 0. Data, of `draws` averages:
    heights[bin] over edges, a density; observed: their sd, ddof 1, with its standard error; nan before the first.

    kolmogorov: the largest distance between the averages' distribution function and the normal's; nan until all are drawn.
    """

    B: int
    x: np.ndarray = field(repr=False)
    single: np.ndarray = field(repr=False)
    near: np.ndarray = field(repr=False)
    normal: np.ndarray = field(repr=False)
    mean: float
    sigma: float
    sd: float
    edges: np.ndarray = field(repr=False)
    heights: np.ndarray = field(repr=False)
    draws: int
    observed: float
    observed_se: float
    kolmogorov: float


def densities(variance, B, draws=1000, seed=0):
    """N(0, variance) and averages of B draws from it: Averages. x is the same for every variance up to 10, to compare pictures."""
    return last(densities_running(variance, B, draws, seed, 1))


def densities_running(variance, B, draws=1000, seed=0, parts=PARTS):
    """The same as it is drawn: yields (fraction, Averages), the first without data."""
    if not 0 < variance <= 10:
        raise ValueError(f"variance: expected a number above 0 and at most 10; got {variance!r}")
    sigma, x = variance**0.5, np.linspace(-12, 12, 481)
    rng = np.random.default_rng((seed, whole("B", B)))
    theory = expected(B, 0.0, sigma, sigma / B**0.5, x, norm.pdf(x, 0, sigma))
    yield from drawing(theory, lambda n: rng.normal(0, sigma, (n, B)).mean(axis=1), whole("draws", draws, 2), parts)


def averages_running(values, B, draws, rng, replacement=True, parts=PARTS):
    """Averages of B of these numbers [n] as they are drawn: yields (fraction, Averages), the first without data; single is their
    histogram."""
    probe = batch_means(values, B, 2, np.random.default_rng(0), replacement)     # checks the arguments, and holds what theory says
    sigma = float(values.std())
    bins = BINS * max(1, ceil(np.abs(values - probe.mean).max() / (sigma or 1.0)))
    edges = probe.mean + (sigma or 1.0) * np.arange(-bins, bins + 1) / BINS
    heights = np.histogram(values, edges, density=True)[0]
    x, single = np.repeat(edges, 2)[1:-1], np.repeat(heights, 2)                 # the outline of their histogram
    theory = expected(B, probe.mean, sigma, probe.sd, x, single)
    yield from drawing(theory, lambda n: batch_means(values, B, n, rng, replacement).means, whole("draws", draws, 2), parts)


def expected(B, mean, sigma, sd, x, single):
    """What theory says, as Averages without data."""
    nan, z = float("nan"), np.linspace(-4.5, 4.5, 145)
    if sd < 1e-12:                                      # B = N without replacement: every average is the mean
        near, normal, sd, edges = np.array([mean, mean]), np.array([0.0, 1.0]), 0.0, np.array([mean, mean])
    else:
        near, edges = mean + sd * z, mean + sd * np.arange(-4.5, 4.5 + 1 / BINS, 1 / BINS)
        normal = norm.pdf(near, mean, sd)
    return Averages(B, x, single, near, normal, mean, sigma, sd, edges, np.zeros(len(edges) - 1), 0, nan, nan, nan)


def drawing(theory, draw, draws, parts):
    """Yield (fraction, Averages): theory alone, then with the averages that draw(n) gives, in parts of at least two."""
    yield 0.0, theory
    marks, means = np.linspace(0, draws, min(parts, draws // 2) + 1).astype(int), np.empty(0)
    for before, after in zip(marks, marks[1:]):
        means = np.concatenate([means, draw(int(after - before))])
        yield after / draws, _with_data(theory, means, after == draws)


def _with_data(a, means, whole):
    observed = float(means.std(ddof=1))
    if a.sd == 0:
        heights, se, apart = a.heights, 0.0, 1.0
    else:
        heights = np.histogram(means, a.edges, density=True)[0]
        fourth = float(((means - means.mean()) ** 4).mean())
        se = (max(fourth - observed**4, 0) / len(means)) ** 0.5 / (2 * observed) if observed else 0.0
        apart = float(kstest(means, norm(a.mean, a.sd).cdf).statistic) if whole else float("nan")
    return replace(a, heights=heights, draws=len(means), observed=observed, observed_se=se, kolmogorov=apart)


def factor(B, N=None):
    """sd of an average of B over the sd of one number: 1/sqrt(B); drawn without replacement from N, times sqrt((N-B)/(N-1)). [B]"""
    B = np.asarray(B, dtype=float)
    return B**-0.5 if N is None else (np.maximum(N - B, 0) / (N - 1) / B) ** 0.5
