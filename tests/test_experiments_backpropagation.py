"""Lesson 03: the slides' loops. The verdict stands over other seeds, and turns when what it looks at is broken."""

import numpy as np
import pytest
from models import lazy_torch as torch
from verdicts import labels, stand

from mbcore import kernels
from mbcore.experiments import backpropagation
from mbcore.experiments.backpropagation import SMALL, backward_loops, differences, random_data, slides_by_loops, true_gradients
from mbcore.experiments.models import SLIDES


def test_backpropagation_stands():
    assert stand(backpropagation.run, SMALL) == {"T7": "holds"}


# ---------------------------------------------------------------- the verdict turns


def wrong_sigma(monkeypatch):
    monkeypatch.setitem(kernels.MAPS, "sigmoid", (kernels.MAPS["sigmoid"][0], lambda x, y, g, out: np.multiply(g, 0.2, out=out)))


def summing(monkeypatch):
    def loops(W, x, g, add=True):
        x_grad, W_grad = backward_loops(W, x, g, add)
        return x_grad, len(x) * W_grad
    monkeypatch.setattr(backpropagation, "backward_loops", loops)


def overwriting_does_as_well(monkeypatch):
    monkeypatch.setattr(backpropagation, "backward_loops", lambda W, x, g, add=True: backward_loops(W, x, g))


def too_strong(monkeypatch):
    monkeypatch.setattr(backpropagation, "differences", lambda f, arrays: {n: 8 * g for n, g in differences(f, arrays).items()})


@pytest.mark.parametrize("broken", [wrong_sigma, summing, overwriting_does_as_well, too_strong])
def test_backpropagation_turns(monkeypatch, broken):
    broken(monkeypatch)
    assert labels(backpropagation.run(SMALL)) == {"T7": "does not hold here"}


# ---------------------------------------------------------------- oracles


def by_pytorch(params, x, target):
    """(gradients of the mean loss, L[b]) of the slides' network."""
    p = {n: torch.tensor(a, requires_grad=True) for n, a in {**params, "x": x}.items()}
    h = torch.sigmoid(p["x"] @ p["W0"].T - p["C0"])
    each = torch.nn.functional.cross_entropy(torch.sigmoid(h @ p["W1"].T - p["C1"]), torch.tensor(target), reduction="none")
    each.mean().backward()
    return {name: leaf.grad.numpy() for name, leaf in p.items()}, each.detach().numpy()


def test_the_loops_against_pytorch():
    data = random_data(SLIDES, SMALL, 7)
    (grads, L), (true, each) = slides_by_loops(*data), by_pytorch(*data)
    np.testing.assert_allclose(L, each, rtol=1e-12)
    for name, g in true.items():
        np.testing.assert_allclose(grads[name], g * (7 if name == "x" else 1), atol=1e-14)


def test_true_gradients_against_pytorch():
    data = random_data(SLIDES, SMALL, 3)
    found, (true, _) = true_gradients(*data), by_pytorch(*data)
    assert found.keys() == true.keys()
    for name, g in true.items():
        np.testing.assert_allclose(found[name], g * (3 if name == "x" else 1), atol=1e-8)


def test_the_loops_against_products():
    rng = np.random.default_rng(0)
    W, x, g = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    x_grad, W_grad = backward_loops(W, x, g)
    np.testing.assert_allclose(x_grad, g @ W)
    np.testing.assert_allclose(W_grad, g.T @ x / 5)
    np.testing.assert_allclose(backward_loops(W, x, g, add=False)[1], np.outer(g[-1], x[-1]) / 5)      # the last example alone


def test_differences_of_a_quadratic():
    A, v = np.array([[2.0, 1.0], [1.0, 4.0]]), np.array([0.5, -1.5])
    kept = v.copy()
    np.testing.assert_allclose(differences(lambda: v @ A @ v / 2, {"v": v})["v"], A @ v, rtol=1e-9)
    assert (v == kept).all()


def test_bad_input_is_refused_by_name():
    with pytest.raises(TypeError, match=r"arrays\['v'\]: expected float64"):
        differences(lambda: 0.0, {"v": np.zeros(2, np.float32)})
