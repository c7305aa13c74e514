"""Bytes predicted from three counts: against the program's own count, against the search for the largest batch, and allocated."""

import pytest

from mbcore import hardware
from mbcore.experiments.memory import predicted
from mbcore.experiments.models import MLP

BATCH = MLP.with_index("b")


@pytest.mark.parametrize("i, j, dtype", [(64, 32, "float32"), (784, 128, "float32"), (3, 1, "float64")])
def test_the_line_is_the_count(i, j, dtype):
    found = predicted(i, j, dtype=dtype)
    for B in (1, 2, 3, 17, 4096):
        assert found.of(B) == BATCH.nbytes(dtype, b=B, i=i, j=j, y=10)


def test_parameters_stand_once_with_their_gradients():
    assert predicted(64, 32).fixed == 2 * 4 * (64 * 32 + 32 + 32 * 10 + 10)


@pytest.mark.parametrize("free", [0, 20_463, 20_464, 21_655, 21_656, 10**6, 10**10])
def test_the_largest_batch_is_that_of_the_search(free):
    assert predicted(64, 32).largest(free) == hardware.largest_batch(BATCH, free, i=64, j=32, y=10)


def test_what_is_allocated_is_what_was_predicted():
    held = hardware.peak_bytes(lambda: BATCH.compile(b=2048, i=64, j=32, y=10))
    assert held == pytest.approx(predicted(64, 32).of(2048), rel=0.05)


def test_the_knee_of_the_bytes():
    found = predicted(64, 32)
    assert found.of(round(found.knee)) == pytest.approx(2 * found.fixed, rel=0.05)
