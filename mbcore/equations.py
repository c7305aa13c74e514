"""`Equations`: the model for one example, and the few acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from . import indexing, loops, reference
from .checking import WrongKind, host_array, shown
from .intake import check_names, checked_input, checked_mean_in, checked_sizes, sizes_of
from .latex import latex
from .lowering import lower
from .notation import Ref, parse
from .program import Program
from .rewrites import rewritten


def equations(text):
    """The model for one example, in the slides' notation; NotationError with place and reason for
    anything else.

    One statement a line: name[indices] = expression. A name on a left side is computed; otherwise a
    capital makes a parameter and a small letter an input. L is the loss, one number for each
    example.

    In a product, an index that stands twice and that the left side lacks is summed. Brackets and
    function arguments are scopes, so that each line means what it means on paper:

        h[j] = tanh(W[j,i]*x[i]) * sigmoid(V[j,i]*x[i])     each function sums its own i
        L = (W[i]*x[i]) * (V[i]*x[i])                       two sums, multiplied
        L = W[i]*x[i] * V[i]*x[i]                           one sum of four factors
        L = x[i]*u[i] / sqrt(x[i]*x[i])                     a sum, divided by the root of another
        L = W[i] * (V[i]*x[i] + u[i])                       one sum: u[i] keeps i free in it
        h[i] = V[i] * tanh(W[i]*x[i])                       no sum: the left side has i
        L = sum(V[i] * tanh(W[i]*x[i]), over=i)             one sum, over all of it
        L = V[i] * tanh(W[i]*x[i])                          refused: summed inside, once outside

    An index is free, and never summed by itself, where the left side, an over= around it or another
    term of the same sum bears it alone; this holds inside the brackets and functions of that place
    too, so that a bracket around a term of a sum changes nothing. Any other index is summed in the
    innermost scope in whose product it stands twice; what the product around still bears of it is
    summed there if it is two or more, and refused if it is one. A loss is a scope that sums its
    class index (squared_error: all indices of its arguments) where they are not free; softmax keeps
    its index. A minus and a division make no scope; a power's base and a divisor in brackets do.
    """
    return Equations(parse(text))


@dataclass(frozen=True, repr=False)
class Equations:
    """Immutable; every act returns new Equations or a Program."""

    statements: tuple
    replicas: tuple = ()  # indices that parameters got: r
    newest: str | None = None  # the index that was added last, highlighted in LaTeX
    batch: str | None = None  # the index that inputs and values got and parameters did not: b

    graph: object = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        plain = lower(self.statements, self.replicas, self.batch)
        object.__setattr__(self, "graph", rewritten(plain))

    def __str__(self):
        width = max(len(str(s.left)) for s in self.statements)
        return "\n".join(f"{str(s.left):{width}} = {s.right}" for s in self.statements)

    __repr__ = __str__

    @property
    def inputs(self):
        """name -> indices of the inputs."""
        return dict(self.graph.roles.inputs)

    @property
    def parameters(self):
        """name -> indices of the parameters."""
        return dict(self.graph.roles.parameters)

    @property
    def computed(self):
        """name -> indices of the computed values."""
        return dict(self.graph.roles.computed)

    def with_index(self, name, parameters=False, shared=()):
        """The equations with one more index, in front of every input and every value computed from
        one.

        No parameter gets it, unless `parameters`: then they do too (R independent networks), and it
        stands before all others. Inputs named in `shared` do not get it.
        """
        statements = indexing.with_index(self.statements, name, parameters, shared, self.replicas)
        if parameters:
            return Equations(statements, (name, *self.replicas), name, self.batch)
        return Equations(statements, self.replicas, name, name)

    def unrolled(self, B):
        """B copies of the equations instead of an index: inputs x_0, x_1, ..., the parameters once,
        and the mean of the losses.
        """
        return Equations(indexing.unrolled(self.statements, B), self.replicas)

    def forward_equations(self):
        """The forward pass as loops, one a line: for b,i,j: h~[b,j] += W0[j,i] * x[b,i]."""
        return "\n".join(map(str, loops.forward_loops(self.graph)))

    def backward_equations(self, mean_in=("parameters",)):
        """Backpropagation as loops, one a line, with the 1/B where `mean_in` puts it; `compile`
        says what it may be.
        """
        return "\n".join(map(str, loops.backward_loops(self.graph, checked_mean_in(mean_in))))

    def run_as_loops(self, params, mean_in=("parameters",), **inputs):
        """Forward and backward as plain loops over every index, one number at a time, in float64:
        slow and obvious.

        Returns (values, gradients), dictionaries by name. The sizes are read off the arrays. What is
        printed is computed as it stands: OverflowError where exp(s), as a softmax adds it up, leaves
        the range of float64; a compiled program has values there.
        """
        if not isinstance(params, Mapping):
            raise WrongKind(f"params: expected a dictionary, name -> array, got {shown(params)}")
        check_names(inputs, self.inputs, self.parameters)
        arrays, shapes = self._loop_arrays({**params, **inputs}), self.graph.shapes
        sizes = {i: n for name, a in arrays.items() for i, n in zip(shapes[name], a.shape)}
        sizes.update({used: sizes[own] for used, own, _ in self.graph.same_sizes if own in sizes})
        sizes = checked_sizes(self.graph, sizes)
        sizes_of(arrays, self.graph, sizes)
        for name in inputs:
            classes = self.graph.labels.get(name)
            checked_input(name, arrays[name], np, "cpu", classes, sizes, np.dtype("float64"))
        every = loops.forward_loops(self.graph)
        if "L" in self.computed:
            every += loops.backward_loops(self.graph, checked_mean_in(mean_in))
        done = reference.run(every, arrays, sizes, shapes)
        values = {name: done[name] for name in self.computed}
        return values, {n.removesuffix(".grad"): a for n, a in done.items() if n.endswith(".grad")}

    def _loop_arrays(self, arrays):
        """The parameters and inputs for the loops: all that there are, each an array of real
        numbers.
        """
        for name in self.parameters:
            if name not in arrays:
                raise ValueError(f"params: expected an array for each parameter; {name} is missing")
        found = {name: host_array(name, a) for name, a in arrays.items()}
        for name, a in found.items():
            if name not in self.graph.shapes:
                raise ValueError(
                    f"params: {name} is no parameter here; "
                    f"there are {', '.join(self.parameters) or 'none'}"
                )
            if a.dtype.kind not in "iuf":
                raise WrongKind(f"{name}: expected real numbers, got {a.dtype}")
            if a.ndim != len(self.graph.shapes[name]):
                wanted = Ref(name, self.graph.shapes[name])
                raise ValueError(
                    f"{name}: expected an array for {wanted}, one axis an index, "
                    f"got shape {a.shape}"
                )
        return found

    def latex(self):
        """The equations as LaTeX, the newest index in colour and bold."""
        return latex(self.statements, self.newest)

    def _repr_latex_(self):
        return f"$${self.latex()}$$"

    def compile(self, device="cpu", dtype="float32", mean_in=("parameters",), **sizes):
        """A Program for these sizes, one for each index: compile(b=32, i=64, j=32, y=10).

        device: "cpu" or "gpu". dtype: "float32" or "float64". mean_in: where the 1/B of the average
        stands, any of "parameters" (in W.grad, as on the slides), "loss" (in L.grad), "update" (in
        the step); two of them give 1/B^2.
        """
        return Program(self.graph, sizes, device, dtype, mean_in)

    def nbytes(self, dtype="float32", **sizes):
        """The bytes that `compile` with these sizes will hold, without allocating them."""
        return Program(self.graph, sizes, dtype=dtype, _dry=True).nbytes
