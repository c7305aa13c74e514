"""Averages over time: of the parameters (Polyak-Ruppert), and of gradients kept from earlier steps (SAG, SVRG).

The rules of `optim` use what these give as they use program.grads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backend import xp_of
from .intake import check_names
from .optim import Kept


@dataclass(eq=False)
class PolyakRuppert(Kept):
    """average <- average + (w - average) / k, k = max(1, updates - start): the mean of the iterates after the first `start`.

    Until then it is the last iterate. B. Polyak and A. Juditsky 1992; D. Ruppert 1988.
    """

    start: int = 0
    kinds = ("average",)

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.start, bool) or not isinstance(self.start, int) or self.start < 0:
            raise ValueError(f"start: expected a whole number of at least 0, got {self.start!r}")

    def update(self, params):
        """Take the parameters in, after an update of theirs; they are not changed."""
        kept = [self._arrays_for(name, p) for name, p in params.items()]
        self.steps += 1
        k = max(1, self.steps - self.start)
        for p, (scratch, average) in zip(params.values(), kept):
            xp = xp_of(p)
            xp.subtract(p, average, out=scratch)
            xp.copyto(average, p) if k == 1 else xp.add(average, xp.multiply(scratch, 1 / k, out=scratch), out=average)

    @property
    def average(self):
        """name -> the average, to copy into a program: net.params[name][...] = array. RuntimeError before the first update."""
        if not self.steps:
            raise RuntimeError("average: there is none yet; call update first")
        return {k.partition(".")[2]: a for k, a in self._arrays.items() if k.startswith("average.")}


class Indexed(Kept):
    """Gradients that need to know which examples a batch holds; for small problems, as each example's gradient is formed.

    program: one network with a batch index; data: its inputs for all n examples, by name (x=, target=); an input that
    bears no batch index is given as it is. `gradients(at)`, at[b] the indices of a batch, at most the compiled size, is
    for any rule: rule.update(program.params, sag.gradients(at), lr). `losses` is L[b] at that batch.
    """

    def __init__(self, program, **data):
        self.__post_init__()
        if program.graph.replicas or not program.graph.batch:
            raise ValueError("program: expected one network with a batch index and no replicas")
        check_names(data, program.graph.roles.inputs, program.params)
        self._data, self._program = data, program
        self._batched = [name for name, i in program.graph.roles.inputs.items() if program.graph.batch in i]
        counts = {name: len(data[name]) for name in self._batched}
        if len(set(counts.values())) != 1:
            raise ValueError(f"data: expected as many examples in each input, got {counts}")
        self.n, self.losses = counts.popitem()[1], None

    def _each(self, program, at):
        """name -> d L[b] / d parameter at these examples, [b, ...]."""
        self.losses = program.forward(**{k: a[at] if k in self._batched else a for k, a in self._data.items()})
        return {name: program.per_example_grads(name) for name in program.params}

    def _checked(self, at):
        at = np.asarray(at)
        if at.ndim != 1 or at.dtype.kind not in "iu" or not at.size or at.min() < 0 or at.max() >= self.n:
            raise ValueError(f"at: expected indices from 0 to {self.n - 1} in one axis, got {at!r}")
        return at


class SAG(Indexed):
    """The mean of a table that holds the last gradient seen of each example; a batch renews its own rows first.

    gradients(at) = (1/m) sum_n table[n], m the examples seen so far. Biased, but its error goes to 0 at the minimum, so a
    constant lr converges. The table holds n times the parameters; beyond `most_bytes` it is refused.
    M. Schmidt, N. Le Roux and F. Bach 2017, arXiv:1309.2388.
    """

    kinds, most_bytes = ("table", "total", "seen"), 2 ** 30

    def gradients(self, at):
        """name -> mean of the table after the rows `at` are renewed. An index that stands twice counts once."""
        at = self._checked(at)
        needed = self.n * sum(p.nbytes for p in self._program.params.values())
        if needed > self.most_bytes:
            raise ValueError(f"data: a table of {self.n} gradients takes {needed:,} bytes, above most_bytes = {self.most_bytes:,}")
        xp, params = self._program.xp, self._program.params
        seen = self._array("seen", "examples", np, (self.n,), np.dtype(bool))
        kept = {name: (self._array("table", name, xp, (self.n, *p.shape), p.dtype), self._array("total", name, xp, p.shape, p.dtype))
                for name, p in params.items()}
        each = self._each(self._program, at)
        rows, first = np.unique(at, return_index=True)
        self.steps += 1
        seen[rows] = True
        for name, (table, total) in kept.items():
            new = each[name][first]
            total += (new - table[rows]).sum(axis=0)
            table[rows] = new
        return {name: total / int(seen.sum()) for name, (_, total) in kept.items()}


class SVRG(Indexed):
    """mean over b of g[b](w) - g[b](w~), plus the full gradient at w~, a point kept by `anchor()`, say once a pass.

    Unbiased where every example is equally likely in a batch; its variance goes to 0 as w and w~ go to the minimum, so a
    constant lr converges. Two gradients an example and step, and n at each anchor. R. Johnson and T. Zhang, NIPS 2013.
    """

    kinds = ("anchor", "mean")

    def __init__(self, program, **data):
        super().__init__(program, **data)
        self._there = type(program)(program.graph, program.sizes, program.device, program.dtype)     # a second set of parameters

    def anchor(self):
        """Keep the parameters as they are now, and compute the gradient of all examples there."""
        B, xp = self._program.sizes[self._program.graph.batch], self._program.xp
        kept = {name: [self._array(k, name, xp, p.shape, p.dtype) for k in self.kinds] for name, p in self._program.params.items()}
        for anchor, mean in kept.values():
            mean.fill(0)
        for start in range(0, self.n, B):
            each = self._each(self._program, np.arange(start, min(start + B, self.n)))
            for name, (_, mean) in kept.items():
                mean += each[name].sum(axis=0) / self.n
        for name, (anchor, _) in kept.items():
            xp.copyto(anchor, self._program.params[name])
        self.steps += 1

    def gradients(self, at):
        """name -> the estimate. RuntimeError before the first anchor."""
        if not self.steps:
            raise RuntimeError("gradients: there is no anchor yet; call anchor first")
        at = self._checked(at)
        for name, p in self._there.params.items():
            self._program.xp.copyto(p, self._arrays[f"anchor.{name}"])
        there, here = self._each(self._there, at), self._each(self._program, at)
        return {name: (here[name] - there[name]).mean(axis=0) + self._arrays[f"mean.{name}"] for name in here}
