"""Lesson 07's checks: each misconception gets its sentence, right answers pass however they are written, nothing breaks them."""

import re

import numpy as np
import pytest

from mbcore.checks import steps_to_target as checks
from mbcore.checks.feedback import Feedback


def steps(B, S_min, B_crit):
    return S_min * (1 + B_crit / B)


def in_words(B, S_min, B_crit, t0, t1):
    E_min = S_min * B_crit
    total = 0.0
    for part in (S_min, E_min / B):
        total += part * t0
        total += part * B * t1
    return total


RIGHT = {"as the lesson": lambda B, S_min, B_crit, t0, t1: S_min * (1 + B_crit / B) * (t0 + B * t1), "multiplied out": in_words,
         "by examples": lambda B, S_min, B_crit, t0, t1: S_min * (B + B_crit) * (t0 / B + t1),
         "an array": lambda B, S_min, B_crit, t0, t1: np.array(steps(B, S_min, B_crit) * (t0 + B * t1))}


@pytest.mark.parametrize("name", RIGHT)
def test_right_seconds_pass(name):
    answer = checks.seconds(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: steps times the seconds")


WRITTEN = [
    (lambda B, S_min, B_crit, t0, t1: S_min * B_crit / B * (t0 + B * t1), "this is perfect scaling for ever"),
    (lambda B, S_min, B_crit, t0, t1: (S_min + S_min * B / B_crit) * (t0 + B * t1), "B and B_crit are exchanged"),
    (lambda B, S_min, B_crit, t0, t1: (B + B_crit) * S_min * t1, "t0 is missing"),
    (lambda B, S_min, B_crit, t0, t1: steps(B, S_min, B_crit) * (t0 + t1), "a step has B examples"),
    (lambda B, S_min, B_crit, t0, t1: steps(B, S_min, B_crit) * (B * t0 + B * t1), "you paid t0 for each example"),
    (lambda B, S_min, B_crit, t0, t1: steps(B, S_min, B_crit) * (B * t0 + t1), "t0 and t1 are exchanged"),
    (lambda B, S_min, B_crit, t0, t1: t0 + B * t1, "this is one step"),
    (lambda B, S_min, B_crit, t0, t1: steps(B, S_min, B_crit), "these are the steps"),
    (lambda B, S_min, B_crit, t0, t1: S_min * (B + B_crit), "these are the examples"),
    (lambda B, S_min, B_crit, t0, t1: S_min * (B + B_crit) * (t0 + B * t1), "you took the examples"),
    (lambda B, S_min, B_crit, t0, t1: steps(B, S_min, B_crit) * (t0 / B + t1), "you divided by B"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[s for _, s in WRITTEN])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.seconds(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.SECONDS)
def test_every_row_of_the_table_is_reached(sentence):
    assert checks.seconds(checks.SECONDS[sentence]) == Feedback(False, sentence)
    assert sum(re.match(s, sentence) is not None for _, s in WRITTEN) == 1


@pytest.mark.parametrize("solution, words", [
    (3, "expected a function of B, S_min, B_crit, t0 and t1"), (lambda *a: None, "end it with return seconds"),
    (lambda B: B, "TypeError"), (lambda *a: 1 / 0, "ZeroDivisionError"), (lambda *a: [1, 2], "shape"), (lambda *a: "s", "."),
    (lambda *a: float("nan"), "the numbers differ"), (lambda *a: 1j, "."),
    (lambda B, S_min, B_crit, t0, t1: steps(min(B, 9), S_min, B_crit) * (t0 + B * t1), "right when B = 8.0, but not when B = 300")])
def test_whatever_else_gets_a_sentence(solution, words):
    answer = checks.seconds(solution)
    assert not answer.right and words in answer.because


@pytest.mark.parametrize("answer", [4, 4.0, 3.97, np.float64(4)])
def test_extra_examples_right(answer):
    assert checks.extra_examples(answer).right


@pytest.mark.parametrize("answer, words", [(3, "has a 1 besides"), (1.333, "these are the steps"), (1 / 3, "stands in E"),
                                           (5.33, "the product of both"), (0.25, "fewer than E_min"), (100, "divide by E_min"),
                                           ("4", "expected a number"), (None, "expected a number"), (True, "expected a number")])
def test_extra_examples_wrong(answer, words):
    feedback = checks.extra_examples(answer)
    assert not feedback.right and words in feedback.because


RIGHT_AXES = {"steps": 359, "examples": 22, "seconds": 359}


@pytest.mark.parametrize("answer", [RIGHT_AXES, dict(reversed(RIGHT_AXES.items())), {k: np.int64(B) for k, B in RIGHT_AXES.items()},
                                    {k: float(B) for k, B in RIGHT_AXES.items()}])
def test_better_right(answer):
    assert checks.better(answer).right


@pytest.mark.parametrize("answer, words", [
    (dict.fromkeys(RIGHT_AXES, 22), "B = 22 is better on every axis"), (dict.fromkeys(RIGHT_AXES, 359), "B = 359 is better on every axis"),
    ({**RIGHT_AXES, "steps": 22}, "115 stand against 55"), ({**RIGHT_AXES, "examples": 359, "seconds": 22}, "2,530 against 19,745"),
    ({**RIGHT_AXES, "seconds": 22}, "0.12 s against 0.075 s"), ({**RIGHT_AXES, "seconds": 44}, "for seconds, expected 22 or 359, got 44"),
    ({**RIGHT_AXES, "steps": True}, "for steps"), ({**RIGHT_AXES, "steps": [22]}, "for steps"),
    ({**RIGHT_AXES, "steps": None}, "for steps"),
    ({"steps": 359}, "expected a dictionary with steps, examples, seconds"), (22, "expected a dictionary"), (None, "expected a dictionary"),
    ((359, 22, 359), "expected a dictionary")])
def test_better_wrong(answer, words):
    feedback = checks.better(answer)
    assert not feedback.right and words in feedback.because
