"""The first values of parameters: normal, zero or one, by the place where a parameter stands.

    W[j,i] * x[i]               summed: N(0, 1/i), or N(0, 2/i) before relu
    U[j,k] * V[k,i] * x[i]      grows outward from x: V gets 1/i, U gets 1/k, as in two lines
    ... - C[j]                  added: 0
    G[j] * ...                  a factor element by element, and a divisor: 1
    W[i]**2 * x[i]              0 would be divided by, or never be left: 1
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod

import numpy as np

from .graph import Contraction, Map, Reduction


def initial(graph, name, indices, sizes, rng):
    """One parameter's first values, of the shape of these indices.

    Its first use in a product where it stands once decides, or else its first use. The variance is
    1/fan-in: fan-in is the product of the sizes of the letters over which the parameter is summed
    when the product grows outward from its inputs. It is 2/fan-in for the outermost parameter
    before relu.
    """
    shape = tuple(sizes[i] for i in indices)
    every = [(node, term) for node in graph.nodes for term in getattr(node, "terms", ())]
    uses = [(node, term) for node, term in every if name in _names(term)]
    single = [use for use in uses if _names(use[1]).count(name) == 1]
    if not uses:
        return np.full(shape, float(_must_not_be_0(graph, name) or _stays_at_0(graph, name)))
    node, term = (single or uses)[0]
    whole = _outward(graph, node, term, sizes)
    fan_in = whole.summed(name)
    if fan_in:
        gain = 2 if whole.outermost == name and _before_relu(graph, whole.out) else 1
        return rng.standard_normal(shape) * (gain / prod(whole.sizes[i] for i in fan_in)) ** 0.5
    alone = len(term.factors) == 1              # a term by itself: added, or the whole of a divisor
    taken_off = term.coefficient < 0 and any(t.coefficient > 0 for t in node.terms)
    divides = not taken_off and _must_not_be_0(graph, name)     # x / (A - D): A = 1 and D = 0
    return np.full(shape, 0.0 if alone and not divides else 1.0)


@dataclass
class Product:
    """The whole product in which a parameter stands.

    factors: [(name, letters)]; out: what it computes; sizes: letter -> size.
    given: names of the factors that depend on an input.
    """

    factors: list
    out: object
    sizes: dict
    given: set

    def __post_init__(self):
        self.distances = [0 if name in self.given else inf for name, _ in self.factors]
        for distance in range(1, len(self.factors) + 1):
            near = {i for i in self._borne_within(distance) if i not in self.out.indices}
            for k, (_, letters) in enumerate(self.factors):
                if self.distances[k] == inf and near & set(letters):
                    self.distances[k] = distance

    def _borne_within(self, distance):
        """The letters of the factors that are nearer to the inputs."""
        nearer = [k for k, own in enumerate(self.distances) if own < distance]
        return {i for k in nearer for i in self.factors[k][1]}

    def summed(self, name):
        """The letters over which this parameter is summed when the product grows outward."""
        k = next(k for k, (own, _) in enumerate(self.factors) if own == name)
        inner = [i for i in self.factors[k][1] if i not in self.out.indices]
        return [i for i in inner if self._sums(k, i)]

    def _sums(self, k, i):
        """Whether the letter is summed where factor k joins.

        A letter that equally near factors share is summed by one of them where an input bears it,
        and between them, by none, where no input does.
        """
        own = self.distances[k]
        bearers = [n for n, (_, letters) in enumerate(self.factors) if i in letters]
        if own == inf or bearers == [k]:
            return True
        if any(self.distances[n] > own for n in bearers):
            return False                        # a factor further out sums it
        equals = [n for n in bearers if self.distances[n] == own]
        if len(bearers) == len(equals):
            return equals == [k]
        inner = self._borne_within(own)
        return k == max(equals, key=lambda n: len(set(self.factors[n][1]) - inner))     # first of equals

    @property
    def outermost(self):
        """The parameter that joins last, of those that sum."""
        own = [k for k, (name, _) in enumerate(self.factors) if name not in self.given]
        summing = [k for k in own if self.summed(self.factors[k][0])]
        return self.factors[max(summing, key=lambda k: self.distances[k])][0]


def _outward(graph, node, term, sizes):
    """The Product of a term.

    A value of parameters alone, U[j,k] * V[k,i] in brackets or on a line of its own, is taken as
    the factors that it stands for, in the product that uses it.
    """
    given = _given(graph)
    factors, sizes, out = [(f.name, f.indices) for f in term.factors], dict(sizes), node.out
    for depth in range(len(graph.nodes)):
        use = _use(graph, out.name) if out.name not in given else None
        if use is None:
            break
        user, around = use
        place = next(k for k, f in enumerate(around.factors) if f.name == out.name)
        letters = dict(zip(out.indices, around.factors[place].indices))
        for i in {i for _, own in factors for i in own} - letters.keys():
            letters[i] = f"{i} {depth}"         # summed inside, so none of the letters outside
            sizes[letters[i]] = sizes[i]
        inside = [(name, tuple(letters[i] for i in own)) for name, own in factors]
        outside = [(f.name, f.indices) for f in around.factors]
        factors, out = [*outside[:place], *inside, *outside[place + 1:]], user.out
    return Product(factors, out, sizes, given)


def _use(graph, name):
    """The first product in which a computed value stands once, as (node, term).

    None where the value stands elsewhere first.
    """
    for node in graph.nodes:
        if name in [r.name for r in node.reads]:
            found = [t for t in getattr(node, "terms", ()) if _names(t).count(name) == 1]
            return (node, found[0]) if found else None
    return None


def _given(graph):
    """The names of all that depends on an input."""
    found = set(graph.roles.inputs)
    for node in graph.nodes:
        if any(r.name in found for r in node.reads):
            found.add(node.out.name)
    return found


def _names(term):
    return [f.name for f in term.factors]


def _before_relu(graph, out):
    maps = [node for node in graph.nodes if isinstance(node, Map)]
    return any(node.function == "relu" and node.arg.name == out.name for node in maps)


def _must_not_be_0(graph, name):
    """Whether a 0 here would be divided by, or has no logarithm, or no finite slope under a root.

    Also further on: S = 0 makes 2*S**2 a 0, which exp(-d / (2*S**2)) divides by.
    """
    zero, given = {name}, _given(graph)

    def vanishes(term):
        names = _names(term)
        return any(n in zero for n in names) or bool(names) and not given.intersection(names)

    for node in graph.nodes:
        reads_it = any(r.name in zero for r in node.reads)
        if isinstance(node, Map) and reads_it:
            if _has_no_0(node):
                return True
            if node.function in ("power", "tanh", "relu") and node.exponent > 0:
                zero.add(node.out.name)
        elif isinstance(node, Reduction) and reads_it and node.function == "norm":
            zero.add(node.out.name)
        elif isinstance(node, Contraction) and reads_it and all(map(vanishes, node.terms)):
            zero.add(node.out.name)
    return False


def _has_no_0(node):
    """Whether a Map has no value at 0 or no finite slope."""
    root = node.function == "power" and (node.exponent < 0 or node.exponent % 1)
    return root or node.function in ("log", "sqrt")


def _stays_at_0(graph, name):
    """Whether no step could leave 0, since every use of the parameter has the slope 0 there."""
    users = [node for node in graph.nodes if name in [r.name for r in node.reads]]

    def flat(node):
        power = isinstance(node, Map) and node.function == "power" and node.exponent > 1
        return power or getattr(node, "function", "") in ("relu", "norm")

    return bool(users) and all(map(flat, users))
