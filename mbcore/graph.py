"""Equations -> a short list of nodes. Five kinds carry every model, and each has one derivative rule.

    Contraction   out[..] = sum of terms; a term is a number times a product of values, summed over what out lacks
    Map           out[..] = f(arg[..]), element by element
    Softmax       out[..] = exp(arg[..]) / sum over one index, or the logarithm of it
    Reduction     out[..] = logsumexp | norm of arg[..] over some indices: made by `rewrites` alone
    Loss          out[..] = cross_entropy | nll | squared_error of two values, over the class index

What a statement computes inside an expression gets the statement's name and a tilde: h~ is the value before the sigma.
`lowering` makes them; the rules stand in `derivatives`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from .notation import Ref


@dataclass(frozen=True)
class Term:
    """coefficient * product of size(i)**p over `powers` * product of factors."""

    coefficient: float
    factors: tuple
    powers: tuple = ()              # ((index, exponent), ...): (("b", -1),) is 1/B

    def times(self, sizes):
        """The number in front, once the sizes are known."""
        value = self.coefficient
        for index, power in self.powers:
            value *= float(sizes[index]) ** power
        return value


@dataclass(frozen=True)
class Contraction:
    out: Ref
    terms: tuple

    @property
    def reads(self):
        return tuple(f for t in self.terms for f in t.factors)


@dataclass(frozen=True)
class Map:
    out: Ref
    function: str                   # one of MAPS, or "power"
    arg: Ref
    exponent: float = 1.0

    @property
    def reads(self):
        return (self.arg,)


@dataclass(frozen=True)
class Softmax:
    out: Ref
    arg: Ref
    over: str
    log: bool = False               # its logarithm: log(softmax(...))

    @property
    def reads(self):
        return (self.arg,)


@dataclass(frozen=True)
class Reduction:
    """logsumexp: log(number * sum of exp(arg)). norm: sqrt(number * sum of arg^2). arg has the indices of out, then `over`."""

    out: Ref
    function: str
    arg: Ref
    over: tuple
    number: Term = Term(1.0, ())    # without factors: 1/B in a mean

    @property
    def reads(self):
        return (self.arg,)


@dataclass(frozen=True)
class Loss:
    """over: the indices of the scores that out lacks. labels: the target holds integers, one for each row of scores."""

    out: Ref
    kind: str
    scores: Ref
    target: Ref
    over: tuple
    labels: bool

    @property
    def reads(self):
        return (self.scores, self.target)


@dataclass(frozen=True)
class Graph:
    nodes: tuple
    roles: object                   # indexing.Roles
    replicas: tuple = ()
    pending: tuple = ()             # over= letters that no value bears yet
    shapes: dict = field(default_factory=dict)      # every name, temporaries too -> indices
    text: str = ""                  # the equations, one a line
    written: object = None          # the graph before `rewrites`, where they changed it

    @cached_property
    def identity(self):
        """The equations without the batch index, one a line: what parameters belong to, whatever batches they are used with."""
        without = lambda found: ",".join(i for i in found[1].split(",") if i != self.batch)
        return re.sub(r"\[([^]]*)\]", lambda found: f"[{without(found)}]", self.text).replace("[]", "")

    @cached_property
    def batch(self):
        """The batch index: the index of L that no parameter bears; `lowering` has seen to it that there is one at most."""
        free = [i for i in self.shapes.get("L", ()) if i not in (*self.replicas, *self.owners)]
        return free[0] if free else None

    @cached_property
    def owners(self):
        """index -> the parameter that it is an index of, under this letter or another one of the same size."""
        found = {i: name for name, indices in self.roles.parameters.items() for i in indices}
        grown = -1
        while grown != len(found):
            grown = len(found)
            for used, own, _ in self.same_sizes:
                for i, other in ((used, own), (own, used)):
                    if other in found:
                        found.setdefault(i, found[other])
        return found

    @cached_property
    def labels(self):
        """Input name -> indices it counts in: target holds whole numbers 0 <= target < size of y."""
        found = {}
        for n in self.nodes:
            if isinstance(n, Loss) and n.labels:
                found[n.target.name] = (*found.get(n.target.name, ()), n.over[0])
        return found

    @property
    def letters(self):
        """Every index, also one that only stands where a name is used."""
        declared = [i for indices in self.shapes.values() for i in indices]
        used = [used for used, _, _ in self.same_sizes]
        return tuple(dict.fromkeys((*declared, *used)))

    @property
    def same_sizes(self):
        """(letter used, letter declared, name): one size per position, whatever the letter."""
        pairs = ((used, own, ref.name) for n in self.nodes for ref in (n.out, *n.reads)
                 for used, own in zip(ref.indices, self.shapes[ref.name]))
        return tuple(dict.fromkeys(p for p in pairs if p[0] != p[1]))

    @property
    def counts(self):
        """{"nodes": what is computed, "edges": who reads what, "leaves": inputs and parameters}."""
        edges = {(r.name, n.out.name) for n in self.nodes for r in n.reads}
        leaves = len(self.roles.inputs) + len(self.roles.parameters)
        return {"nodes": len(self.nodes), "edges": len(edges), "leaves": leaves}

    def needed(self, name):
        """The nodes that computing `name` needs, in order."""
        wanted, keep = {name}, []
        for node in reversed(self.nodes):
            if node.out.name in wanted:
                wanted |= {r.name for r in node.reads}
                keep.append(node)
        return tuple(reversed(keep))


def form(ref, made, renamed=()):
    """How a value is written: equal for two that are written alike, whatever they are called inside.

    made: name -> node, for the values inside an equation; renamed: letter -> letter that stands in
    its place. s[y]/2 and s[k]/2 with k renamed to y have one form. Letters that a node sums belong
    to it, so that none of them is taken for a letter of the same name outside.
    """
    swap = dict(renamed)
    node = made.get(ref.name) if "~" in ref.name else None
    if not isinstance(node, (Map, Contraction)):
        return ref.name, tuple(swap.get(i, i) for i in ref.indices)
    here = {own: swap.get(i, i) for own, i in zip(node.out.indices, ref.indices)}
    if isinstance(node, Map):
        return node.function, node.exponent, form(node.arg, made, here)
    inside = {i for r in node.reads for i in r.indices} - set(node.out.indices)
    terms = ((t.coefficient, t.powers, *(form(f, made, here) for f in t.factors)) for t in node.terms)
    return frozenset(here.values()), frozenset(inside), *terms
