"""What every check does: compare an answer with the right one and with those of the known
misconceptions, and say which it is.

    function  a student's function, run on examples; an answer that no misconception explains
              gets the smallest failing one
    number    a measurement, or a result of a formula: near enough is enough
    count     a whole number: exact to the last digit
    word      a text, read without regard to blanks, case, the kind of its minus and indices
    in_order  so many numbers, one after the other
    as_set    a set of such words, or of whole numbers, however it is written down

Numbers may come as Python's, NumPy's or PyTorch's, or in an array without axes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from numbers import Real
from textwrap import fill

import numpy as np

from ..checking import host_array, real, shown

WIDTH = 100  # characters: a longer line breaks inside a word in JupyterLab
INDICES = re.compile(r"(?<=\w)\[[^\[\]]*\]")  # behind a name, as in h[b,j]
MISTAKE = 0.02  # relative: how near an answer must be to a misconception's, to be told so


@dataclass(frozen=True)
class Feedback:
    """What a check answers; shown as its sentence."""

    right: bool
    because: str

    def __repr__(self):
        return fill(
            f"{'Right' if self.right else 'Not yet'}: {self.because}", WIDTH, break_on_hyphens=False
        )


@dataclass(frozen=True)
class Case:
    """Arguments on which a solution is tried, and the sizes by which a sentence names them.

    words: what the arguments are, where numbers alone do not say it, as for a function among them.
    """

    sizes: dict
    arguments: tuple
    words: str = ""

    def __str__(self):
        return ", ".join(f"{letter} = {size}" for letter, size in self.sizes.items())

    @property
    def numbers(self):
        """How many numbers the arguments have."""
        return sum(np.size(a) for a in self.arguments)


def function(solution, right, wrong, cases, takes, returns, praise, hint, small=()):
    """Check a student's function by running it.

    right: the function it should equal; it returns an array, or a tuple of arrays. wrong:
    misconception -> the function that it produces. cases: the first tells the misconceptions apart,
    so let its sizes agree, that most mistakes run; the others are where sizes differ. takes,
    returns: the arguments and the result in words ("x, W0 and C0", "h[b,j]").
    small: cases of few round numbers, to show one on which an answer fails that no misconception
        explains.
    """
    if not callable(solution):
        return Feedback(False, f"expected a function of {takes}, got {type(solution).__name__}.")
    first, *others = cases
    told, error = outcome(solution, first)
    if error:
        return Feedback(False, f"your function stopped with {error}.")
    if told is None:
        return Feedback(
            False, f"your function returns nothing; end it with return {returns.split('[')[0]}."
        )
    if kind := _no_numbers(told):
        return Feedback(
            False, f"your function returns {kind}, where real numbers are wanted: {returns}."
        )
    for misconception, produced in wrong.items():
        if equal(told, produced(*first.arguments)):
            return Feedback(False, misconception)
    expected = right(*first.arguments)
    if not equal(told, expected):
        form = _shape(told, isinstance(expected, tuple))
        wanted = _shape(expected, isinstance(expected, tuple))
        if form is not None and form != wanted:
            return Feedback(
                False,
                f"your result has the shape {form}; for {first} it must be {returns}, {wanted}.",
            )
        return Feedback(
            False,
            f"the numbers differ, and not in a way this check knows. {hint} "
            + _example(solution, right, takes, (*small, *cases)),
        )
    for case in others:
        told, error = outcome(solution, case)
        if error or not equal(told, right(*case.arguments)):
            return Feedback(
                False,
                f"right when {first}, but not when {case}{f' ({error})' if error else ''}. "
                "Something works only while sizes agree. "
                + _example(solution, right, takes, (*small, *others)),
            )
    return Feedback(True, praise)


def _no_numbers(told):
    """What an answer holds that is no real number, in words; "" where nothing is."""
    if isinstance(told, (list, tuple)):
        return next((kind for kind in map(_no_numbers, told) if kind), "")
    if told is None or _array(told) is not None:
        return "" if told is not None else "nothing in one of its places"
    kind = getattr(getattr(told, "dtype", None), "kind", "")
    return {"b": "truth values", "c": "complex numbers"}.get(kind) or f"a {type(told).__name__}"


def _example(solution, right, takes, cases):
    """The case of the fewest numbers on which the solution fails, in words: what goes in, what it
    gives, what is right."""
    for case in sorted(cases, key=lambda case: case.numbers):
        expected = right(*case.arguments)
        told, error = outcome(solution, case)
        if error or not equal(told, expected):
            break
    else:  # a function that is not the same twice
        return "Called again with the same numbers, it is right: it has to give the same each time."
    given = case.words or ", ".join(
        f"{name} = {written(a)}" for name, a in zip(re.split(", | and ", takes), case.arguments)
    )
    if error:
        return f"For example, with {given} it stops with {error}."
    for digits in (3, 6, 12):  # as few as tell the two apart
        yours, wanted = written(told, digits), written(expected, digits)
        if yours != wanted:
            break
    return f"For example, with {given} it gives {yours}; right is {wanted}."


def written(value, digits=3):
    """A number, an array or a tuple of them in a line, to so many digits."""
    if isinstance(value, (tuple, list)) and any(np.ndim(_array(part)) for part in value):
        return f"({', '.join(written(part, digits) for part in value)})"
    found = _array(value)
    if found is None:
        return "nothing" if value is None else shown(value)
    if not found.ndim:
        return f"{found:.{digits}g}"
    text = np.array2string(
        found, separator=", ", threshold=24, formatter={"float_kind": lambda v: f"{v:.{digits}g}"}
    )
    return " ".join(text.split())


def number(answer, right, wrong, praise, hint, rtol=0.015, expected="a number"):
    """Check a measurement, or a number that a formula gives.

    wrong: misconception -> the number that it produces. rtol: how near is near enough, relative.
    """
    value = as_number(answer)
    if value is None:
        return Feedback(False, f"expected {expected}, got {shown(answer)}.")
    if _near(value, right, rtol):
        return Feedback(True, praise)
    for misconception, produced in wrong.items():
        if _near(value, produced, MISTAKE):
            return Feedback(False, misconception)
    return Feedback(
        False, f"{'nearly, but not near enough: ' if _near(value, right, MISTAKE) else ''}{hint}"
    )


def count(answer, right, wrong, praise, hint, expected="a whole number"):
    """Check a count: a whole number, and no other one will do.

    wrong: misconception -> the number that it produces; where that is no whole number, its
        neighbours count as it does.
    """
    value = as_number(answer)
    if value is None:
        return Feedback(False, f"expected {expected}, got {shown(answer)}.")
    if _counts(value, right):
        return Feedback(True, praise)
    for misconception, produced in wrong.items():
        if _counts(value, produced):
            return Feedback(False, misconception)
    if value != round(value):
        return Feedback(False, f"{value:,.12g} is no whole number. {hint}")
    near = (
        f"nearly, but {value:,.0f} is not it, and a count is exact. "
        if _near(value, right, MISTAKE)
        else ""
    )
    return Feedback(False, near + hint)


def _counts(value, right):
    """Whether a value is this count, but for the rounding of a formula; a neighbour of one that is
    no whole number."""
    if right != round(right) and abs(value - right) < 1:
        return True
    return abs(value - right) <= min(1e-9 * abs(right), 1e-3)


def _near(value, produced, rtol):
    return isfinite(produced) and abs(value - produced) <= rtol * abs(produced)


def as_number(answer):
    """The finite number that an answer is, or None."""
    try:
        return real("answer", answer)
    except ValueError:
        return None


def in_order(answer, count):
    """So many finite numbers, in the order in which they are given; None where it is not that. A
    set and a dictionary have no such order."""
    if isinstance(answer, (Set, Mapping)):
        return None
    try:
        found = list(map(as_number, answer))
    except TypeError:  # nothing that holds others
        return None
    return None if len(found) != count or None in found else found


def word(answer, known):
    """Which of the known words an answer is, or None: blanks, case, the kind of minus and indices
    in brackets do not matter.

    Example: word("S.grad[b]/B", ("s.grad", "s.grad / B")) -> "s.grad / B".
    """
    if not isinstance(answer, str):
        return None
    if answer.strip() in known:  # "L" beside "l"
        return answer.strip()
    answer = INDICES.sub("", answer)
    return next((one for one in known if _evened(one) == _evened(answer)), None)


def _evened(text):
    text = "".join(text.split()).lower()
    return (
        text.replace("\N{MINUS SIGN}", "-")
        .replace("\N{EN DASH}", "-")
        .replace("\N{MIDDLE DOT}", "*")
        .replace("\N{MULTIPLICATION SIGN}", "*")
    )


def as_set(answer, known=None):
    """The answer as a set, or None where it is none. known: its words; None asks for whole numbers.

    A text is split at commas and blanks. A word that is not known stays as it is written, so that a
    sentence can name it.
    """
    if isinstance(answer, str):
        answer = re.split(r"[,;\s]+", INDICES.sub("", answer).strip(" ,;{}[]()"))
        if len(answer) == 1 and not word(answer[0], known or ()):
            return None  # "xhs" may be three names or one
        if known is None:
            answer = [_number_in(part) for part in answer]
    elif as_number(answer) is not None:
        answer = [answer]
    try:
        parts = list(answer)
    except TypeError:  # nothing that holds others
        return None
    if known is not None:
        found = {
            (word(part, known) or part.strip()) if isinstance(part, str) else None for part in parts
        }
    else:
        found = {
            None if value is None or value != round(value) else int(value)
            for value in map(as_number, parts)
        }
    return None if None in found else found


def _number_in(text):
    try:
        return float(text)
    except ValueError:
        return None


def equal(a, b):
    """Whether the answer is this array, or this tuple of arrays, to 1e-6; whatever it is, nothing
    is raised."""
    if isinstance(b, tuple):
        return (
            isinstance(a, (tuple, list))
            and len(a) == len(b)
            and all(equal(*pair) for pair in zip(a, b))
        )
    found = _array(a)
    return found is not None and found.shape == np.shape(b) and np.allclose(found, b, atol=1e-6)


def _array(value):
    """The answer as an array of float64, or None where it is none."""
    try:
        if isinstance(value, (list, tuple)):  # of tensors, for example
            found = np.stack(list(map(_array, value)))
        else:
            found = host_array("answer", value)
    except Exception:  # an answer may be anything, and its conversion may raise anything
        return None
    if found.dtype == object and all(map(_is_number, found.flat)):  # fractions, decimals
        return found.astype(float)
    return found.astype(float) if found.dtype.kind in "iuf" else None


def _is_number(value):
    return isinstance(value, (Real, Decimal)) and not isinstance(value, bool)


def outcome(solution, case):
    """(what it returned, None) or (None, the error in words); the solution gets copies."""
    try:
        return solution(
            *(np.array(a) if isinstance(a, np.ndarray) else a for a in case.arguments)
        ), None
    except (Exception, SystemExit) as error:  # a student's function may raise anything
        try:
            return None, f"{type(error).__name__}: {error}"
        except Exception:  # even an error that cannot be written
            return None, type(error).__name__


def _shape(a, several):
    """The shape of an array, those of a tuple of several, or None."""
    if several and isinstance(a, (tuple, list)):
        return tuple(_shape(part, False) for part in a)
    try:
        return np.shape(a)
    except Exception:  # a ragged list, or what raises when it is asked
        return None
