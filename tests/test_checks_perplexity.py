"""Lesson 10's checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import math
import re

import numpy as np
import pytest

from mbcore import data
from mbcore.checks import perplexity as checks
from mbcore.checks.feedback import Feedback

# ---------------------------------------------------------------- perplexity


def in_a_loop(P):
    total = 0.0
    for p in P:
        total -= math.log(p)
    return math.exp(total / len(P))


def in_place(P):
    P[...] = np.log(P)
    return np.exp(-P.mean())


RIGHT = {"in a loop": in_a_loop, "in place": in_place, "in bits": lambda P: 2 ** (-np.log2(P)).mean(),
         "a product of roots": lambda P: np.prod(P ** (-1 / len(P)))}


@pytest.mark.parametrize("name", RIGHT)
def test_right_perplexities_pass(name):
    answer = checks.perplexity(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


def multiplied(P):
    product = 1.0
    for p in P:
        product *= p
    return product ** (-1 / len(P))


@pytest.mark.parametrize("solution", [multiplied, lambda P: np.prod(P) ** (-1 / len(P)), lambda P: np.exp(-np.log(np.prod(P)) / len(P)),
                                      lambda P: math.exp(-math.log(math.prod(P.tolist())) / len(P))])
@pytest.mark.filterwarnings("error")
def test_a_product_that_underflows_is_told(solution):
    assert checks.perplexity(solution) == Feedback(False, checks.UNDERFLOW)


WRITTEN = [
    (lambda P: -np.mean(np.log(P)), "this is the mean loss in nats"),
    (lambda P: np.prod(P) ** (1 / len(P)), "the minus is missing"),
    (lambda P: 1 / np.prod(P), "this is the inverse probability of the whole"),
    (lambda P: sum(1 / P) / len(P), "this is the mean of 1/P"),
    (lambda P: len(P) / sum(P), "this is 1 over the mean"),
    (lambda P: np.exp(-np.log2(P).mean()), "two bases: log2"),
    (lambda P: np.log2(1 / P).mean(), "this is in bits"),
    (lambda P: 2 ** -np.log(P).mean(), "two bases: ln and"),
    (lambda P: np.exp(-np.log(P).sum() / (len(P) - 1)), "n is the number of probabilities, len.P.; you divide by one less"),
    (lambda P: np.exp(-np.log(P).sum() / (len(P) + 1)), "n is the number of probabilities, len.P.; you divide by one more"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_wrong_perplexity_gets_its_sentence(solution, sentence):
    answer = checks.perplexity(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.PERPLEXITY)
def test_every_row_for_perplexity_is_reached(sentence):
    assert checks.perplexity(checks.PERPLEXITY[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in WRITTEN) == 1


# ---------------------------------------------------------------- floor


def floor_in_loops(P, pi):
    H = 0.0
    for k in range(len(pi)):
        for l in range(len(pi)):
            H -= pi[k] * P[k, l] * math.log(P[k, l])
    return math.exp(H)


@pytest.mark.parametrize("solution", [floor_in_loops, lambda P, pi: np.exp(-(pi[:, None] * P * np.log(P)).sum()),
                                      lambda P, pi: 2 ** -np.einsum("k,kl,kl", pi, P, np.log2(P)).item()])
def test_right_floors_pass(solution):
    assert checks.floor(solution).right


def test_it_is_the_floor_of_the_source():
    source = data.characters(2)
    assert checks._floor(source.transitions, source.stationary) == pytest.approx(source.perplexity)


def entropy(p):
    return -(p * np.log(p)).sum()


FLOORS = [
    (lambda P, pi: -(pi[:, None] * P * np.log(P)).sum(), "this is the entropy H"),
    (lambda P, pi: np.exp(np.mean([entropy(row) for row in P])), "the rows count alike"),
    (lambda P, pi: sum(pi[k] * np.exp(entropy(P[k])) for k in range(len(pi))), "you average exp of each row's entropy[.]"),
    (lambda P, pi: np.mean([np.exp(entropy(row)) for row in P]), "you average exp of each row's entropy, and"),
    (lambda P, pi: np.exp(entropy(P)), "the rows are added"),
    (lambda P, pi: np.exp(entropy(pi)), "this is the entropy of single"),
    (lambda P, pi: np.exp((pi[:, None] * P * np.log(P)).sum()), "the minus is missing"),
    (lambda P, pi: np.exp(-(pi[:, None] * P * np.log2(P)).sum()), "two bases"),
    (lambda P, pi: len(P) * 1.0, "this is the number of characters"),
    (lambda P, pi: np.exp(entropy(pi[:, None] * P)), "this is the entropy of the pair"),
    (lambda P, pi: np.exp(-(pi * P * np.log(P)).sum()), "the weights run along l"),
]


@pytest.mark.parametrize("solution, sentence", FLOORS, ids=[s for _, s in FLOORS])
def test_a_wrong_floor_gets_its_sentence(solution, sentence):
    answer = checks.floor(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.FLOOR)
def test_every_row_for_floor_is_reached(sentence):
    assert checks.floor(checks.FLOOR[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in FLOORS) == 1


# ---------------------------------------------------------------- whatever comes


@pytest.mark.parametrize("check", [checks.perplexity, checks.floor])
@pytest.mark.parametrize("solution", [3, None, lambda *a: None, lambda *a: "x", lambda *a: 1.0, lambda *a: a[0], lambda: 1,
                                      lambda *a: 1 / 0,
                                      lambda *a: [[1], [1, 2]], lambda *a: np.nan, lambda *a: 1j])
@pytest.mark.filterwarnings("error")
def test_nonsense_gets_a_sentence(check, solution):
    answer = check(solution)
    assert not answer.right and answer.because.endswith((".", "?"))


@pytest.mark.parametrize("answer", [6, 6.0, np.float32(6), math.exp((math.log(4) + math.log(9)) / 2)])
def test_together_right(answer):
    assert checks.together(answer).right


@pytest.mark.parametrize("sentence", checks.TOGETHER)
def test_together_knows_its_misconceptions(sentence):
    assert checks.together(checks.TOGETHER[sentence]) == Feedback(False, sentence)


@pytest.mark.parametrize("answer, words", [(5, "mean loss on each"), ("6", "expected a number"), (None, "expected"), (True, "expected"),
                                           (float("inf"), "expected"), ([6], "expected")])
def test_together_says_something_to_everything(answer, words):
    feedback = checks.together(answer)
    assert not feedback.right and words in feedback.because
