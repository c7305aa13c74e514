"""Formulas keep their tails: over all magnitudes, in both dtypes, forward and backward.

Oracles: the formula in a wider type (float64 for float32, long double for float64), mpmath on a
sample, PyTorch at the same point. A result may be off by 4 units in the last place (ulp); each
exception stands with its reason where it is allowed.
"""

import numpy as np
import pytest

import mbcore as mb
from mbcore import kernels

DTYPES = ("float32", "float64")
WIDE = {"float32": np.float64, "float64": np.longdouble}
NO_WIDER = np.finfo(np.longdouble).nmant < 60
LONG = pytest.mark.skipif(NO_WIDER, reason="no type here is wider than float64")
BOTH = pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=LONG)])


def torch():
    return pytest.importorskip("torch")


def numbers(dtype, count):
    """Numbers of both signs: every magnitude alike, then the range of exp evenly."""
    top = np.finfo(dtype).max
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    patterns = np.linspace(0, float(np.array(top).view(unsigned)), count // 4)
    every = np.minimum(patterns.astype(unsigned), np.array(top).view(unsigned)).view(dtype)
    usual = np.linspace(0, 110 if dtype == "float32" else 750, count // 4).astype(dtype)
    return np.concatenate([every, -every, usual, -usual])


def ulps(got, right):
    """How far off, in units of the last place of the right value; 0 where both are nan."""
    rounded = right.astype(got.dtype)
    unit = np.abs(np.spacing(rounded)).astype(right.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, np.abs(got.astype(right.dtype) - right) / unit)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name -> (f, f') in a wide type
FORMULAS = {
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (np.tanh, lambda x: 4 * sigmoid(2 * x) * sigmoid(-2 * x)),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    "softplus": (softplus, sigmoid),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0).astype(x.dtype)),
}
POWERS = (0, 1, 2, 3, 5, -1, -2, 0.5, -0.5, 1.5)


def power(p):
    """(x^p, p x^(p - 1)), with the exponent in the type of x."""
    slope = lambda x: p * x ** x.dtype.type(p - 1) if p else 0 * x
    return lambda x: x ** x.dtype.type(p), slope


FORMULAS |= {p: power(p) for p in POWERS}


def run(name, x):
    """(f(x), f'(x)) by the kernels; a number stands for a power."""
    y, slope, one = np.empty_like(x), np.empty_like(x), np.ones_like(x)
    extra = () if isinstance(name, str) else (float(name),)
    work = (np.empty_like(x),) if name in kernels.WITH_WORK else ()
    forward, backward = kernels.MAPS[name if isinstance(name, str) else "power"]
    forward(x, y, *work, *extra)
    backward(x, y, one, slope, *extra)
    return y, slope


@BOTH
@pytest.mark.parametrize("name", FORMULAS)
def test_maps_over_the_whole_range(name, dtype):
    x = numbers(dtype, 1_000_000 if dtype == "float32" else 200_000)
    with np.errstate(all="ignore"):
        right, slope = (f(x.astype(WIDE[dtype])) for f in FORMULAS[name])
        y, got = run(name, x)
        assert ulps(y, right).max() <= 4
        off = ulps(got, slope)
    if name in ("sigmoid", "tanh"):
        # y (1 - y) and 1 - y^2 know 1 - y only to the rounding of y, as PyTorch's do
        assert np.abs(got - slope).max() <= 2 * np.finfo(dtype).eps
        off = off[x < 0] if name == "sigmoid" else off[np.abs(x) < 0.5]
    if not isinstance(name, str) and name:
        # where x^(p - 1) alone leaves the range p x^(p - 1) does too, as PyTorch's does
        with np.errstate(all="ignore"):
            off = off[np.isfinite((x.astype(WIDE[dtype]) ** WIDE[dtype](name - 1)).astype(dtype))]
    assert off.max() <= 4


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softplus", "tanh", "exp", "log"])
def test_float64_against_mpmath(name):
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    formulas = {
        "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
        "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
        "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
        "tanh": mpmath.tanh,
        "exp": mpmath.exp,
        "log": mpmath.log,
    }
    x = np.random.default_rng(0).choice(numbers("float64", 100_000), 1_000)
    x = np.abs(x[x != 0]) if name == "log" else x[np.abs(x) < 740]
    exact = [formulas[name](mpmath.mpf(float(v))) for v in x]
    with np.errstate(all="ignore"):
        y = run(name, x)[0]
    top = float(np.finfo("float64").max)
    pairs = [(float(got), right) for got, right in zip(y, exact) if abs(right) < top]
    off = [abs(got - right) / float(np.spacing(abs(float(right)))) for got, right in pairs]
    assert len(off) > 300 and max(off) <= 4


def test_where_a_map_is_off_pytorch_is_too():
    """No value or slope that is off by more than 4 ulp is worse than PyTorch's at the same point.

    1 - y is off by a rounding of y, PyTorch's by another one: slopes of sigmoid and tanh may be
    worse by that. eps is 2 such roundings.
    """
    F = torch().nn.functional
    names = ("sigmoid", "tanh", "exp", "log", "sqrt", "relu")
    theirs = {name: getattr(torch(), name) for name in names}
    theirs |= {"log_sigmoid": F.logsigmoid, 0: lambda x: x**0, 3: lambda x: x**3}
    x = numbers("float32", 40_000)
    for name, f in theirs.items():
        with np.errstate(all="ignore"):
            y, slope = run(name, x)
            right, steep = (f(x.astype(np.float64)) for f in FORMULAS[name])
            leaf = torch().from_numpy(x.copy()).requires_grad_()
            value = f(leaf)
            value.sum().backward()
            assert not worse(y, value.detach().numpy(), right).any(), name
            bad = worse(slope, leaf.grad.numpy(), steep)
            if name in ("sigmoid", "tanh"):
                bad &= np.abs(slope - steep) > 2 * np.finfo("float32").eps
            assert not bad.any(), name


def worse(got, other, exact):
    return (ulps(got, exact) > 4) & (ulps(got, exact) > ulps(other, exact))


# ---------------------------------------------------------------- rows of scores


def rows(kind, count):
    rng = np.random.default_rng(1)
    if kind == "every magnitude":
        s = rng.choice([-1, 1], (count, 4)) * 10.0 ** rng.uniform(-44, 37, (count, 4))
    elif kind == "near":
        scale, shift = (rng.choice(some, (count, 1)) for some in ([1, 10, 30], [0, 100, -1000]))
        s = rng.normal(0, scale, (count, 4)) + shift
    else:
        s = rng.uniform(-104, 0, (count, 4))
        s[:, 0] = 0
    return s.astype(np.float32)


def reference(s, t):
    """softmax, its logarithm, log-sum-exp, loss of the label t and its gradient, in float64."""
    s = s.astype(np.float64)
    own = np.eye(4, dtype=bool)[t]
    m = s.max(1, keepdims=True)
    e = np.exp(s - m)
    log_total = np.log1p(np.sort(e, 1)[:, :-1].sum(1, keepdims=True))
    total = e.sum(1, keepdims=True)
    others = np.where(own, 0, e).sum(1, keepdims=True)
    logP = s - m - log_total
    slope = np.where(own, -others, e) / total
    scores = {"softmax": e / total, "log": logP, "slope": slope}
    return {**scores, "logsumexp": (m + log_total)[:, 0], "loss": -logP[own]}


def computed(s, t):
    """The same by the kernels, in float32."""
    count = len(s)
    found = {name: np.empty_like(s) for name in ("softmax", "log")}
    found |= {name: np.empty(count, s.dtype) for name in ("logsumexp", "loss")}
    row, rest = np.empty((2, count), s.dtype)
    work, top = np.empty((2, *s.shape), s.dtype)
    D, places = np.empty((4, count), s.dtype), np.empty(count, np.int64)
    kernels.softmax(s, found["softmax"], row)
    kernels.log_softmax(s, work, found["log"], top, row, rest)
    kernels.logsumexp(s, found["logsumexp"], work, top, row, rest, 1.0)
    kernels.cross_entropy(s, t, np.arange(count), found["loss"], D, places, row, rest)
    return {**found, "slope": D.T.copy()}


@pytest.mark.parametrize("kind", ["every magnitude", "near", "one far above"])
def test_rows_of_scores(kind):
    s = rows(kind, 50_000)
    t = np.random.default_rng(2).integers(0, 4, len(s))
    with np.errstate(all="ignore"):
        right, got = reference(s, t), computed(s, t)
    # s - max s is rounded once, as PyTorch's is, and exp of it is off by that rounding. So the
    # exception grows with the difference d, and there is none where the differences are exact.
    d = np.minimum(np.abs(s.astype(np.float64) - s.max(1, keepdims=True)), 104)
    rounding = {"softmax": d, "log": d, "slope": d}
    for name, exact in right.items():
        wide = rounding.get(name, d.max(1)) if kind != "one far above" else 0
        if name in ("slope", "log"):
            wide = np.max(wide, axis=1, keepdims=True) if np.ndim(wide) else wide
        if name == "logsumexp":         # the largest score and the logarithm may cancel
            close = np.abs(got[name] - exact) <= np.abs(s.max(1)) * 4 * np.finfo("float32").eps
            assert ((ulps(got[name], exact) <= 5 + wide) | close).all()
        else:
            assert (ulps(got[name], exact) <= 5 + wide).all(), name


def test_a_sure_example_has_a_small_loss_not_none():
    net = mb.equations("L = cross_entropy(s[y], t)").with_index("b").compile(b=3, y=3)
    s = np.array([[20, 0, 0], [50, 0, -50], [0, 0, 90]], np.float32)
    L = net.forward(s=s, t=np.array([0, 0, 2]))
    net.backward()
    np.testing.assert_allclose(L, [2 * np.exp(-20), np.exp(-50), 2 * np.exp(-90)], rtol=1e-6)
    slopes = net.grads["s"][[0, 1], 0]
    np.testing.assert_allclose(slopes, [-2 * np.exp(-20), -np.exp(-50)], rtol=1e-6)


# ---------------------------------------------------------------- whole models, at the ends of the range


def model(text, dtype, **inputs):
    """(L, gradients of the real inputs) of a batch; the sizes are read off the arrays."""
    batch = mb.equations(text).with_index("b")
    sizes = {i: n for name, a in inputs.items() for i, n in zip(batch.inputs[name], a.shape)}
    net = batch.compile(dtype=dtype, **sizes)
    with np.errstate(all="ignore"):
        L = net.forward(**inputs)
        net.backward()
    return L, {name: net.grads[name] for name in inputs if name in net.grads}


def same(text, f, dtype, rtol, wide=False, **inputs):
    """The model is f of the same inputs in PyTorch, values and gradients; wide: PyTorch in float64."""
    L, grads = model(text, dtype, **inputs)
    real = {n: a.dtype.kind == "f" for n, a in inputs.items()}
    arrays = {n: a.astype("float64") if wide and real[n] else a for n, a in inputs.items()}
    leaves = {n: torch().tensor(a, requires_grad=real[n]) for n, a in arrays.items()}
    expected = f(**leaves)
    expected.sum().backward()
    atol = np.finfo(dtype).tiny
    np.testing.assert_allclose(L, expected.detach().numpy(), rtol=rtol, atol=atol, err_msg=text)
    for name, g in grads.items():
        if leaves[name].grad is not None:
            right = leaves[name].grad.numpy()
            atol = 10 * np.finfo(dtype).eps         # beside terms of size 1
            np.testing.assert_allclose(g, right, rtol=rtol, atol=atol, err_msg=f"{text}: {name}")


def F():
    return torch().nn.functional


X = np.array([[0.3, -2, 1.5], [1e3, -50, 2.0], [-700, -710, -800], [5, 5, 5]])
W = np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0.1, -0.4, 2], [-1, 1, 1]])
REWRITTEN = {
    "p[y] = exp(x[y])/sum(exp(x[y]), over=y)\nL = p[y]*w[y]": lambda x, w: (x.softmax(-1) * w).sum(-1),
    "p[y] = exp(x[y])/sum(exp(x[k]), over=k)\nL = p[y]*w[y]": lambda x, w: (x.softmax(-1) * w).sum(-1),
    "L = sum(exp(x[y])*w[y]/sum(exp(x[k]), over=k), over=y)": lambda x, w: (x.softmax(-1) * w).sum(-1),
    "p[y] = exp(x[y]/2)/sum(exp(x[y]/2), over=y)\nL = p[y]*w[y]":
        lambda x, w: ((x / 2).softmax(-1) * w).sum(-1),
    "p[y] = exp(1 - x[y])/sum(exp(1 - x[k]), over=k)\nL = p[y]*w[y]":
        lambda x, w: ((-x).softmax(-1) * w).sum(-1),
    "L = sum(w[y]*exp(-2*x[y])/(1 + exp(-2*x[y])), over=y)":
        lambda x, w: ((-2 * x).sigmoid() * w).sum(-1),
    "L = sum(w[y]*exp(x[y])/(1 + exp(x[y])), over=y)": lambda x, w: (x.sigmoid() * w).sum(-1),
    "L = sum(w[y]*log(1/(1 + exp(-x[y]))), over=y)": lambda x, w: (F().logsigmoid(x) * w).sum(-1),
    "L = -sum(w[y]*log(sigmoid(x[y])) + (1 - w[y])*log(1 - sigmoid(x[y])), over=y)":
        lambda x, w: -(F().logsigmoid(x) * w + (1 - w) * F().logsigmoid(-x)).sum(-1),
    "L = -sum(w[y]*log(exp(x[y])/sum(exp(x[k]), over=k)), over=y)":
        lambda x, w: -(x.log_softmax(-1) * w).sum(-1),
    "z[y] = log(softmax(x[y], over=y) + 0)\nL = z[y]*w[y]": lambda x, w: (x.log_softmax(-1) * w).sum(-1),
    "L = log(exp(x[y]))*w[y]": lambda x, w: (x * w).sum(-1),
    "L = log(sum(2*exp(w[y])*exp(x[y]), over=y))": lambda x, w: (x + w).logsumexp(-1) + np.log(2),
    "m = log(mean(exp(x[y]), over=(b,y)))\nL = m*w[y]*w[y]":
        lambda x, w: (x.flatten().logsumexp(0) - np.log(12)) * (w * w).sum(-1),
    "L = log(sum(mean(exp(x[y]*w[k]), over=k), over=y))":
        lambda x, w: (x[:, :, None] * w[:, None, :]).flatten(1).logsumexp(-1) - np.log(3),
    "L = log(sigmoid(w[y]*x[y]))": lambda x, w: F().logsigmoid((x * w).sum(-1)),
    "L = log(1 + sum(exp(x[y]*w[y]), over=y))":
        lambda x, w: torch().cat([x * w, 0 * x[:, :1]], 1).logsumexp(-1),
    "L = sum(0.5*log(softmax(x[y], over=y)*sigmoid(w[y])**3), over=y)":
        lambda x, w: 0.5 * (x.log_softmax(-1) + 3 * F().logsigmoid(w)).sum(-1),
    "L = sqrt(sum((x[y] - w[y])**2, over=y))":
        lambda x, w: torch().linalg.vector_norm(x - w, dim=-1),
    "L = sum((x[y] - w[y])**2, over=y)**0.5":
        lambda x, w: torch().linalg.vector_norm(x - w, dim=-1),
    "n = sqrt(3*x[y]*x[y])\nu[y] = x[y]/n\nL = u[y]*w[y]":
        lambda x, w: (x / torch().linalg.vector_norm(x, dim=-1, keepdim=True) / 3**0.5 * w).sum(-1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("text", REWRITTEN)
def test_formulas_in_another_form(text, dtype):
    x, w = X.astype(dtype), W.astype(dtype)
    same(text, REWRITTEN[text], dtype, 1e-5 if dtype == "float32" else 1e-10, wide=True, x=x, w=w)


@pytest.mark.parametrize("text", REWRITTEN)
def test_the_printed_loops_are_what_is_computed(text):
    x, w = np.array([[0.3, -1, 1.5], [2, 0.1, -1]]), W[[0, 3]]
    L, grads = model(text, "float64", x=x, w=w)
    values, gradients = mb.equations(text).with_index("b").run_as_loops({}, x=x, w=w)
    np.testing.assert_allclose(L, values["L"], rtol=1e-12)
    for name in grads:
        np.testing.assert_allclose(grads[name], gradients[name], rtol=1e-9, atol=1e-12)


def test_log_of_sigmoid_far_out():
    x = np.array([-1000, -104, -20, 0, 20, 100], np.float32)
    L, grads = model("L = -log(sigmoid(x))", "float32", x=x)
    near, far = np.exp(-20.0), np.exp(-100.0)
    smallest = 2e-45
    np.testing.assert_allclose(L, [1000, 104, 20, np.log(2), near, far], rtol=1e-6, atol=smallest)
    slopes = [-1, -1, -1, -0.5, -near, -far]
    np.testing.assert_allclose(grads["x"], slopes, rtol=1e-6, atol=smallest)
    named, _ = model("P = sigmoid(x)\nL = -log(P)", "float32", x=np.array([-100, -20], np.float32))
    np.testing.assert_allclose(named, [100, 20], rtol=2e-4)      # sigmoid(-100) has two digits left


def test_what_has_a_name_keeps_its_own_nodes():
    """A named value is computed as written; so is what merely looks like a formula of the table."""
    for text in ("P = sigmoid(x)\nL = log(P)", "L = log(x*x)", "L = log(1 + x)", "L = sqrt(x + x*x)",
                 "e = exp(x)\nL = e/(1 + e)", "L = log(sigmoid(x) - 0.1)", "L = 2 - sigmoid(x)"):
        plain = [getattr(n, "function", "") for n in mb.equations(text).graph.nodes]
        assert not {"log_sigmoid", "softplus", "logsumexp", "norm"} & set(plain), text
        x = np.array([0.3, 0.5])
        values, gradients = mb.equations(text).with_index("b").run_as_loops({}, x=x)
        L, grads = model(text, "float64", x=x)
        np.testing.assert_allclose(L, values["L"], rtol=1e-12)
        np.testing.assert_allclose(grads["x"], gradients["x"], rtol=1e-10)


def test_replicas_and_a_smaller_last_batch():
    text = """s[y] = W[y,i]*x[i]
        z[y] = log(softmax(s[y], over=y))
        L = log(sum(exp(3*z[y]), over=y)) + sqrt(s[y]*s[y])"""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(5, 3)) * 100, rng.normal(size=(2, 4, 3))
    batch = mb.equations(text).with_index("b").with_index("r", parameters=True)
    net = batch.compile(b=5, i=3, y=4, r=2, dtype="float64")
    net.params["W"][...] = weights
    net.forward(x=x)
    L = net.forward(x=x[:1])
    net.backward()
    leaf = torch().tensor(weights, requires_grad=True)
    s = torch().einsum("ryi,bi->rby", leaf, torch().tensor(x[:1]))
    expected = (3 * s.log_softmax(-1)).logsumexp(-1) + torch().linalg.vector_norm(s, dim=-1)
    expected.sum().backward()
    np.testing.assert_allclose(L, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(net.grads["W"], leaf.grad.numpy(), rtol=1e-9, atol=1e-9)
    own = net.per_example_grads("W")[:, 0]
    np.testing.assert_allclose(own, leaf.grad.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_at_the_ends_of_the_range(dtype):
    m = np.finfo(dtype).max
    s = [[1e4, -1e4, 0], [0, 1e30, -1e30], [m, -m, 0], [0, 0, 0], [1, 2, 3], [m, m, m], [88, 89, 700]]
    s = np.array(s, dtype)
    labels = np.arange(7) % 3
    soft = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.3, 0.5], [0, 0, 1], [1, 1, 1], [0, 0.5, 0.5]]
    soft = np.array(soft, dtype)
    one, most = s[:, :1].copy(), [0, 1, 3, 4, 5, 6]     # PyTorch gives nan for the third soft target
    loss = lambda s, t: F().cross_entropy(s, t, reduction="none")
    rtol = 1e-5 if dtype == "float32" else 1e-12
    same("L = cross_entropy(s[y], t)", loss, dtype, rtol, s=s, t=labels)
    same("L = cross_entropy(s[y], t)", loss, dtype, rtol, s=one, t=0 * labels)
    same("L = cross_entropy(s[y], t[y])", loss, dtype, rtol, s=s[most], t=soft[most])
    dot = lambda s, t: (s.softmax(-1) * t).sum(-1)
    square = lambda s: (s.softmax(-1) ** 2).sum(-1)
    same("p[y] = softmax(s[y], over=y)\nL = p[y]*t[y]", dot, dtype, rtol, s=s, t=soft)
    same("p[y] = softmax(s[y], over=y)\nL = p[y]*p[y]", square, dtype, rtol, s=one)
    half = lambda s, t: 0.5 * ((s - t) ** 2).sum(-1)
    same("L = squared_error(s[y], t[y])", half, dtype, rtol, s=s[[0, 3, 4, 6]], t=soft[:4])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_class_of_no_weight_counts_nothing(dtype):
    """0 times log 0 is 0, forward and in the gradient of P; PyTorch's own product gives nan."""
    p = np.array([[0, 0.5, 0.5], [1, 0, 0], [0.5, 0.5, 0]], dtype)
    t = np.array([[0, 0.5, 0.5], [1, 0, 0], [0, 0, 1]], dtype)
    L, grads = model("L = nll(p[y], t[y])", dtype, p=p, t=t)
    np.testing.assert_allclose(L, [np.log(2), 0, np.inf], rtol=1e-6)
    np.testing.assert_array_equal(grads["p"], [[0, -1, -1], [-1, 0, 0], [0, 0, -np.inf]])
    L, _ = model("L = nll(p[y], t)", dtype, p=p, t=np.array([1, 0, 2]))
    np.testing.assert_allclose(L, [np.log(2), 0, np.inf], rtol=1e-6)
    m = np.finfo(dtype).max
    s, t = np.array([[m, -m, 0]], dtype), np.array([[1, 0, 0]], dtype)
    L, grads = model("L = cross_entropy(s[y], t[y])", dtype, s=s, t=t)
    assert L == 0 and not grads["s"].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0, 1, 2, 3, 4, 5, 10, 16, -1, -2, -3, 0.5, 1.5, 2.5])
def test_powers_as_pytorch(p, dtype):
    tiny, top = np.finfo(dtype).tiny, np.finfo(dtype).max
    x = [0, 1, -1, 2, -2, 0.5, 1e-30, -1e-30, 1e30, -1e30, tiny, -tiny, top, -top, 7, -7]
    x = np.array(x, dtype)
    same(f"L = x**{p}", lambda x: x**p, dtype, 1e-6 if dtype == "float32" else 1e-14, x=x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_of_any_size(dtype):
    """Nothing overflows; at 0 the gradient is 0, where PyTorch's sqrt of a sum gives nan."""
    top, tiny = np.finfo(dtype).max, np.finfo(dtype).tiny
    x = np.array([[0, 0], [3, 4], [top, 0], [top / 2, top / 2], [tiny, tiny], [-5, 12]], dtype)
    for text in ("L = sqrt(x[i]*x[i])", "L = sqrt(sum(x[i]**2, over=i))"):
        L, grads = model(text, dtype, x=x)
        np.testing.assert_allclose(L, [0, 5, top, top / 2**0.5, tiny * 2**0.5, 13], rtol=1e-6)
        half = [0.5**0.5, 0.5**0.5]
        right = [[0, 0], [0.6, 0.8], [1, 0], half, half, [-5 / 13, 12 / 13]]
        np.testing.assert_allclose(grads["x"], right, rtol=1e-6)
