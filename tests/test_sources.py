"""Made data, the text of known entropy, data from files. Oracles: closed forms, standard errors, files written here."""

import gzip
import math
import struct

import numpy as np
import pytest

from mbcore.data import characters, gaussians, teacher
from mbcore.sources import MNIST_FILES, from_csv, from_npz, mnist

FIELDS = ("x_train", "target_train", "x_test", "target_test")


# ---- made from a seed


@pytest.mark.parametrize("make", [gaussians, teacher])
def test_made_data(make):
    one, again, other = make(seed=1), make(seed=1), make(seed=2)
    assert one.x_train.shape == (2000, 20) and one.x_test.shape == (1000, 20) and one.x_train.dtype == np.float32
    assert one.target_train.dtype == np.int64 and set(one.target_train) <= set(one.classes)
    assert all(np.array_equal(getattr(one, f), getattr(again, f)) for f in FIELDS)
    assert not np.array_equal(one.x_train, other.x_train)
    assert np.array_equal(make(n_train=50, seed=1).x_test, one.x_test)          # the test does not depend on what is trained on
    with pytest.raises(ValueError, match="read-only"):
        one.x_train[0] = 1


def test_error_of_the_best_classifier():
    """Two Gaussians: the nearer mean is the best guess, and wrong with probability Phi(-distance / 2)."""
    n, distance = 40_000, 2.0
    d = gaussians(n_train=n, n_test=n, i=5, classes=2, distance=distance, seed=3)
    means = np.stack([d.x_train[d.target_train == c].mean(axis=0) for c in range(2)])
    wrong = (((d.x_test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1) != d.target_test).mean()
    error = math.erfc(distance / 2 / 2 ** 0.5) / 2
    assert abs(wrong - error) < 4.5 * math.sqrt(error * (1 - error) / n)


def test_means_are_equally_far_apart():
    d = gaussians(n_train=40_000, n_test=10, i=6, classes=4, distance=5.0)
    means = np.stack([d.x_train[d.target_train == c].mean(axis=0) for c in range(4)])
    apart = [np.linalg.norm(means[a] - means[b]) for a in range(4) for b in range(a)]
    np.testing.assert_allclose(apart, 5.0, atol=0.1)


def test_share_of_noise_is_exact_and_nested():
    clean, some, more = (gaussians(n_train=800, classes=3, noise=share) for share in (0, 0.1, 0.35))
    wrong = [d.target_train != clean.target_train for d in (some, more)]
    assert wrong[0].sum() == 80 and wrong[1].sum() == 280 and (wrong[1] | ~wrong[0]).all()
    assert np.array_equal(some.x_train, clean.x_train) and np.array_equal(some.target_test, clean.target_test)
    assert "10% of the training labels are wrong" in some.description


def test_every_class_of_the_teacher_occurs():
    assert min(np.bincount(teacher(seed=s).target_test, minlength=4).min() for s in range(5)) > 20


# ---- characters


def test_entropy_of_two_states():
    """P(1|0) = p, P(0|1) = q: stationary (q, p)/(p + q), H = (q h(p) + p h(q))/(p + q)."""
    p, q = 0.2, 0.7
    h = lambda u: -u * math.log(u) - (1 - u) * math.log(1 - u)
    c = characters(10, "ab", [[1 - p, p], [q, 1 - q]])
    np.testing.assert_allclose(c.stationary, [q / (p + q), p / (p + q)], rtol=1e-13)
    assert c.entropy == pytest.approx((q * h(p) + p * h(q)) / (p + q), rel=1e-13)
    assert c.perplexity == pytest.approx(math.exp(c.entropy))


def test_entropy_of_known_texts():
    assert characters(10, "abcd", np.full((4, 4), 0.25)).perplexity == pytest.approx(4)
    cycle = characters(30, "abc", [[0, 1, 0], [0, 0, 1], [1, 0, 0]])             # periodic, nothing is left to guess
    assert cycle.entropy == 0 and "abcabc" in str(cycle)


@pytest.mark.parametrize("seed", range(3))
def test_entropy_is_what_the_text_shows(seed):
    """Mean surprise within 4.5 standard errors, from means of blocks as neighbours depend on each other."""
    c = characters(200_000, seed=seed)
    surprise = -np.log(c.transitions[c.text[:-1], c.text[1:]])
    blocks = surprise[: len(surprise) // 1000 * 1000].reshape(-1, 1000).mean(axis=1)
    assert abs(blocks.mean() - c.entropy) < 4.5 * blocks.std(ddof=1) / len(blocks) ** 0.5
    counts = np.zeros((9, 9))
    np.add.at(counts, (c.text[:-1], c.text[1:]), 1)
    rows = counts.sum(axis=1, keepdims=True)
    assert (np.abs(counts / rows - c.transitions) < 5 * np.sqrt(c.transitions * (1 - c.transitions) / rows) + 10 / rows).all()
    assert 1 < c.perplexity < 9


def test_the_first_character_is_stationary():
    first = np.array([characters(1, "ab", [[0.9, 0.1], [0.4, 0.6]], seed=s).text[0] for s in range(2000)])
    assert abs(first.mean() - 0.2) < 4.5 * (0.2 * 0.8 / 2000) ** 0.5


def test_text_is_the_seeds():
    one, again, other = characters(500, seed=1), characters(500, seed=1), characters(500, seed=2)
    assert str(one) == str(again) != str(other) and one.text.dtype == np.int64 and len(one.text) == 500 and set(str(one)) <= set("abcdefgh ")


@pytest.mark.parametrize("call, words", [
    (lambda: gaussians(noise=1.5), "noise: expected a finite number of at least 0 and at most 1, got 1.5"),
    (lambda: gaussians(classes=1), "classes: expected from 2 to i = 20"),
    (lambda: gaussians(classes=21), "classes: expected from 2 to i = 20.*got 21"),
    (lambda: gaussians(n_train=0), "n_train: expected a whole number of at least 1, got 0"),
    (lambda: gaussians(distance=float("nan")), "distance: expected.*got nan"),
    (lambda: teacher(classes=1), "classes: expected a whole number of at least 2, got 1"),
    (lambda: characters(0), "n: expected a whole number of at least 1"),
    (lambda: characters(5, "aa"), "alphabet: expected two or more different characters; got 'aa'"),
    (lambda: characters(5, "ab", [[0.5, 0.6], [0.5, 0.5]]), "transitions: expected 2 rows of 2 probabilities"),
    (lambda: characters(5, "ab", [[1.5, -0.5], [0.5, 0.5]]), "transitions: expected 2 rows"),
    (lambda: characters(5, "ab", np.eye(2)), "transitions: expected one stationary distribution"),
    (lambda: characters(5, concentration=0), "concentration: expected"),
])
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- own data


def table(tmp_path, text, name="own.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


GOOD = "height,kind,width\n" + "".join(f"{k},{'cat' if k % 2 else 'dog'},{k * 0.5}\n" for k in range(20))


def test_csv(tmp_path):
    d = from_csv(table(tmp_path, GOOD), target="kind")
    assert d.classes == ("cat", "dog") and d.name == "own" and d.x_train.shape == (16, 2) and d.x_test.shape == (4, 2)
    x, target = np.concatenate([d.x_train, d.x_test]), np.concatenate([d.target_train, d.target_test])
    assert sorted(x[:, 0]) == list(range(20)) and (x[:, 1] == x[:, 0] / 2).all() and ((x[:, 0] % 2 == 1) == (target == 0)).all()
    assert np.bincount(d.target_test).tolist() == [2, 2]
    other = from_csv(table(tmp_path, GOOD), target="kind", seed=1)
    assert not np.array_equal(other.x_test, d.x_test)


def test_csv_with_numbered_classes_and_standardised(tmp_path):
    rows = "".join(f"{k},7,{10 if k < 6 else 9}\n" for k in range(12))
    d = from_csv(table(tmp_path, "\ufeffx,same,y\n\n" + rows), target="y", test=0.5, standardise=True)
    assert d.classes == (9, 10)                                  # in order as numbers, not as words
    np.testing.assert_allclose(d.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(d.x_train.std(axis=0), [1, 0], atol=1e-6)


@pytest.mark.parametrize("text, words", [
    (GOOD.replace("kind", "sort"), "target: .*own.csv has no column 'kind'; it has height, sort, width"),
    ("", "target: .* has no column 'kind'; it has none"),
    ("kind\ncat\ndog\n", "path: expected columns beside 'kind'"),
    (GOOD + "tall,cat,3\n", "path: expected numbers, line 22 of .* has 'tall' in the column 'height'"),
    (GOOD + ",cat,3\n", "has '' in the column 'height'"),
    (GOOD + "1,cat\n", "path: expected 3 entries in each line, line 22 of .* has 2"),
    (GOOD + "nan,cat,3\n", "path: expected finite numbers, example 20 of .* has nan in column 0"),
    (GOOD + "1e300,cat,3\n", "path: expected finite numbers, example 20 .* has inf"),
    (GOOD + "1,,3\n", "target: expected a class for each example, example 20"),
    (GOOD.replace("cat", "dog"), r"target: expected at least two classes, .* has \['dog'\] alone"),
    (GOOD.replace("cat", "0.5").replace("dog", "1"), "target: expected classes, whole numbers or words, .* has 0.5"),
    ("height,kind\n", "path: expected numbers"),
    ("\n" + GOOD + "\n\ntall,cat,3\n", "line 25 of .* has 'tall'"),
    (GOOD.replace("height", "kind"), "path: expected different names of columns, .* has kind, kind, width"),
])
def test_bad_csv(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        from_csv(table(tmp_path, text), target="kind")


def test_csv_in_another_encoding(tmp_path):
    (tmp_path / "own.csv").write_bytes("größe,kind\n1,cat\n".encode("latin-1"))
    with pytest.raises(ValueError, match="path: .* is no CSV file in UTF-8"):
        from_csv(tmp_path / "own.csv", target="kind")


@pytest.mark.parametrize("test", [0, 1, 0.001])
def test_both_parts_are_needed(tmp_path, test):
    with pytest.raises(ValueError, match="test: expected some examples to train on and some to test on"):
        from_csv(table(tmp_path, GOOD), target="kind", test=test)


def test_npz(tmp_path):
    x, target = np.arange(60).reshape(10, 2, 3), np.arange(10) % 2 + 3
    np.savez(tmp_path / "a.npz", x=x, target=target)
    d = from_npz(tmp_path / "a.npz", test=0.4)
    assert d.x_train.shape == (6, 6) and d.x_test.shape == (4, 6) and d.classes == (3, 4) and set(d.target_train) == {0, 1}
    np.savez(tmp_path / "b.npz", x_train=x[:7], target_train=target[:7], x_test=x[7:], target_test=target[7:])
    d = from_npz(tmp_path / "b.npz")
    np.testing.assert_array_equal(d.x_test, x[7:].reshape(3, 6))
    np.testing.assert_array_equal(d.target_train, target[:7] - 3)


@pytest.mark.parametrize("arrays, words", [
    (dict(x=np.ones((4, 2))), "path: .* has no array 'target'; expected x, target, got x"),
    (dict(x_train=np.ones((4, 2)), target_train=np.ones(4)), "has no array 'x_test'"),
    (dict(x=np.ones((4, 2)), target=np.ones(3)), r"path: expected numbers x\[n,...\] and target\[n\]"),
    (dict(x=np.ones(4), target=np.arange(4)), r"path: expected numbers x\[n,...\]"),
    (dict(x=np.full((4, 2), 1j), target=np.arange(4)), "has complex128"),
    (dict(x=np.full((4, 2), np.nan), target=np.arange(4)), "expected finite numbers, example 0"),
    (dict(x=np.ones((4, 2)), target=[0, 1, np.nan, 1]), "target: expected classes"),
    (dict(x=np.ones((4, 2)), target=np.zeros(4)), "target: expected at least two classes"),
    (dict(x=np.ones((4, 2)), target=np.array([0, 1, None, 1])), "path: .* is no NPZ file of plain arrays"),
])
def test_bad_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        from_npz(tmp_path / "a.npz")


def test_what_is_no_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    for path in (table(tmp_path, "hello", "a.npz"), table(tmp_path, "", "b.npz"), tmp_path / "a.npy"):
        with pytest.raises(ValueError, match="is no NPZ file of plain arrays"):
            from_npz(path)
    with pytest.raises(FileNotFoundError):
        from_npz(tmp_path / "none.npz")


# ---- MNIST's formats


@pytest.fixture
def images():
    g = np.random.default_rng(0)
    return (g.integers(0, 256, (30, 28, 28), dtype=np.uint8), (np.arange(30) % 10).astype(np.uint8),
            g.integers(0, 256, (10, 28, 28), dtype=np.uint8), np.arange(10, dtype=np.uint8))


def write_idx(folder, arrays, zipped):
    for name, array in zip(MNIST_FILES, arrays):
        raw = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / f"{name}{'.gz' if zipped else ''}").write_bytes(gzip.compress(raw) if zipped else raw)


@pytest.mark.parametrize("form", ["npz", "idx", "idx.gz"])
def test_mnist(tmp_path, images, form):
    if form == "npz":
        np.savez(tmp_path / "mnist.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), images)))
    else:
        write_idx(tmp_path, images, form == "idx.gz")
    d = mnist(tmp_path / "mnist.npz" if form == "npz" else tmp_path)
    assert d.x_train.shape == (30, 784) and d.x_train.dtype == np.float32 and d.classes == tuple(range(10))
    np.testing.assert_allclose(d.x_test, images[2].reshape(10, 784) / 255, rtol=1e-6)
    np.testing.assert_array_equal(d.target_train, images[1])


def test_mnist_that_is_not_there(tmp_path, images):
    for path, words in ((tmp_path / "mnist.npz", "path: there is no .*mnist.npz; nothing is downloaded here; fetch https://"),
                        (tmp_path, "path: .* lacks train-images-idx3-ubyte; nothing is downloaded here")):
        with pytest.raises(FileNotFoundError, match=words):
            mnist(path)
    write_idx(tmp_path, images, zipped=False)
    whole = (tmp_path / MNIST_FILES[0]).read_bytes()
    for cut in (whole[:-1], whole[:10], b"", b"\0\0\x0d" + whole[3:]):
        (tmp_path / MNIST_FILES[0]).write_bytes(cut)
        with pytest.raises(ValueError, match="is no complete IDX file of bytes with 3 axes"):
            mnist(tmp_path)
    (tmp_path / MNIST_FILES[0]).unlink()
    (tmp_path / f"{MNIST_FILES[0]}.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(ValueError, match="is no complete IDX file"):
        mnist(tmp_path)


def test_mnist_with_other_labels(tmp_path, images):
    x, target, x_test, target_test = images
    for labels in (target[:-1], target.astype(float)):
        np.savez(tmp_path / "mnist.npz", x_train=x, y_train=labels, x_test=x_test, y_test=target_test)
        with pytest.raises(ValueError, match="path: expected images of bytes and a whole-number label for each"):
            mnist(tmp_path / "mnist.npz")
