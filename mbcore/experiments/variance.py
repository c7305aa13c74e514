"""F2: by the law of large numbers a batch gradient converges to the full one, at the pace 1/sqrt(B), as averages of anything do.

    sd of an average = sigma/sqrt(B)            E||g_B - g||^2 = tr(Sigma)/B            without replacement both variances times (N-B)/(N-1)

At B = N without replacement nothing is left; with replacement batches go on scattering. "The expected gradient" is the mean over the
training set here. Claim: M. Foufa, Influence of large batches, 2022. The two densities: notes on "Batch size" (B3). No published row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

import numpy as np

from ..gradients import BatchGradients, coordinate
from ..progress import last
from .scatter import PARTS, averages_running, densities, densities_running, factor  # noqa: F401  (three are for the lesson)
from .stages import NAMES, Training, enough, every, sampled, sq_distances, stage
from .verdict import Verdict

CLAIMS = ("F2",)


@dataclass(frozen=True)
class Config:
    training: Training = Training()
    sizes: tuple = (1, 4, 16, 64, 256, 1024)
    draws: int = 200                    # batches of gradients; more where B is small, see stages.enough
    entry: tuple = ("W1", (3, 2))       # the gradient coordinate that is looked at
    means: int = 1000                   # batches of it
    seed: int = 0                       # of the training and the draws


SMALL = Config(Training(epochs=(0, 3, 60)), sizes=(4, 32, 128, 512), draws=100, means=300)   # fewer epochs, sizes and draws


# ------------------------------------------------------------------ averages of numbers, live

def coordinate_averages(B, replacement=True, at="start", draws=None, config=Config()):
    """One coordinate of the gradient over batches of B, at a stage of training: Averages; single is a histogram of the examples."""
    return last(coordinate_running(B, replacement, at, draws, config, 1))


def coordinate_running(B, replacement=True, at="start", draws=None, config=Config(), parts=PARTS):
    """The same as the batches are drawn: yields (fraction, Averages), the first without data."""
    rng = np.random.default_rng((config.seed, B, replacement))
    return averages_running(_coordinate(at, config), B, config.means if draws is None else draws, rng, replacement, parts)


@functools.lru_cache(maxsize=8)
def _coordinate(at, c):
    return coordinate(stage(at, c.training, c.seed).net, *c.entry, **every())


@dataclass(frozen=True, eq=False)
class Fall:
    """What falls with B: values[B] with standard errors, theory[B], and the slope of their logarithms, weighted, with its own."""

    sizes: tuple
    values: np.ndarray
    se: np.ndarray
    theory: np.ndarray
    slope: float
    slope_se: float

    @property
    def falls(self):
        """As 1/sqrt(B): the slope, known to 0.1 or better, within 4 standard errors of -1/2, each value within 5 of theory."""
        return (abs(self.slope + 0.5) < 4 * self.slope_se < 0.1) and bool((abs(self.values - self.theory) < 5 * self.se).all())


def averages(variance, sizes, draws, rng):
    """The sd (ddof 1) of averages of B numbers from N(0, variance): Fall. Its relative standard error is 1/sqrt(2 (draws-1))."""
    sd = np.array([rng.normal(0, variance**0.5, (draws, B)).mean(axis=1).std(ddof=1) for B in sizes])
    return _fall(sizes, sd, sd / (2 * (draws - 1)) ** 0.5, (variance / np.array(sizes)) ** 0.5)


def _fall(sizes, values, se, theory):
    x, y, w = np.log(sizes), np.log(values), (values / se) ** 2
    x = x - (w * x).sum() / w.sum()
    return Fall(sizes, values, se, theory, float((w * x * y).sum() / (w * x * x).sum()), float((w * x * x).sum() ** -0.5))


# ------------------------------------------------------------------ gradients as vectors

@dataclass(frozen=True, eq=False)
class Angle:
    """degrees[draws] between g_B and g, and their median; theory: arccos of ||g|| / sqrt(E||g_B||^2), good where it is small."""

    B: int
    degrees: np.ndarray = field(repr=False)
    median: float
    theory: float

    @property
    def histogram(self):
        """(share of the batches[bin], edges) in bins of 5 degrees; 0 where there are none yet."""
        counts, edges = np.histogram(self.degrees[np.isfinite(self.degrees)], np.arange(0, 181, 5))
        return counts / max(1, len(self.degrees)), edges


def angle(B, at="start", replacement=True, draws=200, config=Config()):
    """The angle of batch gradients to the full gradient at a stage of training: Angle. About 15 ms."""
    here = stage(at, config.training, config.seed)
    return _angle(here, sampled(here, B, draws, np.random.default_rng((config.seed, B, replacement)), replacement))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Batches drawn so far: found, a BatchGradients, their Angle, and se: the standard error of the mean of ||g_B||^2, from its exact
    variance; nan before the first."""

    found: BatchGradients
    angle: Angle
    se: float


def gradients_running(B, at="start", replacement=True, draws=200, config=Config(), parts=40):
    """Batch gradients as they are drawn, more where B is small: yields (fraction, Drawn), the first without data."""
    here, rng = stage(at, config.training, config.seed), np.random.default_rng((config.seed, B, replacement))
    draws = enough(draws, B, here.full.N)
    found = BatchGradients(B, replacement, np.empty(0), np.empty(0), here.full.expected_sq_norm(B, replacement))
    yield 0.0, Drawn(found, _angle(here, found), float("nan"))
    marks, sd = np.linspace(0, draws, min(parts, draws // 2) + 1).astype(int), here.sd_of_sq_norm(B, replacement)
    for before, after in zip(marks, marks[1:]):
        more = sampled(here, B, int(after - before), rng, replacement)
        found = replace(found, sq_norms=np.append(found.sq_norms, more.sq_norms), cosines=np.append(found.cosines, more.cosines))
        yield after / draws, Drawn(found, _angle(here, found), sd / after**0.5)


def _angle(here, found):
    degrees = np.degrees(np.arccos(np.clip(found.cosines, -1, 1)))
    ratio = min(1.0, (here.full.sq_norm / found.expected) ** 0.5)
    middle = float(np.median(degrees)) if len(degrees) else float("nan")
    return Angle(found.B, degrees, middle, float(np.degrees(np.arccos(ratio))))


def path(at="start", config=Config()):
    """||g_B - g|| along one growing batch, B = 1 ... N, the examples in a random order: the law on one path, [N]."""
    here = stage(at, config.training, config.seed)
    order = np.random.default_rng(config.seed).permutation(here.full.N)
    means = np.cumsum(here.d[order] - here.full.g, axis=0)
    means /= np.arange(1, len(order) + 1)[:, None]
    return np.linalg.norm(means, axis=1)


@dataclass(frozen=True, eq=False)
class Law:
    """distance: Fall of the root mean square of ||g_B - g||, with replacement. angles[B] and angles_theory[B]: degrees, see Angle.
    without, without_se, without_theory: mean square distances without replacement, [B], the standard errors at most that.
    whole: the distance of a batch of all N, over ||g||."""

    stage: str
    noise_scale: float
    distance: Fall
    angles: np.ndarray
    angles_theory: np.ndarray
    without: np.ndarray
    without_se: np.ndarray
    without_theory: np.ndarray
    whole: float


@dataclass(frozen=True)
class Result:
    """laws: one for each stage. coordinate: for each B (with replacement, without), each an Averages, at the start."""

    sizes: tuple
    laws: tuple
    coordinate: tuple
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result), one stage of training after the other."""
    c, rng, laws = config, np.random.default_rng(config.seed), ()
    yield 0.0, Result(c.sizes, (), ())
    marginal = tuple(tuple(coordinate_averages(B, how, config=c) for how in (True, False)) for B in c.sizes)
    for k, name in enumerate(NAMES):
        yield (1 + k) / (1 + len(NAMES)), Result(c.sizes, laws, marginal)
        laws = (*laws, _law(stage(name, c.training, c.seed), c, rng))
    yield 1.0, Result(c.sizes, laws, marginal, (_verdict(laws, marginal),))


def run(config=Config()):
    """All stages: Result."""
    return last(running(config))


def _law(here, c, rng):
    N, full, sizes = here.full.N, here.full, np.array(c.sizes)
    found = [sampled(here, B, enough(c.draws, B, N), rng) for B in c.sizes]
    rms = np.array([sq_distances(f, full).mean() for f in found]) ** 0.5
    se = np.array([here.sd_of_sq_distance(f.B) / len(f.sq_norms) ** 0.5 for f in found]) / (2 * rms)
    angles = [_angle(here, f) for f in found]
    left = (N - sizes) / (N - 1)
    without = np.array([sq_distances(sampled(here, B, c.draws, rng, False), full).mean() for B in c.sizes])
    without_se = np.array([here.sd_of_sq_distance(B) for B in c.sizes]) * left**0.5 / c.draws**0.5
    whole = np.abs(sq_distances(sampled(here, N, 2, rng, False), full)).max() / full.sq_norm
    return Law(here.name, full.noise_scale, _fall(c.sizes, rms, se, (full.trace / sizes) ** 0.5), np.array([a.median for a in angles]),
               np.array([a.theory for a in angles]), without, without_se, full.trace / sizes * left, float(whole) ** 0.5)


def _verdict(laws, marginal):
    """The slope and every distance by their exact standard errors, at every stage; and nothing left when all examples are drawn."""
    pace = all(law.distance.falls for law in laws)
    ends = all(law.whole < 1e-6 and (abs(law.without - law.without_theory) < 5 * law.without_se).all() for law in laws)
    apart = sum(abs(a.observed - a.sd) > 5 * a.observed_se + 1e-12 for pair in marginal for a in pair)
    if not (pace and ends) or apart:
        slopes = ", ".join(f"{law.distance.slope:.2f}" for law in laws)
        return Verdict("F2", "does not hold here", f"||g_B - g|| falls with slopes {slopes} instead of -1/2, "
                       f"{'' if ends else 'is not as predicted without replacement, '}and {apart} sd of a coordinate are not as predicted.")
    late, B = laws[-1], laws[-1].distance.sizes[2]
    more = f" The direction needs more: late in training half of the batches of {B} are still more than 45 degrees off."
    return Verdict("F2", "holds", f"at all {len(laws)} stages of training ||g_B - g|| falls as 1/sqrt(B) within 4 standard errors, a "
                   "coordinate scatters by sigma/sqrt(B), without replacement less by the factor (N-B)/(N-1) on the variance, and a batch "
                   f"of all examples is off by nothing.{more if late.angles[2] > 45 else ''}")
