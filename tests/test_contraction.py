"""Products of any letters and sizes, bound once and run, against np.einsum; and the order in which many factors are multiplied."""

import math
from functools import partial
from itertools import combinations, permutations, product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mbcore import contraction
from mbcore.binding import Memory
from mbcore.contraction import Operand, bind, cheapest


class Bound:
    """A product of letters such as "ab,b->a" with buffers for some sizes, and its calls for smaller ones."""

    def __init__(self, text, sizes, coefficient=1.0, accumulate=False, largest=None):
        left, out = text.split("->")
        self.memory, self.sizes = Memory(np, largest or sizes, np.float64), sizes
        self.factors = [Operand(self.view(f"factor {k}", f), tuple(f)) for k, f in enumerate(left.split(","))]
        self.out = Operand(self.view("out", out), tuple(out))
        self.calls = bind(np, coefficient, self.factors, self.out, accumulate, self.scratch,
                          lambda indices: self.filled(indices, coefficient), self.memory.sizes)
        self.memory.check(self.calls)

    def view(self, name, indices):
        return self.memory.view(name, tuple(indices), self.sizes)

    def scratch(self, indices, slot):
        return self.view(f"{indices} {slot}", indices)

    def filled(self, indices, coefficient):
        view = self.scratch(indices, "filled")
        view.fill(coefficient)
        return view

    def run(self, *arrays):
        for operand, array in zip(self.factors, arrays):
            operand.array[...] = array
        for call in self.calls:
            call()
        return self.out.array


def right(text, arrays, sizes, coefficient=1.0):
    """einsum's value, spread over the letters that no factor has."""
    left, out = text.split("->")
    borne = "".join(i for i in out if i in left)
    value = np.einsum(f"{left}->{borne}", *arrays) * coefficient
    return np.broadcast_to(value[tuple(slice(None) if i in borne else None for i in out)], [sizes[i] for i in out])


def drawn(text, sizes, rng):
    return [rng.normal(size=[sizes[i] for i in f]) for f in text.split("->")[0].split(",")]


WORDS = ["".join(p) for n in range(5) for letters in combinations("abcd", n) for p in permutations(letters)]


def pairs():
    """All products of two factors with up to four letters; the first letter of the first factor that has one is a, and so on."""
    for left in product(WORDS, WORDS):
        seen = list(dict.fromkeys("".join(left)))
        if seen == sorted(seen) and seen == list("abcd")[:len(seen)]:
            for out in WORDS:
                if set(out) <= set(seen):
                    yield f"{','.join(left)}->{out}", seen


ALL = list(pairs())


def test_products_of_two_factors_are_einsums():
    """A sample of all pairs of factors with up to four letters, with sizes from 1 to 3, half of them 1."""
    rng = np.random.default_rng(0)
    for k in rng.choice(len(ALL), 1500, replace=False):
        text, letters = ALL[k]
        sizes = {i: int(rng.choice([1, 1, 2, 3])) for i in letters}
        arrays = drawn(text, sizes, rng)
        coefficient, accumulate = rng.choice([1.0, -1.0, 0.5]), bool(rng.integers(2))
        bound = Bound(text, sizes, coefficient, accumulate)
        bound.out.array[...] = start = rng.normal(size=bound.out.array.shape)
        found = bound.run(*arrays)
        assert_allclose(found, right(text, arrays, sizes, coefficient) + accumulate * start, rtol=1e-12, atol=1e-12, err_msg=f"{text} {sizes}")


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_products_of_any_number_of_factors_are_einsums(count):
    rng = np.random.default_rng(count)
    for _ in range(150):
        words = ["".join(rng.permutation(list("abcde"))[:rng.integers(4)]) for _ in range(count)]
        out = "".join(rng.permutation(list("abcdef"))[:rng.integers(4)])
        text, sizes = f"{','.join(words)}->{out}", {i: int(rng.choice([1, 2, 3])) for i in "abcdef"}
        arrays = drawn(text, sizes, rng)
        for letter in "abcdef":                             # a smaller last batch, of one example too
            largest = {**sizes, letter: 4}
            found = Bound(text, sizes, -0.5, largest=largest).run(*arrays)
            assert_allclose(found, right(text, arrays, sizes, -0.5), rtol=1e-11, atol=1e-11, err_msg=f"{text} {sizes}")


def test_a_smaller_batch_asks_for_the_same_working_space():
    """Whatever the size of a letter is in the end, no buffer is made that the largest batch did not make."""
    rng = np.random.default_rng(1)
    for k in rng.choice(len(ALL), 400, replace=False):
        text, letters = ALL[k]
        for letter in letters:
            largest = {i: int(rng.choice([1, 2, 3])) for i in letters} | {letter: 3}
            whole = Bound(text, largest)
            for n in (2, 1):
                smaller = Bound(text, {**largest, letter: n}, largest=largest)
                assert smaller.memory.flat.keys() == whole.memory.flat.keys(), f"{text} {largest} {letter}={n}"
                assert smaller.memory.nbytes == whole.memory.nbytes


def test_seven_factors_and_more():
    rng, text = np.random.default_rng(2), "ab,bc,cd,de,ef,fg,gh,h,a->"
    sizes = dict(zip("abcdefgh", (3, 2, 4, 1, 3, 2, 3, 2)))
    arrays = drawn(text, sizes, rng)
    assert_allclose(Bound(text, sizes).run(*arrays), right(text, arrays, sizes), rtol=1e-12)


# ---------------------------------------------------------------- the order


def multiplications(tree, factors, out, sizes):
    """(multiplications, letters that are left) of an order, counted from the letters alone."""
    if not isinstance(tree, tuple):
        return 0, set(factors[tree])

    def inside(part):
        return set().union(*map(inside, part)) if isinstance(part, tuple) else {part}
    total, borne = 0, set()
    for half in tree:
        cost, letters = multiplications(half, factors, out, sizes)
        outside = set(out).union(*(factors[k] for k in range(len(factors)) if k not in inside(half)))
        total, borne = total + cost, borne | (letters & outside)
    return total + math.prod(sizes[i] for i in borne), borne


def orders(parts):
    """All ways to multiply these, two at a time."""
    if len(parts) == 1:
        yield parts[0]
    for a, b in combinations(range(len(parts)), 2):
        yield from orders([(parts[a], parts[b]), *(p for k, p in enumerate(parts) if k not in (a, b))])


def test_no_order_takes_fewer_multiplications():
    rng = np.random.default_rng(3)
    for count in (3, 3, 4, 4, 5):
        for _ in range(20):
            factors = ["".join(rng.permutation(list("abcde"))[:rng.integers(1, 4)]) for _ in range(count)]
            out = "".join(rng.permutation(list("abcde"))[:rng.integers(3)])
            sizes = {i: int(rng.choice([1, 2, 7, 50])) for i in "abcde"}
            best = min(multiplications(tree, factors, out, sizes)[0] for tree in orders(list(range(count))))
            assert multiplications(cheapest(factors, out, sizes), factors, out, sizes)[0] == best


@pytest.mark.parametrize("B, tree", [(8, (0, (1, 2))), (4096, (0, (1, 2)))])
def test_low_rank_products_never_form_the_large_matrix(B, tree):
    """The cheapest pair first would form A D at B = 4096, since j r i < r i b, and then pay 1000 times 1000 times b."""
    assert cheapest(["jr", "ri", "bi"], "bj", dict(b=B, i=1000, j=1000, r=4)) == tree


def test_the_large_matrix_is_formed_where_that_is_cheaper():
    sizes = dict(b=10**6, i=10, j=10, k=1000)
    assert cheapest(["jk", "ki", "bi"], "bj", sizes) == ((0, 1), 2)


def test_equal_orders_keep_that_of_the_text():
    assert cheapest(["i", "i", "i", "i"], "i", {"i": 5}) == (((0, 1), 2), 3)


def test_many_factors_are_ordered_in_no_time(monkeypatch):
    calls, joined = [], contraction._joined
    monkeypatch.setattr(contraction, "_joined", lambda *a: calls.append(a) or joined(*a))
    letters = [f"a{k}" for k in range(41)]
    cheapest(list(zip(letters, letters[1:])), (), {i: k + 2 for k, i in enumerate(letters)})
    assert 40 < len(calls) < 10_000


def test_a_copy_in_a_buffers_place_is_refused():
    memory = Memory(np, {"a": 2, "b": 3}, np.float64)
    view = memory.view("x", ("a", "b"), memory.sizes)
    memory.check([partial(np.add, view[0], 1.0, out=view[1, ::-1]), partial(view.T.sum, axis=0)])
    for copy in (view.T.reshape(6), view + 0):
        for call in (partial(np.add, 1, view, out=copy), partial(np.add, copy, 1, out=view), partial(copy.sum, axis=0)):
            with pytest.raises(RuntimeError, match="is no view of the program's memory"):
                memory.check([call])
