"""Per-example gradients, their squared norms, and Hessian-vector products. Oracle: JAX, one example at a time."""

import numpy as np
import pytest
from models import BATCH_NORM, SLIDES, USUAL, Interpreter, compiled, drawn, jax, loaded
from numpy.testing import assert_allclose

import mbcore as mb

SIZES = dict(i=3, j=4, y=3)
MODELS = {
    "slides": SLIDES,
    "usual": USUAL,
    "tied": "h[j] = tanh(W[j,i] * x[i])\no[i] = W[j,i] * h[j]\nL = squared_error(o[i], x[i])",
    "regulariser weighted by example": """s[y] = W[y,i] * x[i]
        J = W[y,i] * W[y,i]
        ell = cross_entropy(s[y], target)
        L = w * ell + lam * exp(-0.1 * J) * w""",
    "positions": """h[t,j] = tanh(W[j,i] * x[t,i])
        a[t] = h[t,j] * Q[j]
        p[t] = softmax(a[t], over=t)
        c[j] = p[t] * h[t,j]
        s[y] = V[y,j] * c[j] - D[y]
        L = cross_entropy(s[y], target)""",
    "softmax of parameters": """p[j] = softmax(A[j], over=j)
        h[j] = p[j] * tanh(W[j,i] * x[i])
        s[y] = V[y,j] * h[j]
        L = cross_entropy(s[y], target)""",
}


def case(name, B, **how):
    text, sizes = MODELS[name], {**SIZES, "t": 5}
    shared = ("lam",) if "lam" in MODELS[name] else ()
    batch = mb.equations(text).with_index("b", shared=shared)
    used = {i for indices in batch.graph.shapes.values() for i in indices}
    params, inputs = drawn(batch, {**sizes, "b": B}, seed=3)
    net = compiled(text, params, B, {i: n for i, n in sizes.items() if i in used}, shared, **how)
    return text, net, params, inputs, shared


def losses(text, inputs, shared):
    """params -> L[b], in JAX, from the equations of one example."""
    axes = {n: None if n in shared else 0 for n in inputs}
    one = lambda params, example: Interpreter(text).run({**params, **example}, {})["L"]
    return lambda params: jax().vmap(lambda example: one(params, example), in_axes=(axes,))(inputs)


@pytest.mark.parametrize("B", [1, 4, 6])
@pytest.mark.parametrize("name", MODELS)
def test_per_example_gradients_and_norms(name, B):
    text, net, params, inputs, shared = case(name, B)
    expected = jax().jacobian(losses(text, inputs, shared))(params)
    net.forward(**inputs)
    for parameter, g in expected.items():
        assert_allclose(net.per_example_grads(parameter), g, rtol=1e-10, atol=1e-12, err_msg=parameter)
    norms = sum((np.asarray(g) ** 2).reshape(B, -1).sum(1) for g in expected.values())
    assert_allclose(net.per_example_sq_norms(), norms, rtol=1e-10)


@pytest.mark.parametrize("mean_in", [(), "loss", "update", ("parameters", "loss")])
def test_per_example_gradients_do_not_know_the_convention(mean_in):
    _, net, _, inputs, _ = case("usual", 5, mean_in=mean_in)
    _, plain, _, _, _ = case("usual", 5)
    for program in (net, plain):
        program.forward(**inputs)
        program.backward()
    assert_allclose(net.per_example_grads("W0"), plain.per_example_grads("W0"), rtol=1e-12)
    assert_allclose(plain.per_example_grads("W0").mean(axis=0), plain.grads["W0"], rtol=1e-10, atol=1e-14)


def test_gradients_survive_a_look_at_the_examples():
    _, net, _, inputs, _ = case("usual", 5)
    net.forward(**inputs)
    net.backward()
    before = {name: g.copy() for name, g in net.grads.items()}
    net.per_example_grads("W0")
    net.per_example_sq_norms()
    assert all((net.grads[name] == before[name]).all() for name in before)


def test_norms_form_no_gradient_that_is_an_outer_product():
    _, net, _, inputs, _ = case("usual", 6)
    net.forward(**inputs)
    net.per_example_sq_norms()
    assert "W0.each" not in net._memory.flat and "W1.each" not in net._memory.flat


def test_coupled_examples_have_no_gradient_of_their_own():
    batch = mb.equations(BATCH_NORM).with_index("b")
    params, inputs = drawn(batch, {**SIZES, "b": 6}, seed=0)
    net = compiled(BATCH_NORM, params, 6, SIZES)
    net.forward(**inputs)
    for ask in (lambda: net.per_example_grads("W0"), net.per_example_sq_norms):
        with pytest.raises(ValueError, match="mixes the examples"):
            ask()


def test_a_parameter_that_L_does_not_need_has_gradient_0():
    net = mb.equations("s[y] = W[y,i] * x[i]\nq[y] = V[y] * s[y]\nL = squared_error(s[y], t[y])").with_index("b")
    net = net.compile(b=2, i=3, y=4).init(np.random.default_rng(0))
    net.forward(x=np.ones((2, 3)), t=np.ones((2, 4)))
    assert (net.per_example_grads("V") == 0).all() and net.per_example_grads("V").shape == (2, 4)


def test_replicas_keep_r_before_b():
    text, rng = USUAL, np.random.default_rng(5)
    many = mb.equations(text).with_index("b").with_index("r", parameters=True).compile(r=3, b=4, dtype="float64", **SIZES).init(rng)
    x, target = rng.normal(size=(3, 4, 3)), rng.integers(0, 3, (3, 4))
    many.forward(x=x, target=target)
    each, norms = many.per_example_grads("W0"), many.per_example_sq_norms()
    for k in range(3):
        one = compiled(text, {name: p[k] for name, p in many.params.items()}, 4, SIZES)
        one.forward(x=x[k], target=target[k])
        assert_allclose(each[k], one.per_example_grads("W0"), rtol=1e-12)
        assert_allclose(norms[k], one.per_example_sq_norms(), rtol=1e-12)


@pytest.mark.parametrize("name", ["slides", "usual", "tied", "positions", "regulariser weighted by example"])
def test_hessian_vector_product(name):
    text, net, params, inputs, shared = case(name, 5)
    J, rng = jax(), np.random.default_rng(1)
    v = {n: rng.normal(size=p.shape) for n, p in params.items()}
    mean = lambda p: losses(text, inputs, shared)(p).mean()
    expected = J.jvp(J.grad(mean), (params,), (v,))[1]
    before = {n: p.copy() for n, p in net.params.items()}
    found = net.hessian_vector_product(v, **inputs)
    assert all((net.params[n] == before[n]).all() for n in before)
    size = max(np.abs(h).max() for h in expected.values())
    for n, h in expected.items():
        assert np.abs(found[n] - h).max() < 1e-6 * size, n


def test_hessian_vector_product_refuses():
    _, net, params, inputs, _ = case("usual", 5)
    with pytest.raises(ValueError, match="vectors: expected names of parameters"):
        net.hessian_vector_product({"Z": np.ones(3)}, **inputs)
    with pytest.raises(ValueError, match=r"vectors\['C0'\]: .*shape"):
        net.hessian_vector_product({"C0": np.ones(7)}, **inputs)
    with pytest.raises(ValueError, match="target: labels"):
        net.hessian_vector_product({"C0": np.ones(4)}, **{**inputs, "target": np.full(5, 9)})
    assert all((net.params[n] == p).all() for n, p in params.items())
    assert all((h == 0).all() for h in net.hessian_vector_product({}, **inputs).values())
    single = mb.equations(USUAL).with_index("b").compile(b=5, **SIZES)
    with pytest.raises(TypeError, match="float64"):
        single.hessian_vector_product({}, **inputs)


def test_copies_cost_what_the_index_does_not():
    """Nodes, edges and calls: B times as many for the copies, and the same for any B with the index."""
    model, counts = mb.equations(USUAL), {}
    for B in (2, 4, 8):
        copies, batch = model.unrolled(B), model.with_index("b")
        counts[B] = (copies.graph.counts, batch.graph.counts, copies.compile(**SIZES).calls, batch.compile(b=B, **SIZES).calls)
    assert counts[2][1] == counts[8][1] and counts[2][3] == counts[8][3]
    for before, after in ((2, 4), (4, 8)):
        growth = [counts[after][0][what] - counts[before][0][what] for what in ("nodes", "edges")]
        assert growth[0] == (after - before) * counts[2][1]["nodes"] and growth[1] > growth[0]
        assert counts[after][2] > 1.7 * counts[before][2]


@pytest.mark.parametrize("text", [
    "s[y] = W[y,i] * V[i]\nL = w * squared_error(s[y], D[y])",
    "s[y] = W[y,i] * V[i]\nL = w * cross_entropy(s[y], t[y])",
    "s[y] = W[y,i] * V[i]\nJ = squared_error(s[y], D[y])\nL = w * J * J + squared_error(s[y], u[y])",
    "J = log(sum(exp(W[y,i]), over=(y, i)))\nL = w * J * x",
    "J = sqrt(sum(W[y,i]**2, over=(y, i)))\nL = w * J",
])
def test_single_examples_have_gradients_of_losses_of_parameters_alone(text):
    """Against the program of one example: its gradient is that example's."""
    batch = mb.equations(text).with_index("b", shared=("t",) if " t[y]" in text else ())
    sizes = dict(y=3, i=2)
    sizes = {i: n for i, n in sizes.items() if any(i in v for v in batch.graph.shapes.values())}
    params, inputs = drawn(batch, {**sizes, "b": 4}, 0)
    net, one = (loaded(batch.compile(b=b, dtype="float64", **sizes), params) for b in (4, 1))
    net.forward(**inputs)
    each, norms = {name: net.per_example_grads(name) for name in params}, net.per_example_sq_norms()
    for k in range(4):
        one.forward(**{name: a if name == "t" else a[k:k + 1] for name, a in inputs.items()})
        one.backward()
        for name in params:
            assert_allclose(each[name][k], one.grads[name], rtol=1e-12, atol=1e-15)
        assert_allclose(norms[k], sum((one.grads[name] ** 2).sum() for name in params), rtol=1e-12)
