"""N6: pictures of the loss around solutions of SGD with different weight decay and batch size, along filter-normalised directions.

f(theta + alpha d), d random. H. Li et al. (arXiv:1712.09913) give each neuron's part of d the length of its weights, so that the scale of
the weights is no part of the picture, and title each with weight decay, batch size and test error. A picture's rise is the mean of
f(theta + alpha d) - f(theta) over directions d and both signs of alpha: `near`, at a tenth of the weights' length, and `far`, at Li's own
range of 1. Beside it the same directions at one length for all solutions, that of freshly drawn weights ("raw").

What is published, and what shows here. Li et al. see flatter pictures where the test error is lower, over weight decay 0 and 5e-4, batch
128 and 8192. Here too the large batch has the higher error after the same epochs, about 4.4 % to 2.7 %, but it is also the less trained.
Near the solution the rise orders the test errors (rank correlation about 0.75), as the training loss does by itself (0.8); at alpha = 1 it
does not (below 0). Raw pictures order them at both ranges (0.7). Weight decay makes small-batch weights a quarter shorter: at alpha = 1
the raw picture gets twice as steep, the filter-normalised one flatter, and the test error is the same within the interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from ..landscape import filter_normalised, slice_1d, slice_2d
from ..objective import Objective
from ..optim import SGD
from ..progress import last
from ..rescaling import rescaled
from .interval import Interval, interval
from .solutions import Solutions, kept, load, network, solving
from .verdict import Verdict

CLAIMS = ("N6",)
KINDS = ("near", "far", "raw near", "raw far")


@dataclass(frozen=True)
class Config:
    """A grid of weight decays and batch sizes, each trained for so many epochs on n examples, r seeds. directions: for each seed.
    near, far: where rises are looked at. alpha: Dinh's. draws: of the bootstrap over seeds."""

    weight_decays: tuple = (0.0, 5e-4)
    sizes: tuple = (8, 144)
    lr: float = 0.3
    epochs: int = 30
    n: int = 1437
    r: int = 8
    j: int = 32
    directions: int = 6
    near: float = 0.1
    far: float = 1.0
    alpha: float = 0.3
    draws: int = 1000
    seed: int = 0

    def __post_init__(self):
        if self.r < 2 or self.directions < 1:
            raise ValueError(f"r, directions: expected at least 2 seeds and 1 direction, got {self.r} and {self.directions}")
        if not 0 < self.near < self.far:
            raise ValueError(f"near, far: expected 0 < near < far, got {self.near} and {self.far}")
        if not all(1 <= B <= self.n for B in self.sizes) or any(d < 0 for d in self.weight_decays):
            raise ValueError(f"sizes, weight_decays: expected from 1 to n = {self.n}, and at least 0; "
                             f"got {self.sizes} and {self.weight_decays}")


SMALL = Config(epochs=15, n=600, r=5, j=16, directions=3, draws=500)    # half the epochs and directions, fewer examples, seeds and units


@dataclass(frozen=True, eq=False)
class Cell:
    """One place of the grid. rises: each of KINDS -> [r], the mean rise of the training loss. norm: the weights' length [r], no biases."""

    weight_decay: float
    solutions: Solutions
    rises: dict
    norm: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """cells: of the grid, weight decays outermost. correlations: each of KINDS, and "loss", the training loss -> Interval of Spearman's
    rank correlation with the test error over all networks; a percentile bootstrap over seeds. decay: each of KINDS, "norm" and
    "test_error" -> Interval over seeds of what the largest weight decay changes at the smallest batch: differences of logs, of test_error
    itself. rescaled: |change of the log of a rise| by Dinh's rescaling, "near": the largest over the seeds, "raw near": the smallest.
    """

    config: Config
    cells: tuple
    correlations: dict
    decay: dict
    rescaled: dict
    verdicts: tuple = ()


def run(config=Config()):
    """Train the grid and measure the pictures; see Result."""
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, Result so far), cell by cell."""
    c, cells = config, ()
    grid = [(d, B) for d in c.weight_decays for B in c.sizes]
    for k, (d, B) in enumerate(grid):
        for done, found in kept((c, d, B), lambda: _solving(c, d, B)):
            yield (k + 0.49 * done) / len(grid), Result(c, cells, {}, {}, {})
        if not np.isfinite(found.loss).all():
            why = f"training at batch size {B} diverged."
            yield 1.0, Result(c, cells, {}, {}, {}, (Verdict("N6", "not measured here", why),))
            return
        cells += (Cell(d, found, _rises(c, found), norms(found)),)
        yield (k + 0.99) / len(grid), Result(c, cells, {}, {}, {})
    result = Result(c, cells, _correlations(c, cells), _decay(c, cells), _rescaled(c, cells[0]))
    yield 1.0, replace(result, verdicts=(_verdict(result),))


def _solving(c, weight_decay, B):
    first, order, _ = np.random.default_rng(c.seed).spawn(3)
    updates = c.epochs * -(-c.n // B)
    there, rule = lambda record: record.steps[-1] >= updates, lambda net: SGD(weight_decay) if weight_decay else None
    return solving(c.n, B, c.lr, c.epochs * c.n // B, c.r, c.j, there, first, order, rule, every=max(10, updates // 20))


def norms(solutions):
    """The length of all weights, biases left out, [r]."""
    return sum((solutions.params[name].astype(float) ** 2).sum(axis=(1, 2)) for name in ("W0", "W1")) ** 0.5


# ---------------------------------------------------------------- directions and slices

def directions(config, solutions, r=0, count=None):
    """(r-th network, its inputs, filter-normalised directions, the same ones at the length of freshly drawn weights)."""
    c, (net, every) = config, network(solutions, r)
    streams = lambda: np.random.default_rng([c.seed, 1, r]).spawn(count or c.directions)       # not the stream of the first parameters
    normalised = [filter_normalised(net, rng) for rng in streams()]
    params = {name: p.copy() for name, p in net.params.items()}
    net.init(np.random.default_rng([c.seed, 2]))
    raw = [filter_normalised(net, rng) for rng in streams()]
    load(net, params)
    return net, every, normalised, raw


def _rises(c, solutions, params=None):
    """each of KINDS -> [r]. params: instead of the solutions' own."""
    found = {kind: [] for kind in KINDS}
    for r in range(len(solutions.loss)):
        net, every, *both = directions(c, solutions if params is None else replace(solutions, params=params), r)
        f = Objective(net, every)
        for name, chosen in zip(("", "raw "), both):
            losses = np.mean([last(slice_1d(f, d, [-c.far, -c.near, 0, c.near, c.far])).loss for d in chosen], axis=0)
            found[name + "near"].append((losses[1] + losses[3]) / 2 - losses[2])
            found[name + "far"].append((losses[0] + losses[4]) / 2 - losses[2])
    return {kind: np.array(values) for kind, values in found.items()}


def trained(config, weight_decay, B):
    """The Solutions of one place of the grid, or of any other weight decay and batch size; `run` shares what was trained."""
    return last(kept((config, weight_decay, B), lambda: _solving(config, weight_decay, B)))


def line(config, solutions, r=0, points=41, normalised=True):
    """Yield (fraction done, Slice) along one direction, out to `far` on both sides."""
    net, every, *both = directions(config, solutions, r, 1)
    return slice_1d(net, both[not normalised][0], np.linspace(-config.far, config.far, points), **every)


def plane(config, solutions, r=0, points=25, normalised=True):
    """Yield (fraction done, Slice) over two directions, row by row."""
    net, every, *both = directions(config, solutions, r, 2)
    places = np.linspace(-config.far, config.far, points)
    return slice_2d(net, *both[not normalised], places, places, **every)


def rise(found, at):
    """The mean of f(theta + alpha d) - f(theta) over alpha = at and -at, of a Slice along one direction; nan where not yet computed."""
    up, down, middle = (int(np.argmin(abs(found.alphas - x))) for x in (at, -at, 0))
    return float((found.loss[up] + found.loss[down]) / 2 - found.loss[middle])


def title(weight_decay, solutions, r=0):
    """Weight decay, batch size and test error, as Li's figure 3 has them: 0.0005, 8, 2.78 %."""
    return f"{weight_decay:g}, {solutions.B}, {100 * solutions.test_error[r]:.2f} %"


# ---------------------------------------------------------------- what follows

def _correlations(c, cells):
    """Spearman's rho = the correlation of ranks, over cells and seeds; seeds are drawn anew with all their cells."""
    rng, R = np.random.default_rng([c.seed, 3]), c.r
    chosen = np.vstack([np.arange(R), rng.integers(0, R, (c.draws, R))])                        # the first is all seeds once
    ranks = lambda rows: rankdata(np.array(rows)[:, chosen].transpose(1, 0, 2).reshape(len(chosen), -1), axis=1)
    error = ranks([cell.solutions.test_error for cell in cells])
    found = {}
    for name in (*KINDS, "loss"):
        own = ranks([cell.solutions.loss if name == "loss" else cell.rises[name] for cell in cells])
        rho = _correlation(own, error)
        low, high = np.nanquantile(rho[1:], (0.025, 0.975))
        found[name] = Interval(float(rho[0]), float(low), float(high))
    return found


def _correlation(a, b):
    """Of the rows of two arrays; 0 where one of them does not vary."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)


def _decay(c, cells):
    at = {(cell.weight_decay, cell.solutions.B): cell for cell in cells}
    most, none = (at[d, min(c.sizes)] for d in (max(c.weight_decays), min(c.weight_decays)))
    found = {kind: interval(np.log(most.rises[kind] / none.rises[kind]), 0.95) for kind in KINDS}
    return {**found, "norm": interval(np.log(most.norm / none.norm), 0.95),
            "test_error": interval(most.solutions.test_error - none.solutions.test_error, 0.95)}


def _rescaled(c, cell):
    """How far rises move when each network of a cell is rescaled by Dinh's alpha."""
    nets = [network(cell.solutions, r)[0] for r in range(c.r)]
    new = [rescaled(net, "h", c.alpha) for net in nets]
    params = {name: np.stack([p[name] for p in new]) for name in new[0]}
    moved = {kind: abs(np.log(rise / cell.rises[kind])) for kind, rise in _rises(c, cell.solutions, params).items()}
    return {"near": float(moved["near"].max()), "raw near": float(moved["raw near"].min())}


def _verdict(result):
    """Filter normalisation must take rescaling out of the picture, and the rise must go with the test error: at both ranges, holds; at
    one, holds when; at none, contested. does not hold here: rescaling shows."""
    c, rho = result.config, result.correlations
    near, far, exact = rho["near"].low > 0, rho["far"].low > 0, result.rescaled["near"] < 1e-6
    label = "does not hold here" if not exact else "holds" if near and far else "holds when" if near or far else "contested"
    ranges = f"within {c.near:g}", f"out to {c.far:g}"
    order = {"holds": f"{' and '.join(ranges)} times the weights' length, flatter pictures go with lower test errors",
             "holds when": f"one looks {ranges[far]} times the weights' length: flatter pictures go with lower test errors there, "
                           f"{'with higher ones' if rho['far' if near else 'near'].high < 0 else 'not resolvably so'} {ranges[near]}",
             "contested": f"{' or '.join(ranges)} times the weights' length, flatter pictures do not go with lower test errors",
             "does not hold here": "a rescaling that keeps the function changes filter-normalised pictures"}[label]
    scale = "; a rescaling that keeps the function changes these pictures by rounding" if exact else ""
    steeper = ", raw ones by more than 1.5 times" if exact and result.rescaled["raw near"] > 0.41 else ""
    both = "order the errors at both" if rho["raw near"].low > 0 and rho["raw far"].low > 0 else "do not order the errors at both"
    return Verdict("N6", label, f"{order}{scale}{steeper}; raw pictures {both}, the training loss alone "
                   f"{'orders them' if rho['loss'].low > 0 else 'does not order them'}.")
