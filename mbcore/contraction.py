"""A term, a product of values summed over some indices, bound to matrix products without copies where the layout allows.

`bind` looks at the indices once and returns the calls to make; the calls themselves only compute. An operand is
an array with its index letters. The letters of a pair of factors fall into four groups, as in any batched product:

    both factors and out: batch      first and out: m      second and out: n      both, not out: k (summed)
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import NamedTuple


class Operand(NamedTuple):
    array: object
    indices: tuple


def bind(xp, coefficient, factors, out, accumulate, scratch):
    """Calls that put (or add, if accumulate) coefficient * product of factors, summed, into out.

    factors: Operands; out: Operand. scratch(indices, slot) -> array of that shape, different for different slots;
    scratch(indices, slot, fill) -> one that holds that number everywhere and is never written.
    """
    calls, slot = [], 0
    while len(factors) > 2:                                     # a b c ... : a b first, keeping what others need
        later = {i for f in factors[2:] for i in f.indices} | set(out.indices)
        a, b, *rest = factors
        kept = tuple(i for i in dict.fromkeys(a.indices + b.indices) if i in later)
        made = Operand(scratch(kept, slot), kept)
        calls += _pair(xp, a, b, made, partial(_numbered, scratch, slot + 1))
        factors, slot = [made, *rest], slot + 4
    borne = tuple(i for i in out.indices if any(i in f.indices for f in factors))
    direct = not accumulate and borne == out.indices
    if len(factors) == 1 and set(factors[0].indices) <= set(out.indices):
        return calls + [_put(xp, factors[0], out, coefficient, accumulate, scratch)]
    if not factors:
        return [partial(xp.add, out.array, coefficient, out=out.array) if accumulate else partial(out.array.fill, coefficient)]
    result = out if direct else Operand(scratch(borne, slot), borne)
    if len(factors) == 1 and borne:             # a sum is a product with ones: one call, and BLAS adds faster than NumPy
        over = tuple(i for i in factors[0].indices if i not in out.indices)
        factors, coefficient = [Operand(scratch(over, f"all {coefficient}", coefficient), over), *factors], 1
    if len(factors) == 1:
        calls.append(_sum(xp, factors[0], result))
    else:
        calls += _pair(xp, *factors, result, partial(_numbered, scratch, slot + 1))
    if not direct:
        return calls + [_put(xp, result, out, coefficient, accumulate, scratch)]
    if coefficient != 1:
        calls.append(partial(xp.multiply, out.array, coefficient, out=out.array))
    return calls


def _numbered(scratch, first, indices, slot):
    return scratch(indices, first + slot)


def aligned(operand, indices):
    """The array with one axis for each of `indices`, of length 1 where the operand lacks it."""
    order = [operand.indices.index(i) for i in indices if i in operand.indices]
    view = operand.array.transpose(order)
    return view[(*(slice(None) if i in operand.indices else None for i in indices), ...)]     # ... : a view for no axes too


def _put(xp, value, out, coefficient, accumulate, scratch):
    """out = or += coefficient * value, spread over the indices that value lacks."""
    view = aligned(value, out.indices)
    if not accumulate:
        return partial(xp.multiply, view, coefficient, out=out.array)
    if coefficient in (1, -1):
        return partial(xp.add if coefficient == 1 else xp.subtract, out.array, view, out=out.array)
    work = scratch(out.indices, "put")

    def add():
        xp.multiply(view, coefficient, out=work)
        xp.add(out.array, work, out=out.array)
    return add


def _sum(xp, a, out):
    axes = tuple(k for k, i in enumerate(a.indices) if i not in out.indices)
    left = tuple(i for i in a.indices if i in out.indices)
    return partial(a.array.sum, axis=axes, out=out.array.transpose([out.indices.index(i) for i in left]))


def _pair(xp, a, b, out, scratch):
    """Calls for out = sum over k of a b, for operands with any letters."""
    calls = []
    a, b = (_without_own_sums(xp, x, y, out, calls, scratch, slot) for x, y, slot in ((a, b, 0), (b, a, 1)))
    a, b = _without_single_sums(a, b, out), _without_single_sums(b, a, out)
    k = tuple(i for i in a.indices if i in b.indices and i not in out.indices)
    if not k:
        views = (aligned(x, out.indices) for x in (a, b))
        return calls + [partial(xp.multiply, *views, out=out.array)]
    both = tuple(i for i in out.indices if i in a.indices and i in b.indices)
    if not [i for i in out.indices if i not in both]:           # nothing to multiply matrices over: a row of dot products
        work = Operand(scratch((*out.indices, *k), 2), (*out.indices, *k))
        product = partial(xp.multiply, aligned(a, work.indices), aligned(b, work.indices), out=work.array)
        return calls + [product, _sum(xp, work, out)]
    if out.indices[-1] in a.indices and out.indices[-1] not in both:
        a, b = b, a                                             # out is row-major: its last letter comes from the second
    m = tuple(i for i in out.indices if i in a.indices and i not in both)
    n = tuple(i for i in out.indices if i in b.indices and i not in both)
    m, n = (_tail(group, x, out) for group, x in ((m, a), (n, b)))
    batch = tuple(i for i in out.indices if i not in (*m, *n))
    a, b = (x if _one_axis(x, k) else _laid_out(xp, x, (*batch, *group, *k), calls, scratch, slot)
            for x, group, slot in ((a, m, 2), (b, n, 3)))
    left, right, result = (_matrix(x, batch, *sides) for x, *sides in ((a, m, k), (b, k, n), (out, m, n)))
    return calls + [partial(xp.matmul, left, right, out=result)]


def _without_own_sums(xp, x, other, out, calls, scratch, slot):
    """Letters that only x has and out lacks are summed first."""
    kept = tuple(i for i in x.indices if i in other.indices or i in out.indices)
    if kept == x.indices:
        return x
    made = Operand(scratch(kept, slot), kept)
    calls.append(_sum(xp, x, made))
    return made


def _without_single_sums(x, other, out):
    """Summed letters of size 1 are dropped: at B = 1 an outer product by `multiply` is 15 times as fast as by `matmul`."""
    single = [i in other.indices and i not in out.indices and n == 1 for i, n in zip(x.indices, x.array.shape)]
    view = x.array[(*(0 if one else slice(None) for one in single), ...)]
    return Operand(view, tuple(i for i, one in zip(x.indices, single) if not one))


def _one_axis(x, letters):
    """Whether these axes of x, in this order, are one axis in memory."""
    at = [x.indices.index(i) for i in letters]
    shape, strides = [x.array.shape[k] for k in at], [x.array.strides[k] for k in at]
    return all(shape[k] == 1 or strides[k] == strides[k + 1] * shape[k + 1] for k in range(len(at) - 1))


def _tail(group, x, out):
    """The longest tail of the letters that is one axis in x and in out; the letters before it become batch axes."""
    return next((group[k:] for k in range(len(group)) if _one_axis(x, group[k:]) and _one_axis(out, group[k:])), ())


def _laid_out(xp, x, indices, calls, scratch, slot):
    """A copy of x in the order of `indices`, where its summed letters are one axis."""
    order = tuple(i for i in indices if i in x.indices)
    made = Operand(scratch(order, slot), order)
    calls.append(partial(xp.copyto, made.array, aligned(x, order)))
    return made


def _matrix(x, batch, rows, columns):
    """x as [batch..., rows, columns], rows and columns one axis each, without a copy."""
    view, n = aligned(x, (*batch, *rows, *columns)), len(batch)
    shape = view.shape
    return view.reshape((*shape[:n], prod(shape[n:n + len(rows)]), prod(shape[n + len(rows):])))
