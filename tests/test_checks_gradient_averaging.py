"""Lesson 04's checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import re

import numpy as np
import pytest

from mbcore.checks import gradient_averaging as checks
from mbcore.checks.feedback import Feedback

# ---------------------------------------------------------------- accumulated: right answers


def by_share(mean_gradient, B, n):
    g = 0
    for first in range(0, B, n):
        last = min(first + n, B)
        g = g + (last - first) / B * mean_gradient(first, last)
    return g


def sum_first(mean_gradient, B, n):
    total, first = np.zeros(4), 0
    while first < B:
        size = min(n, B - first)
        total += size * mean_gradient(first, first + size)
        first += size
    return total / B


def past_the_end(mean_gradient, B, n):
    """Slices may end beyond B, as those of arrays do."""
    return sum(min(n, B - k) * mean_gradient(k, k + n) for k in range(0, B, n)) / B


RIGHT = {"by share": by_share, "sum first": sum_first, "slices past the end": past_the_end,
         "one by one": lambda mean_gradient, B, n: np.mean([mean_gradient(b, b + 1) for b in range(B)], axis=0),
         "weighted average": lambda m, B, n: np.average([m(k, k + n) for k in range(0, B, n)], axis=0,
                                                        weights=[min(n, B - k) for k in range(0, B, n)]),
         "a list": lambda *a: by_share(*a).tolist(), "float32": lambda *a: by_share(*a).astype(np.float32)}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    answer = checks.accumulated(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


# ---------------------------------------------------------------- accumulated: misconceptions, as a student would write them


def loop(change):
    """The loop, with some lines changed by the student."""
    lines = {"start": "g, K = 0, 0", "inside": "pass", "parts": "range(0, B, n)", "size": "min(n, B - first)",
             "add": "g = g + size / B * mean_gradient(first, first + size)", "then": "K += 1", "end": "return g", **change}
    scope = {"np": np}
    exec(f"""
def gradient(mean_gradient, B, n):
    {lines['start']}
    for first in {lines['parts']}:
        {lines['inside']}
        size = {lines['size']}
        {lines['add']}
        {lines['then']}
    {lines['end']}""", scope)
    return scope["gradient"]


def plain(weight):
    return f"g = g + {weight} * mean_gradient(first, first + size)"


WRITTEN = [
    (loop({"add": plain("1"), "end": "return g / K"}), "this is the mean of the parts' means"),
    (loop({"add": plain("1")}), "you added the parts' gradients"),
    (loop({"add": plain("n / B")}), "every part got the weight n / B"),
    (loop({"add": plain("size"), "end": "return g / (n * K)"}), "you divided by n times the number of parts"),
    (loop({"parts": "range(0, B - B % n, n)", "add": plain("1"), "end": "return g / K if K else 0 * mean_gradient(0, B)"}),
     "the smaller last part is left out: the loop ends"),
    (loop({"parts": "range(0, B - B % n, n)"}), "the smaller last part is left out, though B"),
    (loop({"add": "g = size / B * mean_gradient(first, first + size)"}), "only the last part is left: "),
    (loop({"inside": "g = 0"}), "only the last part is left: "),
    (loop({"add": "g = mean_gradient(first, first + size)"}), "only the last part is left, as a mean"),
    (loop({"add": "g = mean_gradient(0, size) if first == 0 else g"}), "only the first part is there: "),
    (loop({"add": "return mean_gradient(first, first + size)"}), "only the first part is there: "),
    (loop({"then": "return g"}), "only the first part is there, with"),
    (loop({"add": plain("size")}), "this is the sum over all examples"),
    (loop({"end": "return g / B"}), "B divides twice"),
    (loop({"end": "return g / K"}), "you divided by the number of parts on top"),
    (loop({"add": plain("size / n")}), "the part's share is size / B"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.accumulated(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.ACCUMULATED)
def test_every_row_of_the_table_is_reached(sentence):
    assert checks.accumulated(checks.ACCUMULATED[sentence]) == Feedback(False, sentence)
    assert len({s for _, s in WRITTEN if re.match(s, sentence)}) == 1


def test_the_whole_batch_at_once_does_not_fit():
    answer = checks.accumulated(lambda mean_gradient, B, n: mean_gradient(0, B))
    assert not answer.right and "memory holds n = 2 examples, and this asks for 5" in answer.because


def test_the_end_of_the_batch_is_told():
    answer = checks.accumulated(lambda mean_gradient, B, n: sum(mean_gradient(k, k + n) for k in range(0, B + n, n)))
    assert not answer.right and "there are no examples from 6 to 7" in answer.because


@pytest.mark.parametrize("solution, sizes", [
    (lambda m, B, n: by_share(m, B, n) if B != 3 else 0 * m(0, 3), "B = 3, n = 8"),
    (lambda m, B, n: (2 * m(0, 2) + 2 * m(2, 4) + m(4, 5)) / 5, "B = 6, n = 3")])
def test_right_for_one_size_only(solution, sizes):
    assert f"but not when {sizes}" in checks.accumulated(solution).because


@pytest.mark.parametrize("answer", [3, None, "g", np.ones(3)])
def test_not_a_function(answer):
    assert "expected a function of mean_gradient, B and n" in checks.accumulated(answer).because


@pytest.mark.parametrize("returned", [None, "g", 3.0, [[1], [1, 2]], object(), np.full(4, np.nan), {}, np.ones((4, 1)), len, []])
@pytest.mark.filterwarnings("error")
def test_whatever_a_solution_returns_gets_a_sentence(returned):
    answer = checks.accumulated(lambda mean_gradient, B, n: returned)
    assert not answer.right and answer.because.endswith(".")


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("answer", [1.5, 60 / 40, np.float32(1.5), np.average([1, 3], weights=[30, 10])])
def test_loss_of_tokens_right(answer):
    assert checks.loss_of_tokens(answer).right


@pytest.mark.parametrize("answer, words", [
    ((1 + 3) / 2, "mean of the two means"), (1 + 3, "you added the means"), (30 * 1 + 10 * 3, "sum over the 40 tokens"),
    (60 / 40 / 2, "number of parts on top"), ((10 * 1 + 30 * 3) / 40, "weights are swapped"), (60 / 40 / 40, "tokens twice"),
    (7, "how many tokens are there"), (None, "expected a number"), ("2", "expected a number"), (float("nan"), "expected a number")])
def test_loss_of_tokens_wrong(answer, words):
    feedback = checks.loss_of_tokens(answer)
    assert not feedback.right and words.lower() in feedback.because.lower()


@pytest.mark.parametrize("answer", [16, 16.0, (31 + 1) / 2, np.int64(16)])
def test_as_quiet_right(answer):
    assert checks.as_quiet(answer).right


@pytest.mark.parametrize("answer, words", [
    (31, "quieter than you need"), (15.5, "you took sigma^2/(2N)"), (61, "turned round"), (15, "(2N + 1)"), (1 / 16, "that is the weight"),
    (15 / 16, "beta of the momentum"), (100, "Set sigma^2/(2N - 1)"), (True, "expected a number"), ([16], "expected a number"),
    (None, "expected a number")])
def test_as_quiet_wrong(answer, words):
    feedback = checks.as_quiet(answer)
    assert not feedback.right and words in feedback.because
