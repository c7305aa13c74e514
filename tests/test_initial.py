"""First values: the variance that every parameter gets, and that one line starts as several do."""

import numpy as np
import pytest

import mbcore as mb

SIZES = dict(b=2, i=40, j=30, k=20, m=25, n=10)
END = "\nL = squared_error(h[j], t[j])"
NORMAL = {              # right side of h[j] = ... -> parameter: 1/variance, or "0" or "1" for that number
    "tanh(W[j,i] * x[i] - C[j])": {"W": 40, "C": "0"},
    "W[j,i] * x[i] + V[j,k] * u[k]": {"W": 40, "V": 20},
    "U[j,k] * V[k,i] * x[i]": {"U": 20, "V": 40},
    "x[i] * U[j,k] * V[k,i]": {"U": 20, "V": 40},
    "-2 * V[k,i] * x[i] * U[j,k] / 3": {"U": 20, "V": 40},
    "U[j,k] * V[k,m] * W[m,i] * x[i]": {"U": 20, "V": 25, "W": 40},
    "W[m,i] * U[j,k] * x[i] * V[k,m]": {"U": 20, "V": 25, "W": 40},
    "(U[j,k] * V[k,i]) * x[i]": {"U": 20, "V": 40},
    "U[j,k] * (V[k,i] * x[i])": {"U": 20, "V": 40},
    "(U[j,k] * (V[k,m] * W[m,i])) * x[i]": {"U": 20, "V": 25, "W": 40},
    "tanh(U[j,k] * V[k,i] * x[i] + C[j])": {"U": 20, "V": 40, "C": "0"},
    "G[j] * tanh(U[j,k] * V[k,i] * x[i]) + A[j]": {"U": 20, "V": 40, "G": "1", "A": "0"},
    "U[j,k] * tanh(V[k,i] * x[i])": {"U": 20, "V": 40},
    "(W[j,i] + U[j,k] * V[k,i]) * x[i]": {"W": 40, "U": 20, "V": 40},
    "relu(U[j,k] * V[k,i] * x[i])": {"U": 10, "V": 40},
    "relu(W[j,i] * x[i] - C[j])": {"W": 20, "C": "0"},
    "relu(G[j] * W[j,i] * x[i])": {"G": "1", "W": 20},
    "W[j,i] * G[i] * x[i]": {"W": 40, "G": "1"},
    "G[i] * W[j,i] * x[i]": {"W": 40, "G": "1"},
    "W[j,i,k] * x[i] * u[k]": {"W": 800},
    "A[j,n] * D[n,i] * E[n,k] * x[i] * u[k]": {"A": 10, "D": 40, "E": 20},
    "(D[j,n,i] * x[i]) * (E[j,n,k] * u[k])": {"D": 40, "E": 20},
    "sum(W[j,i,k] * x[i], over=(i, k))": {"W": 800},
    "mean(W[j,i] * x[i], over=i)": {"W": 40},
    "x[j] * (1 + G[j])": {"G": "0"},
    "x[j] / S[j]": {"S": "1"},
    "x[j] / sqrt(S[j])": {"S": "1"},
    "x[j] * log(S[j])": {"S": "1"},
    "x[j] / (1 + S[j])": {"S": "0"},
    "x[j] / (G[j] * S[j])": {"S": "1", "G": "1"},
    "x[j] * exp(S[j])": {"S": "0"},
    "x[j] / (2 * S[j]**2)": {"S": "1"},             # 0 would be divided by further on
    "x[j] * exp(-u[k] * u[k] / (2 * S[j]**2))": {"S": "1"},
    "x[j] / sqrt(S[j]**2)": {"S": "1"},
    "x[j] / (A[j] + D[j])": {"A": "1", "D": "1"},
    "x[j] / (A[j] - D[j])": {"A": "1", "D": "0"},
    "x[j] / (x[j] - C[j])": {"C": "0"},
    "x[j] / (1 + tanh(C[j]))": {"C": "0"},
    "S[j]**2 * x[j]": {"S": "1"},                   # 0 would never be left
    "relu(S[j]) * x[j]": {"S": "1"},
    "sqrt(S[j]**2) * x[j]": {"S": "1"},
}


def started(text, seed=0, **how):
    batch = mb.equations(text).with_index("b")
    letters = {i for indices in batch.graph.shapes.values() for i in indices} | {u for u, _, _ in batch.graph.same_sizes}
    return batch.compile(**{i: SIZES[i] for i in letters}, dtype="float64", **how).init(np.random.default_rng(seed))


def holds(values, expected):
    """Mean 0 and this variance, within five standard errors; or this number everywhere."""
    if isinstance(expected, str):
        return (values == float(expected)).all()
    error = 5 * (2 / values.size) ** 0.5
    return abs(values.mean()) < 5 / (expected * values.size) ** 0.5 and abs((values**2).mean() * expected - 1) < error


@pytest.mark.parametrize("right", NORMAL)
def test_variances(right):
    params = started(f"h[j] = {right}{END}", seed=len(right)).params
    assert {n: holds(params[n], e) for n, e in NORMAL[right].items()} == dict.fromkeys(params, True)


LINES = [
    ("h[j] = U[j,k] * V[k,i] * x[i]", "v[k] = V[k,i] * x[i]\nh[j] = U[j,k] * v[k]"),
    ("h[j] = relu(U[j,k] * V[k,m] * W[m,i] * x[i])", "w[m] = W[m,i] * x[i]\nv[k] = V[k,m] * w[m]\nh[j] = relu(U[j,k] * v[k])"),
    ("M[j,i] = U[j,k] * V[k,i]\nh[j] = M[j,i] * x[i]", "v[k] = V[k,i] * x[i]\nh[j] = U[j,k] * v[k]"),
    ("M[i,k] = U[k,m] * V[m,i]\nh[j] = W[j,k] * M[i,k] * x[i]", "v[m] = V[m,i] * x[i]\nu[k] = U[k,m] * v[m]\nh[j] = W[j,k] * u[k]"),
    ("h[j] = (D[n,i] * x[i]) * E[n,k] * u[k] * A[j,n]", "d[n] = D[n,i] * x[i]\ne[n] = E[n,k] * u[k]\nh[j] = d[n] * e[n] * A[j,n]"),
    ("h[j] = tanh(W[j,i] * G[i] * x[i])", "g[i] = G[i] * x[i]\nh[j] = tanh(W[j,i] * g[i])"),
]


@pytest.mark.parametrize("one, several", LINES)
@pytest.mark.parametrize("replicas", [False, True])
def test_one_line_starts_as_several_do(one, several, replicas):
    """The same numbers for every parameter, drawn in the order of their names on the page."""
    found = []
    for text in (one, several):
        batch = mb.equations(text + END).with_index("b")
        batch = batch.with_index("r", parameters=True) if replicas else batch
        letters = {i for indices in batch.graph.shapes.values() for i in indices}
        net = batch.compile(**{i: SIZES.get(i, 3) for i in letters}, dtype="float64").init(np.random.default_rng(0))
        found.append({name: (p**2).mean() * p.size for name, p in net.params.items()})
    assert found[0].keys() == found[1].keys()
    for name, squares in found[0].items():                  # drawn in another order, so close and not equal
        assert abs(np.log(squares / found[1][name])) < 0.5, (name, found)


def test_a_product_of_many_factors_has_numbers_of_size_1():
    """One line of five factors, from unit inputs: the result has variance 1, as each of its lines would have."""
    net = started("h[j] = U[j,k] * V[k,m] * W[m,n] * E[n,i] * x[i]" + END)
    x = np.random.default_rng(1).normal(size=(400, SIZES["i"]))
    h = net.resized(b=400).evaluate("h", x=x)
    assert 0.3 < h.var() < 3


def test_a_parameter_without_any_use_in_a_product():
    params = started("h[j] = W[j,i] * x[i] - tanh(C[j])" + END.replace(")", ") + 0 * E", 1)).params
    assert not params["C"].any() and holds(params["W"], 40)
