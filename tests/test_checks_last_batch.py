"""Lesson 11's checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import math
import re

import numpy as np
import pytest

from mbcore.checks import last_batch as checks
from mbcore.checks.feedback import Feedback
from mbcore.experiments import last_batch

# ---------------------------------------------------------------- advantage: right answers


def in_a_loop(L, F, lag):
    K, total = L.shape[1], 0
    for k in range(K - lag):
        on_fresh = F[k + 1 + lag] - F[k]
        on_batch = L[k + 1 + lag, k] - L[k, k]
        total += on_fresh - on_batch
    return total / (K - lag)


def in_arrays(L, F, lag):
    k = np.arange(L.shape[1] - lag)
    return (F[k + 1 + lag] - F[k] - L[k + 1 + lag, k] + L[k, k]).mean()


def by_diagonals(L, F, lag):
    K = L.shape[1]
    return np.mean(F[1 + lag:] - F[:K - lag] - np.diagonal(L, -1 - lag) + np.diagonal(L)[:K - lag])


def in_place(L, F, lag):
    answer = in_arrays(L, F, lag)
    L[...], F[...] = 0, 0
    return float(answer)


RIGHT = {f.__name__: f for f in (in_a_loop, in_arrays, by_diagonals, in_place)}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    answer = checks.advantage(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


def test_it_is_what_the_experiment_measures():
    """The same sum, there with the first quarter of the batches left out."""
    rng, K = np.random.default_rng(0), 8
    m = last_batch._measured(last_batch.Memory(last_batch.Setting(), rng.random((K + 1, 3, K)), rng.random((K + 1, 3))))
    own = [np.mean([checks._own(m.loss[:, r], m.fresh[:, r], 3, k) for k in range(2, K - 3)]) for r in range(3)]
    assert m.advantage[1][3] == pytest.approx(np.mean(own))


# ---------------------------------------------------------------- advantage: misconceptions, as a student would write them


def loop(change):
    """The loop over k, with one line changed by the student."""
    lines = {"over": "K - lag", "fresh": "F[k + 1 + lag] - F[k]", "batch": "L[k + 1 + lag, k] - L[k, k]", "add": "fresh - batch",
             "end": "sum(found) / len(found)", **change}
    scope = {"np": np}
    exec(f"""
def a(L, F, lag):
    K, found = L.shape[1], []
    for k in range({lines['over']}):
        fresh = {lines['fresh']}
        batch = {lines['batch']}
        found.append({lines['add']})
    return {lines['end']}""", scope)
    return scope["a"]


WRITTEN = [
    (loop({"add": "batch - fresh"}), "the sign"),
    (loop({"fresh": "F[k + 1 + lag]", "batch": "L[k + 1 + lag, k]"}), "you compare the two losses"),
    (loop({"fresh": "F[k + 1 + lag] - F[k + 1]", "batch": "L[k + 1 + lag, k] - L[k + 1, k]"}), "both changes start after"),
    (loop({"fresh": "F[k + lag] - F[k]", "batch": "L[k + lag, k] - L[k, k]"}), "you are one row early"),
    (loop({"add": "-batch"}), "the fresh data are missing"),
    (loop({"add": "fresh"}), "only the fresh data"),
    (loop({"end": "sum(found)"}), "this is the sum over k"),
    (loop({"end": "sum(found) / K"}), "you divide by K"),
    (loop({"end": "np.array(found)"}), "this is one number for each k"),
    (loop({"over": "K - lag - 1"}), "the last batch is missing"),
    (loop({"over": "K - lag - 1", "batch": "L[k, k + 1 + lag] - L[k, k]"}), "row and column"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.advantage(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.ADVANTAGE)
def test_every_row_of_the_table_is_reached(sentence):
    assert checks.advantage(checks.ADVANTAGE[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in WRITTEN) == 1


@pytest.mark.parametrize("solution, told", [
    (loop({"over": "K"}), "stopped with IndexError"), (lambda L, F, lag: None, "returns nothing"),
    (lambda L, F, lag: "a", "the numbers differ|shape|returns a str, where real numbers"),
    (lambda L, F, lag: 0.0, "the numbers differ"), (lambda L, F, lag: L, "has the shape"), (lambda L: 0, "TypeError"),
    (3, "expected a function of L, F and lag"),
    (lambda L, F, lag: in_arrays(L, F, 2), "right when K = 7, lag = 2, but not when K = 5, lag = 0")])
@pytest.mark.filterwarnings("error")
def test_everything_else_gets_a_sentence(solution, told):
    answer = checks.advantage(solution)
    assert not answer.right and re.search(told, answer.because) and answer.because.endswith((".", "?"))


# ---------------------------------------------------------------- never_seen, dropped


@pytest.mark.parametrize("answer", [1 / math.e, math.exp(-1), (1 - 1 / 1437) ** 1437, 0.37, np.float32(0.368)])
def test_never_seen_right(answer):
    assert checks.never_seen(answer).right


@pytest.mark.parametrize("sentence", checks.NEVER)
def test_never_seen_knows_its_misconceptions(sentence):
    assert checks.never_seen(checks.NEVER[sentence]) == Feedback(False, sentence)


@pytest.mark.parametrize("answer, words", [
    (0.2, "With which chance"), (-1, "With which chance"), ("1/e", "expected a share"), (None, "expected a share"),
    (True, "expected a share"), (float("nan"), "expected a share"), ([0.37], "expected a share")])
def test_never_seen_says_something_to_everything(answer, words):
    feedback = checks.never_seen(answer)
    assert not feedback.right and words in feedback.because


@pytest.mark.parametrize("answer", [(29, 0), [29, 0.0], np.array([29, 0]), (29.0, 1437 * (29 / 1437) ** 10)])
def test_dropped_right(answer):
    assert checks.dropped(answer).right


@pytest.mark.parametrize("sentence", checks.ONCE)
def test_dropped_knows_what_is_wrong_with_once(sentence):
    assert checks.dropped((checks.ONCE[sentence], 0)) == Feedback(False, f"the first: {sentence}")


@pytest.mark.parametrize("sentence", checks.ANEW)
def test_dropped_knows_what_is_wrong_with_anew(sentence):
    assert checks.dropped((29, checks.ANEW[sentence])) == Feedback(False, f"the second: {sentence}")


@pytest.mark.parametrize("answer, words", [
    (29, "expected two numbers"), ("29", "expected two"), (None, "expected two"), ((29,), "expected two"), (("29", 0), "expected two"),
    ((True, 0), "expected two"), ((float("nan"), 0), "expected two"), ((7, 0), "the first: how many"), ((29, 3), "the second: with which"),
    (({}, 0), "expected two"), (np.ones((2, 2)), "expected two")])
def test_dropped_says_something_to_everything(answer, words):
    feedback = checks.dropped(answer)
    assert not feedback.right and words in feedback.because
