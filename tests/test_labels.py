"""The target's classes, and the share kept for testing. Oracles: counting, all ways to share."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mbcore.labels import for_testing, labelled, of_words


def read(target):
    """The labels of this target as they came, and its classes."""
    found = labelled(np.asarray(target), "y", lambda k: f"example {k}")
    return [found.classes[k] for k in found.places], found.classes


@pytest.mark.parametrize("target, classes", [
    ([3, 1, 3, 1], (1, 3)),
    (np.array([3, 1, 3, 1], np.uint64) + np.uint64(2**63), (2**63 + 1, 2**63 + 3)),
    ([2**53, 2**53 + 1] * 2, (2**53, 2**53 + 1)),
    ([1.0, -1.0, 1.0, -1.0], (-1, 1)),
    (np.array([2048, 0] * 2, np.float16), (0, 2048)),
    ([True, False, True, False], (False, True)),
    (["b", "a", "b", "a"], ("a", "b")),
    (np.array(["b", "a"] * 2, dtype=object), ("a", "b")),
    (np.array([2**70, 2**70 + 1] * 2, dtype=object), (2**70, 2**70 + 1)),
    (np.array([np.int8(2), 1.0] * 2, dtype=object), (1, 2)),
    (np.array([np.array(2), np.float32(1)] * 2, dtype=object), (1, 2)),
    (["10", "9"] * 2, (9, 10)),
    (["007", "12"] * 2, (7, 12)),
    (["1.0", "2e0"] * 2, (1, 2)),
    (["9007199254740992", "9007199254740993"] * 2, (2**53, 2**53 + 1)),
    ([str(10**500), str(10**500 + 1)] * 2, (10**500, 10**500 + 1)),
    (["1", "x"] * 2, ("1", "x")),
])
def test_labels_keep_what_tells_them_apart(target, classes):
    labels, found = read(target)
    assert found == classes and [type(c) for c in found] == [type(c) for c in classes]
    for label, given in zip(labels, np.asarray(target).tolist()):
        exact = Fraction(given) if isinstance(given, str) and type(label) is int else given
        assert label == exact


def test_blanks_around_words_do_not_count():
    assert read(["a ", " a", "b", "b"]) == (["a", "a", "b", "b"], ("a", "b"))


@pytest.mark.parametrize("target, error, words", [
    ([0, 1, 0, np.inf], ValueError, "y: expected a class for each, example 3 has inf"),
    ([0, np.nan, 0, 1], ValueError, "y: expected a class for each, example 1 has nan"),
    ([0, 2.0**53 + 2, 0, 1], ValueError, "beyond which float64 skips some, example 1"),
    (np.array([0, 4096, 0, 1], np.float16), ValueError, "up to 2048, beyond which float16"),
    ([0, 1j, 0, 1], TypeError, "got complex numbers"),
    (np.array([0, 1, 0, 1], "M8[D]"), TypeError, "got dates"),
    (np.array([0, 1, 0, 1], "m8[s]"), TypeError, "got times"),
    ([b"a", b"b", b"a", b"b"], TypeError, "got bytes: decode them"),
    (np.array([0, None, 0, 1], object), ValueError, "example 1 has none"),
    (np.array(["a", np.nan, "b", "a"], object), ValueError, "example 1 has none"),
    (np.array([0, "0", 1, 1], object), TypeError, "example 0 has a number, example 1 has a word"),
    (np.array([0, True, 1, 1], object), TypeError, "example 1 has True or False"),
    (np.array([0, 1j, 1, 1], object), TypeError, "example 1 has 1j, a complex"),
    (np.array([0, 0.5, 1, 1], object), ValueError, "example 1 has 0.5, one of 3 different numbers"),
    ([0, 1, 0.5, 1], ValueError, "example 2 has 0.5, one of 3 different .* cut a quantity"),
    (["0", "1", "0.5", "1"], ValueError, "example 2 has 0.5, one of 3 different"),
    (["0", "1", "inf", "1"], ValueError, "example 2 has 'inf', which is not finite"),
    (["0", "1", "NA", "1"], ValueError, "example 2 has 'NA', which marks a missing"),
    (["a", "b", "", "a"], ValueError, "example 2 has '', which marks a missing"),
    (["2026-12-01", "2026-12-02"] * 2, ValueError, "example 0 has .* a date"),
    (["1+2j", "2"] * 2, ValueError, "example 0 has '1.2j', a complex number"),
    (["1,5", "2,5"] * 2, ValueError, "example 0 has '1,5', a number with a decimal comma"),
    (["1e30", "2e30"] * 2, ValueError, "one of 2 different numbers"),
    (["a", "\0a", "b", "b"], ValueError, r"one way, got '.*a' and '.*a', which look the same"),
    (["caf\u00e9", "cafe\u0301", "b", "b"], ValueError, "which look the same"),
    (["a b", "a\u00a0b", "b\u200b", "b"], ValueError, "which look the same"),
    (["1", "01", "2", "2"], ValueError, "each class written in one way, got '.*1' and '.*1'"),
    ([5, 5, 5, 5], ValueError, r"at least two classes, got \[5\] alone"),
    ([1, 2, 3, 4], ValueError, "4 different labels for 4 examples: is it an id"),
    (["a", "b", "c", "d"], ValueError, "4 different labels for 4 examples"),
    ([0, 1, 2, -100], ValueError, "4 different labels|-100"),
    ([0, 1, 0, -100], ValueError, "example 3 has -100, which PyTorch ignores"),
    ([[0], [1]], ValueError, r"got shape \(2, 1\); take y\[:, 0\]"),
    ([[0, 1], [1, 0]], ValueError, r"one-hot rows become labels by y.argmax\(axis=1\)"),
    (3, ValueError, r"one label for each example, got shape \(\)"),
])
def test_what_is_no_label(target, error, words):
    with pytest.raises(error, match=words):
        read(target)


def test_quantities_and_ids_are_recognised():
    rng = np.random.default_rng(0)
    prices = rng.integers(15_000, 500_000, 3000) // 100 * 100
    thousands = rng.integers(15, 700, 3000)
    for target in (prices, prices.astype(float), prices.astype(str), thousands, prices / 3):
        with pytest.raises(ValueError, match="expected classes, (whole numbers|got .* different)"):
            read(target)
    pairs, tens = np.repeat(np.arange(201), 2), np.repeat(np.arange(40), 10)
    for target in (pairs, tens, rng.integers(18, 60, 999)):
        assert len(read(target)[1]) == len(np.unique(target))
    many = [f"species {k // 2}" for k in range(400)]
    assert len(read(many)[1]) == 200


def test_words_with_a_decimal_comma():
    with pytest.raises(ValueError, match="line 1 has 1,5, one of 2"):
        of_words(["1,5", "2"], np.array([0, 1, 0, 1]), "y", lambda k: f"line {k + 1}", ",")


# ---- the share kept for testing


def kept(sizes, share, seed=0):
    """How many of each class are kept for testing, of classes with so many members."""
    places = np.random.default_rng(9).permutation(np.repeat(np.arange(len(sizes)), sizes))
    test = for_testing(places, share, np.random.default_rng(seed))
    return np.bincount(places[test], minlength=len(sizes))


@pytest.mark.parametrize("sizes, share, expected", [
    ([10, 10], 0.2, [2, 2]),
    ([90, 3, 3, 4], 0.2, [17, 1, 1, 1]),
    ([50, 1, 1], 0.04, None),
    ([30, 20, 1], 0.2, [6, 4, 0]),
    ([2, 2, 2], 0.5, [1, 1, 1]),
    ([5, 5], 0.8, [4, 4]),
])
def test_shares_of_small_classes(sizes, share, expected):
    if expected is None:
        with pytest.raises(ValueError, match="two classes or more, got 0.04: 2 of 52 examples"):
            kept(sizes, share)
    else:
        assert kept(sizes, share).tolist() == expected


def test_two_hundred_species_of_two_and_one_of_forty():
    counts = kept([2] * 200 + [40], 0.2)
    assert counts.sum() == 88 and counts[200] == 8 and counts[:200].max() == 1
    assert (kept([2] * 200 + [40], 0.2, seed=1) != counts).any()        # which species, is drawn


@pytest.mark.parametrize("seed", range(5))
def test_each_share_is_the_nearest_that_can_be(seed):
    """Of all ways to share, none is nearer to the quotas."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, 4)
    total, share = sizes.sum(), rng.uniform(0.3, 0.6)
    wanted = round(share * total)
    counts = kept(sizes, share)
    assert counts.sum() == wanted
    least, most = (sizes > 1).astype(int), sizes - 1
    assert (counts >= least).all() and (counts <= most).all()
    quota = wanted * sizes / total
    ways = [np.array(w) for w in product(*(range(a, b + 1) for a, b in zip(least, most)))]
    best = min(((w - quota) ** 2).sum() for w in ways if w.sum() == wanted)
    assert ((counts - quota) ** 2).sum() == pytest.approx(best)


def test_many_classes_are_shared_out_at_once():
    counts = kept([2] * 30_000 + [3] * 10_000, 0.3)
    assert counts.sum() == 27_000 and counts.max() == 1
    assert counts[30_000:].sum() == 10_000              # they lack 0.9 of one, the others 0.6


@pytest.mark.parametrize("share, words", [
    (0, "some examples to train on and some to test on, got 20 and 0"),
    (0.001, "got 20 and 0"),
    (1, "got 0 and 20"),
    (0.95, "leaves an example of each of 2 classes to train on, got 0.95, which leaves 1"),
    (0.05, "tests two classes or more, got 0.05: 1 of 20 examples"),
])
def test_shares_that_cannot_be(share, words):
    with pytest.raises(ValueError, match=words):
        kept([10, 10], share)
