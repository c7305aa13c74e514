"""A graph with sizes: buffers laid out once, and lists of calls bound to them.

A buffer is allocated flat for the largest sizes. A smaller last batch uses the front of it, so that its arrays are
contiguous as well and nothing is allocated; its list of calls is bound at its first use and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import isfinite, prod
from numbers import Real

import numpy as np

from . import kernels
from .backend import array_module, device_of
from .contraction import Operand, aligned, bind
from .graph import Accumulate, Contraction, Loss, Map, Softmax, Term, backward, grad
from .notation import Ref

MEAN_IN = ("parameters", "loss", "update")


class Memory:
    """Named flat buffers and the views of them. dry: count the bytes and allocate none."""

    def __init__(self, xp, shapes, sizes, dtype, dry=False):
        self.xp, self.shapes, self.sizes, self.dtype, self.dry = xp, shapes, sizes, np.dtype(dtype), dry
        self.flat, self.nbytes = {}, 0

    def view(self, name, indices, sizes, dtype=None):
        """The buffer `name` as an array of these indices; made at the first call, for the largest sizes."""
        dtype = np.dtype(dtype or self.dtype)
        if name not in self.flat:
            count = prod(self.sizes[i] for i in indices)
            self.nbytes += count * dtype.itemsize
            self.flat[name] = np.empty(0, dtype) if self.dry else self.xp.zeros(count, dtype)
        shape = tuple(sizes[i] for i in indices)
        if self.dry:            # right shape and strides over no memory: enough to bind calls that are never made
            strides = [prod(shape[k + 1:]) * dtype.itemsize for k in range(len(shape))]
            return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)
        return self.flat[name][:prod(shape)].reshape(shape)

    def value(self, name, sizes, dtype=None):
        return self.view(name, self.shapes[name.removesuffix(".grad")], sizes, dtype)


@dataclass(frozen=True)
class Plan:
    """The calls of a program for one set of sizes."""

    sizes: dict
    inputs: dict            # name -> its buffer
    values: dict            # name -> array, temporaries too
    forward: list           # [(name of the value computed, call)]
    grads: dict             # name -> array; with L.grad, where backward starts
    backward: list          # calls, every gradient
    update: list            # calls, the gradients of the parameters alone
    learned: list           # [(parameter, its gradient)]


class Program:
    """Equations with sizes, ready to run. Made by `Equations.compile`; not thread-safe, as it owns its buffers."""

    def __init__(self, graph, sizes, device="cpu", dtype="float32", mean_in=("parameters",), _dry=False, _params=None):
        self.graph, self.device, self.dtype = graph, device, _float_dtype(dtype)
        self.sizes = _checked_sizes(graph, sizes)
        self.mean_in = _checked_mean_in(mean_in)
        self.xp = np if _dry else array_module(device)
        self._memory = Memory(self.xp, graph.shapes, self.sizes, self.dtype, _dry)
        if _params:
            self._memory.flat.update(_params)
        self.params = {name: self._memory.value(name, self.sizes) for name in graph.roles.parameters}
        self._plans, self._state = {}, "new"
        self._plan = self._plan_for(self.sizes)
        self.nbytes = self._memory.nbytes

    # ------------------------------------------------------------------ what a program offers

    def init(self, rng):
        """Draw the parameters: a factor of a summed product N(0, 1/fan-in), 2/fan-in before relu; added ones 0;
        element-wise factors 1. Replica k is drawn from the k-th spawn of rng. Returns the program."""
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng: expected a numpy.random.Generator (np.random.default_rng(seed)), got {type(rng).__name__}")
        replicas = self.graph.replicas
        for at in np.ndindex(*(self.sizes[r] for r in replicas)):
            source = rng.spawn(1)[0] if replicas else rng
            for name, indices in self.graph.roles.parameters.items():
                own = tuple(i for i in indices if i not in replicas)
                place = tuple(k for k, r in zip(at, replicas) if r in indices)
                drawn = _initial(self.graph, name, own, self.sizes, source)
                self.params[name][place] = self.xp.asarray(drawn, dtype=self.dtype)
        self._state = "new"
        return self

    @property
    def values(self):
        """name -> array, as the last forward left them; overwritten by the next."""
        self._need("forward", "backward", "step")
        return dict(self._plan.values)

    @property
    def grads(self):
        """name -> gradient, as the last backward left them: per example for what bears the batch index."""
        if self._state == "step":
            raise RuntimeError("grads: step computes and uses the gradients in one go and keeps none; "
                               "call forward and backward to look at them")
        self._need("backward")
        return dict(self._plan.grads)

    def forward(self, **inputs):
        """Compute every value. Inputs by the names in the equations. Returns a copy of L[b]."""
        self._load(inputs, self.graph.roles.inputs)
        for _, call in self._plan.forward:
            call()
        self._state = "forward"
        return self._plan.values["L"].copy() if "L" in self._plan.values else None

    def backward(self):
        """Compute every gradient of the last forward, under the convention `mean_in`; see `Equations.backward_equations`."""
        self._need("forward", "backward")
        if not self._plan.grads:
            raise ValueError("L: the equations compute no L, so there is nothing to differentiate")
        self._plan.grads["L"].fill(1 / self._batch_size() if "loss" in self.mean_in else 1)
        for call in self._plan.backward:
            call()
        self._state = "backward"

    def step(self, lr, **inputs):
        """One SGD step, parameters -= lr * gradient, forward and backward in one go. lr: a number, or [r].

        Returns a copy of L[b] from before the step. With k places in `mean_in` the sum of the gradients is divided by B^k.
        """
        lr = self._checked_lr(lr)
        if not self._plan.grads:
            raise ValueError("L: the equations compute no L, so there is nothing to learn from")
        losses = self.forward(**inputs)
        self._plan.grads["L"][...] = lr / self._batch_size() ** len(self.mean_in)     # so the gradients come out as steps
        for call in self._plan.update:
            call()
        for parameter, step in self._plan.learned:
            self.xp.subtract(parameter, step, out=parameter)
        self._state = "step"
        return losses

    def evaluate(self, name, **inputs):
        """A copy of one value, computing only what it needs: evaluate("s", x=x) wants no target."""
        if name not in self.graph.roles.computed:
            raise ValueError(f"name: expected a computed value ({', '.join(self.graph.roles.computed)}), got {name!r}")
        nodes = self.graph.needed(name)
        outs = {n.out.name for n in nodes}
        self._load(inputs, [i for i in self.graph.roles.inputs if any(i == r.name for n in nodes for r in n.reads)])
        for out, call in self._plan.forward:
            if out in outs:
                call()
        self._state = "new"
        return self._plan.values[name].copy()

    def resized(self, **sizes):
        """A program with the same parameters (shared, not copied) and another size for the batch index."""
        if set(sizes) != {self.graph.batch}:
            raise ValueError(f"resized: expected the batch index alone ({self.graph.batch}=...), got {', '.join(sizes) or 'nothing'}")
        flat = {name: self._memory.flat[name] for name in self.params}
        return Program(self.graph, {**self.sizes, **sizes}, self.device, self.dtype, self.mean_in, _params=flat)

    # ------------------------------------------------------------------ data coming in

    def _load(self, inputs, wanted):
        """Check every input, then copy them in: nothing is changed by a bad one."""
        for name in inputs:
            if name in self.graph.roles.parameters:
                raise ValueError(f"{name}: a capital makes a parameter, which the program holds itself (params[{name!r}]); "
                                 f"call an input {name.lower()}")
            if name not in wanted:
                raise ValueError(f"{name}: there is no such input here; expected {', '.join(wanted) or 'none'}")
        for name in wanted:
            if name not in inputs:
                raise ValueError(f"{name}: missing; a small initial makes it an input, so its values must be given (x=...). "
                                 "A parameter has a capital")
        arrays = {name: self._checked(name, array) for name, array in inputs.items()}
        plan = self._plan_for(self._sizes_of(arrays))
        for name, array in arrays.items():
            plan.inputs[name][...] = array
        self._plan, self._state = plan, "new"

    def _checked(self, name, array):
        """The input as an array whose kind fits; values are looked at on the CPU only, where that costs no waiting."""
        if device_of(array) != self.device and np.ndim(array):      # a plain number may go to either
            raise TypeError(f"{name}: the program is on the {self.device}, the array is on the {device_of(array)}; "
                            "move it by mb.to_cpu or mb.to_gpu")
        array = self.xp.asarray(array)
        classes, kind = self.graph.labels.get(name), array.dtype.kind
        if classes and kind not in "iu":
            raise TypeError(f"{name}: expected whole-number labels, got {array.dtype}; for a distribution write "
                            f"{name}[{classes}] in the equations")
        if kind not in "iuf":
            raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
        if self.device == "cpu":
            self._look_at(name, array, classes)
        return array

    def _look_at(self, name, array, classes):
        if not array.size:
            raise ValueError(f"{name}: the batch is empty, shape {array.shape}; give at least one example")
        if classes:
            low, high = array.min(), array.max()
            if low < 0 or high >= self.sizes[classes]:
                raise ValueError(f"{name}: labels must lie in 0 .. {self.sizes[classes] - 1} ({classes}={self.sizes[classes]}), "
                                 f"got {low if low < 0 else high}")
        elif array.dtype.kind == "f" and not isfinite(array.sum()) and not np.isfinite(array).all():
            where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{name}: expected finite numbers, got {array[where]} at {list(where)}")

    def _sizes_of(self, arrays):
        """The sizes with the batch size that the arrays have; an error naming the array and the index otherwise."""
        b, sizes, first = self.graph.batch, self.sizes, None
        for name, array in arrays.items():
            indices = self.graph.shapes[name]
            if array.ndim == len(indices) - 1 and indices and indices[0] in self.graph.replicas:
                indices = indices[1:]           # one array for all replicas
            if array.ndim != len(indices):
                raise ValueError(f"{name}: expected the indices [{','.join(indices)}], so {len(indices)} axes, got shape {array.shape}")
            for i, n in zip(indices, array.shape):
                if i == b and first is None:
                    if n > sizes[b]:
                        raise ValueError(f"{name}: {n} examples and the program was compiled for {b}={sizes[b]}; use resized({b}={n})")
                    sizes, first = {**sizes, b: n}, name
                elif n != sizes[i]:
                    said = f"{first} has {sizes[i]}" if i == b else f"the program was compiled for {i}={sizes[i]}"
                    raise ValueError(f"{name}: expected {i}={sizes[i]}, as {said}, got {n} (shape {array.shape})")
        return sizes

    def _checked_lr(self, lr):
        if type(lr) is float and isfinite(lr):
            return lr
        array = np.asarray(lr, dtype=float) if isinstance(lr, (Real, list, tuple, np.ndarray)) else None
        replicas = tuple(self.sizes[r] for r in self.graph.replicas)
        if array is None or array.shape not in ((), replicas) or not np.isfinite(array).all():
            raise ValueError(f"lr: expected a finite number{f' or an array of shape {replicas}' if replicas else ''}, got {lr!r}")
        return float(array) if not array.ndim else self.xp.asarray(array.reshape(replicas + (1,) * (len(self.graph.shapes["L"]) - len(replicas))))

    def _need(self, *states):
        if self._state not in states:
            raise RuntimeError("call forward first: there is nothing computed yet" if "forward" in states
                               else "call backward first: there are no gradients yet")

    def _batch_size(self):
        return self._plan.sizes[self.graph.batch] if self.graph.batch else 1

    # ------------------------------------------------------------------ binding

    def _plan_for(self, sizes):
        key = sizes.get(self.graph.batch)
        if key not in self._plans:
            self._plans[key] = self._bound(sizes)
        return self._plans[key]

    def _bound(self, sizes):
        binder = _Binder(self.xp, self.graph, self._memory, sizes)
        inputs = {name: binder.array(Ref(name)) for name in self.graph.roles.inputs}
        forward = [(node.out.name, call) for node in self.graph.nodes for call in binder.forward(node)]
        values = {**inputs, **{node.out.name: binder.array(node.out) for node in self.graph.nodes}}
        if "L" not in self.graph.roles.computed:
            return Plan(sizes, inputs, values, forward, {}, [], [], [])
        every = backward(self.graph, mean_in=self.mean_in)
        steps = backward(self.graph, set(self.params), mean_in=("loss",))       # 1/B is in L.grad, with lr
        grads = {r.name.removesuffix(".grad"): binder.array(r) for r in (Ref("L.grad"), *(s.target for s in every))}
        reached = {s.target.name for s in steps}
        learned = [(p, grads[name]) for name, p in self.params.items() if name + ".grad" in reached]
        return Plan(sizes, inputs, values, forward, grads, binder.backward(every), binder.backward(steps), learned)


def _float_dtype(dtype):
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {dtype!r}")
    return found


def _checked_sizes(graph, sizes):
    """Every index has one size; an error names the first index that has none, a wrong one, or two."""
    if graph.pending:
        raise ValueError(f"over={graph.pending[0]}: no value here has the index {graph.pending[0]}; "
                         f"add it by with_index({graph.pending[0]!r}) before compile")
    letters = list(dict.fromkeys(i for indices in graph.shapes.values() for i in indices)
                   | dict.fromkeys(used for used, _, _ in graph.same_sizes))
    for i, n in sizes.items():
        if i not in letters:
            raise ValueError(f"{i}: there is no such index; the equations have {', '.join(letters) or 'none'}")
        if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
            raise ValueError(f"{i}: expected a whole number of at least 1, got {n!r}")
    for i in letters:
        if i not in sizes:
            raise ValueError(f"{i}: the size of this index is missing; compile(..., {i}=...)")
    for used, own, name in graph.same_sizes:
        if sizes[used] != sizes[own]:
            raise ValueError(f"{used}: {used}={sizes[used]} and {own}={sizes[own]} contradict each other: "
                             f"both are the same position of {name}")
    return {i: int(sizes[i]) for i in letters}


def _checked_mean_in(mean_in):
    places = (mean_in,) if isinstance(mean_in, str) else tuple(mean_in)
    for place in places:
        if place not in MEAN_IN:
            raise ValueError(f"mean_in: expected places among {', '.join(MEAN_IN)}, got {place!r}")
    return tuple(dict.fromkeys(places))


def _initial(graph, name, own, sizes, rng):
    """One parameter's first values, by its first use that is not a sum of its own."""
    shape = tuple(sizes[i] for i in own)
    for node in graph.nodes:
        for term in getattr(node, "terms", ()):
            if name not in [f.name for f in term.factors]:
                continue
            factor = next(f for f in term.factors if f.name == name)
            if len(term.factors) == 1:
                return np.zeros(shape)
            fan_in = prod(sizes[i] for i in factor.indices if i not in node.out.indices)
            if fan_in == 1 and all(i in node.out.indices for i in factor.indices):
                return np.ones(shape)
            relu = any(isinstance(n, Map) and n.function == "relu" and n.arg.name == node.out.name for n in graph.nodes)
            return rng.standard_normal(shape) * ((2 if relu else 1) / fan_in) ** 0.5
    return np.zeros(shape)


class _Binder:
    """Nodes and backward steps -> calls on views of the memory, for one set of sizes."""

    def __init__(self, xp, graph, memory, sizes):
        self.xp, self.graph, self.memory, self.sizes = xp, graph, memory, sizes

    def array(self, ref):
        return self.memory.value(ref.name, self.sizes, np.int64 if ref.name in self.graph.labels else None)

    def operand(self, ref):
        return Operand(self.array(ref), ref.indices)

    def scratch(self, indices, slot):
        """Working space: the same for every call that asks for these indices and this slot."""
        return self.memory.view(f"{','.join(indices)}/{slot}", indices, self.sizes)

    def term(self, term, target, accumulate):
        factors = [self.operand(f) for f in term.factors]
        return bind(self.xp, term.times(self.sizes), factors, self.operand(target), accumulate, self.scratch)

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
                return [partial(kernels.MAPS[node.function][0], arg, self.array(node.out), *_exponent(node))]
            case Softmax():
                P = self.rows(self.array(node.out), (node.over,))
                return [partial(kernels.softmax, self.rows(self.array(node.arg), (node.over,)), P, self.row(node.out.indices[:-1]))]
            case Loss():
                return self.loss(node)

    def row(self, indices):
        return self.scratch(indices, "row").reshape(-1)

    def loss(self, node):
        s, out, row = self.rows(self.array(node.scores), node.over), self.array(node.out).reshape(-1), self.row(node.out.indices)
        if node.labels:
            target, places = self.array(node.target).reshape(-1), self.places(node)
            find = partial(kernels.label_places, target, self.firsts(node), places)
            if node.kind == "nll":
                return [find, partial(kernels.nll, s, places, out)]
            return [find, partial(kernels.cross_entropy, s, places, out, self.kept(node, "P"), row)]
        t, work = self.rows(self.array(node.target), node.over), self.rows(self.scratch(node.scores.indices, "work"), node.over)
        if node.kind == "squared_error":
            return [partial(kernels.squared_error, s, t, out, work)]
        logP = self.kept(node, "log P")
        if node.kind == "nll":
            return [partial(kernels.log, s, logP), partial(kernels.soft_nll, logP, t, out, work)]
        return [partial(kernels.log_softmax, s, self.kept(node, "P"), row, logP), partial(kernels.soft_nll, logP, t, out, work)]

    def kept(self, node, what):
        """What a loss keeps for its backward: P or log P, a row for each example."""
        return self.rows(self.memory.view(f"{node.out.name}.{what}", node.scores.indices, self.sizes), node.over)

    def places(self, node):
        return self.memory.view(f"{node.out.name}.places", node.out.indices, self.sizes, np.int64).reshape(-1)

    def firsts(self, node):
        """Where each row starts in P laid out flat: b times the classes."""
        name = f"{node.out.name}.firsts"
        new = name not in self.memory.flat
        view = self.memory.view(name, node.out.indices, self.sizes, np.int64)
        if new and not self.memory.dry:
            flat = self.memory.flat[name]
            flat[...] = self.xp.arange(len(flat)) * self.sizes[node.over[0]]
        return view.reshape(-1)

    # ------------------------------------------------------------------ backward

    def backward(self, steps):
        """Calls for the steps, in order. The first that reaches a gradient writes it, the later ones add (+=)."""
        calls, written = [], {"L.grad"}
        for step in steps:
            accumulate = step.target.name in written
            written.add(step.target.name)
            bound = self.term(step.term, step.target, accumulate) if isinstance(step, Accumulate) else self.pull(step, accumulate)
            calls += bound
        return calls

    def pull(self, step, accumulate):
        target, number = self.array(step.target), Term(1.0, (), step.powers).times(self.sizes)
        into = self.scratch(step.target.indices, "pull") if accumulate else target
        calls = [self.rule(step.node, step.target, into)]
        if number != 1:
            calls.append(partial(self.xp.multiply, into, number, out=into))
        if accumulate:
            calls.append(partial(self.xp.add, target, into, out=target))
        return calls

    def rule(self, node, target, into):
        g = self.array(grad(node.out))
        match node:
            case Map():
                turned = (aligned(Operand(a, node.arg.indices), node.out.indices) for a in (self.array(node.arg), into))
                x, into = turned
                return partial(kernels.MAPS[node.function][1], x, self.array(node.out), g, into, *_exponent(node))
            case Softmax():
                P, g, into = (self.rows(a, (node.over,)) for a in (self.array(node.out), g, into))
                return partial(kernels.softmax_backward, P, g, into, self.row(node.out.indices[:-1]))
            case Loss():
                return self.loss_rule(node, target, g.reshape(-1), self.rows(into, node.over))

    def loss_rule(self, node, target, g, into):
        s, row = self.rows(self.array(node.scores), node.over), self.row(node.out.indices)
        if node.labels and node.kind == "nll":
            return partial(kernels.nll_backward, s, self.places(node), g, into, row)
        if node.labels:
            return partial(kernels.cross_entropy_backward, self.kept(node, "P"), self.places(node), g, into, row)
        t, to_scores = self.rows(self.array(node.target), node.over), target.name == grad(node.scores).name
        if node.kind == "squared_error":
            return partial(kernels.squared_error_backward, *((s, t) if to_scores else (t, s)), g, into)
        if not to_scores:
            return partial(kernels.target_backward, self.kept(node, "log P"), g, into)
        if node.kind == "nll":
            return partial(kernels.soft_nll_backward, s, t, g, into)
        return partial(kernels.soft_cross_entropy_backward, self.kept(node, "P"), t, g, into, row)


def _exponent(node):
    return (node.exponent,) if node.function == "power" else ()
