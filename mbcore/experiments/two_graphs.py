"""Q1 Q2 Q4 Q5: a minibatch as a graph of B copies that share the parameters, and as one graph with an index.

    copies   L = (L_0 + ... + L_{B-1}) / B, where L_k is the model of example k and every copy reads the same W0, C0, W1, C1
    index    L = the mean over b of ell[b], the same model with a b on every value
Source: a mathematician's five questions on minibatching and an expert's answers, a Q&A site, 2017. No published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..progress import last
from .agreement import agreements, normalised, parted
from .graph_costs import measured
from .models import MLP
from .pictures import picture
from .three_ways import gained
from .verdict import Verdict

CLAIMS = ("Q1", "Q2", "Q4", "Q5")


@dataclass(frozen=True)
class Config:
    B: tuple = (1, 2, 5)                # batches in which value and gradient are compared
    sizes: tuple = (1, 2, 4, 8, 16, 32, 64, 128)            # batches whose cost is measured; at least two above 1
    layers: tuple = ((64, 32), (784, 256))                  # (I, J) of the networks in which a batch is timed three ways
    batch: int = 64                     # examples in it
    rounds: int = 9                     # each gives one ratio; the 2nd and the 8th of 9 enclose the median with 96 %
    seed: int = 0


SMALL = Config(sizes=(1, 2, 4, 16), layers=((64, 32), (128, 64)), batch=16)     # fewer copies, and a smaller second network


@dataclass(frozen=True)
class Result:
    """readers: parameter -> how many copies read it, in the graph of copies with the largest B of the config.

    coupled: ordered pairs of examples of which one's loss reads the other, (usual, with batch normalisation), same B.
    cross: edges between a copy and a value that copies share, the same two. normalised: batch normalisation as copies
    against as index, value and gradient. refusal: what asking for one example's gradient is then answered; "" if it is not.
    parted: how far two copies' W0 are apart after a step, when each copy had been given a W0 of its own.
    growth: (low, median, high) of step(copies) / step(index) at the largest of the sizes, as in Gain.
    """

    agreements: tuple = ()
    readers: dict | None = None
    coupled: tuple = ()
    cross: tuple = ()
    normalised: float = 0.0
    refusal: str = ""
    parted: float = 0.0
    costs: tuple = ()                   # (Cost of the copies, Cost of the indexed graph), one pair for each size
    growth: tuple = ()
    gains: tuple = ()
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result so far): the comparison first, then the costs, size by size, then the three ways."""
    c = config
    if sum(B > 1 for B in c.sizes) < 2 or c.rounds < 5:
        raise ValueError(f"sizes, rounds: expected two sizes above 1 and at least 5 rounds, got {c.sizes} and {c.rounds}")
    result = _compared(c)
    total = 2 * len(c.sizes) + 4 * len(c.layers)
    for k, B in enumerate(c.sizes):
        copies, index, growth = measured(B, c.rounds, c.seed)
        result = replace(result, costs=(*result.costs, (copies, index)), growth=growth)
        yield 2 * (k + 1) / total, result
    for k, (i, j) in enumerate(c.layers):
        result = replace(result, gains=(*result.gains, gained(i, j, c.batch, c.rounds, c.seed)))
        if k + 1 < len(c.layers):
            yield (2 * len(c.sizes) + 4 * (k + 1)) / total, result
    yield 1.0, replace(result, verdicts=_verdicts(result, c))


def run(config=Config()):
    """`running` to its end."""
    return last(running(config))


def _compared(c):
    B = max(c.B)
    plain, coupled = picture("copies", B), picture("normalised copies", B)
    readers = {p: len({plain.nodes[b].copy for a, b in plain.edges if a == p} - {None}) for p in MLP.parameters}
    return Result(tuple(a for B in c.B for a in agreements(B, c.seed)), readers, (plain.pairs, coupled.pairs),
                  (plain.cross, coupled.cross), *normalised(B, c.seed), parted(c.seed))


# ---------------------------------------------------------------- verdicts


def _verdicts(r, c):
    same = all(max(a.value, a.gradient) < 1e-10 for a in r.agreements)
    return _q1(r, c, same), _q2(r), _q4(r), _q5(r, same)


def _q1(r, c, same):
    B = max(c.B)
    if not same or set(r.readers.values()) != {B} or r.coupled[0] or r.normalised > 1e-10 or r.parted == 0:
        return Verdict("Q1", "does not hold here", "the graph of copies and the indexed graph differ in value or gradient, "
                       "or the copies do not share what they should.")
    same = "copies that share the parameters, and the mean of their losses, are the indexed graph in value and gradient"
    if r.coupled[1] == 0 or not r.refusal:
        return Verdict("Q1", "holds", f"{same}.")
    return Verdict("Q1", "holds when", f"no value inside is averaged over the batch: then {same}. "
                   f"Batch normalisation couples each of {B} examples with every other: {r.coupled[1]} pairs.")


def _q2(r):
    """A clock: a gain counts from 2x on, by the low end of its interval. What further cores add is in the result, not here:
    on small products it is near nothing, and the sentence would change from machine to machine."""
    gained, B = [g for g in r.gains if g.gain[0] > 2], r.gains[0].B
    if not gained:
        return Verdict("Q2", "does not hold here", f"on one thread, a batch of {B} gains less than 2x over a loop on its examples.")
    where = " and ".join(f"{g.i}-{g.j}-10" for g in gained)
    return Verdict("Q2", "holds" if len(gained) == len(r.gains) else "holds when",
                   f"there is a gain without parallel cores: on one thread, a step on {B} examples at once is more than twice as fast "
                   f"as a loop over them, at {where}.")


def _q4(r):
    right = all(a.differences < 1e-6 and a.loops < 1e-10 for a in r.agreements)
    if right and all(a.batch is None for a in r.agreements if a.graph != "index"):
        return Verdict("Q4", "holds", "nothing tells the differentiation that the copies, or a graph whose last line is a mean, are "
                       "a minibatch; it finds the batch's average gradient, that of central differences.")
    return Verdict("Q4", "does not hold here", "the differentiation is told of the batch, or it misses central differences or the loops.")


def _q5(r, same):
    """Counts are exact; the clock's ratio has a wide margin: 3x by the low end of its interval."""
    if not same:
        return Verdict("Q5", "does not hold here", "two ways to a combined graph differ in value or gradient.")
    (few, few_index), (many, index) = next(pair for pair in r.costs if pair[0].B > 1), r.costs[-1]
    grows = many.calls > few.calls and many.nodes > few.nodes and (index.calls, index.nodes) == (few_index.calls, few_index.nodes)
    if grows and r.growth[0] > 3:
        return Verdict("Q5", "holds when", "only value and gradient count, which are equal to rounding. The cost is not: for "
                       f"{many.B} examples the copies have {many.nodes} nodes and {many.calls} calls, the index {index.nodes} and "
                       f"{index.calls}, and their step takes more than 3x as long.")
    return Verdict("Q5", "holds", "value and gradient are equal, and the copies do not clearly cost more than the index.")
