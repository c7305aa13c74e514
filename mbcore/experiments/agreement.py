"""Whether the graphs of lesson 02 have the same value and the same gradient, in float64, on small random data."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..backend import one_blas_thread
from .backpropagation import differences, put
from .graphs import GRAPHS, NORMALISED, batched, dealt, parameters_copied
from .models import MLP


@dataclass(frozen=True)
class Agreement:
    """Largest differences over the largest entry, float64, of one graph at one B; `gradient` is of all parameters and of x.

    copies: from the graph of copies. differences: from central differences of the mean of single examples' losses (the
    parameters alone). loops: from the same equations run as loops. batch: the index by which the graph is known to be a
    minibatch; None where nothing tells.
    """

    graph: str
    B: int
    batch: str | None
    value: float
    gradient: float
    differences: float
    loops: float


def agreements(B, seed):
    """An Agreement for the graph of copies and two indexed ones."""
    params, inputs, sizes = random_data(B, seed)
    one = MLP.compile(dtype="float64", **sizes)

    def mean():
        put(one, params)
        return sum(float(one.forward(x=x, target=t)) for x, t in zip(inputs["x"], inputs["target"])) / B
    with one_blas_thread():
        L, true = mean(), differences(mean, params)
        first = gradients("copies", B, params, inputs, sizes)
        return tuple(_agreement(graph, first, L, true, B, params, inputs, sizes) for graph in ("copies", "index", "averaged"))


def _agreement(graph, first, L, true, B, params, inputs, sizes):
    value, found = gradients(graph, B, params, inputs, sizes)
    model = GRAPHS[graph](B)
    _, looped = model.run_as_loops(params, **(inputs if batched(model) else dealt(**inputs)))
    return Agreement(graph, B, model.graph.batch, abs(value - first[0]) / abs(L), _off(found, first[1]),
                     max(_off({n: found[n] for n in params}, true), abs(value - L) / abs(L)),
                     _off(_of_the_mean(model, B, looped, params), found))


def random_data(B, seed, model=MLP, i=5, j=4, y=3):
    """(parameters, inputs, sizes); the biases are drawn too, as zeros would hide their sign."""
    rng, sizes = np.random.default_rng(seed), {"i": i, "j": j, "y": y}
    params = {name: rng.normal(size=[sizes[k] for k in indices]) for name, indices in model.parameters.items()}
    return params, {"x": rng.normal(size=(B, i)), "target": rng.integers(0, y, B)}, sizes


def gradients(graph, B, params, inputs, sizes):
    """(mean loss, gradients of that mean by the parameters and by x[b,i]), by the one engine, for one of GRAPHS."""
    model = GRAPHS[graph](B)
    net = model.compile(dtype="float64", **({"b": B} if batched(model) else {}), **sizes)
    put(net, params)
    L = net.forward(**(inputs if batched(model) else dealt(**inputs)))
    net.backward()
    return float(L.mean()), _of_the_mean(model, B, {**net.grads}, params)


def _of_the_mean(model, B, g, params):
    """x.grad is per example where the engine knows b, and already of the mean where it does not."""
    x = np.array([g[f"x_{k}"] for k in range(B)]) if not batched(model) else g["x"] / (B if model.graph.batch else 1)
    return {**{name: g[name] for name in params}, "x": x}


def normalised(B, seed):
    """(how far batch normalisation as copies is from the indexed one, what it answers to a question for one example)."""
    params, inputs, sizes = random_data(B, seed, NORMALISED)
    with one_blas_thread():
        (L, copies), (L_index, index) = (gradients(g, B, params, inputs, sizes) for g in ("normalised copies", "normalised"))
        net = NORMALISED.with_index("b").compile(b=B, **sizes)
        net.forward(**inputs)
    off = max(_off(index, copies), abs(L - L_index) / abs(L))
    try:
        net.per_example_grads("W0")
        return off, ""
    except ValueError as error:
        return off, str(error)


def parted(seed):
    """How far two copies' W0 are apart after a step, when each copy had been given a W0 of its own."""
    params, inputs, sizes = random_data(2, seed)
    net = parameters_copied(2).compile(dtype="float64", **sizes)
    put(net, {f"{name}_{k}": a for name, a in params.items() for k in range(2)})
    with one_blas_thread():
        net.step(1.0, **dealt(**inputs))
    return float(np.abs(net.params["W0_0"] - net.params["W0_1"]).max())


@functools.lru_cache(maxsize=64)
def value_and_gradient(graph, B, seed=0):
    """(L, norm of its gradient by W0) of one of GRAPHS on B fixed examples, up to 6; where every example has a W0 of its own,
    all start equal, and the norm is that of the sum of the B gradients."""
    model, first = GRAPHS[graph](B), NORMALISED if "normalised" in graph else MLP
    start, inputs, sizes = random_data(6, seed, first)
    inputs = {name: a[:B] for name, a in inputs.items()}
    params = {name: start[name.split("_")[0]] for name in model.parameters}       # W0_1 starts as W0; so does W0[b], by broadcasting
    with one_blas_thread():
        L, found = gradients(graph, B, params, inputs, sizes)
    own = [g for name, g in found.items() if name.startswith("W0")]
    total = sum(own) if len(own) > 1 else own[0].reshape(-1, *start["W0"].shape).sum(axis=0)
    return L, float(np.linalg.norm(total))


def _off(a, b):
    """The largest difference over the largest entry, of arrays by name; inf where b is all zeros."""
    size = max(float(np.abs(v).max()) for v in b.values())
    return max(float(np.abs(a[name] - v).max()) for name, v in b.items()) / size if size else float("inf")
