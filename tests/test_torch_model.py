"""The oracle itself, on lines whose values one works out by hand; each is computed twice."""

import math

import numpy as np
import pytest
import torch_model
from numpy.testing import assert_allclose

ONES, COUNT = np.ones(3), np.array([1.0, 2.0, 3.0])
GIVEN = {"A": np.ones((3, 3)), "W": ONES, "V": ONES, "U": ONES, "x": COUNT, "u": COUNT}
TANH = np.tanh(COUNT)
SIGMOID = 1 / (1 + math.exp(-6))
LETTERED = {"i": 3, "j": 3}

READ = {
    # the design's lines
    "L = sigmoid(W[i]*x[i]) * tanh(W[i]*x[i])": SIGMOID * math.tanh(6),
    "L = x[i]*u[i] / sqrt(x[i]*x[i])": 14**0.5,
    "L = (W[i]*x[i]) * (V[i]*x[i])": 36,
    "L = (W[i] + V[i]) * x[i]": 12,
    "L = W[i] * (V[i]*x[i] + x[i])": 12,
    "L = W[i]*x[i] * tanh(V[i]*x[i])": 6 * math.tanh(6),
    "L = (W[i]*x[i])**2": 36,
    "L[i] = V[i] * tanh(W[i]*x[i])": TANH,
    "L = sum(V[i] * tanh(W[i]*x[i]), over=i)": TANH.sum(),
    "L = V[i] * tanh(W[i]*x[i])": None,
    "L = V[i] * (W[i]*x[i])": None,
    # worked out here
    "L = W[i]*V[i]*x[i]*u[i]": 14,
    "L = W[i]*x[i] * V[i]*x[i]": 14,
    "L = -W[i]*x[i] + 2*(x[i]*u[i])": 22,
    "L = W[i]*x[i] / 2 / V[i]": 3,
    "L = x[i] / (x[i]*u[i])": None,
    "L = W[i]*x[i] / (x[i]*u[i])": 6 / 14,
    "L = U[i] * (2 + tanh(W[i]*x[i]))": None,
    "L = U[i] * (V[i] + tanh(W[i]*x[i]))": (1 + TANH).sum(),
    "L = U[i] * (V[i] * (3 + tanh(W[i]*x[i])))": None,
    "L = U[i]*V[i] * (3 + tanh(W[i]*x[i]))": 3 * (3 + math.tanh(6)),
    "L = U[i] * (x[i]*u[i] - V[i])": 11,
    "L = U[i] * (W[i]*tanh(V[i]*x[i]) + u[i])": 6 + TANH.sum(),
    "L[i] = x[i] / sum(x[i]*x[i], over=i)": COUNT / 14,
    "L = U[i] * softmax(W[i]*x[i], over=i)": 1,
    "L = x[i]**2 * U[i]": 14,
    "L = x[i]**2": None,
    "L = 3 - x[i]": None,
    "L = mean(x[i]*u[i], over=i) + sum(x[i], over=i)": 14 / 3 + 6,
    "L = W[i]*x[i] + V[i]": None,
    # each letter by itself: the second term bears j alone, though without the first i is refused
    "L = A[i,j] * (W[i]*(u[j]*u[j]) + (u[j] - x[i]*W[i]) / V[i])": 3 * 14 + 3 * 6 - 3 * 6,
    "L = ((W[i]*x[i])) * (2)**(-1)": 3,
}


@pytest.mark.parametrize("text", READ)
def test_the_rule_reads_a_line_as_worked_out_by_hand(text):
    T, value = torch_model.torch(), READ[text]
    if value is None:
        with pytest.raises(torch_model.Refused):
            torch_model.read(text)
        return
    torch_model.read(text)
    given = {name: T.tensor(a) for name, a in GIVEN.items()}
    made, _ = torch_model.values(text, given, shared=("x", "u"))
    assert_allclose(torch_model.array(made["L"].tensor), value, rtol=1e-14)
    loops = torch_model.by_loops(text, GIVEN, LETTERED, shared=("x", "u"))
    assert_allclose(loops["L"], value, rtol=1e-14)


def test_gradients_of_a_line_worked_out_by_hand():
    torch_model.torch()
    x, w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])
    text = "h = W[i]*x[i]\nJ = W[i]*W[i]\nL = 0.5 * h**2 + J"
    got = torch_model.derivatives(text, {"W": w}, {"x": x})
    h = x @ w
    assert_allclose(got.values["L"], h**2 / 2 + 61, rtol=1e-14)
    assert_allclose(got.grads["h"], h, rtol=1e-14)                      # per example
    assert_allclose(got.grads["x"], h[:, None] * w, rtol=1e-14)
    assert_allclose(got.grads["J"], 1.0)                                # it bears no b
    assert_allclose(got.each["W"], h[:, None] * x + 2 * w, rtol=1e-14)
    assert_allclose(got.grads["W"], got.each["W"].mean(0), rtol=1e-14)
    assert_allclose(got.squares, (got.each["W"] ** 2).sum(1), rtol=1e-14)
    v = np.array([1.0, -2.0])
    hessian = x.T @ x / 2 + 2 * np.eye(2)
    product = torch_model.hessian_vector(text, {"W": w}, {"x": x}, {"W": v})
    assert_allclose(product["W"], hessian @ v, rtol=1e-14)


def test_a_mean_over_the_batch_couples_its_examples():
    torch_model.torch()
    x = np.array([1.0, 2.0, 6.0])
    text = "m = mean(x, over=b)\nL = W * (x - m)**2"
    got = torch_model.derivatives(text, {"W": np.array(2.0)}, {"x": x})
    assert_allclose(got.values["L"], [8, 2, 18])
    # B d mean(L)/dx = 2 W (x - m), as sum(x - m) = 0
    assert_allclose(got.grads["x"], [-8, -4, 12])
    assert got.bears == {"x", "L"}
