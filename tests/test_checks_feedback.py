"""What every check shares: numbers, and functions that return several arrays. Functions of one array: test_checks_batch_index."""

import numpy as np
import pytest

from mbcore.checks.feedback import Case, Feedback, function, number

ANSWER = dict(right=8.0, wrong={"you forgot the root.": 64.0, "not a finite one.": float("inf")}, praise="yes.", hint="look again.")


@pytest.mark.parametrize("answer, expected", [
    (8, Feedback(True, "yes.")), (8.1, Feedback(True, "yes.")), (np.float32(8), Feedback(True, "yes.")), (np.int64(8), Feedback(True, "yes.")),
    (64, Feedback(False, "you forgot the root.")), (9, Feedback(False, "look again.")), (-8, Feedback(False, "look again."))])
def test_numbers(answer, expected):
    assert number(answer, **ANSWER) == expected


@pytest.mark.parametrize("answer", [None, "8", True, [8], float("nan"), float("inf"), 8j])
def test_what_is_no_number(answer):
    assert number(answer, **ANSWER, expected="a batch size") == Feedback(False, f"expected a batch size, got {answer!r}.")


def both(a, b):
    return a + b, a - b


PAIR = dict(right=both, wrong={"swapped.": lambda a, b: (a - b, a + b), "a copy.": lambda a, b: (a, a)}, cases=[
    Case({"B": 2}, (np.ones(2), np.arange(2.0))), Case({"B": 3}, (np.ones(3), np.arange(3.0)))],
    takes="a and b", returns="(x.grad, W.grad)", praise="yes.", hint="look again.")


@pytest.mark.parametrize("solution, right, said", [
    (both, True, "yes."), (lambda a, b: list(both(a, b)), True, "yes."), (lambda a, b: (a - b, a + b), False, "swapped."),
    (lambda a, b: (a, b), False, "the numbers differ"), (lambda a, b: a + b, False, "your result has the shape (2,)"),
    (lambda a, b: (a + b,), False, "your result has the shape ((2,),)"), (lambda a, b: None, False, "your function returns nothing"),
    (lambda a, b: (a + b, a - b if len(a) == 2 else a), False, "right when B = 2, but not when B = 3")])
def test_several_arrays(solution, right, said):
    found = function(solution, **PAIR)
    assert found.right == right and found.because.startswith(said)


def test_a_solution_cannot_change_the_case():
    def greedy(a, b):
        a += b
        return a, a - 2 * b
    assert function(greedy, **PAIR).right and function(greedy, **PAIR).right
