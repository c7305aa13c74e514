"""N4 N5: large batches generalise worse because they end in sharp minima; what keeps small ones out of these is their noise.

Four solutions of one relu network on the digits, from the same first parameters, at the same learning rate, for R seeds at once:
the small batch, trained until the mean training loss is below `target`; the large batch until the same loss; the large batch after as
many epochs as the small one took; and the large batch until the same loss with the small batch's noise added to each gradient,

    g = g_large + (g_a - g_b) / sqrt(2),        a, b two batches of the small size: mean 0 and covariance Sigma/B_small.

Compared are test error, the largest eigenvalue of the Hessian, and Keskar's phi (N. Keskar et al., arXiv:1609.04836). Then L. Dinh
et al.'s rescaling (arXiv:1703.04933) changes both measures, and the function by nothing.

What is published, and what shows here. Keskar's phi is 25 to 224 times larger for large batches, with 0.2 to 5.3 points less accuracy. At
the same training loss phi is here no larger for the large batch, 0.6 to 0.8 times: most of it is the gradient (`slope`), which the
small batch's noise keeps up. The largest eigenvalue shows their order, between 2 and 3 to 1; accuracy shows no gap that 8 seeds resolve.
After the same epochs the large batch has made 17 times fewer updates, phi is about 2 times larger and accuracy 9 points less: what Hoffer
et al. (arXiv:1705.08741) say, too few updates. Their distance from the start grows like log t; here too, better than sqrt t: `growth`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .. import data
from ..landscape import interpolation
from ..progress import last
from ..rescaling import rescaled
from .interval import interval
from .solutions import Noise, examples, kept, measured, measuring, network, solving
from .verdict import Verdict

CLAIMS = ("N4", "N5")
ARMS = ("small", "large", "large, same epochs", "large + noise")
PAIRS = (("large", "small"), ("large, same epochs", "small"), ("large + noise", "large"), ("large + noise", "small"),
         ("small, rescaled", "large"))
PUBLISHED = {                                       # network -> small batch, large batch; Hoffer's third: large batch with adaptation
    "Keskar et al. 2016, test accuracy %": {"F1": (98.03, 97.81), "F2": (64.02, 59.45), "C1": (80.04, 77.26), "C2": (89.24, 87.26),
                                            "C3": (49.58, 46.45), "C4": (63.08, 57.81)},
    "Keskar et al. 2016, sharpness, eps 1e-3": {"F1": (1.23, 205), "F2": (1.39, 311), "C1": (28.6, 707)},
    "Hoffer et al. 2017, test accuracy %": {"F1": (98.27, 97.05, 98.53), "C1": (87.80, 83.95, 88.20)},
}


@dataclass(frozen=True)
class Config:
    """small, large: batch sizes; 144 is a tenth of the data, as Keskar's large batch. target: the training loss to reach, in at most
    so many updates. n: training examples. r: seeds. eps: of Keskar's box, the first for the verdict. alpha: Dinh's."""

    small: int = 8
    large: int = 144
    lr: float = 0.3
    target: float = 0.05
    updates: int = 2000
    n: int = 1437
    r: int = 8
    j: int = 32
    eps: tuple = (1e-3, 5e-4)
    alpha: float = 0.3
    seed: int = 0

    def __post_init__(self):
        if not 1 <= self.small < self.large <= self.n or self.n < 2 * self.small:
            raise ValueError("small, large: expected 1 <= small < large <= n and 2 small <= n, "
                             f"got {self.small} and {self.large}, n = {self.n}")
        if self.r < 2:
            raise ValueError(f"r: expected at least 2 seeds, for an interval; got {self.r}")


SMALL = Config(target=0.15, updates=800, n=500, r=5, j=16, eps=(1e-3,))     # fewer examples, seeds and hidden units; one box


@dataclass(frozen=True, eq=False)
class Result:
    """arms: name of ARMS -> Solutions. measures: the same names and "small, rescaled" -> Measures.

    gaps: pair of PAIRS -> quantity -> Interval over the seeds of the first less the second: of "test_error" itself, of the logarithms of
    "sharpness" (at the first eps) and "eigenvalue". growth: see the function.
    """

    config: Config
    arms: dict
    measures: dict
    gaps: dict
    growth: dict
    verdicts: tuple = ()


def run(config=Config()):
    """Train and measure all; see Result."""
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, Result so far); an arm is there once it is trained, its measures once all seeds are measured."""
    c, result, parts, done = config, Result(config, {}, {}, {}, {}), 2 * len(ARMS) + 1, 0

    def through(steps):
        nonlocal found, done
        for share, found in steps:
            yield (done + 0.99 * share) / parts, result
        done += 1
    found = None
    for name in ARMS:
        yield from through(kept((c, name), lambda: _arm(c, name, result.arms.get("small"))))
        result = replace(result, arms={**result.arms, name: found})
        if not found.reached.all():
            why = f"{name}: not every network came to where it should within {c.updates} updates."
            yield 1.0, replace(result, verdicts=tuple(Verdict(claim, "not measured here", why) for claim in CLAIMS))
            return
        yield from through(measuring(found, c.eps, np.random.default_rng([c.seed, 1])))
        result = replace(result, measures={**result.measures, name: found})
    yield from through(measuring(result.arms["small"], c.eps, np.random.default_rng([c.seed, 1]), c.alpha))
    result = replace(result, measures={**result.measures, "small, rescaled": found}, growth=growth(*result.arms["small"].walk))
    result = replace(result, gaps={pair: _gaps(result, *pair) for pair in PAIRS})
    yield 1.0, replace(result, verdicts=(_flatness(result), _noise(result)))


def _arm(c, name, small=None):
    """`solving` for one of ARMS; `small`, the small batch's solutions, says when "large, same epochs" ends."""
    first, order, noise = np.random.default_rng(c.seed).spawn(3)
    there, rule = lambda record: record.loss[-1] < c.target, lambda net: None
    if name == "large, same epochs":
        there = lambda record: record.epochs[-1] >= small.epochs
    if name == "large + noise":
        rule = lambda net: Noise(net, examples(c.n), c.small, noise)
    return solving(c.n, c.small if name == "small" else c.large, c.lr, c.updates, c.r, c.j, there, first, order, rule)


def growth(updates, distance):
    """R^2 of straight lines through the mean distance from the start over the seeds, in log t and in sqrt t; t > 0 in updates."""
    d, t = distance.mean(axis=1)[updates > 0], updates[updates > 0]
    return {name: float(np.corrcoef(f(t), d)[0, 1] ** 2) for name, f in (("log t", np.log), ("sqrt t", np.sqrt))}


# ---------------------------------------------------------------- behind sliders

def trained(config, arm):
    """The Solutions of one arm alone, as `run` has them; the two share what they trained."""
    small = trained(config, "small") if arm == "large, same epochs" else None
    return last(kept((config, arm), lambda: _arm(config, arm, small)))


@lru_cache(maxsize=256)
def rescaling(config, arm="small", alpha=1.0, r=0):
    """Measures of one network that was rescaled by alpha, at the first eps alone."""
    return measured(trained(config, arm), config.eps[:1], np.random.default_rng([config.seed, 1]), r, alpha)


def between(first, second, r=0, points=41, alpha=1.0):
    """Yield (fraction done, (Slice on the training set, Slice on the test set)): from Solutions (0), rescaled by alpha, to others (1), and
    half the way beyond both."""
    net, every = network(first, r)
    digits, places = data.digits(), np.linspace(-0.5, 1.5, points)
    ends = rescaled(net, "h", alpha), {name: p[r] for name, p in second.params.items()}
    test = {"x": digits.x_test, "target": digits.target_test}
    for (done, train), (_, held_out) in zip(interpolation(net, *ends, places, **every), interpolation(net, *ends, places, **test)):
        yield done, (train, held_out)


# ---------------------------------------------------------------- what follows

def _gaps(result, first, second):
    m, n = result.measures[first], result.measures[second]
    logs = {"sharpness": np.log(m.sharpness[0] / n.sharpness[0]), "eigenvalue": np.log(m.eigenvalue / n.eigenvalue)}
    found = {name: interval(ratios, 0.95) for name, ratios in logs.items()}
    if first in result.arms:
        found["test_error"] = interval(result.arms[first].test_error - result.arms[second].test_error, 0.95)
    return found


def _flatness(result):
    """holds: large batches are worse, and sharper by both measures, and rescaling cannot turn that round. does not hold here: neither
    worse nor sharper by any measure. contested: what lies between."""
    gap, moved = result.gaps["large", "small"], result.gaps["small, rescaled", "large"]
    worse, sharper = gap["test_error"].low > 0, [q for q in ("eigenvalue", "sharpness") if gap[q].low > 0]
    same = bool((result.measures["small, rescaled"].change < 1e-9).all())
    turned = [q for q in sharper if same and moved[q].low > 0]
    label = "holds" if worse and len(sharper) == 2 and not turned else "contested" if worse or sharper else "does not hold here"
    names = " and ".join({"eigenvalue": "the eigenvalues", "sharpness": "Keskar's sharpness"}[q] for q in turned)
    return Verdict("N4", label, f"at the same training loss, over {result.config.r} seeds, the large batch's test error is "
                   f"{gap['test_error'].order()}, its largest eigenvalue {gap['eigenvalue'].order()}, Keskar's sharpness "
                   f"{gap['sharpness'].order()}; rescaling the small batch's networks, which changes "
                   f"{'no score' if same else 'their scores'}, "
                   f"{f'turns the order of {names} round' if turned else 'turns no such order round'}.")


def _noise(result):
    """holds: the added noise lowers the large batch's eigenvalue, which was higher, and its test error. holds when: not the error."""
    gap, undone = result.gaps["large", "small"]["eigenvalue"], result.gaps["large + noise", "large"]
    flatter, better = gap.low > 0 and undone["eigenvalue"].high < 0, undone["test_error"].high < 0
    label = "does not hold here" if not flatter else "holds" if better else "holds when"
    share = "most" if undone["eigenvalue"].mean < -gap.mean / 2 else "part"
    return Verdict("N5", label, f"{'sharp means the largest eigenvalue: ' if label == 'holds when' else ''}with the small batch's noise "
                   f"added to its gradients, the large batch's largest eigenvalue is {undone['eigenvalue'].order()} than without"
                   f"{f', {share} of the way to that of the small batch' if flatter else ''}; its test error is "
                   f"{undone['test_error'].order()}.")
