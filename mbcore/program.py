"""A graph with sizes: buffers laid out once, and lists of calls bound to them.

The calls for a smaller batch are bound at its first use; they run on the front of the same buffers.
Those for the last PLANS batch sizes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from . import intake, stored
from .backend import array_module, at_once, free_memory, to_cpu
from .binding import Binder, Memory
from .checking import WrongKind, generator, rate, shown
from .contraction import Operand, aligned
from .derivatives import Accumulate, backward, per_example
from .graph import Term
from .initial import initial
from .notation import Ref


PLANS = 8           # batch sizes whose calls are kept: about 30 kB of Python's objects each


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
    learned: dict           # parameter -> its gradient, for those that L depends on
    moves: list             # calls, parameter -= gradient, one for each of these
    fills: list             # calls that come before all others when the batch had another size


class Parameters(dict):
    """name -> array of each parameter.

    params["W"] = array writes the numbers into the parameter, as params["W"][...] = array does: the
    calls of the program are bound to the array that is there.
    """

    def __setitem__(self, name, value):
        self.update({name: value})

    def update(self, *others, **more):
        """Write several parameters: all of them, or none where one does not fit."""
        given = dict(*others, **more)
        for name in given:
            if name not in self:
                raise ValueError(
                    f"params: expected the name of a parameter ({', '.join(self)}), "
                    f"got {shown(name)}"
                )
        # params["W"] -= step has written the array itself already
        new = {name: intake.parameter(name, value, self[name]) for name, value in given.items()
               if value is not self[name]}
        for name, value in new.items():
            self[name][...] = value

    def _fixed(self, *_, **__):
        raise TypeError(f"params: the parameters are those of the equations, {', '.join(self)}; none comes or goes")

    __delitem__ = __ior__ = pop = popitem = clear = setdefault = _fixed

    def __reduce__(self):
        return type(self), (dict(self),)        # what copy.deepcopy and pickle make anew


class Program:
    """Equations with sizes, ready to run. Made by `Equations.compile`; not thread-safe, as it owns its buffers."""

    def __init__(self, graph, sizes, device="cpu", dtype="float32", mean_in=("parameters",), _dry=False, _params=None):
        self.graph, self.device, self.dtype = graph, device, intake.float_dtype(dtype)
        self.sizes = intake.checked_sizes(graph, sizes)
        intake.check_numbers(graph, self.sizes, self.dtype)
        self.mean_in = intake.checked_mean_in(mean_in)
        self.xp = np if _dry else array_module(device)
        self._memory = Memory(self.xp, self.sizes, self.dtype, _dry, partial(free_memory, device))
        if _params:
            self._memory.flat.update(_params)
        self._plans, self._state = {}, "new"
        self.initialised = False        # whether init or load has set the parameters
        self._filled = None             # the plan whose fills were made last
        self._aside = None      # another program, once hessian_vector_product has needed one
        self._outside = None    # on a GPU: nan for each example with a label out of range, else 0
        try:
            own = graph.roles.parameters.items()
            self.params = Parameters((name, self._memory.view(name, i, self.sizes)) for name, i in own)
            self._plan = self._plan_for(self.sizes)
        except MemoryError:
            if not _dry:
                self._say_what_does_not_fit()
            raise

    # ------------------------------------------------------------------ what a program offers

    def init(self, rng):
        """Draw the parameters: a factor of a summed product N(0, 1/fan-in), 2/fan-in before relu; added ones 0;
        element-wise factors 1; see `initial`. Replica k is drawn from the k-th spawn of rng. Returns the program."""
        replicas = self.graph.replicas
        generator(rng, spawns=bool(replicas))
        drawn = {name: np.empty(p.shape, self.dtype) for name, p in self.params.items()}
        for at in np.ndindex(*(self.sizes[r] for r in replicas)):
            source = rng.spawn(1)[0] if replicas else rng
            for name, indices in self.graph.roles.parameters.items():
                own = tuple(i for i in indices if i not in replicas)
                place = tuple(k for k, r in zip(at, replicas) if r in indices)
                drawn[name][place] = initial(self.graph, name, own, self.sizes, source)
        self._set(drawn)
        return self

    def _set(self, arrays):
        """Put these arrays, name -> NumPy array, into the parameters: all, or none where an interrupt comes."""
        on = {name: self.xp.asarray(a, dtype=self.dtype) for name, a in arrays.items()}
        self._state = "new"
        at_once([partial(self.params[name].__setitem__, ..., a) for name, a in on.items()])
        self.initialised = True

    @property
    def nbytes(self):
        """Bytes of all arrays that the program holds, as `Equations.nbytes` counts them beforehand.

        More come on top, and are counted, once gradients of single examples or a Hessian were asked
        for. Python's own objects are not counted: about 30 kB for each of the last 8 batch sizes.
        """
        return self._memory.nbytes + (self._aside.nbytes if self._aside else 0)

    def __reduce__(self):
        """Modules copy and pickle make a program with parameters of its own, before any forward."""
        made = self.graph, self.sizes, self.device, str(self.dtype), self.mean_in
        return _remade, (made, {name: to_cpu(p) for name, p in self.params.items()})

    def __repr__(self):
        sizes = ", ".join(f"{i}={n}" for i, n in self.sizes.items())
        return f"Program({sizes}; {self.dtype} on the {self.device}, {self.nbytes:,} bytes)"

    @property
    def calls(self):
        """How many NumPy or CuPy kernels one forward and backward call."""
        return len(self._plan.forward) + len(self._plan.backward)

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
        """Compute every value. Inputs by the names in the equations. Returns a copy of L[b].

        A label that is no class is refused on a CPU. On a GPU, where looking at it would wait, the L
        of its example and all gradients of parameters are nan.
        """
        self._load(inputs, self.graph.roles.inputs)
        for _, call in self._plan.forward:
            call()
        if "L" in self._plan.values:
            self._spoil(self._plan.values["L"])
        self._state = "forward"
        return self._plan.values["L"].copy() if "L" in self._plan.values else None

    def backward(self):
        """Compute every gradient of the last forward, under the convention `mean_in`; see `Equations.backward_equations`."""
        self._need("forward", "backward")
        if not self._plan.grads:
            raise ValueError("L: the equations compute no L, so there is nothing to differentiate")
        self._state = "forward"                 # an interrupt leaves no gradients that were half computed
        self._plan.grads["L"].fill(1 / self._batch_size() if "loss" in self.mean_in else 1)
        self._spoil(self._plan.grads["L"])
        for call in self._plan.backward:
            call()
        self._state = "backward"

    def step(self, lr, **inputs):
        """One SGD step, parameters -= lr * gradient, forward and backward in one go. lr: a number, or [r].

        Returns a copy of L[b] from before the step. With k places in `mean_in` the sum of the gradients is divided by B^k.
        The step is applied whole or not at all, also where Ctrl-C interrupts it.
        """
        lr = self._spread(rate(lr, tuple(self.sizes[r] for r in self.graph.replicas), self.dtype))
        if not self._plan.grads:
            raise ValueError("L: the equations compute no L, so there is nothing to learn from")
        losses = self.forward(**inputs)
        self._plan.grads["L"][...] = lr / self._batch_size() ** len(self.mean_in)     # so the gradients come out as steps
        self._spoil(self._plan.grads["L"])
        for call in self._plan.update:
            call()
        self._state = "step"
        at_once(self._plan.moves)
        return losses

    def evaluate(self, name, **inputs):
        """A copy of one value, computing only what it needs: evaluate("s", x=x) wants no target."""
        if not isinstance(name, str) or name not in self.graph.roles.computed:
            raise ValueError(f"name: expected a computed value ({', '.join(self.graph.roles.computed)}), got {shown(name)}")
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
        if self.graph.batch is None:
            raise ValueError(f"resized: {intake.NO_BATCH}")
        if set(sizes) != {self.graph.batch}:
            raise ValueError(f"resized: expected the batch index alone ({self.graph.batch}=...), got {', '.join(sizes) or 'nothing'}")
        flat = {name: self._memory.flat[name] for name in self.params}
        other = Program(self.graph, {**self.sizes, **sizes}, self.device, self.dtype, self.mean_in, _params=flat)
        other.initialised = self.initialised
        return other

    def save(self, path):
        """Write the parameters to an NPZ file, an array by its name each; `numpy.load` reads it as well.

        The file says which equations they belong to. An error, an interrupt or a full disk leaves the
        older file as it was.
        """
        stored.write(path, {name: to_cpu(p) for name, p in self.params.items()}, self.graph.identity)

    def load(self, path):
        """Read the parameters from what `save` wrote, all or none. Returns the program.

        ValueError names what does not fit: a damaged file, other equations, an array that is missing,
        too many, of another shape, no real numbers, nan or beyond the dtype. The size of the batch
        and the dtype may be others than those saved.
        """
        found = stored.read(path, self.graph.identity)
        intake.check_parameters("path", found, {name: p.shape for name, p in self.params.items()}, self.dtype)
        self._set(found)
        return self

    # ------------------------------------------------------------------ one example at a time

    def per_example_grads(self, name):
        """d L[b] / d parameter of the last forward, [b, ...] (behind a replica index), whatever `mean_in` says.

        Their mean over b is the slides' gradient. A copy. ValueError where the examples are coupled, as by batch normalisation.
        """
        if not isinstance(name, str) or name not in self.params:
            raise ValueError(f"name: expected a parameter ({', '.join(self.params)}), got {shown(name)}")
        steps = self._per_example({name})
        binder, whole = self._run_each(steps), Ref(name + ".each", self._with_b(name))
        if not steps:
            binder.array(whole).fill(0)         # L does not depend on it
        return binder.array(whole).copy()

    def per_example_sq_norms(self):
        """||d L[b] / d parameters||^2 of the last forward, all parameters together: [b] (behind a replica index).

        A gradient that is an outer product, g[b,j] x[b,i], is not formed: its squared norm is sum_j g^2 sum_i x^2
        (I. Goodfellow, arXiv:1510.01799). Others, of tied parameters for example, are formed.
        """
        steps = self._per_example(set(self.params))
        outer = {name: _outer(name, steps, self.graph) for name in self.params}
        binder = self._run_each([s for s in steps if not outer.get(s.target.name.removesuffix(".each"))])
        total = self.xp.zeros([self._plan.sizes[i] for i in self.graph.shapes["L"]], dtype=self.dtype)
        for name in {s.target.name.removesuffix(".each"): None for s in steps}:
            if name in self.params:
                term = outer[name] or Term(1.0, (Ref(name + ".each", self._with_b(name)),))
                total += term.times(self._plan.sizes) ** 2 * prod(self._sq_norms(binder.operand(f)) for f in term.factors)
        return total

    def _sq_norms(self, operand):
        """The sum of squares over all but the indices of L."""
        frame = self.graph.shapes["L"]
        axes = tuple(k for k, i in enumerate(operand.indices) if i not in frame)
        kept = tuple(i for i in operand.indices if i in frame)
        return aligned(Operand((operand.array ** 2).sum(axis=axes), kept), frame)

    def hessian_vector_product(self, vectors, **inputs):
        """H v for H the second derivative of mean(L) with respect to the parameters, at these inputs: name -> array.

        Central differences of gradients along v, (g(p + e v) - g(p - e v)) / 2e with e |v| = 1e-5 (1 + |p|): about 1e-9
        relative in float64, which is required. vectors: name -> array, missing ones are 0. For smooth functions: an example
        that meets a relu's kink within the step adds a curvature that is not there; landscape.top_eigenvalues steps shorter.
        The program's own parameters, values and gradients stay as they are.
        """
        if self.dtype != np.float64:
            raise TypeError(f"hessian_vector_product: expected a program in float64, got {self.dtype}; compile(dtype='float64')")
        if not isinstance(vectors, Mapping):
            raise WrongKind(f"vectors: expected a dictionary, name of a parameter -> array, got {shown(vectors)}")
        vectors = {name: self._direction(name, v) for name, v in vectors.items()}
        largest = max((float(abs(v).max()) for v in vectors.values()), default=0.0)
        if largest == 0:
            return {name: self.xp.zeros_like(p) for name, p in self.params.items()}
        vectors = {name: v / largest for name, v in vectors.items()}       # so that no square is too large or too small
        length = float(sum((v * v).sum() for v in vectors.values())) ** 0.5
        size = float(sum((p * p).sum() for p in self.params.values())) ** 0.5
        e, sides, aside = 1e-5 * (1 + size) / length, [], self._beside()
        for sign in (1, -1):
            aside._set({name: p + sign * e * vectors[name] if name in vectors else p for name, p in self.params.items()})
            sides.append(aside._mean_grads(inputs))
        return {name: (sides[0][name] - sides[1][name]) * (largest / (2 * e)) for name in self.params}

    def _beside(self):
        """A program with parameters of its own: other ones are looked at without touching these."""
        if self._aside is None:
            self._aside = Program(self.graph, self.sizes, self.device, self.dtype, self.mean_in)
        return self._aside

    def _direction(self, name, v):
        if not isinstance(name, str) or name not in self.params:
            raise ValueError(f"vectors: expected names of parameters ({', '.join(self.params)}), got {shown(name)}")
        said, shape = f"vectors[{name!r}]", self.params[name].shape
        v = intake.checked_input(said, v, self.xp, self.device, None, self.sizes, self.dtype)
        if v.shape != shape:
            raise ValueError(f"{said}: expected finite numbers of shape {shape}, got shape {v.shape}")
        return self.xp.asarray(v, dtype=self.dtype)

    def _mean_grads(self, inputs):
        """The gradients of mean(L) alone, whatever `mean_in` says."""
        self.forward(**inputs)
        self._plan.grads["L"].fill(1 / self._batch_size())
        self._spoil(self._plan.grads["L"])
        for call in self._plan.update:
            call()
        learned = self._plan.learned
        return {name: learned[name].copy() if name in learned else self.xp.zeros_like(p) for name, p in self.params.items()}

    def _per_example(self, wanted):
        self._need("forward", "backward")
        return per_example(self.graph, wanted)

    def _run_each(self, steps):
        """Run a per-example pass; returns the binder that knows its arrays."""
        binder = Binder(self.xp, self.graph, self._memory, self._plan.sizes)
        start = binder.array(Ref("L.each", self.graph.shapes["L"]))
        start.fill(1)
        self._spoil(start)
        calls = binder.backward(steps)
        self._memory.check([*calls, *binder.fills])
        for call in (*binder.fills, *calls):
            call()
        return binder

    def _with_b(self, name):
        indices = self.graph.shapes[name]
        front = sum(i in self.graph.replicas for i in indices)
        return (*indices[:front], self.graph.batch, *indices[front:])

    def _need(self, *states):
        if self._state not in states:
            raise RuntimeError("call forward first: there is nothing computed yet" if "forward" in states
                               else "call backward first: there are no gradients yet")

    def _load(self, inputs, wanted):
        """Check every input, then copy them in: nothing is changed by a bad one."""
        intake.check_names(inputs, wanted, self.params)
        labels = self.graph.labels
        arrays = {name: intake.checked_input(name, array, self.xp, self.device, labels.get(name), self.sizes, self.dtype)
                  for name, array in inputs.items()}
        for name, array in arrays.items():
            if array.base is not None and self._memory.owns(array):
                arrays[name] = array.copy()     # the program's own: the copies below may change it
        plan = self._plan_for(intake.sizes_of(arrays, self.graph, self.sizes))
        self._state = "new"                     # the values that were computed belong to the inputs before
        if self._filled is not plan:
            self._filled = None
            for fill in plan.fills:
                fill()
            self._filled = plan
        self._plan = plan
        for name, array in arrays.items():
            plan.inputs[name][...] = array
        if self.device == "gpu" and labels:
            self._outside = self._mark_labels(plan, [name for name in arrays if name in labels])

    def _spoil(self, array):
        """Make what belongs to an example with a label out of range nan."""
        if self._outside is not None:
            array += self._outside

    def _mark_labels(self, plan, names):
        """nan for each example with a label that is no class, else 0, in the shape of L.

        Such a label is made a 0, or a kernel would take another example's number. To refuse it, the
        host would have to wait for the GPU at every step.
        """
        total, frame = 0.0, self.graph.shapes.get("L", ())
        for name in names:
            buffer, indices = plan.inputs[name], self.graph.shapes[name]
            classes = min(plan.sizes[i] for i in self.graph.labels[name])
            bad = (buffer < 0) | (buffer >= classes)
            mark = self.xp.where(bad, self.xp.full(buffer.shape, np.nan, self.dtype), 0.0)
            buffer[...] = self.xp.where(bad, 0, buffer)
            summed = tuple(k for k, i in enumerate(indices) if i not in frame)
            kept = tuple(i for i in indices if i in frame)
            total = total + aligned(Operand(mark.sum(axis=summed) if summed else mark, kept), frame)
        return total

    def _spread(self, lr):
        """lr[r] with an axis for each other index of L."""
        return lr if isinstance(lr, float) else self.xp.asarray(lr.reshape(*lr.shape, *[1] * (len(self.graph.shapes["L"]) - lr.ndim)))

    def _say_what_does_not_fit(self):
        """MemoryError with all the bytes that these sizes would need."""
        needed = Program(self.graph, self.sizes, dtype=self.dtype, mean_in=self.mean_in, _dry=True).nbytes
        sizes = ", ".join(f"{i}={n}" for i, n in self.sizes.items())
        free = free_memory(self.device)
        raise MemoryError(f"{sizes}: the arrays would need {needed:,} bytes, and {free:,} are free "
                          f"on the {self.device}") from None

    def _batch_size(self):
        return self._plan.sizes[self.graph.batch] if self.graph.batch else 1

    # ------------------------------------------------------------------ binding

    def _plan_for(self, sizes):
        """The plan for these sizes; the one that was used longest ago makes room for a new one."""
        key = sizes.get(self.graph.batch)
        if self._plans and self._plan.sizes.get(self.graph.batch) == key:
            return self._plan
        plan = self._plans.pop(key, None) or self._bound(sizes)
        self._plans[key] = plan                 # the last in the order of the dictionary
        if len(self._plans) > PLANS:
            del self._plans[next(iter(self._plans))]
        return plan

    def _bound(self, sizes):
        binder = Binder(self.xp, self.graph, self._memory, sizes)
        inputs = {name: binder.array(Ref(name, i)) for name, i in self.graph.roles.inputs.items()}
        forward = [(node.out.name, call) for node in self.graph.nodes for call in binder.forward(node)]
        values = {**inputs, **{node.out.name: binder.array(node.out) for node in self.graph.nodes}}
        grads, whole, update, learned, moves = {}, [], [], {}, []
        if "L" in self.graph.roles.computed:
            every = backward(self.graph, mean_in=self.mean_in)
            steps = backward(self.graph, set(self.params), mean_in=("loss",))       # 1/B is in L.grad, with lr
            refs = (Ref("L.grad", self.graph.shapes["L"]), *(s.target for s in every))
            grads = {r.name.removesuffix(".grad"): binder.array(r) for r in refs}
            whole, update = binder.backward(every), binder.backward(steps)
            reached = {s.target.name for s in steps}
            learned = {name: grads[name] for name in self.params if name + ".grad" in reached}
            moves = [partial(self.xp.subtract, self.params[name], g, out=self.params[name]) for name, g in learned.items()]
        self._memory.check([*(call for _, call in forward), *whole, *update, *moves, *binder.fills])
        return Plan(sizes, inputs, values, forward, grads, whole, update, learned, moves, binder.fills)


def _remade(made, params):
    """A program with these parameters; see `Program.__reduce__`."""
    program = Program(*made)
    program._set(params)
    return program


def _outer(name, steps, graph):
    """The one term of a parameter's per-example gradient, if it is an outer product: its factors share only b (and r)."""
    own = [s for s in steps if s.target.name == name + ".each"]
    if len(own) != 1 or not isinstance(own[0], Accumulate):
        return None
    term, shared = own[0].term, {graph.batch, *graph.replicas}
    letters = [i for f in term.factors for i in f.indices if i not in shared]
    whole = set(letters) == set(own[0].target.indices) - shared and len(letters) == len(set(letters))
    return term if whole and all(graph.batch in f.indices for f in term.factors) else None
