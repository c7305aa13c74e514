"""The mean loss over a whole data set as a function of one vector: all parameters, in the order of
program.params."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import derivatives, intake
from .backend import device_of, to_cpu
from .checking import flag, host_array, numbers, shown, whole
from .data import batches
from .program import Program

ROWS = 4096  # examples in a part
ENTRIES = 2**21  # of per-example gradients held at once, 16 MiB


class Objective:
    """f(theta) = mean L over all examples, with a float64 program of its own; it starts at the
    program's parameters.

    program: one network, with a batch index and without replicas. It is copied, and stays as it is
        whatever happens here.
    inputs: name -> array of finite real numbers, or of labels; all are checked now, whole data sets
    included. Works through the examples a part at a time, or all at once where they are coupled, as
    by batch normalisation.
    """

    def __init__(self, program, inputs):
        check_one_network(program)
        if not program.params:
            raise ValueError("program: expected parameters, got equations that have none")
        graph = program.graph
        intake.check_names(inputs, graph.roles.inputs, program.params)
        self.inputs = {
            name: a if device_of(a) == "gpu" else host_array(name, a) for name, a in inputs.items()
        }
        self.batched = [name for name in self.inputs if graph.batch in graph.shapes[name]]
        self.N = _same_length({name: self.inputs[name] for name in self.batched})
        all_sizes = {**program.sizes, graph.batch: self.N}
        for name, array in self.inputs.items():
            self.inputs[name] = intake.checked_input(
                name,
                array,
                program.xp,
                program.device,
                graph.labels.get(name),
                all_sizes,
                np.dtype("float64"),
            )
        intake.sizes_of(self.inputs, graph, all_sizes)
        rows = self.N if derivatives.coupling(graph) else min(self.N, ROWS)
        self.program = Program(
            graph, {**program.sizes, graph.batch: rows}, program.device, "float64"
        )
        self.rows, self.start = rows, self.flat(program.params)
        if not np.isfinite(self.start).all():
            raise ValueError(
                "program: expected finite parameters, got inf or nan among them; has the training "
                "diverged?"
            )
        self.move(self.start)

    def flat(self, arrays):
        """name -> array, as one vector [p] in the order of program.params; a name that is missing
        is zero."""
        return np.concatenate(
            [
                np.ravel(to_cpu(arrays[name]) if name in arrays else np.zeros(p.shape)).astype(
                    float
                )
                for name, p in self.program.params.items()
            ]
        )

    def named(self, vector):
        """The same backwards: [p] -> name -> array."""
        shapes = {name: p.shape for name, p in self.program.params.items()}
        cut = np.split(vector, np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), cut)}

    def vector(self, name, arrays):
        """`flat` for what the caller gives as `name`: every parameter must be there, finite and of
        its shape."""
        shapes = {n: p.shape for n, p in self.program.params.items()}
        if not isinstance(arrays, Mapping):
            raise ValueError(
                f"{name}: expected an array for each parameter, of shapes {shapes}; got "
                f"{shown(arrays)}"
            )
        said = {n: f"{name}[{n!r}]" for n in arrays}
        arrays = {
            n: to_cpu(a) if device_of(a) == "gpu" else host_array(said[n], a)
            for n, a in arrays.items()
        }
        given = {n: a.shape for n, a in arrays.items()}
        if given != shapes:
            raise ValueError(
                f"{name}: expected an array for each parameter, of shapes {shapes}; got {given}"
            )
        return self.flat({n: numbers(said[n], a) for n, a in arrays.items()})

    def move(self, theta):
        """Set the parameters of this objective's own program."""
        for name, array in self.named(theta).items():
            self.program.params[name][...] = self.program.xp.asarray(array)

    def take(self, at):
        """The inputs of the examples `at`, a slice or an array of indices."""
        return {name: a[at] if name in self.batched else a for name, a in self.inputs.items()}

    def parts(self, rows=None):
        """(share of all examples, inputs) for each part of at most `rows`."""
        rows = min(rows or self.rows, self.rows)
        for k in range(0, self.N, rows):
            yield min(rows, self.N - k) / self.N, self.take(slice(k, k + rows))

    def loss_and_gradient(self, net=None, inputs=None):
        """(mean L, its gradient [p]): over all examples, or of the given program at these
        inputs."""
        if inputs is None:
            found = [
                (share, *self.loss_and_gradient(self.program, part)) for share, part in self.parts()
            ]
            return sum(share * loss for share, loss, _ in found), sum(
                share * g for share, _, g in found
            )
        losses = net.forward(**inputs)
        net.backward()
        return float(losses.mean()), self.flat(net.grads)

    def finite_gradient(self):
        """`loss_and_gradient`, where both are finite: what is made of inf or nan would be no
        measurement."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            loss, g = self.loss_and_gradient()
        if not np.isfinite(loss) or not np.isfinite(g).all():
            raise ValueError(
                f"program: expected a finite loss with finite gradients over these {self.N} "
                "examples, "
                f"got the mean loss "
                f"{loss:.3g}{'' if np.isfinite(g).all() else ' and gradients with inf or nan'}"
            )
        return loss, g

    def batch_gradients(self, B, draws, rng, replacement=True):
        """The gradient [p] of each of `draws` independent batches of B. What is wrong with the
        arguments is said at once."""
        coming = draws_of(self.N, B, draws, rng, replacement)
        net = self.program.resized(**{self.program.graph.batch: B})
        return (self.loss_and_gradient(net, self.take(at))[1] for at in coming)

    def each(self, names=None):
        """The gradients d_n of these parameters (None: all), a part at a time, [n, p]; no more than
        ENTRIES numbers at once."""
        params = self.program.params
        names = list(params) if names is None else names
        for _, part in self.parts(max(1, ENTRIES // sum(params[name].size for name in names))):
            losses = self.program.forward(**part)
            yield np.concatenate(
                [to_cpu(self.program.per_example_grads(n)).reshape(len(losses), -1) for n in names],
                axis=1,
            )

    def hessian_times(self, v):
        """H v, H the second derivative of mean L over all examples; see
        Program.hessian_vector_product. [p]"""
        v = self.named(v)
        return sum(
            share * self.flat(self.program.hessian_vector_product(v, **part))
            for share, part in self.parts()
        )


def check_one_network(program):
    """Refuse what is no program, and a program that has no L[b], or has replicas."""
    if not isinstance(program, Program):
        raise TypeError(
            f"program: expected a Program (equations(...).with_index('b').compile(...)), got "
            f"{shown(program)}"
        )
    graph = program.graph
    if "L" not in graph.shapes or graph.batch is None or graph.replicas:
        raise ValueError(
            "program: expected one network whose L has a batch index, without replicas; "
            f"got L[{','.join(graph.shapes.get('L', ()))}], replicas: "
            f"{', '.join(graph.replicas) or 'none'}"
        )


def draws_of(N, B, draws, rng, replacement=True):
    """Independent batches of B indices into N examples, each drawn afresh from all; checked at
    once, drawn one by one."""
    draws, replacement = whole("draws", draws, 2), flag("replacement", replacement)
    batches(N, B, rng, replacement)
    return (next(batches(N, B, rng, replacement)) for _ in range(draws))


def ratio(above, below):
    """above / below for below > 0; else inf, and nan where both are 0: nothing was there to
    measure."""
    if below > 0:
        return float(above / below)
    return float("nan") if above == below == 0 else float("inf")


def _same_length(arrays):
    """The number of examples, which every array must have first."""
    first, N = None, 0
    for name, a in arrays.items():
        if a.ndim == 0 or not len(a):
            raise ValueError(
                f"{name}: expected at least one example along its first axis, got shape {a.shape}"
            )
        if first is not None and len(a) != N:
            raise ValueError(f"{name}: expected {N} examples, as {first} has, got {len(a)}")
        first, N = first or name, len(a)
    return N
