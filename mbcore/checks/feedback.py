"""What every check does: compare an answer with the right one and with those of the known misconceptions, and say which it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Real
from textwrap import fill

import numpy as np

WIDTH = 100     # characters: a longer line breaks inside a word in JupyterLab


@dataclass(frozen=True)
class Feedback:
    """What a check answers; shown as its sentence."""

    right: bool
    because: str

    def __repr__(self):
        return fill(f"{'Right' if self.right else 'Not yet'}: {self.because}", WIDTH, break_on_hyphens=False)


@dataclass(frozen=True)
class Case:
    """Arguments on which a solution is tried, and the sizes by which a sentence names them."""

    sizes: dict
    arguments: tuple

    def __str__(self):
        return ", ".join(f"{letter} = {size}" for letter, size in self.sizes.items())


def function(solution, right, wrong, cases, takes, returns, praise, hint):
    """Check a student's function by running it.

    right: the function it should equal; it returns an array, or a tuple of arrays. wrong: misconception -> the function that
    it produces. cases: the first tells the misconceptions apart, so let its sizes agree, that most mistakes run; the others are
    where sizes differ. takes, returns: the arguments and the result in words ("x, W0 and C0", "h[b,j]").
    """
    if not callable(solution):
        return Feedback(False, f"expected a function of {takes}, got {type(solution).__name__}.")
    first, *others = cases
    told, error = outcome(solution, first)
    if error:
        return Feedback(False, f"your function stopped with {error}.")
    if told is None:
        return Feedback(False, f"your function returns nothing; end it with return {returns.split('[')[0]}.")
    for misconception, produced in wrong.items():
        if equal(told, produced(*first.arguments)):
            return Feedback(False, misconception)
    expected = right(*first.arguments)
    if not equal(told, expected):
        shape, wanted = _shape(told), _shape(expected)
        if shape is not None and shape != wanted:
            return Feedback(False, f"your result has the shape {shape}; for {first} it must be {returns}, {wanted}.")
        return Feedback(False, f"the numbers differ, and not in a way this check knows. {hint}")
    for case in others:
        told, error = outcome(solution, case)
        if error or not equal(told, right(*case.arguments)):
            return Feedback(False, f"right when {first}, but not when {case}{f' ({error})' if error else ''}. "
                            "Something works only while sizes agree.")
    return Feedback(True, praise)


def number(answer, right, wrong, praise, hint, rtol=0.02, expected="a number"):
    """Check a number. wrong: misconception -> the number that it produces; rtol: how near is near enough, relative."""
    if isinstance(answer, bool) or not isinstance(answer, (Real, np.number)) or not isfinite(answer):
        return Feedback(False, f"expected {expected}, got {answer!r}.")
    near = lambda value: isfinite(value) and abs(answer - value) <= rtol * abs(value)
    if near(right):
        return Feedback(True, praise)
    for misconception, produced in wrong.items():
        if near(produced):
            return Feedback(False, misconception)
    return Feedback(False, hint)


def as_set(answer, kind=object):
    """The answer as a set of things of that kind, or None."""
    try:
        found = None if isinstance(answer, str) else set(answer)
    except TypeError:                           # no iterable, or one of lists
        return None
    return found if found is not None and all(isinstance(part, kind) for part in found) else None


def equal(a, b):
    """Whether the answer is this array, or this tuple of arrays, to 1e-6; whatever it is, nothing is raised."""
    if isinstance(b, tuple):
        return isinstance(a, (tuple, list)) and len(a) == len(b) and all(equal(*pair) for pair in zip(a, b))
    try:
        a = np.asarray(a)
        a = a.astype(float) if a.dtype.kind in "biuf" else a
    except (TypeError, ValueError):
        return False
    return a.dtype == float and a.shape == np.shape(b) and np.allclose(a, b, atol=1e-6)


def outcome(solution, case):
    """(what it returned, None) or (None, the error in words); the solution gets copies."""
    try:
        return solution(*(np.array(a) if isinstance(a, np.ndarray) else a for a in case.arguments)), None
    except Exception as error:                      # a student's function may raise anything
        return None, f"{type(error).__name__}: {error}"


def _shape(a):
    """The shape of an array, those of a tuple of arrays, or None."""
    if isinstance(a, tuple):
        return tuple(_shape(part) for part in a)
    try:
        return np.shape(a)
    except ValueError:                              # a ragged list
        return None
