"""Dinh's rescaling: other parameters, the same function, another sharpness."""

from __future__ import annotations

from numbers import Real

import numpy as np

from .backend import to_cpu
from .graph import Contraction, Map


def rescaled(program, value, alpha):
    """The parameters by name, with those into a relu layer times alpha and those out of it divided by alpha: the same function.

    L. Dinh et al., arXiv:1703.04933: relu(alpha z) = alpha relu(z), so sharpness can be anything. value: the layer, "h" in
    h[j] = relu(W0[j,i] * x[i] - C0[j]). A ValueError says where the equations are such that the function would change.
    """
    if not (isinstance(alpha, Real) and 0 < alpha < np.inf):
        raise ValueError(f"alpha: expected a positive number, got {alpha!r}")
    made = {n.out.name: n for n in program.graph.nodes}
    relu = made.get(value)
    if not isinstance(relu, Map) or relu.function != "relu":
        raise ValueError(f"value: expected a value computed by relu, got {value!r}")
    readers = [n for n in made.values() if any(r.name == value for r in n.reads)]
    up = _own_parameters(program, value, [made.get(relu.arg.name)])
    down = _own_parameters(program, value, readers, of=value)
    if sum(r.name == relu.arg.name for n in made.values() for r in n.reads) > 1:
        raise ValueError(f"value: {relu.arg.name} is used apart from {value}, so scaling it would change the function")
    factors = {**dict.fromkeys(up, alpha), **dict.fromkeys(down, 1 / alpha)}
    return {name: to_cpu(p) * to_cpu(p).dtype.type(factors.get(name, 1)) for name, p in program.params.items()}


def _own_parameters(program, value, nodes, of=None):
    """A parameter, used nowhere else, for each term of these nodes in which `of` stands (None: each term)."""
    used = [r.name for n in program.graph.nodes for r in n.reads]
    found = []
    for node in nodes or [None]:
        if not isinstance(node, Contraction):
            raise ValueError(f"value: expected {value} to stand between sums of products with parameters; "
                             f"got {node.out if node else 'nothing'} beside it")
        for term in node.terms:
            names = [x.name for x in term.factors]
            own = [name for name in names if name in program.params and used.count(name) == 1]
            if of is None or of in names:
                if not own or names.count(of) > 1:
                    raise ValueError(f"value: in {node.out}, each term with {of or 'anything'} needs a parameter "
                                     f"used nowhere else, to scale; got {' * '.join(names)}")
                found.append(own[0])
    return found
