"""One gradient computed in parts: rightly weighted, and as the mean of the parts' means; what `accumulation` measures.

A part of n_k examples gives their mean gradient g_k, as every program does. g = sum_k (n_k / B) g_k is the mean over all B, and
(1/K) sum_k g_k the mean with other weights: 1/(K n_k) for an example of part k. So either is a weight for each example, m[b].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from .. import data
from ..checking import whole
from ..data import batches
from ..derivatives import coupling
from ..equations import equations
from ..train import accumulated
from .backpropagation import flat
from .models import MLP

BATCH = MLP.with_index("b")
NORMALISED = equations("""
    z[j] = W0[j,i] * x[i]
    u[j] = mean(z[j], over=b)
    v[j] = mean((z[j] - u[j])**2, over=b)
    h[j] = sigmoid(G[j] * (z[j] - u[j]) / sqrt(v[j] + 0.001) - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""")                                            # each example's z[j] less the mean over b: the one value that looks at the others


@functools.cache
def weighted(model):
    """The same model for a batch, L[b] with a weight m[b], an input: a mask, or a number of tokens."""
    return equations(str(model).replace("L    =", "l    =") + "\nL = m * l").with_index("b")


COUNTS = {                                      # tokens in each example, by name: (target[b], rng) -> [b]
    "equal": lambda target, rng: np.ones(len(target), int),
    "drawn": lambda target, rng: rng.geometric(1 / 8, len(target)),             # 8 on average, most of them short
    "by class": lambda target, rng: 1 + 2 * target,                             # what an example says and its length go together
}


@dataclass(frozen=True, eq=False)
class Ragged:
    """The gradient of one batch as vectors [p] in float64: of one pass, and in parts, rightly weighted (right) and as the mean of the
    parts' means (wrong)."""

    parts: tuple            # examples in each part
    tokens: tuple           # tokens in each part
    at_once: np.ndarray = field(repr=False)
    right: np.ndarray = field(repr=False)
    wrong: np.ndarray = field(repr=False)

    @property
    def one_pass(self):
        """||right - at_once|| / ||at_once||: rounding, or what couples the examples."""
        return apart(self.right, self.at_once)

    @property
    def error(self):
        """||wrong - at_once|| / ||at_once||."""
        return apart(self.wrong, self.at_once)

    @property
    def shares(self):
        """Each part's share of all tokens, which is its weight if every token counts the same."""
        return tuple(n / sum(self.tokens) for n in self.tokens)

    @property
    def weights(self):
        """What one token of each part counts in the mean of means, over what it should: (1/K) / share."""
        return tuple(1 / len(self.tokens) / share for share in self.shares)

    @property
    def effective(self):
        """The equally weighted tokens whose mean is as noisy as the mean of means: K^2 / sum_k 1/(tokens of part k), tokens independent."""
        return len(self.tokens) ** 2 / sum(1 / n for n in self.tokens)


def ragged(B=53, compute=5, counts="equal", j=32, seed=0, batch=0, model=MLP):
    """The gradient of so many digits, `compute` at a time, each digit standing for its number of tokens: Ragged.

    The mean over all tokens is the mean over examples of m[b] L[b], m[b] = tokens[b] / (mean tokens of the whole batch). The mean of
    means divides by the tokens of each part instead. seed: of the network; batch: which batch is drawn.
    """
    if counts not in COUNTS:
        raise ValueError(f"counts: expected one of {', '.join(COUNTS)}, got {counts!r}")
    inputs, net = some(B, (seed, batch)), network(weighted(model), B, j, seed)
    tokens = COUNTS[counts](inputs["target"], np.random.default_rng((seed, batch, 1)))
    gradient = lambda m, compute: in_parts(net, compute, m=m, **inputs)
    parts = [(min(compute, B - k), int(tokens[k:k + compute].sum())) for k in range(0, B, whole("compute", compute))]
    mine = np.repeat([n for _, n in parts], [n for n, _ in parts])              # tokens[b] of the part that b is in
    right, wrong = tokens / tokens.mean(), B * tokens / (len(parts) * mine)     # both are a weight m[b] for each example
    rightly = gradient(right, compute)
    wrongly = rightly if np.allclose(right, wrong, rtol=1e-12) else gradient(wrong, compute)       # parts that are all alike
    return Ragged(*zip(*parts), gradient(right, B), rightly, wrongly)


def in_parts(net, compute, **inputs):
    """sum over the parts of (examples in the part / all examples) times the gradient of the part on its own: [p].

    `accumulated` gives it, but refuses coupled examples, for which this is another gradient than that of one pass.
    """
    if not coupling(net.graph):
        return flat(accumulated(net, compute, **inputs))
    B, total = len(inputs["target"]), 0.0
    for first in range(0, B, compute):
        part = {name: a[first:first + compute] for name, a in inputs.items()}
        size = len(part["target"])
        total = total + size / B * flat(accumulated(net, size, **part))
    return total


def coupled(B, compute, j=32, seed=0, batch=0):
    """How far accumulation is from one pass with batch normalisation: ||g - g_1|| / ||g_1||, float64."""
    return ragged(B, compute, "equal", j, seed, batch, NORMALISED).one_pass


@functools.lru_cache(maxsize=32)
def network(equations, b, j, seed, dtype="float64"):
    """The network, kept, so that the next value of a slider only runs."""
    return equations.compile(b=b, i=64, j=j, y=10, dtype=dtype).init(np.random.default_rng(seed))


def some(n, seed):
    """n different digits."""
    digits = data.digits()
    at = next(batches(len(digits.x_train), n, np.random.default_rng(seed)))
    return {"x": digits.x_train[at], "target": digits.target_train[at]}


def apart(g, h):
    """||g - h|| / ||h||."""
    return float(np.linalg.norm(g - h) / np.linalg.norm(h))
