"""The printed loops, run as they stand: one Python number at a time. Slow and obvious; the oracle
of the kernels.

Its forward pass shares nothing with the kernels but the graph. Its backward pass has the same rules
as the program's, so gradients are checked against differences and automatic differentiation, not
against this.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from .loops import size_of
from .notation import Call, Number, Power, Product, Ref, Sum, children


def _softplus(x):
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


# NumPy's, on one number at a time: what overflows is inf, what is no number is nan, as in kernels.
FUNCTIONS = {
    "sigmoid": lambda x: np.exp(-_softplus(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "relu": lambda x: max(x, 0.0),
    "step": lambda x: float(x > 0),
    "log_sigmoid": lambda x: -_softplus(-x),
    "softplus": _softplus,
}


@np.errstate(all="ignore")
def run(loops, arrays, sizes, shapes):
    """Run Loops over float64 arrays. arrays: name -> array; sizes: index -> int; shapes: name ->
    indices.

    Returns a new dictionary with every array the loops wrote as well. B in an expression is the
    size of b.
    """
    arrays = {
        name: np.array(
            a, dtype=None if np.issubdtype(np.asarray(a).dtype, np.integer) else np.float64
        )
        for name, a in arrays.items()
    }
    numbers = {size_of(index).name: float(n) for index, n in sizes.items()}
    for loop in loops:
        if loop.target.name not in arrays:
            indices = shapes.get(loop.target.name.removesuffix(".grad"), loop.target.indices)
            arrays[loop.target.name] = np.zeros([sizes[i] for i in indices])
        for at in product(*(range(sizes[i]) for i in loop.over)):
            place = dict(zip(loop.over, at))
            number = value(loop.expression, place, arrays, numbers)
            arrays[loop.target.name][_where(loop.target, place, arrays)] += loop.sign * number
        if loop.target.name.endswith(".Z"):
            _check_total(loop, arrays[loop.target.name])
    return arrays


def _check_total(loop, total):
    """OverflowError where a sum of exponentials or squares is inf, or one of exponentials is 0.

    What follows from it would be a wrong number, as log(0) is for log(sum(exp(s), over=y)).
    """
    exponentials = isinstance(loop.expression, Call) or any(
        isinstance(factor, Call) for factor in children(loop.expression)
    )
    if np.isinf(total).any() or exponentials and (total == 0).any():
        raise OverflowError(
            f"{loop.target}: this sum leaves the range of float64 where the loop adds it up as it "
            f"stands, {loop}; a compiled program computes it without leaving the range"
        )


def value(e, place, arrays, numbers):
    """One number: the expression e where the indices have the values in place."""
    match e:
        case Number():
            return np.float64(e.value)
        case Ref() if e.name in numbers and not e.indices:
            return np.float64(numbers[e.name])
        case Ref():
            return np.float64(arrays[e.name][_where(e, place, arrays)])
        case Sum():
            return sum(sign * value(t, place, arrays, numbers) for sign, t in e.terms)
        case Product():
            return math.prod(value(f, place, arrays, numbers) for f in e.factors)
        case Power():
            return value(e.base, place, arrays, numbers) ** e.exponent
        case Call():
            return FUNCTIONS[e.function](value(e.args[0], place, arrays, numbers))
    raise TypeError(f"expression: expected one of the loops' grammar, got {type(e).__name__}")


def _where(ref, place, arrays):
    return tuple(
        place[i] if isinstance(i, str) else int(arrays[i.name][_where(i, place, arrays)])
        for i in ref.indices
    )
