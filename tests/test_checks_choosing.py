"""Lesson 13's checks: each misconception has its sentence; what they say of PyTorch is asked of PyTorch."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import mbcore as mb
from mbcore.checks.choosing import best_batch, crosswalk


def test_the_best_batch_is_the_minimum():
    found = minimize_scalar(lambda B: (1 + 400 / B) * (200e-6 + B * 0.02e-6), bounds=(1, 50_000), method="bounded").x
    assert best_batch(found).right


@pytest.mark.parametrize("answer, said", [
    (2000, "sqrt(400 x 10,000) = 2,000"), (10_000, "that is the machine's knee"), (400, "that is B_crit"), (5200, "that is the ordinary mean"),
    (4e6, "that is the product"), (0.2, "t0 and t1 are swapped"), (20, "that is the square root of B_crit"), (7, "Write out the product"),
    (20_000, "the knee is larger by that factor"), (200, "that was best on the old machine"),
    (np.nan, "expected a batch size"), ("200", "expected a batch size")])
def test_best_batch(answer, said):
    assert best_batch(answer).because.startswith(said) and best_batch(answer).right == (answer == 2000)


RIGHT = {"weight": "W0", "bias": "-C0", "s.grad": "s.grad / B"}


@pytest.mark.parametrize("change, said", [
    ({}, "weight = W0"), ({"weight": "W0.T"}, "weight: torch.nn.Linear"), ({"bias": "C0"}, "bias: the slides"), ({"weight": "W"}, "weight: expected"),
    ({"bias": 3}, "bias: expected"), ({"s.grad": "s.grad"}, "s.grad: the slides keep"), ({"s.grad": "s.grad * B"}, "s.grad: the other way"),
    ({"s.grad": None}, "s.grad: expected"), ({"C0": 1}, "expected a dictionary")])
def test_crosswalk(change, said):
    assert crosswalk({**RIGHT, **change}).because.startswith(said) and crosswalk({**RIGHT, **change}).right == (not change)


@pytest.mark.parametrize("answer", [{}, None, "W0"])
def test_crosswalk_wants_a_dictionary(answer):
    assert crosswalk(answer).because.startswith("expected a dictionary")


def test_the_crosswalk_is_what_pytorch_does():
    torch = pytest.importorskip("torch")
    net = mb.equations("s[y] = W[y,i] * x[i] - C[y]\nL = cross_entropy(s[y], target)").with_index("b").compile(b=5, i=3, y=4, dtype="float64")
    rng = np.random.default_rng(0)
    net.init(rng)
    net.params["C"][:] = rng.normal(size=4)
    x, target = rng.normal(size=(5, 3)), rng.integers(0, 4, 5)
    net.forward(x=x, target=target)
    net.backward()
    linear = torch.nn.Linear(3, 4, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(net.params["W"]))
        linear.bias.copy_(torch.tensor(-net.params["C"]))
    s = linear(torch.tensor(x))
    s.retain_grad()
    torch.nn.functional.cross_entropy(s, torch.tensor(target), reduction="mean").backward()
    np.testing.assert_allclose(s.detach().numpy(), net.values["s"], rtol=1e-10)
    np.testing.assert_allclose(s.grad.numpy(), net.grads["s"] / 5, rtol=1e-10)
    np.testing.assert_allclose(linear.weight.grad.numpy(), net.grads["W"], rtol=1e-10)
