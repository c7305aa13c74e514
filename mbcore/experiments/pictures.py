"""A graph of lesson 02 laid out to be drawn: one box for each line of the equations, one for each input and parameter."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from itertools import accumulate

from .agreement import value_and_gradient
from .graphs import GRAPHS


@dataclass(frozen=True)
class Node:
    """label: the name with its indices. kind: input, parameter or value. copy: the example it belongs to, None for what is
    shared or indexed. batched: whether it bears a b. depth: the level it stands on, 0 for x. row: copy 0 is 0, and what all
    copies share stands before them at -1 (parameters) or between them."""

    label: str
    kind: str
    copy: int | None
    batched: bool
    depth: float
    row: float


@dataclass(frozen=True)
class Picture:
    """nodes: Node by name. edges: (from, to). counts: nodes (lines computed), edges, leaves, as drawn. read: names of all
    that the loss of example 0 depends on. pairs: ordered pairs of examples of which one's loss depends on the other's inputs,
    in a graph of copies. cross: edges between a copy and a value that copies share."""

    nodes: dict
    edges: tuple
    counts: dict
    read: frozenset
    pairs: int
    cross: int


@functools.lru_cache(maxsize=64)
def picture(graph, B):
    """One of GRAPHS for B examples, laid out in levels; B up to 6 is readable."""
    if graph not in GRAPHS:
        raise ValueError(f"graph: expected one of {', '.join(GRAPHS)}, got {graph!r}")
    return _Layout(GRAPHS[graph](B).graph).picture()


KINDS = {"share the parameters": ("copies", "averaged"), "meet in batch normalisation": ("normalised copies", "normalised"),
         "have their own parameters": ("parameters copied", "parameters indexed")}       # what the copies do -> copies, indexed


@dataclass(frozen=True)
class Side:
    """One of two graphs for the same examples: its picture, the loss L, and the norm of its gradient by W0; where every
    example has a W0 of its own, the norm of the sum of these gradients."""

    picture: Picture
    L: float
    gradient: float


def side_by_side(kind, B):
    """(Side of B copies, Side of the indexed graph), computed on the same examples; kind: one of KINDS."""
    return tuple(Side(picture(graph, B), *value_and_gradient(graph, B)) for graph in KINDS[kind])


class _Layout:
    def __init__(self, g):
        self.shapes = {name: indices for name, indices in g.shapes.items() if "~" not in name}
        self.edges = tuple(dict.fromkeys((r.name, n.out.name.split("~")[0]) for n in g.nodes for r in n.reads if "~" not in r.name))
        self.parameters, self.inputs = g.roles.parameters, g.roles.inputs
        self.copy = {name: _copy(name) for name in self.shapes}
        self.readers = {name: [b for a, b in self.edges if a == name] for name in self.shapes}
        self.level = dict.fromkeys((*self.parameters, *self.inputs), 0)
        for name in dict.fromkeys(n.out.name.split("~")[0] for n in g.nodes):
            self.level[name] = 1 + max(self.level[a] for a, b in self.edges if b == name)
        self.values = [name for name in self.shapes if name not in self.parameters and name not in self.inputs]
        self.copies = 1 + max((k for k in self.copy.values() if k is not None), default=0)
        self.meeting = {a for a in self.values if not self.own(a) and any(map(self.own, self.readers[a]))}
        self.depth = list(accumulate((self.gap(level) for level in range(1, 1 + max(self.level.values()))), initial=0.0))

    def own(self, name):
        """Whether it belongs to one example, or holds a row for each."""
        return self.copy[name] is not None or "b" in self.shapes[name]

    def reader(self, name):
        """The level of the first that reads it."""
        return min(self.level[b] for b in self.readers[name])

    def read_first_at(self, level, copy=...):
        """The parameters read first at this level, of one copy or of the first."""
        copies = {copy} if copy is not ... else {None, 0}
        return [p for p in self.parameters if self.reader(p) == level and self.copy[p] in copies]

    def gap(self, level):
        """The room above a level: more where two parameters or a target must stand in it."""
        late = level > 1 and any(self.reader(name) == level for name in self.inputs)
        return 1.5 if late or len(self.read_first_at(level)) > 1 else 1.0

    def picture(self):
        nodes = {name: self.node(name) for name in self.shapes}
        first = "L_0" if "L_0" in nodes else "L"
        counts = {"nodes": len(self.values), "edges": len(self.edges), "leaves": len(nodes) - len(self.values)}
        cross = sum(a in self.meeting or b in self.meeting for a, b in self.edges if self.own(a) or self.own(b))
        return Picture(nodes, self.edges, counts, frozenset(self.behind(first)), self.pairs(), cross)

    def node(self, name):
        indices, copy = self.shapes[name], self.copy[name]
        kind = "value" if name in self.values else "parameter" if name in self.parameters else "input"
        label = f"{name}[{','.join(indices)}]" if indices else name
        return Node(label, kind, copy, "b" in indices, *getattr(self, kind)(name, copy))

    # each gives (depth, row)

    def value(self, name, copy):
        middle = (self.copies - 1) / 2
        between = middle if middle % 1 else middle + 0.5            # a meeting stands beside the line through a copy, not on it
        return self.depth[self.level[name]], copy or 0 if self.own(name) else between if name in self.meeting else middle

    def input(self, name, copy):
        after = self.reader(name) - 1
        beside = after > 0                                          # a target: next to the line into its reader
        return (self.depth[after] + self.depth[after + 1]) / 2 if beside else 0.0, (copy or 0) + 0.42 * beside

    def parameter(self, name, copy):
        level = self.reader(name)
        beside = self.read_first_at(level, copy)
        share = (2 * beside.index(name) + 1) / (2 * len(beside))
        depth = self.depth[level - 1] + share * (self.depth[level] - self.depth[level - 1])
        return depth, -1 if copy is None else copy - 0.45

    def behind(self, name):
        """The name and all that it depends on."""
        found = {name}
        for a, b in reversed(self.edges):           # the edges stand in the order of computing
            if b in found:
                found.add(a)
        return found

    def pairs(self):
        losses = [name for name in self.values if re.fullmatch(r"L_\d+", name)]
        read = {name: {self.copy[a] for a in self.behind(name) if a in self.inputs} for name in losses}
        return sum(len(read[name] - {self.copy[name]}) for name in losses)


def _copy(name):
    found = re.fullmatch(r"[A-Za-z0-9]+_(\d+)", name)
    return int(found[1]) if found else None
