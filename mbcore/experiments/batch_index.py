"""T1 T4 T5 T6: the batch index stands on every value and on no parameter, and the indexed network computes the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .models import SLIDES
from .verdict import Verdict

CLAIMS = ("T1", "T4", "T5", "T6")


@dataclass(frozen=True)
class Config:
    B: int = 8
    i: int = 12
    j: int = 6
    y: int = 4
    lr: float = 0.5
    seed: int = 0


SMALL = Config()        # quick as it is


@dataclass(frozen=True)
class Result:
    """Differences are the largest over all entries, in float64.

    alone: batched step against B programs of one example whose gradients were averaged by hand.
    loops: batched forward and backward against loops over single numbers.
    equation: batched forward against the slide's formulas written out in NumPy, one example at a time.
    """

    first: dict                 # name of an input or computed value -> its first index
    parameters: dict            # name -> indices
    alone: float
    loops: float
    equation: float
    size: float                 # the largest entry compared, to see that something was
    verdicts: tuple = ()


def run(config=Config()):
    """Run the slides' network with and without the index, on random data; see Result."""
    c, batch = config, SLIDES.with_index("b")
    rng = np.random.default_rng(c.seed)
    net = batch.compile(b=c.B, i=c.i, j=c.j, y=c.y, dtype="float64").init(rng)
    for bias in ("C0", "C1"):                           # zero at the start, which would hide its sign
        net.params[bias][...] = rng.normal(size=net.params[bias].shape)
    x, target = rng.normal(size=(c.B, c.i)), rng.integers(0, c.y, c.B)

    P = np.array([_slide(x[k], net.params) for k in range(c.B)])
    net.forward(x=x, target=target)
    equation = _apart(net.values["P"], P)
    net.backward()
    values, gradients = batch.run_as_loops(net.params, x=x, target=target)
    loops = max(*(_apart(net.values[n], v) for n, v in values.items()), *(_apart(net.grads[n], gradients[n]) for n in net.params))

    updated = _one_by_one(net, x, target, c)
    net.step(c.lr, x=x, target=target)
    alone = max(_apart(net.params[n], updated[n]) for n in updated)
    result = Result({n: v[:1] for n, v in {**batch.inputs, **batch.computed}.items()}, batch.parameters,
                    alone, loops, equation, max(float(abs(p).max()) for p in updated.values()))
    return Result(**{**result.__dict__, "verdicts": _verdicts(result, c)})


def _apart(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def _slide(x, p):
    """P[y] of one example, as the slide writes it: a minus before C, a sigma on both layers."""
    sigma = lambda z: 1 / (1 + np.exp(-z))
    h = sigma(np.array([sum(p["W0"][j, i] * x[i] for i in range(len(x))) - p["C0"][j] for j in range(len(p["C0"]))]))
    s = sigma(np.array([sum(p["W1"][y, j] * h[j] for j in range(len(h))) - p["C1"][y] for y in range(len(p["C1"]))]))
    return np.exp(s) / np.exp(s).sum()


def _one_by_one(net, x, target, c):
    """The parameters after one update with the average of B gradients, each computed alone and without any b."""
    one = SLIDES.compile(i=c.i, j=c.j, y=c.y, dtype="float64")
    for name, p in net.params.items():
        one.params[name][...] = p
    gradients = []
    for k in range(c.B):
        one.forward(x=x[k], target=target[k])
        one.backward()
        gradients.append({name: one.grads[name].copy() for name in one.params})
    return {name: p - c.lr * sum(g[name] for g in gradients) / c.B for name, p in net.params.items()}


def _verdicts(r, c):
    label = lambda good: "holds" if good else "does not hold here"
    small = lambda d: d < 1e-10 < r.size
    return (
        Verdict("T1", label(small(r.alone)), f"one step on {c.B} examples is the update with the average of their {c.B} gradients, "
                f"{'equal to rounding' if small(r.alone) else f'apart by {r.alone:.0e}'}."),
        Verdict("T4", label(all(i == ("b",) for i in r.first.values()) and small(r.loops)),
                f"b stands first on {', '.join(r.first)}, and the program equals the loops over b."),
        Verdict("T5", label(not any("b" in i for i in r.parameters.values())), f"none of {', '.join(r.parameters)} has a b."),
        Verdict("T6", label(small(r.equation)), "the slide's network, minus before C and sigma on s, gives the slide's P[b,y]."),
    )
