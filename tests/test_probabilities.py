"""What a loss may be given, and what L may be. Oracle of the values: PyTorch, float64."""

import numpy as np
import pytest
from models import lazy_torch as torch
from numpy.testing import assert_allclose

import mbcore as mb

SCORES = "s[y] = W[y,i] * x[i] - C[y]\n"
SOFTMAX = SCORES + "P[y] = softmax(s[y], over=y)\n"
SIZES = dict(b=4, i=3, y=5)


def every_way(text, shared=()):
    """The model for one example, with the batch, with replicas, and in copies."""
    yield lambda: mb.equations(text)
    yield lambda: mb.equations(text).with_index("b", shared=shared)
    yield lambda: mb.equations(text).with_index("r", parameters=True).with_index("b")
    yield lambda: mb.equations(text).unrolled(2)


# ---------------------------------------------------------------- probabilities and scores

SAME = [
    "P[y]",
    "1 * P[y]",
    "P[y] * 1",
    "-(-P[y])",
    "- -P[y]",
    "P[y] + 0",
    "0 + P[y] - 0",
    "P[y] / 1",
    "P[y]**1",
    "(P[y])",
    "2 * P[y] / 2",
    "sqrt(4) * P[y] - P[y]",
    "0.5 * P[y] + 0.5 * P[y]",
    "-1 * -1 * P[y]",
    "P[y] - 0 * s[y]",
    "(2 - 1) * P[y]",
]


@pytest.mark.parametrize("same", SAME)
def test_a_softmax_by_another_name_is_refused_by_cross_entropy(same):
    text = SOFTMAX + f"Q[y] = {same}\nA[y] = Q[y]\nL = cross_entropy(A[y], target)"
    for make in every_way(text):
        with pytest.raises(
            mb.NotationError,
            match="cross_entropy takes scores and A(_0)? is the softmax P(_0)? by another name: use nll",
        ):
            make()
    ok = (
        mb.equations(text.replace("cross_entropy", "nll"))
        .with_index("b")
        .compile(dtype="float64", **SIZES)
    )
    direct = (
        mb.equations(SOFTMAX + "L = nll(P[y], target)")
        .with_index("b")
        .compile(dtype="float64", **SIZES)
    )
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(4, 3)), rng.integers(0, 5, 4)
    for net in (ok, direct):
        net.init(np.random.default_rng(1))
    assert_allclose(ok.forward(x=x, target=target), direct.forward(x=x, target=target), rtol=1e-12)


BY_HAND = [
    "P[y] = exp(s[y]) / sum(exp(s[y]), over=y)",
    "P[y] = 1 / sum(exp(s[y]), over=y) * exp(s[y])",
    "e[y] = exp(s[y])\nP[y] = e[y] / sum(e[y], over=y)",
    "P[y] = exp(0.5 * s[y] - w) / sum(exp(0.5 * s[y] - w), over=y)",
    "e[y] = exp(s[y])\nZ = sum(e[y], over=y)\nP[y] = e[y] / Z",
    "P[y] = exp(s[y]) / sum(exp(s[k]), over=k)",
    "P[y] = exp(s[y] / 2) / sum(exp(s[k] / 2), over=k)",
    "e[y] = exp(s[y])\nP[y] = e[y] / sum(e[k], over=k)",
    "P[y] = s[y]**2 / sum(s[k]**2, over=k)",
    "R[y] = softmax(s[y], over=y)\nP[y] = w * R[y] / sum(w * R[k], over=k)",
]


@pytest.mark.parametrize("line", BY_HAND)
def test_a_softmax_written_out_is_one(line):
    text = SCORES + line + "\nL = {}(P[y], target)"
    for make in every_way(text.format("cross_entropy")):
        with pytest.raises(mb.NotationError, match="P(_0)? is a softmax already: use nll"):
            make()
    for make in every_way(text.format("nll")):
        make()
    other = SCORES + "P[y] = exp(s[y]) / sum(exp(2 * s[y]), over=y)\nL = cross_entropy(P[y], target)"
    mb.equations(other)


def test_transposed_and_mixed_softmaxes_are_softmaxes():
    two = "P[t,y] = softmax(W[t,y,i]*x[i], over=y)\nQ[y,t] = P[t,y]\nL = sum(cross_entropy(Q[y,t], target[t]), over=t)"
    with pytest.raises(mb.NotationError, match="is the softmax P by another name"):
        mb.equations(two)
    mixed = (
        SOFTMAX
        + "R[y] = softmax(V[y,i]*x[i], over=y)\nM[y] = 0.25 * P[y] + R[y] * 0.75\nL = cross_entropy(M[y], target)"
    )
    with pytest.raises(mb.NotationError, match="M is a mixture of the softmaxes P and R: use nll"):
        mb.equations(mixed)
    mb.equations(mixed.replace("cross_entropy", "nll"))


EXPERTS = "g[k] = softmax(A[k,i]*x[i], over=k)\nE[k,y] = softmax(D[k,y,i]*x[i], over=y)\n"
MIXTURES = [
    EXPERTS + "M[y] = g[k] * E[k,y]",
    EXPERTS + "T[k,l] = softmax(F[k,l], over=l)\nM[y] = g[k] * T[k,l] * E[l,y]",
    EXPERTS + "M[y] = mean(E[k,y], over=k)",
    "M[y] = softmax(A[k,i]*x[i], over=k) * softmax(D[k,y,i]*x[i], over=y)",
    "z[u] = sum(exp(q[u,y]), over=y)\nP[t,y] = exp(q[t,y]) / z[t]\nM[y] = mean(P[t,y], over=t)",
    SOFTMAX + "M[y] = mean(P[y], over=b)",
]


@pytest.mark.parametrize("text", MIXTURES)
def test_a_mixture_of_softmaxes_is_refused_by_cross_entropy(text):
    with pytest.raises(mb.NotationError, match="M is a mixture of softmaxes: use nll"):
        mb.equations(text + "\nL = cross_entropy(M[y], target)")
    mb.equations(text + "\nL = nll(M[y], target)")


NO_SOFTMAX = {  # cross_entropy's to take: no probabilities over its class index
    "twice": SOFTMAX + "Q[y] = 2 * P[y]\nL = cross_entropy(Q[y], target)",
    "learned weights": EXPERTS + "M[y] = E[k,y] * U[k]\nL = cross_entropy(M[y], target)",
    "the wrong index": EXPERTS + "M[y] = sum(E[k,y], over=k)\nL = cross_entropy(M[y], target)",
    "scores mixed": EXPERTS + "M[y] = g[k] * (D[k,y,i]*x[i])\nL = cross_entropy(M[y], target)",
    "shares of scores": SCORES + "Q[y] = s[y] / sum(s[k], over=k)\nL = cross_entropy(Q[y], target)",
    "log": SOFTMAX + "Q[y] = log(P[y])\nL = cross_entropy(Q[y], target)",
    "sigmoid": "s[y] = sigmoid(W[y,i]*x[i])\nL = cross_entropy(s[y], target)",
    "over positions": "P[t,y] = softmax(W[t,y,i]*x[i], over=t)\nL = sum(cross_entropy(P[t,y], target[t]), over=t)",
    "softmax as what is right": SOFTMAX
    + "R[y] = softmax(V[y,i]*x[i], over=y)\nq[y] = V[y,i]*x[i]\nL = cross_entropy(q[y], P[y])",
}
PROBABILITIES = {  # nll's to take
    "softmax": SOFTMAX + "L = nll(P[y], target)",
    "sigmoid": "P[y] = sigmoid(W[y,i]*x[i])\nL = nll(P[y], target)",
    "by hand": SCORES + "P[y] = exp(s[y]) / sum(exp(s[y]), over=y)\nL = nll(P[y], target)",
    "squares": SCORES + "P[y] = s[y]**2 / sum(s[y]**2, over=y)\nL = nll(P[y], target)",
    "an input": "Q[y] = p[y] * w\nL = nll(Q[y], target)",
    "complement": SOFTMAX + "Q[y] = 1 - P[y]\nL = nll(Q[y], target)",
    "experts": "g[k] = softmax(A[k,i]*x[i], over=k)\nR[k,y] = softmax(D[k,y,i]*x[i], over=y)\nP[y] = g[k]*R[k,y]\nL = nll(P[y], target)",
    "learned weights": "R[k,y] = softmax(D[k,y,i]*x[i], over=y)\nP[y] = G[k]*R[k,y]\nL = nll(P[y], target)",
}
RAW = {  # scores, which nll refuses
    "scores": SCORES + "L = nll(s[y], target)",
    "renamed": SCORES + "Q[y] = -(-s[y]) * 1\nP[y] = Q[y] + 0\nL = nll(P[y], target)",
    "without a bias": "s[y] = W[y,i]*x[i]\nL = nll(s[y], target)",
    "of a hidden layer": "h[j] = sigmoid(W[j,i]*x[i])\ns[y] = V[y,j]*h[j]\nL = nll(s[y], target)",
    "of attention": "a[j] = softmax(W[j,i]*x[i], over=j)\ns[y] = V[y,j]*a[j]\nL = nll(s[y], target)",
    "tanh": "P[y] = tanh(W[y,i]*x[i])\nL = nll(P[y], target)",
    "relu": "P[y] = relu(W[y,i]*x[i])\nL = nll(P[y], target)",
    "log of a softmax": SOFTMAX + "Q[y] = log(P[y])\nL = nll(Q[y], target)",
    "log-softmax by hand": SCORES
    + "Q[y] = s[y] - log(sum(exp(s[y]), over=y))\nL = nll(Q[y], target)",
    "minus a softmax": SOFTMAX + "Q[y] = -P[y]\nL = nll(Q[y], target)",
    "a distribution's": SCORES + "L = nll(s[y], t[y])",
    "a parameter": "L = nll(P[y], target) + 0 * w",
    "a softmax and a bias": SOFTMAX + "Q[y] = P[y] + D[y]\nL = nll(Q[y], target)",
    "positions": "s[t,y] = W[y,i]*x[t,i]\nL = mean(nll(s[t,y], target[t]), over=t)",
    "inverted": "s[y] = 1 / (W[y,i]*x[i])\nL = nll(s[y], target)",
}


@pytest.mark.parametrize("name", NO_SOFTMAX)
def test_what_is_no_softmax_is_taken(name):
    for make in every_way(NO_SOFTMAX[name]):
        make()


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_are_taken(name):
    for make in every_way(PROBABILITIES[name]):
        make()


@pytest.mark.parametrize("name", RAW)
def test_raw_scores_are_refused_by_nll(name):
    for make in every_way(RAW[name]):
        with pytest.raises(
            mb.NotationError, match="nll takes probabilities and .*use cross_entropy"
        ):
            make()


def test_arguments_in_the_other_order_are_refused():
    with pytest.raises(
        mb.NotationError, match=r"the order is cross_entropy\(what the net says, what is right\)"
    ):
        mb.equations(SCORES + "L = cross_entropy(t[y], s[y])")


# ------------------------------------ a target that all examples share, or that is learned


@pytest.mark.parametrize(
    "loss", ["cross_entropy(s[y], {})", "nll(P[y], {})", "squared_error(s[y], {})"]
)
@pytest.mark.parametrize("target", ["t[y]", "T[y]"], ids=["shared", "learned"])
def test_one_target_for_all_examples(loss, target):
    T, rng = torch, np.random.default_rng(4)
    text = SOFTMAX + "L = " + loss.format(target)
    net = (
        mb.equations(text)
        .with_index("b", shared=("t",) if target[0] == "t" else ())
        .compile(dtype="float64", **SIZES)
    )
    net.init(np.random.default_rng(0))
    x, t = rng.normal(size=(4, 3)), rng.uniform(0.1, 1, 5)
    if "T" in net.params:
        net.params["T"][...] = t
    L = net.forward(x=x, **({"t": t} if target[0] == "t" else {}))
    net.backward()
    tensors = {
        n: T.tensor(a, requires_grad=True)
        for n, a in {"x": x, "t": t, **{n: net.params[n] for n in "WC"}}.items()
    }
    s = tensors["x"] @ tensors["W"].T - tensors["C"]
    log_p = s.log_softmax(1)
    expected = (
        0.5 * ((s - tensors["t"]) ** 2).sum(1)
        if "squared" in loss
        else -(tensors["t"] * log_p).sum(1)
    )
    expected.mean().backward()
    assert_allclose(L, expected.detach().numpy(), rtol=1e-12)
    assert_allclose(net.grads["W"], tensors["W"].grad.numpy(), rtol=1e-10, atol=1e-13)
    assert_allclose(net.grads[target[0]], tensors["t"].grad.numpy(), rtol=1e-10, atol=1e-13)


def test_scores_of_parameters_alone_meet_every_example():
    """The frequencies of the classes, and the mean of the examples, learned."""
    T, rng = torch, np.random.default_rng(4)
    target, x = rng.integers(0, 5, 4), rng.normal(size=(4, 3))
    classes = (
        mb.equations("L = cross_entropy(C[y], target)")
        .with_index("b")
        .compile(b=4, y=5, dtype="float64")
    )
    centre = (
        mb.equations("L = squared_error(C[i], x[i])")
        .with_index("b")
        .compile(b=4, i=3, dtype="float64")
    )
    classes.params["C"][...] = rng.normal(size=5)
    centre.params["C"][...] = rng.normal(size=3)
    C = T.tensor(classes.params["C"], requires_grad=True)
    expected = T.nn.functional.cross_entropy(C.expand(4, 5), T.tensor(target), reduction="none")
    expected.mean().backward()
    assert_allclose(classes.forward(target=target), expected.detach().numpy(), rtol=1e-12)
    classes.backward()
    assert_allclose(classes.grads["C"], C.grad.numpy(), rtol=1e-12)
    assert_allclose(centre.forward(x=x), 0.5 * ((centre.params["C"] - x) ** 2).sum(1), rtol=1e-12)
    centre.backward()
    assert_allclose(centre.grads["C"], centre.params["C"] - x.mean(0), rtol=1e-10)


@pytest.mark.parametrize(
    "text, shared, reason",
    [
        (
            SCORES + "L = cross_entropy(s[y], target)",
            "target",
            "one label for all is given once for each b, so it is not in shared=",
        ),
        (
            SCORES + "L = cross_entropy(s[y], T)",
            (),
            r"T stands for whole-number labels, so it must be an input.*learned or computed.*T\[y\]",
        ),
        (
            SCORES + "t[y] = 2 * q[y]\nL = cross_entropy(s[y], t[k])",
            (),
            "must have the indices of s",
        ),
    ],
)
def test_targets_that_do_not_work_say_why(text, shared, reason):
    with pytest.raises(mb.NotationError, match=reason):
        mb.equations(text).with_index("b", shared=shared)


# ------------------------------------ the batch: pending, forgotten, written by hand


def test_softmax_over_the_batch():
    T, rng = torch, np.random.default_rng(4)
    model = mb.equations("p = softmax(W[i]*x[i], over=b)\nL = p * t")
    with pytest.raises(ValueError, match=r"over=b.*with_index\('b'\)"):
        model.compile(i=3)
    with pytest.raises(ValueError, match="over=b couples"):
        model.unrolled(2)
    batch = model.with_index("b")
    assert str(mb.equations(str(batch))) == str(batch)
    net = batch.compile(b=6, i=3, dtype="float64")
    net.params["W"][...] = rng.normal(size=3)
    for B in (6, 4, 1):
        x, t = rng.normal(size=(B, 3)), rng.normal(size=B)
        W = T.tensor(net.params["W"], requires_grad=True)
        L = (T.tensor(x) @ W).softmax(0) * T.tensor(t)
        L.mean().backward()
        assert_allclose(net.forward(x=x, t=t), L.detach().numpy(), rtol=1e-12)
        net.backward()
        assert_allclose(net.grads["W"], W.grad.numpy(), rtol=1e-9, atol=1e-14)
    with pytest.raises(ValueError, match="mixes the examples"):
        net.per_example_grads("W")


def test_forgetting_with_index_is_named():
    one = mb.equations(SCORES + "L = cross_entropy(s[y], target)")
    named = r"with_index\(.b.\) before compile adds the batch index"
    with pytest.raises(ValueError, match="b: there is no such index.*" + named):
        one.compile(**SIZES)
    net = one.compile(i=3, y=5).init(np.random.default_rng(0))
    for act in (
        net.forward,
        lambda **inputs: net.step(0.1, **inputs),
        lambda **inputs: net.evaluate("s", x=inputs["x"]),
    ):
        with pytest.raises(ValueError, match="x: expected the indices.*" + named):
            act(x=np.ones((4, 3)), target=np.zeros(4, int))
    with pytest.raises(ValueError, match="target: expected the indices.*" + named):
        net.forward(x=np.ones(3), target=np.zeros(4, int))
    with pytest.raises(ValueError, match=r"x: expected an array for x\[i\]"):
        one.run_as_loops(dict(net.params), x=np.ones((4, 3)), target=0)
    pending = mb.equations("m = mean(x[i] * W[i], over=b)\nL = m * m")
    with pytest.raises(ValueError, match=r"over=b.*with_index\('b'\)"):
        pending.run_as_loops({"W": np.ones(3)}, x=np.ones(3))


OWNED = [
    "L[y] = W[y,i] * x[i]",
    "L[i] = W[i] * x[i]",
    "L[y] = W[y,i] * x[i]\nM = sum(L[y], over=y)",
    "s[k] = W[k,i] * x[i]\nL[y] = s[y]**2",  # y is k by another letter
    "s[k] = W[k,i] * x[i]\nq[m] = s[m]\nL[y] = q[y]**2",
    "L[i,y] = W[y] * x[i]",
    "L[r,b] = W[r,i] * x[b,i]",
]


@pytest.mark.parametrize("text", OWNED)
def test_L_has_no_index_of_a_parameter(text):
    with pytest.raises(
        mb.NotationError,
        match=r"L has the index \w+, which is one of the parameter W, .*sum\(..., over=",
    ):
        mb.equations(text)


def test_L_has_no_index_but_the_batchs():
    per_position = mb.equations("L[t] = x[t] * w")  # written by hand: t is its batch index
    with pytest.raises(
        mb.NotationError, match="no index but the batch's, got b, t.*sum or average"
    ):
        per_position.with_index("b")
    with pytest.raises(mb.NotationError, match="no index but the batch's, got t"):
        mb.equations("L[t] = x[t] * W\nq = u * W").with_index("b", shared="x")
    batch = mb.equations(SCORES + "L = cross_entropy(s[y], target)").with_index("b")
    assert mb.equations(str(batch)).graph.batch == "b"
    assert batch.with_index("r", parameters=True).graph.batch == "b"
    assert (
        mb.equations("L = x * x").with_index("b").with_index("r", parameters=True).graph.batch
        == "b"
    )


@pytest.mark.parametrize(
    "text",
    [
        "k[b] = sum(x[b,i]*x[c,i], over=(c,i))\nL[b] = k[b]*V",
        "h[b] = W*x[b]\nL[b] = h[b] * sum(h[c], over=c)",
    ],
)
def test_the_batch_index_goes_by_one_letter(text):
    with pytest.raises(mb.NotationError, match="b is the batch index: keep b in its place"):
        mb.equations(text)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "text, place",
    [
        ("(-2)**0.5 * W * x", "(-2)"),
        ("x * (-8)**0.3333333333333333", "(-8)"),
        ("x / 0", "0"),
        ("x / (1 - 1)", "(1"),
        ("x * 0**-1", "0*"),
        ("x + 0**-0.5", "0*"),
        ("log(0) * x", "log"),
        ("log(1 - 2) + x", "log"),
        ("sqrt(-2) * x", "sqrt"),
        ("exp(1000) * x", "exp"),
        ("x * (10**16)**16 * (10**16)**16", ""),
        ("exp(exp(exp(9))) - x", "exp"),
        ("tanh(x * (0 - 4)**0.5)", "(0"),
    ],
)
def test_numbers_that_are_none_are_refused(text, place):
    with pytest.raises(
        mb.NotationError, match="is no finite real number|too large to multiply"
    ) as caught:
        mb.equations("L = " + text)
    assert ("L = " + text)[caught.value.column - 1 :].lstrip("(").startswith(place.lstrip("("))


def test_numbers_are_computed_once():
    model = mb.equations(
        "L = x * sqrt(2)**2 * (-2)**3 / exp(0) + (1 - 3)**-1 * log(1) - relu(-3) + 0**0 * sigmoid(0) * tanh(0)"
    )
    assert len(model.graph.nodes) == 1
    assert_allclose(model.run_as_loops({}, x=1.5)[0]["L"], -24, rtol=1e-15)


def test_numbers_beyond_the_dtype_are_refused():
    model = mb.equations("L = 1e300 * x * W")
    with pytest.raises(
        ValueError, match="L: the number 1e[+]300 in its equation is too large for float32"
    ):
        model.compile()
    model.compile(dtype="float64")
