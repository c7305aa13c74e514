"""The two roofs over a machine's arithmetic, and where one step of a network lies under them.

S. Williams, A. Waterman and D. Patterson, Roofline: An Insightful Visual Performance Model, CACM 52(4), 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from .backend import array_module
from .checking import WrongKind, real, shown, whole
from .contraction import cheapest, letters_of
from .derivatives import Accumulate, backward
from .graph import Contraction
from .hardware import check_room, throughput
from .intake import checked_sizes, float_dtype
from .progress import last


@dataclass(frozen=True)
class Peak:
    """flops: float32 operations a second of a large matrix product. bandwidth: bytes a second of a large copy, read and written."""

    flops: float
    bandwidth: float

    def attainable(self, work):
        """Operations a second within both roofs, min(flops, intensity * bandwidth): S. Williams et al. 2009, "Roofline". A step
        whose arrays stay in the caches may be above the second roof; one that is mostly calls is far below both."""
        if not isinstance(work, Work):
            raise WrongKind(f"work: expected what roofline.work counts, got {shown(work)}")
        return min(self.flops, work.intensity * self.bandwidth)


@dataclass(frozen=True)
class Work:
    """What one step does: floating-point operations, and bytes moved if every call reads its arrays from memory and writes them back."""

    flops: int
    nbytes: int

    @property
    def intensity(self):
        """Operations for each byte."""
        return self.flops / self.nbytes


def peak(device="cpu", n=1024, copied=2**26, budget=0.4):
    """Measure both roofs: a product of n x n matrices, 2 n^3 operations, and a copy of `copied`
    bytes, which moves twice that."""
    xp, n, copied = array_module(device), whole("n", n), whole("copied", copied, 4)
    budget = real("budget", budget, above=0)
    check_room("n", 2 * 4 * n * n, device)
    check_room("copied", 2 * copied, device)
    a, c = xp.asarray(np.ones((n, n), np.float32)), xp.asarray(np.ones((n, n), np.float32))
    source, target = (xp.asarray(np.ones(copied // 4, np.float32)) for _ in range(2))
    product = last(throughput(lambda _: xp.matmul(a, a, out=c), (n,), budget / 2, device))
    copy = last(throughput(lambda _: xp.copyto(target, source), (copied,), budget / 2, device))
    return Peak(2 * n**3 / float(product.seconds[0]), 2 * copied / float(copy.seconds[0]))


def work(equations, dtype="float32", **sizes):
    """Count `Work` of one SGD step from its graph. In a product summed over an index, 2 operations for each place; elsewhere 1
    for each number that is computed (a sigmoid counts 1 as well, which makes the element-wise part a lower bound)."""
    graph = getattr(equations, "graph", None)
    if graph is None or "L" not in graph.shapes:
        raise TypeError(f"equations: expected mb.equations(...) that compute L, got {shown(equations)}")
    count = _Count(graph, checked_sizes(graph, sizes), float_dtype(dtype).itemsize)
    for node in graph.nodes:
        if isinstance(node, Contraction):
            for k, term in enumerate(node.terms):
                count.term(term, node.out, k > 0)
        else:
            count.elementwise(node.reads, node.out)
    written = set()
    for step in backward(graph, set(equations.parameters), mean_in=("loss",)):
        if isinstance(step, Accumulate):
            count.term(step.term, step.target, step.target.name in written)
        else:
            count.elementwise((step.source, *step.node.reads, step.node.out), step.target)
        written.add(step.target.name)
    for name, indices in equations.parameters.items():
        if name + ".grad" in written:                                      # p -= its step: two read, one written
            count.flops += count.places(indices)
            count.nbytes += 3 * count.places(indices) * count.itemsize
    return Work(count.flops, count.nbytes)


class _Count:
    def __init__(self, graph, sizes, itemsize):
        self.graph, self.sizes, self.itemsize, self.flops, self.nbytes = graph, sizes, itemsize, 0, 0

    def places(self, indices):
        return prod(self.sizes[i] for i in indices)

    def bytes_of(self, ref):
        return self.places(ref.indices) * (8 if ref.name in self.graph.labels else self.itemsize)

    def term(self, term, out, accumulate):
        """A product of factors, two at a time in the order that `contraction` takes, put into or added to out."""
        self.nbytes += sum(map(self.bytes_of, (*term.factors, out, *(out,) * accumulate)))
        self.flops += self.places(out.indices) * accumulate
        factors = [f.indices for f in term.factors]
        if len(factors) == 1 and set(factors[0]) - set(out.indices):
            self.flops += self.places(factors[0])
        if len(factors) > 1:
            self.product(cheapest(factors, out.indices, self.sizes), set(out.indices), factors)

    def product(self, order, needed, factors):
        """Count a product whose letters `needed` are needed afterwards; returns those that it bears."""
        if not isinstance(order, tuple):
            return set(factors[order])
        left, right = order
        every = self.product(left, needed | letters_of(right, factors), factors)
        every |= self.product(right, needed | letters_of(left, factors), factors)
        self.flops += self.places(every) * (2 if every - needed else 1)
        return every & needed

    def elementwise(self, read, out):
        self.nbytes += sum(map(self.bytes_of, (*read, out)))
        self.flops += self.places(max((out, *read[:1]), key=lambda r: self.places(r.indices)).indices)
