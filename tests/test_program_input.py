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


# ---------------------------------------------------------------- sizes, dtypes, devices


ODD_SIZES = {"zero": 0, "negative": -1, "fraction": 2.5, "a float": 2.0, "nan": math.nan, "True": True, "text": "2", "None": None,
             "list": [2], "array": np.array([2, 2]), "beyond 2**63": 2**63, "far beyond": 10**40, "complex": 2 + 0j,
             "uint64": np.uint64(2**63)}


@pytest.mark.parametrize("kind", ODD_SIZES)
@pytest.mark.parametrize("act", ["compile", "nbytes", "resized"])
def test_odd_sizes_are_named(net, kind, act):
    call = {"compile": BATCH.compile, "nbytes": BATCH.nbytes, "resized": lambda b, **_: net.resized(b=b)}[act]
    with pytest.raises((TypeError, ValueError), match="^b: expected a whole number of at least 1"):
        call(**{**SIZES, "b": ODD_SIZES[kind]})


@pytest.mark.parametrize("size", [8, np.int64(8), np.uint8(8), np.array(8), np.int32(8)])
def test_whole_numbers_of_any_kind_are_sizes(size):
    assert BATCH.compile(**{**SIZES, "b": size}).sizes["b"] == 8 == len(BATCH.compile(**{**SIZES, "b": size}).forward(x=X, target=T))


@pytest.mark.parametrize("b", [2**40, 2**62, 2**63 - 1])
def test_what_no_computer_holds_is_a_memory_error(b):
    for act in (BATCH.compile, BATCH.nbytes) if b > 2**60 else (BATCH.compile,):
        with pytest.raises(MemoryError, match="would need|more than a computer can address"):
            act(**{**SIZES, "b": b})


def test_working_space_counts_before_it_is_allocated(monkeypatch):
    """Two vectors of 40,000 numbers are small; all their products, which this line adds up twice over, are not."""
    text = "L = sum(x[i] * u[k] * tanh(v[i] * w[k]), over=(i, k))"
    monkeypatch.setattr("mbcore.program.free_memory", lambda device: 10**9)
    with pytest.raises(MemoryError, match="would need 51,203,520,016 bytes, and 1,000,000,000 are free"):
        mb.equations(text).with_index("b").compile(b=1, i=40_000, k=40_000, dtype="float64")


@pytest.mark.parametrize("how, said", [
    (dict(dtype="float16"), "dtype: expected 'float32' or 'float64'"), (dict(dtype=None), "dtype: "), (dict(dtype=int), "dtype: "),
    (dict(dtype="f"[1:]), "dtype: "), (dict(dtype=["float32"]), "dtype: "), (dict(device="cuda"), "device: expected cpu, gpu, got 'cuda'"),
    (dict(device=None), "device: "), (dict(device=["cpu"]), "device: "), (dict(mean_in=[["loss"]]), "mean_in: expected places"),
    (dict(mean_in=[None]), "mean_in: "), (dict(mean_in=None), "mean_in: ")])
def test_options_of_another_kind_are_named(how, said):
    with pytest.raises((TypeError, ValueError), match=f"^{said}"):
        BATCH.compile(**SIZES, **how)


# ---------------------------------------------------------------- inputs as they come


def masked(values, entries):
    return np.ma.masked_array(values, mask=entries)


def test_inputs_of_pytorch_and_masked_arrays(net):
    torch = pytest.importorskip("torch")
    right = net.forward(x=X, target=T)
    for x in (torch.tensor(X), torch.tensor(X, requires_grad=True), torch.tensor(X).half(), torch.tensor(X).bfloat16(),
              masked(X, np.zeros_like(X, bool))):
        for target in (T, torch.tensor(T), masked(T, np.zeros(8, bool))):
            assert_allclose(net.forward(x=x, target=target), right, rtol=1e-6)
    wrong = {"x": [torch.tensor(X) + 1j, torch.tensor(X) > 0, masked(X, X > 0), torch.tensor(with_one(np.nan)), torch.ones(8, 4)],
             "target": [torch.tensor(T) + 0.5, torch.tensor(T + 3), masked(T, T == 0)]}
    for name, values in wrong.items():
        for value in values:
            unchanged_and_working(net, lambda: net.step(0.1, **{"x": X, "target": T, name: value}), (TypeError, ValueError), f"^{name}: ")


@pytest.mark.parametrize("x", [X.astype("datetime64[s]"), X.astype("timedelta64[s]"), np.array([(1, 2)] * 8, dtype="i4,i4"), {"a": 1},
                               "x", b"x", iter([1, 2]), object(), X.tolist()[:-1] + [None], np.longdouble("1e4000") * X])
def test_inputs_that_are_no_numbers(net, x):
    unchanged_and_working(net, lambda: net.step(0.1, x=x, target=T), (TypeError, ValueError), "^x: ")


@pytest.mark.parametrize("target", [np.full(8, 2**63, np.uint64), np.full(8, 2**40), [0] * 7 + [None], ["a"] * 8, T + 0j, T.astype("M8[s]")])
def test_labels_that_are_none(net, target):
    unchanged_and_working(net, lambda: net.step(0.1, x=X, target=target), (TypeError, ValueError), "^target: ")


@pytest.mark.parametrize("lr", [1e39, -1e39, np.float64(1e39), 10**400, 10**50, True, np.True_, [0.1], masked(np.array(0.1), True), np.nan * X])
def test_rates_that_no_weight_survives(net, lr):
    unchanged_and_working(net, lambda: net.step(lr, x=X, target=T), (TypeError, ValueError), "^lr: ")


@pytest.mark.parametrize("lr", [1, np.float32(1), np.float64(1), np.int8(1), np.array(1.0), masked(np.array(1.0), False)])
def test_rates_of_any_kind_of_number(lr):
    nets = [BATCH.compile(**SIZES).init(np.random.default_rng(0)) for _ in range(2)]
    for net, rate in zip(nets, (lr, 1.0)):
        net.step(rate, x=X, target=T)
    assert nets[0].params["W0"].tobytes() == nets[1].params["W0"].tobytes()


def test_a_rate_for_each_replica_and_no_other_number_of_them():
    many = BATCH.with_index("r", parameters=True).compile(r=2, **SIZES).init(np.random.default_rng(0))
    for lr in ([0.1], [0.1] * 3, [[0.1, 0.1]], [0.1, math.nan], [0.1, 1e39], ["a", "b"], [0.1, None]):
        unchanged_and_working(many, lambda: many.step(lr, x=X, target=T), (TypeError, ValueError), "^lr: ")


@pytest.mark.parametrize("act, said", [
    (lambda n: n.per_example_grads(["W0"]), "name: expected a parameter"), (lambda n: n.per_example_grads(None), "name: "),
    (lambda n: n.evaluate(None), "name: "), (lambda n: n.evaluate(["s"]), "name: "), (lambda n: n.init(None), "rng: "),
    (lambda n: n.init(np.random.RandomState(0)), "rng: "), (lambda n: n.resized(), "resized: "), (lambda n: n.resized(i=3), "resized: "),
    (lambda n: n.hessian_vector_product(None, x=X, target=T), "hessian_vector_product: expected a program in float64")])
def test_other_arguments_are_named(net, act, said):
    net.forward(x=X, target=T)
    with pytest.raises((TypeError, ValueError), match=f"^{said}"):
        act(net)


def test_vectors_of_a_hessian_product():
    net = BATCH.compile(dtype="float64", **SIZES).init(np.random.default_rng(0))
    inputs = dict(x=np.random.default_rng(1).normal(size=(8, 5)), target=np.arange(8) % 3)
    net.forward(**inputs)
    before, values = {n: p.copy() for n, p in net.params.items()}, {n: v.copy() for n, v in net.values.items()}
    v = np.random.default_rng(2).normal(size=3)
    right = net.hessian_vector_product({"C1": v}, **inputs)["W0"]
    for scale in (1e-200, 1e-160, 1e160, 1e200):            # squares that are 0 or inf
        assert_allclose(net.hessian_vector_product({"C1": v * scale}, **inputs)["W0"] / scale, right, rtol=1e-5, atol=1e-9)
    for vectors in (None, [v], {"C1": v * np.nan}, {"C1": v + 1j}, {"C1": v[:2]}, {"C1": None}, {"Q": v}, {3: v}, {"C1": masked(v, v == v)}):
        with pytest.raises((TypeError, ValueError), match="^vectors"):
            net.hessian_vector_product(vectors, **inputs)
    assert all(np.array_equal(p, before[n]) for n, p in net.params.items())
    assert all(np.array_equal(p, values[n]) for n, p in net.values.items())


def test_several_parameters_are_written_together_or_not_at_all(net):
    before = {n: p.tobytes() for n, p in net.params.items()}
    with pytest.raises(ValueError, match=r"params\['W1'\]: expected shape"):
        net.params.update(W0=np.ones((4, 5)), W1=np.ones(7))
    with pytest.raises(ValueError, match="params: expected the name of a parameter.*'W9'"):
        net.params.update(W0=np.ones((4, 5)), W9=1)
    assert {n: p.tobytes() for n, p in net.params.items()} == before
    net.params.update(W0=np.ones((4, 5)), W1=np.ones((3, 4)))
    assert (net.params["W0"] == 1).all() and (net.params["W1"] == 1).all()


@pytest.mark.parametrize("text, words", [
    ("L = 1e-50 * x * W", "L: the number 1e-50 .* too small for float32, where it would be 0"),
    ("L = sqrt(1e39 * x[i] * x[i]) * W", "the number 1e[+]39 .* too large for float32"),
])
def test_a_number_that_float32_cannot_hold_is_refused(text, words):
    batch = mb.equations(text).with_index("b")
    sizes = {"b": 2, "i": 2} if "[" in text else {"b": 2}
    with pytest.raises(ValueError, match=words):
        batch.compile(**sizes)
    batch.compile(dtype="float64", **sizes)
