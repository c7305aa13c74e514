"""Q6: with L = mean ell + lam J the gradient is the mean of the examples' gradients, plus lam grad J: J is not divided by B again.

Source: a mathematician's five questions on minibatching and an expert's answers, a Q&A site, 2017. No published numbers.
The referee is a central difference of the whole objective.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from ..equations import equations
from .backpropagation import apart, differences, factor, flat, gradient, put, random_data
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q6",)

REGULARISED = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    ell  = cross_entropy(s[y], target)
    J    = sum(W0[j,i]**2, over=(j,i)) / 2 + sum(W1[y,j]**2, over=(y,j)) / 2
    L    = ell + lam * J
""")
WEIGHTS = ("W0", "W1")                  # what J is made of


@dataclass(frozen=True)
class Config:
    sizes: tuple = (1, 2, 8, 32)        # batches
    i: int = 6
    j: int = 4
    y: int = 3
    lam: float = 0.1
    seed: int = 0


SMALL = Config(sizes=(1, 2, 8))


@dataclass(frozen=True)
class Share:
    """The regulariser's part in the gradient of one batch, all parameters in one vector.

    average: gradient of the mean of ell against the mean of B gradients of ell, each computed alone.
    right, wrong: mean of gradients + lam grad J, and + (lam/B) grad J, against central differences of the mean of L.
    program: the program's gradient of L against the same. All: largest difference over the largest entry.
    coefficient: what central differences have in front of lam grad J, by least squares: 1, or 1/B if it was divided again.
    """

    B: int
    average: float
    right: float
    wrong: float
    program: float
    coefficient: float


@dataclass(frozen=True)
class Result:
    shares: tuple                       # Share, one for each batch size
    verdicts: tuple = ()


def run(config=Config()):
    """A Share for each batch size, float64, one thread, random data."""
    with one_blas_thread():
        shares = tuple(_share(config, B) for B in config.sizes)
    return Result(shares, (_verdict(shares),))


def _share(c, B):
    params, x, target = random_data(REGULARISED, c, B)
    sizes = {"i": c.i, "j": c.j, "y": c.y, "dtype": "float64"}
    one, batch = MLP.compile(**sizes), MLP.with_index("b").compile(b=B, **sizes)
    whole = REGULARISED.with_index("b", shared="lam").compile(b=B, **sizes)
    for net in (one, batch, whole):
        put(net, params)
    alone = np.mean([gradient(one, x=x[b], target=target[b]) for b in range(B)], axis=0)
    true = flat(differences(lambda: _objective(one, params, x, target, c.lam), params), params)
    J = c.lam * flat({name: a * (name in WEIGHTS) for name, a in params.items()}, params)      # lam grad J: J is half the sum of squares
    return Share(B, apart(gradient(batch, x=x, target=target), alone), apart(alone + J, true), apart(alone + J / B, true),
                 apart(gradient(whole, x=x, target=target, lam=c.lam), true), factor(true - alone, J))


def _objective(one, params, x, target, lam):
    """(1/B) sum of ell, each example alone, + lam J."""
    put(one, params)
    ell = sum(float(one.forward(x=x[b], target=target[b])) for b in range(len(x))) / len(x)
    return ell + lam * sum(float((params[name] ** 2).sum()) for name in WEIGHTS) / 2


def _verdict(shares):
    good = all(max(s.average, s.right, s.program, abs(s.coefficient - 1)) < 1e-6 for s in shares)
    if good and all(s.wrong > 1e-3 for s in shares if s.B > 1):
        return Verdict("Q6", "holds", "the gradient of the average is the average of gradients, and lam grad J is added to it once: "
                       f"for B = {', '.join(str(s.B) for s in shares)} central differences find 1 in front of it, not 1/B.")
    return Verdict("Q6", "does not hold here", "central differences find "
                   f"{', '.join(f'{s.coefficient:.2g} (B = {s.B})' for s in shares)} in front of lam grad J, or an average was off.")
