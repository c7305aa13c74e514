"""Averages over time: of the parameters (Polyak-Ruppert), and of gradients kept from earlier steps
(SAG, SVRG).

The rules of `optim` use what these give as they use program.grads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from .backend import at_once, device_of, xp_of
from .checking import WrongKind, host_array, shown, whole
from .derivatives import coupling
from .intake import check_names
from .optim import Kept, Later, check_floats
from .program import Program


@dataclass(eq=False)
class PolyakRuppert(Kept):
    """average <- average + (w - average) / k, k = max(1, updates - start): the mean of the
    iterates after the first `start`.

    Until then it is the last iterate. B. Polyak and A. Juditsky 1992; D. Ruppert 1988.
    """

    start: int = 0
    kinds = ("average",)

    def __post_init__(self):
        super().__post_init__()
        self.start = whole("start", self.start, 0)

    def update(self, params):
        """Take the parameters in, after an update of theirs; they are not changed. All of them, or
        none after an error."""
        if not isinstance(params, Mapping) or not params:
            raise WrongKind(
                f"params: expected a dictionary of arrays, name -> array, got {shown(params)}"
            )
        for name, p in params.items():
            check_floats(f"params[{name!r}]", p)
        kept = [self._arrays_for(name, p) for name, p in params.items()]
        k = max(1, self.steps + 1 - self.start)
        calls = []
        for p, arrays in zip(params.values(), kept):
            later, (scratch, average) = Later(xp_of(p), calls), arrays.values()
            if k == 1:
                later.multiply(p, 1, out=average)
            else:
                later.subtract(p, average, out=scratch)
                later.multiply(scratch, 1 / k, out=scratch)
                later.add(average, scratch, out=average)
        at_once([*calls, self._moved(kept)])

    @property
    def average(self):
        """name -> the average, to copy into a program: net.params[name][...] = array. RuntimeError
        before the first update."""
        if not self.steps:
            raise RuntimeError("average: there is none yet; call update first")
        return {k.partition(".")[2]: a for k, a in self._arrays.items() if k.startswith("average.")}


class Indexed(Kept):
    """Gradients that need to know which examples a batch holds; for small problems, as each
    example's gradient is formed.

    program: one network with a batch index; data: its inputs for all n examples, by name (x=,
    target=); an input that bears no batch index is given as it is. `gradients(at)`, at[b] the
    indices of a batch, at most the compiled size, is
    for any rule: rule.update(program.params, sag.gradients(at), lr). `losses` is L[b] at that
    batch.
    """

    def __init__(self, program, **data):
        self.__post_init__()
        if not isinstance(program, Program):
            raise WrongKind(
                f"program: expected a Program (equations(...).with_index('b').compile(...)), got "
                f"{shown(program)}"
            )
        if program.graph.replicas or not program.graph.batch:
            raise ValueError("program: expected one network with a batch index and no replicas")
        mixed = coupling(program.graph)
        if mixed:
            raise ValueError(
                f"program: {mixed}, so the loss of one example has no gradient of its own"
            )
        check_names(data, program.graph.roles.inputs, program.params)
        data = {
            name: a if device_of(a) == "gpu" else host_array(name, a) for name, a in data.items()
        }
        self._data, self._program = data, program
        self._batched = [
            name for name, i in program.graph.roles.inputs.items() if program.graph.batch in i
        ]
        counts = {name: data[name].shape[:1] for name in self._batched}
        if len(set(counts.values())) != 1 or counts[self._batched[0]] in ((), (0,)):
            raise ValueError(f"data: expected as many examples in each input, got {counts}")
        (self.n,), self.losses = counts[self._batched[0]], None

    def _each(self, program, at):
        """name -> d L[b] / d parameter at these examples, [b, ...]."""
        self.losses = program.forward(
            **{k: a[at] if k in self._batched else a for k, a in self._data.items()}
        )
        return {name: program.per_example_grads(name) for name in program.params}

    def _places(self, at):
        at = host_array("at", at)
        if (
            at.ndim != 1
            or at.dtype.kind not in "iu"
            or not at.size
            or at.min() < 0
            or at.max() >= self.n
        ):
            raise ValueError(f"at: expected indices from 0 to {self.n - 1} in one axis, got {shown(at)}")
        return at


class SAG(Indexed):
    """The mean of a table that holds the last gradient seen of each example; a batch renews its
    own rows first.

    gradients(at) = (1/m) sum_n table[n], m the examples seen so far. Biased, but its error goes to
    0 at the minimum, so a constant lr converges. The table holds n times the parameters; beyond
    `most_bytes` it is refused. M. Schmidt, N. Le Roux and F. Bach 2017, arXiv:1309.2388.
    """

    kinds, most_bytes = ("table", "total", "seen"), 2**30

    def gradients(self, at):
        """name -> mean of the table after the rows `at` are renewed. An index that stands twice
        counts once."""
        at = self._places(at)
        needed = self.n * sum(p.nbytes for p in self._program.params.values())
        if needed > self.most_bytes:
            raise ValueError(
                f"data: a table of {self.n} gradients takes {needed:,} bytes, above most_bytes = "
                f"{self.most_bytes:,}"
            )
        xp, params = self._program.xp, self._program.params
        mask = dict([self._array("seen", "examples", np, (self.n,), np.dtype(bool))])
        tables = {
            name: self._array("table", name, xp, (self.n, *p.shape), p.dtype)
            for name, p in params.items()
        }
        totals = {
            name: self._array("total", name, xp, p.shape, p.dtype) for name, p in params.items()
        }
        each = self._each(self._program, at)
        rows, first = np.unique(at, return_index=True)
        (seen,) = mask.values()
        calls = [partial(seen.__setitem__, rows, True)]
        for name, (_, table) in tables.items():
            new, total = each[name][first], totals[name][1]
            calls.append(partial(xp.add, total, (new - table[rows]).sum(axis=0), out=total))
            calls.append(partial(table.__setitem__, rows, new))
        at_once([*calls, self._moved([mask, dict(tables.values()), dict(totals.values())])])
        return {name: total / int(seen.sum()) for name, (_, total) in totals.items()}

    def _checked(self, key, value):
        """As of any state, but for the mask of the examples seen."""
        if key != "seen.examples":
            return super()._checked(key, value)
        seen = np.array(host_array(f"state[{key!r}]", value))
        if seen.dtype != bool or seen.shape != (self.n,):
            raise ValueError(
                f"state[{key!r}]: expected whether each of {self.n} examples was seen, got "
                f"{shown(seen)}"
            )
        return seen

    def _check_together(self, arrays):
        wanted = {
            f"{kind}.{name}" for kind in ("table", "total") for name in self._program.params
        } | {"seen.examples"}
        if arrays and set(arrays) != wanted:
            raise ValueError(
                f"state: expected {', '.join(sorted(wanted))}, got {', '.join(sorted(arrays))}"
            )


class SVRG(Indexed):
    """mean over b of g[b](w) - g[b](w~), plus the full gradient at w~, a point kept by `anchor()`,
    say once a pass.

    Unbiased where every example is equally likely in a batch; its variance goes to 0 as w and w~
    go to the minimum, so a constant lr converges. Two gradients an example and step, and n at each
    anchor. R. Johnson and T. Zhang, NIPS 2013.
    """

    kinds = ("anchor", "mean")

    def __init__(self, program, **data):
        super().__init__(program, **data)
        self._there = type(program)(
            program.graph, program.sizes, program.device, program.dtype
        )  # a second set of parameters

    def anchor(self):
        """Keep the parameters as they are now, and compute the gradient of all examples there."""
        B, xp, params = (
            self._program.sizes[self._program.graph.batch],
            self._program.xp,
            self._program.params,
        )
        anchors = {f"anchor.{name}": p.copy() for name, p in params.items()}
        means = {f"mean.{name}": xp.zeros(p.shape, dtype=p.dtype) for name, p in params.items()}
        for start in range(0, self.n, B):
            each = self._each(self._program, np.arange(start, min(start + B, self.n)))
            for name in params:
                means[f"mean.{name}"] += each[name].sum(axis=0) / self.n
        at_once([self._moved([anchors, means])])

    def gradients(self, at):
        """name -> the estimate. RuntimeError before the first anchor."""
        if not self.steps:
            raise RuntimeError("gradients: there is no anchor yet; call anchor first")
        at = self._places(at)
        kept = {
            k: a
            for name, p in self._there.params.items()
            for k, a in self._arrays_for(name, p).items()
        }
        for name, p in self._there.params.items():
            p[...] = kept[f"anchor.{name}"]
        there, here = self._each(self._there, at), self._each(self._program, at)
        return {
            name: (here[name] - there[name]).mean(axis=0) + kept[f"mean.{name}"] for name in here
        }
