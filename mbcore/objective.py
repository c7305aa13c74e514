"""The mean loss over a whole data set as a function of one vector: all parameters, in the order of program.params."""

from __future__ import annotations

from operator import index

import numpy as np

from . import derivatives, intake
from .backend import to_cpu
from .data import batches
from .program import Program

ROWS, ENTRIES = 4096, 2**21         # examples in a part; entries of per-example gradients held at once, 16 MiB


class Objective:
    """f(theta) = mean L over all examples, with a float64 program of its own; it starts at the program's parameters.

    Works through the examples a part at a time, or all at once where they are coupled, as by batch normalisation.
    """

    def __init__(self, program, inputs):
        graph = program.graph
        if "L" not in graph.shapes or graph.batch is None or graph.replicas:
            raise ValueError("program: expected one network whose L has a batch index, without replicas; "
                             f"got L[{','.join(graph.shapes.get('L', ()))}], replicas: {', '.join(graph.replicas) or 'none'}")
        intake.check_names(inputs, graph.roles.inputs, program.params)
        self.inputs = {name: a if hasattr(a, "shape") else np.asarray(a) for name, a in inputs.items()}
        self.batched = [name for name in self.inputs if graph.batch in graph.shapes[name]]
        self.N = _same_length({name: self.inputs[name] for name in self.batched})
        try:
            derivatives.per_example(graph, set())
            rows = min(self.N, ROWS)
        except ValueError:                      # the examples are coupled
            rows = self.N
        self.program = Program(graph, {**program.sizes, graph.batch: rows}, program.device, "float64")
        self.rows, self.start = rows, self.flat(program.params)
        if not np.isfinite(self.start).all():
            raise ValueError("program: expected finite parameters, got inf or nan among them; has the training diverged?")
        self.move(self.start)

    def flat(self, arrays):
        """name -> array, as one vector [p] in the order of program.params; a name that is missing is zero."""
        return np.concatenate([np.ravel(to_cpu(arrays[name]) if name in arrays else np.zeros(p.shape)).astype(float)
                               for name, p in self.program.params.items()])

    def named(self, vector):
        """The same backwards: [p] -> name -> array."""
        shapes = {name: p.shape for name, p in self.program.params.items()}
        cut = np.split(vector, np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), cut)}

    def vector(self, name, arrays):
        """`flat` for what the caller gives as `name`: every parameter must be there, finite and of its shape."""
        shapes = {n: p.shape for n, p in self.program.params.items()}
        given = {n: np.shape(a) for n, a in arrays.items()} if isinstance(arrays, dict) else type(arrays).__name__
        if given != shapes:
            raise ValueError(f"{name}: expected an array for each parameter, of shapes {shapes}; got {given}")
        vector = self.flat(arrays)
        if not np.isfinite(vector).all():
            raise ValueError(f"{name}: expected finite numbers, got inf or nan among them")
        return vector

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
        """(mean L, its gradient [p]): over all examples, or of the given program at these inputs."""
        if inputs is None:
            found = [(share, *self.loss_and_gradient(self.program, part)) for share, part in self.parts()]
            return sum(share * loss for share, loss, _ in found), sum(share * g for share, _, g in found)
        losses = net.forward(**inputs)
        net.backward()
        return float(losses.mean()), self.flat(net.grads)

    def batch_gradients(self, B, draws, rng, replacement=True):
        """The gradient [p] of each of `draws` independent batches of B. What is wrong with the arguments is said at once."""
        coming = draws_of(self.N, B, draws, rng, replacement)
        net = self.program.resized(**{self.program.graph.batch: B})
        return (self.loss_and_gradient(net, self.take(at))[1] for at in coming)

    def each(self, names=None):
        """The gradients d_n of these parameters (None: all), a part at a time, [n, p]; no more than ENTRIES numbers at once."""
        params = self.program.params
        names = list(params) if names is None else names
        for _, part in self.parts(max(1, ENTRIES // sum(params[name].size for name in names))):
            losses = self.program.forward(**part)
            yield np.concatenate([to_cpu(self.program.per_example_grads(n)).reshape(len(losses), -1) for n in names], axis=1)

    def hessian_times(self, v):
        """H v, H the second derivative of mean L over all examples; see Program.hessian_vector_product. [p]"""
        v = self.named(v)
        return sum(share * self.flat(self.program.hessian_vector_product(v, **part)) for share, part in self.parts())


def draws_of(N, B, draws, rng, replacement=True):
    """Independent batches of B indices into N examples, each drawn afresh from all; checked at once, drawn one by one."""
    draws = whole("draws", draws, 2)
    batches(N, B, rng, replacement)
    return (next(batches(N, B, rng, replacement)) for _ in range(draws))


def whole(name, value, least=1):
    """The value as a whole number of at least `least`; an error names the argument."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise (TypeError if number is None else ValueError)(f"{name}: expected a whole number of at least {least}; got {value!r}")
    return number


def generator(rng):
    """The generator itself; TypeError for a seed or anything else."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator (np.random.default_rng(seed)), got {type(rng).__name__}")
    return rng


def _same_length(arrays):
    """The number of examples, which every array must have first."""
    first, N = None, 0
    for name, a in arrays.items():
        if a.ndim == 0 or not len(a):
            raise ValueError(f"{name}: expected at least one example along its first axis, got shape {a.shape}")
        if first is not None and len(a) != N:
            raise ValueError(f"{name}: expected {N} examples, as {first} has, got {len(a)}")
        first, N = first or name, len(a)
    return N
