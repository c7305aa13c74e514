"""The gradient rule: a graph -> the steps of its backward pass. `loops` prints them and `binding`
binds them to kernels.

For a value v that bears the batch index b, v.grad is B * d mean(L) / dv: per example. For one that
does not (a parameter, a regulariser), it is d mean(L) / dv. So 1/B stands where b is summed away,
and B where it is spread again.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Contraction, Loss, Softmax, Term
from .notation import Ref


@dataclass(frozen=True)
class Accumulate:
    """target += term, for every index of the term: the backward rule of a Contraction, one for
    each factor."""

    target: Ref
    term: Term


@dataclass(frozen=True)
class Pull:
    """The backward rule of a Map, Softmax or Loss: size(i)**p over `powers`, times source, pulled
    back to target."""

    node: object
    source: Ref  # the gradient of node.out
    target: Ref  # the gradient of what node reads
    powers: tuple = ()


def grad(ref):
    return Ref(ref.name + ".grad", ref.indices)


def backward(graph, wanted=None, mean_in=("parameters",)):
    """The backward pass as a tuple of Accumulate and Pull, from L down to the names `wanted`
    (None: all).

    mean_in: with "parameters", 1/B stands where b is summed away. The other places are not in the
    steps: "loss" is in L.grad, from which they start, and "update" comes after them.
    """
    return _steps(graph, wanted, grad, graph.batch if "parameters" in mean_in else None)


def learned(graph):
    """The names of the parameters that L depends on: the others have no gradient."""
    reached = {step.target.name for step in backward(graph, set(graph.roles.parameters))}
    return tuple(name for name in graph.roles.parameters if grad(Ref(name, ())).name in reached)


def coupling(graph, of="L"):
    """Which value mixes the examples of a batch on the way to `of`, in words; None where each
    example stands alone.

    With batch normalisation: "m[j] mixes the examples of z[b,j]". The one place that knows:
    whatever needs the examples to be independent asks here, and says the same sentence.
    """
    b = graph.batch
    for node in graph.needed(of):
        for read in node.reads:
            over_b = isinstance(node, Softmax) and node.over == b
            if b in read.indices and (over_b or b not in node.out.indices):
                return f"{node.out} mixes the examples of {read}"
    return None


def per_example(graph, wanted):
    """The backward pass in which every gradient keeps b: x.each[b,..] = d L[b] / dx, for
    parameters too.

    It is the pass of a network with parameters of their own for each example. ValueError where
    L[b] depends on other
    examples, as with batch normalisation: then there is no such thing as one example's gradient.
    """
    b = graph.batch
    if b is None:
        raise ValueError(
            "per-example gradients: L has no batch index; add one by with_index, and let L be the "
            "loss of one example, without a mean over it"
        )
    mixed = coupling(graph)
    if mixed:
        raise ValueError(
            f"per-example gradients: {mixed}, so the loss of one example has no gradient of its own"
        )

    def each(ref):
        front = sum(i in graph.replicas for i in ref.indices)
        indices = (
            ref.indices if b in ref.indices else (*ref.indices[:front], b, *ref.indices[front:])
        )
        return Ref(ref.name + ".each", indices)

    return _steps(graph, wanted, each, None)


def _steps(graph, wanted, grad, b):
    if "L" not in graph.roles.computed:
        raise ValueError("L: the equations compute no L, so there is nothing to differentiate")
    useful, alive, steps = _upstream(graph, wanted), {"L"}, []
    for node in reversed(graph.nodes):
        if node.out.name not in alive:
            continue
        for read, step in _rules(node, grad, b):
            if read.name in useful:
                alive.add(read.name)
                steps.append(step)
    return tuple(steps)


def _upstream(graph, wanted):
    """The names whose gradients are needed for those of `wanted`: they, and all that is computed
    from them."""
    names = set(graph.shapes) - set(graph.labels) if wanted is None else set(wanted)
    for node in graph.nodes:
        if any(r.name in names for r in node.reads):
            names.add(node.out.name)
    return names


def _rules(node, grad, b):
    """(what is differentiated by, step) for each thing that a node reads. b: the index that
    carries B, None for none."""

    def powers(read, own=()):
        total = dict(own)
        total[b] = total.get(b, 0) + (b in read.indices) - (b in node.out.indices)
        return tuple((i, p) for i, p in total.items() if p)

    if isinstance(node, Contraction):
        for term in node.terms:
            for k, read in enumerate(term.factors):
                others = term.factors[:k] + term.factors[k + 1 :]
                yield (
                    read,
                    Accumulate(
                        grad(read),
                        Term(
                            term.coefficient, (grad(node.out), *others), powers(read, term.powers)
                        ),
                    ),
                )
    else:
        for read in node.reads[:1] if isinstance(node, Loss) and node.labels else node.reads:
            yield read, Pull(node, grad(node.out), grad(read), powers(read))
