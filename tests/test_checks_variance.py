"""The checks of lesson 05: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import re
from itertools import combinations
from math import ceil, comb

import numpy as np
import pytest

from mbcore.checks import variance as checks
from mbcore.checks.feedback import Feedback
from mbcore.experiments.batch_noise import smallest_batch
from mbcore.experiments.stages import stage

# ---------------------------------------------------------------- scatter


def by_all_batches(values, B):
    means = [np.mean(batch) for batch in combinations(values, B)]
    assert len(means) == comb(len(values), B)
    return np.std(means)


def by_hand(values, B):
    N, mean = len(values), sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / N
    return (variance / B * (N - B) / (N - 1)) ** 0.5


RIGHT = {"all batches": by_all_batches, "by hand": by_hand,
         "ddof 1": lambda v, B: np.sqrt(v.var(ddof=1) / B * (1 - B / len(v))),
         "an array": lambda v, B: np.array(by_hand(v, B)), "float32": lambda v, B: np.float32(by_hand(v, B))}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    answer = checks.scatter(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


def left(v, B):
    return (len(v) - B) / (len(v) - 1)


WRITTEN = [
    (lambda v, B: np.std(v) / B, "you divided sigma by B"),
    (lambda v, B: np.std(v) / B * np.sqrt(left(v, B)), "your last factor is right"),
    (lambda v, B: np.var(v) / B * left(v, B), "that is the variance of"),
    (lambda v, B: np.var(v) / B, "that is a variance, and"),
    (lambda v, B: np.std(v) / np.sqrt(B), "right with replacement. Without"),
    (lambda v, B: np.std(v) / np.sqrt(B) * left(v, B), r"\(N-B\)/\(N-1\) belongs"),
    (lambda v, B: np.std(v), "that is how single"),
    (lambda v, B: np.std(v) * np.sqrt(B * left(v, B)), r"that is the sum of B numbers\. "),
    (lambda v, B: np.std(v) * np.sqrt(B), "that is the sum of B numbers, with"),
    (lambda v, B: np.std(v, ddof=1) * np.sqrt(left(v, B) / B), r"two conventions .* You have \(N-B\)/\(N-1\) and"),
    (lambda v, B: np.std(v) * np.sqrt((1 - B / len(v)) / B), r"two conventions .* You have \(N-B\)/N and"),
    (lambda v, B: np.std(v, ddof=1) / np.sqrt(B), "right with replacement, but for ddof"),
    (lambda v, B: np.std(v) / np.sqrt(B * left(v, B)), "the last factor stands upside down"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.scatter(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.SCATTER)
def test_every_row_of_the_table_is_reached(sentence):
    assert checks.scatter(checks.SCATTER[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in WRITTEN) == 1


def test_right_for_one_size_only():
    answer = checks.scatter(lambda v, B: by_hand(v, B) if B < len(v) else v.std())
    assert not answer.right and "right when N = 12, B = 4, but not when N = 5, B = 5" in answer.because


@pytest.mark.parametrize("answer", [3, None, "sd", np.ones(3), lambda v, B: None, lambda v, B: v, lambda v, B: "sd", lambda v: 1.0,
                                    lambda v, B: 1 / 0, lambda v, B: float("nan"), lambda v, B: 7.0, lambda v, B: {}])
@pytest.mark.filterwarnings("error")
def test_nonsense_gets_a_sentence(answer):
    found = checks.scatter(answer)
    assert not found.right and found.because.endswith((".", ")"))


# ---------------------------------------------------------------- smallest_batch


FULL = stage("mid").full
SCALE = FULL.trace / FULL.sq_norm


@pytest.mark.parametrize("answer", [ceil(4 * SCALE), float(ceil(4 * SCALE)), np.int64(ceil(4 * SCALE)), np.float64(np.ceil(4 * SCALE))])
def test_the_smallest_batch_is_right(answer):
    found = checks.smallest_batch(answer)
    assert found.right and "needs 4 times the noise scale" in found.because


@pytest.mark.parametrize("answer, words", [
    (4 * SCALE, "round up"), (int(4 * SCALE), "round up"), (2 * SCALE, "if the noise fell as 1/B"),
    (ceil(2 * SCALE), "if the noise fell as 1/B"),
    (round(SCALE), "the noise scale itself"), (SCALE / 4, "the other way round"), (4 * FULL.trace / FULL.sq_norm**0.5, "compare squares"),
    (2 * SCALE**0.5, "the root of the noise scale"), (smallest_batch(2, "mid", False), "without replacement"),
    (smallest_batch(2, "start"), "the stage 'start'"), (smallest_batch(2, "late"), "the stage 'late'"),
    (1000, "the ratio of signal to noise is 2.7"), (0, "is 0;"), (-5, "is 0;"),
    (None, "expected a batch size"), ("558", "expected"), (True, "expected"), (float("nan"), "expected"), (float("inf"), "expected"),
    ([558], "expected"), (1j, "expected")])
def test_the_smallest_batch_is_wrong(answer, words):
    found = checks.smallest_batch(answer)
    assert not found.right and words in found.because and found.because.endswith(".")


def test_the_rows_are_told_apart():
    wrong = [2 * SCALE, SCALE, SCALE / 4, 4 * FULL.trace / FULL.sq_norm**0.5, 2 * SCALE**0.5, smallest_batch(2, "mid", False),
             smallest_batch(2, "start"), smallest_batch(2, "late")]
    assert len({checks.smallest_batch(answer).because for answer in wrong}) == len(wrong)
