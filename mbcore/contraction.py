"""A term, a product of values summed over some indices, bound to matrix products.

Nothing is copied where the layout allows it.

    bind       the calls for one term; the calls themselves only compute
    cheapest   the order in which a product of three or more factors takes the fewest
               multiplications; letters_of a part of it
    aligned    a view of an array with one axis for each of some indices

An operand is an array with its index letters, contiguous in their order. Which call is made
depends on the letters and on the sizes that the program was compiled for, so that a smaller last
batch needs the same working space. The letters of a pair of factors fall into four groups, as in
any batched product:

    batch   in both factors and out        m   in the first and out
    k       in both, not in out: summed    n   in the second and out
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import combinations
from math import prod
from operator import itemgetter
from typing import NamedTuple

AT_ONCE = 6     # factors whose order is decided together; of more, six after six as in the text
SLOTS = 5       # working spaces that one product may need: for its result, and four inside it


class Operand(NamedTuple):
    array: object
    indices: tuple


def bind(xp, coefficient, factors, out, accumulate, scratch, filled, sizes):
    """Calls that put (or add, if accumulate) coefficient * product of factors, summed, into out.

    factors: Operands; out: Operand; sizes: letter -> size that the program was compiled for.
    scratch(indices, slot) -> array of that shape, different for different slots.
    filled(indices) -> an array that holds the coefficient everywhere whenever the calls run.
    """
    if not factors and accumulate:
        return [partial(xp.add, out.array, coefficient, out=out.array)]
    if not factors:
        return [partial(out.array.fill, coefficient)]
    slot = SLOTS * max(len(factors) - 2, 0)
    calls, factors = _down_to_two(xp, factors, out, scratch, sizes)
    if len(factors) == 1 and set(factors[0].indices) <= set(out.indices):
        return [*calls, _put(xp, factors[0], out, coefficient, accumulate, scratch)]
    borne = tuple(i for i in out.indices if any(i in f.indices for f in factors))
    direct = not accumulate and borne == out.indices
    result = out if direct else Operand(scratch(borne, slot), borne)
    if len(factors) == 1 and borne:     # a sum is a product with ones: BLAS adds faster than NumPy
        over = tuple(i for i in factors[0].indices if i not in out.indices)
        factors = [Operand(filled(over), over), *factors]
        coefficient = 1
    if len(factors) == 1:
        calls.append(_sum(xp, factors[0], result))
    else:
        calls += _pair(xp, *factors, result, partial(_numbered, scratch, slot + 1), sizes)
    if not direct:
        return [*calls, _put(xp, result, out, coefficient, accumulate, scratch)]
    if coefficient != 1:
        calls.append(partial(xp.multiply, out.array, coefficient, out=out.array))
    return calls


# ---------------------------------------------------------------------- three factors and more


def cheapest(factors, out, sizes):
    """How to multiply these factors two at a time: nested pairs of positions, such as (0, (1, 2)).

    factors: the letters of each; out: the letters of the result; sizes: letter -> size. The order
    is the one of all that takes the fewest multiplications, for up to six factors. Of equal ones
    it is the first in the order of the text.

    Example: s[j] = A[j,r] * D[r,i] * x[i] -> (0, (1, 2)), which sums i first.
    """
    used = {i for f in factors for i in f}
    return _cheapest(tuple(factors), frozenset(out), tuple(sorted((i, sizes[i]) for i in used)))


@lru_cache(maxsize=1024)
def _cheapest(factors, out, sizes):
    if len(factors) > AT_ONCE:
        front, rest = factors[:AT_ONCE], factors[AT_ONCE:]
        needed = out.union(*rest)
        inner = _cheapest(front, needed, sizes)
        made = tuple(i for i, _ in sizes if i in needed and any(i in f for f in front))
        outer = _cheapest((made, *rest), out, sizes)
        return _renumbered(outer, inner, AT_ONCE)
    sizes, every = dict(sizes), frozenset(range(len(factors)))
    best = {frozenset([k]): (0, k) for k in every}      # factors -> (multiplications, pairs)
    for count in range(2, len(factors) + 1):
        for group in map(frozenset, combinations(range(len(factors)), count)):
            ways = (_joined(group, first, best, factors, out, sizes) for first in _halves(group))
            best[group] = min(ways, key=itemgetter(0))
    return best[every][1]


def _halves(group):
    """The ways to cut a group of positions in two, by the half with the first one, large first."""
    first, *others = sorted(group)
    for count in range(len(others) - 1, -1, -1):
        for more in combinations(others, count):
            yield frozenset([first, *more])


def _joined(group, first, best, factors, out, sizes):
    """(multiplications, nested pairs) of a group that is cut into `first` and the rest."""
    halves = first, group - first
    letters = set()
    for half in halves:
        outside = out.union(*(f for k, f in enumerate(factors) if k not in half))
        letters |= {i for k in half for i in factors[k] if i in outside}
    cost = sum(best[half][0] for half in halves) + prod(sizes[i] for i in letters)
    return cost, tuple(best[half][1] for half in halves)


def _renumbered(tree, inner, count):
    """The nested pairs of an outer product whose factor 0 is the inner one of `count` factors."""
    if isinstance(tree, tuple):
        return tuple(_renumbered(half, inner, count) for half in tree)
    return inner if tree == 0 else tree + count - 1


def _down_to_two(xp, factors, out, scratch, sizes):
    """(calls, at most two operands): all but the last product of the cheapest order."""
    if len(factors) <= 2:
        return [], factors
    calls, count = [], 0
    letters = [f.indices for f in factors]

    def part(tree, outside):
        """The operand for one part of the order; `outside`: the letters that are needed later."""
        nonlocal count
        if not isinstance(tree, tuple):
            return factors[tree]
        a, b = halves(tree, outside)
        kept = tuple(i for i in dict.fromkeys(a.indices + b.indices) if i in outside)
        made = Operand(scratch(kept, SLOTS * count), kept)
        calls.extend(_pair(xp, a, b, made, partial(_numbered, scratch, SLOTS * count + 1), sizes))
        count += 1
        return made

    def halves(tree, outside):
        left, right = tree
        a = part(left, outside | letters_of(right, letters))
        b = part(right, outside | letters_of(left, letters))
        return a, b

    order = cheapest(letters, out.indices, sizes)
    return calls, list(halves(order, set(out.indices)))


def letters_of(tree, factors):
    """All letters in one part of an order. factors: the letters of each."""
    if isinstance(tree, tuple):
        return letters_of(tree[0], factors) | letters_of(tree[1], factors)
    return set(factors[tree])


def _numbered(scratch, first, indices, slot):
    return scratch(indices, first + slot)


# ---------------------------------------------------------------------- one value, two values


def aligned(operand, indices):
    """The array with one axis for each of `indices`, of length 1 where the operand lacks it."""
    order = [operand.indices.index(i) for i in indices if i in operand.indices]
    view = operand.array.transpose(order)
    axes = (slice(None) if i in operand.indices else None for i in indices)
    return view[(*axes, ...)]           # the dots make it a view where there are no axes, too


def _put(xp, value, out, coefficient, accumulate, scratch):
    """The call for out = or += coefficient * value, spread over the indices that value lacks."""
    view = aligned(value, out.indices)
    if not accumulate:
        return partial(xp.multiply, view, coefficient, out=out.array)
    if coefficient in (1, -1):
        return partial(xp.add if coefficient == 1 else xp.subtract, out.array, view, out=out.array)
    return partial(_add_scaled, xp, view, coefficient, scratch(out.indices, "put"), out.array)


def _add_scaled(xp, view, coefficient, work, out):
    """out += coefficient * view. work: of out's shape, written."""
    xp.multiply(view, coefficient, out=work)
    xp.add(out, work, out=out)


def _sum(xp, a, out):
    axes = tuple(k for k, i in enumerate(a.indices) if i not in out.indices)
    order = [out.indices.index(i) for i in a.indices if i in out.indices]
    return partial(a.array.sum, axis=axes, out=out.array.transpose(order))


def _pair(xp, a, b, out, scratch, sizes):
    """Calls for out = sum over k of a b, for operands with any letters."""
    calls = []
    a = _without_own_sums(xp, a, b, out, calls, scratch, 0)
    b = _without_own_sums(xp, b, a, out, calls, scratch, 1)
    a, b = _without_single_sums(a, b, out, sizes), _without_single_sums(b, a, out, sizes)
    k = tuple(i for i in a.indices if i in b.indices and i not in out.indices)
    if not k:
        views = (aligned(x, out.indices) for x in (a, b))
        return calls + [partial(xp.multiply, *views, out=out.array)]
    both = tuple(i for i in out.indices if i in a.indices and i in b.indices)
    if both == out.indices:             # nothing to multiply matrices over: a row of dot products
        work = Operand(scratch((*out.indices, *k), 2), (*out.indices, *k))
        views = (aligned(x, work.indices) for x in (a, b))
        return calls + [partial(xp.multiply, *views, out=work.array), _sum(xp, work, out)]
    if out.indices[-1] in a.indices and out.indices[-1] not in both:
        a, b = b, a                     # out is row-major: its last letter comes from the second
    m = tuple(i for i in out.indices if i in a.indices and i not in both)
    n = tuple(i for i in out.indices if i in b.indices and i not in both)
    m, n = _tail(m, a, out, sizes), _tail(n, b, out, sizes)
    batch = tuple(i for i in out.indices if i not in (*m, *n))
    if not _one_axis(a, k, sizes):
        a = _laid_out(xp, a, (*batch, *m, *k), calls, scratch, 2)
    if not _one_axis(b, k, sizes):
        b = _laid_out(xp, b, (*batch, *n, *k), calls, scratch, 3)
    left, right = _matrix(a, batch, m, k), _matrix(b, batch, k, n)
    return calls + [partial(xp.matmul, left, right, out=_matrix(out, batch, m, n))]


def _without_own_sums(xp, x, other, out, calls, scratch, slot):
    """Letters that only x has and out lacks are summed first."""
    kept = tuple(i for i in x.indices if i in other.indices or i in out.indices)
    if kept == x.indices:
        return x
    made = Operand(scratch(kept, slot), kept)
    calls.append(_sum(xp, x, made))
    return made


def _without_single_sums(x, other, out, sizes):
    """Summed letters of size 1 are dropped.

    At B = 1 an outer product by `multiply` is 15 times as fast as by `matmul`.
    """
    single = [i in other.indices and i not in out.indices and sizes[i] == 1 for i in x.indices]
    view = x.array[(*(0 if one else slice(None) for one in single), ...)]
    return Operand(view, tuple(i for i, one in zip(x.indices, single) if not one))


def _one_axis(x, letters, sizes):
    """Whether these letters of x, in this order, are one axis in memory.

    Letters of size 1 take no room, wherever they stand.
    """
    wide = [i for i in x.indices if sizes[i] > 1]
    wanted = [i for i in letters if sizes[i] > 1]
    first = wide.index(wanted[0]) if wanted else 0
    return wide[first:first + len(wanted)] == wanted


def _tail(group, x, out, sizes):
    """The longest tail of the letters that is one axis in x and in out; others are batch axes."""
    for k in range(len(group)):
        if all(_one_axis(operand, group[k:], sizes) for operand in (x, out)):
            return group[k:]
    return ()


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
