"""Wrong input to a program: a sentence that names the argument, what was expected and what came; and nothing is changed."""

import math

import numpy as np
import pytest
from models import USUAL
from numpy.testing import assert_allclose

import mbcore as mb

SIZES = dict(b=8, i=5, j=4, y=3)
BATCH = mb.equations(USUAL).with_index("b")
X, T = np.ones((8, 5)), np.zeros(8, np.int64)


def with_one(value, at=(2, 3)):
    array = X.copy()
    array[at] = value
    return array


WRONG = {
    "x missing": (dict(target=T), ValueError, "x: missing.*small initial.*capital"),
    "unknown": (dict(x=X, target=T, q=X), ValueError, "q: there is no such input here; expected x, target"),
    "parameter": (dict(x=X, target=T, W0=X), ValueError, "W0: a capital makes a parameter"),
    "computed value": (dict(x=X, target=T, h=X), ValueError, "h: there is no such input"),
    "too few axes": (dict(x=X[0], target=T), ValueError, r"x: expected the indices \[b,i\].*got shape \(5,\)"),
    "too many axes": (dict(x=X[None], target=T), ValueError, r"x: expected the indices \[b,i\].*got shape \(1, 8, 5\)"),
    "labels with two axes": (dict(x=X, target=T[:, None]), ValueError, r"target: expected the indices \[b\]"),
    "wrong size": (dict(x=X[:, :4], target=T), ValueError, "x: expected i=5.*got 4"),
    "too many examples": (dict(x=np.ones((9, 5)), target=np.zeros(9, int)), ValueError, r"x: 9 examples.*b=8.*resized\(b=9\)"),
    "two batch sizes": (dict(x=X, target=T[:5]), ValueError, "target: expected b=8, as x has 8, got 5"),
    "empty": (dict(x=X[:0], target=T[:0]), ValueError, "x: the batch is empty"),
    "label too large": (dict(x=X, target=T + 3), ValueError, r"target: labels must lie in 0 .. 2 \(y=3\), got 3"),
    "label negative": (dict(x=X, target=T - 1), ValueError, "target: labels must lie in 0 .. 2.*got -1"),
    "labels float": (dict(x=X, target=T * 1.0), TypeError, "target: expected whole-number labels, got float64"),
    "labels bool": (dict(x=X, target=T > 0), TypeError, "target: expected whole-number labels, got bool"),
    "NaN": (dict(x=with_one(np.nan), target=T), ValueError, r"x: expected finite numbers.*got nan at \[2, 3\]"),
    "inf": (dict(x=with_one(np.inf), target=T), ValueError, r"x: expected finite numbers.*got inf at \[2, 3\]"),
    "inf and -inf": (dict(x=with_one([np.inf, -np.inf], (2, slice(2))), target=T), ValueError, "x: expected finite numbers"),
    "complex": (dict(x=X + 1j, target=T), TypeError, "x: expected real numbers, got complex128"),
    "object": (dict(x=X.astype(object), target=T), TypeError, "x: expected real numbers, got object"),
    "strings": (dict(x=X.astype(str), target=T), TypeError, "x: expected real numbers, got <U"),
    "None": (dict(x=None, target=T), TypeError, "x: expected real numbers"),
    "ragged": (dict(x=[[1.0, 2.0], [3.0]], target=[0, 1]), (TypeError, ValueError), "^x: "),
    "too large for float32": (dict(x=with_one(1e300), target=T), ValueError, "^x: expected finite"),
}
WRONG_LR = {"nan": math.nan, "inf": math.inf, "shape": [0.1, 0.1], "None": None, "string": "0.1", "complex": 1j,
            "list of strings": ["a"]}


@pytest.fixture
def net():
    return BATCH.compile(**SIZES).init(np.random.default_rng(0))


def unchanged_and_working(net, act, error, words):
    before = {n: p.tobytes() for n, p in net.params.items()}
    with pytest.raises(error, match=words):
        act()
    assert {n: p.tobytes() for n, p in net.params.items()} == before
    assert np.isfinite(net.step(0.1, x=X, target=T)).all() and net.params["W0"].tobytes() != before["W0"]


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("first", [False, True], ids=["at once", "after a step"])
def test_wrong_input(net, kind, first):
    inputs, error, words = WRONG[kind]
    if first:
        net.step(0.1, x=X, target=T)
    unchanged_and_working(net, lambda: net.step(0.1, **inputs), error, words)


@pytest.mark.parametrize("kind", WRONG_LR)
def test_wrong_lr(net, kind):
    unchanged_and_working(net, lambda: net.step(WRONG_LR[kind], x=X, target=T), (TypeError, ValueError), "^lr: ")


def test_a_parameter_forgotten_its_capital_is_told():
    model = mb.equations("s = w * x\nL = squared_error(s, t)").with_index("b")
    with pytest.raises(ValueError, match="w: missing; a small initial makes it an input.*A parameter has a capital"):
        model.compile(b=2).forward(x=np.ones(2), t=np.ones(2))


def test_labels_of_two_losses_are_checked_against_both():
    two = mb.equations("s[y] = W[y,i] * x[i]\nu[z] = V[z,i] * x[i]\nL = cross_entropy(u[z], target) + cross_entropy(s[y], target)")
    for sizes in (dict(y=3, z=5), dict(y=5, z=3)):
        net = two.with_index("b").compile(b=2, i=2, **sizes)
        with pytest.raises(ValueError, match="target: labels must lie in 0 .. 2"):
            net.forward(x=np.ones((2, 2)), target=[4, 0])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.uint8, list])
def test_real_numbers_of_any_kind_are_cast(net, kind):
    x = X.tolist() if kind is list else X.astype(kind)
    assert_allclose(net.forward(x=x, target=T.tolist()), net.forward(x=X, target=T.astype(np.uint8)), rtol=1e-7)


@pytest.mark.parametrize("call, said", [
    (lambda: BATCH.compile(mean_in=3, **SIZES), "^mean_in: expected places among parameters, loss, update, got 3"),
    (lambda: BATCH.compile(**SIZES).evaluate(["s"]), r"^name: expected a computed value .*, got \['s'\]")])
def test_arguments_of_another_kind_are_named(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()
