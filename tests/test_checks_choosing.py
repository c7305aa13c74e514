"""Lesson 13's checks: each misconception has its sentence."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mbcore.checks.choosing import best_batch, crosswalk


def test_the_best_batch_is_the_minimum():
    found = minimize_scalar(lambda B: (1 + 400 / B) * (200e-6 + B * 2e-6), bounds=(1, 5000), method="bounded").x
    assert best_batch(found).right


@pytest.mark.parametrize("answer, said", [
    (200, "sqrt(400 x 100) = 200"), (100, "that is the machine's knee"), (400, "that is B_crit"), (250, "that is the ordinary mean"),
    (40_000, "that is the product"), (2, "t0 and t1 are swapped"), (20, "that is the square root of B_crit"), (7, "Write out the product"),
    (np.nan, "expected a batch size"), ("200", "expected a batch size")])
def test_best_batch(answer, said):
    assert best_batch(answer).because.startswith(said) and best_batch(answer).right == (answer == 200)


@pytest.mark.parametrize("answer, said", [
    ({"weight": "W0", "bias": "-C0"}, "weight = W0"), ({"weight": "W0.T", "bias": "-C0"}, "weight: torch.nn.Linear"), ({"weight": "W0", "bias": "C0"}, "bias: the slides"),
    ({"weight": "W", "bias": "C0"}, "weight: expected"), ({"weight": "W0", "bias": 3}, "bias: expected"), ({}, "expected a dictionary"), (None, "expected a dictionary")])
def test_crosswalk(answer, said):
    assert crosswalk(answer).because.startswith(said) and crosswalk(answer).right == said.startswith("weight = W0")
