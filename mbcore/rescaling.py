"""Dinh's rescaling: other parameters, the same function, another sharpness."""

from __future__ import annotations

import numpy as np

from .backend import to_cpu
from .checking import numbers, real, shown
from .graph import Contraction, Map
from .objective import check_one_network


def rescaled(program, value, alpha):
    """The parameters by name, with those into a relu layer times alpha and those out of it divided
    by alpha: the same function.

    L. Dinh et al., arXiv:1703.04933: relu(alpha z) = alpha relu(z), so sharpness can be anything.
    value: the layer, "h" in h[j] = relu(W0[j,i] * x[i] - C0[j]). A ValueError says where the
        equations are such that the function would change.
    """
    check_one_network(program)
    alpha = real("alpha", alpha, above=0)
    made = {n.out.name: n for n in program.graph.nodes}
    relu = made.get(value) if isinstance(value, str) else None
    if not isinstance(relu, Map) or relu.function != "relu":
        raise ValueError(f"value: expected a value computed by relu, got {shown(value)}")
    readers = [n for n in made.values() if any(r.name == value for r in n.reads)]
    up = _own_parameters(program, value, [made.get(relu.arg.name)])
    down = _own_parameters(program, value, readers, of=value)
    if sum(r.name == relu.arg.name for n in made.values() for r in n.reads) > 1:
        raise ValueError(
            f"value: {relu.arg.name} is used apart from {value}, so scaling it would change the "
            "function"
        )
    return {
        name: _scaled(name, to_cpu(p), alpha, (name in up) - (name in down))
        for name, p in program.params.items()
    }


def _scaled(name, p, alpha, power):
    """p times alpha to the power 1, 0 or -1; a ValueError where the dtype cannot hold it, so that
    the function would change."""
    numbers(f"program: {name}", p)
    if not power:
        return p.copy()
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        scaled = p * p.dtype.type(alpha if power > 0 else 1 / alpha)
    sizes, limits = np.abs(scaled[p != 0]), np.finfo(p.dtype)
    if not np.all((sizes >= limits.tiny) & (sizes <= limits.max)):
        raise ValueError(
            f"alpha: expected a number with which {name} stays within {p.dtype} "
            f"({limits.tiny:.1e} to {limits.max:.1e}), got {alpha:g}"
        )
    return scaled


def _own_parameters(program, value, nodes, of=None):
    """A parameter, used nowhere else, for each term of these nodes in which `of` stands (None: each
    term)."""
    used = [r.name for n in program.graph.nodes for r in n.reads]
    found = []
    for node in nodes or [None]:
        if not isinstance(node, Contraction):
            raise ValueError(
                f"value: expected {value} to stand between sums of products with parameters; "
                f"got {node.out if node else 'nothing'} beside it"
            )
        for term in node.terms:
            names = [x.name for x in term.factors]
            own = [name for name in names if name in program.params and used.count(name) == 1]
            if of is None or of in names:
                if not own or names.count(of) > 1:
                    raise ValueError(
                        f"value: in {node.out}, each term with {of or 'anything'} needs a "
                        "parameter "
                        f"used nowhere else, to scale; got {' * '.join(names)}"
                    )
                found.append(own[0])
    return found
