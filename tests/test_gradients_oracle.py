"""Gradients. Oracles: central differences, JAX, and PyTorch where it is installed; the loops as a third way to the values."""

import numpy as np
import pytest
from models import BATCH_NORM, SLIDES, USUAL, by_hand, by_jax, compiled, drawn, gradients
from numpy.testing import assert_allclose

import mbcore as mb

EXACT = dict(rtol=1e-10, atol=1e-12)


def differences(loss, params, inputs, h=1e-5):
    """Central differences of loss() with respect to every entry of every parameter, moved in place."""
    for name, array in params.items():
        found = np.empty_like(array)
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + h
            above = loss()
            array[at] = kept - h
            found[at] = (above - loss()) / (2 * h)
            array[at] = kept
        yield name, found


# ---------------------------------------------------------------- the course's two networks, four ways

SIZES = dict(i=5, j=4, y=3)
CASES = [(1, 1), (4, 4), (7, 7), (17, 32)]              # (examples, compiled for): B = 1, B = J, odd, a last batch of 17


@pytest.mark.parametrize("text", [SLIDES, USUAL], ids=["slides", "usual"])
@pytest.mark.parametrize("B, largest", CASES)
class TestNetworks:
    def prepared(self, text, B, largest):
        batch = mb.equations(text).with_index("b")
        params, inputs = drawn(batch, {**SIZES, "b": B}, seed=B)
        return compiled(text, params, largest, SIZES), batch, params, inputs

    def test_program_equals_jax(self, text, B, largest):
        net, _, params, inputs = self.prepared(text, B, largest)
        values, grads = gradients(net, inputs)
        expected, derivatives = by_jax(text, params, inputs)
        for name in expected:
            assert_allclose(values[name], expected[name], **EXACT, err_msg=name)
        for name in derivatives:
            assert_allclose(grads[name], derivatives[name], **EXACT, err_msg=name)

    @pytest.mark.parametrize("library", ["jax", "torch"])
    def test_program_equals_the_formulas_written_by_hand(self, text, B, largest, library):
        net, _, params, inputs = self.prepared(text, B, largest)
        L, derivatives = by_hand(library, text, params, **inputs)
        values, grads = gradients(net, inputs)
        assert_allclose(values["L"], L, **EXACT)
        for name in params:
            assert_allclose(grads[name], derivatives[name], **EXACT, err_msg=name)
        assert_allclose(grads["x"], B * derivatives["x"], **EXACT)

    def test_program_equals_central_differences(self, text, B, largest):
        net, _, params, inputs = self.prepared(text, B, largest)
        grads = {name: g.copy() for name, g in gradients(net, inputs)[1].items()}
        for name, found in differences(lambda: net.forward(**inputs).mean(), net.params, inputs):
            assert_allclose(grads[name], found, rtol=1e-6, atol=1e-9, err_msg=name)

    def test_loops_equal_program(self, text, B, largest):
        net, batch, params, inputs = self.prepared(text, B, largest)
        values, grads = gradients(net, inputs)
        by_loops, loop_grads = batch.run_as_loops(params, **inputs)
        for name in by_loops:
            assert_allclose(values[name], by_loops[name], **EXACT, err_msg=name)
        for name in (*params, "x", *by_loops):
            assert_allclose(grads[name], loop_grads[name], **EXACT, err_msg=name)


# ---------------------------------------------------------------- one behaviour a text

NETS = {
    "a value used twice": """
        h[j] = tanh(W[j,i] * x[i])
        k[j] = h[j] * h[j] + h[j]
        L = squared_error(k[j], t[j])""",
    "tied weights, the same letters": """
        h[j] = tanh(W[j,i] * x[i] + V[j,k] * u[k])
        g[j] = sigmoid(V[j,k] * v[k] - h[j])
        L = squared_error(g[j], t[j])""",
    "tied weights, other letters": """
        h[j] = tanh(W[j,i] * x[i])
        g[k] = tanh(W[k,j] * h[j])
        L = squared_error(g[k], t[k])""",
    "weights used forward and transposed": """
        h[j] = sigmoid(W[j,i] * x[i] - C[j])
        r[i] = W[j,i] * h[j]
        L = squared_error(r[i], x[i])""",
    "three factors": """
        h[y] = tanh(T[y,i,k] * x[i] * u[k])
        L = cross_entropy(h[y], target)""",
    "four factors": """
        a = x[i] * M[i,j] * N1[j,k] * u[k]
        L = a * a""",
    "a product that keeps a summed letter of its own": """
        h[j] = sum(W[j,i] * x[i] * G[i], over=i)
        L = squared_error(h[j], t[j])""",
    "an outer product": """
        m[j,k] = u[j] * v[k]
        L = m[j,k] * M[j,k]""",
    "softmax over a letter that is not the last": """
        e[i,j] = Q[i,j] * x[j]
        a[i,j] = softmax(e[i,j], over=i)
        h[j] = a[i,j] * x[i]
        L = squared_error(h[j], t[j])""",
    "attention over positions": """
        q[s,k] = Q[k,i] * x[s,i]
        e[s,t] = q[s,k] * x[t,k]
        a[s,t] = softmax(e[s,t], over=t)
        o[s,k] = a[s,t] * q[t,k]
        L = mean(o[s,k] * o[s,k], over=(s,k))""",
    "a distribution for cross_entropy": """
        s[y] = W[y,i] * x[i]
        L = cross_entropy(s[y], t[y])""",
    "a distribution for nll": """
        P[y] = softmax(W[y,i] * x[i], over=y)
        q[y] = softmax(t[y], over=y)
        L = nll(P[y], q[y])""",
    "a computed distribution": """
        s[y] = W[y,i] * x[i]
        q[y] = softmax(V[y,i] * x[i], over=y)
        L = cross_entropy(s[y], q[y])""",
    "squared error of two computed values": """
        s[y] = W[y,i] * x[i]
        r[y] = V[y,i] * x[i]
        L = squared_error(s[y], r[y])""",
    "squared error over two letters": """
        m[j,k] = W[j,i] * x[i,k]
        L = squared_error(m[j,k], t[j,k])""",
    "squared error of single numbers": """
        s = A[i] * x[i]
        L = squared_error(s, t)""",
    "labels at every position, classes not last": """
        s[y,p] = W[y,i] * x[i,p]
        L = sum(cross_entropy(s[y,p], target[p]), over=p)""",
    "two losses": """
        s[y] = W[y,i] * x[i]
        L = cross_entropy(s[y], target) + 0.25 * squared_error(s[y], t[y])""",
    "a weight for each example": """
        s[y] = W[y,i] * x[i]
        ell = cross_entropy(s[y], target)
        L = w * ell""",
    "a quotient": """
        h[j] = x[j] / (1 + exp(W[j,i] * u[i]))
        L = squared_error(h[j], t[j])""",
    "powers": """
        h[j] = (W[j,i] * x[i])**3 - 2 * (1 + x[j]**2)**-1
        L = squared_error(h[j], t[j])""",
    "a map of transposed letters": """
        m[j,i] = tanh(M[i,j])
        h[j] = m[j,i] * x[i]
        L = squared_error(h[j], t[j])""",
    "normalised by a sum of its own": """
        a[i] = exp(x[i] * G[i])
        p[i] = a[i] / sum(a[i], over=i)
        L = squared_error(p[i], t[i])""",
    "a constant inside": """
        h[j] = 0.5 - 0.25 * (x[j] - 3 * C[j]) * (x[j] + 1)
        L = squared_error(h[j], t[j])""",
    "a mean over classes": """
        m = mean(x[i], over=i)
        h[i] = (x[i] - m) * G[i]
        L = squared_error(h[i], t[i])""",
}
LETTERS = dict(i=4, j=4, k=4, y=3, s=4, t=4, p=2)


@pytest.mark.parametrize("B", [1, 4])                  # 4 is the size of j, too
@pytest.mark.parametrize("name", NETS)
def test_program_equals_jax(name, B):
    text = "\n".join(line.strip() for line in NETS[name].strip().splitlines())
    batch = mb.equations(text).with_index("b")
    used = {i for indices in batch.graph.shapes.values() for i in indices} | {u for u, _, _ in batch.graph.same_sizes}
    sizes = {i: n for i, n in LETTERS.items() if i in used}
    params, inputs = drawn(batch, {**sizes, "b": B}, seed=3)
    values, grads = gradients(compiled(text, params, B + 2, sizes), inputs)
    expected, derivatives = by_jax(text, params, inputs)
    for each in expected:
        assert_allclose(values[each], expected[each], **EXACT, err_msg=each)
    for each in derivatives:
        assert_allclose(grads[each], derivatives[each], **EXACT, err_msg=each)


@pytest.mark.parametrize("function", ["sigmoid({})", "tanh({})", "relu({})", "exp({})", "log(1 + exp({}))", "sqrt(1 + {}**2)"])
def test_every_map(function):
    text = f"z[j] = W[j,i] * x[i] - C[j]\nh[j] = {function.format('z[j]')}\nL = squared_error(h[j], t[j])"
    params, inputs = drawn(mb.equations(text).with_index("b"), dict(b=6, i=3, j=5), seed=8)
    _, grads = gradients(compiled(text, params, 6, dict(i=3, j=5)), inputs)
    for each, expected in by_jax(text, params, inputs)[1].items():
        assert_allclose(grads[each], expected, **EXACT, err_msg=each)


# ---------------------------------------------------------------- the one gradient rule

REGULARISED = USUAL.replace("L    =", "ell  =") + "\n    J    = W0[j,i] * W0[j,i]\n    L    = ell + lam * J\n"


@pytest.mark.parametrize("B", [1, 8])
def test_regulariser_is_not_divided_by_B(B):
    """d mean(L)/dW0 = d mean(ell)/dW0 + 2 lam W0, for any B; J.grad = lam, ell.grad[b] = 1."""
    batch = mb.equations(REGULARISED).with_index("b", shared="lam")
    params, inputs = drawn(batch, {**SIZES, "b": B}, seed=1)
    grads = gradients(compiled(REGULARISED, params, B, SIZES, shared="lam"), inputs)[1]
    without = gradients(compiled(USUAL, params, B, SIZES), {n: inputs[n] for n in ("x", "target")})[1]
    assert_allclose(grads["W0"], without["W0"] + 2 * inputs["lam"] * params["W0"], **EXACT)
    assert_allclose(grads["J"], inputs["lam"], **EXACT)
    assert_allclose(grads["ell"], np.ones(B), **EXACT)
    for name, expected in by_jax(REGULARISED, params, inputs, shared=("lam",))[1].items():
        assert_allclose(grads[name], expected, **EXACT, err_msg=name)


@pytest.mark.parametrize("library", ["jax", "torch"])
@pytest.mark.parametrize("B", [2, 4, 9])
def test_batch_normalisation(B, library):
    """Its gradient goes through the mean and the variance as well; values are still B d mean(L) / dv."""
    batch = mb.equations(BATCH_NORM).with_index("b")
    params, inputs = drawn(batch, {**SIZES, "b": B}, seed=B)
    L, derivatives = by_hand(library, BATCH_NORM, params, **inputs)
    values, grads = gradients(compiled(BATCH_NORM, params, 9, SIZES), inputs)
    assert_allclose(values["L"], L, rtol=1e-9)
    for name in params:
        assert_allclose(grads[name], derivatives[name], rtol=1e-9, atol=1e-11, err_msg=name)
    assert_allclose(grads["x"], B * derivatives["x"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("places", [("parameters",), ("loss",), ("update",), (), ("parameters", "loss"),
                                    ("parameters", "update"), ("parameters", "loss", "update")])
def test_where_the_mean_stands(places):
    """One place: the mean. Two: 1/B^2. None: the sum. The update, lr = 1, is the sum over B^len(places)."""
    B = 5
    params, inputs = drawn(mb.equations(USUAL).with_index("b"), {**SIZES, "b": B}, seed=2)
    mean = by_hand("jax", USUAL, params, **inputs)[1]
    net = compiled(USUAL, params, B, SIZES, mean_in=places)
    grads = {n: g.copy() for n, g in gradients(net, inputs)[1].items()}
    net.step(1.0, **inputs)
    for name in params:
        assert_allclose(grads[name], mean[name] * B / B ** len({"parameters", "loss"} & set(places)), **EXACT)
        assert_allclose(params[name] - net.params[name], mean[name] * B / B ** len(places), rtol=1e-9, atol=1e-12)
    assert_allclose(grads["x"], B * mean["x"] / (B if "loss" in places else 1), **EXACT)
