"""F1 B4: averaging shortens the update down to the full gradient's length and no further; how far that is depends on the noise scale.

    E||g_B||^2 = ||g||^2 + tr(Sigma)/B = mean ||d_n||^2 / B + (1 - 1/B) mean_{m,n} d_m.d_n          (with replacement)

The right side is ||sum_b d_b||^2 / B^2 multiplied out: B squares, and B (B-1) products that are small where gradients point in different
directions. So "the sum cannot offset the denominator" and "the directions differ" say one thing, but for the part of tr(Sigma) that
comes from unequal lengths: tr(Sigma) = Var ||d_n|| + ((mean ||d_n||)^2 - ||g||^2), and only the second is 0 where all directions agree.
F1: M. Foufa, Influence of large batches, 2022. B4: notes on "Batch size".

Published: B_simple = tr(Sigma)/||g||^2 for MNIST is 900 as a mean over training, far less at the start (McCandlish et al. 2018). Here,
8x8 digits: a few tens at the start, several hundred or more late: the shape shows, the number is another network's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from ..backend import one_blas_thread
from ..checking import whole
from ..noise_scale import TwoBatch
from ..objective import Objective
from ..progress import last
from .stages import NAMES, Training, drawn_batches, enough, every, sampled, stage
from .verdict import Verdict

CLAIMS = ("F1", "B4")
PUBLISHED = {"MNIST": (200, 900), "SVHN": (500, 4000), "CIFAR-10": (900, 2000), "ImageNet": (15000, 30000)}
PUBLISHED_SOURCE = "B_crit / B_simple, means over training: S. McCandlish et al. 2018, arXiv:1812.06162, table 1"


@dataclass(frozen=True)
class Config:
    training: Training = Training()
    sizes: tuple = (1, 4, 16, 64, 256, 1024)
    draws: int = 200            # batches for each size; more where B is small, see stages.enough
    step_sizes: tuple = (8, 32, 128)
    step_draws: int = 32        # batches for the progress of one step
    pairs: int = 60             # of batches, for the two-batch estimate
    seed: int = 0               # of the training and the draws


SMALL = Config(Training(epochs=(0, 3, 60)), (4, 32, 128, 512), draws=100, step_sizes=(8, 32), step_draws=8, pairs=20)    # fewer of all


# ------------------------------------------------------------------ live

def norms(B, at="start", replacement=True, draws=200, config=Config()):
    """||g_B||^2 of batches at a stage of training beside theory: gradients.BatchGradients. About 15 ms."""
    return sampled(_stage(at, config), B, draws, np.random.default_rng((config.seed, B, replacement)), replacement)


@dataclass(frozen=True, eq=False)
class NormCurve:
    """Theory for B[k]: root[k] = sqrt(E||g_B||^2), floor = ||g||, noise[k] the share of E||g_B||^2 that tr(Sigma) has.
    noise_scale is the B at which the share is a half, with replacement."""

    B: np.ndarray
    root: np.ndarray
    floor: float
    noise: np.ndarray
    noise_scale: float

    @property
    def squares(self):
        """E||g_B||^2 and its two terms: (sum[k], ||g||^2, tr Var(g_B)[k])."""
        return self.root**2, self.floor**2, self.noise * self.root**2


def norm_curve(at="start", replacement=True, config=Config()):
    """What ||g_B|| is expected to be for B from 1 to N at a stage of training: NormCurve."""
    full = _stage(at, config).full
    B = np.unique(np.geomspace(1, full.N, 60).round().astype(int))
    expected = np.array([full.expected_sq_norm(int(k), replacement) for k in B])
    return NormCurve(B, expected**0.5, full.sq_norm**0.5, 1 - full.sq_norm / expected, full.noise_scale)


@dataclass(frozen=True, eq=False)
class Estimate:
    """B_simple at a stage: exact, and estimated from pairs of batches. estimate: the ratio of the means, with a 95 % bootstrap interval;
    mean_of_ratios and median_of_ratios over pairs; negative: the share of pairs whose estimate of ||g||^2 is below 0."""

    B_small: int
    B_big: int
    exact: float
    estimate: float
    interval: tuple
    mean_of_ratios: float
    median_of_ratios: float
    negative: float


def noise_estimate(at="start", B_big=None, pairs=60, config=Config()):
    """The two-batch estimate of McCandlish et al., appendix A.1, at a stage of training: Estimate. About 50 ms.

    B_big: 16, 24, 32, ...; by default the power of two at or above B_simple, up to 4096. G_big is the mean of 8 batches of
    B_small = B_big/8, |G_small|^2 the mean of their squared norms. A B_big far below B_simple says next to nothing about
    ||g||^2: its estimates go negative, and their ratios wild. noise_scale.two_batch does the same for any program.
    """
    here, rng = _stage(at, config), np.random.default_rng((config.seed, pairs))
    big = 2 ** ceil(min(12, max(4, np.log2(here.full.noise_scale)))) if B_big is None else whole("B_big", B_big, 16)
    if big % 8:
        raise ValueError(f"B_big: expected a multiple of 8, as it is made of 8 small batches; got {big}")
    parts = drawn_batches(here, big // 8, 8 * whole("pairs", pairs, 2), rng).reshape(pairs, 8, -1)
    small_sq, big_sq = (parts * parts).sum(axis=2).mean(axis=1), (parts.mean(axis=1) ** 2).sum(axis=1)
    sq_norms, traces = (8 * big_sq - small_sq) / 7, (small_sq - big_sq) * big / 7
    again = rng.integers(pairs, size=(2000, pairs))
    means = np.where((below := sq_norms[again].mean(axis=1)) > 0, traces[again].mean(axis=1) / below, np.inf)
    low, high = np.quantile(means, (0.025, 0.975), method="nearest")
    found = TwoBatch(big // 8, big, sq_norms, traces, (float(low), float(high)))
    return Estimate(found.B_small, big, here.full.noise_scale, found.noise_scale, found.interval, found.mean_of_ratios,
                    float(np.median(traces / sq_norms)), float((sq_norms < 0).mean()))


def smallest_batch(ratio, at="start", replacement=True, config=Config()):
    """The smallest B with ||g|| / sqrt(tr Var(g_B)) >= ratio: ratio^2 B_simple, rounded up; without replacement it never exceeds N."""
    if not 0 < ratio < float("inf"):
        raise ValueError(f"ratio: expected a number above 0, the signal over the noise; got {ratio!r}")
    full = _stage(at, config).full
    wanted = ratio**2 * full.noise_scale
    return max(1, ceil((wanted if replacement else full.N * wanted / (full.N - 1 + wanted)) * (1 - 1e-12)))


def _stage(at, c):
    return stage(at, c.training, c.seed)


# ------------------------------------------------------------------ the experiment

@dataclass(frozen=True, eq=False)
class AtStage:
    """sq_norm = ||g||^2; trace = tr(Sigma), ddof 0; own = mean ||d_n||^2; pair: mean d_m.d_n over all pairs (n = m among them), from
    the products themselves. lengths, directions: the two shares of trace. cosines, edges: histogram (density) of the cosine of two
    different examples, and mean_cosine.

    found[B]: (with replacement, without), each a BatchGradients; se[B]: of their means, from the exact variance, not the sample's.
    step[B], step_se[B]: by how much one step at the training's own lr lowers the loss of all examples, for Config.step_sizes
    without replacement; whole: for the full gradient. two: Estimate at B_big near B_simple; far: at B_big = 16.
    """

    name: str
    loss: float
    N: int
    sq_norm: float
    trace: float
    own: float
    pair: float
    lengths: float
    directions: float
    mean_cosine: float
    edges: np.ndarray = field(repr=False)
    cosines: np.ndarray = field(repr=False)
    found: tuple = field(repr=False)
    se: tuple = field(repr=False)
    step: tuple
    step_se: tuple
    whole: float
    two: Estimate
    far: Estimate

    @property
    def noise_scale(self):
        """B_simple."""
        return self.trace / self.sq_norm

    @property
    def expansion(self):
        """own/B + (1 - 1/B) pair, to compare with the expected squared norms, [B]."""
        B = np.array([f[0].B for f in self.found])
        return self.own / B + (1 - 1 / B) * self.pair


@dataclass(frozen=True)
class Result:
    """stages: an AtStage for start, mid and late."""

    sizes: tuple
    step_sizes: tuple
    stages: tuple
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result), one stage of training after the other."""
    c, rng, partial = config, np.random.default_rng(config.seed), Result(config.sizes, config.step_sizes, ())
    for k, name in enumerate(NAMES):
        yield k / len(NAMES), partial
        partial = replace(partial, stages=(*partial.stages, _at(_stage(name, c), c, rng)))
    yield 1.0, replace(partial, verdicts=(_f1(partial), _b4(partial)))


def run(config=Config()):
    """All stages: Result."""
    return last(running(config))


def _at(here, c, rng):
    full, N = here.full, here.full.N
    found = tuple(tuple(sampled(here, B, enough(c.draws, B, N), rng, how) for how in (True, False)) for B in c.sizes)
    se = tuple(tuple(here.sd_of_sq_norm(f.B, f.replacement) / len(f.sq_norms) ** 0.5 for f in pair) for pair in found)
    with one_blas_thread():
        products = here.d @ here.d.T
    sizes = np.diag(products) ** 0.5
    cosines = np.clip(products / np.outer(sizes, sizes), -1, 1)[np.triu_indices(N, 1)]
    heights, edges = np.histogram(cosines, np.linspace(-1, 1, 41), density=True)
    step = [_progress(here, drawn_batches(here, B, c.step_draws, rng, False), c.training.lr) for B in c.step_sizes]
    lengths, directions = float(sizes.var() / full.trace), float((sizes.mean() ** 2 - full.sq_norm) / full.trace)
    return AtStage(here.name, here.loss, N, full.sq_norm, full.trace, float((sizes**2).mean()), float(products.mean()),
                   lengths, directions, float(cosines.mean()), edges, heights, found, se,
                   tuple(float(s.mean()) for s in step), tuple(float(s.std(ddof=1)) / len(s) ** 0.5 for s in step),
                   float(_progress(here, full.g[None], c.training.lr)[0]),
                   noise_estimate(here.name, None, c.pairs, c), noise_estimate(here.name, 16, c.pairs, c))


def _progress(here, gradients, lr):
    """mean L(theta) - mean L(theta - lr g_B) over all examples, for each of these gradients."""
    f, inputs, after = Objective(here.net, every()), every(), []
    with one_blas_thread():
        for g in gradients:
            f.move(f.start - lr * g)
            after.append(float(f.program.forward(**inputs).mean()))
    return here.loss - np.array(after)


def _f1(r):
    """Every measured mean within 5 exact standard errors of theory; a fall with B, by the measured slope; an end of it above 0."""
    every_one = [(f, se) for s in r.stages for pair, ses in zip(s.found, s.se) for f, se in zip(pair, ses)]
    off = sum(abs(f.mean - f.expected) > 5 * se for f, se in every_one)
    same = all(np.allclose(s.expansion, [f[0].expected for f in s.found], rtol=1e-9) for s in r.stages)
    falls = all(_trace(s)[0] > 5 * _trace(s)[1] for s in r.stages)
    largest = r.sizes[-1]
    ends = [s for s in r.stages if s.noise_scale < largest / 4]         # there a fall of more than a fifth of ||g_B||^2 is over
    stops = ends and all(s.found[-1][0].mean + 5 * s.se[-1][0] > s.sq_norm > s.found[-1][0].mean / 1.5 for s in ends)
    if off or not same or not falls:
        return Verdict("F1", "does not hold here", f"{off} of {len(every_one)} mean squared norms are not as predicted, and the norm does "
                       f"{'' if falls else 'not '}fall with B.")
    shares = sorted(s.directions for s in r.stages)
    what = ("Different directions make nearly all of tr(Sigma) at the start, unequal lengths more than half of it late" if _turns(r)
            else f"Different directions make from {shares[0]:.1f} to {shares[-1]:.1f} of tr(Sigma)")
    sentence = ("E||g_B||^2 = ||g||^2 + tr(Sigma)/B at all stages, without replacement with (N-B)/(N-1), and multiplying out the "
                f"square of the sum gives the same. {what}.")
    if not stops:
        return Verdict("F1", "holds", f"the update gets smaller up to B = {largest}: {sentence}")
    return Verdict("F1", "holds when", f"B is below the noise scale tr(Sigma)/||g||^2; above it the norm stays at ||g||: {sentence}")


def _trace(s):
    """The slope of the measured mean of ||g_B||^2 on 1/B with replacement, which is tr(Sigma) by theory, and its standard error."""
    x, y, w = np.array([(1 / f[0].B, f[0].mean, se[0] ** -2) for f, se in zip(s.found, s.se)]).T
    x = x - (w * x).sum() / w.sum()
    return (w * x * y).sum() / (w * x * x).sum(), (w * x * x).sum() ** -0.5


def _turns(r):
    return r.stages[0].directions > 0.9 and r.stages[-1].lengths > 0.5


def _b4(r):
    """Near zero: ||g||^2 below 4 tr(Sigma)/N, four times what N independent directions would leave, or ||g|| below a fifth of its start."""
    first, names = r.stages[0].sq_norm, [s.name for s in r.stages]
    zero = [s.name for s in r.stages if s.noise_scale > s.N / 4 or s.sq_norm < first / 25]
    slower = [s.name for s in r.stages if any(s.whole < m - 5 * se for m, se in zip(s.step, s.step_se))]
    steps = (f"one step with all examples lowers the loss {'less than' if slower else 'at least as much as'} "
             f"one with {r.step_sizes[0]} or {r.step_sizes[-1]}")
    stalls = [name for name in names if name in zero or name in slower]
    if not stalls:
        return Verdict("B4", "does not hold here", f"the average tends to ||g||, which stays well above 0; at every stage {steps}.")
    if len(stalls) == len(names):
        return Verdict("B4", "holds", f"at all stages the average of all gradients is near 0, or {steps}.")
    but = f"At {slower[0]}" if slower else "Averaging is not what stalls it: at every stage"
    return Verdict("B4", "holds when", f"the network is near a critical point ({' and '.join(stalls)} in training): the average tends to "
                   f"||g||, and only there is that near 0. {but} {steps}.")
