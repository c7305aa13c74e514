"""The exercises' checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import re

import numpy as np
import pytest

from mbcore.checks import batch_index as checks
from mbcore.checks.feedback import Feedback


def sigma(z):
    return 1 / (1 + np.exp(-z))


# ---------------------------------------------------------------- layer: right answers


def one_loop(x, W0, C0):
    h = np.zeros((x.shape[0], W0.shape[0]))
    for b in range(len(x)):
        h[b] = sigma(W0 @ x[b] - C0)
    return h


def three_loops(x, W0, C0):
    B, I, J = *x.shape, len(C0)
    h = np.zeros((B, J))
    for b in range(B):
        for j in range(J):
            for i in range(I):
                h[b, j] += W0[j, i] * x[b, i]
            h[b, j] = 1 / (1 + np.exp(-(h[b, j] - C0[j])))
    return h


def in_place(x, W0, C0):
    C0 *= -1
    W0 *= 1
    s = x @ W0.T
    s += C0
    x[...] = 0
    return sigma(s)


RIGHT = {"vectorised": lambda x, W0, C0: sigma(x @ W0.T - C0), "einsum": lambda x, W0, C0: sigma(np.einsum("bi,ji->bj", x, W0) - C0),
         "one loop": one_loop, "three loops": three_loops, "lists": lambda *a: three_loops(*a).tolist(), "in place": in_place,
         "float32": lambda x, W0, C0: sigma(x @ W0.T - C0).astype(np.float32),
         "tanh": lambda x, W0, C0: (1 + np.tanh((x @ W0.T - C0) / 2)) / 2}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    answer = checks.layer(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


# ---------------------------------------------------------------- layer: misconceptions, as a student would write them


def first_row_only(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    for b in range(len(x)):
        h[b] = sigma(W0 @ x[0] - C0)
    return h


def returns_early(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    for b in range(len(x)):
        h[b] = sigma(W0 @ x[b] - C0)
        return h


def loop(change):
    """The three loops, with one line changed by the student."""
    lines = {"add": "h[b, j] += W0[j, i] * x[b, i]", "inside": "pass", "end": "h[b, j] = sigma(h[b, j] - C0[j])", **change}
    scope = {"np": np, "sigma": sigma}
    exec(f"""
def layer(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    for b in range(len(x)):
        for j in range(len(C0)):
            for i in range(x.shape[1]):
                {lines['add']}
                {lines['inside']}
            {lines['end']}
    return h""", scope)
    return scope["layer"]


WRITTEN = [
    (loop({"add": "h[b, j] = W0[j, i] * x[b, i]"}), "only the last i is left"),
    (loop({"inside": "h[b, j] -= C0[j]", "end": "h[b, j] = sigma(h[b, j])"}), "C0 is subtracted once for every i"),
    (loop({"inside": "h[b, j] = sigma(h[b, j] - C0[j])", "end": "pass"}), r"the sigma \(and C0\) stand inside"),
    (loop({"end": "h[b, j] = 1 / (1 + np.exp(h[b, j] - C0[j]))"}), "the sign in the exponent"),
    (loop({"end": "h[b, j] = sigma(h[b, j]) - C0[j]"}), "C0 is subtracted after"),
    (lambda x, W0, C0: np.tanh(x @ W0.T - C0), "this is tanh"),
    (lambda x, W0, C0: sigma(x @ W0.T + C0), "the sign: "),
    (lambda x, W0, C0: sigma(x @ W0.T), "C0 is missing"),
    (lambda x, W0, C0: x @ W0.T - C0, "the sigma is missing"),
    (lambda x, W0, C0: sigma(x @ W0 - C0), "W0 is transposed: "),
    (lambda x, W0, C0: sigma(x @ W0.T - C0.reshape(-1, 1)), "C0 went along b"),
    (lambda x, W0, C0: sigma(x @ W0 - C0[:, None]), "W0 is transposed, and"),
    (lambda x, W0, C0: sigma(W0 @ x.T - C0[:, None]), r"your result is h\[j,b\]"),
    (lambda x, W0, C0: np.tile(sigma(sum(W0 @ row - C0 for row in x)), (len(x), 1)), "you added the examples up"),
    (lambda x, W0, C0: np.tile(sigma(np.mean([W0 @ row - C0 for row in x], axis=0)), (len(x), 1)), "you averaged"),
    (returns_early, "only the first example"),
    (first_row_only, "every row is the first"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.layer(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.LAYER)
def test_every_row_of_the_table_is_reached(sentence):
    assert checks.layer(checks.LAYER[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in WRITTEN) == 1


def fails_when_not_square(x, W0, C0):
    return sigma(x @ W0.T - C0) if x.shape == W0.shape else sigma(x @ W0 - C0)


def silently_wrong_when_not_square(x, W0, C0):
    return sigma(x @ W0.T - (C0 if x.shape == W0.shape else 0))


@pytest.mark.parametrize("solution", [fails_when_not_square, silently_wrong_when_not_square])
def test_right_only_while_sizes_agree(solution):
    answer = checks.layer(solution)
    assert not answer.right and "right when B = 4, I = 4, J = 4, but not when B = 5" in answer.because


ODD = {"not a function": 3, "None": None, "a string": "h", "an array": np.ones(3)}
RETURNS = {"nothing": None, "a string": "h", "a number": 3.0, "ragged": [[1], [1, 2]], "an object": object(), "NaN": np.full((4, 4), np.nan),
           "complex": np.full((4, 4), 1j),
           "a dict": {}, "too many axes": np.ones((4, 4, 1)), "a function": len, "empty": []}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_not_a_function(answer):
    assert not checks.layer(answer).right and "expected a function of x, W0 and C0" in checks.layer(answer).because


@pytest.mark.parametrize("returned", RETURNS.values(), ids=RETURNS)
@pytest.mark.filterwarnings("error")
def test_whatever_a_solution_returns_gets_a_sentence(returned):
    answer = checks.layer(lambda x, W0, C0: returned)
    assert not answer.right and answer.because.endswith(".")


@pytest.mark.filterwarnings("error")
def test_a_complex_answer_is_not_right():
    assert not checks.layer(lambda x, W0, C0: sigma(x @ W0.T - C0) + 1j).right


@pytest.mark.parametrize("solution, told", [
    (lambda x, W0, C0: x @ W0[:2], "ValueError"), (lambda x: x, "TypeError"), (lambda x, W0, C0: 1 / 0, "ZeroDivisionError"),
    (lambda x, W0, C0: undefined, "NameError"), (lambda x, W0, C0: x[9], "IndexError")])     # noqa: F821
def test_an_error_is_told_in_a_sentence(solution, told):
    answer = checks.layer(solution)
    assert not answer.right and f"your function stopped with {told}: " in answer.because


@pytest.mark.parametrize("solution, shape", [(lambda x, W0, C0: 0.5, r"\(\)"), (lambda x, W0, C0: C0, r"\(4,\)")])
def test_a_wrong_shape_is_told(solution, shape):
    assert re.match(f"your result has the shape {shape}", checks.layer(solution).because)


# ---------------------------------------------------------------- who_gets_b, silent_trap


@pytest.mark.parametrize("kind", [set, list, tuple, frozenset, lambda names: iter(list(names))])
def test_who_gets_b_right(kind):
    assert checks.who_gets_b(kind(["x", "h", "s", "ell", "L", "target"])).right


ALL = {"x", "h", "s", "ell", "L", "target"}


@pytest.mark.parametrize("answer, words", [
    ({*ALL, "W0"}, "W0 with a b would be a network of its own"), ({*ALL, "J"}, "J is computed from parameters alone"),
    ({*ALL, "lam"}, "lam is one constant"), (ALL - {"target"}, "target is an input like x"), (ALL - {"L"}, "the loss is per example"),
    (ALL - {"ell"}, "its own loss"), (ALL - {"s"}, "s is computed from h"), (ALL - {"h"}, "h is computed from x"),
    (ALL - {"x"}, "x is where b comes from"), ({"q", "x"}, "q is no array"), (set(), "x is where b comes from"),
    ("xhs", "expected a set of names"), (3, "expected a set"), (None, "expected a set"), ({1, "x"}, "1"),
    ([["x"]], "."), (np.array([["x", "h"]]), ".")])
def test_who_gets_b_wrong(answer, words):
    feedback = checks.who_gets_b(answer)
    assert not feedback.right and words in feedback.because


@pytest.mark.parametrize("answer", [{1, 32}, [32, 1], np.array([1, 32]), (1, 32, 32)])
def test_silent_trap_right(answer):
    assert checks.silent_trap(answer).right


@pytest.mark.parametrize("answer, words", [
    ({32}, "what happens at B = 1"), (32, "what happens at B = 1"), ({1}, "some are missing"), (set(), "some are missing"),
    ({1, 32, 5}, "at B = 5 NumPy refuses"), ("32", "expected a set"), (None, "expected a set"), (3.5, "expected a set"),
    ({"a", 3}, "."), ([[1], [32]], ".")])
def test_silent_trap_wrong(answer, words):
    feedback = checks.silent_trap(answer)
    assert not feedback.right and words in feedback.because
