"""Lesson 08's checks: each misconception has its sentence."""

import pytest

from mbcore.checks.learning_rates import adam_numbers, linear_rate


@pytest.mark.parametrize("answer, said", [
    (3.2, "256 -> 8192"), (0.1 * 32**0.5, "that is the square-root rule"), (0.1 / 32, "that rate is smaller. A larger"),
    (0.1 / 32**0.5, "that rate is smaller: the square root"), (0.1, "you left the rate"), (32, "that is the factor"), (1, "The linear rule"),
    ("3.2", "expected a learning rate"), (None, "expected a learning rate")])
def test_linear_rate(answer, said):
    found = linear_rate(answer)
    assert found.because.startswith(said) and found.right == (answer == 3.2)


RIGHT = (0.001 * 8**0.5, 0.2, 0.992)


@pytest.mark.parametrize("answer, said", [
    (RIGHT, "lr = 0.0028"), (list(RIGHT), "lr = 0.0028"), ((0.008, 0.2, 0.992), "the rate is scaled linearly"), ((0.1, 0.2, 0.992), "the rate: multiply"),
    ((RIGHT[0], 0.9, 0.992), "beta1 is as it was"), ((RIGHT[0], 0.2, 0.999), "beta2 is as it was"), ((RIGHT[0], 0.9**8, 0.992), "beta1 = 0.9^8 is the exact"),
    ((RIGHT[0], 0.9875, 0.992), "beta1: the memory got longer"), ((RIGHT[0], 0.2, 0.5), "beta2: one minus it"),
    ((1, 2), "expected three numbers"), ("abc", "expected three numbers"), (3, "expected three numbers")])
def test_adam_numbers(answer, said):
    found = adam_numbers(answer)
    assert found.because.startswith(said) and found.right == (list(answer) == list(RIGHT) if isinstance(answer, (tuple, list)) else False)
