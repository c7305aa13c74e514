"""Data and batches. Oracles: counting, exact formulas for the variance of a batch mean, scikit-learn's own file."""

import math
import os
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mbcore.data import batches, digits

ROOT = Path(__file__).parents[1]


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- digits


def test_digits_are_the_known_ones():
    d = digits()
    assert d.x_train.shape == (1437, 64) and d.x_test.shape == (360, 64)
    assert d.x_train.dtype == d.x_test.dtype == np.float32
    assert d.target_train.dtype == d.target_test.dtype == np.int64
    assert d.x_train.min() == 0 and d.x_train.max() == 1
    both = np.concatenate([d.target_train, d.target_test])
    assert np.bincount(both).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]    # the class counts UCI states
    assert "CC BY 4.0" in d.licence and d.classes == tuple(range(10))


def test_split_is_balanced_and_disjoint():
    d = digits()
    train, test = np.bincount(d.target_train), np.bincount(d.target_test)
    assert np.abs(test - (train + test) / 5).max() < 1
    assert not {x.tobytes() for x in d.x_train} & {x.tobytes() for x in d.x_test}    # no image is in both


def test_digits_can_be_learned():
    """Labels belong to their images: the nearest class mean already names nine in ten."""
    d = digits()
    means = np.stack([d.x_train[d.target_train == c].mean(axis=0) for c in d.classes])
    nearest = ((d.x_test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == d.target_test).mean() > 0.85


@pytest.mark.parametrize("field", ["x_train", "target_train", "x_test", "target_test"])
def test_digits_are_read_only(field):
    with pytest.raises(ValueError, match="read-only"):
        getattr(digits(), field)[0] = 1


def test_file_is_small():
    assert (ROOT / "mbcore" / "digits.npz").stat().st_size < 58_000


def test_file_is_what_the_script_rebuilds():
    if not os.environ.get("MBCORE_REBUILD"):
        pytest.skip("downloads scikit-learn's wheel, about 10 MB; set MBCORE_REBUILD=1 to run it")
    try:
        rebuilt = runpy.run_path(str(ROOT / "docs" / "rebuild_digits.py"))["arrays"]()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"scikit-learn's wheel cannot be had here: {error.stderr.strip().splitlines()[-1]}")
    with np.load(ROOT / "mbcore" / "digits.npz") as stored:
        assert sorted(stored) == sorted(rebuilt)
        for name, array in rebuilt.items():
            assert stored[name].dtype == array.dtype
            np.testing.assert_array_equal(stored[name], array)


# ---- batches


@pytest.mark.parametrize("n, B", [(1, 1), (10, 1), (10, 3), (10, 5), (10, 10), (1437, 32)])
def test_every_index_once_a_pass(n, B):
    seen = list(batches(n, B, rng(), epochs=3))
    parts = math.ceil(n / B)
    assert len(seen) == 3 * parts
    for k in range(3):
        one_pass = seen[k * parts : (k + 1) * parts]
        assert sorted(np.concatenate(one_pass)) == list(range(n))
        assert [len(b) for b in one_pass[:-1]] == [B] * (parts - 1)
        assert len(one_pass[-1]) == (n % B or B)


def test_every_pass_is_shuffled_anew():
    first, second = (np.concatenate(p) for p in np.array_split(list(batches(100, 10, rng(), epochs=2)), 2))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(100))


def test_drop_last_leaves_out_the_smaller_part():
    seen = list(batches(10, 3, rng(), drop_last=True))
    assert [len(b) for b in seen] == [3, 3, 3]
    assert len(set(np.concatenate(seen))) == 9


@pytest.mark.parametrize("drop_last, parts", [(False, 4), (True, 3)])
def test_with_replacement_all_batches_are_full(drop_last, parts):
    seen = list(batches(10, 3, rng(), replacement=True, drop_last=drop_last, epochs=2))
    assert [len(b) for b in seen] == [3] * (2 * parts)
    assert {b.dtype for b in seen} == {np.dtype("int64")}


def test_with_replacement_B_may_exceed_n():
    (batch,) = batches(3, 8, rng(), replacement=True)
    assert len(batch) == 8 and set(batch) <= {0, 1, 2}


def test_with_replacement_draws_are_uniform_and_independent():
    n, B, epochs = 10, 5, 4000
    drawn = np.stack(list(batches(n, B, rng(), replacement=True, epochs=epochs)))
    total = drawn.size
    frequency = np.bincount(drawn.ravel(), minlength=n) / total
    assert np.abs(frequency - 1 / n).max() < 4.5 * math.sqrt((1 / n) * (1 - 1 / n) / total)
    equal = (drawn[:, 0] == drawn[:, 1]).mean()    # two draws of a batch agree with probability 1/n, never without replacement
    assert abs(equal - 1 / n) < 4.5 * math.sqrt((1 / n) * (1 - 1 / n) / len(drawn))


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("B", [1, 4, 10])
def test_variance_of_a_batch_mean(replacement, B):
    """sigma^2/B with replacement, times (n-B)/(n-1) without; sigma^2 with ddof 0."""
    n, repeats = 20, 20_000
    values = rng(1).normal(size=n)
    generator = rng(2)
    means = np.array([values[next(batches(n, B, generator, replacement))].mean() for _ in range(repeats)])
    expected = values.var() / B * (1 if replacement else (n - B) / (n - 1))
    squares = (means - values.mean()) ** 2
    standard_error = squares.std(ddof=1) / math.sqrt(repeats)
    assert abs(squares.mean() - expected) < 4.5 * standard_error


def test_whole_batch_without_replacement_has_no_variance():
    values = rng(1).normal(size=20)
    (batch,) = batches(20, 20, rng())
    assert values[batch].mean() == pytest.approx(values.mean(), abs=1e-15)


def test_only_the_given_generator_is_used():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, second = (np.concatenate(list(batches(50, 7, rng(3)))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    "changed, error, words",
    [
        (dict(n=0), ValueError, "n: expected a whole number of at least 1, got 0"),
        (dict(n=10.0), TypeError, "n: expected a whole number of at least 1, got 10.0"),
        (dict(B=0), ValueError, "B: expected a whole number of at least 1, got 0"),
        (dict(B=-2), ValueError, "B: expected a whole number of at least 1, got -2"),
        (dict(B=2.5), TypeError, "B: expected a whole number of at least 1, got 2.5"),
        (dict(B=True), TypeError, "B: expected a whole number of at least 1, got True"),
        (dict(B=np.arange(2)), TypeError, "B: expected a whole number"),
        (dict(B=11), ValueError, "B: expected at most n = 10 without replacement; got 11"),
        (dict(B=11, replacement=True, drop_last=True), ValueError, "drop_last: leaves no batch"),
        (dict(epochs=0), ValueError, "epochs: expected a whole number of at least 1, got 0"),
        (dict(epochs=None), TypeError, "epochs: expected a whole number of at least 1, got None"),
        (dict(replacement="no"), TypeError, "replacement: expected True or False, got 'no'"),
        (dict(drop_last=None), TypeError, "drop_last: expected True or False, got None"),
        (dict(rng=0), TypeError, "rng: expected a numpy.random.Generator.*got 0"),
        (dict(rng=np.random.RandomState(0)), TypeError, "rng: expected a numpy.random.Generator"),
    ],
)
def test_bad_input_is_named_at_the_call(changed, error, words):
    with pytest.raises(error, match=words):
        batches(**{**dict(n=10, B=3, rng=rng()), **changed})    # no next()
