"""Made data, the text of known entropy, MNIST. Oracles: closed forms, standard errors, files."""

import gzip
import math
import struct

import numpy as np
import pytest

from mbcore.data import characters, gaussians, teacher
from mbcore.sources import MNIST_FILES, mnist

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


@pytest.mark.parametrize("p, q", [(1e-9, 3e-9), (1e-13, 1e-14), (1e-300, 1e-300), (0.5, 1e-12)])
def test_a_chain_that_hardly_ever_leaves_its_states(p, q):
    c = characters(10, "ab", [[1 - p, p], [q, 1 - q]])
    np.testing.assert_allclose(c.stationary, [q / (p + q), p / (p + q)], rtol=1e-13)


def test_states_that_are_left_for_good_count_nothing():
    P = [[0.2, 0.8, 0, 0], [0.7, 0.3, 0, 0], [0, 0, 0.5, 0.5], [0.1, 0, 0.4, 0.5]]
    c = characters(10, "abcd", P)
    np.testing.assert_allclose(c.stationary, [7 / 15, 8 / 15, 0, 0], rtol=1e-14)
    certain = characters(5, "ab", [[1, 0], [0.5, 0.5]])
    assert str(certain) == "aaaaa" and str(certain.entropy) == "0.0"
    with pytest.raises(ValueError, match="transitions: expected one stationary distribution"):
        characters(5, "abc", [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]])


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
    (lambda: gaussians(distance=1e31), "distance: expected a finite number of at least 0 and at most"),
    (lambda: gaussians(distance="3"), "distance: expected a finite number .* got '3'"),
    (lambda: gaussians(noise=True), "noise: expected a finite number .* got True"),
    (lambda: gaussians(i=2.0), "i: expected a whole number .* got 2.0"),
    (lambda: gaussians(seed=-1), "seed: expected a whole number of at least 0, got -1"),
    (lambda: teacher(seed=None), "seed: expected a whole number of at least 0, got None"),
    (lambda: teacher(j="8"), "j: expected a whole number .* got '8'"),
    (lambda: characters(5, seed=np.random.default_rng(0)), "seed: expected a whole number"),
    (lambda: characters(5, ["a", "b"]), r"alphabet: expected a text; got \['a', 'b'\]"),
    (lambda: characters(5, None), "alphabet: expected a text; got None"),
    (lambda: characters(5, "ab", [[0.5, np.nan], [0.5, 0.5]]), "transitions: expected finite numbers"),
    (lambda: characters(5, "ab", [["a", "b"], ["c", "d"]]), "transitions: expected real numbers"),
    (lambda: characters(5, "ab", [0.5, 0.5]), "transitions: expected 2 rows of 2 probabilities"),
    (lambda: characters(5, concentration=1e308), "concentration: expected a finite number .* at most"),
    (lambda: characters(5, "abcd", concentration=1e-3, seed=19), "seed, concentration: expected one"),
    (lambda: characters(5, concentration=np.inf), "concentration: expected a finite number"),
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


@pytest.mark.parametrize("three", [3, np.int64(3), np.float32(3), np.array(3)], ids=repr)
def test_numbers_of_any_kind(three):
    """NumPy's numbers are numbers."""
    np.testing.assert_array_equal(gaussians(distance=three).x_train, gaussians(distance=3.0).x_train)
    same = [characters(20, "ab", concentration=c, seed=s) for c, s in ((three, np.uint8(1)), (3.0, 1))]
    assert str(same[0]) == str(same[1])


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
    with pytest.raises(TypeError, match="path: expected the path of an NPZ file or a folder, got 5"):
        mnist(5)
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


@pytest.mark.parametrize("changed, words", [
    ({"y_train": np.arange(29, dtype=np.uint8) % 10}, "a whole-number label for each"),
    ({"y_train": np.arange(30) % 10 / 1}, "a whole-number label for each"),
    ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, np.uint8)}, "images of bytes"),
    ({"x_test": np.zeros((10, 27, 28), np.uint8)}, "expected examples of one shape"),
    ({"x_train": np.zeros((30, 28, 28))}, "expected images of bytes"),
    ({"y_train": np.zeros(30, np.uint8)}, "expected two classes or more to train on, got 0 alone"),
])
def test_mnist_of_another_form(tmp_path, images, changed, words):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "mnist.npz", **{**dict(zip(names, images)), **changed})
    with pytest.raises(ValueError, match=words):
        mnist(tmp_path / "mnist.npz")


def test_a_stray_label_of_mnist_is_said(tmp_path, images):
    x, target, x_test, target_test = images
    target[3] = 255
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=target, x_test=x_test, y_test=target_test)
    with pytest.warns(UserWarning, match="1 of 11 classes have no example to test on"):
        found = mnist(tmp_path / "mnist.npz")
    assert found.classes == (*range(10), 255) and found.target_train[3] == 10
