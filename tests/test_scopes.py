"""Where a letter is summed. Oracle: each line written out in NumPy, sum by sum; of the gates and
gradients, PyTorch.
"""

import re

import numpy as np
import pytest
from models import lazy_torch as torch
from numpy.testing import assert_allclose

import mbcore as mb

RNG = np.random.default_rng(12)
A = (
    {name: RNG.uniform(0.2, 1.5, 3) for name in "xucdWVU"}
    | {"m": RNG.uniform(0.2, 1.5, (3, 3))}
    | {"k": 0.7}
)
SIG = lambda z: 1 / (1 + np.exp(-z))


def soft(z):
    return np.exp(z) / np.exp(z).sum()


# ------------------------------------ the rule, line by line: text, value in NumPy, sum signs

LINES = [
    # the lines of CASES.md
    (
        "sigmoid(W[i]*x[i]) * tanh(V[i]*x[i])",
        lambda x, u, W, V, **_: SIG(W @ x) * np.tanh(V @ x),
        2,
    ),
    ("x[i]*u[i] / sqrt(x[i]*x[i])", lambda x, u, **_: x @ u / np.sqrt(x @ x), 2),
    ("(W[i]*x[i]) * (V[i]*x[i])", lambda x, W, V, **_: (W @ x) * (V @ x), 2),
    ("(W[i] + V[i]) * x[i]", lambda x, W, V, **_: (W + V) @ x, 1),
    ("W[i] * (V[i]*x[i] + x[i])", lambda x, W, V, **_: W @ (V * x + x), 1),
    ("W[i]*x[i] * tanh(V[i]*x[i])", lambda x, W, V, **_: W @ x * np.tanh(V @ x), 2),
    ("(W[i]*x[i])**2", lambda x, W, **_: (W @ x) ** 2, 1),
    ("sum(V[i] * tanh(W[i]*x[i]), over=i)", lambda x, W, V, **_: V @ np.tanh(W * x), 1),
    # without brackets a product is flat, whatever divides or is negative in it
    ("W[i]*x[i]*u[i]*c[i]", lambda x, u, c, W, **_: (W * x * u * c).sum(), 1),
    ("-W[i]*x[i]", lambda x, W, **_: -(W @ x), 1),
    ("-W[i]*x[i]*-V[i]", lambda x, W, V, **_: (W * x * V).sum(), 1),
    ("W[i] * -x[i] * V[i]", lambda x, W, V, **_: -(W * x * V).sum(), 1),
    ("W[i]*x[i]/V[i]", lambda x, W, V, **_: (W * x / V).sum(), 1),
    ("1/V[i]*x[i]", lambda x, V, **_: (x / V).sum(), 1),
    ("- -W[i]*x[i]", lambda x, W, **_: W @ x, 1),
    ("x[i]**2 * W[i]", lambda x, W, **_: (x**2) @ W, 1),
    # brackets are scopes: products, quotients, powers, deep ones
    ("-(W[i]*x[i])", lambda x, W, **_: -(W @ x), 1),
    ("-(W[i]*x[i]) * (V[i]*u[i])", lambda x, u, W, V, **_: -(W @ x) * (V @ u), 2),
    ("(W[i]*x[i]) * 2 * (3*4)", lambda x, W, **_: 24 * (W @ x), 1),
    ("2 * (W[i]*x[i]) / 4", lambda x, W, **_: (W @ x) / 2, 1),
    ("(2*W[i]) * x[i]", lambda x, W, **_: 2 * (W @ x), 1),
    ("(W[i]) * (x[i])", lambda x, W, **_: W @ x, 1),
    ("((W[i]*x[i]))", lambda x, W, **_: W @ x, 1),
    ("x[i]*u[i] / (W[i]*x[i])", lambda x, u, W, **_: x @ u / (W @ x), 2),
    ("1 / (W[i]*x[i])", lambda x, W, **_: 1 / (W @ x), 1),
    ("(W[i]*x[i]) / (V[i]*x[i])", lambda x, W, V, **_: (W @ x) / (V @ x), 2),
    ("x[i]*u[i] / (W[i]*x[i])**2", lambda x, u, W, **_: x @ u / (W @ x) ** 2, 2),
    ("((W[i]*x[i]) * (V[i]*x[i]))**0.5", lambda x, W, V, **_: np.sqrt((W @ x) * (V @ x)), 2),
    (
        "tanh(2*(W[i]*x[i])) * (V[i]*x[i] + 1)",
        lambda x, W, V, **_: np.tanh(2 * (W @ x)) * (V @ x + 1),
        2,
    ),
    ("(W[i]*x[i] + 1) * (V[i]*x[i] - 1)", lambda x, W, V, **_: (W @ x + 1) * (V @ x - 1), 2),
    ("(W[i]*x[i]) * u[i] * V[i]", lambda x, u, W, V, **_: (W @ x) * (u @ V), 2),
    ("((W[i] + 1) * (x[i] - V[i]))", lambda x, W, V, **_: (W + 1) @ (x - V), 1),
    (
        "exp(-0.1 * (W[i]*x[i]) * sigmoid(V[i]*x[i] - 1))",
        lambda x, W, V, **_: np.exp(-0.1 * (W @ x) * SIG(V @ x - 1)),
        2,
    ),
    (
        "tanh(tanh(tanh(W[i]*x[i]) * (V[i]*x[i])) * (U[i]*x[i]))",
        lambda x, W, V, U, **_: np.tanh(np.tanh(np.tanh(W @ x) * (V @ x)) * (U @ x)),
        3,
    ),
    # two letters at once
    ("x[i] * m[i,j] * u[j]", lambda x, m, u, **_: x @ m @ u, 1),
    ("(m[i,j]*x[j]) * (m[i,j]*u[j])", lambda m, x, u, **_: (m @ x) @ (m @ u), 3),
    ("(m[i,j]*x[j]) * W[i]", lambda m, x, W, **_: (m @ x) @ W, 2),
    ("W[i] * tanh(m[i,j]*x[j])", lambda m, x, W, **_: W @ np.tanh(m @ x), 2),
    # another term of the same sum bears the letter alone: free in all, also inside their functions
    ("V[i] * (tanh(W[i]*x[i]) + u[i])", lambda x, u, W, V, **_: V @ (np.tanh(W * x) + u), 1),
    ("V[i] * ((W[i]*x[i]) + u[i])", lambda x, u, W, V, **_: V @ (W * x + u), 1),
    ("V[i] * (1 - (u[i] + W[i]*x[i]))", lambda x, u, W, V, **_: V @ (1 - u - W * x), 1),
    ("W[i]*x[i] + V[i]*u[i] + 1", lambda x, u, W, V, **_: W @ x + V @ u + 1, 2),
    # over= binds; function arguments are scopes
    ("mean(W[i]*x[i], over=i)", lambda x, W, **_: (W * x).mean(), 0),
    ("sum((W[i]*x[i])**2, over=i)", lambda x, W, **_: ((W * x) ** 2).sum(), 1),
    ("sum(x[i], over=i) * u[i] * V[i]", lambda x, u, V, **_: x.sum() * (u @ V), 2),
    ("u[i] * (V[i] * sum(x[i], over=i))", lambda x, u, V, **_: x.sum() * (u @ V), 2),
    ("sum(W[i] * sum(x[i]*V[i], over=i), over=i)", lambda x, W, V, **_: W.sum() * (x @ V), 2),
    ("sum(m[i,j]*x[j], over=i)", lambda m, x, **_: (m @ x).sum(), 2),
    (
        "mean(m[i,j]*x[j] * (m[i,j]*u[j]), over=i)",
        lambda m, x, u, **_: ((m @ x) * (m @ u)).mean(),
        2,
    ),
    # softmax keeps its letter, which is free in its argument
    ("W[i] * softmax(x[i], over=i)", lambda x, W, **_: W @ soft(x), 1),
    ("u[i] * softmax(W[i]*x[i], over=i)", lambda x, u, W, **_: u @ soft(W * x), 1),
    ("u[i] * softmax(m[i,j]*x[j], over=i)", lambda m, x, u, **_: u @ soft(m @ x), 2),
    (
        "u[i] * softmax(V[i] * tanh(W[j]*x[j]), over=i)",
        lambda x, u, W, V, **_: u @ soft(V * np.tanh(W @ x)),
        2,
    ),
    # a loss sums what its arguments bear
    (
        "W[i]*x[i] * squared_error(u[i], c[i])",
        lambda x, u, c, W, **_: W @ x * 0.5 * ((u - c) ** 2).sum(),
        1,
    ),
    (
        "sum(W[i] * squared_error(u[i], c[i]), over=i)",
        lambda u, c, W, **_: W @ (0.5 * (u - c) ** 2),
        1,
    ),
    (
        "W[i] * (squared_error(u[i], c[i]) + d[i])",
        lambda u, c, d, W, **_: W @ (0.5 * (u - c) ** 2 + d),
        1,
    ),
    # a number beside a scope opens it only where nothing else is in the product
    ("(2 * (W[i]*x[i])) * V[i]*u[i]", lambda x, u, W, V, **_: 2 * (W @ x) * (V @ u), 2),
    ("V[i]*u[i] / ((W[i]*x[i]) / 2)", lambda x, u, W, V, **_: 2 * (V @ u) / (W @ x), 2),
    ("V[i]*u[i] * ((W[i]*x[i]) / 2)", lambda x, u, W, V, **_: (V @ u) * (W @ x) / 2, 2),
    ("(2*(W[i]*x[i])) * (3*(V[i]*u[i]))", lambda x, u, W, V, **_: 6 * (W @ x) * (V @ u), 2),
    ("(3*(2*(W[i]*x[i]))) * V[i]*u[i]", lambda x, u, W, V, **_: 6 * (W @ x) * (V @ u), 2),
    # numbers
    ("sqrt(4) * W[i] * x[i] / (1 + 1)", lambda x, W, **_: W @ x, 1),
    ("W[i]*x[i]*k - 2**0.5", lambda x, W, k, **_: W @ x * k - 2**0.5, 1),
]
ELEMENTS = [
    ("V[i] * tanh(W[i]*x[i])", lambda x, W, V, **_: V * np.tanh(W * x), 0),
    ("V[i] * (W[i]*x[i])", lambda x, W, V, **_: V * W * x, 0),
    (
        "tanh(m[i,j]*x[j]) * sigmoid(m[i,j]*u[j])",
        lambda m, x, u, **_: np.tanh(m @ x) * SIG(m @ u),
        2,
    ),
    ("x[i] / sum(x[i], over=i)", lambda x, **_: x / x.sum(), 1),
    ("softmax(m[i,j]*x[j] - u[i], over=i)", lambda m, x, u, **_: soft(m @ x - u), 1),
    ("squared_error(x[i], u[i])", lambda x, u, **_: 0.5 * (x - u) ** 2, 0),
    ("(m[i,j]*x[j]) * (W[j]*x[j])", lambda m, x, W, **_: (m @ x) * (W @ x), 2),
]


def given(model):
    return {n: A[n] for n in model.parameters}, {n: A[n] for n in model.inputs}


def sums(tex):
    return tex.count(r"\sum")


@pytest.mark.parametrize(
    "left, text, value, signs",
    [("L", *line) for line in LINES] + [("h[i]", *line) for line in ELEMENTS],
)
def test_the_rule(left, text, value, signs):
    model = mb.equations(f"{left} = {text}")
    expected, (params, inputs) = value(**A), given(model)
    name = left[0]
    for same in (model, mb.equations(str(model))):
        assert_allclose(same.run_as_loops(params, **inputs)[0][name], expected, rtol=1e-12)
    assert sums(model.latex()) == signs
    assert model.latex().count("{") == model.latex().count("}")

    batch = model.with_index("b").with_index("r", parameters=True)
    for same in (batch, mb.equations(str(model)).with_index("r", parameters=True).with_index("b")):
        net = same.compile(
            dtype="float64", **{i: {"r": 2, "b": 4}.get(i, 3) for i in letters_of(same)}
        )
        for p, array in params.items():
            net.params[p][...] = array
        net.forward(**{n: np.broadcast_to(A[n], (2, 4, *np.shape(A[n]))) for n in inputs})
        assert_allclose(
            net.values[name], np.broadcast_to(expected, net.values[name].shape), rtol=1e-12
        )
    assert sums(batch.latex()) == signs


def letters_of(model):
    graph = model.graph
    return {i for indices in graph.shapes.values() for i in indices} | {
        used for used, _, _ in graph.same_sizes
    }


@pytest.mark.parametrize("text", [line[0] for line in LINES])
def test_copies_and_their_text_mean_the_same(text):
    model = mb.equations(f"L = {text}")
    if not model.inputs:
        return
    (params, inputs), copies = given(model), model.unrolled(2)
    expected = model.run_as_loops(params, **inputs)[0]["L"]
    both = {f"{n}_{k}": a for n, a in inputs.items() for k in range(2)}
    for same in (copies, mb.equations(str(copies))):
        assert_allclose(same.run_as_loops(params, **both)[0]["L"], expected, rtol=1e-12)


@pytest.mark.parametrize("text", [line[0] for line in LINES])
def test_gradients_are_those_of_the_sums(text):
    """Central differences of the NumPy line."""
    value = next(value for line, value, _ in LINES if line == text)
    model = mb.equations(f"L = {text}")
    params, inputs = given(model)
    gradients = model.run_as_loops(params, **inputs)[1]
    for name in (*params, *inputs):
        if np.ndim(A[name]) != 1:
            continue
        for k in range(3):
            e = np.zeros(3)
            e[k] = 1e-6
            slope = (value(**{**A, name: A[name] + e}) - value(**{**A, name: A[name] - e})) / 2e-6
            assert_allclose(gradients[name][k], slope, rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------- two readings, or none

REFUSED = [
    (
        "L = V[i] * tanh(W[i]*x[i])",
        "V[i]",
        r"i is summed inside tanh\(…\) and stands once outside it: use another letter or "
        r"another line, or write sum\(…, over=i\). Inside: tanh\(W\[i\] \* x\[i\]\); outside: V\[i\]",
    ),
    (
        "L = V[i] * (W[i]*x[i])",
        "V[i]",
        r"i is summed inside \(…\) and stands once outside it: drop the bracket, or use another",
    ),
    ("L = (W[i]*x[i]) * V[i]", "V[i]", r"inside \(…\).*drop the bracket"),
    ("L = -(W[i]*x[i]) * V[i]", "V[i]", "drop the bracket"),
    (
        "L = x[i] / (W[i]*x[i])",
        "x[i] /",
        r"i is summed inside \(…\) and stands once outside it: use another letter",
    ),
    ("L = x[i] * (W[i]*x[i])**2", "x[i] *", r"i is summed inside \(…\)"),
    ("L = x[i] / sqrt(x[i]*x[i])", "x[i] /", r"inside sqrt\(…\)"),
    ("L = x[i] * exp(2 * tanh(W[i]*x[i]))", "x[i] *", r"inside tanh\(…\)"),
    ("L = V[i] * (W[i]*x[i] + c[i]*u[i])", "V[i]", r"inside \(…\)"),
    ("L = W[i] * (u[i] * (V[i] * tanh(x[i]*x[i])))", "W[i]", r"inside tanh\(…\)"),
    ("L = W[i] * u[i] * (V[i] * tanh(x[i]*x[i]))", "V[i]", r"inside tanh\(…\)"),
    ("L = tanh(V[i] * (W[i]*x[i]))", "V[i]", "drop the bracket"),
    ("L = mean(x[i]*V[i], over=b) * W[i]", "W[i]", r"inside mean\(…\)"),
    ("L = d[i] * squared_error(x[i], u[i])", "d[i]", r"inside squared_error\(…\)"),
    ("L = W[y] * cross_entropy(s[y], target)", "W[y]", r"inside cross_entropy\(…\)"),
    ("L = x[i]*u[i] + V[i] * (W[i]*x[i])", "V[i]", "drop the bracket"),
    ("h[j] = m[j,i] * tanh(W[i]*x[i])", "m[j,i]", r"inside tanh\(…\)"),
    (
        "L = tanh(W[i]*x[i]) + d[i]",
        "d[i]",
        "i of d\\[i\\] stands once and the left side lacks it; .*sum\\(..., over=i\\)",
    ),
    ("L = W[i]*x[i] + d[i]", "d[i]", "i of d\\[i\\] stands once"),
    ("L = x[i]", "x[i]", "stands once"),
    ("L = W[i] * sum(x[i], over=i)", "W[i]", "stands once"),
    ("L = x[i]**2", "x[i]", "stands once"),
    ("h = 2 * softmax(x[j], over=j)", "softmax", "missing on the left"),
    (
        "L = sum(x[i]*u[i], over=j) * W[j,k] * V[j,k]",
        "sum",
        "has no index j, so there is nothing to take sum over",
    ),
    (
        "e[d] = E0[word,d]",
        "E0",
        r"word of E0\[word,d\] stands once.*multiply by a one-hot input, as in E0\[w,d\] \* x\[w\]",
    ),
    (
        "e[d] = E0[w,d]",
        "E0",
        r"sum\(..., over=w\); to pick by a label, multiply by a one-hot input, as in E0\[w,d\] \* x\[w\]",
    ),
]


def refused(text, place, reason):
    with pytest.raises(mb.NotationError, match=reason) as caught:
        mb.equations(text)
    e = caught.value
    assert e.line == text.count("\n") + 1 and text.split("\n")[-1][e.column - 1 :].startswith(place)


@pytest.mark.parametrize("text, place, reason", REFUSED, ids=[t for t, _, _ in REFUSED])
def test_two_readings_or_none_are_refused(text, place, reason):
    refused(text, place, reason)


def test_deep_brackets_take_no_time():
    text = "x[i] * " + "(" * 38 + "W[i]*x[i] + u[i]" + ")*x[i]" * 38
    model = mb.equations(f"h[i] = {text}")
    assert str(mb.equations(str(model))) == str(model)


# ---------------------------------------------------------------- views: text, LaTeX, loops

SHOWN = [
    (
        "L = (W[i]*x[i]) * (V[i]*x[i])",
        "L = (W[i] * x[i]) * (V[i] * x[i])",
        r"\left(\sum_{i} W[i]\, x[i]\right)\, \left(\sum_{i} V[i]\, x[i]\right)",
        "for i: L~ += W[i] * x[i]\nfor i: L~2 += V[i] * x[i]\nL += L~ * L~2",
    ),
    (
        "h[j] = tanh(W[j,i]*x[i]) * sigmoid(V[j,i]*x[i])",
        "h[j] = tanh(W[j,i] * x[i]) * sigmoid(V[j,i] * x[i])",
        r"\tanh\left(\sum_{i} W[j,i]\, x[i]\right)\, \sigma\left(\sum_{i} V[j,i]\, x[i]\right)",
        "for i,j: h~2[j] += W[j,i] * x[i]\nfor j: h~[j] += tanh(h~2[j])\n"
        "for i,j: h~4[j] += V[j,i] * x[i]\nfor j: h~3[j] += sigmoid(h~4[j])\nfor j: h[j] += h~[j] * h~3[j]",
    ),
    (
        "L = -W[i]*x[i]/2",
        "L = -W[i] * x[i] / 2",
        r"-\sum_{i} \frac{W[i]\, x[i]}{2}",
        "for i: L -= 0.5 * W[i] * x[i]",
    ),
    ("L = a / (b + c) / d", "L = a / (b + c) / d", r"\frac{a}{\left(b + c\right)\, d}", None),
    ("L = 2 * 3 * a", "L = 2 * 3 * a", r"2 \cdot 3\, a", "L += 6 * a"),
    (
        "L = 1e-7 * a**0.3333333333333333",
        "L = 1e-07 * a**0.3333333333333333",
        r"10^{-7}\, a^{0.3333333333333333}",
        None,
    ),
    (
        "L = 0.123456789 * log(a)**2",
        "L = 0.123456789 * log(a)**2",
        r"0.123456789\, \left(\log\left(a\right)\right)^{2}",
        None,
    ),
    (
        "L = sum(x[i], over=i)**2",
        "L = sum(x[i], over=i)**2",
        r"\left(\sum_{i} \left(x[i]\right)\right)^{2}",
        None,
    ),
    (
        "L = 2 * sum(x[i], over=i) * a",
        "L = 2 * sum(x[i], over=i) * a",
        r"2\, \left(\sum_{i} \left(x[i]\right)\right)\, a",
        None,
    ),
    ("L = (1/3) * a", "L = (1/3) * a", r"\left(\frac{1}{3}\right)\, a", None),
]


@pytest.mark.parametrize("text, shown, tex, loops", SHOWN, ids=[t for t, *_ in SHOWN])
def test_every_view_shows_where_the_sums_stand(text, shown, tex, loops):
    model = mb.equations(text)
    assert str(model) == shown and str(mb.equations(shown)) == shown
    assert tex in model.latex()
    if loops:
        assert model.forward_equations() == loops


def mathjax_2(tex):
    """How MathJax 2 reads \\color: with two arguments, of which the second is one group or one
    sign.
    """
    return re.findall(r"\\color\{#\w+\}(\{(?:[^{}]|\{[^{}]*\})*\}|\\?\w+)", tex)


def test_the_highlight_is_one_group_behind_the_colour():
    """{\\color{c}\\boldsymbol{b}} is an error in MathJax 2: its \\color takes \\boldsymbol without
    an argument.
    """
    tex = (
        mb.equations("m[j] = mean(W[j,i] * x[i], over=b)\nL = m[j] * m[j]").with_index("b").latex()
    )
    found = mathjax_2(tex)
    assert len(found) == 2 and set(found) == {r"{\boldsymbol{b}}"}
    assert all(f"{{\\color{{#D55E00}}{group}}}" in tex for group in found)


# ------------------------------------ gates as on paper. Oracle: PyTorch, float64

GLU = "h[j] = (W[j,i]*x[i] + B0[j]) * sigmoid(V[j,i]*x[i] + C0[j])"
HIGHWAY = """
    h[j] = tanh(W[j,i]*x[i] + B0[j]) * sigmoid(T[j,i]*x[i] + C0[j]) + x[j] * (1 - sigmoid(T[j,i]*x[i] + C0[j]))
"""
LSTM = """
    c[j] = sigmoid(Wf[j,i]*x[i] + Uf[j,k]*h0[k] + Bf[j]) * c0[j] \
         + sigmoid(Wi[j,i]*x[i] + Ui[j,k]*h0[k] + Bi[j]) * tanh(Wc[j,i]*x[i] + Uc[j,k]*h0[k] + Bc[j])
    h[j] = sigmoid(Wo[j,i]*x[i] + Uo[j,k]*h0[k] + Bo[j]) * tanh(c[j])
"""
GRU = """
    z[j] = sigmoid(Wz[j,i]*x[i] + Uz[j,k]*h0[k] + Bz[j])
    r[j] = sigmoid(Wr[j,i]*x[i] + Ur[j,k]*h0[k] + Br[j])
    h[j] = (1 - z[j]) * tanh(Wn[j,i]*x[i] + Bn[j] + r[j] * (Un[j,k]*h0[k] + Dn[j])) + z[j] * h0[j]
"""
ATTENTION = """
    Q[t,k] = Wq[k,e] * x[t,e]
    K[u,k] = Wk[k,e] * x[u,e]
    V[u,j] = Wv[j,e] * x[u,e]
    h[t,j] = softmax(Q[t,k]*K[u,k] / sqrt(3), over=u) * V[u,j]
"""
PAPER = {
    "GLU": (GLU, lambda T, p, x: (x @ p["W"].T + p["B0"]) * T.sigmoid(x @ p["V"].T + p["C0"])),
    "highway": (
        HIGHWAY,
        lambda T, p, x: T.lerp(
            x, T.tanh(x @ p["W"].T + p["B0"]), T.sigmoid(x @ p["T"].T + p["C0"])
        ),
    ),
    "LSTM": (LSTM, lambda T, p, x, h0, c0: lstm(T, p, x, h0, c0)),
    "GRU": (GRU, lambda T, p, x, h0: gru(T, p, x, h0)),
    "attention": (
        ATTENTION,
        lambda T, p, x: T.nn.functional.scaled_dot_product_attention(
            x @ p["Wq"].T, x @ p["Wk"].T, x @ p["Wv"].T
        ),
    ),
}


def lstm(T, p, x, h0, c0):
    """torch.nn.LSTMCell, functional, with the gates in its order: i, f, g, o."""
    gates = "ifco"
    stacked = [T.cat([p[letter + g] for g in gates]) for letter in "WUB"]
    cell = T.nn.LSTMCell(x.shape[1], h0.shape[1], dtype=T.float64)
    names = {
        "weight_ih": stacked[0],
        "weight_hh": stacked[1],
        "bias_ih": stacked[2],
        "bias_hh": 0 * stacked[2],
    }
    return T.func.functional_call(cell, names, (x, (h0, c0)))[0]


def gru(T, p, x, h0):
    """torch.nn.GRUCell, functional: r, z, n; the bias of the hidden side is Dn in n, 0 elsewhere.
    """
    ih, hh, bias = (T.cat([p[letter + g] for g in "rzn"]) for letter in "WUB")
    hidden = T.cat([0 * p["Br"], 0 * p["Bz"], p["Dn"]])
    cell = T.nn.GRUCell(x.shape[1], h0.shape[1], dtype=T.float64)
    return T.func.functional_call(
        cell, {"weight_ih": ih, "weight_hh": hh, "bias_ih": bias, "bias_hh": hidden}, (x, h0)
    )


@pytest.mark.parametrize("name", PAPER)
def test_gates_as_on_paper(name):
    text, by_torch = PAPER[name]
    T = torch
    out = "h[t,j]" if name == "attention" else "h[j]"
    model = mb.equations(text + f"\nL = squared_error({out}, y{out[1:]})").with_index("b")
    sizes = {"b": 5, "i": 3, "j": 3, "k": 3, "t": 4, "u": 4, "e": 3}
    net = model.compile(dtype="float64", **{i: sizes[i] for i in letters_of(model)})
    rng = np.random.default_rng(3)
    inputs = {
        n: rng.normal(size=[sizes[i] for i in indices]) for n, indices in model.inputs.items()
    }
    for p in net.params.values():
        p[...] = rng.normal(size=p.shape) * 0.7
    losses = net.forward(**inputs)
    net.backward()

    tensor = lambda a: T.tensor(a, dtype=T.float64, requires_grad=True)
    p, given_ = (
        {n: tensor(a) for n, a in net.params.items()},
        {n: tensor(a) for n, a in inputs.items()},
    )
    h = by_torch(T, p, **{n: a for n, a in given_.items() if n != "y"})
    L = 0.5 * ((h - given_["y"]) ** 2).reshape(5, -1).sum(1)
    L.mean().backward()
    assert_allclose(net.values["h"], h.detach().numpy(), rtol=1e-11, atol=1e-13)
    assert_allclose(losses, L.detach().numpy(), rtol=1e-11)
    for n in p:
        assert_allclose(net.grads[n], p[n].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=n)
    for n in given_:
        assert_allclose(net.grads[n] / 5, given_[n].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=n)


# ------------------------------------ found by changing one operator at a time


@pytest.mark.parametrize(
    "loss, told",
    [
        ("cross_entropy(s[t,y], target[t])", "the index t of target[t] stands once"),
        ("nll(s[t,y], target[t])", "the index t of target[t] stands once"),
        ("squared_error(s[t,y], target[t])", "target[t] must have the indices of s[t,y]"),
    ],
)
def test_labels_keep_the_indices_that_the_left_side_must_have(loss, told):
    """A loss sums the class alone: t is left over, unless the target is a distribution."""
    with pytest.raises(mb.NotationError, match=re.escape(told)):
        mb.equations(f"s[t,y] = W[y,i] * x[t,i]\nL = {loss}")


def test_labels_with_every_index_of_the_left_side():
    text = "s[t,y] = W[y,i] * x[t,i]\ne[t] = cross_entropy(s[t,y], target[t])\nL = sum(e[t], over=t)"
    assert mb.equations(text).graph.shapes["e"] == ("t",)


def test_copies_take_no_name_that_is_in_use():
    text = "{0} = A * A\ns[y] = W[y,i] * x[i]\nL = cross_entropy(s[y], target) + {0}"
    for name in ("x_0", "s_1", "target_1", "L_0"):
        with pytest.raises(ValueError, match=f"copies would take the name {name}, which is in use"):
            mb.equations(text.format(name)).unrolled(2)
    assert "x_2 " in str(mb.equations(text.format("x_2")).unrolled(2))
