"""Lesson 12's checks: each misconception has its sentence, right answers pass however they are written."""

import re

import numpy as np
import pytest

from mbcore.checks.feedback import Feedback
from mbcore.checks.many_workers import AVERAGE, average, ring_bytes


def in_a_loop(gradients, shards):
    g = np.zeros(gradients.shape[1])
    for k in range(len(shards)):
        g += shards[k] / sum(shards) * gradients[k]
    return g


@pytest.mark.parametrize("solution", [in_a_loop, lambda g, s: (g * s[:, None]).sum(axis=0) / s.sum(), lambda g, s: np.average(g, axis=0, weights=s),
                                      lambda g, s: list(s @ g / s.sum())])
def test_right_answers_pass(solution):
    assert average(solution).right


@pytest.mark.parametrize("sentence", AVERAGE)
def test_every_misconception_is_told(sentence):
    assert average(AVERAGE[sentence]) == Feedback(False, sentence)


@pytest.mark.parametrize("solution", [None, 3, lambda g: g, lambda g, s: None, lambda g, s: "g", lambda g, s: g @ s if len(s) == 4 else g])
def test_anything_gets_a_sentence(solution):
    found = average(solution)
    assert not found.right and found.because.endswith(".")


@pytest.mark.parametrize("answer, said", [(6e6, "2 \\(K-1\\) steps"), (3e6, "that is one of the two rounds"), (24e6, "that is the whole gradient in every step"),
                                          (4e6, "that is the whole gradient once"), (8e6, "that is twice"), (1.5e6, "you counted numbers"),
                                          (17, "Count: 2"), ("many", "expected a number of bytes")])
def test_bytes_of_the_ring(answer, said):
    found = ring_bytes(answer)
    assert found.right == (answer == 6e6)
    assert re.match(said, found.because)
