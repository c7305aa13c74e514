"""Nodes and backward steps -> calls on arrays, for one set of sizes.

A buffer is allocated flat for the largest sizes. A smaller last batch uses the front of it, so that
its arrays are contiguous as well and nothing is allocated. Whatever a call reads or writes is a view
of a buffer. `Memory.check` makes sure of that when a call is bound, so that no copy is ever read or
written in a buffer's place.
"""

from __future__ import annotations

from functools import cache, partial
from math import inf, prod

import numpy as np

from . import kernels
from .checking import LARGEST
from .contraction import Operand, aligned, bind
from .derivatives import Accumulate
from .graph import Contraction, Loss, Map, Reduction, Softmax, Term


UNASKED = 2**26         # bytes that a program may hold before it is asked whether more are free


class Memory:
    """Named flat buffers and the views of them. dry: count the bytes and allocate none.

    free: a function that says how many bytes may be held.
    """

    def __init__(self, xp, sizes, dtype, dry=False, free=lambda: inf):
        self.xp, self.sizes, self.dtype = xp, sizes, np.dtype(dtype)
        self.dry, self.free = dry, cache(free)
        self.flat, self.nbytes = {}, 0

    def view(self, name, indices, sizes, dtype=None):
        """The buffer `name` as an array of these indices; made at first for the largest sizes."""
        dtype = np.dtype(dtype or self.dtype)
        if name not in self.flat:
            count = prod(self.sizes[i] for i in indices)
            total = self._total_with(name, count * dtype.itemsize)
            self.flat[name] = np.empty(0, dtype) if self.dry else self.xp.zeros(count, dtype)
            self.nbytes = total
        shape = tuple(sizes[i] for i in indices)
        if self.dry:            # right shape and strides over no memory: enough to bind calls that are never made
            strides = [prod(shape[k + 1:]) * dtype.itemsize for k in range(len(shape))]
            return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)
        return self.flat[name][:prod(shape)].reshape(shape)

    def _total_with(self, name, more):
        """The bytes with these ones; MemoryError where they are more than may be held."""
        total = self.nbytes + more
        if total > LARGEST:
            raise MemoryError(f"{name}: an array of {more:,} bytes is more than a computer can "
                              "address")
        if total > UNASKED and not self.dry and total > self.free():
            raise MemoryError(f"{name}: the arrays would need {total:,} bytes with this one, and "
                              f"{self.free():,} are free")
        return total

    def owns(self, array):
        """Whether the array is a view of a buffer."""
        return id(_owner(array)) in map(id, self.flat.values())

    def check(self, calls):
        """RuntimeError where a call, a functools.partial, has an array that is no view of a buffer."""
        if self.dry:
            return
        owners = set(map(id, self.flat.values()))
        for call in calls:
            bound = getattr(call.func, "__self__", None)    # the array of a method: array.sum
            for array in (bound, *call.args, *call.keywords.values()):
                if isinstance(array, self.xp.ndarray) and id(_owner(array)) not in owners:
                    raise RuntimeError(f"{call.func}: an array of shape {array.shape} is no view "
                                       "of the program's memory")


def _owner(array):
    """The array that owns the memory that this one looks at."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


class Binder:
    """Binds calls to views of the memory, for one set of sizes."""

    def __init__(self, xp, graph, memory, sizes):
        self.xp, self.graph, self.memory, self.sizes = xp, graph, memory, sizes
        self.fills = []             # calls to be made before all others when the sizes have changed

    def array(self, ref):
        return self.memory.view(ref.name, ref.indices, self.sizes, np.int64 if ref.name in self.graph.labels else None)

    def operand(self, ref):
        return Operand(self.array(ref), ref.indices)

    def scratch(self, indices, slot):
        """Working space: the same for every call that asks for these indices and this slot."""
        return self.memory.view(f"{','.join(indices)}/{slot}", indices, self.sizes)

    def filled(self, term, indices):
        """An array that holds the number in front of the term everywhere; 1/B changes with B."""
        view = self.scratch(indices, f"{term.coefficient} {term.powers}")
        self.fills.append(partial(view.fill, term.times(self.sizes)))
        return view

    def term(self, term, target, accumulate):
        factors = [self.operand(f) for f in term.factors]
        number, filled = term.times(self.sizes), partial(self.filled, term)
        return bind(self.xp, number, factors, self.operand(target), accumulate, self.scratch,
                    filled, self.memory.sizes)

    def rows(self, array, over):
        """The array as a matrix: one row for each place outside `over`."""
        columns = prod(self.sizes[i] for i in over)
        return array.reshape(array.size // columns, columns)

    # ------------------------------------------------------------------ forward

    def forward(self, node):
        match node:
            case Contraction():
                return [call for k, term in enumerate(node.terms) for call in self.term(term, node.out, k > 0)]
            case Map():
                arg = aligned(self.operand(node.arg), node.out.indices)
                work = [self.scratch(node.out.indices, "work")] if node.function in kernels.WITH_WORK else []
                return [partial(kernels.MAPS[node.function][0], arg, self.array(node.out), *work, *_exponent(node))]
            case Reduction():
                return [self.reduction(node)]
            case Softmax(log=True):
                inner = node.out.indices[:-1]
                P, top = (self.scratch(node.out.indices, slot) for slot in ("work", "top"))
                rows = [self.scratch(inner, slot) for slot in ("row", "rest")]
                return [partial(kernels.log_softmax, self.array(node.arg), P, self.array(node.out), top, *rows)]
            case Softmax():
                return [partial(kernels.softmax, self.array(node.arg), self.array(node.out), self.row(node.out.indices[:-1]))]
            case Loss():
                return self.loss(node)

    def reduction(self, node):
        arg = self.rows(self.array(node.arg), node.over)
        work = self.rows(self.scratch(node.arg.indices, "work"), node.over)
        out, row = self.array(node.out).reshape(-1), self.row(node.out.indices).reshape(-1)
        number = node.number.times(self.sizes)
        if node.function == "norm":
            return partial(kernels.norm, arg, out, work, row, number)
        top = self.rows(self.scratch(node.arg.indices, "top"), node.over)
        return partial(kernels.logsumexp, arg, out, work, top, row, self.rest(node), number)

    def rest(self, node):
        """What a row of exponentials adds up to besides its largest, one number for each row."""
        return self.scratch(node.out.indices, "rest").reshape(-1)

    def absent(self, node):
        """Truth values, a row for each example: which classes a target leaves out."""
        name = f"{','.join(node.scores.indices)}/absent"
        return self.rows(self.memory.view(name, node.scores.indices, self.sizes, np.bool_), node.over)

    def row(self, indices):
        return self.scratch(indices, "row")

    def loss(self, node):
        s, out, row = self.rows(self.array(node.scores), node.over), self.array(node.out).reshape(-1), self.row(node.out.indices).reshape(-1)
        if node.labels:
            target, places = self.array(node.target).reshape(-1), self.places(node)
            if node.kind == "nll":
                return [partial(kernels.label_places, target, self.counting(node, self.sizes[node.over[0]]), places), partial(kernels.nll, s, places, out)]
            D = self.kept(node, "P").reshape(s.shape[::-1])
            space = (D, places, row, self.rest(node))
            return [partial(kernels.cross_entropy, s, target, self.counting(node), out, *space)]
        t, work = self.rows(self.array(node.target), node.over), self.rows(self.scratch(node.scores.indices, "work"), node.over)
        if node.kind == "squared_error":
            return [partial(kernels.squared_error, s, t, out, work)]
        logP = self.kept(node, "log P")
        if node.kind == "nll":
            return [partial(kernels.log, s, logP), partial(kernels.soft_nll, logP, t, out, work, self.absent(node))]
        parts = partial(kernels.log_softmax, s, self.kept(node, "P"), logP, work, row, self.rest(node))
        return [parts, partial(kernels.soft_nll, logP, t, out, work, self.absent(node))]

    def kept(self, node, what):
        """What a loss keeps for its backward: P or log P, a row for each example."""
        return self.rows(self.memory.view(f"{node.out.name}.{what}", node.scores.indices, self.sizes), node.over)

    def places(self, node):
        return self.memory.view(f"{node.out.name}.places", node.out.indices, self.sizes, np.int64).reshape(-1)

    def counting(self, node, step=1):
        """0, step, 2 step, ..., one for each row."""
        name = f"{node.out.name}.counting"
        view = self.memory.view(name, node.out.indices, self.sizes, np.int64)
        if not self.memory.dry:
            flat = self.memory.flat[name]
            flat[...] = self.xp.arange(len(flat)) * step
        return view.reshape(-1)

    # ------------------------------------------------------------------ backward

    def backward(self, steps):
        """Calls for the steps, in order. The first that reaches a gradient writes it, the later ones add (+=)."""
        calls, written = [], set()
        for step in steps:
            accumulate = step.target.name in written
            written.add(step.target.name)
            calls += self.term(step.term, step.target, accumulate) if isinstance(step, Accumulate) else self.pull(step, accumulate)
        return calls

    def pull(self, step, accumulate):
        target, number = self.array(step.target), Term(1.0, (), step.powers).times(self.sizes)
        into = self.scratch(step.target.indices, "pull") if accumulate else target
        whole_rows = isinstance(step.node, (Loss, Reduction))
        if whole_rows and step.source.indices != step.node.out.indices:
            calls = self.spread(step, into)
        else:
            calls = [self.rule(step, self.array(step.source), into)]
        if number != 1:
            calls.append(partial(self.xp.multiply, into, number, out=into))
        if accumulate:
            calls.append(partial(self.xp.add, target, into, out=target))
        return calls

    def spread(self, step, into):
        """For a loss of parameters alone, where each example has a g[b]: its own gradient, times it."""
        node, target = step.node, step.target.indices
        letters = tuple(i for i in target if i != self.graph.batch)
        own, ones = self.scratch(letters, "own"), self.filled(Term(1.0, ()), node.out.indices)
        factors = aligned(Operand(own, letters), target), aligned(self.operand(step.source), target)
        return [self.rule(step, ones, own), partial(self.xp.multiply, *factors, out=into)]

    def rule(self, step, g, into):
        node, frame = step.node, step.source.indices
        if isinstance(node, Loss):
            return self.loss_rule(step, g.reshape(-1), self.rows(into, node.over))
        if isinstance(node, Reduction):
            return self.reduction_rule(step, g.reshape(-1), into)
        y = aligned(self.operand(node.out), frame)          # a gradient per example has a b that the value may lack
        if isinstance(node, Softmax):
            rule = kernels.log_softmax_backward if node.log else kernels.softmax_backward
            return partial(rule, y, g, into, self.row(frame[:-1]))
        x, into = aligned(self.operand(node.arg), frame), aligned(Operand(into, step.target.indices), frame)
        return partial(kernels.MAPS[node.function][1], x, y, g, into, *_exponent(node))

    def reduction_rule(self, step, g, into):
        node = step.node
        arg, y = self.rows(self.array(node.arg), node.over), self.array(node.out).reshape(-1)
        row, number = self.row(node.out.indices).reshape(-1), node.number.times(self.sizes)
        return partial(kernels.REDUCTIONS_BACKWARD[node.function], arg, y, g, self.rows(into, node.over), row, number)

    def loss_rule(self, step, g, into):
        node = step.node
        s, row = self.rows(self.array(node.scores), node.over), self.row(node.out.indices).reshape(-1)
        if node.labels and node.kind == "nll":
            return partial(kernels.nll_backward, s, self.places(node), g, into, row)
        if node.labels:
            return partial(kernels.cross_entropy_backward, self.kept(node, "P").reshape(s.shape[::-1]), g, into)
        t, to_scores = self.rows(self.array(node.target), node.over), step.target.name.rpartition(".")[0] == node.scores.name
        if node.kind == "squared_error":
            return partial(kernels.squared_error_backward, *((s, t) if to_scores else (t, s)), g, into)
        if not to_scores:
            return partial(kernels.target_backward, self.kept(node, "log P"), g, into)
        if node.kind == "nll":
            return partial(kernels.soft_nll_backward, s, t, g, into, self.absent(node))
        return partial(kernels.soft_cross_entropy_backward, self.kept(node, "P"), t, g, into, row)


def _exponent(node):
    return (node.exponent,) if node.function == "power" else ()
